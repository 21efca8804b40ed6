-- Ingest of tool calls. They come as JSON or as rows, and become rows at once, so that a few statements check, mask and
-- store a whole batch.

create or replace function bcp_internal.goes_to_columnstore(p_calls bcp.tool_call[]) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_rows constant integer := bcp_internal.setting('direct_columnstore_rows');
begin
    -- Compressed rows are in no index, and they only become small if a chunk gets many rows of a bundle at once. This
    -- works from TimescaleDB 2.28.1 on.
    return v_rows > 0
        and cardinality(p_calls) >= v_rows
        and bcp_internal.setting('index_parameters') = 'off'
        and bcp_internal.timescaledb_version() >= '{2,28,1}'
        and (
            select count(*) >= v_rows * count(distinct (bcp_name, date_trunc('day', start_time, 'UTC')))
            from unnest(p_calls));
end
$func$;

comment on function bcp_internal.goes_to_columnstore(bcp.tool_call[]) is
    'Whether a batch of tool calls is stored compressed at once, by the setting direct_columnstore_rows.';

create or replace function bcp_internal.calls_for_columnstore(p_starts timestamptz[]) returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(
        select u.n::integer
        from unnest(p_starts) with ordinality as u (start, n)
        join timescaledb_information.chunks k on u.start >= k.range_start and u.start < k.range_end
        where k.hypertable_schema = 'bcp' and k.hypertable_name = 'tool_usage_logs' and k.is_compressed);
end
$func$;

comment on function bcp_internal.calls_for_columnstore(timestamptz[]) is
    'Of the starts of calls the numbers of those that come late, for a chunk that is already in the columnstore.';

