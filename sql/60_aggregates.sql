-- Continuous aggregates: how they are refreshed, all of them or those of chunks whose rows have changed.

create or replace function bcp_internal.aggregates()
returns table (
    ordinal integer, name text, source_table text, bucket interval, of_rows boolean, all_time boolean,
    columnstore_after interval, added_later boolean, time_zone text)
-- No SET, so that it is inlined: to plan 41 rows anew took longer than a question needs to find its aggregate.
language sql stable parallel safe
as $func$
    -- In the order in which they are refreshed: an aggregate that is not made from rows (of_rows) is made from the
    -- finer one before it, total_usage_1m from tool_usage_1m, call_latency_1h from tool_latency_1h, user_totals_1d from
    -- user_activity_1d, and the last three of errors from errors_1d. Months are refreshed whatever their age, because a
    -- month may be longer than retention, and the days that it is made from are never dropped; so are days that are
    -- made from such days. What a store in use was given later (added_later) is filled day by day, and has seen nothing
    -- of what had been dropped before. Buckets are of UTC, but for the last three, each of which exists only while a
    -- setting names another zone: see bcp_internal.set_local_days.
    select v.*, v.column1 operator(pg_catalog.>) 15, z.time_zone
    from (values
        (1, 'tool_usage_1m', 'tool_usage_logs', interval '1 minute', true, false, interval '1 day'),
        (2, 'tool_usage_1h', 'tool_usage_logs', interval '1 hour', false, false, interval '1 hour'),
        (3, 'tool_usage_1d', 'tool_usage_logs', interval '1 day', false, false, interval '6 hours'),
        (4, 'tool_usage_1mo', 'tool_usage_logs', interval '1 month', false, true, null),
        (5, 'tool_latency_1h', 'tool_usage_logs', interval '1 hour', true, false, interval '1 hour'),
        (6, 'tool_latency_1d', 'tool_usage_logs', interval '1 day', false, false, interval '6 hours'),
        (7, 'tool_latency_1mo', 'tool_usage_logs', interval '1 month', false, true, null),
        (8, 'user_activity_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (9, 'session_activity_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (10, 'errors_1h', 'error_logs', interval '1 hour', true, false, null),
        (11, 'errors_1d', 'error_logs', interval '1 day', false, false, null),
        (12, 'metrics_1m', 'performance_metrics', interval '1 minute', true, false, null),
        (13, 'metrics_5m', 'performance_metrics', interval '5 minutes', false, false, null),
        (14, 'metrics_1h', 'performance_metrics', interval '1 hour', false, false, null),
        (15, 'metrics_1d', 'performance_metrics', interval '1 day', false, false, null),
        (16, 'tool_stats_1h', 'tool_usage_logs', interval '1 hour', true, false, interval '1 hour'),
        (17, 'tool_stats_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (18, 'call_stats_1h', 'tool_usage_logs', interval '1 hour', true, false, null),
        (19, 'total_usage_1m', 'tool_usage_logs', interval '1 minute', false, false, interval '1 day'),
        (20, 'total_usage_1h', 'tool_usage_logs', interval '1 hour', false, false, null),
        (21, 'failed_usage_1h', 'tool_usage_logs', interval '1 hour', true, false, interval '1 hour'),
        (22, 'user_usage_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (23, 'call_latency_1h', 'tool_usage_logs', interval '1 hour', false, false, interval '1 hour'),
        (24, 'call_latency_1d', 'tool_usage_logs', interval '1 day', false, false, null),
        (25, 'client_usage_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (26, 'client_tool_usage_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (27, 'client_tool_usage_1mo', 'tool_usage_logs', interval '1 month', false, true, null),
        (28, 'failed_usage_1mo', 'tool_usage_logs', interval '1 month', false, true, null),
        (29, 'listed_tools_1d', 'tool_usage_logs', interval '1 day', true, false, null),
        (30, 'session_steps_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (31, 'tool_pairs_1d', 'tool_usage_logs', interval '1 day', false, false, interval '6 hours'),
        (32, 'tool_pairs_1mo', 'tool_usage_logs', interval '1 month', false, true, null),
        (33, 'call_ids_1h', 'tool_usage_logs', interval '1 hour', true, false, null),
        (34, 'parameter_keys_1d', 'tool_usage_logs', interval '1 day', true, false, null),
        (35, 'user_totals_1d', 'tool_usage_logs', interval '1 day', false, false, interval '6 hours'),
        (36, 'error_totals_1d', 'error_logs', interval '1 day', false, true, interval '6 hours'),
        (37, 'errors_1d_packed', 'error_logs', interval '1 day', false, true, interval '6 hours'),
        (38, 'errors_1mo', 'error_logs', interval '1 month', false, true, null),
        (39, 'tool_stats_local_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (40, 'tool_stats_local2_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours'),
        (41, 'tool_stats_local3_1d', 'tool_usage_logs', interval '1 day', true, false, interval '6 hours')
    ) as v
    cross join lateral (
        select case when v.column1 operator(pg_catalog.>=) 39
                    then bcp_internal.bucket_zone(v.column2) else 'UTC' end
    ) as z (time_zone)
    where z.time_zone is not null
$func$;

comment on function bcp_internal.aggregates is 'The continuous aggregates, in the order in which they are refreshed.';

grant execute on function bcp_internal.aggregates to bcp_reader;

create or replace function bcp_internal.refresh_start(p_retention_days integer) returns interval
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return greatest(p_retention_days - 2, 1) * interval '1 day';
end
$func$;

comment on function bcp_internal.refresh_start is
    'How far back aggregates are refreshed: two days less than retention. A refresh of a dropped chunk would remove '
    'its calls from the aggregate.';

grant execute on function bcp_internal.refresh_start to bcp_reader;

create or replace function bcp_internal.refresh_windows(p_name text, p_since timestamptz, p_until timestamptz)
returns table (since timestamptz, until timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_changed constant tstzmultirange :=
        bcp_internal.invalidated(p_name) * tstzmultirange(tstzrange(p_since, greatest(p_since, p_until)));
    v_filled tstzmultirange := '{}';
    v_first timestamptz;
    v_aggregate record;
begin
    select * into strict v_aggregate from bcp_internal.aggregates() a where a.name = p_name;
    -- A month does not fit into a day.
    if p_since is not null and v_aggregate.added_later and not v_aggregate.all_time
        and (select sum(upper(r) - lower(r)) > interval '4 days' from unnest(v_changed) r)
    then
        -- All of a new store counts as changed, back to where its retention begins. Its days before the first chunk
        -- are empty, and a refresh for each of them takes longer than all the others.
        select min(c.range_start) into v_first
        from bcp_internal.event_chunks() c
        where c.table_name = v_aggregate.source_table;
        v_filled := v_changed * tstzmultirange(tstzrange(coalesce(v_first, 'infinity'), null));
    end if;
    if (select sum(upper(r) - lower(r)) > interval '4 days' from unnest(v_filled) r) then
        return query
            select w.first, w.last
            from generate_series(
                date_trunc(
                    'day', greatest(p_since + interval '24 hours', v_first) at time zone v_aggregate.time_zone),
                (p_until - interval '1 microsecond') at time zone v_aggregate.time_zone, interval '1 day')
                with ordinality as d (day, n)
            cross join lateral (
                -- What lies before the first day goes with it, because alone it may be less than a bucket. A bucket
                -- that p_until cuts is not refreshed, as none is without these parts.
                select case when d.n = 1 then p_since else d.day at time zone v_aggregate.time_zone end,
                       least(
                           (d.day + interval '1 day') at time zone v_aggregate.time_zone,
                           bcp_internal.bucket_start(v_aggregate.bucket, p_until, v_aggregate.time_zone))
            ) as w (first, last)
            where w.first < w.last and v_changed && tstzrange(w.first, w.last)
            order by 1 desc;
    else
        return query select p_since, p_until;
    end if;
end
$func$;

comment on function bcp_internal.refresh_windows is
    'The parts, latest first, in which an aggregate is refreshed. Usually it is all one. An aggregate that a store in '
    'use was given later is filled by days: each is done for good, and answers from then on.';

create or replace procedure bcp_internal.refresh_aggregate(p_name text, p_since timestamptz, p_until timestamptz)
-- A procedure that commits cannot have a search_path of its own, and "set local" ends with each transaction. So each
-- such procedure sets it first, and again after each commit and each call that commits. The types of its variables are
-- qualified, because PostgreSQL looks them up before the first statement runs.
language plpgsql
as $proc$
declare
    v_window record;
begin
    set local search_path = pg_catalog, pg_temp;
    perform bcp_internal.check_overloads();
    for v_window in select w.since, w.until from bcp_internal.refresh_windows(p_name, p_since, p_until) w loop
        -- For up to ten minutes. An error of the refresh itself cannot be caught, because it commits.
        for v_try in 1..6000 loop
            exit when not bcp_internal.refreshes_elsewhere(p_name);
            perform pg_catalog.pg_sleep(0.1);
        end loop;
        -- In one batch: TimescaleDB 2.28 plans its batches before it looks for rows that came late since the last
        -- refresh.
        if bcp_internal.refreshes_in_batches() then
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', p_name)::pg_catalog.regclass, v_window.since, v_window.until,
                options => '{"buckets_per_batch": 0}');
        else
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', p_name)::pg_catalog.regclass, v_window.since, v_window.until);
        end if;
    end loop;
    -- The commit notes for the coarser aggregate what the refresh has changed. TimescaleDB 2.23 leaves its own last
    -- transaction open: without this commit, each call of the procedure would bring late calls only one level up.
    commit;
end
$proc$;

comment on procedure bcp_internal.refresh_aggregate is
    'Refreshes a continuous aggregate of schema bcp from p_since, or from its beginning if that is null, up to '
    'p_until.';

create or replace procedure bcp.refresh_analytics_views()
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_aggregate record;
begin
    set local search_path = pg_catalog, pg_temp;
    for v_aggregate in
        select a.name, bcp_internal.bucket_start(a.bucket, bcp_internal.now(), a.time_zone) as refresh_to,
               case when not a.all_time then bcp_internal.now() - bcp_internal.refresh_start(r.retention_days) end
                   as refresh_from
        from bcp_internal.aggregates() a
        join bcp.data_retention_policies r on r.table_name = a.source_table
        order by a.ordinal
    loop
        -- Only buckets that are over, because each refresh would compute one that is still filling anew.
        call bcp_internal.refresh_aggregate(
            v_aggregate.name, v_aggregate.refresh_from, v_aggregate.refresh_to);
        set local search_path = pg_catalog, pg_temp;
    end loop;
    perform bcp_internal.refresh_session_days();
end
$proc$;

comment on procedure bcp.refresh_analytics_views is
    'Refreshes every continuous aggregate up to the last bucket that is over. Jobs do that every five minutes, and '
    'every hour for days of users and sessions; answers are up to date without it. But in views, rows that come late, '
    'for a time that is already aggregated, show only after it.';

create or replace function bcp_internal.refresh_later(p_table text, p_start timestamptz, p_end timestamptz)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_aggregated bigint;
    v_stored bigint;
begin
    if p_table not in (select source_table from bcp_internal.aggregates()) then
        return false;
    end if;
    -- Beyond the horizon a chunk may hold only rows that came late for one that was dropped. If the aggregates count
    -- more rows than the chunk has, a refresh would remove the others.
    if not exists (
        select
        from bcp_internal.pending_refreshes
        where table_name = p_table and range_start = p_start and range_end = p_end)
    then
        if p_start < (
            select bcp_internal.now() - bcp_internal.refresh_start(retention_days)
            from bcp.data_retention_policies
            where table_name = p_table)
        then
            execute format(
                'select sum(%I) from bcp.%I where bucket >= $1 and bucket < $2',
                case p_table when 'tool_usage_logs' then 'calls' when 'error_logs' then 'errors' else 'samples' end,
                case p_table
                    when 'tool_usage_logs' then 'tool_usage_1m'
                    when 'error_logs' then 'errors_1h'
                    else 'metrics_1m'
                end)
            into v_aggregated using p_start, p_end;
            execute format(
                'select count(*) from bcp.%I where %I >= $1 and %2$I < $2', p_table, bcp_internal.time_column(p_table))
            into v_stored using p_start, p_end;
            if v_aggregated > v_stored then
                return false;
            end if;
        end if;
        insert into bcp_internal.pending_refreshes (table_name, range_start, range_end)
        values (p_table, p_start, p_end);
    end if;
    return true;
end
$func$;

comment on function bcp_internal.refresh_later is
    'Notes, before the rows of a chunk change, that its aggregates have to be refreshed. False if they cannot be, '
    'because they count rows that are gone.';

create or replace function bcp_internal.refreshes()
returns table (ordinal integer, name text, since timestamptz, until timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select a.ordinal, a.name, lower(r), upper(r)
    from bcp_internal.aggregates() a
    join bcp.data_retention_policies p on p.table_name = a.source_table
    cross join lateral (
        select range_agg(tstzrange(range_start, range_end)) as changed
        from bcp_internal.pending_refreshes
        where table_name = a.source_table
    ) as c
    cross join lateral (
        -- A bucket of an aggregate that is made from rows may reach into a chunk that was dropped. Below the horizon it
        -- is refreshed only if it lies within chunks that still exist.
        select case
            when not a.of_rows then '-infinity'
            else bcp_internal.now() - bcp_internal.refresh_start(p.retention_days)
        end as horizon
    ) as h
    cross join lateral unnest(
        (bcp_internal.in_buckets(
                c.changed * tstzmultirange(tstzrange(h.horizon, null)), a.bucket, p_widened => true,
                p_zone => a.time_zone)
            + bcp_internal.in_buckets(
                c.changed * tstzmultirange(tstzrange(null, h.horizon)), a.bucket, p_zone => a.time_zone))
        * tstzmultirange(tstzrange(null, bcp_internal.bucket_start(a.bucket, bcp_internal.now(), a.time_zone)))
    ) as r
    order by 1, 3
$func$;

comment on function bcp_internal.refreshes is
    'Which part of which aggregate has to be refreshed for bcp_internal.pending_refreshes, in this order.';

create or replace procedure bcp_internal.refresh_pending()
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_latest bigint;
    v_refresh record;
begin
    set local search_path = pg_catalog, pg_temp;
    select max(r.refresh_id) into v_latest from bcp_internal.pending_refreshes r;
    for v_refresh in select r.name, r.since, r.until from bcp_internal.refreshes() r loop
        call bcp_internal.refresh_aggregate(v_refresh.name, v_refresh.since, v_refresh.until);
        set local search_path = pg_catalog, pg_temp;
    end loop;
    delete from bcp_internal.pending_refreshes r where r.refresh_id <= v_latest;
    commit;
end
$proc$;

comment on procedure bcp_internal.refresh_pending is
    'Refreshes the aggregates of the chunks in bcp_internal.pending_refreshes.';
