-- The key of the lock that keeps runs of bcp-analytics archive, restore and rewrite apart.
create table bcp_internal.archive_lock (
    only_row boolean primary key default true check (only_row),
    key bigint not null
);

comment on table bcp_internal.archive_lock is
    'Key of the advisory lock of archive runs. It is random, because every role may take any advisory lock. If a role '
    'that may not archive holds it, a new key replaces it.';

insert into bcp_internal.archive_lock (key) values (pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::text, 0));
