-- Calls of a range, added up: what answers about usage are made from.
--
-- The statement is put together anew for each question, with one scan per piece of the range (bcp_internal.pieces).
-- Each scan groups its own rows, because TimescaleDB aggregates a columnstore vectorised only where the grouping is
-- right above the scan, and for a single chunk only where the grouping casts nothing. Times are constants, so that
-- TimescaleDB looks at no chunk outside the range.

create or replace function bcp_internal.keeps_lat_idx(p_relation text) returns boolean
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return p_relation in ('tool_usage_logs', 'user_usage_1d', 'failed_usage_1h');
end
$func$;

comment on function bcp_internal.keeps_lat_idx is
    'Whether the rows of an aggregate, or of the raw table, have the lat_idx of their calls. Others have parts of the '
    'latency sketch, or nothing of it.';

grant execute on function bcp_internal.keeps_lat_idx to bcp_reader;

create or replace function bcp_internal.sums_of_calls(p_relation text, p_by_latency boolean default false) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case
        when p_relation = 'tool_usage_logs' then
            'count(*) as calls, count(*) filter (where success) as successes,'
            ' count(*) filter (where not success) as errors, count(duration_ms) as timed_calls,'
            ' sum(duration_ms) as sum_ms, min(duration_ms) as min_ms, max(duration_ms) as max_ms,'
            ' sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes,'
            ' sum(response_tokens) as given_tokens,'
            ' sum(response_bytes) filter (where response_tokens is not null) as given_bytes'
        -- Durations in milliseconds are made as those of raw rows are, so that both are equal to the last bit.
        when bcp_internal.keeps_lat_idx(p_relation) then replace(
            'sum(calls%s) as calls, sum(calls%s) filter (where success) as successes,'
            ' sum(calls%s) filter (where not success) as errors, sum(timed_calls%s) as timed_calls,'
            ' sum(sum_duration_us%s)::double precision / 1000000 * 1000 as sum_ms,'
            ' least(min(min_duration_us), min(sum_duration_us) filter (where calls = 1))::double precision / 1000000'
            ' * 1000 as min_ms,'
            ' greatest(max(max_duration_us), max(sum_duration_us) filter (where calls = 1))::double precision'
            ' / 1000000 * 1000 as max_ms,'
            ' sum(request_bytes%s) as request_bytes, sum(response_bytes%s) as response_bytes,'
            ' sum(given_tokens%s) as given_tokens, sum(given_bytes%s) as given_bytes',
            '%s', case when p_by_latency then '::double precision' else '' end)
        else
            'sum(calls) as calls, sum(successes) as successes, sum(errors) as errors,'
            ' sum(timed_calls) as timed_calls, sum(sum_duration_ms) as sum_ms, min(min_duration_ms) as min_ms,'
            ' max(max_duration_ms) as max_ms, sum(request_bytes) as request_bytes,'
            ' sum(response_bytes) as response_bytes, sum(given_tokens) as given_tokens,'
            ' sum(given_bytes) as given_bytes'
    end;
end
$func$;

comment on function bcp_internal.sums_of_calls is
    'Sums over rows of an aggregate or of the raw table, as bcp_internal.usage_scans wants them. With p_by_latency, '
    'where most groups have one row, their types are what costs least for each group.';

grant execute on function bcp_internal.sums_of_calls to bcp_reader;

create or replace function bcp_internal.stays_rows(p_relation text, p_filters jsonb, p_ranges tstzmultirange)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_hours constant double precision := extract(epoch from upper(p_ranges) - lower(p_ranges)) / 3600;
    v_week constant double precision := least(168, v_hours);
begin
    return case p_relation
        -- Hardly two of its rows are of one group.
        when 'failed_usage_1h' then true
        -- Few calls of a user are hardly ever of one group either, and many are. The last week says which they are,
        -- as if the others, of a year at most, were like it: adding up all of them took a fifteenth of an answer.
        when 'user_usage_1d' then (
            select coalesce(sum(u.calls), 0) * least(v_hours / v_week, 52) < 40000
            from bcp.user_totals_1d u
            where u.user_id = p_filters ->> 'user_id'
              and u.bucket >= upper(p_ranges) - v_week * interval '1 hour'
              and u.bucket < upper(p_ranges))
        else false
    end;
end
$func$;

comment on function bcp_internal.stays_rows is
    'Whether a scan by lat_idx hands on the rows of an aggregate that keeps lat_idx as they are, because grouping them '
    'first would cost more than it saves.';

grant execute on function bcp_internal.stays_rows to bcp_reader;

create or replace function bcp_internal.ranges_without(p_filters jsonb, p_since timestamptz, p_until timestamptz)
returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_known tstzmultirange;
    v_days tstzmultirange;
