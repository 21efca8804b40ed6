-- Questions about calls: how many, how fast, how successful.

create or replace function bcp_internal.stats_statement(p_cells text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Not from bcp_internal.tool_cells, because each function that hands on 30,000 rows takes longer than reading them
    -- does. A value of the sketch may lie up to 1 percent outside of what was measured, but the extremes are known
    -- exactly.
    select format(
        $query$
            select
                c.time_bucket, c.bcp_name, c.tool_name, c.calls, c.successes, c.errors,
                c.successes::double precision / nullif(c.successes + c.errors, 0),
                c.sum_ms / nullif(c.timed_calls, 0),
                least(greatest(c.p50_ms, c.min_ms), c.max_ms), least(greatest(c.p95_ms, c.min_ms), c.max_ms),
                least(greatest(c.p99_ms, c.min_ms), c.max_ms), c.max_ms, c.request_bytes, c.response_bytes
            from (%s) as c (
                time_bucket, bcp_name, tool_name, calls, successes, errors, timed_calls, sum_ms, min_ms, max_ms,
                request_bytes, response_bytes, p50_ms, p95_ms, p99_ms)
        $query$, p_cells)
$func$;

comment on function bcp_internal.stats_statement is
    'Statement for rows of bcp.tool_usage_stats, in any order, from one of bcp_internal.tool_statements.';

grant execute on function bcp_internal.stats_statement to bcp_reader;

create or replace function bcp.tool_usage_stats(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, call_count bigint, success_count bigint, error_count bigint,
    success_rate double precision, avg_duration_ms double precision, p50_duration_ms double precision,
    p95_duration_ms double precision, p99_duration_ms double precision, max_duration_ms double precision,
    request_bytes bigint, response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
set enable_hashagg = on
as $func$
declare
    v_statements text[];
    v_statement text;
begin
    select bcp_internal.tool_statements(
        r.range_from, r.range_to, bcp_internal.checked_interval(p_interval, p_time_zone), p_time_zone,
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome,
            p_failed, p_client_version, p_client_model, p_release))
    into v_statements
    from bcp_internal.checked_range(p_since, p_until) r;
    foreach v_statement in array v_statements loop
        return query execute bcp_internal.stats_statement(v_statement)
            || ' order by c.time_bucket desc, c.calls desc, c.bcp_name, c.tool_name';
    end loop;
end
$func$;

comment on function bcp.tool_usage_stats is
    'How often is each tool called, how fast is it, how often does it fail? One row per bucket and tool, latest first; '
    'a null interval makes one row per tool. success_rate is the share of successes among the calls that say whether '
    'they succeeded, from 0 to 1. Percentiles are within 1 percent of exact. The range is [p_since, p_until), the last '
    '24 hours by default. A list of tools is no call: p_operation => ''tools/list'' asks for lists. Filters by user or '
    'client (for whole UTC days), by failure and by an outcome other than success are answered from aggregates, too. '
    'By session it reads the raw rows of the days on which it was active; any other filter makes it read every raw row '
    'of the range.';

grant execute on function bcp.tool_usage_stats to bcp_reader;

create or replace function bcp.latency_percentiles(
    p_since timestamptz default null, p_until timestamptz default null,
    p_percentiles double precision[] default '{0.5,0.9,0.95,0.99}',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    bcp_name text, tool_name text, percentile double precision, duration_ms double precision, call_count bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_percentiles double precision[];
begin
    if p_percentiles is null or array_position(p_percentiles, null) is not null
        or not 0 <= all (p_percentiles) or not 1 >= all (p_percentiles)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_percentiles has a value outside of 0 to 1',
            hint = 'The 95th percentile is 0.95.';
    end if;
    select array_agg(distinct p) into v_percentiles from unnest(p_percentiles) p;
    return query
        select c.bcp_name, c.tool_name, q.percentile, q.duration_ms, c.timed_calls
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.latency_quantiles(
            r.range_from, r.range_to, null, 'UTC', v_percentiles,
            bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name,
                p_outcome, p_failed, p_client_version, p_client_model, p_release)) c
        cross join lateral unnest(v_percentiles, c.durations_ms) as q (percentile, duration_ms)
        order by c.timed_calls desc, c.bcp_name, c.tool_name, q.percentile;
end
$func$;

comment on function bcp.latency_percentiles is
    'How long do calls take? One row per tool and percentile (0.95 is the 95th), in milliseconds, within 1 percent of '
    'percentile_disc over the raw rows. call_count counts the calls whose duration is known. The range is [p_since, '
    'p_until), the last 24 hours by default. Filters by user or client (for whole UTC days), by failure and by an '
    'outcome other than success are answered from aggregates, too. By session it reads the raw rows of the days on '
    'which it was active; any other filter makes it read every raw row of the range.';

grant execute on function bcp.latency_percentiles to bcp_reader;

create or replace function bcp.success_and_error_rates(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, call_count bigint, success_count bigint, error_count bigint,
    unknown_count bigint, success_rate double precision, error_rate double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select
        c.time_bucket, c.bcp_name, c.tool_name, c.calls, c.successes, c.errors, c.calls - c.successes - c.errors,
        c.successes / nullif(c.successes + c.errors, 0)::double precision,
        c.errors / nullif(c.successes + c.errors, 0)::double precision
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral bcp_internal.tool_cells(
        r.range_from, r.range_to, bcp_internal.checked_interval(p_interval, p_time_zone), p_time_zone,
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome,
            p_failed, p_client_version, p_client_model, p_release), p_timed => false) c
    order by c.time_bucket desc, c.calls desc, c.bcp_name, c.tool_name
$func$;

comment on function bcp.success_and_error_rates is
    'What share of the calls succeeds, and what share fails? One row per bucket and tool, latest first; a null '
    'interval makes one row per tool. Both rates are shares of the calls that say whether they succeeded, from 0 to 1, '
    'and null if no call does; unknown_count counts the other calls. The range is [p_since, p_until), the last 24 '
    'hours by default. Filters by user or client (for whole UTC days), by failure and by an outcome other than success '
    'are answered from aggregates, too. By session it reads the raw rows of the days on which it was active; any other '
    'filter makes it read every raw row of the range.';

grant execute on function bcp.success_and_error_rates to bcp_reader;

create or replace function bcp.throughput(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 hour',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    time_bucket timestamptz, call_count bigint, calls_per_minute double precision, peak_calls_per_minute bigint,
    peak_minute timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select r.range_from, r.range_to, w.width, g.zone, g.shift
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.checked_interval(p_interval, p_time_zone, 'minute') as w (width)
        cross join lateral bcp_internal.grain(w.width, p_time_zone, r.range_from, r.range_to) g
    ), buckets as (
        select c.time_bucket as bucket, c.calls, c.peak_calls as peak, c.peak_minute
        from asked a
        cross join lateral bcp_internal.usage_peaks(
            a.range_from, a.range_to, a.width, p_time_zone,
            bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name,
                p_outcome, p_failed, p_client_version, p_client_model, p_release)) c
    )
    select
        b.bucket, b.calls, b.calls * 60 / extract(epoch from f.until - f.since)::double precision, b.peak, b.peak_minute
    from buckets b
    cross join asked a
    cross join lateral (
        select greatest(b.bucket, a.range_from) as since,
               -- A bucket is as long as its days and months are in the time zone.
               case when a.width is null then a.range_to
                    else least((b.bucket at time zone a.zone + a.width) at time zone a.zone, a.range_to) end as until
    ) f
    order by b.bucket desc
