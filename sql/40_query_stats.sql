-- Calls of a range by tool, with percentiles: read ready made where the buckets asked for are those of an aggregate,
-- and added up from usage and sketch for the rest.

create or replace function bcp_internal.stats_level(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- Percentiles do not add up, so a bucket must be one of the aggregate: an hour of a zone that is whole hours from
    -- UTC, or a day of UTC. The aggregates have no operation.
    select 'tool_stats_' || w.suffix
    from (values (interval '1 hour', '1h'), (interval '1 day', '1d')) as w (width, suffix)
    where w.width = p_interval
      and w.suffix = any ((bcp_internal.grain(p_interval, p_time_zone, p_since, p_until)).levels)
      and bcp_internal.usage_family(p_filters, null) = 'tool_usage'
      and not p_filters ? 'operation'
$func$;

comment on function bcp_internal.stats_level is
    'Aggregate that has the buckets of a question, with their percentiles; null if there is none.';

grant execute on function bcp_internal.stats_level to bcp_reader;

create or replace function bcp_internal.edge_statement(
    p_interval interval, p_ranges tstzmultirange, p_filters jsonb)
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- Counted by lat_idx first, because sorting that takes less than sorting the calls. A call without a duration has
    -- no lat_idx, and comes last.
    select format(
        $query$
            with counted as (
                select %1$s as bucket, bcp_name, tool_name, lat_idx, count(*) as calls,
                       count(*) filter (where success) as successes, count(*) filter (where not success) as errors,
                       count(duration_ms) as timed_calls, sum(duration_ms) as sum_ms, min(duration_ms) as min_ms,
                       max(duration_ms) as max_ms, count(lat_idx) as in_sketch,
                       sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes
                from bcp.tool_usage_logs
                where %2$s%3$s
                group by 1, 2, 3, 4
            ), ranked as (
                select
                    c.*,
                    sum(in_sketch) over (partition by bucket, bcp_name, tool_name order by lat_idx) as up_to,
                    sum(in_sketch) over (partition by bucket, bcp_name, tool_name) as total
                from counted c
            )
            select bucket, bcp_name, tool_name, sum(calls)::bigint, sum(successes)::bigint, sum(errors)::bigint,
                   sum(timed_calls)::bigint, sum(sum_ms), min(min_ms), max(max_ms),
                   least(greatest(coalesce(sum(request_bytes), 0), 0), 9e18)::bigint,
                   least(greatest(coalesce(sum(response_bytes), 0), 0), 9e18)::bigint,
                   %4$s
            from ranked
            group by 1, 2, 3
        $query$,
        bcp_internal.bucket_of('start_time', p_interval, 'UTC', '0'),
        bcp_internal.within('start_time', p_ranges), bcp_internal.call_filter(p_filters),
        (select string_agg(
             format(
                 'bcp_internal.latency_ms(min(lat_idx)'
                 ' filter (where up_to >= greatest(ceil(%s::double precision * total::double precision), 1)))', p),
             ', ' order by p)
         from unnest('{0.5,0.95,0.99}'::double precision[]) as p))
$func$;

comment on function bcp_internal.edge_statement is
    'Statement for the rows of bcp_internal.tool_cells from raw rows, for the short ranges at the ends of a question.';

grant execute on function bcp_internal.edge_statement to bcp_reader;

create or replace function bcp_internal.is_ranked(p_filters jsonb, p_keys text, p_interval interval) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Months of failed calls have parts of the sketch instead.
    select coalesce(f.family = 'user_usage' or f.family = 'failed_usage' and p_interval < interval '28 days',
                    f.family is null)
    from bcp_internal.usage_family(p_filters, p_keys) f
$func$;

comment on function bcp_internal.is_ranked is
    'Whether every row that a question reads has its lat_idx, so that bcp_internal.ranked_statement reads each once. '
    'Usage and sketch would read it twice, and a sketch of so few calls would have a row of 32 counts for nearly each.';

grant execute on function bcp_internal.is_ranked to bcp_reader;

create or replace function bcp_internal.ranked_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb,
    p_without tstzmultirange default '{}')
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_scans constant text := bcp_internal.usage_scans(
        p_since, p_until, p_interval, p_time_zone, p_keys || ', lat_idx', p_filters, p_without => p_without);
begin
    if v_scans is null then
        return null;
    end if;
    -- Several scans may have rows of one lat_idx: the running sum counts all of these at once. A call without a
    -- duration has no lat_idx, and comes last. Bytes are bounded as in bcp_internal.usage_statement.
    return format(
        $query$
            select %4$s as time_bucket, %1$s, sum(calls)::bigint as calls,
                   coalesce(sum(successes), 0)::bigint as successes, coalesce(sum(errors), 0)::bigint as errors,
                   sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms, min(min_ms) as min_ms,
                   max(max_ms) as max_ms,
                   least(greatest(coalesce(sum(request_bytes), 0), 0), 9e18)::bigint as request_bytes,
                   least(greatest(coalesce(sum(response_bytes), 0), 0), 9e18)::bigint as response_bytes, %3$s
            from (
                select
                    c.*, sum(in_sketch) over (partition by bucket, %1$s order by lat_idx) as up_to,
                    sum(in_sketch) over (partition by bucket, %1$s) as total
                from (
                    select u.*, case when lat_idx is null then 0 else calls end::double precision as in_sketch
                    from (%2$s) u
                ) c
            ) ranked
            group by bucket, %1$s
        $query$,
        p_keys, v_scans,
        (select string_agg(
             format(
                 'bcp_internal.latency_ms(min(lat_idx)'
                 ' filter (where up_to >= greatest(ceil(%s::double precision * total), 1))) as p%s',
                 p, p * 100), ', ' order by p)
         from unnest('{0.5,0.95,0.99}'::double precision[]) as p),
        case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end);
