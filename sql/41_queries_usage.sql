-- Questions about calls and how long they take.

create or replace function bcp.tool_usage_stats(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC')
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, call_count bigint, success_count bigint, error_count bigint,
    success_rate double precision, avg_duration_ms double precision, p50_duration_ms double precision,
    p95_duration_ms double precision, p99_duration_ms double precision, max_duration_ms double precision,
    request_bytes bigint, response_bytes bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select r.range_from, r.range_to, bcp_internal.checked_interval(p_interval, p_time_zone) as width
        from bcp_internal.checked_range(p_since, p_until) r
    ), usage as (
        select
            c.time_bucket, c.bcp_name, c.tool_name, sum(c.calls)::bigint as calls, sum(c.successes)::bigint as successes,
            sum(c.errors)::bigint as errors, sum(c.timed_calls) as timed_calls, sum(c.sum_duration_ms) as sum_ms,
            min(c.min_duration_ms) as min_ms, max(c.max_duration_ms) as max_ms, sum(c.request_bytes)::bigint as request_bytes,
            sum(c.response_bytes)::bigint as response_bytes
        from asked a
        cross join lateral bcp_internal.usage_cells(
            a.range_from, a.range_to, a.width, p_time_zone, p_bcp_name, p_tool_name, p_operation) c
        group by 1, 2, 3
    ), sketch as (
        select c.time_bucket, c.bcp_name, c.tool_name, c.lat_idx, sum(c.calls) as calls
        from asked a
        cross join lateral bcp_internal.latency_cells(
            a.range_from, a.range_to, a.width, p_time_zone, p_bcp_name, p_tool_name, p_operation) c
        group by 1, 2, 3, 4
    ), ranked as (
        select s.*, sum(s.calls) over (w order by s.lat_idx) as up_to, sum(s.calls) over w as total
        from sketch s
        window w as (partition by s.time_bucket, s.bcp_name, s.tool_name)
    ), percentiles as (
        -- As percentile_disc: the smallest value that at least this share of the calls does not exceed.
        select
            r.time_bucket, r.bcp_name, r.tool_name,
            bcp_internal.latency_ms(min(r.lat_idx) filter (where r.up_to >= r.total * 0.50)) as p50,
            bcp_internal.latency_ms(min(r.lat_idx) filter (where r.up_to >= r.total * 0.95)) as p95,
            bcp_internal.latency_ms(min(r.lat_idx) filter (where r.up_to >= r.total * 0.99)) as p99
        from ranked r
        group by 1, 2, 3
    )
    select
        u.time_bucket, u.bcp_name, u.tool_name, u.calls, u.successes, u.errors,
        u.successes::double precision / nullif(u.successes + u.errors, 0), u.sum_ms / nullif(u.timed_calls, 0),
        -- A sketch's value may lie up to 1 percent outside of what was measured; the extremes are known exactly.
        least(greatest(p.p50, u.min_ms), u.max_ms), least(greatest(p.p95, u.min_ms), u.max_ms),
        least(greatest(p.p99, u.min_ms), u.max_ms), u.max_ms, u.request_bytes, u.response_bytes
    from usage u
    left join percentiles p using (time_bucket, bcp_name, tool_name)
    order by u.time_bucket desc, u.calls desc, u.bcp_name, u.tool_name
$func$;

comment on function bcp.tool_usage_stats(timestamptz, timestamptz, interval, text, text, text, text) is
    'How often is each tool called, how fast is it, how often does it fail? One row a bucket and tool, latest first; a null interval makes one row a tool. success_rate is a share of the calls that say whether they succeeded, from 0 to 1. Percentiles are within 1 percent of exact. The range is [p_since, p_until), the last 24 hours by default.';

create or replace function bcp.latency_percentiles(
    p_since timestamptz default null, p_until timestamptz default null,
    p_percentiles double precision[] default '{0.5,0.9,0.95,0.99}',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null)
