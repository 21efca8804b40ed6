-- Questions about how long calls take, all tools together.

create or replace function bcp.latency_heatmap(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bands double precision[] default '{10,25,50,100,250,500,1000,2500,5000,10000}', p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null, p_time_zone text default 'UTC',
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, from_ms double precision, to_ms double precision, call_count bigint,
    share double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval(p_interval, p_time_zone);
begin
    if p_bands is null or array_ndims(p_bands) is distinct from 1 or array_position(p_bands, null) is not null
        or p_bands[1] <= 0 or 'NaN' = any (p_bands)
            or p_bands <> array(select distinct b from unnest(p_bands) as b order by b)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_bands does not rise from a value above 0',
            hint = 'Give the bounds between bands in milliseconds: {100,1000} makes three bands.';
    end if;
    return query
    select
        c.time_bucket, case when c.band = 0 then 0 else p_bands[c.band] end, p_bands[c.band + 1], c.calls,
        c.calls::double precision / sum(c.calls) over (partition by c.time_bucket)::double precision
    from bcp_internal.latency_cells(
        v_range.range_from, v_range.range_to, v_width, p_time_zone,
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome,
            p_failed, p_client_version, p_client_model, p_release), p_bands) c
    order by c.time_bucket desc, c.band;
end
$func$;

comment on function bcp.latency_heatmap is
    'How do durations spread over time? One row per bucket of time and band of durations, [from_ms, to_ms) in '
    'milliseconds, that has any call; latest first. p_bands are the bounds between bands; the last band has no end, so '
    'its to_ms is null. share is of the calls of the bucket whose duration is known, from 0 to 1. Reads the latency '
    'sketch: a call within 1 percent of a bound may count on its other side. The range is [p_since, p_until), the last '
    '24 hours by default. Filters by user (for whole UTC days), by failure and by an outcome other than '
    'success are answered from aggregates, too; any other makes it read every raw row of the range.';

grant execute on function bcp.latency_heatmap to bcp_reader;

create or replace function bcp.latency_over_time(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, call_count bigint, p50_duration_ms double precision, p95_duration_ms double precision,
    p99_duration_ms double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select q.time_bucket, q.timed_calls, q.durations_ms[1], q.durations_ms[2], q.durations_ms[3]
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral bcp_internal.latency_quantiles(
        r.range_from, r.range_to, bcp_internal.checked_interval(p_interval, p_time_zone), p_time_zone,
        '{0.50,0.95,0.99}',
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome,
            p_failed, p_client_version, p_client_model, p_release), p_by_tool => false) q
    order by q.time_bucket desc
$func$;

comment on function bcp.latency_over_time is
    'How long do calls take over time, all tools together? One row per bucket that has any call with a known duration, '
    'latest first; a null interval makes one row. Percentiles are within 1 percent of exact; call_count counts the '
    'calls with a known duration. Reads the latency sketch. The range is [p_since, p_until), the last 24 hours by '
    'default. Filters by user (for whole UTC days), by failure and by an outcome other than '
    'success are answered from aggregates, too; any other makes it read every raw row of the range.';

grant execute on function bcp.latency_over_time to bcp_reader;
