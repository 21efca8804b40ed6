-- Ingest of tool calls. They come as JSON or as rows, and become rows at once: a batch is typed, masked and stored by
-- a few statements over all of it.

create or replace function bcp_internal.read_tool_calls(p_events jsonb[]) returns bcp.tool_call[]
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
    select array_agg(
        row(
            r.event_id, r.bcp_name, r.tool_name, r.operation,
            -- What does not look like a time goes where it is told so.
            case when r.start_time like '____-__-__T__:__%' then r.start_time::timestamptz
                else bcp_internal.event_time('start_time', r.start_time, '-infinity', 'infinity') end,
            case when r.end_time like '____-__-__T__:__%' then r.end_time::timestamptz
                else bcp_internal.event_time('end_time', r.end_time, '-infinity', 'infinity') end,
            r.duration_ms, r.success, r.outcome, r.error_type, r.error_message, r.parameters, r.response_data,
            r.request_bytes, r.response_bytes, r.response_tokens, r.user_id, r.session_id, r.conversation_id, r.request_id, r.trace_id,
            r.client_name, r.client_version, r.client_model, r.release, r.ip_address, r.user_agent,
            nullif(d.e - k.names, '{}')
        )::bcp.tool_call order by d.n)
    from unnest(p_events) with ordinality as d (e, n)
    cross join lateral jsonb_to_record(d.e) as r (
        event_id text, bcp_name text, tool_name text, operation text, start_time text, end_time text,
        duration_ms double precision, success boolean, outcome text, error_type text, error_message text,
        parameters jsonb, response_data jsonb, request_bytes bigint, response_bytes bigint, response_tokens bigint, user_id text,
        session_id text, conversation_id text, request_id text, trace_id text, client_name text, client_version text,
        client_model text, release text, ip_address inet, user_agent text)
    cross join bcp_internal.known_fields('tool_usage') as k (names)
$func$;

comment on function bcp_internal.read_tool_calls(jsonb[]) is
    'Events whose shape is right as rows, in their order; raises where a value is not of its column''s type.';

create or replace function bcp_internal.write_tool_call(p_call bcp.tool_call) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select case jsonb_typeof((p_call).attributes) when 'object' then (p_call).attributes else '{}' end
        || coalesce(jsonb_object_agg(key, value) filter (where value <> 'null' and key <> 'attributes'), '{}')
    from jsonb_each(to_jsonb(p_call))
$func$;

comment on function bcp_internal.write_tool_call(bcp.tool_call) is 'The event that a row stands for.';

