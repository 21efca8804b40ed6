-- Refreshing aggregates by hand, and carrying out what bcp.settings and bcp.data_retention_policies say.

create or replace function bcp_internal.aggregates()
returns table (ordinal integer, name text, source_table text, bucket interval, all_time boolean, columnstore_after interval)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- In the order to refresh them: a coarser one is made from the finer one before it. Months are refreshed whatever
    -- their age, as a month may be longer than retention, and the days they are made from are not dropped.
    values
        (1, 'tool_usage_1m', 'tool_usage_logs', interval '1 minute', false, interval '1 day'),
        (2, 'tool_usage_1h', 'tool_usage_logs', interval '1 hour', false, interval '1 day'),
        (3, 'tool_usage_1d', 'tool_usage_logs', interval '1 day', false, null),
        (4, 'tool_usage_1mo', 'tool_usage_logs', interval '1 month', true, null),
        (5, 'tool_latency_1h', 'tool_usage_logs', interval '1 hour', false, interval '1 day'),
        (6, 'tool_latency_1d', 'tool_usage_logs', interval '1 day', false, interval '1 day'),
        (7, 'tool_latency_1mo', 'tool_usage_logs', interval '1 month', true, null),
        (8, 'user_activity_1d', 'tool_usage_logs', interval '1 day', false, null),
        (9, 'session_activity_1d', 'tool_usage_logs', interval '1 day', false, null),
        (10, 'errors_1h', 'error_logs', interval '1 hour', false, null),
        (11, 'errors_1d', 'error_logs', interval '1 day', false, null),
        (12, 'metrics_1m', 'performance_metrics', interval '1 minute', false, null),
        (13, 'metrics_5m', 'performance_metrics', interval '5 minutes', false, null),
        (14, 'metrics_1h', 'performance_metrics', interval '1 hour', false, null),
        (15, 'metrics_1d', 'performance_metrics', interval '1 day', false, null)
$func$;

comment on function bcp_internal.aggregates() is 'The continuous aggregates, in the order to refresh them.';

create or replace function bcp_internal.refresh_start(p_retention_days integer) returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select greatest(p_retention_days - 2, 1) * interval '1 day'
$func$;

comment on function bcp_internal.refresh_start(integer) is
    'How far back aggregates are refreshed: two days short of retention, so that no refresh sees a dropped chunk and takes its calls away.';

create or replace procedure bcp.refresh_analytics_views()
language plpgsql
as $proc$
declare
    v_aggregate record;
    v_batches boolean;
begin
    select 'options' = any (p.proargnames) into v_batches
    from pg_catalog.pg_proc p
    where p.oid = 'public.refresh_continuous_aggregate'::pg_catalog.regproc;
    for v_aggregate in
        select a.name, a.bucket,
               case when not a.all_time then bcp_internal.now() - bcp_internal.refresh_start(r.retention_days) end as refresh_from
        from bcp_internal.aggregates() a
        join bcp.data_retention_policies r on r.table_name = a.source_table
        order by a.ordinal
    loop
        -- Buckets that are over: one that is still filling would be materialised anew by each refresh. In one
        -- batch: TimescaleDB 2.28 plans its batches before it looks at what came late since the last refresh.
        if v_batches then
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', v_aggregate.name)::pg_catalog.regclass,
                v_aggregate.refresh_from,
                public.time_bucket(v_aggregate.bucket, bcp_internal.now()),
                options => '{"buckets_per_batch": 0}');
        else
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', v_aggregate.name)::pg_catalog.regclass,
                v_aggregate.refresh_from,
                public.time_bucket(v_aggregate.bucket, bcp_internal.now()));
        end if;
        -- What a refresh changed is noted for the coarser aggregate at commit, and TimescaleDB 2.23's own last
        -- transaction stays open: without this, late calls climbed one level a call.
        commit;
    end loop;
end
$proc$;

comment on procedure bcp.refresh_analytics_views() is
    'Brings every continuous aggregate up to the last bucket that is over, now. A job does it every five minutes; answers are fresh without it.';
