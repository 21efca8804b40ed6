-- Which rows answer for a range: whole months, days, hours and minutes of aggregates, and raw rows for the rest.
--
-- An answer is exact at every moment, not only after a refresh. TimescaleDB logs what has changed in a range since it
-- was aggregated (a late call, a correction), and for that raw rows answer until the next refresh.

create or replace function bcp_internal.invalidated(p_aggregate text) returns tstzmultirange
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return bcp_internal.logged_changes(p_aggregate)
        + tstzmultirange(tstzrange(bcp_internal.watermark(p_aggregate), null));
end
$func$;

comment on function bcp_internal.invalidated(text) is
    'The ranges for which a continuous aggregate of schema bcp is not right: those never aggregated, and those changed '
    'since, in it or in its source. A transaction''s changes count from its commit on.';

grant execute on function bcp_internal.invalidated to bcp_reader;

create or replace function bcp_internal.in_buckets(
    p_ranges tstzmultirange, p_width interval, p_widened boolean default false, p_zone text default 'UTC')
returns tstzmultirange
-- In PL/pgSQL, which keeps its plan: a function in SQL is planned anew in each statement, here for a millisecond.
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- In timestamps without a zone, because adding a day to one with a zone depends on the session's time zone. The
    -- comparisons are of moments: where no clock shows midnight, a day begins at the moment at which it goes on.
    return coalesce((
        select range_agg(tstzrange(w.first at time zone p_zone, w.last at time zone p_zone))
        from unnest(p_ranges) as r (range)
        cross join lateral (
            select
                public.time_bucket(p_width, lower(r.range) at time zone p_zone),
                public.time_bucket(p_width, upper(r.range) at time zone p_zone)
        ) as b (first, last)
        cross join lateral (
            select
                case when p_widened or lower(r.range) = b.first at time zone p_zone then b.first
                     else b.first + p_width end,
                case when p_widened and upper(r.range) <> b.last at time zone p_zone then b.last + p_width
                     else b.last end
        ) as w (first, last)
        where w.first < w.last), '{}');
end
$func$;

comment on function bcp_internal.in_buckets(tstzmultirange, interval, boolean, text) is
    'Ranges in whole buckets of a width, of UTC or of another zone: those that lie within the ranges, or with '
    'p_widened all that they touch.';

grant execute on function bcp_internal.in_buckets to bcp_reader;

create or replace function bcp_internal.unseen(
    p_aggregate text, p_source text, p_bucket interval, p_ranges tstzmultirange, p_zone text)
returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_seen tstzmultirange;
    v_stored tstzmultirange;
begin
    select coalesce(range_agg(tstzrange(c.range_start, c.range_end)), '{}') into v_stored
    from timescaledb_information.chunks c
    where c.hypertable_schema = 'bcp' and c.hypertable_name = p_source;
    -- These have only the rows below them: an hour without a failed call is no gap in them, and of a day whose chunk
    -- was dropped they know more than the chunk that a late call has made anew.
    if p_aggregate in ('failed_usage_1h', 'user_usage_1d', 'session_steps_1d', 'tool_pairs_1d', 'listed_tools_1d') then
        return p_ranges * (v_stored - coalesce((
            select range_agg(tstzrange(l.range_start, l.range_end))
            from bcp.cleanup_log l
            where l.table_name = p_source and l.action = 'dropped'), '{}'));
    end if;
    execute format(
        'select range_agg(tstzrange(b.bucket, (b.bucket at time zone %1$L + %2$L::interval) at time zone %1$L))'
        ' from (select distinct bucket from bcp.%3$I where %4$s) b',
        p_zone, p_bucket, p_aggregate, bcp_internal.within('bucket', p_ranges)) into v_seen;
    return p_ranges - coalesce(v_seen, '{}') + p_ranges * v_stored;
end
$func$;

comment on function bcp_internal.unseen is
    'Which of the ranges, all changed and below the horizon of refreshes, an aggregate that was added to a store in '
    'use cannot answer for. It has not seen what was dropped before: where it has a row, it has. Where rows still '
    'exist, they may have come late.';

grant execute on function bcp_internal.unseen to bcp_reader;

create or replace function bcp_internal.stale(
    p_aggregate text, p_source text, p_asked tstzmultirange, p_horizon timestamptz)
returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_stale tstzmultirange := bcp_internal.invalidated(p_aggregate) * p_asked;
    v_old tstzmultirange;
    v_piece tstzrange;
    v_aggregate record;
    v_aggregated boolean;
