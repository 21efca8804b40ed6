-- Calls of a range, all tools together, with the busiest minute of each bucket.
--
-- A minute has a row for each tool, and one row in the aggregate of totals: 90 days of 3 million calls are 2 million
-- rows of the one, and 130,000 of the other, or 2,160 hours that know their busiest minute.

create or replace function bcp_internal.total_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
    v_asked constant tstzmultirange := bcp_internal.finite(p_since, p_until);
    v_hours tstzmultirange := '{}';
    v_minutes tstzmultirange;
    v_left text;
    v_scans text;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    if '1h' = any (v_grain.levels) then
        v_hours := bcp_internal.covered('total_usage_1h', v_asked);
    end if;
    v_minutes := bcp_internal.covered('total_usage_1m', v_asked - v_hours);
    -- Minutes by tool have what these two have not seen: the last minutes, late calls, and what was dropped before.
    v_left := bcp_internal.usage_statement(
        p_since, p_until, interval '1 minute', 'UTC', null, '{}', p_without => v_hours + v_minutes);
    select string_agg(
        format(
            'select %s as bucket, calls, successes, errors, %s from %s',
            bcp_internal.bucket_of('bucket', p_interval, v_grain.zone, v_grain.shift), s.peak, s.source),
        ' union all ')
    into v_scans
    from (
        select 'peak_calls, peak_minute', 'bcp.total_usage_1h where ' || bcp_internal.within('bucket', v_hours)
        where not isempty(v_hours)
        union all
        select 'calls as peak_calls, bucket as peak_minute',
               'bcp.total_usage_1m where ' || bcp_internal.within('bucket', v_minutes)
        where not isempty(v_minutes)
        union all
        select 'calls as peak_calls, bucket as peak_minute',
               format('(select time_bucket as bucket, calls, successes, errors from (%s) u) minutes', v_left)
        where v_left is not null
    ) as s (peak, source);
    if v_scans is null then
        return null;
    end if;
    -- Of minutes with as many calls the first: minutes since 1970 take less than 32 bits, with their sign.
    return format(
        'select t.bucket as time_bucket, t.calls, t.successes, t.errors, t.peak_calls,'
        ' to_timestamp((t.peak_calls * 4294967296 - t.peak) * 60) as peak_minute'
        ' from (select coalesce(bucket, %L) as bucket, sum(calls)::bigint as calls,'
        ' sum(successes)::bigint as successes, sum(errors)::bigint as errors, max(peak_calls) as peak_calls,'
        ' max(peak_calls * 4294967296 - (extract(epoch from peak_minute) / 60)::bigint) as peak'
        ' from (%s) scans group by 1 having sum(calls) > 0) t',
        p_since, v_scans);
end
$func$;

comment on function bcp_internal.total_statement is
    'Statement that adds up all calls of a range by bucket, without lists of tools: time_bucket, calls, successes, '
    'errors, and peak_calls, the most in one minute, of which peak_minute is the first. Null if the range is empty. '
    'The interval must be of whole minutes.';

grant execute on function bcp_internal.total_statement to bcp_reader;

create or replace function bcp_internal.usage_totals(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text,
    p_filters jsonb)
