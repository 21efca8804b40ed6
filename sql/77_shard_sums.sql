-- Answers of a head that take more than adding up rows: percentiles, and the busiest minutes.

create or replace function bcp_internal.quantiles_of_shards(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_percentiles double precision[],
    p_filters jsonb)
returns table (time_bucket timestamptz, timed_calls bigint, durations_ms double precision[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
as $func$
declare
    v_sketch constant text := format(
        'select %s as bucket, s.lat_base, sum(s.calls) as calls, array[%s] as counts'
        ' from bcp_internal.sketch_rows(%L, %L, %L, %L, %L) s group by 1, 2',
        case when p_interval is null then 'null::timestamptz' else 's.time_bucket' end,
        bcp_internal.sketch_columns('sum(s.counts[1 + %s])'), p_since, p_until, p_interval, p_time_zone, p_filters);
begin
    return query execute format(
        'select q.time_bucket, q.timed_calls, q.durations_ms'
        ' from (%s) q (time_bucket, bcp_name, tool_name, timed_calls, durations_ms)',
        bcp_internal.quantile_statement(
            v_sketch, case when p_interval is null then p_since end, false, cardinality(p_percentiles)))
    using p_percentiles;
end
$func$;

comment on function bcp_internal.quantiles_of_shards is
    'As bcp_internal.latency_quantiles for all tools together, from the sketches of all shards, added up.';

create or replace function bcp_internal.peaks_of_shards(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (time_bucket timestamptz, calls bigint, peak_calls bigint, peak_minute timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set enable_sort = off
as $func$
begin
    -- Of minutes with as many calls the first: minutes since 1970 take less than 32 bits, with their sign.
    return query
    select
        coalesce(m.bucket, p_since), sum(m.calls)::bigint, max(m.calls),
        to_timestamp((max(m.calls) * 4294967296 - max(m.calls * 4294967296 - m.minute)) * 60)
    from (
        select e.bucket, e.minute, sum(e.calls) as calls
        from (
            select u.time_bucket as bucket, unnest(u.minutes) as minute, unnest(u.calls) as calls
            from bcp_internal.usage_minutes(p_since, p_until, p_interval, p_time_zone, p_filters) u
        ) e
        group by 1, 2
    ) m
    group by m.bucket;
end
$func$;

comment on function bcp_internal.peaks_of_shards is
    'As bcp_internal.usage_peaks, from the minutes of all shards, added up.';
