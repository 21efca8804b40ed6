-- The events: three hypertables on the time when the thing happened, and the sessions and users that they name. A
-- hypertable has no primary key, foreign key or trigger: of the speed of a bare binary COPY, a time index alone keeps
-- 0.85, a primary key 0.55, a masking trigger 0.27. The ingest functions do what those would have done.
create type bcp.error_level_enum as enum ('debug', 'info', 'warn', 'error', 'fatal');

comment on type bcp.error_level_enum is 'Severity of an error, least severe first.';

create table bcp.tool_usage_logs (
    start_time timestamptz not null,
    end_time timestamptz,
    duration_ms double precision
        generated always as (date_part('epoch', end_time - start_time) * 1000) stored,
    lat_idx smallint generated always as (
        case
            when end_time > start_time then
                ceil(ln(date_part('epoch', end_time - start_time) * 1000) / ln(1.02::double precision))::smallint
            when end_time = start_time then (-32768)::smallint
        end
    ) stored,
    created_at timestamptz not null,
    event_id uuid not null,
    bcp_name text not null,
    tool_name text not null,
    operation text not null,
    success boolean,
    outcome text,
    error_type text,
    error_message text,
    parameters jsonb,
    response_data jsonb,
    request_bytes bigint,
    response_bytes bigint,
    response_tokens bigint,
    user_id text,
    session_id text,
    request_id text,
    trace_id text,
    client_name text,
    client_version text,
    client_model text,
    release text,
    ip_address inet,
    user_agent text,
    attributes jsonb,
    suspect_success boolean
);

comment on table bcp.tool_usage_logs is 'One row per tool call, without personal data. Hypertable on start_time.';

comment on column bcp.tool_usage_logs.start_time is 'When the call began.';

comment on column bcp.tool_usage_logs.end_time is 'When the call ended; null where nobody said.';

comment on column bcp.tool_usage_logs.duration_ms is 'end_time - start_time, in milliseconds.';

comment on column bcp.tool_usage_logs.lat_idx is
    'ceil(ln(duration_ms) / ln(1.02)): the DDSketch bucket of the duration (Masson et al., VLDB 2019), -32768 for a '
    'duration of 0. Counts by lat_idx add up over time and tools and give percentiles within 1 percent.';

comment on column bcp.tool_usage_logs.created_at is 'When the row was stored; created_at - end_time is the ingest lag.';

comment on column bcp.tool_usage_logs.event_id is 'UUIDv7, or the UUID made from the id that the caller gave.';

comment on column bcp.tool_usage_logs.bcp_name is
    'Bundle of tools, an MCP server for instance (OpenTelemetry: service.name).';

comment on column bcp.tool_usage_logs.tool_name is 'Tool (OpenTelemetry: gen_ai.tool.name).';

comment on column bcp.tool_usage_logs.operation is 'What was asked of the tool (OpenTelemetry: mcp.method.name).';

comment on column bcp.tool_usage_logs.success is
    'Whether the call succeeded, by its outcome. Null where nobody said, and where it was cancelled, which is neither '
    'a success nor a failure.';

comment on column bcp.tool_usage_logs.outcome is
    'success, soft_fail, error, timeout, cancelled or rejected. What the sender gave, else what '
    'bcp_internal.classify_outcome finds.';

comment on column bcp.tool_usage_logs.error_type is 'Class of the error (OpenTelemetry: error.type).';

comment on column bcp.tool_usage_logs.error_message is 'Message of the error, masked.';

comment on column bcp.tool_usage_logs.parameters is 'Arguments of the call, masked.';

comment on column bcp.tool_usage_logs.response_data is 'Answer of the call, masked.';

comment on column bcp.tool_usage_logs.request_bytes is 'Size of the arguments in bytes, before any masking or cut.';

comment on column bcp.tool_usage_logs.response_bytes is
    'Size in bytes of what reaches the model of the answer, before any masking or cut. Of an MCP tool that is the text '
    'of its content, without structuredContent, which repeats it, and without images and sound.';

comment on column bcp.tool_usage_logs.response_tokens is
    'Tokens that the answer took of the model''s context, as the sender counted them. Where it is null, '
    'bcp.context_cost estimates them from response_bytes.';

comment on column bcp.tool_usage_logs.user_id is
    'Who called, as the application names them; an e-mail address or something like it is a keyed hash.';

comment on column bcp.tool_usage_logs.session_id is
    'Session or conversation (OpenTelemetry: gen_ai.conversation.id, mcp.session.id).';

comment on column bcp.tool_usage_logs.request_id is 'Id of the request (OpenTelemetry: gen_ai.tool.call.id).';

comment on column bcp.tool_usage_logs.trace_id is 'Trace id of W3C traceparent.';

