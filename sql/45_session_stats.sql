-- How many sessions there are, how long and how busy: from figures by day that are kept ready
-- (sql/60_session_days.sql), and from the sessions themselves for the rest.

create or replace function bcp_internal.session_figures(p_sessions text)
returns table (
    bucket timestamptz, client_name text, session_count bigint, user_count bigint, ended_count bigint,
    call_count bigint, error_count bigint, calls_per_session double precision, single_call_count bigint,
    avg_duration_ms double precision, p50_duration_ms double precision, p95_duration_ms double precision,
    max_duration_ms double precision, last_activity timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Compiling takes longer than running.
set jit = off
as $func$
begin
    return query execute format(
        $query$
            select
                s.bucket, s.client_name collate "default", count(*), count(distinct s.user_id), count(s.ended_at),
                sum(s.tool_calls_count)::bigint, sum(s.errors_count)::bigint,
                avg(s.tool_calls_count)::double precision, count(*) filter (where s.tool_calls_count = 1), avg(s.ms),
                percentile_disc(0.5) within group (order by s.ms), percentile_disc(0.95) within group (order by s.ms),
                max(s.ms), max(s.last_activity)
            from (
                -- Sorting takes most of the time. In the collation C it compares bytes.
                select
                    b.bucket, b.client_name collate "C" as client_name, b.user_id collate "C" as user_id, b.ended_at,
                    b.tool_calls_count, b.errors_count, b.last_activity,
                    bcp_internal.session_duration_ms(b.started_at, b.last_activity, b.ended_at) as ms
                from (%s) b
                -- This computes each column once, and not in each aggregate.
                offset 0
            ) s
            group by s.bucket, s.client_name
        $query$, p_sessions);
end
$func$;

comment on function bcp_internal.session_figures is
    'Sessions by bucket and client. p_sessions is a query for rows of bcp.user_sessions with their bucket.';

grant execute on function bcp_internal.session_figures to bcp_reader;

create or replace function bcp_internal.ready_session_days(p_since timestamptz, p_until timestamptz)
returns tstzmultirange
language plpgsql stable
-- Whether a day is ready is nobody's secret, and readers have no right to tables of bcp_internal.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    return coalesce((
        select range_agg(tstzrange(s.day, s.day + interval '24 hours'))
        from (
            select x.day from bcp_internal.session_days x
            where x.day >= p_since and x.day <= p_until - interval '24 hours'
            except
            select c.day from bcp_internal.changed_session_days c
        ) s), '{}');
end
$func$;

comment on function bcp_internal.ready_session_days is
    'The days of a range of which bcp_internal.session_days has the figures of all sessions that began in them.';

revoke all on function bcp_internal.ready_session_days from public;
grant execute on function bcp_internal.ready_session_days to bcp_reader;

create or replace function bcp_internal.session_day_figures(p_days tstzmultirange, p_client_name text)
returns setof bcp_internal.session_days
language plpgsql stable
-- The figures are those of bcp.session_stats; the reason is that of bcp_internal.ready_session_days.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
    select s.*
    from unnest(p_days) as r (range)
    join bcp_internal.session_days s on s.day >= lower(r.range) and s.day < upper(r.range)
    where s.session_count > 0
      and (p_client_name is null or coalesce(s.client_name, '') = p_client_name);
end
$func$;

comment on function bcp_internal.session_day_figures is 'Figures of days that are ready, of one client or all.';

revoke all on function bcp_internal.session_day_figures from public;
grant execute on function bcp_internal.session_day_figures to bcp_reader;

create or replace function bcp_internal.sessions_active_until(p_since timestamptz, p_until timestamptz)
returns timestamptz
language plpgsql stable
-- The reason is that of bcp_internal.ready_session_days.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_from constant timestamptz := date_trunc('day', p_since, 'UTC');
    v_to constant timestamptz := date_trunc('day', p_until + interval '24 hours' - interval '1 microsecond', 'UTC');
begin
    if bcp_internal.ready_session_days(v_from, v_to) = tstzmultirange(tstzrange(v_from, v_to)) then
        return (select max(s.last_activity) from bcp_internal.session_days s where s.day >= v_from and s.day < v_to);
    end if;
    return 'infinity';
end
$func$;

comment on function bcp_internal.sessions_active_until is
    'When the last of the sessions was active that began in a range, if its days are ready; or any time after that. '
    'last_activity has an index, and started_at has none. Stable, so that it sees what its statement sees.';

revoke all on function bcp_internal.sessions_active_until from public;
grant execute on function bcp_internal.sessions_active_until to bcp_reader;

