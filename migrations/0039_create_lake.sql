-- The archive as an Apache Iceberg lake: which catalogue it is in, and a catalogue for those who have none.
create table bcp_internal.archive_lake (
    only_row boolean primary key default true check (only_row),
    catalog text not null
        constraint archive_lake_catalog check (catalog = 'store' or catalog ~ '^https?://[^@?#\s]+$'),
    constraint archive_lake_length check (length(catalog) <= 2000)
);

comment on table bcp_internal.archive_lake is
    'The catalogue that archives are published in: store for the one in schema bcp_lake, or the URL of a REST '
    'catalogue. No row if they are not. Every run keeps the lake as it keeps the files, so that nothing erased stays '
    'in it.';

-- As Apache Iceberg's JDBC catalogue wants its tables: engines read these with any reader's login.
create schema bcp_lake;

comment on schema bcp_lake is 'A JDBC catalogue of Apache Iceberg, named bcp, with the archived tables.';

create table bcp_lake.iceberg_tables (
    catalog_name varchar(255) not null,
    table_namespace varchar(255) not null,
    table_name varchar(255) not null,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    primary key (catalog_name, table_namespace, table_name)
);

comment on table bcp_lake.iceberg_tables is
    'One row per archived table: where the metadata of its latest version is.';

create table bcp_lake.iceberg_namespace_properties (
    catalog_name varchar(255) not null,
    namespace varchar(255) not null,
    property_key varchar(255) not null,
    property_value varchar(1000) not null,
    primary key (catalog_name, namespace, property_key)
);

comment on table bcp_lake.iceberg_namespace_properties is 'One row per property of a namespace.';

insert into bcp_lake.iceberg_namespace_properties values ('bcp', 'bcp', 'exists', 'true');
