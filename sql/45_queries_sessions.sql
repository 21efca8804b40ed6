-- Questions about sessions.

create or replace function bcp_internal.session_of(p_session_id text) returns setof bcp.user_sessions
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select s.*
    from bcp.user_sessions s
    where p_session_id is null or s.session_id = p_session_id
    order by s.last_activity desc, s.session_id
    limit 1
$func$;

comment on function bcp_internal.session_of is 'The session of an id; without one the session that was active last.';

grant execute on function bcp_internal.session_of to bcp_reader;

create or replace function bcp_internal.sessions_named(p_ids text[]) returns setof bcp.user_sessions
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select s.* from bcp.user_sessions s where s.session_id = any (p_ids)
$func$;

comment on function bcp_internal.sessions_named is 'The sessions of these ids.';

grant execute on function bcp_internal.sessions_named to bcp_reader;

create or replace function bcp_internal.sessions_begun(p_since timestamptz, p_until timestamptz)
returns setof bcp.user_sessions
language sql stable parallel safe
-- No search_path, so that it is inlined, as bcp_internal.calls.
as $func$
    select s.*
    from bcp.user_sessions s
    -- A session that began in the range was last active after its start, and last_activity has an index.
    where s.last_activity operator(pg_catalog.>=) p_since
      and s.started_at operator(pg_catalog.>=) p_since
      and s.started_at operator(pg_catalog.<) p_until
$func$;

comment on function bcp_internal.sessions_begun is 'The sessions that began in a range.';

grant execute on function bcp_internal.sessions_begun to bcp_reader;

create or replace function bcp_internal.session_events(
    p_session_id text, p_since timestamptz, p_until timestamptz, p_limit integer)
