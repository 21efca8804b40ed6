-- The slowest calls of a range. Reading the duration of every call would take as long as the range is, so the longest
-- duration that each cell of the aggregates knows says which hours can have one of them.

create or replace function bcp_internal.slow_scans(
    p_since timestamptz, p_until timestamptz, p_min_duration_ms double precision, p_limit integer, p_filters jsonb)
returns table (condition text, least_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_known constant text[] := '{bcp_name,tool_name,operation}';
    -- A cell has no other columns. Without their filters its longest call is an upper bound still.
    v_filter constant text := bcp_internal.call_filter(
        (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(p_filters) where key = any (v_known)));
    v_left tstzmultirange := bcp_internal.finite(p_since, p_until);
    v_least double precision := p_min_duration_ms;
    v_cells text;
    v_enough bigint;
    v_nth double precision;
    v_covered tstzmultirange;
    v_slow tstzmultirange;
begin
    -- Below the horizon an aggregate may count calls whose rows are gone.
    select range_agg(r.ranges), string_agg(format(
               'select bucket, bucket + %L::interval as until, max_duration_ms from bcp.%I'
               ' where %s and max_duration_ms >= %L%s',
               case r.relation when 'tool_usage_1d' then interval '24 hours' else interval '1 hour' end, r.relation,
               bcp_internal.within('bucket', r.ranges), p_min_duration_ms, v_filter), ' union all ')
    into v_covered, v_cells
    from bcp_internal.pieces(
        'tool_usage', '{1d,1h}',
        greatest(p_since, (
            select bcp_internal.now() - bcp_internal.refresh_start(retention_days)
            from bcp.data_retention_policies
            where table_name = 'tool_usage_logs')),
        p_until) r
    where r.relation <> 'tool_usage_logs' and r.ranges <> '{}';
    if v_cells is not null then
        v_left := v_left - v_covered;
        -- Each cell has a call that took as long as its maximum, so the p_limit slowest cells have p_limit calls, and
        -- no call that is shorter than these can be in the answer.
        if p_filters - v_known = '{}' then
            v_cells := format(
                'select * from (%s) c order by max_duration_ms desc fetch first %s rows with ties', v_cells, p_limit);
            v_enough := p_limit;
        end if;
        execute format(
            'select range_agg(tstzrange(bucket, until)), case when count(*) >= %L then min(max_duration_ms) end'
            ' from (%s) c', v_enough, v_cells)
        into v_slow, v_nth;
        v_least := greatest(v_least, v_nth);
    end if;
    if (select sum(upper(r) - lower(r)) from unnest(v_slow) r) > interval '40 days' then
        -- Planning one scan for all of these takes less than planning one for each day.
        return query
            select bcp_internal.within('start_time', v_slow) || format(' and duration_ms >= %L', v_least), v_least;
    elsif v_slow is not null then
        return query execute format(
            'select bcp_internal.within(''start_time'','
            ' range_agg(tstzrange(h.bucket, h.bucket + interval ''1 hour'')))'
            ' || format('' and bcp_name = any (%%L)'', array_agg(distinct h.bcp_name))'
            ' || format('' and duration_ms >= %%L'', $1), $1'
            ' from bcp.tool_usage_1h h where %s and max_duration_ms >= $1%s'
            ' group by public.time_bucket(interval ''24 hours'', h.bucket)',
            bcp_internal.within('bucket', v_slow), v_filter)
        using v_least;
    end if;
    return query
        select
            bcp_internal.within('start_time', tstzmultirange(r)) || format(' and duration_ms >= %L', v_least), v_least
        from unnest(v_left) r;
end
$func$;

comment on function bcp_internal.slow_scans is
    'Conditions, one for each scan, that together find the p_limit slowest calls of a range among those of '
    'p_min_duration_ms (milliseconds) or more. All have the same least_ms: no call that took less can be one of them, '
    'unless calls have been removed meanwhile.';

grant execute on function bcp_internal.slow_scans to bcp_reader;

create or replace function bcp.slow_calls(
    p_since timestamptz default null, p_until timestamptz default null,
    p_min_duration_ms double precision default 5000, p_bcp_name text default null, p_tool_name text default null,
    p_operation text default null, p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null, p_limit integer default 50,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    start_time timestamptz, duration_ms double precision, bcp_name text, tool_name text, operation text, outcome text,
    error_type text, user_id text, session_id text, client_name text, request_id text, trace_id text,
    request_bytes bigint, response_bytes bigint, event_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release);
    v_columns constant text :=
        'start_time, duration_ms, bcp_name, tool_name, operation, outcome, error_type, user_id, session_id,'
        ' client_name, request_id, trace_id, request_bytes, response_bytes, event_id';
    v_slowest constant text := 'select * from (%s) l order by duration_ms desc, start_time desc, event_id limit %s';
    v_scans text;
    v_least double precision;
    v_found integer;
begin
    if p_min_duration_ms is null or not p_min_duration_ms >= 0 or p_min_duration_ms = 'NaN' then
        raise exception using
            errcode = 'ZB002', message = 'p_min_duration_ms is not 0 or more',
            hint = 'It is in milliseconds: 5000 means five seconds.';
    end if;
    select min(s.least_ms), string_agg(
        format(
            'select %s from bcp.tool_usage_logs where %s%s', v_columns, s.condition,
            bcp_internal.call_filter(v_filters)), ' union all ')
    into v_least, v_scans
    from bcp_internal.slow_scans(v_range.range_from, v_range.range_to, p_min_duration_ms, v_limit, v_filters) s;
    if v_scans is null then
        return;
    end if;
    return query execute format(v_slowest, v_scans, v_limit);
    get diagnostics v_found = row_count;
    -- Calls that the aggregates counted were removed meanwhile: the rest are the slowest of the shorter ones.
    if v_found < v_limit and v_least > p_min_duration_ms then
        return query execute format(
            v_slowest,
            format(
                'select %s from bcp.tool_usage_logs where %s and duration_ms >= %L and duration_ms < %L%s', v_columns,
                bcp_internal.within('start_time', tstzmultirange(tstzrange(v_range.range_from, v_range.range_to))),
                p_min_duration_ms, v_least, bcp_internal.call_filter(v_filters)),
            v_limit - v_found);
    end if;
end
$func$;

comment on function bcp.slow_calls is
    'Which calls took longest? One row per call that took p_min_duration_ms (milliseconds) or more, slowest first, at '
    'most p_limit (1 to 10000). Reads aggregates, and the calls of the hours that these name; a filter other than '
    'bundle, tool and operation makes it read all hours that have a call of p_min_duration_ms. The range is [p_since, '
    'p_until), the last 24 hours by default.';

grant execute on function bcp.slow_calls to bcp_reader;