$func$;

comment on function bcp.throughput is
    'How many calls are there per minute? One row per bucket with calls, latest first. p_interval is of whole minutes; '
    'null makes one row. calls_per_minute is the mean over the part of the bucket that lies in the range; '
    'peak_calls_per_minute is the most in one clock minute, and peak_minute the first such minute. The range is '
    '[p_since, p_until), the last 24 hours by default. Filters by user (for whole UTC days), by failure and by an '
    'outcome other than success are answered from aggregates, too; any other makes it read every raw row of the range.';

grant execute on function bcp.throughput to bcp_reader;

create or replace function bcp.peak_usage_hours(
    p_since timestamptz default null, p_until timestamptz default null, p_by_weekday boolean default false,
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_time_zone text default 'UTC', p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    weekday integer, hour_of_day integer, call_count bigint, share double precision, calls_per_hour double precision,
    peak_calls bigint, peak_hour timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select r.range_from, r.range_to, w.width,
               -- Since 1972 every time zone differs from UTC by whole quarters of an hour, and most by whole hours.
               case when '1h' = any (g.levels) then interval '1 hour' else interval '15 minutes' end as step
        from (
            select greatest(c.range_from, '1900-01-01Z') as range_from,
                   least(c.range_to, bcp_internal.now() + interval '366 days') as range_to
            from bcp_internal.checked_range(p_since, p_until) c
        ) r
        cross join lateral bcp_internal.checked_interval('1 hour', p_time_zone) as w (width)
        cross join lateral bcp_internal.grain(w.width, p_time_zone, r.range_from, r.range_to) g
    ), hours as (
        select c.time_bucket as hour, c.calls
        from asked a
        cross join lateral bcp_internal.usage_totals(
            a.range_from, a.range_to, a.width, p_time_zone,
            bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name,
                p_outcome, p_failed, p_client_version, p_client_model, p_release)) c
    ), counted as (
        select
            case when p_by_weekday then extract(isodow from l.time)::integer end as weekday,
                extract(hour from l.time)::integer as hour_of_day,
            sum(h.calls)::bigint as calls, max(h.calls) as peak,
            (array_agg(h.hour order by h.calls desc, h.hour))[1] as peak_hour
        from hours h
        cross join lateral (select h.hour at time zone p_time_zone as time) l
        group by 1, 2
    ), lasting as (
        select
            case when p_by_weekday then extract(isodow from l.time)::integer end as weekday,
                extract(hour from l.time)::integer as hour_of_day,
            sum(extract(
                epoch from least(q.time + a.step, a.range_to) - greatest(q.time, a.range_from))) / 3600
                as hours
        from asked a
        cross join lateral generate_series(
            public.time_bucket(a.step, a.range_from), a.range_to - interval '1 microsecond', a.step) as q (time)
        cross join lateral (select q.time at time zone p_time_zone as time) l
        where a.range_from < a.range_to
        group by 1, 2
    )
    select
        l.weekday, l.hour_of_day, coalesce(c.calls, 0),
        coalesce(c.calls, 0) / nullif(sum(c.calls) over (), 0)::double precision,
        coalesce(c.calls, 0) / l.hours::double precision, coalesce(c.peak, 0), c.peak_hour
    from lasting l
    left join counted c on c.hour_of_day = l.hour_of_day and c.weekday is not distinct from l.weekday
    order by 3 desc, 1, 2
