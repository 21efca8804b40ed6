-- What the questions share: checked ranges, and the cells that answers add up from.
--
-- The cells of a range come from the pieces that bcp_internal.pieces cuts it into. The statement is made of them each
-- time: a scan a piece, grouped there, since TimescaleDB adds up a columnstore vectorised only where the grouping is right
-- above the scan, and of a single chunk only where what is grouped is not cast there; and with constants, since it then
-- looks only at the chunks that matter.

create or replace function bcp_internal.checked_range(
    p_since timestamptz, p_until timestamptz, out range_from timestamptz, out range_to timestamptz)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    range_to := coalesce(p_until, bcp_internal.now());
    range_from := coalesce(p_since, range_to - interval '24 hours');
    -- An infinite time is an open end.
    perform bcp_internal.checked_time(e.name, e.at)
    from (values ('p_until', range_to), ('p_since', range_from)) as e (name, at)
    where isfinite(e.at);
    if range_from > range_to then
        raise exception using
            errcode = 'ZB002',
            message = format('p_since (%s) is after p_until (%s)', range_from, range_to),
            hint = 'A range reaches from p_since up to, but not including, p_until. Exchange the two.';
    end if;
end
$func$;

comment on function bcp_internal.checked_range(timestamptz, timestamptz) is
    'The range asked for: up to now where there is no end, the 24 hours before it where there is no start; ZB002 where it is reversed, or an end is outside the years 1 to 9999 and not infinite.';

grant execute on function bcp_internal.checked_range to bcp_reader;

create or replace function bcp_internal.checked_interval(
    p_interval interval, p_time_zone text, p_unit text default 'microsecond') returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_interval <= interval '0' then
        raise exception using
            errcode = 'ZB002', message = 'p_interval is not positive', hint = 'Try 1 hour, or null for one row over the whole range.';
    elsif extract(month from p_interval) + extract(year from p_interval) <> 0
        and p_interval <> date_trunc('month', p_interval)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_interval mixes months with days or hours', hint = 'Use months alone, or days and hours.';
    end if;
    if p_interval <> date_trunc(p_unit, p_interval) then
        raise exception using
            errcode = 'ZB002', message = format('p_interval is not whole %ss', p_unit), hint = format('Try 1 %s, or 1 hour.', p_unit);
    end if;
    begin
        if bcp_internal.now() at time zone p_time_zone is null then
            raise invalid_parameter_value;
        end if;
    exception
        when invalid_parameter_value then
            raise exception using
                errcode = 'ZB002',
                message = 'p_time_zone is not a time zone that PostgreSQL knows',
                hint = 'Use a name such as UTC or Europe/Berlin; select name from pg_timezone_names lists them.';
    end;
    return p_interval;
end
$func$;

comment on function bcp_internal.checked_interval(interval, text, text) is
    'The interval, or ZB002 where buckets of it cannot be made: it has to be whole units.';

grant execute on function bcp_internal.checked_interval to bcp_reader;

create or replace function bcp_internal.checked_limit(p_limit integer) returns integer
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_limit is null or p_limit not between 1 and 10000 then
        raise exception using
            errcode = 'ZB002', message = 'p_limit is not from 1 to 10000',
            hint = 'Ask for a shorter range to see other rows, or read the tables themselves.';
    end if;
    return p_limit;
end
$func$;

comment on function bcp_internal.checked_limit(integer) is 'How many rows an answer may have; ZB002 where it is not from 1 to 10000.';

grant execute on function bcp_internal.checked_limit to bcp_reader;

