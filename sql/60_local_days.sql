-- Days of time zones that the store keeps, with their percentiles: aggregates beside bcp.tool_stats_1d, whose days are
-- those of UTC. There is one for each of the settings time_zone, time_zone_2 and time_zone_3 that is not UTC.
--
-- Percentiles do not add up, so a day of Berlin cannot be made of two days of UTC: for 18,000 of them the sketches of
-- days and of the hours around are added up for a second, where reading them ready made takes a tenth of that.

create or replace function bcp_internal.keep_days_of(p_zone text, p_aggregate text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_present constant text := bcp_internal.bucket_zone(p_aggregate);
    v_column record;
begin
    if v_present is not distinct from p_zone then
        return false;
    end if;
    -- Each command about an aggregate is executed as text: TimescaleDB changes the parsed form of a command, and
    -- PL/pgSQL would use that form again for the next change of the zone in a session.
    if v_present is not null then
        execute format('drop materialized view bcp.%I', p_aggregate);
    end if;
    if p_zone is null then
        return true;
    end if;
    -- The columns of bcp.tool_stats_1d.
    execute format(
        $query$
            create materialized view bcp.%I
            with (
                timescaledb.continuous,
                timescaledb.materialized_only = true,
                timescaledb.create_group_indexes = false,
                timescaledb.chunk_interval = '1 day'
            ) as
            select
                public.time_bucket(interval '1 day', start_time, %L) as bucket,
                bcp_name,
                tool_name,
                count(*) as calls,
                count(*) filter (where success) as successes,
                count(*) filter (where not success) as errors,
                count(duration_ms) as timed_calls,
                sum(duration_ms) as sum_duration_ms,
                min(duration_ms) as min_duration_ms,
                max(duration_ms) as max_duration_ms,
                percentile_disc(0.5) within group (order by lat_idx) as p50_lat_idx,
                percentile_disc(0.95) within group (order by lat_idx) as p95_lat_idx,
                percentile_disc(0.99) within group (order by lat_idx) as p99_lat_idx,
                sum(request_bytes)::double precision as request_bytes,
                sum(response_bytes)::double precision as response_bytes
            from bcp.tool_usage_logs
            where operation <> 'tools/list'
            group by 1, 2, 3
            with no data
        $query$, p_aggregate, p_zone);
    execute format(
        'alter materialized view bcp.%I set (timescaledb.enable_columnstore = true,'
        ' timescaledb.segmentby = '''', timescaledb.orderby = ''bucket, calls, bcp_name desc, tool_name desc'','
        ' timescaledb.compress_chunk_interval = ''30 days'')', p_aggregate);
    execute format(
        'comment on view bcp.%I is %L', p_aggregate,
        'As tool_stats_1d, per day of a time zone that a setting names; none of calls that were dropped before it was '
        'set.');
    for v_column in
        select a.attname, col_description(a.attrelid, a.attnum) as says
        from pg_attribute a
        where a.attrelid = 'bcp.tool_stats_1d'::regclass and a.attnum > 0
    loop
        execute format(
            'comment on column bcp.%I.%I is %L', p_aggregate, v_column.attname,
            case v_column.attname when 'bucket' then 'Start of the day in that time zone.' else v_column.says end);
    end loop;
    execute format('grant select on bcp.%I to bcp_reader', p_aggregate);
    return true;
end
$func$;

comment on function bcp_internal.keep_days_of is
    'Makes an aggregate of bcp_internal.set_local_days anew, empty, if its days are not those of the zone, and removes '
    'it if that is null. Says whether that changed anything.';

create or replace function bcp_internal.set_local_days() returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_kept record;
    v_changed boolean := false;
begin
    for v_kept in
        -- A zone that two settings name is kept once.
        select z.aggregate,
               case when row_number() over (partition by s.value order by s.name) = 1 then nullif(s.value, 'UTC') end
                   as zone
        from (values ('time_zone', 'tool_stats_local_1d'), ('time_zone_2', 'tool_stats_local2_1d'),
                     ('time_zone_3', 'tool_stats_local3_1d')) as z (setting, aggregate)
        join bcp.settings s on s.name = z.setting
        order by s.name
    loop
        v_changed := bcp_internal.keep_days_of(v_kept.zone, v_kept.aggregate) or v_changed;
    end loop;
    return v_changed;
end
$func$;

comment on function bcp_internal.set_local_days is
    'Makes each of the aggregates whose days are those of the settings time_zone, time_zone_2 and time_zone_3, empty, '
    'if its days are not, and removes it if the setting is UTC. Says whether that changed anything.';
