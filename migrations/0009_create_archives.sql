-- What was archived, the lock of those who archive, and what cleanup did.
create table bcp.archives (
    archive_id uuid primary key default gen_random_uuid(),
    table_name text not null,
    range_start timestamptz not null,
    range_end timestamptz not null,
    state text not null
        constraint archives_state check (state in ('writing', 'verified', 'dropped', 'restored', 'replaced')),
    location text not null,
    files jsonb not null default '[]',
    columns jsonb not null,
    schema_version text not null,
    row_count bigint,
    checksum text,
    digest text,
    bytes bigint,
    started_at timestamptz not null,
    verified_at timestamptz,
    dropped_at timestamptz,
    keep_until timestamptz,
    instead_of uuid,
    -- One row that a command cannot read would stop it for all rows, and no calendar of Python goes beyond these years.
    constraint archives_range check (
        range_start >= '0001-01-02 00:00:00+00' and range_end < '9999-12-31 00:00:00+00'
        and range_start < range_end and range_end <= range_start + interval '87840 hours'),
    constraint archives_location check (
        location ~ '^(file:///|s3://[A-Za-z0-9._-]+(/|$))' and length(location) <= 2000),
    constraint archives_files check (jsonb_typeof(files) = 'array'),
    constraint archives_columns check (jsonb_typeof(columns) = 'array'),
    constraint archives_checksum check (checksum ~ '^[0-9a-f]{16}$' and digest ~ '^[0-9a-f]{64}$'),
    constraint archives_keep_until check (
        keep_until >= '0001-01-02 00:00:00+00' and keep_until < '9999-12-31 00:00:00+00'),
    constraint archives_proven check (
        state in ('writing', 'replaced') or num_nulls(row_count, checksum, digest, bytes, verified_at) = 0)
);

comment on table bcp.archives is
    'Manifest of the archives: one row per chunk that has been, or is being, written to Parquet files. If a table''s '
    'policy wants archives, its chunks are dropped only when verified archives hold the rows that they have. Only '
    'functions write the manifest, and what it says of rows is what the database counted.';

comment on column bcp.archives.archive_id is 'Id of the archive, which the names of its files contain.';

comment on column bcp.archives.table_name is 'Table of schema bcp.';

comment on column bcp.archives.range_start is 'Start of the chunk, inclusive.';

comment on column bcp.archives.range_end is 'End of the chunk, exclusive.';

comment on column bcp.archives.state is
    'writing: not proven, the next run removes its files and begins anew. verified: read back and found equal, the '
    'chunk still exists. dropped: the chunk has been dropped, so this is the only copy. restored: its rows are back in '
    'the table. replaced: another archive has taken its place, and its files are about to be removed.';

comment on column bcp.archives.location is 'URL of the folder or bucket with the files.';

comment on column bcp.archives.files is
    'The files: an array of {"path", "day", "row_count", "bytes", "sha256"}, paths relative to location.';

comment on column bcp.archives.columns is 'Columns archived, in order: an array of {"name", "type"}.';

comment on column bcp.archives.schema_version is 'Last migration applied when it was written.';

comment on column bcp.archives.row_count is 'Rows, as the database counted them.';

comment on column bcp.archives.checksum is
    'Checksum of the rows in the database, whatever their order: see bcp_internal.archive_checksum. The files were '
    'read back and have the same.';

comment on column bcp.archives.digest is
    'SHA-256 of the rows in the database, whatever their order: see bcp_internal.archive_checksum. Only rows that have '
    'it are restored.';

comment on column bcp.archives.bytes is 'Size of all files together, in bytes.';

comment on column bcp.archives.started_at is 'When writing began.';

comment on column bcp.archives.verified_at is 'When it was read back and found equal.';

comment on column bcp.archives.dropped_at is 'When its chunk was last dropped.';

comment on column bcp.archives.keep_until is 'For a restored archive: cleanup leaves its rows in the table until then.';

comment on column bcp.archives.instead_of is
    'Archive that this one replaces, or has replaced, without the rows that were erased; null for an archive of a '
    'chunk.';

create index archives_range_idx on bcp.archives (table_name, range_start);

-- The key of the lock that keeps runs of bcp-analytics archive, restore and rewrite apart.
create table bcp_internal.archive_lock (
    only_row boolean primary key default true check (only_row),
    key bigint not null
);

comment on table bcp_internal.archive_lock is
    'Key of the advisory lock of archive runs. It is random, because every role may take any advisory lock. If a role '
    'that may not archive holds it, a new key replaces it.';

insert into bcp_internal.archive_lock (key) values (pg_catalog.hashtextextended(pg_catalog.gen_random_uuid()::text, 0));

create table bcp.cleanup_log (
    logged_at timestamptz not null,
    table_name text not null,
    range_start timestamptz,
    range_end timestamptz,
    row_count bigint not null,
    bytes bigint,
    action text not null constraint cleanup_log_action check (action in ('dropped', 'deleted', 'kept')),
    reason text not null
);

comment on table bcp.cleanup_log is
    'What cleanup dropped and deleted, and which chunks past their retention it kept, with the reason. A chunk that is '
    'kept gets another row only when the reason changes.';

comment on column bcp.cleanup_log.logged_at is 'Time of the entry.';

comment on column bcp.cleanup_log.table_name is 'Table of schema bcp.';

comment on column bcp.cleanup_log.range_start is 'Start of the chunk; null if the table has no chunks.';

comment on column bcp.cleanup_log.range_end is 'End of the chunk.';

comment on column bcp.cleanup_log.row_count is 'Rows that were dropped, deleted or kept.';

comment on column bcp.cleanup_log.bytes is
    'Size of the chunk with its indexes, in bytes; null if the table has no chunks.';

comment on column bcp.cleanup_log.action is 'dropped: a chunk; deleted: rows of a table without chunks; kept: a chunk.';

comment on column bcp.cleanup_log.reason is 'Why this was done.';

create index cleanup_log_table_name_idx on bcp.cleanup_log (table_name, range_start, logged_at);