$func$;

comment on function bcp.peak_usage_hours is
    'When is the load highest? One row per hour of the day (0 to 23) in the time zone, or with p_by_weekday one row '
    'per hour of the week (weekday 1 is Monday), most calls first; hours without calls are included. share is of all '
    'calls in the answer, from 0 to 1; calls_per_hour is the mean over the hours of that kind in the range; peak_calls '
    'is the most in one such hour, which began at peak_hour. The range is [p_since, p_until), the last 24 hours by '
    'default. Filters by user (for whole UTC days), by failure and by an outcome other than success are answered from '
    'aggregates, too; any other makes it read every raw row of the range.';

grant execute on function bcp.peak_usage_hours to bcp_reader;

create or replace view bcp.hourly_tool_usage as
-- Usage and sketch are one set, so that a condition on the hour reaches the scans of both. Rows of the sketch have a
-- lat_idx.
with cells as (
    select bucket, bcp_name, tool_name, null::smallint as lat_idx, 0 as in_sketch, calls, successes, timed_calls,
           sum_duration_ms, min_duration_ms, max_duration_ms
    from bcp.tool_usage_1h
    where operation <> 'tools/list'
    union all
    select l.bucket, l.bcp_name, l.tool_name, (l.lat_base + c.place - 1)::smallint, c.calls, 0, 0, 0, null, null, null
    from bcp.tool_latency_1h l
    cross join lateral unnest(array[
        n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14, n15, n16, n17, n18, n19, n20, n21, n22, n23,
        n24, n25, n26, n27, n28, n29, n30, n31]) with ordinality as c (calls, place)
    where c.calls > 0
    union all
    select public.time_bucket(interval '1 hour', start_time), bcp_name, tool_name, null, 0, 1, success::integer,
           (duration_ms is not null)::integer, duration_ms, duration_ms, duration_ms
    from bcp.tool_usage_logs
    where start_time >= bcp_internal.watermark('tool_usage_1h') and operation <> 'tools/list'
    union all
    select public.time_bucket(interval '1 hour', start_time), bcp_name, tool_name, lat_idx, 1, 0, 0, 0, null, null, null
    from bcp.tool_usage_logs
    where start_time >= bcp_internal.watermark('tool_latency_1h') and lat_idx is not null and operation <> 'tools/list'
), counted as (
    select
        bucket, bcp_name, tool_name, lat_idx, sum(in_sketch) as in_sketch, sum(calls) as calls,
        sum(successes) as successes, sum(timed_calls) as timed_calls, sum(sum_duration_ms) as sum_ms,
        min(min_duration_ms) as min_ms, max(max_duration_ms) as max_ms
    from cells
    group by 1, 2, 3, 4
), ranked as (
    select
        c.*, sum(in_sketch) over (partition by bucket, bcp_name, tool_name order by lat_idx) as up_to,
        sum(in_sketch) over (partition by bucket, bcp_name, tool_name) as total
    from counted c
)
select
    bucket as hour, bcp_name, tool_name, sum(calls)::bigint as total_calls,
    coalesce(sum(successes), 0)::bigint as successful_calls,
    sum(sum_ms) / nullif(sum(timed_calls), 0)::double precision as avg_duration_ms, max(max_ms) as max_duration_ms,
    least(
        greatest(bcp_internal.latency_ms(min(lat_idx) filter (where up_to >= total * 0.95)), min(min_ms)), max(max_ms))
        as p95_duration_ms