create or replace function bcp_internal.session_count(p_since timestamptz, p_until timestamptz) returns bigint
-- Stable, so that what is ready and what is counted are of one moment.
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_asked constant tstzmultirange := tstzmultirange(tstzrange(p_since, p_until));
    v_ready tstzmultirange := bcp_internal.ready_session_days(p_since, p_until);
    v_left tstzrange;
    v_active_until timestamptz;
    v_counted bigint;
    v_sum bigint := 0;
begin
    -- Each gap costs a scan.
    if (select count(*) from unnest(v_asked - v_ready)) > 20 then
        v_ready := '{}';
    end if;
    for v_left in select unnest(v_asked - v_ready) loop
        v_active_until := bcp_internal.sessions_active_until(lower(v_left), upper(v_left));
        select count(*) into v_counted
        from bcp_internal.sessions_begun(lower(v_left), upper(v_left)) s
        where s.last_activity <= v_active_until;
        v_sum := v_sum + v_counted;
    end loop;
    return v_sum + (
        select coalesce(sum(d.session_count), 0) from bcp_internal.session_day_figures(v_ready, null) d);
end
$func$;

comment on function bcp_internal.session_count is
    'How many sessions began in a range: from days that are ready, and from the sessions themselves for the rest.';

grant execute on function bcp_internal.session_count to bcp_reader;

create or replace function bcp.session_stats(
    p_since timestamptz default null, p_until timestamptz default null, p_interval interval default '1 day',
    p_user_id text default null, p_client_name text default null, p_time_zone text default 'UTC',
    p_client_version text default null)
returns table (
    time_bucket timestamptz, client_name text, session_count bigint, user_count bigint, ended_count bigint,
    call_count bigint, error_count bigint, calls_per_session double precision, single_call_count bigint,
    avg_duration_ms double precision, p50_duration_ms double precision, p95_duration_ms double precision,
    max_duration_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_range constant record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval(p_interval, p_time_zone);
    v_asked constant tstzmultirange := tstzmultirange(tstzrange(v_range.range_from, v_range.range_to));
    v_grain record;
    v_ready tstzmultirange := '{}';
    v_bucket text;
    v_raw text;
begin
    select * into v_grain from bcp_internal.grain(v_width, p_time_zone, v_range.range_from, v_range.range_to);
    if v_width = interval '1 day' and v_grain.zone = 'UTC' and v_grain.shift = interval '0'
        and p_user_id is null and p_client_version is null
    then
        v_ready := bcp_internal.ready_session_days(v_range.range_from, v_range.range_to);
        -- Each gap costs a scan.
        if (select count(*) from unnest(v_asked - v_ready)) > 20 then
            v_ready := '{}';
        end if;
    end if;
    v_bucket := case
        when v_width is null then quote_literal(v_range.range_from) || '::timestamptz'
        else bcp_internal.bucket_of('started_at', v_width, v_grain.zone, v_grain.shift)
    end;
    select string_agg(
        format(
            'select %s as bucket, b.* from bcp_internal.sessions_begun(%L, %L) b where true%s',
            v_bucket, lower(r), upper(r),
            bcp_internal.condition_on('user_id', p_user_id)
                || bcp_internal.condition_on('client_name', p_client_name)
                || bcp_internal.condition_on('client_version', p_client_version)
                -- Asked again in the statement, because a session may change until that begins. Where it says nothing
                -- it would only mislead the planner.
                || case when bcp_internal.sessions_active_until(lower(r), upper(r)) = 'infinity' then ''
                    else format(
                        ' and last_activity <= (select bcp_internal.sessions_active_until(%L, %L))',
                        lower(r), upper(r))
                   end),
        ' union all ')
    into v_raw
    from unnest(v_asked - v_ready) r;
    return query
    select
        f.day, f.client_name, f.session_count, f.user_count, f.ended_count, f.call_count, f.error_count,
        f.calls_per_session, f.single_call_count, f.avg_duration_ms, f.p50_duration_ms, f.p95_duration_ms,
        f.max_duration_ms
    from (
        select d.* from bcp_internal.session_day_figures(v_ready, p_client_name) d
        union all
        select x.* from bcp_internal.session_figures(v_raw) x where v_raw is not null
    ) f
    order by 1 desc, 3 desc, 2;
end
$func$;

comment on function bcp.session_stats is
    'How many sessions are there, how long, how busy? One row per bucket and client, of the sessions that began in it, '
    'latest first; a null interval makes one row per client. A session lasts from its first event to its last, or to '
    'its end; percentiles are exact. single_call_count counts sessions with one call: see also '
    'bcp.degenerate_sessions. Days of UTC come from figures that are kept ready, with p_client_name, too; all else, '
    'and days that are not over or have just changed, from the sessions. The range is [p_since, p_until), the last 24 '
    'hours by default.';

grant execute on function bcp.session_stats to bcp_reader;
