-- The latency sketch of a range, added up: what answers about durations are made from.
--
-- The statement is put together for each question, for the reasons in sql/40_query_usage.sql.

create or replace function bcp_internal.sketch_columns(p_format text, p_separator text default ', ') returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (select string_agg(format(p_format, n), p_separator order by n) from generate_series(0, 31) n);
end
$func$;

comment on function bcp_internal.sketch_columns is
    'Expressions for the 32 counts of a row of the sketch, with commas between them: the format, filled with each '
    'number from 0 to 31.';

grant execute on function bcp_internal.sketch_columns to bcp_reader;

create or replace function bcp_internal.sketch_scans(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb,
    p_without tstzmultirange default '{}',
    out aggregated text, out raw text, out is_grouped boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_grain record;
    v_days tstzmultirange := '{}';
    v_hours tstzmultirange := '{}';
    v_split tstzmultirange := '{}';
    v_split_scans text;
    v_filter constant text := bcp_internal.call_filter(p_filters);
    -- The sketch of tools leaves out their lists, and its days and months have no operation.
    v_sketch_filter constant text := bcp_internal.call_filter(p_filters, p_lists => true);
    v_keys constant text := coalesce(p_keys || ', ', '');
    -- If one bucket holds the whole range, only the final select names it, because each column costs time for each row.
    v_start constant text := case when p_interval is null then '' else '%s as bucket, ' end;
    v_by constant text := case when p_interval is null then '' else '1, ' end;
    v_small constant text := '_1mo$|^call_latency_';
    v_sums constant text := bcp_internal.sketch_columns('sum(n%1$s) as n%1$s');
    v_cast constant text := bcp_internal.sketch_columns('n%1$s::double precision as n%1$s');
begin
    select * into v_grain from bcp_internal.zone_grain(p_interval, p_time_zone, p_since, p_until);
    -- All tools together have a sketch of their own. Those by tool have what it has not seen, as in
    -- bcp_internal.total_statement.
    if p_keys is null and p_filters = '{}' then
        if '1d' = any (v_grain.levels) then
            v_days := bcp_internal.covered(
                'call_latency_1d', bcp_internal.finite(p_since, p_until) - p_without, v_grain.cuts);
        end if;
        if '1h' = any (v_grain.levels) then
            v_hours := bcp_internal.covered(
                'call_latency_1h', bcp_internal.finite(p_since, p_until) - p_without - v_days, v_grain.cuts);
        end if;
    elsif bcp_internal.usage_family(p_filters, p_keys) = 'tool_usage' and not p_filters ? 'operation' then
        select d.scans, d.ranges into v_split_scans, v_split
        from bcp_internal.split_days(
            p_interval, p_time_zone, bcp_internal.finite(p_since, p_until) - p_without, v_keys, v_sketch_filter) d;
    end if;
    select
        string_agg(
            case
                -- These have few rows a bucket, so grouping the scan first costs more than it saves.
                when r.relation ~ v_small and z.label = 'bucket' then format(
                    'select %s%slat_base, %s from bcp.%I where %s%s',
                    format(v_start, bcp_internal.bucket_of('bucket', p_interval, z.zone, z.shift)), v_keys, v_cast,
                    r.relation, bcp_internal.within('bucket', z.ranges), k.filter)
                else format(
                    'select %s%slat_base, %s from'
                    ' (select %s%slat_base, %s from bcp.%I where %s%s'
                    ' group by %s%slat_base) scan',
                    format(v_start, z.label), v_keys, v_cast,
                    format(v_start, bcp_internal.bucket_of('bucket', p_interval, z.zone, z.shift)), v_keys, v_sums,
                    r.relation, bcp_internal.within('bucket', z.ranges), k.filter, v_by, v_keys)
            end, ' union all ')
            filter (where not bcp_internal.keeps_lat_idx(r.relation)),
        string_agg(
            format(
                'select %s%slat_idx, calls from (select %s%slat_idx, %s as calls from bcp.%I'
                ' where %s and lat_idx is not null%s group by %s%slat_idx) scan',
                format(v_start, z.label), v_keys,
                format(v_start, bcp_internal.bucket_of(k.column_name, p_interval, z.zone, z.shift)), v_keys,
                case r.relation when 'tool_usage_logs' then 'count(*)' else 'sum(calls)' end, r.relation,
                bcp_internal.within(k.column_name, z.ranges), v_filter, v_by, v_keys), ' union all ')
            filter (where bcp_internal.keeps_lat_idx(r.relation)),
        count(*) = 1 and min(r.relation) !~ v_small
    into aggregated, raw, is_grouped
    from bcp_internal.usage_family(p_filters, p_keys) f
    cross join lateral (
        select 'call_latency_1d', v_days
        where not isempty(v_days)
        union all
        select 'call_latency_1h', v_hours
        where not isempty(v_hours)
        union all
        select p.relation, p.ranges
        from bcp_internal.pieces(
            case when f.family <> 'tool_usage' then f.family else 'tool_latency' end,
            case
                when f.family is null or f.family = 'tool_usage' and p_filters ->> 'operation' = 'tools/list' then '{}'
                -- Days and months have no operation.
                when f.family = 'tool_usage' and p_filters ? 'operation'
                then array(select unnest(v_grain.levels) intersect select '1h')
                else v_grain.levels
            end,
            p_since, p_until,
            p_without + v_days + v_hours + v_split + bcp_internal.ranges_without(p_filters, p_since, p_until),
            v_grain.cuts) p
    ) as r (relation, ranges)
    cross join lateral bcp_internal.zone_parts(r.ranges, p_interval, v_grain.zone, v_grain.shift) z
    cross join lateral (
        select case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end,
               case when r.relation ~ '_latency_' then v_sketch_filter
                    else v_filter || ' and lat_base is not null' end
    ) as k (column_name, filter);
    aggregated := nullif(concat_ws(' union all ', v_split_scans, aggregated), '');
    is_grouped := is_grouped and v_split_scans is null;
end
$func$;

comment on function bcp_internal.sketch_scans is
    'Scans for bcp_internal.sketch_statement: aggregated reads rows of the sketch, raw counts calls by lat_idx (of the '
    'raw table, or of aggregates that keep lat_idx as it is), and '
    'either is null if it has nothing to read. is_grouped says that a single scan has everything and groups it.';

grant execute on function bcp_internal.sketch_scans to bcp_reader;

create or replace function bcp_internal.sketch_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb,
    p_without tstzmultirange default '{}')
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_scans record;
    v_keys constant text := coalesce(p_keys || ', ', '');
    v_bucket constant text := case when p_interval is null then '' else 'bucket, ' end;
    v_group constant text := format(' group by %s%slat_base', v_bucket, v_keys);
    v_folded text;
    v_sum text;
