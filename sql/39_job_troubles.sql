-- Do the background jobs run? Aggregates, the columnstore, alerts and retention stand still without them.

create or replace function bcp_internal.job_troubles() returns table (status text, trouble text)
language sql stable
-- The text of a job's error is shown to its owner only, and the time of the last load is the owner's to read.
security definer
set search_path = pg_catalog, pg_temp
-- It would compile for two seconds what runs for 30 ms.
set jit = off
as $func$
    with server as (
        select bcp_internal.timescaledb_version() as timescaledb, current_setting('server_version_num')::integer as version,
               -- Null in the embedded database, which runs jobs without workers.
               current_setting('timescaledb.max_background_workers', true)::integer as workers,
               current_setting('max_worker_processes')::integer as processes,
               current_setting('max_parallel_workers')::integer as parallel
    ), job as (
        select j.job_id, concat_ws(' of ', j.proc_name, j.relation) as name, s.last_run_status, s.job_status, e.error,
               -- A job that has never been started has had the time since it was made.
               coalesce(nullif(s.next_start, '-infinity'), l.loaded_at) as due
        from bcp_internal.jobs() j
        cross join bcp_migrations.loaded_sql l
        left join timescaledb_information.job_stats s using (job_id)
        left join lateral (
            select concat_ws(' ', e.sqlerrcode, e.err_message) as error
            from timescaledb_information.job_errors e
            where e.job_id = j.job_id
            order by e.start_time desc
            limit 1
        ) e on true
    ), trouble (ordinal, status, trouble) as (
        select 1, 'warn', format(
            'TimescaleDB %s fails every background job on PostgreSQL %s: install TimescaleDB 2.27.3, 2.28.4, or 2.31.2 or later, then run alter extension timescaledb update',
            array_to_string(s.timescaledb, '.'), current_setting('server_version'))
        from server s
        where bcp_internal.jobs_cannot_run(s.timescaledb, s.version)
        union all
        -- One worker is the launcher's, and one the scheduler's of each database.
        select 2, 'warn', format(
            'no background job can run with timescaledb.max_background_workers = %s: set it to 16 or more and restart PostgreSQL', s.workers)
        from server s
        where s.workers < 3
        union all
        -- TimescaleDB counts its own workers only. Where PostgreSQL has no process left for one, the job fails.
        select 3, 'warn', format(
            'background jobs fail where the server has no process left: set max_worker_processes = %s or more (it is %s) and restart PostgreSQL',
            s.workers + s.parallel + 3, s.processes)
        from server s
        where s.workers >= 3 and s.processes < s.workers + s.parallel + 3
        union all
        select 4, 'fail', format('background jobs that failed when last run: %s: %s', string_agg(j.name, ', ' order by j.job_id),
                                 coalesce(j.error, 'the server''s log says why'))
        from job j
        where j.last_run_status = 'Failed'
        group by j.error
        union all
        select 5, 'warn', format('background jobs that should have run by now, the server''s log may say why not: %s',
                                 string_agg(j.name, ', ' order by j.job_id))
        from job j
        where j.job_status = 'Scheduled' and j.due < now() - interval '10 minutes'
        having count(*) > 0
        union all
        select 6, 'warn', format('background job %s is paused until select alter_job(%s, scheduled => true)', j.name, j.job_id)
        from job j
        where j.job_status = 'Paused'
    )
    select t.status, t.trouble from trouble t order by t.ordinal, t.trouble
$func$;

comment on function bcp_internal.job_troubles() is
    'What keeps background jobs from running, or made them fail: one sentence a row, with the error''s text or the remedy; status is warn or fail.';
