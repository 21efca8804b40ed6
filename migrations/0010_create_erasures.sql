-- Receipts of erasures, what an erasure needs to know until it is done, and how far late masking has come.
create table bcp.erasures (
    erasure_id uuid primary key default gen_random_uuid(),
    requested_at timestamptz not null,
    requested_by text not null,
    note text,
    erased_at timestamptz,
    completed_at timestamptz,
    counts jsonb not null default '{}',
    archives_pending integer not null default 0,
    archives_rewritten integer not null default 0,
    unreached jsonb not null default '[]'
);

comment on table bcp.erasures is
    'Receipts: one row per person that bcp.erase_user erased. A receipt does not say who that was; bcp.find_erasure '
    'finds it for somebody who knows the id.';

comment on column bcp.erasures.erasure_id is 'Id of the erasure.';

comment on column bcp.erasures.requested_at is 'When somebody asked for it.';

comment on column bcp.erasures.requested_by is 'Role that was logged in.';

comment on column bcp.erasures.note is 'Reason that was given, masked and without the id.';

comment on column bcp.erasures.erased_at is
    'When the tables and aggregates no longer held anything of the person; null while the erasure goes on.';

comment on column bcp.erasures.completed_at is
    'When the archives and the restored tables no longer held anything either; null while one may.';

comment on column bcp.erasures.counts is
    'Rows by table: {"tool_usage_logs": {"deleted": 12, "changed": 1}}. Deleted rows are the person''s, changed ones '
    'are rows of others that named the person.';

comment on column bcp.erasures.archives_pending is 'Archives still to be rewritten.';

comment on column bcp.erasures.archives_rewritten is 'Archives rewritten.';

comment on column bcp.erasures.unreached is
    'Restored tables in other schemas that may still hold the person, and why: an array of {"table", "sqlstate"}. Drop '
    'them, or give them back to the role that migrated the database, and call bcp.erase_user again.';

create index erasures_requested_at_idx on bcp.erasures (requested_at);

create table bcp_internal.erasure_subjects (
    erasure_id uuid primary key,
    salt bytea not null,
    digests bytea[] not null
);

comment on table bcp_internal.erasure_subjects is
    'Whom a receipt is about, for bcp.find_erasure: SHA-256 of the salt and each form of the id. Only the owner may '
    'read it, because an id can be found by trying.';

comment on column bcp_internal.erasure_subjects.erasure_id is 'Receipt.';

comment on column bcp_internal.erasure_subjects.salt is '16 random bytes.';

comment on column bcp_internal.erasure_subjects.digests is 'SHA-256 of the salt and the id, as given and as stored.';

create table bcp_internal.erasure_work (
    erasure_id uuid primary key,
    forms text[] not null,
    session_ids text[] not null default '{}',
    issues text[] not null default '{}'
);

comment on table bcp_internal.erasure_work is
    'What an erasure needs to know of the person until it is complete; then the row is deleted. Only the owner may '
    'read it.';

comment on column bcp_internal.erasure_work.erasure_id is 'Receipt.';

comment on column bcp_internal.erasure_work.forms is 'The id as given, and as each key of the anonymiser stores it.';

comment on column bcp_internal.erasure_work.session_ids is 'Sessions in which nobody else was.';

comment on column bcp_internal.erasure_work.issues is 'Issues whose latest error was the person''s.';

create table bcp_internal.erasure_archives (
    erasure_id uuid,
    archive_id uuid,
    primary key (erasure_id, archive_id)
);

comment on table bcp_internal.erasure_archives is 'Archives that may hold an erased person and have to be rewritten.';

comment on column bcp_internal.erasure_archives.erasure_id is 'Receipt.';

comment on column bcp_internal.erasure_archives.archive_id is 'Archive.';

create table bcp_internal.restored_tables (
    relation regclass primary key,
    table_name text not null,
    restored_at timestamptz not null
);

comment on table bcp_internal.restored_tables is
    'Tables in other schemas into which archives were restored, so that erasures and late masking reach them.';

comment on column bcp_internal.restored_tables.relation is 'The table, whatever its name is now.';

comment on column bcp_internal.restored_tables.table_name is 'Table of schema bcp whose rows it holds.';

comment on column bcp_internal.restored_tables.restored_at is 'When rows last came into it.';

create table bcp_internal.pending_refreshes (
    refresh_id bigint generated always as identity primary key,
    table_name text not null,
    range_start timestamptz not null,
    range_end timestamptz not null
);

comment on table bcp_internal.pending_refreshes is
    'Chunks whose rows an erasure or late masking has changed, and whose aggregates have still to be refreshed.';

comment on column bcp_internal.pending_refreshes.refresh_id is 'Order of the changes.';

comment on column bcp_internal.pending_refreshes.table_name is 'Table of schema bcp.';

comment on column bcp_internal.pending_refreshes.range_start is 'Start of the chunk.';

comment on column bcp_internal.pending_refreshes.range_end is 'End of the chunk, exclusive.';

create table bcp_internal.anonymize_progress (
    table_name text not null,
    range_start timestamptz not null,
    range_end timestamptz not null,
    rules_digest text not null,
    done_at timestamptz not null,
    primary key (table_name, range_start, range_end)
);

comment on table bcp_internal.anonymize_progress is
    'Chunks that bcp.anonymize_history has masked again, and by which rules.';

comment on column bcp_internal.anonymize_progress.table_name is 'Table of schema bcp.';

comment on column bcp_internal.anonymize_progress.range_start is 'Start of the chunk.';

comment on column bcp_internal.anonymize_progress.range_end is 'End of the chunk, exclusive.';

comment on column bcp_internal.anonymize_progress.rules_digest is 'Digest of the rules: see bcp_internal.rules_digest.';

comment on column bcp_internal.anonymize_progress.done_at is 'When it was done.';

revoke all on
    bcp.erasures, bcp_internal.erasure_subjects, bcp_internal.erasure_work, bcp_internal.erasure_archives,
    bcp_internal.restored_tables, bcp_internal.pending_refreshes, bcp_internal.anonymize_progress
from public;
