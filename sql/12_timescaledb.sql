-- What differs between versions of TimescaleDB, or is in no view of timescaledb_information: one function a fact. Nothing
-- else in sql/ reads TimescaleDB's own catalogue, whose tables change from release to release.

create or replace function bcp_internal.timescaledb_version() returns integer[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return string_to_array(split_part((select extversion from pg_extension where extname = 'timescaledb'), '-', 1), '.')::integer[];
end
$func$;

comment on function bcp_internal.timescaledb_version() is 'Version of TimescaleDB, {2,28,4}, to be compared.';

create or replace function bcp_internal.jobs_cannot_run(p_timescaledb integer[], p_server integer) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Since the minor releases of November 2026 PostgreSQL refuses what the background worker did at the end of each job:
    -- cannot drop portal "" while it is being set up. The patch releases named are the first that do otherwise.
    select p_server >= case p_server / 10000 when 15 then 150020 when 16 then 160016 when 17 then 170012 when 18 then 180007 end
        and not (
            p_timescaledb >= '{2,31,2}'
            or p_timescaledb >= '{2,28,4}' and p_timescaledb < '{2,29}'
            or p_timescaledb >= '{2,27,3}' and p_timescaledb < '{2,28}')
$func$;

comment on function bcp_internal.jobs_cannot_run(integer[], integer) is
    'Whether every background job fails with this version of TimescaleDB on this PostgreSQL (server_version_num).';

create or replace function bcp_internal.jobs() returns table (job_id integer, proc_name text, relation text, config jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- Older versions show the hypertable under an aggregate, newer ones the aggregate.
    select j.job_id, j.proc_name::text, coalesce(c.view_name, j.hypertable_name)::text, j.config
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates c
        on c.materialization_hypertable_schema = j.hypertable_schema
        and c.materialization_hypertable_name = j.hypertable_name
    where 'bcp' in (j.hypertable_schema, c.view_schema) or j.proc_schema = 'bcp_internal'
$func$;

comment on function bcp_internal.jobs() is 'The store''s background jobs: policies of its tables and aggregates, and its own procedures.';

grant execute on function bcp_internal.jobs to bcp_reader;

create or replace function bcp_internal.refreshes_in_batches() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select 'options' = any (proargnames) from pg_proc where oid = 'public.refresh_continuous_aggregate'::regproc
$func$;

comment on function bcp_internal.refreshes_in_batches() is 'Whether this TimescaleDB takes options for a refresh.';

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

comment on function bcp_internal.watermark(text) is
    'End of what is materialised of a continuous aggregate of schema bcp; -infinity before its first refresh, null where there is none of that name.';

grant execute on function bcp_internal.watermark to bcp_reader;

create or replace function bcp_internal.logged_changes(p_aggregate text, p_of_sources boolean default true) returns tstzmultirange
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
            -- Changes of the hypertable, those that a refresh has assigned to the aggregate, and those that one is at now.
            select l.lowest_modified_value as first, l.greatest_modified_value as last
            from sources s
            join _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log l on l.hypertable_id = s.raw_hypertable_id
            union all
            select l.lowest_modified_value, l.greatest_modified_value
            from sources s
            join _timescaledb_catalog.continuous_aggs_materialization_invalidation_log l on l.materialization_id = s.mat_hypertable_id
            union all
            select l.lowest_modified_value, l.greatest_modified_value
            from sources s
            join _timescaledb_catalog.continuous_aggs_materialization_ranges l on l.materialization_id = s.mat_hypertable_id
        )
        -- An end that is open, or beyond what a timestamp holds, becomes year 1 or 9999, in microseconds from 1970.
        -- The log's last moment is one that changed.
        select coalesce(
            range_agg(tstzrange(
                _timescaledb_functions.to_timestamp(least(greatest(l.first, -62135596800000000), 253402300799000000)),
                _timescaledb_functions.to_timestamp(least(greatest(l.last, -62135596800000000), 253402300799000000) + 1))),
            '{}')
        from logged l
    );
end
$func$;

comment on function bcp_internal.logged_changes(text, boolean) is
    'Ranges that no refresh of a continuous aggregate of schema bcp has reached, or in which what it is made from has changed since; without p_of_sources only what has changed in that alone, not in what that is made from.';

grant execute on function bcp_internal.logged_changes to bcp_reader;

create or replace function bcp_internal.is_in_columnstore(p_chunk regclass) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- is_compressed of timescaledb_information.chunks is also true of a chunk that was changed since.
    return (
        select s.words = '{COMPRESSED}' or 'FROZEN' = any (s.words)
        from (select _timescaledb_functions.chunk_status_text(_timescaledb_functions.chunk_status(p_chunk))) as s (words));
exception
    when undefined_object or invalid_parameter_value then
        return null;
end
$func$;

comment on function bcp_internal.is_in_columnstore(regclass) is
    'Whether all rows of a chunk are in the columnstore, in order, or it is frozen and cannot be changed: false where some came later, null where it is gone.';