create or replace function bcp_internal.fresh(p_kind text, p_ids uuid[]) returns boolean[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_new uuid[];
begin
    if cardinality(array_remove(p_ids, null)) = 0 then
        return array_fill(true, array[cardinality(p_ids)]);
    end if;
    v_new := array(select bcp_internal.new_keys(p_kind, array_remove(p_ids, null)));
    return array(
        select nullif(
            i.id is null or (k.id is not null and row_number() over (partition by i.id order by i.n) = 1), false)
        from unnest(p_ids) with ordinality as i (id, n)
        left join unnest(v_new) as k (id) using (id)
        order by i.n);
end
$func$;

comment on function bcp_internal.fresh(text, uuid[]) is
    'Claims the ids of events. For each true where there is none or it comes for the first time, else null: a '
    'condition that some value is not null is the only one that the planner expects most rows to meet, and where it '
    'expects fewer than ten rows nothing goes into the columnstore at once.';

create or replace function bcp_internal.sessions_of_calls(
    p_calls bcp.tool_call[], p_fresh boolean[], p_starts timestamptz[], p_ends timestamptz[], out sessions text[],
    out resolved_by text[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_one record;
begin
    select
        array_agg(coalesce(nullif(c.conversation_id, ''), nullif(c.session_id, '')) order by c.ordinality),
        array_agg(case when c.conversation_id <> '' then 'conversation' when c.session_id <> '' then 'given' end
            order by c.ordinality)
    into sessions, resolved_by
    from unnest(p_calls) with ordinality as c;
    if array_position(sessions, null) is null then
        return;
    end if;
    for v_one in
        select r.*
        from (
            select
                array_agg(c.ordinality) as numbers, array_agg(nullif(c.user_id, '')) as users,
                array_agg(c.client_name) as clients, array_agg(sessions[c.ordinality]) as given,
                array_agg(p_starts[c.ordinality]) as starts, array_agg(p_ends[c.ordinality]) as ends
            from unnest(p_calls) with ordinality as c
            where p_fresh[c.ordinality]
        ) as f
        cross join lateral bcp_internal.resolve_sessions(
            f.numbers, f.users, f.clients, f.given, f.starts, f.ends) as r
    loop
        sessions[v_one.n] := v_one.session_id;
        resolved_by[v_one.n] := case when v_one.is_new then 'gap' end;
    end loop;
end
$func$;

comment on function bcp_internal.sessions_of_calls(bcp.tool_call[], boolean[], timestamptz[], timestamptz[]) is
    'The session of each call, its conversation before its session_id, else found by user and client; and how it was '
    'found, as in bcp.user_sessions.resolved_by: conversation, given, gap, or null where the session is stored '
    'already.';

-- Generated from the fields of bcp.tool_call: those that are stored as they come, in a column of the same name, are
-- copied without a change here. Any other needs a line of its own, and its name in v_treated.
do $block$
declare
    v_treated constant text[] := '{event_id,start_time,end_time,duration_ms,operation,success,outcome,error_type,'
        'parameters,response_data,request_bytes,response_bytes,user_id,session_id,conversation_id,ip_address,'
        'attributes,intent}';
    -- Answers are grouped and filtered by these, and there an empty text says as little as null does.
    v_named constant text[] := '{client_name,client_version,client_model,release}';
    -- What nothing but bcp_internal.insert_tool_calls' first step reads.
    v_read_once constant text[] := '{event_id,start_time,end_time,duration_ms,success,outcome,parameters,'
        'response_data,user_id,ip_address}';
    v_given text;
    v_kept text;
    v_plain text;
    v_values text;
    v_lacking text;
begin
    select
        string_agg(format('given_%s', a.attname), ', ' order by a.attnum),
        string_agg(format('o.given_%s', a.attname), ', ' order by a.attnum) filter (
            where a.attname <> all (v_read_once)),
        string_agg(format('%I', a.attname), ', ' order by a.attnum) filter (where a.attname <> all (v_treated)),
        string_agg(
            format(
                case when a.attname = any (v_named) then 'nullif(p.given_%s, '''')' else 'p.given_%s' end, a.attname),
            ', ' order by a.attnum)
            filter (where a.attname <> all (v_treated)),
        string_agg(a.attname, ', ' order by a.attnum) filter (where a.attname <> all (v_treated) and l.attname is null)
    into strict v_given, v_kept, v_plain, v_values, v_lacking
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attribute l
        on l.attrelid = 'bcp.tool_usage_logs'::regclass
        and l.attname = a.attname
        and l.atttypid = a.atttypid
        and not l.attisdropped
    where a.attrelid = 'bcp.tool_call'::regclass and a.attnum > 0 and not a.attisdropped;
    if v_lacking is not null then
        raise exception 'bcp.tool_usage_logs has no column for these fields of bcp.tool_call: %', v_lacking;
    end if;
    execute format(
        $statement$
            create or replace function bcp_internal.insert_tool_calls(
                p_calls bcp.tool_call[], p_fresh boolean[], p_starts timestamptz[], p_ends timestamptz[], p_ids uuid[],
                p_sessions text[], p_resolved_by text[], p_parameters jsonb[], p_response_data jsonb[],
                p_attributes jsonb[], p_answers jsonb[], p_request_bytes integer[], p_response_bytes integer[])
            returns bigint
            language plpgsql volatile
            set search_path = pg_catalog, pg_temp
            as $func$
            declare
                v_now constant timestamptz := bcp_internal.now();
                v_max_document constant integer := bcp_internal.setting('max_document_bytes');
                v_bits_v4 constant integer := bcp_internal.setting('ip_prefix_v4');
                v_bits_v6 constant integer := bcp_internal.setting('ip_prefix_v6');
                v_max_intent constant integer := 2000;
                v_uuid constant text := gen_random_uuid();
                v_random constant bigint := ('x' || left(v_uuid, 8) || right(v_uuid, 8))::bit(64)::bigint;
                v_stored bigint;
            begin
                with placed as materialized (
                    select
                        -- Not all, because what is here is copied.
                        %4$s, o.n, o.start_time, o.end_time, o.id, o.session_id, o.resolved_by, o.masked_attributes,
                        o.masked_answer, o.request_bytes, o.response_bytes, o.user_id, o.parameters, o.response_data,
                        o.ip_address, o.outcome,
                        -- What was cancelled is neither a success nor a failure.
                        case when o.outcome <> 'cancelled' then o.outcome = 'success' end as success
                    from (
                        select
                            c.*,
                            nullif(c.given_user_id, '') as user_id,
                            coalesce(c.masked_parameters, nullif(c.given_parameters, 'null')) as parameters,
                            coalesce(c.masked_response, nullif(c.given_response_data, 'null')) as response_data,
                            bcp_internal.cut_ip(c.given_ip_address, v_bits_v4, v_bits_v6) as ip_address,
                            case
                                when c.given_outcome is not null then c.given_outcome
                                when c.given_success then 'success'
                                else bcp_internal.classify_outcome(
                                    c.given_success, c.given_error_type, c.given_error_message,
                                    coalesce(c.masked_answer, nullif(c.given_response_data, 'null')),
                                    c.given_attributes ->> 'cancelled_by')
                            end as outcome
                        from unnest(
                            p_calls, p_fresh, p_starts, p_ends, p_ids, p_sessions, p_resolved_by, p_parameters,
                            p_response_data, p_attributes, p_answers, p_request_bytes, p_response_bytes
                        ) with ordinality as c (
                            %1$s,
                            fresh, start_time, end_time, id, session_id, resolved_by, masked_parameters,
                            masked_response, masked_attributes, masked_answer, request_bytes, response_bytes, n)
                        where c.fresh is not null
                        -- So that no outcome is found twice.
                        offset 0
                    ) as o
                ), stored as (
                    insert into bcp.tool_usage_logs (
                        start_time, end_time, created_at, event_id, operation, success, outcome, error_type, parameters,
                        response_data, request_bytes, response_bytes, user_id, session_id, ip_address, attributes,
                        suspect_success, intent, %2$s)
                    select
                        p.start_time, p.end_time, v_now,
                        coalesce(p.id, bcp_internal.uuidv7(p.start_time, v_random, p.n)),
                        coalesce(nullif(p.given_operation, ''), 'call'), p.success, p.outcome,
                        case
                            when p.given_error_type <> '' or p.outcome is null or p.outcome = 'success'
                                then p.given_error_type
                            else bcp_internal.classify_error_type(
                                p.given_error_message, coalesce(p.masked_answer, p.response_data))
                        end,
                        p.parameters, p.response_data, coalesce(p.given_request_bytes, p.request_bytes),
                        coalesce(p.given_response_bytes, p.response_bytes), p.user_id, p.session_id, p.ip_address,
                        case
                            -- A session_id beside a conversation_id has no column.
                            when p.given_conversation_id <> ''
                                and nullif(p.given_session_id, '') <> p.given_conversation_id
                                then bcp_internal.truncate_json(
                                    coalesce(p.masked_attributes, p.given_attributes, '{}')
                                        || jsonb_build_object('session_id', p.given_session_id),
                                    v_max_document)
                            else coalesce(p.masked_attributes, nullif(p.given_attributes, '{}'))
                        end,
                        bcp_internal.suspect_success(p.success, coalesce(p.masked_answer, p.response_data)),
                        case
                            when p.given_intent <> '' then bcp_internal.truncate_text(p.given_intent, v_max_intent)
                        end, %3$s
                    from placed p
                ), touched as (
                    select
                        bcp_internal.touch_users(array_agg(p.user_id), array_agg(p.start_time)),
                        bcp_internal.touch_sessions(array_agg(row(
                            p.session_id, p.user_id, nullif(p.given_client_name, ''),
                            nullif(p.given_client_version, ''), p.ip_address,
                            p.given_user_agent, p.start_time, coalesce(p.end_time, p.start_time), null,
                            -- A list of tools is no call.
                            (p.given_operation is distinct from 'tools/list')::integer,
                            (p.given_operation is distinct from 'tools/list'
                                and not coalesce(p.success, true))::integer,
                            null, p.resolved_by, null
                        )::bcp.user_sessions))
                    from placed p
                )
                select count(*) into v_stored from placed, touched;
                return v_stored;
            end
            $func$
        $statement$,
        v_given, v_plain, v_values, v_kept);
end
$block$;

comment on function bcp_internal.insert_tool_calls(
    bcp.tool_call[], boolean[], timestamptz[], timestamptz[], uuid[], text[], text[], jsonb[], jsonb[], jsonb[],
    jsonb[],
    integer[], integer[]) is
    'Stores those of the calls that are fresh, with their users and sessions, and returns how many. Calls, documents, '
    'answers and sizes are those of bcp_internal.mask_tool_calls; the other arrays have a value per call, too.';

create or replace function bcp_internal.store_tool_calls(p_calls bcp.tool_call[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and PostgreSQL finds an element of it by counting from its start.
set plan_cache_mode = force_generic_plan
-- The planner expects many rows from functions that return few, and then compiles the query, which takes a second.
set jit = off
as $func$
declare
    t record;
    m record;
    s record;
    -- An array of a record is copied each time that it is passed on.
    v_calls bcp.tool_call[];
    v_late integer[] := '{}';
    v_fresh boolean[];
    v_one record;
    v_stored bigint := 0;
begin
    t := bcp_internal.check_tool_calls(p_calls, bcp_internal.now());
    if t.problem is not null then
        raise exception using errcode = 'ZB005', message = t.problem;
    end if;
    if cardinality(p_calls) > 1 and bcp_internal.loses_generated_columns() then
        v_late := bcp_internal.calls_for_columnstore(t.starts);
    end if;
    if v_late <> '{}' then
        -- Only the first row of a statement is stored right, so each late call gets a statement of its own.
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
    m := bcp_internal.mask_tool_calls(p_calls);
    v_calls := m.calls;
    perform bcp_internal.note_names(
        'tool', array(select distinct concat_ws('/', c.bcp_name, c.tool_name, c.operation) from unnest(v_calls) as c));
    v_fresh := bcp_internal.fresh('tool_usage', t.ids);
    s := bcp_internal.sessions_of_calls(v_calls, v_fresh, t.starts, t.ends);
    perform bcp_internal.store_as_usual();
    if bcp_internal.goes_to_columnstore(v_calls) then
        perform set_config('timescaledb.enable_direct_compress_insert', 'on', true);
    end if;
    v_stored := bcp_internal.insert_tool_calls(
        v_calls, v_fresh, t.starts, t.ends, t.ids, s.sessions, s.resolved_by, m.parameters, m.response_data,
        m.attributes, m.answers, m.request_bytes, m.response_bytes);
    perform bcp_internal.store_as_usual();
    return v_stored;
end
$func$;

comment on function bcp_internal.store_tool_calls(bcp.tool_call[]) is
    'Masks and stores tool calls, and returns how many were new; raises where one cannot be stored.';

create or replace function bcp_internal.store_tool_usage(p_events jsonb[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    return bcp_internal.store_tool_calls(bcp_internal.read_tool_calls(p_events));
end
$func$;

comment on function bcp_internal.store_tool_usage(jsonb[]) is
    'Stores events whose shape is right, like bcp_internal.store_tool_calls.';

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_calls bcp.tool_call[], p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
-- With a caller's setting of off, PostgreSQL would read the strings in these functions in another way than they are
-- written.
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
            -- One of the calls cannot be stored. Taken in as events the bad ones are told apart; an error that is not
            -- the fault of an event is raised again.
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
    'Takes in tool calls as rows: array_agg(row(...)::bcp.tool_call) of another table, or an array in the binary '
    'format, which is the fastest way in. Rows and JSON are checked, repaired, masked, rejected and booked alike.';

grant execute on function bcp.ingest_tool_usage(uuid, bcp.tool_call[], text) to bcp_writer;

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_events jsonb, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    select i.* into accepted, stored, duplicates, rejected
    from bcp_internal.ingest('tool_usage', p_batch_id, p_events, p_source) as i;
end
$func$;

comment on function bcp.ingest_tool_usage(uuid, jsonb, text) is
    'Takes in an array of tool calls: accepted = stored + duplicates + rejected. A batch id or an event_id that comes '
    'again within the setting dedup_window is a duplicate. A bad value is repaired, and attributes._repaired names its '
    'field. An event without a name is kept in bcp.rejected_events, and fails no other event. p_source defaults to '
    'application_name, and is masked. ZB001 where the batch is no array.';

grant execute on function bcp.ingest_tool_usage(uuid, jsonb, text) to bcp_writer;

create or replace function bcp.ingest_tool_usage(
    p_batch_id uuid, p_events_text text, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    select i.* into accepted, stored, duplicates, rejected
    from bcp_internal.ingest_text('tool_usage', p_batch_id, p_events_text, p_source) as i;
end
$func$;

comment on function bcp.ingest_tool_usage(uuid, text, text) is
    'Takes in an array of tool calls as text: an event that jsonb cannot hold (a NUL, half a surrogate pair) is '
    'repaired instead of failing the call.';

grant execute on function bcp.ingest_tool_usage(uuid, text, text) to bcp_writer;
