-- Jobs: thin wrappers that the scheduler of TimescaleDB calls.

create or replace procedure bcp_internal.forget_keys_job(p_job_id integer, p_config jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $proc$
begin
    perform bcp_internal.forget_keys();
end
$proc$;

comment on procedure bcp_internal.forget_keys_job is 'Runs bcp_internal.forget_keys every hour.';

create or replace procedure bcp_internal.find_floods_job(p_job_id integer, p_config jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $proc$
begin
    perform bcp_internal.find_floods();
    -- Takes a millisecond unless a day is over or has changed, and a job of its own would take a worker of each store.
    perform bcp_internal.refresh_session_days();
end
$proc$;

comment on procedure bcp_internal.find_floods_job is
    'Runs bcp_internal.find_floods and bcp_internal.refresh_session_days every minute.';

create or replace function bcp_internal.forget_keys() returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with oldest as (
        select k.kind, bcp_internal.now() - bcp_internal.dedup_window(k.kind) as seen_at
        from unnest('{tool_usage,errors,metrics,sessions}'::text[]) as k (kind)
    ), batches as (
        delete from bcp_internal.batch_keys k using oldest o where k.kind = o.kind and k.seen_at < o.seen_at returning 1
    ), events as (
        delete from bcp_internal.event_keys k using oldest o where k.kind = o.kind and k.seen_at < o.seen_at returning 1
    )
    select (select count(*) from batches) + (select count(*) from events)
$func$;

comment on function bcp_internal.forget_keys is
    'Deletes batch and event ids older than bcp_internal.dedup_window, and returns how many.';

create or replace procedure bcp_internal.cleanup_job(p_job_id integer, p_config jsonb)
-- What it calls commits, so this can have no search_path, and needs none: every name is qualified.
language plpgsql
as $proc$
begin
    call bcp.run_cleanup();
end
$proc$;

comment on procedure bcp_internal.cleanup_job is 'Runs bcp.run_cleanup every day.';

create or replace procedure bcp_internal.columnstore_job(p_job_id integer, p_config jsonb)
-- What it calls commits, as in bcp_internal.cleanup_job.
language plpgsql
as $proc$
begin
    call bcp_internal.columnstore_aggregates();
end
$proc$;

comment on procedure bcp_internal.columnstore_job is 'Runs bcp_internal.columnstore_aggregates every hour.';

create or replace procedure bcp_internal.columnstore_tables_job(p_job_id integer, p_config jsonb)
-- What it calls commits, as in bcp_internal.cleanup_job.
language plpgsql
as $proc$
begin
    call bcp_internal.columnstore_tables();
end
$proc$;

comment on procedure bcp_internal.columnstore_tables_job is
    'Runs bcp_internal.columnstore_tables every 12 hours. More often would have each few late calls rewrite the rows '
    'around them.';
