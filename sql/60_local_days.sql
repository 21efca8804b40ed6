-- Days of the store's own time zone, with their percentiles: the aggregate beside bcp.tool_stats_1d, whose days are
-- those of UTC.
--
-- Percentiles do not add up, so a day of Berlin cannot be made of two days of UTC: for 18,000 of them the sketches of
-- days and of the hours around are added up for a second, where reading them ready made takes a tenth of that.

create or replace function bcp_internal.set_local_days() returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_zone constant text := bcp_internal.setting('time_zone');
    v_present constant text := bcp_internal.bucket_zone('tool_stats_local_1d');
    v_column record;
begin
    if v_present is not distinct from nullif(v_zone, 'UTC') then
        return false;
    end if;
    -- Each command about an aggregate is executed as text: TimescaleDB changes the parsed form of a command, and
    -- PL/pgSQL would use that form again for the next change of the zone in a session.
    if v_present is not null then
        execute 'drop materialized view bcp.tool_stats_local_1d';
    end if;
    if v_zone = 'UTC' then
        return true;
    end if;
    -- The columns of bcp.tool_stats_1d.
    execute format(
        $query$
            create materialized view bcp.tool_stats_local_1d
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
        $query$, v_zone);
    execute
        'alter materialized view bcp.tool_stats_local_1d set (timescaledb.enable_columnstore = true,'
        ' timescaledb.segmentby = '''', timescaledb.orderby = ''bucket, calls, bcp_name desc, tool_name desc'','
        ' timescaledb.compress_chunk_interval = ''30 days'')';
    execute format(
        'comment on view bcp.tool_stats_local_1d is %L',
        'As tool_stats_1d, per day of the time zone that the setting time_zone names; none of calls that were dropped '
        'before it was set.');
    for v_column in
        select a.attname, col_description(a.attrelid, a.attnum) as says
        from pg_attribute a
        where a.attrelid = 'bcp.tool_stats_1d'::regclass and a.attnum > 0
    loop
        execute format(
            'comment on column bcp.tool_stats_local_1d.%I is %L', v_column.attname,
            case v_column.attname when 'bucket' then 'Start of the day in that time zone.' else v_column.says end);
    end loop;
    execute 'grant select on bcp.tool_stats_local_1d to bcp_reader';
    return true;
end
$func$;

comment on function bcp_internal.set_local_days is
    'Makes bcp.tool_stats_local_1d, empty, if its days are not those of the setting time_zone, and removes it if that '
    'is UTC. Says whether that changed anything.';
