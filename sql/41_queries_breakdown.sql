-- How models, clients, releases, bundles and tools compare.

create or replace function bcp_internal.breakdown_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_usage constant text := bcp_internal.usage_statement(
        p_since, p_until, p_interval, p_time_zone, p_keys, p_filters);
begin
    -- Heads send the keys, and those of a reader there must not become another statement here.
    if not string_to_array(p_keys, ', ') <@ '{bcp_name,tool_name,client_name,client_version,client_model,release}' then
        raise exception using errcode = 'ZB002', message = 'p_keys has something else than columns';
    elsif v_usage is null then
        return null;
    end if;
    -- Usage and sketch are one set, because a join would have to compare columns that may be null. Rows of the sketch
    -- have a lat_idx, rows of usage have none.
    return format(
        $query$
            select time_bucket, %1$s, null::integer as lat_idx, 0::double precision as in_sketch, calls, successes,
                   errors, timed_calls, sum_ms, min_ms, max_ms, request_bytes, response_bytes
            from (%2$s) usage
            union all
            select coalesce(bucket, %3$L), %1$s, (lat_base + c.place - 1)::integer, c.calls,
                   0, 0, 0, 0, null, null, null, 0, 0
            from (%4$s) sketch
            cross join lateral unnest(counts) with ordinality as c (calls, place)
            where c.calls > 0
        $query$,
        p_keys, v_usage, p_since,
        bcp_internal.sketch_statement(p_since, p_until, p_interval, p_time_zone, p_keys, p_filters));
end
$func$;

comment on function bcp_internal.breakdown_statement is
    'Statement for the cells of bcp.usage_breakdown: those of bcp_internal.usage_statement, and the latency sketch '
    'with one row per lat_idx. Null if the range is empty.';

grant execute on function bcp_internal.breakdown_statement to bcp_reader;

create or replace function bcp_internal.breakdown_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_keys text, p_filters jsonb)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, client_name text, client_version text, client_model text,
    release text, lat_idx integer, in_sketch double precision, calls bigint, successes bigint, errors bigint,
    timed_calls bigint, sum_ms double precision, min_ms double precision, max_ms double precision,
    request_bytes bigint, response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_cells constant text := bcp_internal.breakdown_statement(
        p_since, p_until, p_interval, p_time_zone, p_keys, p_filters);
begin
    if v_cells is not null then
        return query execute format(
            'select time_bucket, %s, lat_idx, in_sketch, calls, successes, errors, timed_calls, sum_ms, min_ms, max_ms,'
            ' request_bytes, response_bytes from (%s) cells',
            (select string_agg(
                 case when k = any (string_to_array(p_keys, ', ')) then k else 'null::text' end, ', ' order by n)
             from unnest('{bcp_name,tool_name,client_name,client_version,client_model,release}'::text[])
                 with ordinality as u (k, n)),
            v_cells);
    end if;
end
$func$;

comment on function bcp_internal.breakdown_cells is
    'The rows of bcp_internal.breakdown_statement, for a head that adds up those of its shards. Columns that p_keys '
    'does not name are null.';

grant execute on function bcp_internal.breakdown_cells to bcp_reader;

create or replace function bcp.usage_breakdown(
    p_since timestamptz default null, p_until timestamptz default null, p_by text[] default '{client_model}',
    p_interval interval default null, p_bcp_name text default null, p_tool_name text default null,
    p_operation text default null, p_time_zone text default 'UTC', p_user_id text default null,
    p_session_id text default null, p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, client_name text, client_version text, client_model text,
    release text, call_count bigint, success_count bigint, error_count bigint, success_rate double precision,
    avg_duration_ms double precision, p50_duration_ms double precision, p95_duration_ms double precision,
    p99_duration_ms double precision, max_duration_ms double precision, request_bytes bigint, response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
set enable_hashagg = on
as $func$
declare
    v_columns constant text[] := '{bcp_name,tool_name,client_name,client_version,client_model,release}';
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval(p_interval, p_time_zone);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release);
    v_keys constant text := (
        select string_agg(c, ', ' order by n) from unnest(v_columns) with ordinality as u (c, n) where c = any (p_by));
    v_is_ranked boolean;
    v_shown text;
    v_usage text;
    v_cells text;
    v_percentile constant text :=
        'least(greatest('
        'bcp_internal.latency_ms(min(lat_idx) filter (where up_to >= %s)),'
        ' min(min_ms)), max(max_ms))';
