-- One function per fact that differs between versions of TimescaleDB, or that no view of timescaledb_information shows.
-- Nothing else in sql/ reads TimescaleDB's own catalogue, because its tables change from release to release.

create or replace function bcp_internal.timescaledb_version() returns integer[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (
        select string_to_array(split_part(extversion, '-', 1), '.')::integer[]
        from pg_extension
        where extname = 'timescaledb');
end
$func$;

comment on function bcp_internal.timescaledb_version is
    'Version of TimescaleDB as an array that can be compared, such as {2,28,4}.';

create or replace function bcp_internal.jobs_cannot_run(p_timescaledb integer[], p_server integer) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Since its minor releases of November 2026, PostgreSQL refuses what the background worker did at the end of each
    -- job: cannot drop portal "" while it is being set up. The patch releases named here are the first that avoid it.
    select p_server >= case p_server / 10000
            when 15 then 150020 when 16 then 160016 when 17 then 170012 when 18 then 180007 end
        and not (
            p_timescaledb >= '{2,31,2}'
            or p_timescaledb >= '{2,28,4}' and p_timescaledb < '{2,29}'
            or p_timescaledb >= '{2,27,3}' and p_timescaledb < '{2,28}')
$func$;

comment on function bcp_internal.jobs_cannot_run is
    'Whether every background job fails with this version of TimescaleDB on this PostgreSQL (server_version_num).';

create or replace function bcp_internal.jobs()
returns table (job_id integer, proc_name text, relation text, config jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- For an aggregate, older versions show its hypertable, newer ones the aggregate itself.
    select j.job_id, j.proc_name::text, coalesce(c.view_name, j.hypertable_name)::text, j.config
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates c
        on c.materialization_hypertable_schema = j.hypertable_schema
        and c.materialization_hypertable_name = j.hypertable_name
    where 'bcp' in (j.hypertable_schema, c.view_schema) or j.proc_schema = 'bcp_internal'
$func$;

comment on function bcp_internal.jobs is
    'Background jobs of the store: policies of its tables and aggregates, and its own procedures.';

grant execute on function bcp_internal.jobs to bcp_reader;

create or replace function bcp_internal.refreshes_in_batches() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select 'options' = any (proargnames) from pg_proc where oid = 'public.refresh_continuous_aggregate'::regproc
$func$;

comment on function bcp_internal.refreshes_in_batches is
    'Whether refresh_continuous_aggregate of this TimescaleDB takes options.';

create or replace function bcp_internal.loses_generated_columns() returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_version constant integer[] := bcp_internal.timescaledb_version();
begin
    return v_version >= '{2,22}' and v_version < '{2,26}';
end
$func$;

comment on function bcp_internal.loses_generated_columns is
    'Whether this TimescaleDB leaves generated columns empty in all but the first row that a statement inserts into a '
    'chunk of the columnstore (its issue 9314, in 2.22 to 2.25).';

create or replace function bcp_internal.watermark(p_aggregate text) returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_mark timestamptz;
begin
    select _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(mat_hypertable_id))
    into v_mark
    from _timescaledb_catalog.continuous_agg
    where user_view_schema = 'bcp' and user_view_name = p_aggregate;
    return v_mark;
end
$func$;

comment on function bcp_internal.watermark is
    'End of the materialised part of a continuous aggregate of schema bcp: -infinity before its first refresh, null if '
    'there is no aggregate of that name.';

grant execute on function bcp_internal.watermark to bcp_reader;

create or replace function bcp_internal.bucket_zone(p_aggregate text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (
        select coalesce(b.bucket_timezone, 'UTC')
        from _timescaledb_catalog.continuous_agg c
        join _timescaledb_catalog.continuous_aggs_bucket_function b using (mat_hypertable_id)
        where c.user_view_schema = 'bcp' and c.user_view_name = p_aggregate);
end
$func$;

comment on function bcp_internal.bucket_zone is
    'Time zone in which a continuous aggregate of schema bcp has its buckets; null if there is no aggregate of that '
    'name.';

grant execute on function bcp_internal.bucket_zone to bcp_reader;

create or replace function bcp_internal.refreshes_elsewhere(p_aggregate text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Versions without this table let one refresh wait for another.
    if to_regclass('_timescaledb_catalog.continuous_aggs_jobs_refresh_ranges') is null then
        return false;
    end if;
    return exists (
        select
        from _timescaledb_catalog.continuous_aggs_jobs_refresh_ranges r
        join _timescaledb_catalog.continuous_agg c on c.mat_hypertable_id = r.materialization_id
        -- A refresh that was killed leaves its row.
        join pg_stat_activity a on a.pid = r.pid
        where c.user_view_schema = 'bcp' and c.user_view_name = p_aggregate and r.pid <> pg_backend_pid());
end
$func$;

comment on function bcp_internal.refreshes_elsewhere is
    'Whether another session refreshes a continuous aggregate of schema bcp at this moment. TimescaleDB refuses a '
    'second refresh of the same time with 55P03, and a policy refreshes all the time up to its retention.';

create or replace function bcp_internal.logged_changes(p_aggregate text, p_of_sources boolean default true)
returns tstzmultirange
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (
        with recursive sources as (
            select c.mat_hypertable_id, c.raw_hypertable_id, c.parent_mat_hypertable_id
            from _timescaledb_catalog.continuous_agg c
            where c.user_view_schema = 'bcp' and c.user_view_name = p_aggregate
            union all
            select c.mat_hypertable_id, c.raw_hypertable_id, c.parent_mat_hypertable_id
            from sources s
            join _timescaledb_catalog.continuous_agg c on c.mat_hypertable_id = s.parent_mat_hypertable_id
            where p_of_sources
        ), logged as (
            -- TimescaleDB logs changes in three places: changes of the hypertable, changes that a refresh has assigned
            -- to the aggregate, and changes that a refresh is working on.
            select l.lowest_modified_value as first, l.greatest_modified_value as last
            from sources s
            join _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log l
                on l.hypertable_id = s.raw_hypertable_id
            union all
            select l.lowest_modified_value, l.greatest_modified_value
            from sources s
            join _timescaledb_catalog.continuous_aggs_materialization_invalidation_log l
                on l.materialization_id = s.mat_hypertable_id
            union all
            select l.lowest_modified_value, l.greatest_modified_value
            from sources s
            join _timescaledb_catalog.continuous_aggs_materialization_ranges l
                on l.materialization_id = s.mat_hypertable_id
        )
        -- An end that is open, or beyond what a timestamp holds, becomes the year 1 or 9999, in microseconds since
        -- 1970. The end in the log is itself a changed moment, so the range goes one microsecond further.
        select coalesce(
            range_agg(tstzrange(
                _timescaledb_functions.to_timestamp(least(greatest(l.first, -62135596800000000), 253402300799000000)),
                _timescaledb_functions.to_timestamp(
                    least(greatest(l.last, -62135596800000000), 253402300799000000) + 1))),
            '{}')
        from logged l
    );
end
$func$;

comment on function bcp_internal.logged_changes is
    'Ranges of a continuous aggregate of schema bcp that no refresh has reached yet, or whose source has changed '
    'since. The source of an aggregate can be an aggregate too: without p_of_sources this leaves out changes further '
    'down, of what the source is made from.';

grant execute on function bcp_internal.logged_changes to bcp_reader;

create or replace function bcp_internal.is_in_columnstore(p_chunk regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- The view timescaledb_information.chunks does not suffice: is_compressed is also true for a chunk that has changed
    -- since.
    return (
        select s.words = '{COMPRESSED}' or 'FROZEN' = any (s.words)
        from _timescaledb_functions.chunk_status_text(_timescaledb_functions.chunk_status(p_chunk)) as s (words));
exception
    when undefined_object or invalid_parameter_value then
        return null;
end
$func$;

comment on function bcp_internal.is_in_columnstore is
    'Whether all rows of a chunk are in the columnstore in order, or the chunk is frozen and cannot be changed. False '
    'if some rows came later, null if the chunk is gone.';

create or replace function bcp_internal.rows_of_columnstore(p_table oid) returns oid
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select s.relid::oid from _timescaledb_catalog.compression_settings s where s.compress_relid = p_table::regclass
$func$;

comment on function bcp_internal.rows_of_columnstore(oid) is
    'The chunk whose columnstore a table is, null if it is none.';

grant execute on function bcp_internal.rows_of_columnstore to bcp_reader;
