-- Questions of a report about a range: its charts, and the figures at its top.

create or replace function bcp_internal.buckets(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text)
returns setof timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_grain record;
    -- A bucket of days is at least 22 hours long, one of hours may be shorter on the day on which the clock changes.
    v_step constant interval := case
        when p_interval < interval '1 day' then least(p_interval, '1 hour') else '12 hours' end;
begin
    if p_since = p_until then
        return;
    elsif p_interval is null then
        return next p_since;
        return;
    elsif not isfinite(p_since) or not isfinite(p_until)
        or extract(epoch from p_until - p_since) > 10000 * extract(epoch from p_interval)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_interval makes more than 10000 buckets of the range',
            hint = 'Use a longer interval, or a shorter range.';
    end if;
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    return query
    -- The same calls as in bcp_internal.bucket_of.
    select distinct case
        when v_grain.zone = 'UTC' then public.time_bucket(p_interval, s.t, v_grain.shift)
        else public.time_bucket(p_interval, s.t, v_grain.zone, null::timestamptz, null::interval)
    end
    from (
        select generate_series(p_since, p_until - interval '1 microsecond', v_step)
        union all
        select p_until - interval '1 microsecond'
    ) as s (t);
end
$func$;

comment on function bcp_internal.buckets is
    'Start of each bucket that a range touches; if the interval is null, one bucket begins at p_since. ZB002 if there '
    'are more than 10000.';

grant execute on function bcp_internal.buckets to bcp_reader;

create or replace function bcp.usage_over_time(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, call_count bigint, success_count bigint, error_count bigint,
    p50_duration_ms double precision, p95_duration_ms double precision, p99_duration_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval(p_interval, p_time_zone);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release);
begin
    return query
    select
        b.start, coalesce(u.calls, 0), coalesce(u.successes, 0), coalesce(u.errors, 0), q.durations_ms[1],
        q.durations_ms[2], q.durations_ms[3]
    from bcp_internal.buckets(v_range.range_from, v_range.range_to, v_width, p_time_zone) as b (start)
    left join bcp_internal.usage_totals(v_range.range_from, v_range.range_to, v_width, p_time_zone, v_filters) u
        on u.time_bucket = b.start
    left join bcp_internal.latency_quantiles(
        v_range.range_from, v_range.range_to, v_width, p_time_zone, '{0.50,0.95,0.99}', v_filters, p_by_tool => false) q
        on q.time_bucket = b.start
    order by b.start desc;
end
$func$;

comment on function bcp.usage_over_time is
    'How do calls, failures and durations develop, all tools together? One row per bucket that the range touches, also '
    'for a bucket without calls, latest first; a null interval makes one row. Percentiles are of the calls with a '
    'known duration, within 1 percent of exact, and null if there are none. ZB002 if there are more than 10000 '
    'buckets. The range is [p_since, p_until), the last 24 hours by default. Filters by user (for whole UTC days), '
    'by failure and by an outcome other than success are answered from aggregates, too; any other makes it read every '
    'raw row of the range.';

grant execute on function bcp.usage_over_time to bcp_reader;

create or replace function bcp.report_totals(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null)
returns table (
    call_count bigint, success_count bigint, error_count bigint, unknown_count bigint, success_rate double precision,
    error_share double precision, previous_call_count bigint, call_change double precision,
    p50_duration_ms double precision, p95_duration_ms double precision, p99_duration_ms double precision,
    bcp_count bigint, tool_count bigint, session_count bigint, response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_before constant timestamptz := bcp_internal.period_before(v_range.range_from, v_range.range_to);
    v_filters constant jsonb := bcp_internal.filters(p_bcp_name, p_tool_name);
begin
    return query
    with now as (
        select
            coalesce(sum(c.calls), 0)::bigint as calls, coalesce(sum(c.successes), 0)::bigint as successes,
            coalesce(sum(c.errors), 0)::bigint as errors, count(distinct c.bcp_name) as bundles, count(*) as tools,
            least(coalesce(sum(c.response_bytes), 0), 9e18)::bigint as bytes
        from bcp_internal.usage_cells(
            v_range.range_from, v_range.range_to, null, 'UTC', v_filters, p_by_operation => false) c
    ), before as (
        select coalesce(sum(c.calls), 0)::bigint as calls
        from bcp_internal.usage_totals(v_before, v_range.range_from, null, 'UTC', v_filters) c
    ), sessions as (
        -- A session may use several bundles and tools.
        select case
            when v_filters = '{}' then bcp_internal.session_count(v_range.range_from, v_range.range_to)
        end as began
    )
    select
        n.calls, n.successes, n.errors, n.calls - n.successes - n.errors,
        n.successes / nullif(n.successes + n.errors, 0)::double precision,
        n.errors / nullif(n.calls, 0)::double precision, b.calls, bcp_internal.relative_change(n.calls, b.calls),
        q.durations_ms[1], q.durations_ms[2], q.durations_ms[3], n.bundles, n.tools, s.began, n.bytes
    from now n
    cross join before b
    cross join sessions s
    left join bcp_internal.latency_quantiles(
        v_range.range_from, v_range.range_to, null, 'UTC', '{0.50,0.95,0.99}', v_filters, p_by_tool => false) q on true;
end
$func$;

comment on function bcp.report_totals is
    'What are the figures of the range as a whole? One row. success_rate is the share of successes among the calls '
    'that say whether they succeeded, error_share the share of errors among all calls, both from 0 to 1 and null if '
    'there are none; unknown_count counts calls that do not say. call_change compares call_count with '
    'previous_call_count, of the period of the same length before: 0.5 means half as much again, null if there were '
    'none. Percentiles are in milliseconds, within 1 percent of exact. bcp_count and tool_count count bundles and '
    'tools that were called. session_count counts sessions that began, and is null with a filter, because a session '
    'may use several tools. The range is [p_since, p_until), the last 24 hours by default; ZB002 if it is infinite.';

grant execute on function bcp.report_totals to bcp_reader;
