-- The books of ingest. At all times accepted = stored + duplicates + rejected.
create table bcp.ingest_batches (
    received_at timestamptz not null,
    kind text not null,
    source text not null,
    batch_id uuid,
    accepted bigint not null,
    stored bigint not null,
    duplicates bigint not null,
    rejected bigint not null,
    sent_by text not null default session_user,
    repaired bigint not null default 0,
    constraint ingest_batches_balance check (accepted = stored + duplicates + rejected)
);

comment on table bcp.ingest_batches is 'One row per call of an ingest function. Hypertable on received_at.';

comment on column bcp.ingest_batches.received_at is 'When it came in.';

comment on column bcp.ingest_batches.kind is 'tool_usage, errors, metrics or sessions.';

comment on column bcp.ingest_batches.source is
    'Who sent it: application_name of the connection, unless the sender said.';

comment on column bcp.ingest_batches.batch_id is 'The sender''s id of the batch, null where it gave none.';

comment on column bcp.ingest_batches.accepted is 'Events taken in: the sum of stored, duplicates and rejected.';

comment on column bcp.ingest_batches.stored is 'Events that became rows.';

comment on column bcp.ingest_batches.duplicates is 'Events that had been taken in before.';

comment on column bcp.ingest_batches.rejected is 'Events in bcp.rejected_events.';

comment on column bcp.ingest_batches.sent_by is 'Role that was logged in; source is what that role said.';

comment on column bcp.ingest_batches.repaired is
    'Events among stored and duplicates with a bad value that was converted, cut or taken out; attribute _repaired of '
    'each names its fields.';

create table bcp.rejected_events (
    rejected_at timestamptz not null,
    kind text not null,
    source text not null,
    batch_id uuid,
    reason_code text not null,
    reason text not null,
    event jsonb not null,
    event_bytes bigint not null,
    sent_by text not null default session_user
);

comment on table bcp.rejected_events is
    'Events that could not be stored, redacted, with the reason. Hypertable on rejected_at.';

comment on column bcp.rejected_events.rejected_at is 'When it was rejected.';

comment on column bcp.rejected_events.kind is 'tool_usage, errors, metrics or sessions.';

comment on column bcp.rejected_events.source is 'Who sent it.';

comment on column bcp.rejected_events.batch_id is 'Batch it came in, null where that had no id.';

comment on column bcp.rejected_events.reason_code is 'SQLSTATE of the reason.';

comment on column bcp.rejected_events.reason is 'Names the field and what is wrong with it, never its value.';

comment on column bcp.rejected_events.event is
    'The event, redacted; only its JSON type where it could not be redacted.';

comment on column bcp.rejected_events.event_bytes is 'Size of the event as it came, in bytes.';

comment on column bcp.rejected_events.sent_by is 'Role that was logged in.';

create table bcp.open_tool_calls (
    event_id uuid primary key,
    started_at timestamptz not null,
    event jsonb not null
);

comment on table bcp.open_tool_calls is 'Calls that began and have not ended: see bcp.begin_tool_call.';

comment on column bcp.open_tool_calls.event_id is 'Id that bcp.begin_tool_call returned.';

comment on column bcp.open_tool_calls.started_at is 'When the call began.';

comment on column bcp.open_tool_calls.event is 'What is known of it so far, masked.';

create index open_tool_calls_started_at_idx on bcp.open_tool_calls (started_at);

create table bcp.error_issues (
    fingerprint text primary key,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    events bigint not null,
    level bcp.error_level_enum not null,
    message text not null,
    error_type text,
    bcp_name text,
    tool_name text
);

comment on table bcp.error_issues is 'One row per group of errors with one cause.';

comment on column bcp.error_issues.fingerprint is 'What its errors share: see bcp_internal.error_fingerprint.';

comment on column bcp.error_issues.first_seen is 'Time of its earliest error.';

comment on column bcp.error_issues.last_seen is 'Time of its latest error.';

comment on column bcp.error_issues.events is 'Errors stored for it so far, whatever retention has dropped since.';

comment on column bcp.error_issues.level is 'Most severe level seen.';

