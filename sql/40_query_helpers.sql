-- What the questions share: checked ranges, and the cells that answers add up from.
--
-- A range is covered by whole UTC days, whole hours beside them, and raw rows at its ends and above the
-- watermarks, so that an answer over months reads thousands of rows and is still exact to the microsecond.

create or replace function bcp_internal.checked_range(
    p_since timestamptz, p_until timestamptz, out range_from timestamptz, out range_to timestamptz)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    range_to := coalesce(p_until, bcp_internal.now());
    range_from := coalesce(p_since, range_to - interval '24 hours');
    if range_from > range_to then
        raise exception using
            errcode = 'ZB002',
            message = format('p_since (%s) is after p_until (%s)', range_from, range_to),
            hint = 'A range reaches from p_since up to, but not including, p_until. Exchange the two.';
    end if;
end
$func$;

comment on function bcp_internal.checked_range(timestamptz, timestamptz) is
    'The range asked for: up to now where there is no end, the 24 hours before it where there is no start; ZB002 where it is reversed.';

create or replace function bcp_internal.checked_interval(p_interval interval, p_time_zone text) returns interval
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

comment on function bcp_internal.checked_interval(interval, text) is
    'The interval, or ZB002 where buckets of it cannot be made.';

create or replace function bcp_internal.coarsest_grain(
    p_interval interval, p_time_zone text, p_since timestamptz, p_until timestamptz) returns interval
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_interval is null then interval '1 day'
        when p_time_zone = 'UTC'
            and (p_interval = date_trunc('day', p_interval)) then interval '1 day'
        -- Hours serve a zone that is whole hours from UTC throughout: Kolkata is 5:30 off, Lord Howe half the year.
        when p_interval = date_trunc('hour', p_interval)
            and not exists (
                select from generate_series(date_trunc('day', p_since, 'UTC'), p_until + interval '1 day', interval '1 day') as day
                where extract(minute from day at time zone p_time_zone) <> 0
            ) then interval '1 hour'
        else interval '0'
    end
$func$;

comment on function bcp_internal.coarsest_grain(interval, text, timestamptz, timestamptz) is
    'Longest aggregate buckets that fall whole into buckets of an interval and time zone: a day, an hour, or 0 for raw rows only.';

create or replace function bcp_internal.cover(
    p_since timestamptz, p_until timestamptz, p_grain interval, p_hours_until timestamptz, p_days_until timestamptz,
    out hours_from timestamptz, out days_from timestamptz, out days_to timestamptz, out hours_to timestamptz)
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- p_since <= hours_from <= days_from <= days_to <= hours_to <= p_until; raw rows outside of [hours_from, hours_to).
    with hours as (
        select case when h.first < h.last then h.first else p_until end as first,
               case when h.first < h.last then h.last else p_until end as last
        from (
            select date_trunc('hour', p_since + interval '1 hour' - interval '1 microsecond', 'UTC'),
                   case when p_grain > interval '0' then
                       greatest(p_since, date_trunc('hour', least(p_until, p_hours_until), 'UTC')) else p_since end
        ) as h (first, last)
    ), days as (
        select h.first as hour_first, h.last as hour_last,
               date_trunc('day', h.first + interval '1 day' - interval '1 microsecond', 'UTC') as first,
               case when p_grain >= interval '1 day' then
                   date_trunc('day', least(h.last, greatest(p_days_until, p_since)), 'UTC') else p_since end as last
        from hours h
    )
    select hour_first,
           case when first < last then first else hour_last end,
           case when first < last then last else hour_last end,
           hour_last
    from days
$func$;

comment on function bcp_internal.cover(timestamptz, timestamptz, interval, timestamptz, timestamptz) is
    'Which part of a range days, hours and raw rows answer, given how far each is materialised.';

create or replace function bcp_internal.usage_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_bcp_name text, p_tool_name text, p_operation text)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, operation text, calls bigint, successes bigint, errors bigint,
    timed_calls bigint, sum_duration_ms double precision, min_duration_ms double precision,
    max_duration_ms double precision, request_bytes bigint, response_bytes bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- The plan depends on the range: which chunks, and whether they are in the columnstore.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v record;
