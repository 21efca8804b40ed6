-- Ingest of tool calls.

create or replace function bcp_internal.call_times(
    p_event jsonb, p_now timestamptz, p_oldest timestamptz, p_latest timestamptz,
    out start_time timestamptz, out end_time timestamptz)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_duration constant interval := (p_event ->> 'duration_ms')::double precision * interval '1 millisecond';
begin
    if v_duration < interval '0' then
        raise exception using errcode = 'ZB005', message = 'duration_ms is negative';
    end if;
    start_time := bcp_internal.event_time('start_time', p_event ->> 'start_time', p_oldest, p_latest);
    end_time := bcp_internal.event_time('end_time', p_event ->> 'end_time', p_oldest, p_latest);
    if start_time is null and end_time is null then
        end_time := p_now;
        start_time := end_time - coalesce(v_duration, interval '0');
        if v_duration is null then
            end_time := null;
        end if;
    elsif start_time is null then
        start_time := end_time - coalesce(v_duration, interval '0');
        if v_duration is null then
            end_time := null;
        end if;
    elsif end_time is null then
        end_time := start_time + v_duration;
    end if;
    if end_time < start_time then
        raise exception using errcode = 'ZB005', message = 'end_time is before start_time';
    end if;
end
$func$;

comment on function bcp_internal.call_times(jsonb, timestamptz, timestamptz, timestamptz) is
    'Start and end of a call from any two of start_time, end_time and duration_ms; what cannot be known stays null, and a call without a time began now.';