comment on column bcp.error_issues.message is 'Message of the latest error, masked.';

comment on column bcp.error_issues.error_type is 'Class of the latest error.';

comment on column bcp.error_issues.bcp_name is 'Bundle of the latest error.';

comment on column bcp.error_issues.tool_name is 'Tool of the latest error.';

create index error_issues_last_seen_idx on bcp.error_issues (last_seen);

-- The keys of the dedup window are kept apart from the events, so that no hypertable needs a unique index.
create table bcp_internal.batch_keys (
    batch_id uuid not null,
    kind text not null,
    seen_at timestamptz not null,
    primary key (batch_id, kind)
);

comment on table bcp_internal.batch_keys is 'Batch ids that came within the dedup window, and when they came last.';

create index batch_keys_seen_at_idx on bcp_internal.batch_keys (seen_at);

create table bcp_internal.event_keys (
    event_id uuid not null,
    kind text not null,
    seen_at timestamptz not null,
    primary key (event_id, kind)
);

comment on table bcp_internal.event_keys is 'Event ids that came within the dedup window, and when they came last.';

create index event_keys_seen_at_idx on bcp_internal.event_keys using brin (seen_at);

-- Which names came within the last hour. The table holds only hashes of them, and after a crash it begins anew.
create unlogged table bcp_internal.names_seen (
    sent_by text not null default session_user,
    kind text not null,
    name bigint not null,
    seen_at timestamptz not null
);

comment on table bcp_internal.names_seen is
    'Hashes of the names that events had within the last hour, by role: see bcp_internal.note_names.';

create index names_seen_idx on bcp_internal.names_seen (sent_by, kind, name);

create table bcp.floods (
    sent_by text not null,
    kind text not null,
    names bigint not null,
    found_at timestamptz not null,
    primary key (sent_by, kind)
);

comment on table bcp.floods is
    'Roles that sent more different names within an hour than the settings max_names_per_hour and max_ids_per_hour '
    'allow. A job fills it every minute, and what these roles send is refused.';

comment on column bcp.floods.sent_by is 'Role that was logged in.';

comment on column bcp.floods.kind is
    'What it sent too many of: tool (bundle, tool and operation), error (issues), metric (series), user (new), session '
    '(new) or collector.';

comment on column bcp.floods.names is 'How many different ones within the hour before found_at.';

comment on column bcp.floods.found_at is 'When they were counted.';

create table bcp.data_retention_policies (
    table_name text primary key,
    retention_days integer not null constraint retention_days_positive check (retention_days > 0),
    archive_before_delete boolean not null default true,
    cleanup_enabled boolean not null default true,
    columnstore_after_days integer constraint columnstore_after_days_positive check (columnstore_after_days > 0),
    constraint columnstore_before_retention check (columnstore_after_days < retention_days)
);

comment on table bcp.data_retention_policies is
    'How long each table keeps its rows; the only place to set it. bcp.apply_policies() carries a change out.';

comment on column bcp.data_retention_policies.table_name is 'Table of schema bcp.';

comment on column bcp.data_retention_policies.retention_days is 'Rows older than this may go, in days.';

comment on column bcp.data_retention_policies.archive_before_delete is 'Keep rows until a verified archive holds them.';

comment on column bcp.data_retention_policies.cleanup_enabled is 'False keeps everything.';

comment on column bcp.data_retention_policies.columnstore_after_days is
    'Chunks move to the columnstore at this age, in days; null: never.';

insert into bcp.data_retention_policies
    (table_name, retention_days, archive_before_delete, cleanup_enabled, columnstore_after_days)
values
    ('tool_usage_logs', 90, true, true, 1),
    ('error_logs', 365, true, true, 1),
    ('performance_metrics', 30, false, true, 1),
    ('user_sessions', 30, false, true, null),
    ('open_tool_calls', 30, false, true, null),
    ('ingest_batches', 90, false, true, null),
    ('rejected_events', 90, false, true, null);

select public.create_hypertable('bcp.ingest_batches', public.by_range('received_at', interval '7 days'));

select public.create_hypertable('bcp.rejected_events', public.by_range('rejected_at', interval '7 days'));
