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
    -- The calls of the rows say which rows of the sketch hold a percentile. Only of these are counts read and added up.
    v_sketch constant text := format(
        $query$
            with s as materialized (
                select coalesce(r.time_bucket, %1$L) as bucket, r.lat_base, r.calls, r.counts
                from bcp_internal.sketch_rows(%1$L, %2$L, %3$L, %4$L, %5$L) r
            ), cells as (
                select s.bucket, s.lat_base, sum(s.calls) as calls from s group by 1, 2
            ), ranked as (
                select
                    c.*, sum(c.calls) over (b order by c.lat_base rows unbounded preceding) as up_to,
                    sum(c.calls) over b as total
                from cells c
                window b as (partition by c.bucket)
            ), sums as (
                select u.bucket, u.lat_base, array[%6$s] as counts
                from (
                    select s.bucket, s.lat_base, s.counts::double precision[] as counts
                    from s
                    where (s.bucket, s.lat_base) in (select r.bucket, r.lat_base from ranked r where %7$s)
                    offset 0
                ) u
                group by 1, 2
            )
            select c.bucket, c.lat_base, c.calls, sums.counts
            from cells c
            left join sums on sums.bucket = c.bucket and sums.lat_base = c.lat_base
        $query$,
        p_since, p_until, p_interval, p_time_zone, p_filters,
        bcp_internal.sketch_columns('sum(u.counts[1 + %s])'),
        (select coalesce(string_agg(
             bcp_internal.has_rank(bcp_internal.rank_of(format('$1[%s]', n), 'total'), 'calls'), ' or ' order by n),
             'false')
         from generate_series(1, cardinality(p_percentiles)) n));
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
declare
    v_of_quarter constant text := (
        select string_agg(format('u.calls[%s]', n), ', ' order by n) from generate_series(1, 15) n);
    v_of_minute constant text := (
        select string_agg(format('case when m.minute %% 15 = %s then m.calls end', n), ', ' order by n)
        from generate_series(0, 14) n);
    v_columns constant text := (select string_agg(format('c%s', n), ', ' order by n) from generate_series(1, 15) n);
    v_minutes constant text := (
        select string_agg(format('coalesce(sum(s.c%s), 0)', n), ', ' order by n) from generate_series(1, 15) n);
    v_sum constant text := (
        select string_agg(format('q.calls[%s]', n), ' + ' order by n) from generate_series(1, 15) n);
    v_peak constant text := (
        select format('greatest(%s)', string_agg(format('q.calls[%s]', n), ', ' order by n))
        from generate_series(1, 15) n);
begin
    -- Of minutes with as many calls the first: minutes since 1970 take less than 32 bits. Where no shard sends
    -- quarters, a row for each minute is less work than 15 columns for each quarter.
    return query execute format(
        $query$
            with u as materialized (
                select * from bcp_internal.usage_minutes($1, $2, $3, $4, $5)
            ), form as materialized (
                select bool_or(u.minutes is null) as has_quarters from u
            )
            select coalesce(p.bucket, $1), sum(p.calls)::bigint, max(p.calls),
                   to_timestamp((max(p.calls) * 4294967296 - max(p.calls * 4294967296 - p.minute)) * 60)
            from (
                select m.bucket, m.minute, sum(m.calls) as calls
                from (
                    select u.time_bucket as bucket, unnest(u.minutes) as minute, unnest(u.calls) as calls
                    from u
                    where not (select f.has_quarters from form f)
                ) m
                group by 1, 2
            ) p
            group by p.bucket
            union all
            select coalesce(p.bucket, $1), sum(p.calls)::bigint, max(p.peak),
                   to_timestamp((max(p.peak) * 4294967296 - max(p.peak * 4294967296 - p.minute)) * 60)
            from (
                select q.bucket, q.calls, q.peak, q.quarter * 15 + array_position(q.minutes, q.peak) - 1 as minute
                from (
                    select q.bucket, q.quarter, q.calls as minutes, %s as calls, %s as peak
                    from (
                        select s.bucket, s.quarter, array[%s] as calls
                        from (
                            select u.time_bucket, u.quarter, %s from u where u.minutes is null
                            union all
                            select m.time_bucket, m.minute / 15, %s
                            from (
                                select u.time_bucket, unnest(u.minutes) as minute, unnest(u.calls) as calls
                                from u
                                where u.minutes is not null and (select f.has_quarters from form f)
                            ) m
                        ) s (bucket, quarter, %s)
                        group by 1, 2
                        offset 0
                    ) q
                    offset 0
                ) q
            ) p
            group by p.bucket
        $query$, v_sum, v_peak, v_minutes, v_of_quarter, v_of_minute, v_columns)
    using p_since, p_until, p_interval, p_time_zone, p_filters;
end
$func$;

comment on function bcp_internal.peaks_of_shards is
    'As bcp_internal.usage_peaks, from the minutes of all shards, added up.';