begin
    if isempty(v_stale) then
        return v_stale;
    end if;
    -- Dropping a chunk also logs its range as changed, but from then on only the aggregate holds the data. No refresh
    -- reaches below the horizon. So there raw rows answer only where a chunk exists and nothing was aggregated of the
    -- changed range: for old calls that were loaded at once, and for calls that came late for a chunk that still
    -- exists. A call that came for a dropped chunk, and made it anew, is in no answer.
    v_old := v_stale * tstzmultirange(tstzrange(null, p_horizon));
    if not isempty(v_old) then
        v_stale := v_stale - v_old;
        select a.bucket, a.all_time, a.added_later, a.time_zone into v_aggregate
        from bcp_internal.aggregates() a
        where a.name = p_aggregate;
        -- Months are refreshed at any age, from days that stay; until then the days answer.
        if v_aggregate.all_time then
            v_stale := v_stale + v_old * bcp_internal.logged_changes(p_aggregate, p_of_sources => false);
        end if;
        if v_aggregate.added_later then
            v_stale := v_stale + bcp_internal.unseen(
                p_aggregate, p_source, v_aggregate.bucket, v_old, v_aggregate.time_zone);
        end if;
        for v_piece in
            select unnest((v_old - v_stale) * tstzmultirange(tstzrange(c.range_start, c.range_end)))
            from timescaledb_information.chunks c
            where c.hypertable_schema = 'bcp'
              and c.hypertable_name = p_source
              and c.range_start < p_horizon
              and c.range_end > lower(v_old)
        loop
            execute format(
                'select exists (select from bcp.%I where bucket >= %L and bucket < %L)',
                p_aggregate, lower(v_piece), upper(v_piece)) into v_aggregated;
            if not v_aggregated then
                v_stale := v_stale + tstzmultirange(v_piece);
            end if;
        end loop;
    end if;
    -- Each gap costs a scan, so many small gaps become whole days.
    if (select count(*) from unnest(v_stale)) > 20 then
        select range_agg(tstzrange(
            date_trunc('day', lower(r), 'UTC'),
            (date_trunc('day', upper(r) at time zone 'UTC') + interval '1 day') at time zone 'UTC')) * p_asked
        into v_stale
        from unnest(v_stale) r;
    end if;
    return v_stale;
end
$func$;

comment on function bcp_internal.stale(text, text, tstzmultirange, timestamptz) is
    'Where raw rows, or finer aggregates, have to answer in place of an aggregate of the source. Its refreshes reach '
    'back to p_horizon.';

grant execute on function bcp_internal.stale to bcp_reader;

create or replace function bcp_internal.grain(
    p_interval interval, p_time_zone text, p_since timestamptz, p_until timestamptz,
    out levels text[], out zone text, out shift interval)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_offsets interval[];
begin
    zone := 'UTC';
    shift := interval '0';
    if p_interval is null then
        levels := '{1mo,1d,1h,1m}';
        return;
    end if;
    -- The offsets of the zone from UTC, from the start of the first bucket on, within the years that matter.
    select array_agg(distinct (day at time zone p_time_zone) - (day at time zone 'UTC')) into v_offsets
    from generate_series(
        date_trunc(
            'day',
            greatest(p_since, bcp_internal.now() - bcp_internal.setting('max_event_age')::interval) - p_interval,
            'UTC'),
        least(p_until, bcp_internal.now() + interval '366 days') + interval '24 hours',
        interval '24 hours') as day;
    v_offsets := coalesce(v_offsets, array[interval '0']);
    -- Where the clock does not change, buckets are those of UTC, shifted; and hours are, too, where it changes by whole
    -- hours. In the zone's own time the two hours from 2 to 3 of a night in autumn would be one, and nothing would be
    -- vectorised.
    if extract(month from p_interval) + extract(year from p_interval) = 0
        and (cardinality(v_offsets) = 1
             or extract(day from p_interval) = 0 and (
                 select count(distinct mod(extract(epoch from o), extract(epoch from p_interval))) = 1
                 from unnest(v_offsets) o))
    then
        shift := - v_offsets[1];
    elsif v_offsets <> array[interval '0'] then
        zone := p_time_zone;
    end if;
    levels := case
        when p_interval <> date_trunc('minute', p_interval) then '{}'
        when v_offsets = array[interval '0'] and p_interval = date_trunc('month', p_interval) then '{1mo,1d,1h,1m}'
        when v_offsets = array[interval '0'] and p_interval = date_trunc('day', p_interval) then '{1d,1h,1m}'
        -- Hours fit a zone that is always whole hours from UTC: Kolkata is 5:30 off, and Lord Howe half the year.
        when p_interval = date_trunc('hour', p_interval)
            and 0 = all (select extract(minute from o) from unnest(v_offsets) o) then '{1h,1m}'
        else '{1m}'
    end;