returns table (
    ordinal integer, kind text, happened_at timestamptz, bcp_name text, tool_name text, operation text,
    duration_ms double precision, outcome text, level bcp.error_level_enum, error_type text, message text,
    request_id text, event_id uuid, intent text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- Compiling takes longer than running.
set jit = off
as $func$
begin
    return query
    select *
    from (
        select 2 as ordinal, 'call' as kind, l.start_time as happened_at, l.bcp_name, l.tool_name, l.operation,
               l.duration_ms, l.outcome, null::bcp.error_level_enum as level, l.error_type, l.error_message,
               l.request_id, l.event_id, l.intent
        from bcp.tool_usage_logs l
        where l.start_time >= p_since and l.start_time < p_until and l.session_id = p_session_id
        union all
        select 3, 'error', r."timestamp", r.bcp_name, r.tool_name, r.operation, null, null, r.level, r.error_type,
               r.message, r.request_id, r.event_id, null
        from bcp.error_logs r
        where r."timestamp" >= p_since and r."timestamp" < p_until and r.session_id = p_session_id
    ) e
    order by e.happened_at, e.ordinal, e.event_id
    limit p_limit;
end
$func$;

comment on function bcp_internal.session_events is
    'Calls and errors of a session in a range, in order of time, at most p_limit. ordinal orders those of one time.';

grant execute on function bcp_internal.session_events to bcp_reader;

create or replace function bcp.session_timeline(
    p_session_id text default null, p_since timestamptz default null, p_until timestamptz default null,
    p_limit integer default 1000)
returns table (
    session_id text, happened_at timestamptz, since_previous_ms double precision, kind text, bcp_name text,
    tool_name text, operation text, duration_ms double precision, outcome text, level bcp.error_level_enum,
    error_type text, message text, request_id text, event_id uuid, intent text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_session bcp.user_sessions;
    v_range record;
    v_id text;
begin
    select s.* into v_session from bcp_internal.session_of(p_session_id) s;
    v_range := bcp_internal.checked_range(
        coalesce(p_since, v_session.started_at),
        coalesce(p_until, greatest(v_session.last_activity, v_session.ended_at) + interval '1 microsecond'));
    v_id := coalesce(p_session_id, v_session.session_id);
    return query
    select v_id, e.happened_at,
           extract(
               epoch from e.happened_at - lag(e.happened_at) over (order by e.happened_at, e.ordinal, e.event_id)
           )::double precision * 1000,
           e.kind, e.bcp_name, e.tool_name, e.operation, e.duration_ms, e.outcome, e.level, e.error_type, e.message,
           e.request_id, e.event_id, e.intent
    from (
        select 1 as ordinal, 'start' as kind, v_session.started_at as happened_at, null as bcp_name, null as tool_name,
               null as operation, null::double precision as duration_ms, null as outcome,
               null::bcp.error_level_enum as level, null as error_type, null as message, null as request_id,
               null::uuid as event_id, null as intent
        union all
        select x.*
        from bcp_internal.session_events(v_id, v_range.range_from, v_range.range_to, v_limit) x
        union all
        select 4, 'end', v_session.ended_at, null, null, null, null, null, null, null, null, null, null, null
    ) e
    where e.happened_at >= v_range.range_from and e.happened_at < v_range.range_to
    order by e.happened_at, e.ordinal, e.event_id
    limit v_limit;
end
$func$;

comment on function bcp.session_timeline is
    'What happened in a session? One row per start, call, error or end (kind), in order of time, at most p_limit (1 to '
    '10000). since_previous_ms is the time since the row before, null in the first. Without p_session_id it is the '
    'session that was active last. intent is why the agent made a call, where it said so. The range is '
    '[p_since, p_until), by default the whole session as bcp.user_sessions knows it. Reads the calls and errors of '
    'that time.';

grant execute on function bcp.session_timeline to bcp_reader;

create or replace function bcp_internal.session_steps(p_session_id text, p_limit integer)
returns table (
    step bigint, happened_at timestamptz, since_previous_ms double precision, kind text, bcp_name text, tool_name text,
    operation text, duration_ms double precision, outcome text, level text, error_type text, message text,
    request_bytes bigint, response_bytes bigint, context_bytes bigint, in_loop boolean, event_id uuid)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with steps as materialized (
        select
            t.*, t.kind = 'call' and t.operation is distinct from 'tools/list' as is_call, c.request_bytes,
            c.response_bytes, md5(c.parameters::text) as arguments,
            row_number() over (
                order by t.happened_at, array_position('{start,call,error,end}', t.kind), t.event_id) as step
        from bcp.session_timeline(p_session_id, p_limit => p_limit) as t
        left join lateral (
            select l.request_bytes, l.response_bytes, l.parameters
            from bcp.tool_usage_logs l
            where t.kind = 'call' and l.start_time = t.happened_at and l.event_id = t.event_id
        ) as c on true
    ), runs as (
        -- Calls in a row of one tool with the same arguments have the same difference, and others another one.
        select
            s.*,
            row_number() over (partition by s.is_call order by s.step)
                - row_number() over (
                    partition by s.is_call, s.bcp_name, s.tool_name, s.arguments order by s.step) as run
        from steps s
    )
    select
        r.step, r.happened_at, r.since_previous_ms, r.kind, r.bcp_name, r.tool_name, r.operation, r.duration_ms,
        r.outcome, r.level::text, r.error_type, r.message, r.request_bytes, r.response_bytes,
        least(sum(greatest(r.response_bytes, 0)) over (order by r.step), 9e18)::bigint,
        r.is_call
            and count(*) over (partition by r.is_call, r.bcp_name, r.tool_name, r.arguments, r.run) >= 3,
        r.event_id
    from runs r
    order by r.step
$func$;

comment on function bcp_internal.session_steps is
    'bcp.session_timeline with sizes. context_bytes are those of all answers up to a step. in_loop: the call is one of '
    'three or more in a row of the same tool with the same arguments; errors and lists of tools between them do not '
    'count.';

grant execute on function bcp_internal.session_steps to bcp_reader;

create or replace function bcp.authentication_stats(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default null,
    p_bcp_name text default null, p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_time_zone text default 'UTC',
    p_client_version text default null, p_client_model text default null, p_release text default null)
returns table (
    time_bucket timestamptz, bcp_name text, method text, attempt_count bigint, success_count bigint,
    failure_count bigint, success_rate double precision, user_count bigint, failed_user_count bigint, top_failure text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval(p_interval, p_time_zone);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_user_id => p_user_id, p_session_id => p_session_id, p_client_name => p_client_name,
        p_client_version => p_client_version, p_client_model => p_client_model, p_release => p_release);
    -- Names are compared as the calls spell them, because ignoring case would take six times as long.
    v_names constant text[] := array(
        select distinct x.name
        from bcp_internal.usage_cells(v_range.range_from, v_range.range_to, null, 'UTC',
            bcp_internal.filters(p_bcp_name)) c
        cross join lateral (values (c.operation), (c.tool_name)) as x (name)
        where lower(x.name)
            in (select btrim(lower(n)) from string_to_table(bcp_internal.setting('login_names'), ',') as n));
begin
    return query
    select
        case when v_width is null then v_range.range_from
            else public.time_bucket(v_width, l.start_time, p_time_zone, null::timestamptz, null::interval) end,
        l.bcp_name, l.tool_name, count(*), count(*) filter (where l.success), count(*) filter (where not l.success),
        count(*) filter (where l.success)::double precision / nullif(count(l.success), 0),
        count(distinct l.user_id) filter (where l.success), count(distinct l.user_id) filter (where not l.success),
        mode() within group (order by coalesce(l.error_type, l.outcome)) filter (where not l.success)
    from bcp_internal.calls(v_range.range_from, v_range.range_to, v_filters) l
    -- Without any log-in the planner knows it, and reads nothing.
    where v_names <> '{}' and (l.operation = any (v_names) or l.tool_name = any (v_names))
    group by 1, l.bcp_name, l.tool_name
    union all
    select
        t.bucket, t.bcp_name, t.method, sum(t.attempts)::bigint,
        coalesce(sum(t.attempts) filter (where t.success), 0)::bigint,
        coalesce(sum(t.attempts) filter (where not t.success), 0)::bigint,
        sum(t.attempts) filter (where t.success)::double precision / nullif(sum(t.attempts), 0)::double precision,
        0::bigint, 0::bigint,
        (array_agg(t.error_type order by t.attempts desc, t.error_type) filter (where not t.success))[1]
    from (
        select
            case when v_width is null then v_range.range_from
                else public.time_bucket(v_width, k.happened_at, p_time_zone, null::timestamptz, null::interval)
            end as bucket,
            k.bcp_name, k.method, k.success, k.error_type, sum(k.attempts)::bigint as attempts
        from bcp_internal.token_log_ins(v_range.range_from, v_range.range_to) k
        -- These have a bundle, and nothing else that filters ask for.
        where not exists (select from jsonb_each_text(v_filters - 'bcp_name') f where f.value <> '')
          and coalesce(p_bcp_name, k.bcp_name) = k.bcp_name
        group by 1, 2, 3, 4, 5
    ) t
    group by t.bucket, t.bcp_name, t.method
    order by 1 desc, 4 desc, 2, 3;
end
$func$;

comment on function bcp.authentication_stats is
    'Who logs in, how, and how often does that fail? A log-in is a call whose operation or tool has a name of the '
    'setting login_names, and its tool is the method: bcp.log_tool_usage(''accounts'', ''password'', ''login'', '
    'p_success => false, p_error_type => ''wrong_password'', p_user_id => ''42''). One row per bucket, bundle and '
    'method, latest first; a null interval, the default, makes one row per method. user_count counts users who got in, '
    'failed_user_count users who failed at least once; top_failure is the most frequent error type of the failures. '
    'Log-ins to bcp-analytics serve are no calls, and count too, as the method api_token of the bundle bcp_analytics: '
    'a token once an hour, and each failure. They name no user. Reads aggregates, where these have any log-in the '
    'names of all calls of the range, and the metric bcp_log_ins. The range is [p_since, p_until), the last 24 hours '
    'by default.';

grant execute on function bcp.authentication_stats to bcp_reader;

create or replace function bcp.tool_retries(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null, p_user_id text default null,
    p_session_id text default null, p_client_name text default null, p_client_version text default null,
    p_client_model text default null, p_release text default null, p_limit integer default 50)
returns table (
    bcp_name text, tool_name text, failed_count bigint, retried_count bigint, retry_rate double precision,
    retry_success_count bigint, retry_success_rate double precision, avg_gap_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name,
        p_client_version => p_client_version, p_client_model => p_client_model, p_release => p_release);
begin
    return query
    with moments as (
        -- One row for the start of every call, and one for the end of each that failed, because a call that began
        -- before that end is no retry.
        select l.session_id, l.bcp_name, l.tool_name, m.at, l.start_time, l.event_id, m.is_failure, l.success
        from bcp_internal.calls(v_range.range_from, v_range.range_to, v_filters) l
        cross join lateral (values (l.start_time, false), (coalesce(l.end_time, l.start_time), true))
            as m (at, is_failure)
        where l.session_id is not null and (not m.is_failure or not l.success)
    ), numbered as (
        -- Calls are counted from the last, so a failure has the number of the call that began next after it.
        select m.*, count(*) filter (where not m.is_failure) over (
            partition by m.session_id, m.bcp_name, m.tool_name
            order by m.at desc, m.start_time desc, m.event_id desc, m.is_failure desc
            rows unbounded preceding) as number
        from moments m
    ), pairs as (
        select
            n.bcp_name, n.tool_name, count(*) filter (where n.is_failure) as failures,
            bool_or(not n.is_failure) as has_retry,
            coalesce(bool_or(n.success and not n.is_failure), false) as is_success,
            count(*) filter (where n.is_failure) * extract(epoch from max(n.at) filter (where not n.is_failure))
                - sum(extract(epoch from n.at)) filter (where n.is_failure) as gaps
        from numbered n
        group by n.session_id, n.bcp_name, n.tool_name, n.number
        having bool_or(n.is_failure)
    )
    select
        p.bcp_name, p.tool_name, sum(p.failures)::bigint,
        coalesce(sum(p.failures) filter (where p.has_retry), 0)::bigint,
        coalesce(sum(p.failures) filter (where p.has_retry), 0)::double precision / sum(p.failures)::double precision,
        coalesce(sum(p.failures) filter (where p.is_success), 0)::bigint,
        coalesce(sum(p.failures) filter (where p.is_success), 0)::double precision
            / sum(p.failures) filter (where p.has_retry)::double precision,
        (sum(p.gaps) * 1000 / sum(p.failures) filter (where p.has_retry))::double precision
    from pairs p
    group by p.bcp_name, p.tool_name
    order by sum(p.failures) desc, p.bcp_name, p.tool_name
    limit v_limit;
end
$func$;

comment on function bcp.tool_retries is
    'Are failed calls tried again, and does that help? One row per tool with failures in sessions, most failures '
    'first, at most p_limit (1 to 10000). retried_count counts failures after whose end the same session called the '
    'same tool again within the range, with any arguments; retry_rate is their share of failed_count. '
    'retry_success_count counts those whose next call succeeded; retry_success_rate is its share of retried_count, '
    'null if there is none. Both rates are from 0 to 1. avg_gap_ms is the time from the end of a failed call to the '
    'start of the next. Reads the calls of the range. The range is [p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.tool_retries to bcp_reader;