end
$func$;

comment on function bcp_internal.ranked_statement is
    'Statement that adds up the calls of a range by bucket and by the columns in p_keys, with their percentiles p50, '
    'p95 and p99, where bcp_internal.is_ranked; null if the range, without the ranges p_without, is empty.';

grant execute on function bcp_internal.ranked_statement to bcp_reader;

create or replace function bcp_internal.tool_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb,
    p_timed boolean default true)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, calls bigint, successes bigint, errors bigint,
    timed_calls bigint, sum_duration_ms double precision, min_duration_ms double precision,
    max_duration_ms double precision, request_bytes bigint, response_bytes bigint,
    p50_duration_ms double precision, p95_duration_ms double precision, p99_duration_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_level constant text := bcp_internal.stats_level(p_since, p_until, p_interval, p_time_zone, p_filters);
    v_ready tstzmultirange := '{}';
    v_left tstzmultirange;
    v_ranked text;
begin
    if v_level is not null then
        v_ready := bcp_internal.covered(v_level, bcp_internal.finite(p_since, p_until));
    end if;
    if not isempty(v_ready) then
        -- Bytes are bounded as in bcp_internal.usage_statement.
        return query execute format(
            'select bucket, bcp_name, tool_name, calls, successes, errors, timed_calls, sum_duration_ms,'
            ' min_duration_ms, max_duration_ms,'
            ' least(greatest(coalesce(request_bytes, 0), 0), 9e18)::bigint,'
            ' least(greatest(coalesce(response_bytes, 0), 0), 9e18)::bigint,'
            ' bcp_internal.latency_ms(p50_lat_idx), bcp_internal.latency_ms(p95_lat_idx),'
            ' bcp_internal.latency_ms(p99_lat_idx)'
            ' from bcp.%I where %s%s',
            v_level, bcp_internal.within('bucket', v_ready), bcp_internal.call_filter(p_filters, p_lists => true));
        v_left := bcp_internal.finite(p_since, p_until) - v_ready;
        if isempty(v_left) then
            return;
        end if;
        -- Raw rows answer for the hour that is not over, and for the other end of the range, in one statement instead
        -- of two of many pieces. Older ones may have been dropped.
        if v_level = 'tool_stats_1h'
            and (select sum(upper(r) - lower(r)) <= interval '3 hours' from unnest(v_left) r)
            and lower(v_left) >= coalesce((
                select bcp_internal.now() - bcp_internal.refresh_start(r.retention_days)
                from bcp.data_retention_policies r
                where r.table_name = 'tool_usage_logs'), 'infinity')
        then
            return query execute (
                select string_agg(
                    format(
                        '(%s)', bcp_internal.edge_statement(p_interval, tstzmultirange(r), p_filters)),
                    ' union all ')
                from unnest(v_left) r);
            return;
        end if;
    end if;
    if not p_timed then
        return query
            select u.time_bucket, u.bcp_name, u.tool_name, u.calls, u.successes, u.errors, u.timed_calls,
                   u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes,
                   null::double precision, null::double precision, null::double precision
            from bcp_internal.usage_cells(
                p_since, p_until, p_interval, p_time_zone, p_filters, p_by_operation => false,
                p_without => v_ready) u;
        return;
    end if;
    if bcp_internal.is_ranked(p_filters, 'bcp_name, tool_name', p_interval) then
        v_ranked := bcp_internal.ranked_statement(
            p_since, p_until, p_interval, p_time_zone, 'bcp_name, tool_name', p_filters);
        if v_ranked is not null then
            return query execute v_ranked;
        end if;
        return;
    end if;
    return query
        select u.time_bucket, u.bcp_name, u.tool_name, u.calls, u.successes, u.errors, u.timed_calls,
               u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes,
               q.durations_ms[1], q.durations_ms[2], q.durations_ms[3]
        from bcp_internal.usage_cells(
            p_since, p_until, p_interval, p_time_zone, p_filters, p_by_operation => false, p_without => v_ready) u
        left join bcp_internal.latency_quantiles(
            p_since, p_until, p_interval, p_time_zone, '{0.5,0.95,0.99}', p_filters, p_without => v_ready) q
            using (time_bucket, bcp_name, tool_name);
end
$func$;

comment on function bcp_internal.tool_cells is
    'Calls of a range by bucket, bundle and tool, with percentiles as the sketch has them, which are null unless '
    'p_timed. If the interval is null, one bucket begins at p_since. Filters work as in bcp_internal.usage_cells.';

grant execute on function bcp_internal.tool_cells to bcp_reader;
