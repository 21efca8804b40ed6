-- How the durations of all calls together change with time.

create or replace function bcp.latency_over_time(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC')
returns table (
    time_bucket timestamptz, call_count bigint, p50_duration_ms double precision, p95_duration_ms double precision,
    p99_duration_ms double precision)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with bands as (
        -- The heat map with a band a bucket of the sketch, so that nothing is lost: 1.02 ^ 1050 ms is 12 days.
        -- Of each, what bcp_internal.latency_ms says too: the value that is within 1 percent of both bounds.
        select h.time_bucket, case when h.from_ms = 0 then 0 else coalesce(h.to_ms * 2 / 2.02, h.from_ms) end as ms,
               sum(h.call_count) over (w order by h.from_ms) as up_to, sum(h.call_count) over w as total
        from bcp.latency_heatmap(
            p_since, p_until, p_interval,
            array(select 1.02::double precision ^ i from generate_series(-350, 1050) as i order by i),
            p_bcp_name, p_tool_name, p_operation, p_time_zone) h
        window w as (partition by h.time_bucket)
    )
    -- As percentile_disc: the smallest value that at least this share of the calls does not exceed.
    select
        b.time_bucket, max(b.total)::bigint, min(b.ms) filter (where b.up_to >= b.total * 0.50),
        min(b.ms) filter (where b.up_to >= b.total * 0.95), min(b.ms) filter (where b.up_to >= b.total * 0.99)
    from bands b
    group by b.time_bucket
    order by b.time_bucket desc
$func$;

comment on function bcp.latency_over_time(timestamptz, timestamptz, interval, text, text, text, text) is
    'How long do calls take, all tools together, over time? One row a bucket that has any call with a known duration, latest first; a null interval makes one row. Percentiles are within 1 percent of exact, and call_count counts what they are of. Reads the latency sketch. The range is [p_since, p_until), the last 24 hours by default.';