begin
    select * into v_scans
    from bcp_internal.sketch_scans(p_since, p_until, p_interval, p_time_zone, p_keys, p_filters, p_without);
    if v_scans.aggregated is null and v_scans.raw is null then
        return null;
    elsif v_scans.raw is not null then
        -- Counting raw rows by lat_idx is vectorised and folding the counts is not, so counting comes first. offset 0
        -- keeps the planner from replacing place by its expression in each of the 32 conditions.
        v_folded := format(
            'select %s%slat_base, %s from (select %s%s(lat_idx & -32)::smallint as lat_base, lat_idx & 31 as place,'
            ' calls::double precision as calls from (%s) counted offset 0) folded%s',
            v_bucket, v_keys,
            bcp_internal.sketch_columns('coalesce(sum(calls) filter (where place = %1$s), 0) as n%1$s'),
            v_bucket, v_keys, v_scans.raw, v_group);
    end if;
    -- Grouping again what one scan has grouped would double the cost where a tool has a row or more.
    v_sum := case when v_scans.is_grouped then 'n%s' else 'sum(n%s)' end;
    return format(
        'select %s, %slat_base, %s as calls, array[%s] as counts from (%s) scans%s',
        case when p_interval is null then 'null::timestamptz as bucket' else 'bucket' end, v_keys,
        bcp_internal.sketch_columns(v_sum, ' + '), bcp_internal.sketch_columns(v_sum),
        concat_ws(' union all ', v_scans.aggregated, v_folded), case when v_scans.is_grouped then '' else v_group end);