from ranked
group by 1, 2, 3;

comment on view bcp.hourly_tool_usage is
    'Calls, successes, mean, maximum and 95th percentile of the duration by UTC hour, bundle and tool, up to now. A '
    'call that comes late, for an hour that is already aggregated, shows after the next refresh, within five minutes; '
    'the function bcp.hourly_tool_usage has it at once.';

grant select on bcp.hourly_tool_usage to bcp_reader;

comment on column bcp.hourly_tool_usage.hour is 'Start of the hour.';

comment on column bcp.hourly_tool_usage.bcp_name is 'Bundle of tools.';

comment on column bcp.hourly_tool_usage.tool_name is 'Tool.';

comment on column bcp.hourly_tool_usage.total_calls is 'Calls that began in the hour.';

comment on column bcp.hourly_tool_usage.successful_calls is 'How many of those calls succeeded.';

comment on column bcp.hourly_tool_usage.avg_duration_ms is 'Mean duration in milliseconds.';

comment on column bcp.hourly_tool_usage.max_duration_ms is 'Longest duration in milliseconds.';

comment on column bcp.hourly_tool_usage.p95_duration_ms is
    '95th percentile of the duration in milliseconds, within 1 percent of exact.';

create or replace function bcp.hourly_tool_usage(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null)
returns setof bcp.hourly_tool_usage
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select s.time_bucket, s.bcp_name, s.tool_name, s.call_count, s.success_count, s.avg_duration_ms, s.max_duration_ms,
           s.p95_duration_ms
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral bcp.tool_usage_stats(
        date_trunc('hour', r.range_from, 'UTC'),
        date_trunc('hour', r.range_to + interval '1 hour' - interval '1 microsecond', 'UTC'),
        interval '1 hour', p_bcp_name, p_tool_name) s
    where r.range_from < r.range_to
    order by s.time_bucket desc, s.call_count desc, s.bcp_name, s.tool_name
$func$;

comment on function bcp.hourly_tool_usage is
    'How much is each tool used by the hour? Rows of the view bcp.hourly_tool_usage whose hour overlaps [p_since, '
    'p_until), the last 24 hours by default; latest first.';

grant execute on function bcp.hourly_tool_usage to bcp_reader;