returns table (
    bcp_name text, tool_name text, percentile double precision, duration_ms double precision, call_count bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_percentiles is null or array_position(p_percentiles, null) is not null
        or 0 > any (p_percentiles) or 1 < any (p_percentiles)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_percentiles has a value outside of 0 to 1', hint = 'The 95th percentile is 0.95.';
    end if;
    return query
    with asked as materialized (
        select * from bcp_internal.checked_range(p_since, p_until)
    ), sketch as (
        select c.bcp_name, c.tool_name, c.lat_idx, sum(c.calls) as calls
        from asked a
        cross join lateral bcp_internal.latency_cells(
            a.range_from, a.range_to, null, 'UTC', p_bcp_name, p_tool_name, p_operation) c
        group by 1, 2, 3
    ), ranked as (
        select s.*, sum(s.calls) over (w order by s.lat_idx) as up_to, sum(s.calls) over w as total
        from sketch s
        window w as (partition by s.bcp_name, s.tool_name)
    )
    select
        r.bcp_name, r.tool_name, q.percentile,
        bcp_internal.latency_ms(min(r.lat_idx) filter (where r.up_to >= r.total * q.percentile)), max(r.total)::bigint
    from ranked r
    cross join unnest(p_percentiles) as q (percentile)
    group by 1, 2, 3
    order by max(r.total) desc, 1, 2, 3;
end
$func$;

comment on function bcp.latency_percentiles(timestamptz, timestamptz, double precision[], text, text, text) is
    'How long do calls take? One row a tool and percentile (0.95 is the 95th), in milliseconds, within 1 percent of percentile_disc over the raw rows. call_count counts the calls whose duration is known. The range is [p_since, p_until), the last 24 hours by default.';

create or replace view bcp.hourly_tool_usage as
with usage as (
    select bucket, bcp_name, tool_name, calls, successes, timed_calls, sum_duration_ms, min_duration_ms, max_duration_ms
    from bcp.tool_usage_1h
    union all
    select public.time_bucket(interval '1 hour', start_time), bcp_name, tool_name, 1, success::integer,
           (duration_ms is not null)::integer, duration_ms, duration_ms, duration_ms
    from bcp.tool_usage_logs
    where start_time >= bcp_internal.watermark('tool_usage_1h')
), hours as (
    select
        bucket, bcp_name, tool_name, sum(calls)::bigint as calls, coalesce(sum(successes), 0)::bigint as successes,
        sum(sum_duration_ms) / nullif(sum(timed_calls), 0)::double precision as avg_ms, min(min_duration_ms) as min_ms,
        max(max_duration_ms) as max_ms
    from usage
    group by 1, 2, 3
), sketch as (
    select bucket, bcp_name, tool_name, lat_idx, calls
    from bcp.tool_latency_1h
    union all
    select public.time_bucket(interval '1 hour', start_time), bcp_name, tool_name, lat_idx, 1
    from bcp.tool_usage_logs
    where start_time >= bcp_internal.watermark('tool_latency_1h') and lat_idx is not null
), counted as (
    select bucket, bcp_name, tool_name, lat_idx, sum(calls) as calls from sketch group by 1, 2, 3, 4
), ranked as (
    select
        bucket, bcp_name, tool_name, lat_idx,
        sum(calls) over (partition by bucket, bcp_name, tool_name order by lat_idx) as up_to,
        sum(calls) over (partition by bucket, bcp_name, tool_name) as total
    from counted
), percentiles as (
    select bucket, bcp_name, tool_name, bcp_internal.latency_ms(min(lat_idx) filter (where up_to >= total * 0.95)) as p95
    from ranked
    group by 1, 2, 3
)
select
    h.bucket as hour, h.bcp_name, h.tool_name, h.calls as total_calls, h.successes as successful_calls,
    h.avg_ms as avg_duration_ms, h.max_ms as max_duration_ms, least(greatest(p.p95, h.min_ms), h.max_ms) as p95_duration_ms
from hours h
left join percentiles p using (bucket, bcp_name, tool_name);

comment on view bcp.hourly_tool_usage is
    'Calls, successes, mean, maximum and 95th percentile of the duration by UTC hour, bundle and tool, up to now.';

comment on column bcp.hourly_tool_usage.hour is 'Start of the hour.';

comment on column bcp.hourly_tool_usage.bcp_name is 'Bundle of tools.';

comment on column bcp.hourly_tool_usage.tool_name is 'Tool.';

comment on column bcp.hourly_tool_usage.total_calls is 'Calls that began in the hour.';

comment on column bcp.hourly_tool_usage.successful_calls is 'Of those, the ones that succeeded.';

comment on column bcp.hourly_tool_usage.avg_duration_ms is 'Mean duration in milliseconds.';

comment on column bcp.hourly_tool_usage.max_duration_ms is 'Longest duration in milliseconds.';

comment on column bcp.hourly_tool_usage.p95_duration_ms is '95th percentile of the duration in milliseconds, within 1 percent of exact.';

create or replace function bcp.hourly_tool_usage(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null)
returns setof bcp.hourly_tool_usage
language sql stable
set search_path = pg_catalog, pg_temp
-- As in 40_query_helpers.sql.
set plan_cache_mode = force_custom_plan
as $func$
    select h.*
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral (
        select *
        from bcp.hourly_tool_usage v
        where v.hour >= date_trunc('hour', r.range_from, 'UTC')
          and v.hour < r.range_to
          and (p_bcp_name is null or v.bcp_name = p_bcp_name)
          and (p_tool_name is null or v.tool_name = p_tool_name)
    ) h
    order by h.hour desc, h.total_calls desc, h.bcp_name, h.tool_name
$func$;

comment on function bcp.hourly_tool_usage(timestamptz, timestamptz, text, text) is
    'Rows of the view bcp.hourly_tool_usage whose hour overlaps [p_since, p_until), the last 24 hours by default; latest first.';