end
$func$;

comment on function bcp_internal.sketch_statement is
    'Statement that adds up the latency sketch of a range. Its columns are bucket, the columns in p_keys if any, '
    'lat_base, calls, and counts: an array of n0 to n31 as in bcp.tool_latency_1d, of which calls is the sum. Null if '
    'the range, without the ranges p_without, is empty.';

grant execute on function bcp_internal.sketch_statement to bcp_reader;

create or replace function bcp_internal.band_starts(p_bands double precision[]) returns integer[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- The logarithm comes near, and the comparison decides. A bound beyond what a smallint holds begins no band.
    select array_agg(coalesce(
        (
            select min(i)
            from generate_series(e.near - 3, e.near + 3) as i
            where bcp_internal.latency_ms(i) >= b.bound
        ), 32768) order by b.n)
    from unnest(p_bands) with ordinality as b (bound, n)
    cross join lateral (
        select least(greatest(floor(ln(b.bound) / ln(1.02::double precision)), -32764), 32764)::integer
    ) as e (near)
$func$;

comment on function bcp_internal.band_starts(double precision[]) is
    'First lat_idx of each band of durations, from the bounds between bands in milliseconds.';

grant execute on function bcp_internal.band_starts to bcp_reader;

create or replace function bcp_internal.latency_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb, p_bands double precision[])
returns table (time_bucket timestamptz, band integer, calls bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_sketch constant text := bcp_internal.sketch_statement(
        p_since, p_until, p_interval, p_time_zone, null, p_filters);
begin
    if v_sketch is null then
        return;
    end if;
    -- Most rows of the sketch lie in one band as a whole, and need no look at their counts.
    return query execute format(
        $query$
            select coalesce(s.bucket, %L), width_bucket(s.lat_base + c.place::integer - 1, $1), sum(c.calls)::bigint
            from (%s) s
            cross join lateral unnest(
                case when width_bucket(s.lat_base::integer, $1) = width_bucket(s.lat_base + 31, $1)
                     then array[s.calls] else s.counts end) with ordinality as c (calls, place)
            where c.calls > 0
            group by 1, 2
        $query$, p_since, v_sketch)
    using bcp_internal.band_starts(p_bands);
end
$func$;

comment on function bcp_internal.latency_cells is
    'Calls of a range by bucket and band of durations, all tools together, from the latency sketch. p_bands are the '
    'bounds between bands in milliseconds; band 0 lies below the first. If the interval is null, one bucket begins at '
    'p_since. Filters work as in bcp_internal.usage_cells.';

grant execute on function bcp_internal.latency_cells to bcp_reader;

create or replace function bcp_internal.sketch_rows(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (time_bucket timestamptz, lat_base smallint, calls double precision, counts text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_sketch constant text := bcp_internal.sketch_statement(
        p_since, p_until, p_interval, p_time_zone, null, p_filters);
begin
    if v_sketch is not null then
        return query execute format('select s.bucket, s.lat_base, s.calls, s.counts::text from (%s) s', v_sketch);
    end if;
end
$func$;

comment on function bcp_internal.sketch_rows is
    'Rows of bcp_internal.sketch_statement, all tools together, for a head that adds up those of its shards: 32 counts '
    'a row, because a row for each lat_idx would cost ten times as much to send. The counts are text, because reading '
    'arrays is most of the work of a head, and it needs few of them.';

grant execute on function bcp_internal.sketch_rows to bcp_reader;

create or replace function bcp_internal.sketch_place(p_counts double precision[], p_before double precision)
returns integer
language plpgsql immutable strict parallel safe
-- No search_path: setting it took a third of each call. Every name is qualified instead.
as $func$
declare
    v_left double precision := p_before;
    v_first integer := 1;
    -- One long expression takes less than half of the loop.
    v_half constant double precision :=
        p_counts[1] operator(pg_catalog.+) p_counts[2] operator(pg_catalog.+) p_counts[3] operator(pg_catalog.+)
            p_counts[4] operator(pg_catalog.+) p_counts[5] operator(pg_catalog.+) p_counts[6] operator(pg_catalog.+)
            p_counts[7] operator(pg_catalog.+) p_counts[8] operator(pg_catalog.+) p_counts[9] operator(pg_catalog.+)
            p_counts[10] operator(pg_catalog.+) p_counts[11] operator(pg_catalog.+) p_counts[12]
            operator(pg_catalog.+) p_counts[13] operator(pg_catalog.+) p_counts[14] operator(pg_catalog.+)
            p_counts[15] operator(pg_catalog.+) p_counts[16];
begin
    if v_left operator(pg_catalog.>=) v_half then
        v_left := v_left operator(pg_catalog.-) v_half;
        v_first := 17;
    end if;
    for i in v_first..pg_catalog.cardinality(p_counts) loop
        v_left := v_left operator(pg_catalog.-) p_counts[i];
        if v_left operator(pg_catalog.<) 0::double precision then
            return i operator(pg_catalog.-) 1;
        end if;
    end loop;
    return null;
end
$func$;

comment on function bcp_internal.sketch_place is
    'Which count of a row of the sketch, from 0, holds the call before which the row has p_before calls; null if the '
    'row has fewer calls.';

grant execute on function bcp_internal.sketch_place to bcp_reader;

create or replace function bcp_internal.rank_of(p_percentile text, p_total text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select format('greatest(ceil(%s::double precision * %s), 1)', p_percentile, p_total)
$func$;

comment on function bcp_internal.rank_of is
    'Expression for the rank by duration of the call whose duration is a percentile, as percentile_disc has it, of the '
    'expressions for the percentile and for the number of calls.';

grant execute on function bcp_internal.rank_of to bcp_reader;

create or replace function bcp_internal.has_rank(p_rank text, p_calls text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select format('%1$s > up_to - %2$s and %1$s <= up_to', p_rank, p_calls)
$func$;

comment on function bcp_internal.has_rank is
    'Condition that the call of a rank is in a row, of which p_calls is the number of calls, and up_to that of all '
    'calls up to and in it.';

grant execute on function bcp_internal.has_rank to bcp_reader;

create or replace function bcp_internal.quantile_statement(
    p_sketch text, p_start timestamptz, p_by_tool boolean, p_percentiles integer)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_keys constant text := nullif(concat_ws(
        ', ', case when p_start is null then 'bucket' end, case when p_by_tool then 'bcp_name, tool_name' end), '');
begin
    -- The rank of a percentile lies in one row of the sketch, and there in the first column at which the running sum of
    -- calls reaches it.
    --
    -- A store may have a million tools that are each called a few times. So rows with one call drop their counts before
    -- the sort, and one sort serves all that follows. A join with the percentiles would lose the order of the sort,
    -- unnest in the list of columns keeps it. The planner uses the order only where each level asks for it.
    return format(
        $query$
            with cells as (
                select %1$s lat_base, calls, case when calls > 1 then counts end as counts,
                       case when calls = 1 then array_position(counts, 1) - 1 end as place
                from (%2$s) sketch
                order by %1$s lat_base
                offset 0
            ), ranked as (
                select
                    s.*, sum(s.calls) over (%3$s order by s.lat_base rows unbounded preceding) as up_to,
                    sum(s.calls) over (%3$s) as total
                from cells s
            ), sought as (
                select r.*, unnest(array_remove(array[%8$s]::integer[], null)) as ordinal
                from ranked r
                %9$s
            ), found as (
                -- offset 0, because latency_ms is not inlined where its argument is expensive.
                select
                    %1$s s.ordinal, s.total,
                    s.lat_base + case
                        when s.calls = 1 then s.place
                        else bcp_internal.sketch_place(
                            s.counts, %10$s - (s.up_to - s.calls) - 0.5)
                    end as lat_idx
                from sought s
                %9$s
                offset 0
            )
            select %4$s, %5$s, max(total)::bigint, array[%6$s]::double precision[]
            from found
            %7$s
            having count(*) > 0
        $query$,
        coalesce(v_keys || ',', ''), p_sketch, coalesce('partition by ' || v_keys, ''),
        case when p_start is null then 'bucket' else format('%L::timestamptz', p_start) end,
        case when p_by_tool then 'bcp_name, tool_name' else 'null::text, null::text' end,
        (select string_agg(
             format('bcp_internal.latency_ms(max(lat_idx) filter (where ordinal = %s))', n), ', ' order by n)
         from generate_series(1, p_percentiles) n),
        coalesce('group by ' || v_keys, ''),
        (select string_agg(
             format(
                 'case when %s then %s end',
                 bcp_internal.has_rank(bcp_internal.rank_of(format('$1[%s]', n), 'total'), 'calls'), n),
             ', ' order by n)
         from generate_series(1, p_percentiles) n),
        coalesce('order by ' || v_keys, ''), bcp_internal.rank_of('$1[s.ordinal]', 's.total'));
end
$func$;

comment on function bcp_internal.quantile_statement is
    'Statement for the rows of bcp_internal.latency_quantiles, from the statement of a sketch. $1 is the array of '
    'percentiles, of which there are p_percentiles. p_start is where the one bucket begins; null if there are several.';

grant execute on function bcp_internal.quantile_statement to bcp_reader;

create or replace function bcp_internal.latency_quantiles(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_percentiles double precision[],
    p_filters jsonb, p_by_tool boolean default true, p_without tstzmultirange default '{}')
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, timed_calls bigint, durations_ms double precision[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_ready tstzmultirange := '{}';
    v_sketch text;
begin
    -- Hours of all tools together are ready, as those of each tool are for bcp_internal.tool_cells.
    if not p_by_tool and p_interval = interval '1 hour' and p_filters = '{}' and p_percentiles = '{0.5,0.95,0.99}'
        and '1h' = any ((bcp_internal.grain(p_interval, p_time_zone, p_since, p_until)).levels)
    then
        v_ready := bcp_internal.covered('call_stats_1h', bcp_internal.finite(p_since, p_until) - p_without);
        if not isempty(v_ready) then
            return query execute format(
                'select bucket, null::text, null::text, timed_calls, array[bcp_internal.latency_ms(p50_lat_idx),'
                ' bcp_internal.latency_ms(p95_lat_idx), bcp_internal.latency_ms(p99_lat_idx)]'
                ' from bcp.call_stats_1h where timed_calls > 0 and %s', bcp_internal.within('bucket', v_ready));
        end if;
    end if;
    v_sketch := bcp_internal.sketch_statement(
        p_since, p_until, p_interval, p_time_zone, case when p_by_tool then 'bcp_name, tool_name' end, p_filters,
        p_without + v_ready);
    if v_sketch is not null then
        return query execute bcp_internal.quantile_statement(
            v_sketch, case when p_interval is null then p_since end, p_by_tool, cardinality(p_percentiles))
        using p_percentiles;
    end if;
end
$func$;

comment on function bcp_internal.latency_quantiles is
    'Percentiles of the durations, all in one pass and in the order of p_percentiles, by bucket, bundle and tool, or '
    'by bucket alone if p_by_tool is false. They are within 1 percent of percentile_disc. Filters work as in '
    'bcp_internal.usage_cells. Leaves out the ranges p_without.';

grant execute on function bcp_internal.latency_quantiles to bcp_reader;
