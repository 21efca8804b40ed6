-- What was stored just now: for a server that shows figures as they move, and asks every second.
--
-- What it costs must not grow with the calls that came since the last refresh of the aggregates, which may be 300,000.
-- So these functions find calls by the time when they were stored, which has an index, and whoever asks keeps running
-- sums. A call has the time when its transaction began, and can be seen only after the commit. So whoever asks goes
-- back a few seconds each time, and replaces what it had for them.

create or replace function bcp_internal.checked_live_since(p_since timestamptz, p_back interval) returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_since < bcp_internal.now() - interval '24 hours' then
        raise exception using
            errcode = 'ZB002', message = 'p_since is more than 24 hours ago',
            hint = 'bcp.tool_usage_stats and bcp.find_calls answer for any range.';
    end if;
    return coalesce(p_since, bcp_internal.now() - p_back);
end
$func$;

comment on function bcp_internal.checked_live_since is
    'From when on a question about what was stored just now reads; by default from p_back ago. ZB002 if that is more '
    'than 24 hours ago.';

grant execute on function bcp_internal.checked_live_since to bcp_reader;

create or replace function bcp.live_metrics(
    p_since timestamptz default null, p_until timestamptz default null, p_known_calls bigint[] default '{}')
returns table (
    stored_at timestamptz, start_day timestamptz, bcp_name text, tool_name text, outcome text, success boolean,
    duration_ms double precision, call_count bigint, sum_duration_ms double precision, request_bytes bigint,
    response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- Reading some thousand calls takes less time than compiling the statement or starting workers.
set jit = off
set max_parallel_workers_per_gather = 0
as $func$
declare
    v_since constant timestamptz := date_trunc('second', bcp_internal.checked_live_since(p_since, interval '1 minute'));
    v_until constant timestamptz := coalesce(p_until, 'infinity');
    v_oldest constant timestamptz := v_since - interval '24 hours';
    v_changed integer[];
    v_from timestamptz;
begin
    -- Counting is cheap, so it comes first: only the last second or two differ from what the caller knows.
    select array_agg(c.place), v_since + min(c.place) * interval '1 second'
    into v_changed, v_from
    from (
        select floor(date_part('epoch', l.created_at - v_since))::integer as place, count(*) as calls
        from bcp.tool_usage_logs l
        where l.created_at >= v_since
          and l.created_at < v_until
          and l.start_time >= v_oldest
          and l.operation <> 'tools/list'
        group by 1
    ) c
    where c.calls is distinct from p_known_calls[c.place + 1];
    if v_changed is null then
        return;
    end if;
    return query
    select
        v_since + c.place * interval '1 second', c.day, c.bcp_name, c.tool_name, c.outcome,
        c.success, bcp_internal.latency_ms(c.lat_idx), c.calls, c.sum_ms,
        least(greatest(coalesce(c.request_bytes, 0), 0), 9e18)::bigint,
        least(greatest(coalesce(c.response_bytes, 0), 0), 9e18)::bigint
    from (
        select
            floor(date_part('epoch', l.created_at - v_since))::integer as place,
            public.time_bucket(interval '1 day', l.start_time) as day, l.bcp_name, l.tool_name, l.outcome, l.success,
            l.lat_idx, count(*) as calls, sum(l.duration_ms) as sum_ms, sum(l.request_bytes) as request_bytes,
            sum(l.response_bytes) as response_bytes
        from bcp.tool_usage_logs l
        where l.created_at >= v_from
          and l.created_at < v_until
          and l.start_time >= v_oldest
          and l.operation <> 'tools/list'
        group by 1, 2, 3, 4, 5, 6, 7
    ) c
    where c.place = any (v_changed);
end
$func$;

comment on function bcp.live_metrics is
    'What was stored just now, to be added up? One row per second of storing, UTC day of the call''s start, bundle, '
    'tool, outcome and duration, of the calls stored from p_since (by default a minute ago, at most 24 hours) up to, '
    'but not including, p_until. duration_ms is the middle of a bucket of the latency sketch, within 1 percent of each '
    'of its calls, so percentiles come from adding up call_count by it; null where the duration is not known. '
    'p_known_calls is how many calls the caller has of each second from p_since on: a second with as many is left out, '
    'any other comes whole, to replace what the caller has. Lists of tools, and calls that began more than 24 hours '
    'before p_since, are not counted. Reads only the calls stored in the range, by an index.';

grant execute on function bcp.live_metrics to bcp_reader;

create or replace function bcp.recent_calls(
    p_since timestamptz default null, p_bcp_name text default null, p_tool_name text default null,
    p_failed boolean default null, p_limit integer default 50)
returns table (
    stored_at timestamptz, start_time timestamptz, bcp_name text, tool_name text, operation text, outcome text,
    success boolean, error_type text, duration_ms double precision, client_name text, session_id text, event_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp.live_metrics.
set plan_cache_mode = force_custom_plan
set jit = off
set max_parallel_workers_per_gather = 0
as $func$
declare
    v_since constant timestamptz := bcp_internal.checked_live_since(p_since, interval '5 minutes');
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
begin
    return query
    select
        l.created_at, l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.success, l.error_type,
        l.duration_ms, l.client_name, l.session_id, l.event_id
    from bcp.tool_usage_logs l
    where l.created_at >= v_since
      and l.start_time >= v_since - interval '24 hours'
      and l.operation <> 'tools/list'
      and (p_bcp_name is null or l.bcp_name = p_bcp_name)
      and (p_tool_name is null or l.tool_name = p_tool_name)
      and (p_failed is null or (l.success is false) = p_failed)
    order by l.created_at desc, l.event_id
    limit v_limit;
end
$func$;

comment on function bcp.recent_calls is
    'Which calls were stored last? One row per call, the latest stored first, at most p_limit (1 to 10000), of those '
    'stored from p_since on: the last 5 minutes by default, at most 24 hours. p_failed true finds calls whose success '
    'is false; p_failed false finds all others: succeeded, cancelled or unknown. Lists of tools, and calls that began '
    'more than 24 hours before p_since, are left out. bcp.find_calls has the rest of a call, by its event_id. Reads an '
    'index of the times of storing.';

grant execute on function bcp.recent_calls to bcp_reader;