begin
    select * into v from bcp_internal.cover(
        p_since, p_until, bcp_internal.coarsest_grain(p_interval, p_time_zone, p_since, p_until),
        bcp_internal.watermark('tool_usage_1h'), bcp_internal.watermark('tool_usage_1d'));
    return query
    with pieces as (
        select u.bucket, u.bcp_name, u.tool_name, u.operation, u.calls, u.successes, u.errors, u.timed_calls,
               u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes
        from bcp.tool_usage_1d u
        where u.bucket >= v.days_from and u.bucket < v.days_to
        union all
        select u.bucket, u.bcp_name, u.tool_name, u.operation, u.calls, u.successes, u.errors, u.timed_calls,
               u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes
        from bcp.tool_usage_1h u
        where u.bucket >= v.hours_from and u.bucket < v.days_from
        union all
        select u.bucket, u.bcp_name, u.tool_name, u.operation, u.calls, u.successes, u.errors, u.timed_calls,
               u.sum_duration_ms, u.min_duration_ms, u.max_duration_ms, u.request_bytes, u.response_bytes
        from bcp.tool_usage_1h u
        where u.bucket >= v.days_to and u.bucket < v.hours_to
        union all
        select l.start_time, l.bcp_name, l.tool_name, l.operation, 1, l.success::integer, (not l.success)::integer,
               (l.duration_ms is not null)::integer, l.duration_ms, l.duration_ms, l.duration_ms, l.request_bytes,
               l.response_bytes
        from bcp.tool_usage_logs l
        where l.start_time >= p_since and l.start_time < v.hours_from
        union all
        select l.start_time, l.bcp_name, l.tool_name, l.operation, 1, l.success::integer, (not l.success)::integer,
               (l.duration_ms is not null)::integer, l.duration_ms, l.duration_ms, l.duration_ms, l.request_bytes,
               l.response_bytes
        from bcp.tool_usage_logs l
        where l.start_time >= v.hours_to and l.start_time < p_until
    )
    select
        case when p_interval is null then p_since else public.time_bucket(p_interval, p.bucket, p_time_zone) end as bucket,
        p.bcp_name, p.tool_name, p.operation, sum(p.calls)::bigint, coalesce(sum(p.successes), 0)::bigint,
        coalesce(sum(p.errors), 0)::bigint, sum(p.timed_calls)::bigint, sum(p.sum_duration_ms), min(p.min_duration_ms),
        max(p.max_duration_ms), coalesce(sum(p.request_bytes), 0)::bigint, coalesce(sum(p.response_bytes), 0)::bigint
    from pieces p
    where (p_bcp_name is null or p.bcp_name = p_bcp_name)
      and (p_tool_name is null or p.tool_name = p_tool_name)
      and (p_operation is null or p.operation = p_operation)
    group by 1, 2, 3, 4;
end
$func$;

comment on function bcp_internal.usage_cells(timestamptz, timestamptz, interval, text, text, text, text) is
    'Calls of a range by bucket, bundle, tool and operation; one bucket that begins at p_since where the interval is null.';

create or replace function bcp_internal.latency_cells(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_bcp_name text, p_tool_name text, p_operation text)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, operation text, lat_idx smallint, calls bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- As above.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v record;
begin
    select * into v from bcp_internal.cover(
        p_since, p_until, bcp_internal.coarsest_grain(p_interval, p_time_zone, p_since, p_until),
        bcp_internal.watermark('tool_latency_1h'), bcp_internal.watermark('tool_latency_1d'));
    return query
    with pieces as (
        select l.bucket, l.bcp_name, l.tool_name, l.operation, l.lat_idx, l.calls
        from bcp.tool_latency_1d l
        where l.bucket >= v.days_from and l.bucket < v.days_to
        union all
        select l.bucket, l.bcp_name, l.tool_name, l.operation, l.lat_idx, l.calls
        from bcp.tool_latency_1h l
        where l.bucket >= v.hours_from and l.bucket < v.days_from
        union all
        select l.bucket, l.bcp_name, l.tool_name, l.operation, l.lat_idx, l.calls
        from bcp.tool_latency_1h l
        where l.bucket >= v.days_to and l.bucket < v.hours_to
        union all
        select l.start_time, l.bcp_name, l.tool_name, l.operation, l.lat_idx, 1
        from bcp.tool_usage_logs l
        where l.start_time >= p_since and l.start_time < v.hours_from and l.lat_idx is not null
        union all
        select l.start_time, l.bcp_name, l.tool_name, l.operation, l.lat_idx, 1
        from bcp.tool_usage_logs l
        where l.start_time >= v.hours_to and l.start_time < p_until and l.lat_idx is not null
    )
    select
        case when p_interval is null then p_since else public.time_bucket(p_interval, p.bucket, p_time_zone) end as bucket,
        p.bcp_name, p.tool_name, p.operation, p.lat_idx, sum(p.calls)::bigint
    from pieces p
    where (p_bcp_name is null or p.bcp_name = p_bcp_name)
      and (p_tool_name is null or p.tool_name = p_tool_name)
      and (p_operation is null or p.operation = p_operation)
    group by 1, 2, 3, 4, 5;
end
$func$;

comment on function bcp_internal.latency_cells(timestamptz, timestamptz, interval, text, text, text, text) is
    'Latency sketch of a range by bucket, bundle, tool and operation; one bucket that begins at p_since where the interval is null.';
