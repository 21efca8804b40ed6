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
    -- What a minute of all shards may count, in calls of the busiest minute of one.
    v_times constant bigint := 2 * (select count(*) from bcp.shards);
    v_most integer;
    v_seen bigint := 1;
    v_bits integer;
    v_starts timestamptz[];
    v_calls bigint[];
    v_peaks bigint[];
begin
    loop
        -- So many bits hold the sum of a minute, and no more, because then more minutes are one number.
        select b.bits, least(((1::bigint << b.bits) - 1) / v_times, 2147483647) into v_bits, v_most
        from unnest('{4,5,6,10,12,15,20,30,60}'::integer[]) as b (bits)
        where b.bits = 60 or ((1::bigint << b.bits) - 1) / v_times >= v_seen
        order by b.bits
        limit 1;
        -- Of minutes with as many calls the first: a minute takes less than 32 bits.
        execute format(
            $query$
                with u as materialized (
                    select * from bcp_internal.usage_minutes($1, $2, $3, $4, $5, $6, $7)
                ), words as (
                    select w.start, w.word, sum(w.counts)::bigint as counts
                    from (
                        select coalesce(u.time_bucket, $1) as start, unnest(u.words) as word, unnest(u.counts) as counts
                        from u
                    ) w
                    group by 1, 2
                    offset 0
                ), peaks as (
                    select w.start, max(greatest(%s)) as peak from words w group by 1
                ), totals as (
                    select coalesce(u.time_bucket, $1) as start, sum(u.calls)::bigint as calls from u group by 1
                )
                select array_agg(start), array_agg(t.calls), array_agg(p.peak), (select max(u.most) from u)
                from totals t
                join peaks p using (start)
            $query$,
            (select string_agg(
                 format(
                     '((w.counts >> %s & %s) << 32) - (w.word * %s::bigint + %s)',
                     n * v_bits, (1::bigint << v_bits) - 1, 60 / v_bits, n), ', ' order by n)
             from generate_series(0, 60 / v_bits - 1) n))
        into v_starts, v_calls, v_peaks, v_seen
        using p_since, p_until, p_interval, p_time_zone, p_filters, v_bits, v_most;
        -- What a shard has seen takes more bits.
        exit when v_seen is null or v_seen <= v_most or v_bits = 60;
    end loop;
    return query
    select x.start, x.calls, (x.peak >> 32) + 1,
           to_timestamp(((((x.peak >> 32) + 1) << 32) - x.peak - 60000000) * 60)
    from unnest(v_starts, v_calls, v_peaks) as x (start, calls, peak);
end
$func$;

comment on function bcp_internal.peaks_of_shards is
    'As bcp_internal.usage_peaks, from the minutes of all shards, added up.';