end
$func$;

comment on function bcp_internal.grain(interval, text, timestamptz, timestamptz) is
    'How to make buckets of an interval and time zone: the widths of the aggregate buckets that fit whole into them, '
    'widest first, all of them where the interval is null; and whether they are buckets of UTC with a shift.';

grant execute on function bcp_internal.grain to bcp_reader;

create or replace function bcp_internal.cuts(
    p_interval interval, p_time_zone text, p_since timestamptz, p_until timestamptz)
returns timestamptz[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_since constant timestamptz := greatest(p_since, '1900-01-01Z');
    v_until constant timestamptz := least(p_until, '2970-01-01Z');
begin
    if p_interval <= interval '1 day' or p_interval is null
        or extract(epoch from v_until - v_since) > 2000 * extract(epoch from p_interval)
    then
        return null;
    end if;
    -- Without a time zone, because buckets are of one length only in the zone's own time.
    return array(
        select start at time zone p_time_zone
        from generate_series(
            public.time_bucket(p_interval, v_since at time zone p_time_zone), v_until at time zone p_time_zone,
            p_interval) as start);
end
$func$;

comment on function bcp_internal.cuts(interval, text, timestamptz, timestamptz) is
    'Where the buckets of a time zone begin, if these are longer than a day and so may hold whole days of UTC; null '
    'for others, and if they are too many.';

grant execute on function bcp_internal.cuts to bcp_reader;

create or replace function bcp_internal.zone_grain(
    p_interval interval, p_time_zone text, p_since timestamptz, p_until timestamptz,
    out levels text[], out zone text, out shift interval, out cuts timestamptz[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    select g.levels, g.zone, g.shift into levels, zone, shift
    from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until) g;
    -- A week of Berlin is made of six days of UTC, and of the hours around them.
    if levels = '{1h,1m}' then
        cuts := bcp_internal.cuts(p_interval, p_time_zone, p_since, p_until);
        if cuts is not null then
            levels := '{1mo,1d,1h,1m}';
        end if;
    end if;
end
$func$;

comment on function bcp_internal.zone_grain(interval, text, timestamptz, timestamptz) is
    'What bcp_internal.grain says, with wider levels for buckets of a time zone that hold whole days of UTC, and the '
    'cuts for bcp_internal.pieces that these need.';

grant execute on function bcp_internal.zone_grain to bcp_reader;

create or replace function bcp_internal.covered(
    p_aggregate text, p_asked tstzmultirange, p_cuts timestamptz[] default null)
returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_aggregate record;
    v_left tstzmultirange := p_asked;
begin
    select a.name, a.source_table, a.bucket, a.time_zone, r.retention_days into v_aggregate
    from bcp_internal.aggregates() a
    left join bcp.data_retention_policies r on r.table_name = a.source_table
    where a.name = p_aggregate;
    -- A range without a whole bucket, such as a day that is asked for at noon, needs no look at the log.
    if not found or isempty(bcp_internal.in_buckets(p_asked, v_aggregate.bucket, p_zone => v_aggregate.time_zone))
    then
        return '{}';
    end if;
    if p_cuts is not null then
        v_left := v_left - coalesce(bcp_internal.in_buckets(
            (select range_agg(tstzrange(cut, cut, '[]'))
             from unnest(p_cuts) as cut
             where public.time_bucket(v_aggregate.bucket, cut) <> cut),
            v_aggregate.bucket, p_widened => true), '{}');
    end if;
    return bcp_internal.in_buckets(
        v_left - bcp_internal.stale(
            p_aggregate, v_aggregate.source_table, p_asked,
            bcp_internal.now() - bcp_internal.refresh_start(v_aggregate.retention_days)),
        v_aggregate.bucket, p_zone => v_aggregate.time_zone);
end
$func$;

comment on function bcp_internal.covered(text, tstzmultirange, timestamptz[]) is
    'The whole buckets within the ranges for which a continuous aggregate of schema bcp is right, and which none of '
    'the moments p_cuts divides.';

grant execute on function bcp_internal.covered to bcp_reader;

create or replace function bcp_internal.finite(p_since timestamptz, p_until timestamptz) returns tstzmultirange
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return tstzmultirange(tstzrange(
        least(greatest(p_since, '1900-01-01Z'), '2970-01-01Z'),
        least(greatest(p_until, p_since, '1900-01-01Z'), '2970-01-01Z')));
end
$func$;

comment on function bcp_internal.finite(timestamptz, timestamptz) is
    'A range that is cut into pieces. It must be finite, because an infinite time has no bucket: what lies before 1900 '
    'or after 2970 is left out.';

grant execute on function bcp_internal.finite to bcp_reader;

create or replace function bcp_internal.pieces(
    p_family text, p_levels text[], p_since timestamptz, p_until timestamptz, p_without tstzmultirange default '{}',
    p_cuts timestamptz[] default null)
returns table (relation text, ranges tstzmultirange)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_left tstzmultirange := bcp_internal.finite(p_since, p_until) - p_without;
    v_taken tstzmultirange;
    v_aggregate text;
begin
    for v_aggregate in
        select a.name
        from unnest(p_levels) as l (suffix)
        join bcp_internal.aggregates() a on a.name = p_family || '_' || l.suffix
        order by a.ordinal desc
    loop
        exit when isempty(v_left);
        v_taken := bcp_internal.covered(v_aggregate, v_left, p_cuts);
        if not isempty(v_taken) then
            return query select v_aggregate, v_taken;
            v_left := v_left - v_taken;
        end if;
    end loop;
    -- One row per range, because otherwise the chunks between two ranges would be planned for, too.
    return query
        select
            (
                select min(a.source_table)
                from bcp_internal.aggregates() a
                where starts_with(a.name, p_family || '_')
            ),
            tstzmultirange(r)
        from unnest(v_left) r;
end
$func$;

comment on function bcp_internal.pieces(text, text[], timestamptz, timestamptz, tstzmultirange, timestamptz[]) is
    'Cuts a range, without the ranges p_without, into pieces, each answered by one relation of schema bcp: an '
    'aggregate of a family (tool_usage, tool_latency) at one of the levels given (1mo, 1d, 1h, 1m), or the hypertable. '
    'No bucket of an aggregate has one of the moments p_cuts inside.';

grant execute on function bcp_internal.pieces to bcp_reader;

create or replace function bcp_internal.zone_parts(
    p_ranges tstzmultirange, p_interval interval, p_zone text, p_shift interval)
returns table (ranges tstzmultirange, zone text, shift interval, label text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_first constant timestamptz := date_trunc('day', lower(p_ranges), 'UTC');
begin
    if p_interval is null or p_zone = 'UTC' or isempty(p_ranges)
        or upper(p_ranges) - v_first > interval '1200 days'
    then
        return query select p_ranges, p_zone, p_shift, 'bucket';
        return;
    end if;
    return query
        with days as materialized (
            select day, (day at time zone p_zone) - (day at time zone 'UTC') as utc_offset,
                   lead((day at time zone p_zone) - (day at time zone 'UTC')) over (order by day) as next_offset
            from generate_series(v_first, upper(p_ranges) + interval '24 hours', interval '24 hours') as day
        ), parts as (
            select tstzrange(day, day + interval '24 hours') as part,
                   case when utc_offset = next_offset then utc_offset end as utc_offset
            from days
            where next_offset is not null
        ), offsets as (
            select p_ranges * range_agg(part) as within, utc_offset
            from parts
            group by utc_offset
        )
        -- On a day with a change some times come twice, and their buckets cannot be told by what the clock shows.
        select o.within, case when o.utc_offset is null then p_zone else 'UTC' end,
               coalesce(- o.utc_offset, p_shift),
               case when o.utc_offset is null then 'bucket'
                    else format('(bucket at time zone ''UTC'' + %L::interval) at time zone %L', o.utc_offset, p_zone)
               end
        from offsets o
        where not isempty(o.within)
        order by o.within;
end
$func$;

comment on function bcp_internal.zone_parts is
    'Parts of ranges in which the clock of a time zone does not change: there buckets are those of UTC, shifted, which '
    'TimescaleDB adds up vectorised, and label makes their start from the column bucket. More than 1,200 days stay one '
    'part, in the zone.';

grant execute on function bcp_internal.zone_parts to bcp_reader;

create or replace function bcp_internal.within(p_column text, p_ranges tstzmultirange) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
begin
    -- Only comparisons with constants leave out chunks and are vectorised.
    return (
        select format('%1$I >= %2$L and %1$I < %3$L', p_column, lower(p_ranges), upper(p_ranges))
            || case when count(*) > 1 then
                   format(' and (%s)', string_agg(
                       format('%1$I >= %2$L and %1$I < %3$L', p_column, lower(r), upper(r)), ' or '))
               else '' end
        from unnest(p_ranges) r);
end
$func$;

comment on function bcp_internal.within(text, tstzmultirange) is 'The condition that a time is within ranges.';

grant execute on function bcp_internal.within to bcp_reader;
