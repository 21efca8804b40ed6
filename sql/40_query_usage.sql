-- Calls of a range, added up: what answers about usage are made from.
--
-- The statement is put together anew for each question, with one scan per piece of the range (bcp_internal.pieces).
-- Each scan groups its own rows, because TimescaleDB aggregates a columnstore vectorised only where the grouping is
-- right above the scan, and for a single chunk only where the grouping casts nothing. Times are constants, so that
-- TimescaleDB looks at no chunk outside the range.

create or replace function bcp_internal.sums_of_calls() returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Durations in milliseconds are made as those of raw rows are, so that both are equal to the last bit.
    select 'sum(calls) as calls, sum(calls) filter (where success) as successes,'
        ' sum(calls) filter (where not success) as errors, sum(timed_calls) as timed_calls,'
        ' sum(sum_duration_us)::double precision / 1000000 * 1000 as sum_ms,'
        ' least(min(min_duration_us), min(sum_duration_us) filter (where calls = 1))::double precision / 1000000 * 1000'
        ' as min_ms,'
        ' greatest(max(max_duration_us), max(sum_duration_us) filter (where calls = 1))::double precision / 1000000'
        ' * 1000 as max_ms,'
        ' sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes,'
        ' sum(given_tokens) as given_tokens, sum(given_bytes) as given_bytes'
$func$;

comment on function bcp_internal.sums_of_calls is
    'Sums over rows of bcp.user_usage_1d, or of another aggregate with its columns, as bcp_internal.usage_statement '
    'wants them.';

grant execute on function bcp_internal.sums_of_calls to bcp_reader;

create or replace function bcp_internal.usage_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text,
    p_filters jsonb, p_lists boolean default false, p_without tstzmultirange default '{}')
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
    v_filter constant text := bcp_internal.call_filter(p_filters, p_lists);
    v_group constant text := coalesce(
        ' group by ' || nullif(concat_ws(', ', case when p_interval is not null then '1' end, p_keys), ''), '');
    v_keys constant text := coalesce(p_keys || ', ', '');
    v_scans text;
begin
    select * into v_grain from bcp_internal.zone_grain(p_interval, p_time_zone, p_since, p_until);
    select string_agg(
        format(
            'select %s as bucket, %scalls::bigint as calls, successes::bigint as successes, errors::bigint as errors,'
            ' timed_calls::bigint as timed_calls, sum_ms, min_ms, max_ms,'
            ' request_bytes::double precision as request_bytes, response_bytes::double precision as response_bytes,'
            ' given_tokens::double precision as given_tokens, given_bytes::double precision as given_bytes'
            ' from (%s) scan',
            z.label, v_keys,
            case
                when r.relation = 'tool_usage_logs' then format(
                    'select %s as bucket, %scount(*) as calls, count(*) filter (where success) as successes,'
                    ' count(*) filter (where not success) as errors, count(duration_ms) as timed_calls,'
                    ' sum(duration_ms) as sum_ms,'
                    ' min(duration_ms) as min_ms, max(duration_ms) as max_ms, sum(request_bytes) as request_bytes,'
                    ' sum(response_bytes) as response_bytes, sum(response_tokens) as given_tokens,'
                    ' sum(response_bytes) filter (where response_tokens is not null) as given_bytes'
                    ' from bcp.tool_usage_logs where %s%s%s',
                    bcp_internal.bucket_of('start_time', p_interval, z.zone, z.shift), v_keys,
                    bcp_internal.within('start_time', z.ranges), v_filter, v_group)
                when f.family <> 'tool_usage' then format(
                    'select %s as bucket, %s%s from bcp.%I where %s%s%s',
                    bcp_internal.bucket_of('bucket', p_interval, z.zone, z.shift), v_keys,
                    bcp_internal.sums_of_calls(), r.relation, bcp_internal.within('bucket', z.ranges), v_filter,
                    v_group)
                else format(
                    'select %s as bucket, %ssum(calls) as calls, sum(successes) as successes,'
                    ' sum(errors) as errors, sum(timed_calls) as timed_calls, sum(sum_duration_ms) as sum_ms,'
                    ' min(min_duration_ms) as min_ms, max(max_duration_ms) as max_ms,'
                    ' sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes,'
                    ' sum(given_tokens) as given_tokens, sum(given_bytes) as given_bytes'
                    ' from bcp.%I where %s%s%s',
                    bcp_internal.bucket_of('bucket', p_interval, z.zone, z.shift), v_keys, r.relation,
                    bcp_internal.within('bucket', z.ranges), v_filter, v_group)
            end),
        ' union all ')
    into v_scans
    from bcp_internal.usage_family(p_filters, p_keys) f
    cross join lateral bcp_internal.pieces(
        coalesce(f.family, 'tool_usage'), case when f.family is null then '{}' else v_grain.levels end,
        p_since, p_until, p_without, v_grain.cuts) r
    cross join lateral bcp_internal.zone_parts(r.ranges, p_interval, v_grain.zone, v_grain.shift) z;
    if v_scans is null then
        return null;
    end if;
    -- Earlier calls may claim any number of bytes. A sum that exceeds bigint would fail the whole answer, so it is
    -- bounded.
    return format(
        'select %s as time_bucket, %ssum(calls)::bigint as calls, coalesce(sum(successes), 0)::bigint as successes,'
        ' coalesce(sum(errors), 0)::bigint as errors, sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms,'
        ' min(min_ms) as min_ms, max(max_ms) as max_ms,'
        ' least(greatest(coalesce(sum(request_bytes), 0), 0), 9e18)::bigint as request_bytes,'
        ' least(greatest(coalesce(sum(response_bytes), 0), 0), 9e18)::bigint as response_bytes,'
        ' coalesce(sum(given_tokens), 0) as given_tokens, coalesce(sum(given_bytes), 0) as given_bytes'
        ' from (%s) scans%s having sum(calls) > 0',
        case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end, v_keys, v_scans,
            v_group);