begin
    if not coalesce(p_by <@ v_columns and p_by <> '{}', false) then
        raise exception using
            errcode = 'ZB002', message = format('p_by is none of %s', array_to_string(v_columns, ', ')),
            hint = 'Name one of these, or several: {client_name,client_version}.';
    end if;
    v_shown := (
        select string_agg(case when c = any (p_by) then c else 'null::text' end, ', ' order by n)
        from unnest(v_columns) with ordinality as u (c, n));
    v_is_ranked := bcp_internal.is_ranked(v_filters, v_keys, v_width);
    if v_is_ranked or bcp_internal.is_sketched(v_filters, v_keys) then
        v_usage := case
            when v_is_ranked then bcp_internal.ranked_statement(
                v_range.range_from, v_range.range_to, v_width, p_time_zone, v_keys, v_filters)
            else bcp_internal.sketched_statement(
                v_range.range_from, v_range.range_to, v_width, p_time_zone, v_keys, v_filters)
        end;
        if v_usage is not null then
            return query execute format(
                $query$
                    select time_bucket, %s, calls, successes, errors,
                           successes::double precision / nullif(successes + errors, 0)::double precision,
                           sum_ms / nullif(timed_calls, 0)::double precision,
                           least(greatest(p50, min_ms), max_ms), least(greatest(p95, min_ms), max_ms),
                           least(greatest(p99, min_ms), max_ms), max_ms, request_bytes, response_bytes
                    from (%s) ranked
                    order by time_bucket desc, calls desc, %s
                $query$,
                v_shown, v_usage, v_keys);
        end if;
        return;
    end if;
    v_cells := bcp_internal.breakdown_statement(
        v_range.range_from, v_range.range_to, v_width, p_time_zone, v_keys, v_filters);
    if v_cells is null then
        return;
    end if;
    return query execute format(
        $query$
            with cells as (
                %2$s
            ), ranked as (
                select
                    c.*, sum(in_sketch) over (partition by time_bucket, %1$s order by lat_idx) as up_to,
                    sum(in_sketch) over (partition by time_bucket, %1$s) as total
                from cells c
            )
            select time_bucket, %3$s, sum(calls)::bigint, sum(successes)::bigint, sum(errors)::bigint,
                   sum(successes)::double precision / nullif(sum(successes + errors), 0)::double precision,
                   sum(sum_ms) / nullif(sum(timed_calls), 0)::double precision, %4$s, %5$s, %6$s, max(max_ms),
                   sum(request_bytes)::bigint, sum(response_bytes)::bigint
            from ranked
            group by time_bucket, %1$s
            order by time_bucket desc, sum(calls) desc, %1$s
        $query$,
        v_keys, v_cells, v_shown, format(v_percentile, bcp_internal.rank_of('0.5', 'total')),
        format(v_percentile, bcp_internal.rank_of('0.95', 'total')),
        format(v_percentile, bcp_internal.rank_of('0.99', 'total')));
end
$func$;

comment on function bcp.usage_breakdown is
    'How do models, clients or releases compare? One row per bucket and combination of the columns that p_by names: '
    'any of bcp_name, tool_name, client_name, client_version, client_model and release. Latest first, then most calls '
    'first; a null interval, the default, makes one bucket of the range. Columns that p_by does not name are null, and '
    'so are values that calls do not give. success_rate is the share of successes among the calls that say whether '
    'they succeeded, from 0 to 1. Durations are in milliseconds, percentiles within 1 percent of exact. Aggregates '
    'have the days of clients, versions, models and releases without tools, and those of clients by tool. For other '
    'combinations of these, in p_by or as filters, it reads every raw row of the range. The range is [p_since, '
    'p_until), the last 24 hours by default.';

grant execute on function bcp.usage_breakdown to bcp_reader;
