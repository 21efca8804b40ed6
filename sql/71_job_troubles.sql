-- Do the background jobs run? Without them aggregates, the columnstore, alerts and retention stand still.

create or replace function bcp_internal.server_troubles() returns table (status text, trouble text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with server as (
        select bcp_internal.timescaledb_version() as timescaledb,
               current_setting('server_version_num')::integer as version,
               -- Null in the embedded database, which runs jobs without workers.
               current_setting('timescaledb.max_background_workers', true)::integer as workers,
               -- One worker per job, because many begin at the same time. TimescaleDB's own jobs are among them. Two
               -- more workers serve its launcher and its scheduler in this database.
               (select count(*) from timescaledb_information.jobs) + 2 as wanted,
               current_setting('max_worker_processes')::integer as processes,
               current_setting('max_parallel_workers')::integer as parallel
    )
    select 'warn', t.trouble
    from server s
    cross join lateral (
        values
            (bcp_internal.jobs_cannot_run(s.timescaledb, s.version), format(
                'TimescaleDB %s fails every background job on PostgreSQL %s: install TimescaleDB 2.27.3, 2.28.4, or'
                ' 2.31.2 or later, then run alter extension timescaledb update',
                array_to_string(s.timescaledb, '.'), current_setting('server_version'))),
            (s.workers < s.wanted, format(
                '%s with timescaledb.max_background_workers = %s: set it to %s or more, and that much more for each'
                ' other database with TimescaleDB, and restart PostgreSQL',
                case
                    when s.workers < 3 then 'no background job can run'
                    else 'background jobs wait for one another'
                end,
                s.workers, s.wanted)),
            -- TimescaleDB counts only its own workers. If PostgreSQL has no process left for one, the job fails.
            (s.workers >= 3 and s.processes < s.workers + s.parallel + 3, format(
                'background jobs fail where the server has no process left: set max_worker_processes = %s or more'
                ' (it is %s) and restart PostgreSQL',
                s.workers + s.parallel + 3, s.processes))
    ) as t (applies, trouble)
    where t.applies
$func$;

comment on function bcp_internal.server_troubles is
    'Settings and versions of the server that keep background jobs from running: as bcp_internal.job_troubles.';

create or replace function bcp_internal.job_troubles() returns table (status text, trouble text)
language sql stable
-- Only the owner of a job may read the text of its error, and only the owner the time of the last load.
security definer
set search_path = pg_catalog, pg_temp
-- jit would compile for two seconds what runs for 30 ms.
set jit = off
as $func$
    with job as (
        select j.job_id, concat_ws(' of ', j.proc_name, j.relation) as name, s.last_run_status, s.job_status, e.error,
               nullif(s.last_run_started_at, '-infinity') as started, s.total_runs,
               s.total_runs - s.total_successes - s.total_failures as crashes,
               -- While a job runs, and after it crashed, its next start is -infinity. A job that has never started
               -- should have run since it was created.
               coalesce(nullif(s.next_start, '-infinity'), nullif(s.last_run_started_at, '-infinity'), l.loaded_at)
                   as due
        from bcp_internal.jobs() j
        cross join bcp_migrations.loaded_sql l
        left join timescaledb_information.job_stats s using (job_id)
        left join lateral (
            select concat_ws(' ', e.sqlerrcode, regexp_replace(e.err_message, '\s+', ' ', 'g')) as error
            from timescaledb_information.job_errors e
            where e.job_id = j.job_id
            order by e.start_time desc
            limit 1
        ) e on true
    ), idle as (
        select j.*,
               -- A job counts as started a moment before its process exists.
               j.last_run_status is null and j.started < now() - interval '1 minute' as crashed
        from job j
        where j.job_status = 'Scheduled'
    ), trouble (ordinal, status, trouble) as (
        select 1, t.status, t.trouble
        from bcp_internal.server_troubles() t
        union all
        select 4, 'fail', format(
            'background job %s failed when last run: %s', j.name, coalesce(j.error, 'the server''s log says why'))
        from job j
        where j.last_run_status = 'Failed'
        union all
        select 5, 'fail', format(
            'background job %s crashed when last run, at %s, as did %s of its %s runs: the server''s log says why',
            j.name, to_char(j.started at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'), j.crashes, j.total_runs)
        from idle j
        where j.crashed
        union all
        select 6, 'warn', format(
            'background jobs that %s, the server''s log may say why not: %s',
            case when j.started is null then 'have never run' else 'should have run by now' end,
            string_agg(j.name, ', ' order by j.job_id))
        from idle j
        where j.due < now() - interval '10 minutes' and j.crashed is not true
        group by j.started is null
        union all
        select 7, 'warn', format(
            'background job %s is paused until select alter_job(%s, scheduled => true)', j.name, j.job_id)
        from job j
        where j.job_status = 'Paused'
        union all
        -- A day is twice as long as the slowest of the jobs that move chunks waits. If the jobs do not run at all, they
        -- record nothing.
        select 8, 'warn', format(
            'chunks that should have moved to the columnstore a day ago or more, by columnstore_job and'
            ' columnstore_tables_job: %s',
            string_agg(format('%s of %s', m.chunks, m.name), ', ' order by m.name))
        from (
            select m.name, count(*) as chunks
            from bcp_internal.chunks_to_move() m
            where m.due_since < bcp_internal.now() - interval '1 day'
            group by m.name
        ) m
        having count(*) > 0
    )
    select t.status, t.trouble from trouble t order by t.ordinal, t.trouble
$func$;

comment on function bcp_internal.job_troubles is
    'What keeps background jobs from running, or made them fail: one row per trouble, a sentence with the text of the '
    'error or the remedy; status is warn or fail.';

grant execute on function bcp_internal.job_troubles to bcp_reader;