comment on column bcp.tool_usage_logs.client_name is 'Name of the calling client.';

comment on column bcp.tool_usage_logs.client_version is 'Version of the calling client.';

comment on column bcp.tool_usage_logs.client_model is 'Model that decided on the call.';

comment on column bcp.tool_usage_logs.release is 'Release of the tool''s code.';

comment on column bcp.tool_usage_logs.ip_address is
    'Network of the client (OpenTelemetry: client.address), cut to ip_prefix_v4 and ip_prefix_v6 bits.';

comment on column bcp.tool_usage_logs.user_agent is 'User agent of the client, masked.';

comment on column bcp.tool_usage_logs.attributes is 'Fields of the event that have no column, masked.';

comment on column bcp.tool_usage_logs.suspect_success is
    'True if success is true but response_data says error (bcp_internal.suspect_success), false if it does not. Null '
    'if success is not true, or there is no response_data.';

-- A call as it comes, before it is checked and masked. No table holds one.
create type bcp.tool_call as (
    event_id text,
    bcp_name text,
    tool_name text,
    operation text,
    start_time timestamptz,
    end_time timestamptz,
    duration_ms double precision,
    success boolean,
    outcome text,
    error_type text,
    error_message text,
    parameters jsonb,
    response_data jsonb,
    request_bytes bigint,
    response_bytes bigint,
    response_tokens bigint,
    user_id text,
    session_id text,
    conversation_id text,
    request_id text,
    trace_id text,
    client_name text,
    client_version text,
    client_model text,
    release text,
    ip_address inet,
    user_agent text,
    attributes jsonb
);

comment on type bcp.tool_call is
    'A tool call as bcp.ingest_tool_usage takes it in as a row: fields as in its JSON, before any masking.';

comment on column bcp.tool_call.event_id is
    'Id of the event, any text; one that comes again is a duplicate. Null: it gets one.';

comment on column bcp.tool_call.bcp_name is 'Bundle of tools; required.';

comment on column bcp.tool_call.tool_name is 'Tool; required.';

comment on column bcp.tool_call.operation is 'What was asked of the tool; null: call.';

comment on column bcp.tool_call.start_time is
    'When it began. Any two of start, end and duration are enough; without a time it began now.';

comment on column bcp.tool_call.end_time is 'When it ended.';

comment on column bcp.tool_call.duration_ms is 'How long it took, in milliseconds.';

comment on column bcp.tool_call.success is 'Whether it succeeded; null where nobody says.';

comment on column bcp.tool_call.outcome is
    'success, soft_fail, error, timeout, cancelled or rejected; null: found from the rest. If success contradicts it, '
    'outcome counts.';

comment on column bcp.tool_call.error_type is 'Class of the error; null: found from the message or the answer.';

comment on column bcp.tool_call.error_message is 'Message of the error.';

comment on column bcp.tool_call.parameters is 'Arguments.';

comment on column bcp.tool_call.response_data is 'Answer.';

comment on column bcp.tool_call.request_bytes is 'Size of the arguments in bytes; null: as they are here.';

comment on column bcp.tool_call.response_bytes is
    'Size in bytes of what reaches the model of the answer; null: measured as bcp.tool_usage_logs.response_bytes says.';

comment on column bcp.tool_call.response_tokens is
    'Tokens that the answer takes of the model''s context; null: estimated from response_bytes.';

comment on column bcp.tool_call.user_id is 'Who called.';

comment on column bcp.tool_call.session_id is 'Session.';

comment on column bcp.tool_call.conversation_id is 'Conversation; if given, it is also the session.';

comment on column bcp.tool_call.request_id is 'Id of the request.';

comment on column bcp.tool_call.trace_id is 'Trace id of W3C traceparent.';

comment on column bcp.tool_call.client_name is 'Name of the calling client.';

comment on column bcp.tool_call.client_version is 'Version of the calling client.';

comment on column bcp.tool_call.client_model is 'Model that decided on the call.';

comment on column bcp.tool_call.release is 'Release of the tool''s code.';

comment on column bcp.tool_call.ip_address is 'Address of the client.';

comment on column bcp.tool_call.user_agent is 'User agent of the client.';

comment on column bcp.tool_call.attributes is 'JSON object of further fields to keep.';

create table bcp.error_logs (
    "timestamp" timestamptz not null,
    created_at timestamptz not null,
    event_id uuid not null,
    level bcp.error_level_enum not null,
    message text not null,
    fingerprint text not null,
    error_type text,
    error_code text,
    stack_trace text,
    bcp_name text,
    tool_name text,
    operation text,
    context jsonb not null default '{}',
    tool_context jsonb,
    user_id text,
    session_id text,
    request_id text,
    trace_id text,
    release text,
    resolved boolean not null default false,
    resolution_notes text,
    attributes jsonb
);