end
$func$;

comment on function bcp_internal.usage_statement is
    'Statement that adds up the calls of a range by bucket and by the columns in p_keys, if any; its columns are those '
    'of bcp_internal.usage_cells. Null if the range, without the ranges p_without, is empty. bcp_internal.usage_family '
    'says which aggregates have the columns of the filters and keys; if none has, all rows come from the raw table.';

grant execute on function bcp_internal.usage_statement to bcp_reader;

create or replace function bcp_internal.usage_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb, p_by_operation boolean default true, p_lists boolean default false,
    p_without tstzmultirange default '{}')
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, operation text, calls bigint, successes bigint,
    errors bigint,
    timed_calls bigint, sum_duration_ms double precision, min_duration_ms double precision,
    max_duration_ms double precision, request_bytes bigint, response_bytes bigint,
    given_tokens double precision, given_bytes double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Aggregates answer faster than PostgreSQL can compile a statement or start workers. Over raw rows workers are worth
-- it. Without enable_sort the planner groups by hashes. If it expects many groups, it would sort each chunk instead,
-- and what is sorted is not aggregated vectorised: that took up to four times as long. A sort that an answer needs
-- still happens.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_usage constant text := bcp_internal.usage_statement(
        p_since, p_until, p_interval, p_time_zone,
        'bcp_name, tool_name' || case when p_by_operation then ', operation' else '' end,
        p_filters, p_lists, p_without);
begin
    if v_usage is not null then
        return query execute format(
            'select u.time_bucket, u.bcp_name, u.tool_name, %s, u.calls, u.successes, u.errors, u.timed_calls,'
            ' u.sum_ms, u.min_ms, u.max_ms, u.request_bytes, u.response_bytes, u.given_tokens, u.given_bytes'
            ' from (%s) u',
            case when p_by_operation then 'u.operation' else 'null::text' end, v_usage);
    end if;
end
$func$;

comment on function bcp_internal.usage_cells is
    'Calls of a range by bucket, bundle, tool and, unless p_by_operation is false, operation. If the interval is null, '
    'one bucket begins at p_since. Lists of tools count as in bcp_internal.call_filter. Leaves out the ranges '
    'p_without.';

grant execute on function bcp_internal.usage_cells to bcp_reader;