create or replace function bcp_internal.checked_choice(p_name text, p_value text, p_choices text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_value <> all (p_choices) then
        raise exception using
            errcode = 'ZB002', message = format('%s is none of %s', p_name, array_to_string(p_choices, ', ')),
            hint = 'Use one of these names, or null for all.';
    end if;
    return p_value;
end
$func$;

comment on function bcp_internal.checked_choice(text, text, text[]) is 'The value of an argument, or ZB002 where it is none of the choices.';

grant execute on function bcp_internal.checked_choice to bcp_reader;

create or replace function bcp_internal.checked_outcome(p_outcome text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.checked_choice('p_outcome', p_outcome, bcp_internal.outcomes())
$func$;

comment on function bcp_internal.checked_outcome(text) is 'The outcome asked for, or ZB002 where there is none of that name.';

grant execute on function bcp_internal.checked_outcome to bcp_reader;

create or replace function bcp_internal.filters(
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null, p_user_id text default null,
    p_session_id text default null, p_client_name text default null, p_outcome text default null, p_failed boolean default null,
    p_client_version text default null, p_client_model text default null, p_release text default null,
    p_event_id text default null)
returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select jsonb_strip_nulls(jsonb_build_object(
        'bcp_name', p_bcp_name, 'tool_name', p_tool_name, 'operation', p_operation, 'user_id', p_user_id,
        'session_id', p_session_id, 'client_name', p_client_name, 'outcome', bcp_internal.checked_outcome(p_outcome),
        'failed', p_failed, 'client_version', p_client_version, 'client_model', p_client_model, 'release', p_release,
        'event_id', bcp_internal.event_uuid(p_event_id)))
$func$;

comment on function bcp_internal.filters(text, text, text, text, text, text, text, boolean, text, text, text, text) is
    'Which calls a question is about, as an object: what a column has to be, and failed; nothing of what is null. An event_id is as its sender gave it. bcp_internal.call_filter and bcp_internal.calls read it. ZB002 where there is no such outcome.';

grant execute on function bcp_internal.filters to bcp_reader;

create or replace function bcp_internal.call_filter(p_filters jsonb, p_lists boolean default false) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(string_agg(
            case
                when f.key <> 'failed' then format(' and %I = %L', f.key, f.value)
                when f.value::boolean then ' and not success'
                else ' and success is not false'
            end, ''), '')
        || case when p_lists or p_filters ?| '{operation,event_id}' then '' else ' and operation <> ''tools/list''' end
    from jsonb_each_text(p_filters) f
$func$;

comment on function bcp_internal.call_filter(jsonb, boolean) is
    'Conditions on calls as of bcp_internal.filters, to follow others in a statement. A list of tools is no call: it passes where the filters name an operation or an event, or p_lists says so.';

grant execute on function bcp_internal.call_filter to bcp_reader;

create or replace function bcp_internal.is_aggregated(p_filters jsonb, p_keys text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select p_filters - k.known = '{}' and coalesce(string_to_array(p_keys, ', ') <@ k.known, true)
    from (values ('{bcp_name,tool_name,operation}'::text[])) as k (known)
$func$;

comment on function bcp_internal.is_aggregated(jsonb, text) is
    'Whether the aggregates know all that calls are filtered and grouped by (names of columns with commas between): bundle, tool and operation.';

grant execute on function bcp_internal.is_aggregated to bcp_reader;

create or replace function bcp_internal.bucket_of(p_column text, p_interval interval, p_zone text, p_shift interval)
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Vectorised but for the last. All arguments of each, or an overload of somebody else might fit better.
    select case
        when p_interval is null then 'null::timestamptz'
        when p_zone = 'UTC' then format('public.time_bucket(%L::interval, %I, %L::interval)', p_interval, p_column, p_shift)
        else format('public.time_bucket(%L::interval, %I, %L::text, null::timestamptz, null::interval)', p_interval, p_column, p_zone)
    end
$func$;

comment on function bcp_internal.bucket_of(text, interval, text, interval) is
    'The bucket that a time is in, as an expression; null where one bucket holds the whole range.';

grant execute on function bcp_internal.bucket_of to bcp_reader;

create or replace function bcp_internal.usage_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text,
    p_filters jsonb, p_lists boolean default false)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
    v_filter constant text := bcp_internal.call_filter(p_filters, p_lists);
    v_group constant text := coalesce(' group by ' || nullif(concat_ws(', ', case when p_interval is not null then '1' end, p_keys), ''), '');
    v_keys constant text := coalesce(p_keys || ', ', '');
    v_scans text;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    select string_agg(
        format(
            'select bucket, %scalls::bigint as calls, successes::bigint as successes, errors::bigint as errors,'
            ' timed_calls::bigint as timed_calls, sum_ms, min_ms, max_ms,'
            ' request_bytes::double precision as request_bytes, response_bytes::double precision as response_bytes,'
            ' given_tokens::double precision as given_tokens, given_bytes::double precision as given_bytes from (%s) scan',
            v_keys,
            case
                when r.relation = 'tool_usage_logs' then format(
                    'select %s as bucket, %scount(*) as calls, count(*) filter (where success) as successes,'
                    ' count(*) filter (where not success) as errors, count(duration_ms) as timed_calls, sum(duration_ms) as sum_ms,'
                    ' min(duration_ms) as min_ms, max(duration_ms) as max_ms, sum(request_bytes) as request_bytes,'
                    ' sum(response_bytes) as response_bytes, sum(response_tokens) as given_tokens,'
                    ' sum(response_bytes) filter (where response_tokens is not null) as given_bytes'
                    ' from bcp.tool_usage_logs where %s%s%s',
                    bcp_internal.bucket_of('start_time', p_interval, v_grain.zone, v_grain.shift), v_keys,
                    bcp_internal.within('start_time', r.ranges), v_filter, v_group)
                else format(
                    'select %s as bucket, %ssum(calls) as calls, sum(successes) as successes,'
                    ' sum(errors) as errors, sum(timed_calls) as timed_calls, sum(sum_duration_ms) as sum_ms,'
                    ' min(min_duration_ms) as min_ms, max(max_duration_ms) as max_ms, sum(request_bytes) as request_bytes,'
                    ' sum(response_bytes) as response_bytes, sum(given_tokens) as given_tokens, sum(given_bytes) as given_bytes'
                    ' from bcp.%I where %s%s%s',
                    bcp_internal.bucket_of('bucket', p_interval, v_grain.zone, v_grain.shift), v_keys, r.relation,
                    bcp_internal.within('bucket', r.ranges), v_filter, v_group)
            end),
        ' union all ')
    into v_scans
    from bcp_internal.pieces(
        'tool_usage',
        case when bcp_internal.is_aggregated(p_filters, p_keys) then v_grain.levels else '{}' end,
        p_since, p_until) r;
    if v_scans is null then
        return null;
    end if;
    -- No sum of bytes may leave bigint and stop the answer, whatever calls of an earlier time claim.
    return format(
        'select %s as time_bucket, %ssum(calls)::bigint as calls, coalesce(sum(successes), 0)::bigint as successes,'
        ' coalesce(sum(errors), 0)::bigint as errors, sum(timed_calls)::bigint as timed_calls, sum(sum_ms) as sum_ms,'
        ' min(min_ms) as min_ms, max(max_ms) as max_ms, least(greatest(coalesce(sum(request_bytes), 0), 0), 9e18)::bigint as request_bytes,'
        ' least(greatest(coalesce(sum(response_bytes), 0), 0), 9e18)::bigint as response_bytes,'
        ' coalesce(sum(given_tokens), 0) as given_tokens, coalesce(sum(given_bytes), 0) as given_bytes'
        ' from (%s) scans%s having sum(calls) > 0',
        case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end, v_keys, v_scans, v_group);
end
$func$;

comment on function bcp_internal.usage_statement(
    timestamptz, timestamptz, interval, text, text, jsonb, boolean) is
    'A statement that adds up the calls of a range by bucket and the columns named in p_keys, if any: columns as of bcp_internal.usage_cells; null where the range is empty. Aggregates know bundle, tool and operation: with any other filter or key all of it comes from raw rows.';

grant execute on function bcp_internal.usage_statement to bcp_reader;

create or replace function bcp_internal.usage_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb, p_by_operation boolean default true, p_lists boolean default false)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, operation text, calls bigint, successes bigint, errors bigint,
    timed_calls bigint, sum_duration_ms double precision, min_duration_ms double precision,
    max_duration_ms double precision, request_bytes bigint, response_bytes bigint,
    given_tokens double precision, given_bytes double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Aggregates answer before a statement is compiled, or workers have started; over raw rows these are worth waiting for.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_usage constant text := bcp_internal.usage_statement(
        p_since, p_until, p_interval, p_time_zone, 'bcp_name, tool_name' || case when p_by_operation then ', operation' else '' end,
        p_filters, p_lists);
begin
    if v_usage is not null then
        return query execute format(
            'select u.time_bucket, u.bcp_name, u.tool_name, %s, u.calls, u.successes, u.errors, u.timed_calls, u.sum_ms, u.min_ms,'
            ' u.max_ms, u.request_bytes, u.response_bytes, u.given_tokens, u.given_bytes from (%s) u',
            case when p_by_operation then 'u.operation' else 'null::text' end, v_usage);
    end if;
end
$func$;

comment on function bcp_internal.usage_cells(
    timestamptz, timestamptz, interval, text, jsonb, boolean, boolean) is
    'Calls of a range by bucket, bundle, tool and, unless p_by_operation is false, operation; one bucket that begins at p_since where the interval is null. With any filter but bundle, tool and operation all of it comes from raw rows. Lists of tools as bcp_internal.call_filter.';

grant execute on function bcp_internal.usage_cells to bcp_reader;

create or replace function bcp_internal.usage_totals(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb)
returns table (time_bucket timestamptz, calls bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- As above.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_usage constant text := bcp_internal.usage_statement(
        p_since, p_until, p_interval, p_time_zone, null, p_filters);
begin
    if v_usage is not null then
        return query execute format('select u.time_bucket, u.calls from (%s) u', v_usage);
    end if;
end
$func$;

comment on function bcp_internal.usage_totals(timestamptz, timestamptz, interval, text, jsonb) is
    'Calls of a range by bucket, of all tools together. Filters as bcp_internal.usage_cells.';

grant execute on function bcp_internal.usage_totals to bcp_reader;

create or replace function bcp_internal.sketch_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text,
    p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_grain record;
    v_filter constant text := bcp_internal.call_filter(p_filters);
    -- The sketch has no lists of tools, and its days and months have no operation.
    v_sketch_filter constant text := bcp_internal.call_filter(p_filters, p_lists => true);
    v_keys constant text := coalesce(p_keys || ', ', '');
    -- Where one bucket holds the whole range there is none but in the end: each column costs on each row.
    v_bucket constant text := case when p_interval is null then '' else 'bucket, ' end;
    v_group constant text := ' group by ' || v_bucket || v_keys || 'lat_base';
    v_counts constant text := (select string_agg('n' || n, ', ' order by n) from generate_series(0, 31) n);
    v_sums constant text := (select string_agg(format('sum(n%1$s) as n%1$s', n), ', ' order by n) from generate_series(0, 31) n);
    v_cast constant text := (
        select string_agg(format('n%1$s::double precision as n%1$s', n), ', ' order by n) from generate_series(0, 31) n);
    v_folded constant text := (
        select string_agg(
            format('coalesce(sum(calls) filter (where place = %1$s), 0) as n%1$s', n), ', ' order by n)
        from generate_series(0, 31) n);
    v_bucket_of text := '';
    v_start_of text := '';
    v_by text := '';
    v_scans text;
    v_raw text;
    v_grouped boolean;
    v_sum text;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    if p_interval is not null then
        v_bucket_of := bcp_internal.bucket_of('bucket', p_interval, v_grain.zone, v_grain.shift) || ' as bucket, ';
        v_start_of := bcp_internal.bucket_of('start_time', p_interval, v_grain.zone, v_grain.shift) || ' as bucket, ';
        v_by := '1, ';
    end if;
    select
        string_agg(
            case
                -- A month has few rows of a tool, and no columnstore: to group them twice costs more than it saves.
                when r.relation = 'tool_latency_1mo' then format(
                    'select %s%slat_base, %s from bcp.%I where %s%s',
                    v_bucket_of, v_keys, v_counts, r.relation, bcp_internal.within('bucket', r.ranges), v_sketch_filter)
                else format(
                    'select %s%slat_base, %s from (select %s%slat_base, %s from bcp.%I where %s%s group by %s%slat_base) scan',
                    v_bucket, v_keys, v_cast, v_bucket_of, v_keys, v_sums, r.relation,
                    bcp_internal.within('bucket', r.ranges), v_sketch_filter, v_by, v_keys)
            end, ' union all ')
            filter (where r.relation <> 'tool_usage_logs'),
        -- Raw rows are counted by lat_idx, which is vectorised, and then folded, which is not.
        string_agg(format(
            'select %s%slat_idx, count(*) as calls from bcp.tool_usage_logs'
            ' where %s and lat_idx is not null%s group by %s%slat_idx',
            v_start_of, v_keys, bcp_internal.within('start_time', r.ranges), v_filter, v_by, v_keys), ' union all ')
            filter (where r.relation = 'tool_usage_logs'),
        -- Whether one scan has it all, and has grouped it: with a row or more a tool, to do so again costs as much again.
        count(distinct r.relation) = 1 and min(r.relation) <> 'tool_latency_1mo'
    into v_scans, v_raw, v_grouped
    from bcp_internal.pieces(
        'tool_latency',
        -- Days and months do not know the operation.
        case
            when not bcp_internal.is_aggregated(p_filters, p_keys) or p_filters ->> 'operation' = 'tools/list' then '{}'
            when p_filters ? 'operation' then array(select unnest(v_grain.levels) intersect select '1h')
            else v_grain.levels
        end,
        p_since, p_until) r;
    if v_scans is null and v_raw is null then
        return null;
    elsif v_raw is not null then
        v_scans := concat_ws(
            ' union all ', v_scans,
            -- offset 0 keeps the planner from taking each of the 32 conditions back to what place is made from.
            format('select %s%slat_base, %s from (select %s%s(lat_idx & -32)::smallint as lat_base, lat_idx & 31 as place,'
                   ' calls::double precision as calls from (%s) counted offset 0) folded%s',
                   v_bucket, v_keys, v_folded, v_bucket, v_keys, v_raw, v_group));
    end if;
    v_sum := case when v_grouped then 'n%s' else 'sum(n%s)' end;
    return format(
        'select %s, %slat_base, %s as calls, array[%s] as counts from (%s) scans%s',
        case when p_interval is null then 'null::timestamptz as bucket' else 'bucket' end, v_keys,
        (select string_agg(format(v_sum, n), ' + ' order by n) from generate_series(0, 31) n),
        (select string_agg(format(v_sum, n), ', ' order by n) from generate_series(0, 31) n), v_scans,
        case when v_grouped then '' else v_group end);
end
$func$;

comment on function bcp_internal.sketch_statement(
    timestamptz, timestamptz, interval, text, text, jsonb) is
    'A statement that adds up the latency sketch of a range: bucket, the columns named in p_keys if any, lat_base, calls, and counts, an array of n0 to n31 of bcp.tool_latency_1d, of which calls is the sum; null where the range is empty.';

grant execute on function bcp_internal.sketch_statement to bcp_reader;

create or replace function bcp_internal.latency_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb)
returns table (time_bucket timestamptz, lat_idx smallint, calls bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- As above.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_sketch constant text := bcp_internal.sketch_statement(
        p_since, p_until, p_interval, p_time_zone, null, p_filters);
begin
    if v_sketch is null then
        return;
    end if;
    return query execute format(
        'select coalesce(s.bucket, %L), (s.lat_base + c.place - 1)::smallint, c.calls::bigint'
        ' from (%s) s cross join lateral unnest(s.counts) with ordinality as c (calls, place) where c.calls > 0',
        p_since, v_sketch);
end
$func$;

comment on function bcp_internal.latency_cells(timestamptz, timestamptz, interval, text, jsonb) is
    'Latency sketch of a range by bucket, all tools together, a row a lat_idx; one bucket that begins at p_since where the interval is null. Filters as bcp_internal.usage_cells.';

grant execute on function bcp_internal.latency_cells to bcp_reader;

create or replace function bcp_internal.sketch_place(p_counts double precision[], p_before double precision) returns integer
language plpgsql immutable strict parallel safe
-- No search_path: to set it took a third of a call. Every name is qualified instead.
as $func$
declare
    v_left double precision := p_before;
begin
    for i in 1..pg_catalog.cardinality(p_counts) loop
        v_left := v_left operator(pg_catalog.-) p_counts[i];
        if v_left operator(pg_catalog.<) 0::double precision then
            return i operator(pg_catalog.-) 1;
        end if;
    end loop;
    return null;
end
$func$;

comment on function bcp_internal.sketch_place(double precision[], double precision) is
    'Which of a sketch''s counts, from 0, a call falls into that has so many before it; null where they are fewer.';

grant execute on function bcp_internal.sketch_place to bcp_reader;

create or replace function bcp_internal.latency_quantiles(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_percentiles double precision[],
    p_filters jsonb, p_by_tool boolean default true)
returns table (time_bucket timestamptz, bcp_name text, tool_name text, timed_calls bigint, durations_ms double precision[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- As above.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_keys constant text := nullif(concat_ws(
        ', ', case when p_interval is not null then 'bucket' end, case when p_by_tool then 'bcp_name, tool_name' end), '');
    v_sketch constant text := bcp_internal.sketch_statement(
        p_since, p_until, p_interval, p_time_zone, case when p_by_tool then 'bcp_name, tool_name' end, p_filters);
begin
    if v_sketch is null then
        return;
    end if;
    -- As percentile_disc: the value of the call whose rank by duration is ceil(percentile * calls). It is in the one row of
    -- the sketch that holds this rank, in the first column up to which there are so many calls.
    --
    -- A store may have a million tools, each called a few times: rows with one call leave the counts behind before they are
    -- sorted, and one sort serves all that follows. A join with the percentiles would lose the order, unnest in the list of
    -- columns does not; and the planner knows of it only where each level asks for it.
    return query execute format(
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
                -- offset 0, since latency_ms is not inlined where its argument costs much.
                select
                    %1$s s.ordinal, s.total,
                    s.lat_base + case
                        when s.calls = 1 then s.place
                        else bcp_internal.sketch_place(
                            s.counts, greatest(ceil($1[s.ordinal] * s.total), 1) - (s.up_to - s.calls) - 0.5)
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
        coalesce(v_keys || ',', ''), v_sketch, coalesce('partition by ' || v_keys, ''),
        case when p_interval is null then format('%L::timestamptz', p_since) else 'bucket' end,
        case when p_by_tool then 'bcp_name, tool_name' else 'null::text, null::text' end,
        (select string_agg(format('bcp_internal.latency_ms(max(lat_idx) filter (where ordinal = %s))', n), ', ' order by n)
         from generate_subscripts(p_percentiles, 1) n),
        coalesce('group by ' || v_keys, ''),
        (select string_agg(
             format('case when greatest(ceil($1[%1$s] * total), 1) > up_to - calls'
                    ' and greatest(ceil($1[%1$s] * total), 1) <= up_to then %1$s end', n), ', ' order by n)
         from generate_subscripts(p_percentiles, 1) n),
        coalesce('order by ' || v_keys, ''))
    using p_percentiles;
end
$func$;

comment on function bcp_internal.latency_quantiles(
    timestamptz, timestamptz, interval, text, double precision[], jsonb, boolean) is
    'Percentiles of the durations by bucket, bundle and tool, or where p_by_tool is false by bucket alone, all of them in one pass, in the order of p_percentiles; within 1 percent of percentile_disc. Filters as bcp_internal.usage_cells.';

grant execute on function bcp_internal.latency_quantiles to bcp_reader;
