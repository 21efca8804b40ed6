-- The lake: archives published as tables of Apache Iceberg. bcp-analytics archive does the rest.

-- Runs write the catalogue, readers and their engines look tables up in it.
grant usage on schema bcp_lake to bcp_reader;

revoke all on all tables in schema bcp_lake from bcp_reader, bcp_writer, bcp_admin;

grant select on bcp_lake.iceberg_tables, bcp_lake.iceberg_namespace_properties to bcp_reader;

grant insert, update, delete on bcp_lake.iceberg_tables, bcp_lake.iceberg_namespace_properties to bcp_admin;

create or replace function bcp_internal.lake() returns text
language sql stable
-- No other role may read the table.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select l.catalog from bcp_internal.archive_lake l
$func$;

comment on function bcp_internal.lake is
    'Catalogue that archives are published in: store for the one in schema bcp_lake, or the URL of a REST catalogue; '
    'null if they are not published.';

grant execute on function bcp_internal.lake to bcp_reader;

create or replace function bcp_internal.use_lake(p_catalog text) returns void
language plpgsql volatile
-- Only the owner may write the table; bcp_admin may publish archives.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_present text;
begin
    if p_catalog is null then
        delete from bcp_internal.archive_lake;
        return;
    end if;
    insert into bcp_internal.archive_lake (catalog) values (p_catalog) on conflict do nothing;
    select l.catalog into v_present from bcp_internal.archive_lake l;
    if v_present <> p_catalog then
        raise exception using
            errcode = 'ZB002',
            message = format('the archives are published in another catalogue already: %s', v_present),
            hint = 'bcp-analytics archive --no-iceberg takes them out of it first.';
    end if;
exception
    when check_violation then
        raise exception using
            errcode = 'ZB002',
            message = 'the catalogue is neither store nor the http(s) URL of a REST catalogue without user and query',
            hint = 'Credentials come from PYICEBERG_CATALOG__BCP__TOKEN or ..._CREDENTIAL.';
end
$func$;

comment on function bcp_internal.use_lake is
    'From now on, archives are published in this catalogue; null: no longer. ZB002 if it is no catalogue, or if they '
    'are published in another one.';

grant execute on function bcp_internal.use_lake to bcp_admin;