comment on table bcp.error_logs is 'One row per error, without personal data. Hypertable on timestamp.';

comment on column bcp.error_logs."timestamp" is 'When the error happened.';

comment on column bcp.error_logs.created_at is 'When the row was stored.';

comment on column bcp.error_logs.event_id is 'UUIDv7, or the UUID made from the id that the caller gave.';

comment on column bcp.error_logs.level is 'Severity.';

comment on column bcp.error_logs.message is 'Message, masked.';

comment on column bcp.error_logs.fingerprint is 'Groups errors of one cause: see bcp_internal.error_fingerprint.';

comment on column bcp.error_logs.error_type is 'Class of the error (OpenTelemetry: error.type).';

comment on column bcp.error_logs.error_code is 'Code that the application gave.';

comment on column bcp.error_logs.stack_trace is 'Stack trace, masked.';

comment on column bcp.error_logs.bcp_name is 'Bundle of tools.';

comment on column bcp.error_logs.tool_name is 'Tool, where one was involved.';

comment on column bcp.error_logs.operation is 'What was asked of the tool.';

comment on column bcp.error_logs.context is 'What the application knew when it failed, masked.';

comment on column bcp.error_logs.tool_context is 'Tool, operation and parameters, masked.';

comment on column bcp.error_logs.user_id is 'Whose call it was.';

comment on column bcp.error_logs.session_id is 'Session or conversation.';

comment on column bcp.error_logs.request_id is 'Id of the request.';

comment on column bcp.error_logs.trace_id is 'Trace id of W3C traceparent.';

comment on column bcp.error_logs.release is 'Release of the code that failed.';

-- The issue has the state, because marking each error would decompress months of chunks and refresh their aggregates.
comment on column bcp.error_logs.resolved is
    'Always false: whether an error is dealt with is the state of its issue, see the function bcp.error_issues.';

comment on column bcp.error_logs.resolution_notes is 'Always null: see bcp.issue_actions.';

comment on column bcp.error_logs.attributes is 'Fields of the event that have no column, masked.';

create table bcp.performance_metrics (
    "timestamp" timestamptz not null,
    created_at timestamptz not null,
    event_id uuid not null,
    metric_name text not null,
    metric_value double precision not null,
    labels jsonb not null default '{}',
    aggregation_period text not null default 'raw',
    attributes jsonb
);

comment on table bcp.performance_metrics is 'One row per measured value. Hypertable on timestamp.';

comment on column bcp.performance_metrics."timestamp" is 'When it was measured.';

comment on column bcp.performance_metrics.created_at is 'When the row was stored.';

comment on column bcp.performance_metrics.event_id is 'UUIDv7, or the UUID made from the id that the caller gave.';

comment on column bcp.performance_metrics.metric_name is
    'Name of the metric; say its unit in the name, such as queue_wait_ms.';

comment on column bcp.performance_metrics.metric_value is 'Value, in the unit that the name says.';

comment on column bcp.performance_metrics.labels is 'Labels of the series, masked.';

comment on column bcp.performance_metrics.aggregation_period is
    'raw, or the period the sender aggregated over: 1m, 5m, 1h or 1d.';

comment on column bcp.performance_metrics.attributes is 'Fields of the event that have no column, masked.';

create table bcp.users (
    user_id text primary key,
    first_seen timestamptz not null,
    last_seen timestamptz not null
);

comment on table bcp.users is 'One row per user that an event named.';

comment on column bcp.users.user_id is
    'The application''s id of the user; an e-mail address or the like is a keyed hash.';

comment on column bcp.users.first_seen is 'Time of the earliest event.';

comment on column bcp.users.last_seen is 'Time of the latest event, to the minute.';

create table bcp.user_sessions (
    session_id text primary key,
    user_id text,
    client_name text,
    client_version text,
    ip_address inet,
    user_agent text,
    started_at timestamptz not null,
    last_activity timestamptz not null,
    ended_at timestamptz,
    tool_calls_count bigint not null default 0,
    errors_count bigint not null default 0,
    attributes jsonb,
    resolved_by text not null default 'given'
        constraint user_sessions_resolved_by check (resolved_by in ('conversation', 'given', 'gap')),
    sent_by text not null default session_user
);

comment on table bcp.user_sessions is 'One row per session, kept by the ingest functions.';

comment on column bcp.user_sessions.session_id is 'Id of the session or conversation.';

comment on column bcp.user_sessions.user_id is 'Whose session it is.';

comment on column bcp.user_sessions.client_name is 'Name of the client.';

comment on column bcp.user_sessions.client_version is 'Version of the client.';

