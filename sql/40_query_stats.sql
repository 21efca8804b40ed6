-- Calls of a range by tool, with percentiles: read ready made where the buckets asked for are those of an aggregate,
-- and added up from usage and sketch for the rest.

create or replace function bcp_internal.has_days_of(
    p_time_zone text, p_other text, p_since timestamptz, p_until timestamptz)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Days are known by when they begin. Within the years that matter, as in bcp_internal.grain.
    return not exists (
        select
        from generate_series(
            date_trunc(
                'day',
                greatest(p_since, bcp_internal.now() - bcp_internal.setting('max_event_age')::interval)
                    at time zone p_time_zone),
            least(p_until, bcp_internal.now() + interval '366 days') at time zone p_time_zone + interval '1 day',
            interval '1 day') as day
        where day at time zone p_time_zone is distinct from day at time zone p_other);
end
$func$;

comment on function bcp_internal.has_days_of is
    'Whether the days of a time zone within a range are those of another, as the days of Paris are those of Berlin. '
    'False if the other is null.';

grant execute on function bcp_internal.has_days_of to bcp_reader;

create or replace function bcp_internal.stats_level(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Percentiles do not add up, so a bucket must be one of the aggregate: an hour of a zone that is whole hours from
    -- UTC, or a day of UTC or of a zone that the store keeps. The aggregates have no operation.
    return (
        select 'tool_stats_' || w.suffix
        from (values (interval '1 hour', '1h'), (interval '1 day', '1d'), (interval '1 day', 'local_1d'),
                     (interval '1 day', 'local2_1d'), (interval '1 day', 'local3_1d')) as w (width, suffix)
        where w.width = p_interval
          and bcp_internal.usage_family(p_filters, null) = 'tool_usage'
          and not p_filters ? 'operation'
          and case when starts_with(w.suffix, 'local')
                  then bcp_internal.has_days_of(
                      p_time_zone, bcp_internal.bucket_zone('tool_stats_' || w.suffix), p_since, p_until)
                  else w.suffix = any ((bcp_internal.grain(p_interval, p_time_zone, p_since, p_until)).levels)
              end
        -- Both, if the clock of the zone shows that of UTC all the time.
        order by w.suffix
        limit 1);
end
$func$;

comment on function bcp_internal.stats_level is
    'Aggregate that has the buckets of a question, with their percentiles; null if there is none.';

grant execute on function bcp_internal.stats_level to bcp_reader;

create or replace function bcp_internal.ready_statement(
    p_level text, p_ranges tstzmultirange, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- In the order of the columnstore, which is that of an answer, so that nothing is sorted. Above it, what is made of
    -- a row is made once.
    return format(
        'select bucket, bcp_name, tool_name, calls, successes, errors, timed_calls, sum_duration_ms, min_duration_ms,'
        ' max_duration_ms, %s, %s, bcp_internal.latency_ms(p50_lat_idx), bcp_internal.latency_ms(p95_lat_idx),'
        ' bcp_internal.latency_ms(p99_lat_idx)'
        ' from (select * from bcp.%I where %s%s'
        ' order by bucket desc, calls desc, bcp_name, tool_name offset 0) ready',
        bcp_internal.bounded_bytes('request_bytes'), bcp_internal.bounded_bytes('response_bytes'), p_level,
        bcp_internal.within('bucket', p_ranges), bcp_internal.call_filter(p_filters, p_lists => true));
end
$func$;

comment on function bcp_internal.ready_statement is
    'Statement for the rows of bcp_internal.tool_cells from an aggregate that has their buckets, with percentiles.';

grant execute on function bcp_internal.ready_statement to bcp_reader;

create or replace function bcp_internal.edge_statement(
    p_interval interval, p_ranges tstzmultirange, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Sorting a group's lat_idx takes less than counting by lat_idx, and then running sums.
    return format(
        'select %s as bucket, bcp_name, tool_name, count(*), count(*) filter (where success),'
        ' count(*) filter (where not success), count(duration_ms), sum(duration_ms), min(duration_ms),'
        ' max(duration_ms), %s, %s,'
        ' bcp_internal.latency_ms(percentile_disc(0.5) within group (order by lat_idx)),'
        ' bcp_internal.latency_ms(percentile_disc(0.95) within group (order by lat_idx)),'
        ' bcp_internal.latency_ms(percentile_disc(0.99) within group (order by lat_idx))'
        ' from bcp.tool_usage_logs where %s%s group by 1, 2, 3',
        bcp_internal.bucket_of('start_time', p_interval, 'UTC', '0'), bcp_internal.bounded_bytes('sum(request_bytes)'),
        bcp_internal.bounded_bytes('sum(response_bytes)'), bcp_internal.within('start_time', p_ranges),
        bcp_internal.call_filter(p_filters));
end
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

create or replace function bcp_internal.lat_idxs_at(
    p_lat_idxs smallint[], p_weights double precision[], p_ranks double precision[])
returns smallint[]
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_found smallint[];
    v_up_to double precision := 0;
    v_place integer := 0;
    v_rank double precision;
begin
    foreach v_rank in array p_ranks loop
        while v_up_to < v_rank loop
            v_place := v_place + 1;
            v_up_to := v_up_to + p_weights[v_place];
        end loop;
        v_found := v_found || p_lat_idxs[v_place];
    end loop;
    return v_found;
end
$func$;

comment on function bcp_internal.lat_idxs_at is
    'The lat_idx of the calls with these ranks, from the least rank on. p_lat_idxs are in order, and p_weights says '
    'how many calls each stands for. Null if there are none.';

grant execute on function bcp_internal.lat_idxs_at to bcp_reader;

create or replace function bcp_internal.ranked_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb,
    p_without tstzmultirange default '{}')
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_ranks constant text[] := array[
        bcp_internal.rank_of('0.5', 'total'), bcp_internal.rank_of('0.95', 'total'),
        bcp_internal.rank_of('0.99', 'total')];
    v_scans constant text := bcp_internal.usage_scans(
        p_since, p_until, p_interval, p_time_zone, p_keys || ', lat_idx', p_filters, p_without => p_without);
begin
    if v_scans is null then
        return null;
    end if;
    -- Sorting by one number, and then grouping by hashes, takes half of sorting by the keys and of running sums: each
    -- group gets its rows in order of lat_idx. A sort by the keys would lose this order, so the functions that run this
    -- statement set enable_sort and enable_hashagg.
    return format(
        $query$
            select time_bucket, %1$s, calls, successes, errors, timed_calls, sum_ms, min_ms, max_ms, request_bytes,
                   response_bytes, bcp_internal.latency_ms(found[1]) as p50, bcp_internal.latency_ms(found[2]) as p95,
                   bcp_internal.latency_ms(found[3]) as p99
            from (
                select
                    *, case when most_calls > 1 then bcp_internal.lat_idxs_at(lat_idxs, weights, array[%4$s])
                            else array[%5$s] end as found
                from (
                    select
                        %3$s as time_bucket, %1$s, sum(calls)::bigint as calls,
                        coalesce(sum(successes), 0)::bigint as successes, coalesce(sum(errors), 0)::bigint as errors,
                        sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms, min(min_ms) as min_ms,
                        max(max_ms) as max_ms, %6$s as request_bytes, %7$s as response_bytes,
                        array_agg(lat_idx) filter (where lat_idx is not null) as lat_idxs,
                        array_agg(calls) filter (where lat_idx is not null) as weights,
                        sum(calls) filter (where lat_idx is not null) as total, max(calls) as most_calls
                    from (select * from (%2$s) scans order by lat_idx offset 0) cells
                    group by bucket, %1$s
                    offset 0
                ) grouped
                offset 0
            ) ranked
        $query$,
        p_keys, v_scans, case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end,
        array_to_string(v_ranks, ', '),
        format('lat_idxs[%s::integer], lat_idxs[%s::integer], lat_idxs[%s::integer]', variadic v_ranks),
        bcp_internal.bounded_bytes('sum(request_bytes)'), bcp_internal.bounded_bytes('sum(response_bytes)'));
end
$func$;

comment on function bcp_internal.ranked_statement is
    'Statement that adds up the calls of a range by bucket and by the columns in p_keys, with their percentiles p50, '
    'p95 and p99, where bcp_internal.is_ranked; null if the range, without the ranges p_without, is empty.';

grant execute on function bcp_internal.ranked_statement to bcp_reader;

create or replace function bcp_internal.is_sketched(p_filters jsonb, p_keys text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(
        bcp_internal.usage_family(p_filters, p_keys) = any ('{client_usage,client_tool_usage,failed_usage}'), false)
$func$;

comment on function bcp_internal.is_sketched is
    'Whether aggregates that a question reads have usage and parts of the latency sketch in the same rows, so that '
    'bcp_internal.sketched_statement reads these once.';

grant execute on function bcp_internal.is_sketched to bcp_reader;

create or replace function bcp_internal.sketched_scans(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
    v_filter constant text := bcp_internal.call_filter(p_filters);
    v_start constant text := case when p_interval is null then '' else '%s as bucket, ' end;
    v_by constant text := ' group by ' || case when p_interval is null then '' else '1, ' end || p_keys;
    -- What costs least to add up for each group.
    v_sums constant text :=
        'calls::double precision as calls, successes::double precision as successes,'
        ' errors::double precision as errors, timed_calls::double precision as timed_calls, sum_ms, min_ms, max_ms,'
        ' request_bytes::double precision as request_bytes, response_bytes::double precision as response_bytes';
    v_none constant text := (
        select string_agg('null::double precision as ' || c, ', ' order by n)
        from unnest('{calls,successes,errors,timed_calls,sum_ms,min_ms,max_ms,request_bytes,response_bytes}'::text[])
            with ordinality as u (c, n));
    v_aggregated text;
    v_usage text;
    v_raw text;
begin
    select * into v_grain from bcp_internal.zone_grain(p_interval, p_time_zone, p_since, p_until);
    select
        string_agg(
            format(
                'select %s%s, lat_base, %s, %s from (%s) scan', format(v_start, z.label), p_keys, v_sums,
                bcp_internal.sketch_columns('n%1$s::double precision as n%1$s'),
                -- A month has few rows, so grouping the scan first costs more than it saves.
                case when r.relation ~ '_1mo$'
                    then format(
                        'select %s%s, lat_base, calls, successes, errors, timed_calls, sum_duration_ms as sum_ms,'
                        ' min_duration_ms as min_ms, max_duration_ms as max_ms, request_bytes, response_bytes, %s'
                        ' from %s',
                        t.start, p_keys, bcp_internal.sketch_columns('n%s'), t.source)
                    else format(
                        'select %s%s, lat_base, %s, %s from %s%s, lat_base', t.start, p_keys,
                        bcp_internal.sums_of_calls(r.relation), bcp_internal.sketch_columns('sum(n%1$s) as n%1$s'),
                        t.source, v_by)
                end), ' union all ')
            filter (where not k.keeps_lat_idx),
        -- Two vectorised scans, one of usage and one of counts by lat_idx, take less than one of both by lat_idx.
        string_agg(
            format(
                'select %s%s, null::smallint as lat_base, %s, %s from (select %s%s, %s from %s%s) scan',
                format(v_start, z.label), p_keys, v_sums,
                bcp_internal.sketch_columns('0::double precision as n%1$s'), t.start, p_keys,
                bcp_internal.sums_of_calls(r.relation), t.source, v_by), ' union all ')
            filter (where k.keeps_lat_idx and r.relation <> 'tool_usage_logs'),
        string_agg(
            case r.relation when 'tool_usage_logs'
                then format(
                    'select %s%s, lat_idx, calls::double precision as in_sketch, %s from'
                    ' (select %s%s, lat_idx, %s from %s%s, lat_idx) scan',
                    format(v_start, z.label), p_keys, v_sums, t.start, p_keys,
                    bcp_internal.sums_of_calls(r.relation), t.source, v_by)
                else format(
                    'select %s%s, lat_idx, in_sketch, %s from'
                    ' (select %s%s, lat_idx, sum(calls::double precision) as in_sketch from %s and lat_idx is not null'
                    '%s, lat_idx) scan',
                    format(v_start, z.label), p_keys, v_none, t.start, p_keys, t.source, v_by)
            end, ' union all ')
            filter (where k.keeps_lat_idx)
    into v_aggregated, v_usage, v_raw
    from bcp_internal.usage_family(p_filters, p_keys) f
    cross join lateral bcp_internal.pieces(
        f.family, v_grain.levels, p_since, p_until, bcp_internal.ranges_without(p_filters, p_since, p_until),
        v_grain.cuts) r
    cross join lateral bcp_internal.zone_parts(r.ranges, p_interval, v_grain.zone, v_grain.shift) z
    cross join lateral (
        select case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end) as n (time)
    cross join lateral bcp_internal.keeps_lat_idx(r.relation) as k (keeps_lat_idx)
    cross join lateral (
        select format(v_start, bcp_internal.bucket_of(n.time, p_interval, z.zone, z.shift)),
               format('bcp.%I where %s%s', r.relation, bcp_internal.within(n.time, z.ranges), v_filter)
    ) as t (start, source);
    -- Counting by lat_idx is vectorised and folding the counts is not, as in bcp_internal.sketch_statement.
    if v_raw is not null then
        v_raw := format(
            'select %s%s, (lat_idx & -32)::smallint as lat_base, sum(calls) as calls, sum(successes) as successes,'
            ' sum(errors) as errors, sum(timed_calls) as timed_calls, sum(sum_ms) as sum_ms, min(min_ms) as min_ms,'
            ' max(max_ms) as max_ms, sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes, %s'
            ' from (select *, lat_idx & 31 as place from (%s) counted offset 0) placed%s, lat_base',
            format(v_start, 'bucket'), p_keys,
            bcp_internal.sketch_columns('coalesce(sum(in_sketch) filter (where place = %1$s), 0) as n%1$s'), v_raw,
            v_by);
    end if;
    return nullif(concat_ws(' union all ', v_aggregated, v_usage, v_raw), '');
end
$func$;

comment on function bcp_internal.sketched_scans is
    'Scans for bcp_internal.sketched_statement, each of which adds up its own rows: bucket (unless the interval is '
    'null), the columns in p_keys, lat_base, the sums, and the counts n0 to n31. Null if the range is empty.';

grant execute on function bcp_internal.sketched_scans to bcp_reader;

create or replace function bcp_internal.sketched_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_scans constant text := bcp_internal.sketched_scans(
        p_since, p_until, p_interval, p_time_zone, p_keys, p_filters);
    v_keys constant text := concat_ws(', ', case when p_interval is not null then 'bucket' end, p_keys);
begin
    if v_scans is null then
        return null;
    end if;
    -- The rank of a percentile lies in one row of the sketch, as in bcp_internal.quantile_statement. A call without a
    -- duration has no lat_base, and comes last.
    return format(
        $query$
            select %3$s as time_bucket, %2$s, sum(calls)::bigint as calls, sum(successes)::bigint as successes,
                   sum(errors)::bigint as errors, sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms,
                   min(min_ms) as min_ms, max(max_ms) as max_ms, %8$s as request_bytes, %9$s as response_bytes, %6$s
            from (
                select
                    c.*, sum(in_sketch) over (partition by %4$s order by lat_base rows unbounded preceding) as up_to,
                    sum(in_sketch) over (partition by %4$s) as total
                from (
                    select
                        %4$s, lat_base, coalesce(sum(calls), 0) as calls, coalesce(sum(successes), 0) as successes,
                        coalesce(sum(errors), 0) as errors, sum(timed_calls) as timed_calls, sum(sum_ms) as sum_ms,
                        min(min_ms) as min_ms, max(max_ms) as max_ms, sum(request_bytes) as request_bytes,
                        sum(response_bytes) as response_bytes, %5$s as in_sketch, array[%7$s] as counts
                    from (%1$s) scans
                    group by %4$s, lat_base
                ) c
            ) ranked
            group by %4$s
        $query$,
        v_scans, p_keys, case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end, v_keys,
        bcp_internal.sketch_columns('sum(n%s)', ' + '),
        (select string_agg(
             format(
                 'bcp_internal.latency_ms(max(lat_base + bcp_internal.sketch_place('
                 'counts, %s - (up_to - in_sketch) - 0.5)) filter (where %s)) as p%s',
                 r.rank, bcp_internal.has_rank(r.rank, 'in_sketch'), p * 100), ', ' order by p)
         from unnest('{0.5,0.95,0.99}'::double precision[]) as p
         cross join lateral bcp_internal.rank_of(p::text, 'total') as r (rank)),
        bcp_internal.sketch_columns('sum(n%s)'), bcp_internal.bounded_bytes('sum(request_bytes)'),
        bcp_internal.bounded_bytes('sum(response_bytes)'));
end
$func$;

comment on function bcp_internal.sketched_statement is
    'Statement that adds up the calls of a range as bcp_internal.ranked_statement does, where '
    'bcp_internal.is_sketched; null if the range is empty.';

grant execute on function bcp_internal.sketched_statement to bcp_reader;

create or replace function bcp_internal.tool_statements(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb,
    p_timed boolean default true)
returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_level constant text := bcp_internal.stats_level(p_since, p_until, p_interval, p_time_zone, p_filters);
    v_ready tstzmultirange := '{}';
    v_left tstzmultirange;
    v_are_edges boolean;
    v_scan text;
begin
    if v_level is not null then
        v_ready := bcp_internal.covered(v_level, bcp_internal.finite(p_since, p_until));
    end if;
    if not isempty(v_ready) then
        v_left := bcp_internal.finite(p_since, p_until) - v_ready;
        -- Raw rows answer for the hour that is not over, and for the other end of the range, because two statements of
        -- many pieces would take longer. Older ones may have been dropped.
        v_are_edges := isempty(v_left) or v_level = 'tool_stats_1h'
            and (select sum(upper(r) - lower(r)) <= interval '3 hours' from unnest(v_left) r)
            and lower(v_left) >= coalesce((
                select bcp_internal.now() - bcp_internal.refresh_start(r.retention_days)
                from bcp.data_retention_policies r
                where r.table_name = 'tool_usage_logs'), 'infinity');
        if v_are_edges then
            return array(
                select p.statement
                from (
                    select r, bcp_internal.ready_statement(v_level, tstzmultirange(r), p_filters)
                    from unnest(v_ready) r
                    union all
                    select r, bcp_internal.edge_statement(p_interval, tstzmultirange(r), p_filters)
                    from unnest(v_left) r
                ) as p (range, statement)
                order by p.range desc);
        end if;
        v_scan := bcp_internal.ready_statement(v_level, v_ready, p_filters);
    end if;
    if p_timed and bcp_internal.is_ranked(p_filters, 'bcp_name, tool_name', p_interval) then
        return array_remove(
            array[bcp_internal.ranked_statement(
                p_since, p_until, p_interval, p_time_zone, 'bcp_name, tool_name', p_filters)], null);
    elsif p_timed and bcp_internal.is_sketched(p_filters, 'bcp_name, tool_name') then
        return array_remove(
            array[bcp_internal.sketched_statement(
                p_since, p_until, p_interval, p_time_zone, 'bcp_name, tool_name', p_filters)], null);
    end if;
    return array[concat_ws(' union all ', v_scan, format(
        'select u.time_bucket, u.bcp_name, u.tool_name, u.calls, u.successes, u.errors, u.timed_calls,'
        ' u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes, %1$s'
        ' from bcp_internal.usage_cells('
        '%3$L, %4$L, %5$L, %6$L, %7$L, p_by_operation => false, p_without => %8$L) u%2$s',
        case when p_timed then 'q.durations_ms[1], q.durations_ms[2], q.durations_ms[3]'
             else 'null::double precision, null::double precision, null::double precision' end,
        case when p_timed then format(
            ' left join bcp_internal.latency_quantiles(%L, %L, %L, %L, ''{0.5,0.95,0.99}'', %L, p_without => %L) q'
            ' using (time_bucket, bcp_name, tool_name)',
            p_since, p_until, p_interval, p_time_zone, p_filters, v_ready) end,
        p_since, p_until, p_interval, p_time_zone, p_filters, v_ready))];
end
$func$;

comment on function bcp_internal.tool_statements is
    'Statements for the rows of bcp_internal.tool_cells, with its columns in their order. No bucket is in two of them, '
    'and those with the latest come first.';

grant execute on function bcp_internal.tool_statements to bcp_reader;

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
set enable_hashagg = on
as $func$
declare
    v_statement text;
begin
    foreach v_statement in array bcp_internal.tool_statements(
        p_since, p_until, p_interval, p_time_zone, p_filters, p_timed)
    loop
        return query execute v_statement;
    end loop;
end
$func$;

comment on function bcp_internal.tool_cells is
    'Calls of a range by bucket, bundle and tool, with percentiles as the sketch has them, which are null unless '
    'p_timed. If the interval is null, one bucket begins at p_since. Filters work as in bcp_internal.usage_cells.';

grant execute on function bcp_internal.tool_cells to bcp_reader;