create or replace function bcp_internal.check_tool_calls(
    p_calls bcp.tool_call[], p_now timestamptz, out starts timestamptz[], out ends timestamptz[], out ids uuid[],
    out problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_oldest constant timestamptz := p_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := p_now + bcp_internal.setting('max_event_lead')::interval;
    v_blank constant text := E' \t\n\r\f\x0b';
    -- No call that began and ended within these bounds took longer. To multiply a longer one may not give an interval.
    v_longest constant double precision := extract(epoch from v_latest - v_oldest) * 1000;
begin
    select array_agg(s.start_time), array_agg(s.end_time), array_agg(s.id), min(s.problem)
    into starts, ends, ids, problem
    from (
        select
            t.start_time, t.end_time,
            case when c.event_id <> '' then bcp_internal.event_uuid(c.event_id) end as id,
            case
                when c.bcp_name is null then 'bcp_name is missing'
                when c.tool_name is null then 'tool_name is missing'
                when length(c.bcp_name) > 500 then 'bcp_name is longer than 500 characters'
                when length(c.tool_name) > 500 then 'tool_name is longer than 500 characters'
                when btrim(c.bcp_name, v_blank) = '' then 'bcp_name is empty'
                when btrim(c.tool_name, v_blank) = '' then 'tool_name is empty'
                when greatest(
                    length(c.operation), length(c.user_id), length(c.session_id), length(c.conversation_id),
                    length(c.event_id)) > 500 then 'an id is longer than 500 characters'
                when '' in (
                    btrim(nullif(c.operation, ''), v_blank), btrim(nullif(c.user_id, ''), v_blank),
                    btrim(nullif(c.session_id, ''), v_blank), btrim(nullif(c.conversation_id, ''), v_blank),
                    btrim(nullif(c.event_id, ''), v_blank)) then 'an id is empty'
                when c.duration_ms < 0 then 'duration_ms is negative'
                when c.duration_ms > v_longest then 'duration_ms is longer than the setting max_event_age allows'
                when c.request_bytes not between 0 and 1099511627776 then 'request_bytes is not from 0 to 2^40'
                when c.response_bytes not between 0 and 1099511627776 then 'response_bytes is not from 0 to 2^40'
                when c.response_tokens not between 0 and 1099511627776 then 'response_tokens is not from 0 to 2^40'
                when t.start_time < v_oldest then 'start_time is longer ago than the setting max_event_age allows'
                when t.start_time > v_latest then 'start_time is later than the setting max_event_lead allows'
                when t.end_time < v_oldest then 'end_time is longer ago than the setting max_event_age allows'
                when t.end_time > v_latest then 'end_time is later than the setting max_event_lead allows'
                when t.end_time < t.start_time then 'end_time is before start_time'
                when c.outcome <> all (bcp_internal.outcomes())
                    then 'outcome is none of ' || array_to_string(bcp_internal.outcomes(), ', ')
                when c.success <> (c.outcome = 'success') and bcp_internal.contradicts(c.outcome, c.success)
                    then 'success contradicts outcome'
                when jsonb_typeof(c.attributes) <> 'object' then 'attributes is no object'
            end as problem
        from unnest(p_calls) with ordinality as c
        cross join lateral (
            select
                case when c.duration_ms <= v_longest then c.duration_ms end * interval '1 millisecond' as duration,
                coalesce(c.end_time, p_now) as end_time
        ) as d
        -- Any two of start, end and duration will do. What cannot be known stays null; a call without a time
        -- began now.
        cross join lateral (
            select
                coalesce(c.start_time, d.end_time - coalesce(d.duration, interval '0')) as start_time,
                case
                    when c.start_time is not null then coalesce(c.end_time, c.start_time + d.duration)
                    when d.duration is not null then d.end_time
                end as end_time
        ) as t
        order by c.ordinality
    ) as s;
end
$func$;

comment on function bcp_internal.check_tool_calls(bcp.tool_call[], timestamptz) is
    'Start, end and given id of each tool call, and what is wrong with one of them, null where nothing is.';

create or replace function bcp_internal.goes_to_columnstore(p_calls bcp.tool_call[]) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_rows constant integer := bcp_internal.setting('direct_columnstore_rows');
begin
    -- Compressed rows are in no index, and how many there are of a bundle in a chunk decides how small they get. Sound
    -- from TimescaleDB 2.28.1 on.
    return v_rows > 0
        and cardinality(p_calls) >= v_rows
        and bcp_internal.setting('index_parameters') = 'off'
        and bcp_internal.timescaledb_version() >= '{2,28,1}'
        and (select count(*) >= v_rows * count(distinct (bcp_name, date_trunc('day', start_time, 'UTC'))) from unnest(p_calls));
end
$func$;

comment on function bcp_internal.goes_to_columnstore(bcp.tool_call[]) is
    'Whether a batch of tool calls is stored compressed at once, as the setting direct_columnstore_rows says.';

create or replace function bcp_internal.store_tool_calls(p_calls bcp.tool_call[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, whose elements are found by counting from its start.
set plan_cache_mode = force_generic_plan
-- The planner expects many rows of functions that return few, and compiling takes a second.
set jit = off
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_bits_v4 constant integer := bcp_internal.setting('ip_prefix_v4');
    v_bits_v6 constant integer := bcp_internal.setting('ip_prefix_v6');
    v_count constant integer := cardinality(p_calls);
    v_version constant integer[] := bcp_internal.timescaledb_version();
    t record;
    v_late integer[];
    m record;
    v_new uuid[];
    v_fresh boolean[];
    v_sessions text[];
    v_resolved_by text[];
    v_one record;
    v_stored bigint;
begin
    t := bcp_internal.check_tool_calls(p_calls, v_now);
    if t.problem is not null then
        raise exception using errcode = 'ZB005', message = t.problem;
    end if;
    -- TimescaleDB 2.22 to 2.25 leaves generated columns empty but in the first row that a statement inserts into a chunk
    -- of the columnstore (its issue 9314): there each late call gets a statement of its own.
    if v_count > 1 and v_version >= '{2,22}' and v_version < '{2,26}' then
        v_late := array(
            select u.n
            from unnest(t.starts) with ordinality as u (start, n)
            join timescaledb_information.chunks k on u.start >= k.range_start and u.start < k.range_end
            where k.hypertable_schema = 'bcp' and k.hypertable_name = 'tool_usage_logs' and k.is_compressed);
        if v_late <> '{}' then
            v_stored := 0;
            for v_one in
                select array_agg(p_calls[n] order by n) as calls
                from generate_subscripts(p_calls, 1) as n
                group by case when n = any (v_late) then n end
                order by min(n)
            loop
                v_stored := v_stored + bcp_internal.store_tool_calls(v_one.calls);
            end loop;
            return v_stored;
        end if;
    end if;
    m := bcp_internal.mask_tool_calls(p_calls);
    perform bcp_internal.note_names(
        'tool', array(select concat_ws('/', c.bcp_name, c.tool_name, c.operation) from unnest(m.calls) as c));
    -- True where it has not come before, else null: of a condition that is mostly met the planner knows only this one,
    -- and below ten rows expected nothing goes into the columnstore at once.
    v_fresh := array_fill(true, array[v_count]);
    if cardinality(array_remove(t.ids, null)) > 0 then
        v_new := array(select bcp_internal.new_keys('tool_usage', array_remove(t.ids, null)));
        v_fresh := array(
            select nullif(i.id is null or (k.id is not null and row_number() over (partition by i.id order by i.n) = 1), false)
            from unnest(t.ids) with ordinality as i (id, n)
            left join unnest(v_new) as k (id) using (id)
            order by i.n);
    end if;
    select
        array_agg(coalesce(nullif(c.conversation_id, ''), nullif(c.session_id, '')) order by c.ordinality),
        array_agg(case when c.conversation_id <> '' then 'conversation' when c.session_id <> '' then 'given' end
            order by c.ordinality)
    into v_sessions, v_resolved_by
    from unnest(m.calls) with ordinality as c;
    if array_position(v_sessions, null) is not null then
        for v_one in
            select r.*
            from (
                select
                    array_agg(c.ordinality) as numbers, array_agg(nullif(c.user_id, '')) as users,
                    array_agg(c.client_name) as clients, array_agg(v_sessions[c.ordinality]) as given,
                    array_agg(t.starts[c.ordinality]) as starts, array_agg(t.ends[c.ordinality]) as ends
                from unnest(m.calls) with ordinality as c
                where v_fresh[c.ordinality]
            ) as f
            cross join lateral bcp_internal.resolve_sessions(
                f.numbers, f.users, f.clients, f.given, f.starts, f.ends) as r
        loop
            v_sessions[v_one.n] := v_one.session_id;
            v_resolved_by[v_one.n] := case when v_one.is_new then 'gap' end;
        end loop;
    end if;
    perform bcp_internal.store_as_usual();
    if bcp_internal.goes_to_columnstore(m.calls) then
        perform set_config('timescaledb.enable_direct_compress_insert', 'on', true);
    end if;
    with placed as materialized (
        select
            o.*,
            -- What was cancelled is neither a success nor a failure.
            case when o.outcome <> 'cancelled' then o.outcome = 'success' end as success
        from (
            select
                c.*,
                nullif(c.call_user, '') as user_id,
                coalesce(c.masked_parameters, nullif(c.call_parameters, 'null')) as parameters,
                coalesce(c.masked_response, nullif(c.call_response, 'null')) as response_data,
                coalesce(c.masked_answer, nullif(c.call_response, 'null')) as answer,
                case
                    when c.ip is null then null
                    when family(c.ip) = 4 then network(set_masklen(c.ip, least(v_bits_v4, masklen(c.ip))))::inet
                    when not c.ip <<= '::ffff:0:0/96' then network(set_masklen(c.ip, least(v_bits_v6, masklen(c.ip))))::inet
                    else bcp_internal.anonymize_ip(c.ip)
                end as ip_address,
                case
                    when c.call_outcome is not null then c.call_outcome
                    when c.call_success then 'success'
                    else bcp_internal.classify_outcome(
                        c.call_success, c.call_error_type, c.error_message,
                        coalesce(c.masked_answer, nullif(c.call_response, 'null')), c.call_attributes ->> 'cancelled_by')
                end as outcome
            from unnest(
                m.calls, v_fresh, t.starts, t.ends, t.ids, v_sessions, v_resolved_by, m.parameters, m.response_data,
                m.attributes, m.answers, m.request_bytes, m.response_bytes
            ) as c (
                event_id, bcp_name, tool_name, operation, call_start, call_end, duration_ms, call_success, call_outcome,
                call_error_type, error_message, call_parameters, call_response, call_request_bytes, call_response_bytes,
                response_tokens, call_user, call_session, conversation_id, request_id, trace_id, client_name, client_version, client_model,
                release, ip, user_agent, call_attributes,
                fresh, start_time, end_time, id, session_id, resolved_by, masked_parameters, masked_response,
                masked_attributes, masked_answer, request_bytes, response_bytes)
            where c.fresh is not null
            -- So that no outcome is found twice.
            offset 0
        ) as o
    ), stored as (
        insert into bcp.tool_usage_logs (
            start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, error_type,
            error_message, parameters, response_data, request_bytes, response_bytes, response_tokens, user_id, session_id, request_id,
            trace_id, client_name, client_version, client_model, release, ip_address, user_agent, attributes,
            suspect_success)
        select
            p.start_time, p.end_time, v_now, coalesce(p.id, bcp_internal.uuidv7(p.start_time)), p.bcp_name, p.tool_name,
            coalesce(nullif(p.operation, ''), 'call'), p.success, p.outcome,
            case
                when p.call_error_type <> '' or p.outcome is null or p.outcome = 'success' then p.call_error_type
                else bcp_internal.classify_error_type(p.error_message, p.answer)
            end,
            p.error_message, p.parameters, p.response_data,
            coalesce(p.call_request_bytes, p.request_bytes), coalesce(p.call_response_bytes, p.response_bytes), p.response_tokens,
            p.user_id, p.session_id, p.request_id, p.trace_id, p.client_name, p.client_version, p.client_model,
            p.release, p.ip_address, p.user_agent,
            case
                -- A session_id beside a conversation_id has no column.
                when p.conversation_id <> '' and nullif(p.call_session, '') <> p.conversation_id
                    then bcp_internal.truncate_json(
                        coalesce(p.masked_attributes, p.call_attributes, '{}') || jsonb_build_object('session_id', p.call_session),
                        v_max_document)
                else coalesce(p.masked_attributes, nullif(p.call_attributes, '{}'))
            end,
            bcp_internal.suspect_success(p.success, p.answer)
        from placed p
    ), touched as (
        select
            bcp_internal.touch_users(array_agg(p.user_id), array_agg(p.start_time)),
            bcp_internal.touch_sessions(array_agg(row(
                p.session_id, p.user_id, p.client_name, p.client_version, p.ip_address, p.user_agent, p.start_time,
                coalesce(p.end_time, p.start_time), null,
                -- A list of tools is no call.
                (p.operation is distinct from 'tools/list')::integer,
                (p.operation is distinct from 'tools/list' and not coalesce(p.success, true))::integer, null,
                p.resolved_by, null
            )::bcp.user_sessions))
        from placed p
    )
    select count(*) into v_stored from placed, touched;
    perform bcp_internal.store_as_usual();
    return v_stored;
end
$func$;

comment on function bcp_internal.store_tool_calls(bcp.tool_call[]) is
    'Masks and stores tool calls, and returns how many were new; raises where one cannot be stored.';

create or replace function bcp_internal.store_tool_usage(p_events jsonb[]) returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.store_tool_calls(bcp_internal.read_tool_calls(p_events))
$func$;

comment on function bcp_internal.store_tool_usage(jsonb[]) is
    'As bcp_internal.store_tool_calls, of events whose shape is right.';

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_calls bcp.tool_call[], p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
-- As in bcp_internal.ingest.
set standard_conforming_strings = on
as $func$
declare
    v_max_bytes constant bigint := bcp_internal.setting('max_event_bytes');
begin
    begin
        if cardinality(p_calls) > 0 and array_position(p_calls, null) is null and (
            pg_column_size(p_calls) <= v_max_bytes
            or not exists (select from unnest(p_calls) as c where pg_column_size(c) > v_max_bytes))
        then
            accepted := cardinality(p_calls);
            rejected := 0;
            stored := case
                when bcp_internal.claim_batch('tool_usage', p_batch_id) then bcp_internal.store_tool_calls(p_calls)
                else 0
            end;
            duplicates := accepted - stored;
            perform bcp_internal.book_batch(
                'tool_usage', bcp_internal.source_name(p_source), p_batch_id, accepted, stored, duplicates, rejected);
            return;
        end if;
    exception
        when others then
            -- One of them cannot be stored. As events they are told apart, and what is nobody's fault raises again.
            null;
    end;
    select i.* into accepted, stored, duplicates, rejected
    from bcp_internal.ingest(
        'tool_usage', p_batch_id,
        case when p_calls is not null then
            coalesce((
                select jsonb_agg(bcp_internal.write_tool_call(c) order by n)
                from (select c, row_number() over () as n from unnest(p_calls) as c) as calls
            ), '[]')
        end, p_source) as i;
end
$func$;

comment on function bcp.ingest_tool_usage(uuid, bcp.tool_call[], text) is
    'The same for calls as rows: array_agg(row(...)::bcp.tool_call) of another table, or an array in the binary format, which is the fastest way in. Rows and JSON are checked, repaired, masked, rejected and booked alike.';

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
    'Takes in an array of tool calls: accepted = stored + duplicates + rejected. A batch id, or an event_id, that comes again within the setting dedup_window is a duplicate; a bad value is repaired, and named in attributes._repaired; an event without a name is kept in bcp.rejected_events and fails nothing else. p_source defaults to application_name, and is masked. ZB001 where the batch is no array.';

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
    'The same for a batch as text: an event that jsonb cannot hold (a NUL, half a surrogate pair) is repaired instead of failing the call.';