create or replace function bcp_internal.store_tool_usage(p_events jsonb[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := v_now + bcp_internal.setting('max_event_lead')::interval;
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_max_text constant integer := bcp_internal.setting('max_text_bytes');
    v_known constant text[] := bcp_internal.known_fields('tool_usage');
    -- A session_id beside a conversation_id has no column.
    v_outlived constant text[] := array_remove(v_known, 'session_id');
    v_stored bigint;
begin
    with masked as materialized (
        select m.n, m.raw, m.e
        from bcp_internal.mask_events(p_events, '{event_id,start_time,end_time,ip_address}') as m
    ), typed as materialized (
        select
            n,
            t.start_time,
            t.end_time,
            bcp_internal.event_uuid(bcp_internal.event_id(raw ->> 'event_id')) as given_id,
            bcp_internal.event_text('bcp_name', e ->> 'bcp_name', 500) as bcp_name,
            bcp_internal.event_text('tool_name', e ->> 'tool_name', 500) as tool_name,
            coalesce(bcp_internal.event_id(e ->> 'operation'), 'call') as operation,
            coalesce((e ->> 'success')::boolean, e ->> 'outcome' = 'success') as success,
            bcp_internal.call_outcome(
                e ->> 'outcome', (e ->> 'success')::boolean, e ->> 'error_type', e ->> 'error_message',
                e -> 'response_data') as outcome,
            case
                when e ->> 'error_type' <> '' or coalesce((e ->> 'success')::boolean, e ->> 'outcome' = 'success', true)
                    then e ->> 'error_type'
                else bcp_internal.classify_error_type(e ->> 'error_message', e -> 'response_data')
            end as error_type,
            bcp_internal.truncate_text(e ->> 'error_message', v_max_text) as error_message,
            bcp_internal.truncate_json(nullif(e -> 'parameters', 'null'), v_max_document) as parameters,
            bcp_internal.truncate_json(nullif(e -> 'response_data', 'null'), v_max_document) as response_data,
            coalesce((e ->> 'request_bytes')::bigint, octet_length(nullif(raw -> 'parameters', 'null')::text)) as request_bytes,
            coalesce((e ->> 'response_bytes')::bigint, octet_length(nullif(raw -> 'response_data', 'null')::text)) as response_bytes,
            bcp_internal.event_id(e ->> 'user_id') as user_id,
            bcp_internal.event_id(e ->> 'conversation_id') as conversation_id,
            bcp_internal.event_id(e ->> 'session_id') as given_session,
            e ->> 'request_id' as request_id,
            e ->> 'trace_id' as trace_id,
            e ->> 'client_name' as client_name,
            e ->> 'client_version' as client_version,
            e ->> 'client_model' as client_model,
            e ->> 'release' as release,
            bcp_internal.event_ip(raw ->> 'ip_address') as ip_address,
            e ->> 'user_agent' as user_agent,
            bcp_internal.truncate_json(nullif(e - case
                when e ->> 'conversation_id' <> '' and e ->> 'session_id' <> e ->> 'conversation_id' then v_outlived
                else v_known
            end, '{}'), v_max_document) as attributes,
            bcp_internal.suspect_success(
                coalesce((e ->> 'success')::boolean, e ->> 'outcome' = 'success'),
                nullif(e -> 'response_data', 'null')) as suspect_success
        from masked
        cross join lateral bcp_internal.call_times(raw, v_now, v_oldest, v_latest) as t
    ), keys as materialized (
        select id from bcp_internal.new_keys(
            'tool_usage', array(select given_id from typed where given_id is not null)) as id
    ), fresh as materialized (
        select * from typed where given_id is null
        union all
        (select distinct on (given_id) typed.* from typed join keys on keys.id = given_id order by given_id, n)
    ), resolved as materialized (
        select r.n, r.session_id, case when r.is_new then 'gap' end as resolved_by
        from (
            select array_agg(n), array_agg(user_id), array_agg(client_name),
                   array_agg(coalesce(conversation_id, given_session)), array_agg(start_time), array_agg(end_time)
            from fresh
        ) as f (numbers, users, clients, given, starts, ends)
        cross join lateral bcp_internal.resolve_sessions(numbers, users, clients, given, starts, ends) as r
    ), placed as materialized (
        select
            fresh.*,
            coalesce(conversation_id, given_session, resolved.session_id) as session_id,
            case
                when conversation_id is not null then 'conversation'
                when given_session is not null then 'given'
                else resolved.resolved_by
            end as resolved_by
        from fresh
        left join resolved using (n)
    ), stored as (
        insert into bcp.tool_usage_logs (
            start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, error_type,
            error_message, parameters, response_data, request_bytes, response_bytes, user_id, session_id, request_id,
            trace_id, client_name, client_version, client_model, release, ip_address, user_agent, attributes,
            suspect_success)
        select
            start_time, end_time, v_now, coalesce(given_id, bcp_internal.uuidv7(start_time)), bcp_name, tool_name,
            operation, success, outcome, error_type, error_message, parameters, response_data, request_bytes,
            response_bytes, user_id, session_id, request_id, trace_id, client_name, client_version, client_model,
            release, ip_address, user_agent, attributes, suspect_success
        from placed
    ), touched as (
        select
            bcp_internal.touch_users(array_agg(user_id), array_agg(start_time)),
            bcp_internal.touch_sessions(array_agg(row(
                session_id, user_id, client_name, client_version, ip_address, user_agent, start_time,
                coalesce(end_time, start_time), null, 1, (not coalesce(success, true))::integer, null,
                resolved_by
            )::bcp.user_sessions order by n))
        from placed
    )
    select count(*) into v_stored from placed, touched;
    return v_stored;
end
$func$;

comment on function bcp_internal.store_tool_usage(jsonb[]) is
    'Masks and stores tool calls whose shape is right, and returns how many were new; raises where one cannot be stored.';

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_events jsonb, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('tool_usage', p_batch_id, p_events, p_source)
$func$;

comment on function bcp.ingest_tool_usage(uuid, jsonb, text) is
    'Takes in an array of tool calls: accepted = stored + duplicates + rejected. A batch id, or an event_id, that comes again within the setting dedup_window is a duplicate; a bad event is kept in bcp.rejected_events and fails nothing else. p_source defaults to application_name. ZB001 where the batch is no array.';

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_events_text text, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- As above.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest_text('tool_usage', p_batch_id, p_events_text, p_source)
$func$;

comment on function bcp.ingest_tool_usage(uuid, text, text) is
    'The same for a batch as text: one event that jsonb cannot hold (a NUL, half a surrogate pair) is rejected alone instead of failing the call.';
