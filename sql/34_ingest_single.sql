-- Ingest of one event at a time, for callers that have no batch to send. Each event is a batch of one.

create or replace function bcp.log_tool_usage(
    p_bcp_name text, p_tool_name text, p_operation text default 'call', p_parameters jsonb default null,
    p_response_data jsonb default null, p_success boolean default null, p_error_message text default null,
    p_start_time timestamptz default null, p_end_time timestamptz default null,
    p_duration_ms double precision default null, p_user_id text default null, p_session_id text default null,
    p_event_id text default null, p_outcome text default null, p_error_type text default null,
    p_request_id text default null, p_trace_id text default null, p_client_name text default null,
    p_client_version text default null, p_client_model text default null, p_release text default null,
    p_request_bytes bigint default null, p_response_bytes bigint default null, p_ip_address inet default null,
    p_user_agent text default null, p_conversation_id text default null, p_response_tokens bigint default null,
    p_intent text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('tool_usage', null, jsonb_build_array(jsonb_build_object(
        'bcp_name', p_bcp_name, 'tool_name', p_tool_name, 'operation', p_operation, 'parameters', p_parameters,
        'response_data', p_response_data, 'success', p_success, 'error_message', p_error_message,
        'start_time', p_start_time, 'end_time', p_end_time, 'duration_ms', p_duration_ms, 'user_id', p_user_id,
        'session_id', p_session_id, 'event_id', p_event_id, 'outcome', p_outcome, 'error_type', p_error_type,
        'request_id', p_request_id, 'trace_id', p_trace_id, 'client_name', p_client_name,
        'client_version', p_client_version, 'client_model', p_client_model, 'release', p_release,
        'request_bytes', p_request_bytes, 'response_bytes', p_response_bytes, 'ip_address', host(p_ip_address),
        'user_agent', p_user_agent, 'conversation_id', p_conversation_id, 'response_tokens', p_response_tokens,
        'intent', p_intent)), null)
$func$;

comment on function bcp.log_tool_usage(
    text, text, text, jsonb, jsonb, boolean, text, timestamptz, timestamptz, double precision, text, text, text, text,
    text, text, text, text, text, text, text, bigint, bigint, inet, text, text, bigint, text) is
    'Takes in one tool call. Any two of start, end and duration (milliseconds) are enough; without a time it began '
    'now. p_outcome is success, soft_fail, error, timeout, cancelled or rejected; by default it is found from the '
    'rest, and it counts where p_success says otherwise. Success is null where the call was cancelled. '
    'p_response_tokens are what the answer takes of the model''s context, by default estimated from its bytes. '
    'p_intent is why the agent called, in its own words. An '
    'event id that comes again is a duplicate. The session is the conversation, else the session, else, where there is '
    'a user, found by user and client as the setting session_gap says.';

grant execute on function bcp.log_tool_usage to bcp_writer;

-- A field of a call stands in the type, in bcp_internal.event_fields and in this function. What reads and what stores
-- calls is made from the type (sql/30_tool_calls.sql, sql/31_ingest_tool_usage.sql), and tests hold Python to this
-- function. Where one place lacks a field, the load stops.
do $block$
declare
    v_lacking text;
begin
    with places (place, fields) as (
        values
            ('bcp.tool_call', array(
                select a.attname::text
                from pg_catalog.pg_attribute a
                where a.attrelid = 'bcp.tool_call'::regclass
                  and a.attnum > 0
                  and not a.attisdropped
                  and a.attname <> 'attributes')),
            ('bcp_internal.event_fields', bcp_internal.known_fields('tool_usage')),
            ('bcp.log_tool_usage', array(
                select substr(name, 3)
                from pg_catalog.pg_proc p
                cross join lateral unnest(p.proargnames) as name
                where p.pronamespace = 'bcp'::regnamespace and p.proname = 'log_tool_usage' and left(name, 2) = 'p_'))
    )
    select string_agg(distinct format('%s lacks %s', p.place, f.field), '; ')
    into v_lacking
    from places p
    cross join (select distinct unnest(fields) from places) as f (field)
    where f.field <> all (p.fields);
    if v_lacking is not null then
        raise exception 'a field of a tool call does not stand everywhere: %', v_lacking;
    end if;
end
$block$;

create or replace function bcp.log_error(
    p_level text, p_message text, p_error_type text default null, p_error_code text default null,
    p_stack_trace text default null, p_context jsonb default null, p_tool_context jsonb default null,
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_request_id text default null,
    p_trace_id text default null, p_release text default null, p_fingerprint text default null,
    p_timestamp timestamptz default null, p_event_id text default null,
    p_conversation_id text default null, p_client_name text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('errors', null, jsonb_build_array(jsonb_build_object(
        'level', p_level, 'message', p_message, 'error_type', p_error_type, 'error_code', p_error_code,
        'stack_trace', p_stack_trace, 'context', p_context, 'tool_context', p_tool_context, 'bcp_name', p_bcp_name,
        'tool_name', p_tool_name, 'operation', p_operation, 'user_id', p_user_id, 'session_id', p_session_id,
        'request_id', p_request_id, 'trace_id', p_trace_id, 'release', p_release, 'fingerprint', p_fingerprint,
        'timestamp', p_timestamp, 'event_id', p_event_id, 'conversation_id', p_conversation_id)
        || jsonb_strip_nulls(jsonb_build_object('client_name', p_client_name))), null)
$func$;

comment on function bcp.log_error(
    text, text, text, text, text, jsonb, jsonb, text, text, text, text, text, text, text, text, text, timestamptz, text,
    text, text) is
    'Takes in one error. p_level is debug, info, warn, error or fatal. p_tool_context may name bcp, tool and '
    'operation. The error happened now, unless p_timestamp says when. p_fingerprint puts it into an issue of yours; '
    'without one it is made from the error. The session is found like that of a call.';

grant execute on function bcp.log_error to bcp_writer;

create or replace function bcp.record_metric(
    p_metric_name text, p_metric_value double precision, p_labels jsonb default null,
    p_aggregation_period text default 'raw', p_timestamp timestamptz default null, p_event_id text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('metrics', null, jsonb_build_array(jsonb_build_object(
        'metric_name', p_metric_name, 'metric_value', p_metric_value, 'labels', p_labels,
        'aggregation_period', p_aggregation_period, 'timestamp', p_timestamp, 'event_id', p_event_id)), null)
$func$;

comment on function bcp.record_metric(text, double precision, jsonb, text, timestamptz, text) is
    'Takes in one value of a metric. Put its unit into its name, as in queue_wait_ms. p_aggregation_period is what the '
    'value sums up: raw, 1m, 5m, 1h or 1d. It was measured now, unless p_timestamp says when.';

grant execute on function bcp.record_metric to bcp_writer;

create or replace function bcp.touch_session(
    p_session_id text, p_user_id text default null, p_client_name text default null,
    p_client_version text default null, p_ip_address inet default null, p_user_agent text default null,
    p_time timestamptz default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('sessions', null, jsonb_build_array(jsonb_build_object(
        'session_id', p_session_id, 'user_id', p_user_id, 'client_name', p_client_name,
        'client_version', p_client_version, 'ip_address', host(p_ip_address), 'user_agent', p_user_agent,
        'last_activity', p_time)), null)
$func$;

comment on function bcp.touch_session(text, text, text, text, inet, text, timestamptz) is
    'Makes a session, or records that it is active at a time, now by default.';

grant execute on function bcp.touch_session to bcp_writer;

create or replace function bcp.end_session(
    p_session_id text, p_time timestamptz default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('sessions', null, jsonb_build_array(jsonb_build_object(
        'session_id', p_session_id, 'ended_at', coalesce(p_time, bcp_internal.now()))), null)
$func$;

comment on function bcp.end_session(text, timestamptz) is 'Ends a session at a time, now by default.';

grant execute on function bcp.end_session to bcp_writer;

create or replace function bcp.begin_tool_call(
    p_bcp_name text, p_tool_name text, p_operation text default 'call', p_parameters jsonb default null,
    p_user_id text default null, p_session_id text default null, p_start_time timestamptz default null,
    p_request_id text default null, p_client_name text default null, p_client_model text default null,
    p_conversation_id text default null, p_intent text default null)
returns uuid
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
-- With a caller's setting of off, PostgreSQL would read the strings in these functions in another way than they are
-- written.
set standard_conforming_strings = on
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_start constant timestamptz := coalesce(
        bcp_internal.event_time(
            'start_time', p_start_time::text, v_now - bcp_internal.setting('max_event_age')::interval,
            v_now + bcp_internal.setting('max_event_lead')::interval),
        v_now);
    v_id constant uuid := bcp_internal.uuidv7(v_start);
    v_event jsonb := jsonb_build_object(
        'bcp_name', p_bcp_name, 'tool_name', p_tool_name, 'operation', p_operation, 'parameters', p_parameters,
        'user_id', p_user_id, 'session_id', p_session_id, 'start_time', v_start, 'event_id', v_id,
        'request_id', p_request_id, 'client_name', p_client_name, 'client_model', p_client_model,
        'conversation_id', p_conversation_id, 'request_bytes', octet_length(p_parameters::text), 'intent', p_intent);
    v_problem text := bcp_internal.event_problem('tool_usage', v_event);
begin
    perform bcp_internal.check_floods();
    if v_problem is not null then
        v_event := bcp_internal.repaired_event('tool_usage', v_event);
        v_problem := bcp_internal.event_problem('tool_usage', v_event);
    end if;
    if v_problem is not null then
        raise exception using errcode = 'ZB005', message = v_problem;
    end if;
    begin
        insert into bcp.open_tool_calls (event_id, started_at, event)
        select v_id, v_start, m.e || coalesce(m.attributes, '{}')
        from bcp_internal.mask_events('tool_usage', array[v_event]) as m;
    exception
        when sqlstate 'ZB005' then
            v_event := bcp_internal.maskable_event('tool_usage', bcp_internal.repaired_event('tool_usage', v_event));
            insert into bcp.open_tool_calls (event_id, started_at, event)
            select v_id, v_start, m.e || coalesce(m.attributes, '{}')
            from bcp_internal.mask_events('tool_usage', array[v_event]) as m;
    end;
    return v_id;
end
$func$;

comment on function bcp.begin_tool_call(
    text, text, text, jsonb, text, text, timestamptz, text, text, text, text, text) is
    'Notes that a call began, and returns the id to end it with. Until it ends, bcp.open_tool_calls shows it. ZB005 '
    'where it could not be stored.';

grant execute on function bcp.begin_tool_call to bcp_writer;

create or replace function bcp.end_tool_call(
    p_event_id uuid, p_success boolean default null, p_response_data jsonb default null,
    p_error_message text default null, p_error_type text default null, p_outcome text default null,
    p_response_bytes bigint default null, p_end_time timestamptz default null, p_response_tokens bigint default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_event constant jsonb := jsonb_build_object(
        'event_id', p_event_id, 'success', p_success, 'response_data', p_response_data,
        'error_message', p_error_message,
        'error_type', p_error_type, 'outcome', p_outcome, 'response_bytes', p_response_bytes,
        'response_tokens', p_response_tokens,
        'end_time', coalesce(p_end_time, bcp_internal.now()));
    v_begun jsonb;
begin
    delete from bcp.open_tool_calls where event_id = p_event_id returning event into v_begun;
    if v_begun is not null then
        select * into accepted, stored, duplicates, rejected
        from bcp_internal.ingest('tool_usage', null, jsonb_build_array(v_begun || v_event), null);
    elsif exists (select from bcp_internal.event_keys where event_id = p_event_id and kind = 'tool_usage') then
        -- The call has ended before. For a duplicate only its id matters; the names make its shape right.
        select * into accepted, stored, duplicates, rejected
        from bcp_internal.ingest('tool_usage', null, jsonb_build_array(
            v_event - '{success,outcome}'::text[] || '{"bcp_name": "-", "tool_name": "-"}'), null);
    else
        select * into accepted, stored, duplicates, rejected
        from bcp_internal.ingest('tool_usage', null, '[]', null, jsonb_build_array(jsonb_build_object(
            'event', v_event, 'octets', octet_length(v_event::text), 'problem', 'no call with this id is open')));
    end if;
end
$func$;

comment on function bcp.end_tool_call(uuid, boolean, jsonb, text, text, text, bigint, timestamptz, bigint) is
    'Ends a call that bcp.begin_tool_call began, now by default, and stores it. A call that is ended twice is a '
    'duplicate; one that never began is rejected.';

grant execute on function bcp.end_tool_call to bcp_writer;