returns table (time_bucket timestamptz, calls bigint, successes bigint, errors bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_usage constant text := case
        when p_filters = '{}' and (p_interval is null or p_interval = date_trunc('minute', p_interval))
        then bcp_internal.total_statement(p_since, p_until, p_interval, p_time_zone)
        else bcp_internal.usage_statement(p_since, p_until, p_interval, p_time_zone, null, p_filters)
    end;
begin
    if v_usage is not null then
        return query execute format('select u.time_bucket, u.calls, u.successes, u.errors from (%s) u', v_usage);
    end if;
end
$func$;

comment on function bcp_internal.usage_totals is
    'Calls of a range by bucket, all tools together, and how many of them succeeded and failed. Filters work as in '
    'bcp_internal.usage_cells.';

grant execute on function bcp_internal.usage_totals to bcp_reader;

create or replace function bcp_internal.usage_peaks(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (time_bucket timestamptz, calls bigint, peak_calls bigint, peak_minute timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_grain record;
    v_minutes text;
begin
    if p_filters = '{}' then
        v_minutes := bcp_internal.total_statement(p_since, p_until, p_interval, p_time_zone);
        if v_minutes is not null then
            return query execute format(
                'select t.time_bucket, t.calls, t.peak_calls, t.peak_minute from (%s) t', v_minutes);
        end if;
        return;
    end if;
    v_minutes := bcp_internal.usage_statement(p_since, p_until, interval '1 minute', 'UTC', null, p_filters);
    if v_minutes is not null then
        select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
        return query execute format(
            'select coalesce(%s, %L), sum(m.calls)::bigint, max(m.calls),'
            ' (array_agg(m.time_bucket order by m.calls desc, m.time_bucket))[1] from (%s) m group by 1',
            bcp_internal.bucket_of('time_bucket', p_interval, v_grain.zone, v_grain.shift), p_since, v_minutes);
    end if;
end
$func$;

comment on function bcp_internal.usage_peaks is
    'Calls of a range by bucket, all tools together, the most in one clock minute, and the first such minute. Filters '
    'work as in bcp_internal.usage_cells. The interval must be of whole minutes.';

grant execute on function bcp_internal.usage_peaks to bcp_reader;

create or replace function bcp_internal.usage_minutes(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb, p_bits integer,
    p_most integer)
returns table (time_bucket timestamptz, calls bigint, most bigint, words integer[], counts bigint[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_grain record;
    v_ready tstzmultirange := '{}';
    v_rest text;
    v_scans text;
    v_most bigint;
begin
    -- Hours have their busiest minute ready, so what does not fit is mostly known before a minute is read.
    select max(u.peak_calls) into v_most
    from bcp.total_usage_1h u
    where u.bucket > p_since - interval '1 hour' and u.bucket < p_until;
    if v_most > p_most then
        return query select null::timestamptz, null::bigint, v_most, null::integer[], null::bigint[];
        return;
    end if;
    if p_filters = '{}' then
        v_ready := bcp_internal.covered('total_usage_1m', bcp_internal.finite(p_since, p_until));
    end if;
    v_rest := bcp_internal.usage_statement(
        p_since, p_until, interval '1 minute', 'UTC', null, p_filters, p_without => v_ready);
    v_scans := concat_ws(
        ' union all ',
        case when not isempty(v_ready) then
            'select bucket, calls from bcp.total_usage_1m where ' || bcp_internal.within('bucket', v_ready) end,
        case when v_rest is not null then format('select u.time_bucket, u.calls from (%s) u', v_rest) end);
    if v_scans = '' then
        return;
    end if;
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    -- date_part, because extract makes a numeric, which takes longer than all the rest. 60,000,000 minutes before 1970
    -- no minute is negative. offset 0 keeps the planner from computing minute twice.
    return query execute format(
        $query$
            select w.start, sum(w.calls)::bigint, max(w.most), array_agg(w.word), array_agg(w.counts)
            from (
                select
                    m.start, m.minute / %1$s, sum(m.calls), max(m.calls),
                    sum(least(m.calls, %2$s) << (m.minute %% %1$s) * %3$s)::bigint
                from (
                    select %4$s as start, (date_part('epoch', bucket) / 60)::integer + 60000000 as minute, calls
                    from (%5$s) scans (bucket, calls)
                    offset 0
                ) m
                group by 1, 2
            ) w (start, word, calls, most, counts)
            group by 1
        $query$,
        60 / p_bits, p_most, p_bits,
        bcp_internal.bucket_of('bucket', p_interval, v_grain.zone, v_grain.shift), v_scans);
end
$func$;

comment on function bcp_internal.usage_minutes is
    'Calls of a range by bucket and clock minute, all tools together, for a head that looks for the busiest minute of '
    'all shards. A row for each minute would cost many times as much to send and add up. So the counts of 60 / p_bits '
    'minutes are one bigint, the first in the lowest p_bits, and the words of all shards add up as they are. words has '
    'the number of each word: minutes since 1970 and 60,000,000 more, divided by its minutes. Counts above p_most are '
    'cut to it, and most, the highest, says so, maybe alone in a row. A minute may be in two rows of the tables that '
    'are read, so twice p_most of each shard must fit. p_bits divides 60. time_bucket is null if the interval is.';

grant execute on function bcp_internal.usage_minutes to bcp_reader;
