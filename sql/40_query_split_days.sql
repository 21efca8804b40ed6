-- Days of UTC that two buckets of a time zone share: the sketch of the day, less what belongs to the other bucket.
--
-- A day of Berlin is a day of UTC without its last two hours, and with those of the day before. So its sketch needs the
-- day and these hours, with signs, and not all 24 hours. Counts are whole numbers, so the difference is exact.

create or replace function bcp_internal.split_days(
    p_interval interval, p_time_zone text, p_asked tstzmultirange, p_keys text, p_filter text,
    out scans text, out ranges tstzmultirange)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
    v_ready tstzmultirange;
    v_day record;
    v_hour record;
begin
    ranges := '{}';
    if p_interval is null or p_interval < interval '1 day' or isempty(p_asked)
        or upper(p_asked) - lower(p_asked) > interval '1200 days'
    then
        return;
    end if;
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, lower(p_asked), upper(p_asked));
    if v_grain.levels <> '{1h,1m}' then
        return;
    end if;
    v_ready := bcp_internal.covered('tool_latency_1d', p_asked);
    -- A day and its hours must agree. Below the horizon of refreshes they do not, if the hours have changed since the
    -- day was made from them.
    v_ready := v_ready * bcp_internal.in_buckets(bcp_internal.covered('tool_latency_1h', v_ready), '1 day')
        - bcp_internal.in_buckets(
            bcp_internal.logged_changes('tool_latency_1d', p_of_sources => false) * v_ready, '1 day',
            p_widened => true);
    with each as (
        -- The same calls as in bcp_internal.bucket_of.
        select
            d.day, h.hour,
            case when v_grain.zone = 'UTC' then public.time_bucket(p_interval, h.hour, v_grain.shift)
                 else public.time_bucket(p_interval, h.hour, v_grain.zone, null::timestamptz, null::interval)
            end as bucket
        from unnest(v_ready) as r
        cross join generate_series(lower(r), upper(r) - interval '1 microsecond', interval '24 hours') as d (day)
        cross join generate_series(d.day, d.day + interval '23 hours', interval '1 hour') as h (hour)
    ), split as materialized (
        -- The bucket of most of the day.
        select day, mode() within group (order by bucket) as own, min(bucket) as first, max(bucket) as last
        from each
        group by day
        having count(distinct bucket) = 2
    ), days as (
        select array_agg(day) as days, array_agg(own) as own,
               array_agg(case own when first then last else first end) as other,
               range_agg(tstzrange(day, day + interval '24 hours')) as ranges
        from split
    ), hours as (
        select array_agg(e.hour) as hours
        from split s
        join each e using (day)
        where e.bucket <> s.own
        -- Each of these rows counts twice, and none of that is vectorised: the 9 hours of Tokyo take 1.4 times what all
        -- 24 do, the 4 and 5 of New York as much as these, and the one of Lagos 0.8 of that.
        having count(*) <= 5 * (select count(*) from split)
    )
    -- A list of times lets TimescaleDB read only the batches that have them.
    select d.ranges, format(
        'select own as bucket, %1$slat_base, %2$s from bcp.tool_latency_1d'
        ' join unnest(%3$L::timestamptz[], %4$L::timestamptz[]) as m (day, own) on day = bucket'
        ' where bucket = any (%3$L::timestamptz[])%5$s'
        ' union all select case when sign > 0 then other else own end, %1$slat_base, %6$s'
        ' from (select public.time_bucket(interval ''1 day'', bucket, interval ''0'') as day, %1$slat_base, %8$s'
        ' from bcp.tool_latency_1h where bucket = any (%9$L::timestamptz[])%5$s) hours'
        ' join unnest(%3$L::timestamptz[], %4$L::timestamptz[], %7$L::timestamptz[]) as m (day, own, other) using (day)'
        ' cross join (values (1), (-1)) as s (sign)',
        p_keys, bcp_internal.sketch_columns('n%1$s::double precision as n%1$s'), d.days, d.own,
        p_filter, bcp_internal.sketch_columns('(n%1$s * sign)::double precision'), d.other,
        bcp_internal.sketch_columns('n%1$s'), h.hours)
    into ranges, scans
    from days d
    cross join hours h
    where d.ranges is not null;
    ranges := coalesce(ranges, '{}');
end
$func$;

comment on function bcp_internal.split_days is
    'Scans for bcp_internal.sketch_scans of the days of UTC that two buckets of a time zone share, and the ranges of '
    'these days, as far as the sketches by tool of a day and of its hours are right. The day counts for the bucket of '
    'most of its hours. The other hours count twice: for their own bucket, and with a negative sign for that of the '
    'day. p_keys are columns with a comma after each, p_filter is a condition to be appended.';

grant execute on function bcp_internal.split_days to bcp_reader;
