delete from bcp_internal.names_seen where name is null;
alter table bcp_internal.names_seen
    drop column ids,
    alter column name set not null;
comment on column bcp_internal.names_seen.name is null;