comment on column bcp.user_sessions.ip_address is 'Network of the client, cut to ip_prefix_v4 and ip_prefix_v6 bits.';

comment on column bcp.user_sessions.user_agent is 'User agent of the client, masked.';

comment on column bcp.user_sessions.started_at is 'Time of its earliest event.';

comment on column bcp.user_sessions.last_activity is 'Time of its latest event.';

comment on column bcp.user_sessions.ended_at is 'When it ended; null while it goes on or where nobody said.';

comment on column bcp.user_sessions.tool_calls_count is 'Tool calls stored for it, without lists of tools.';

comment on column bcp.user_sessions.errors_count is 'Of those, the ones that failed.';

comment on column bcp.user_sessions.attributes is 'Fields of the event that have no column, masked.';

comment on column bcp.user_sessions.resolved_by is
    'Where its id comes from. conversation: a conversation_id. given: a session_id. gap: the events named neither, and '
    'the store made the id up from user, client and time (bcp_internal.resolve_sessions).';

comment on column bcp.user_sessions.sent_by is
    'Role whose event began it. Only events of that role say whose session it is, from which address, and that it '
    'ended.';

create index user_sessions_last_activity_idx on bcp.user_sessions (last_activity);

create index user_sessions_user_id_idx on bcp.user_sessions (user_id, started_at);

-- For bcp_internal.resolve_sessions. Names of clients may be longer than an index entry can be.
create index user_sessions_client_idx
    on bcp.user_sessions (coalesce(user_id, ''), left(coalesce(client_name, ''), 100), last_activity);

select public.create_hypertable(
    'bcp.tool_usage_logs', public.by_range('start_time', interval '1 day'), create_default_indexes => false);

select public.create_hypertable(
    'bcp.error_logs', public.by_range('timestamp', interval '1 day'), create_default_indexes => false);

select public.create_hypertable(
    'bcp.performance_metrics', public.by_range('timestamp', interval '1 day'), create_default_indexes => false);

-- The GIN indexes are jsonb_path_ops: smaller and faster to keep than the default class, for @> and jsonpath.
create index tool_usage_logs_time_idx on bcp.tool_usage_logs (start_time desc);

create index tool_usage_logs_failed_idx on bcp.tool_usage_logs (start_time desc) where success = false;

create index tool_usage_logs_parameters_idx on bcp.tool_usage_logs using gin (parameters jsonb_path_ops);

create index error_logs_time_idx on bcp.error_logs ("timestamp" desc);

create index error_logs_level_idx on bcp.error_logs (level, "timestamp" desc);

create index error_logs_unresolved_idx on bcp.error_logs (fingerprint, "timestamp" desc) where resolved = false;

create index error_logs_context_idx on bcp.error_logs using gin (context jsonb_path_ops);

create index error_logs_tool_context_idx on bcp.error_logs using gin (tool_context jsonb_path_ops);

-- bcp.search_errors searches this expression, and repeats it. A type is found by its words too: TimeoutError by
-- timeout.
create index error_logs_search_idx on bcp.error_logs using gin (to_tsvector(
    'pg_catalog.english',
    message || ' ' || coalesce(error_type, '') || ' ' || coalesce(error_code, '') || ' ' || coalesce(tool_name, '')
        || ' ' || coalesce(regexp_replace(error_type, '(?<=[a-z0-9])(?=[A-Z])', ' ', 'g'), '')));

create index performance_metrics_name_idx on bcp.performance_metrics (metric_name, "timestamp" desc);

create index performance_metrics_labels_idx on bcp.performance_metrics using gin (labels jsonb_path_ops);

alter table bcp.tool_usage_logs set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'bcp_name',
    timescaledb.orderby = 'start_time desc'
);

alter table bcp.error_logs set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'level',
    timescaledb.orderby = '"timestamp" desc'
);

alter table bcp.performance_metrics set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'metric_name',
    timescaledb.orderby = '"timestamp" desc'
);

-- Where the server can, large values are compressed with lz4, which takes a fraction of the time of pglz. A chunk
-- inherits this from its hypertable.
do $block$
declare
    v_column record;
begin
    if 'lz4' = any ((select enumvals from pg_settings where name = 'default_toast_compression')::text[]) then
        for v_column in
            select a.attrelid::regclass as relation, a.attname
            from pg_attribute a
            where a.attrelid in (
                'bcp.tool_usage_logs'::regclass, 'bcp.error_logs'::regclass, 'bcp.performance_metrics'::regclass)
              and a.attnum > 0
              and a.atttypid in ('jsonb'::regtype, 'text'::regtype)
        loop
            execute format('alter table %s alter column %I set compression lz4', v_column.relation, v_column.attname);
        end loop;
    end if;
end
$block$;