begin
    -- The aggregate has no calls without a session.
    if coalesce(p_filters ->> 'session_id', '') = '' then
        return '{}';
    end if;
    -- Only days in which nothing has changed since: the raw rows of the others are what counts.
    v_known := bcp_internal.in_buckets(
        bcp_internal.finite(p_since, p_until) - bcp_internal.invalidated('session_activity_1d'), interval '1 day');
    if isempty(v_known) then
        return v_known;
    end if;
    execute format(
        'select range_agg(tstzrange(bucket, bucket + interval ''24 hours'')) from bcp.session_activity_1d'
        ' where session_id = %L and %s',
        p_filters ->> 'session_id', bcp_internal.within('bucket', v_known)) into v_days;
    return v_known - coalesce(v_days, '{}');
end
$func$;

comment on function bcp_internal.ranges_without is
    'Parts of a range that have no call of the session that the filters name, of any operation. So a question about a '
    'session reads the raw rows of the days on which it was active.';

grant execute on function bcp_internal.ranges_without to bcp_reader;

create or replace function bcp_internal.usage_scans(
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
    v_by_latency constant boolean := coalesce('lat_idx' = any (string_to_array(p_keys, ', ')), false);
    v_scans text;
begin
    select * into v_grain from bcp_internal.zone_grain(p_interval, p_time_zone, p_since, p_until);
    select string_agg(
        format(
            'select %1$s as bucket, %2$scalls::%3$s as calls, successes::%3$s as successes, errors::%3$s as errors,'
            ' timed_calls::%3$s as timed_calls, sum_ms, min_ms, max_ms,'
            ' request_bytes::double precision as request_bytes, response_bytes::double precision as response_bytes,'
            ' given_tokens::double precision as given_tokens, given_bytes::double precision as given_bytes'
            ' from (%4$s) scan',
            z.label, v_keys, case when v_by_latency then 'double precision' else 'bigint' end,
            format(
                'select %s as bucket, %s%s from bcp.%I where %s%s%s',
                bcp_internal.bucket_of(t.column_name, p_interval, z.zone, z.shift), v_keys,
                case when g.as_rows then
                    'calls, case when success then calls else 0 end as successes,'
                    ' case when not success then calls else 0 end as errors, timed_calls,'
                    ' sum_duration_us::double precision / 1000000 * 1000 as sum_ms,'
                    ' coalesce(min_duration_us, sum_duration_us)::double precision / 1000000 * 1000 as min_ms,'
                    ' coalesce(max_duration_us, sum_duration_us)::double precision / 1000000 * 1000 as max_ms,'
                    ' request_bytes, response_bytes, given_tokens, given_bytes'
                    else bcp_internal.sums_of_calls(r.relation, v_by_latency) end,
                r.relation, bcp_internal.within(t.column_name, z.ranges), v_filter,
                case when g.as_rows then '' else v_group end)),
        ' union all ')
    into v_scans
    from bcp_internal.usage_family(p_filters, p_keys) f
    cross join lateral bcp_internal.pieces(
        coalesce(f.family, 'tool_usage'),
        case
            when f.family is null then '{}'
            -- Months have parts of the sketch in place of lat_idx.
            when v_by_latency then array_remove(v_grain.levels, '1mo')
            else v_grain.levels
        end, p_since, p_until, p_without + bcp_internal.ranges_without(p_filters, p_since, p_until),
        v_grain.cuts) r
    cross join lateral bcp_internal.zone_parts(r.ranges, p_interval, v_grain.zone, v_grain.shift) z
    cross join lateral (
        select case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end) as t (column_name)
    cross join lateral (
        select v_by_latency and bcp_internal.stays_rows(r.relation, p_filters, z.ranges)) as g (as_rows);
    return v_scans;
end
$func$;

comment on function bcp_internal.usage_scans is
    'Scans for bcp_internal.usage_statement and bcp_internal.ranked_statement, each of which adds up its own rows. '
    'Their columns are bucket, the columns in p_keys, of which lat_idx may be one, and the sums. Null if the range, '
    'without the ranges p_without, is empty.';

grant execute on function bcp_internal.usage_scans to bcp_reader;

create or replace function bcp_internal.usage_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text,
    p_filters jsonb, p_lists boolean default false, p_without tstzmultirange default '{}')
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_group constant text := coalesce(
        ' group by ' || nullif(concat_ws(', ', case when p_interval is not null then '1' end, p_keys), ''), '');
    v_scans constant text := bcp_internal.usage_scans(
        p_since, p_until, p_interval, p_time_zone, p_keys, p_filters, p_lists, p_without);
begin
    if v_scans is null then
        return null;
    end if;
    return format(
        'select %s as time_bucket, %ssum(calls)::bigint as calls, coalesce(sum(successes), 0)::bigint as successes,'
        ' coalesce(sum(errors), 0)::bigint as errors, sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms,'
        ' min(min_ms) as min_ms, max(max_ms) as max_ms, %s as request_bytes, %s as response_bytes,'
        ' coalesce(sum(given_tokens), 0) as given_tokens, coalesce(sum(given_bytes), 0) as given_bytes'
        ' from (%s) scans%s having sum(calls) > 0',
        case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end,
        coalesce(p_keys || ', ', ''), bcp_internal.bounded_bytes('sum(request_bytes)'),
        bcp_internal.bounded_bytes('sum(response_bytes)'), v_scans, v_group);
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
