-- Days of users and sessions that go with their calls: bcp.user_usage_1d has nearly each call of a user and
-- bcp.session_steps_1d each of a session, so what retention promises of calls holds for them. Where calls are goes with
-- them, too. Days of
-- activity have counts alone, and go only if the setting activity_retention says so.

create or replace function bcp_internal.old_days_of_users() returns tstzmultirange
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- A day whose chunk still exists stays, because nothing would tell questions to read its rows instead.
    select
        tstzmultirange(tstzrange(lower(bcp_internal.known_years()), bcp_internal.retention_cutoff(p.retention_days)))
        - coalesce((
            select bcp_internal.in_buckets(
                range_agg(tstzrange(c.range_start, c.range_end) * bcp_internal.known_years()), interval '1 day',
                p_widened => true)
            from bcp_internal.event_chunks() c
            where c.table_name = 'tool_usage_logs'), '{}')
    from bcp.data_retention_policies p
    where p.table_name = 'tool_usage_logs' and p.cleanup_enabled
$func$;

comment on function bcp_internal.old_days_of_users is
    'Days of bcp.user_usage_1d and bcp.session_steps_1d that are past the retention of calls, and whose calls are '
    'gone. They have nearly each call of a user or a session, so what retention promises of calls holds for them.';

create or replace function bcp_internal.old_days() returns table (relation text, days tstzmultirange, reason text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with gone as materialized (
        select coalesce(bcp_internal.old_days_of_users(), '{}') as days,
               nullif(bcp_internal.setting('activity_retention')::interval, interval '0') as kept
    )
    select o.relation, o.days, o.reason
    from gone g
    cross join lateral (
        select a.relation, g.days, 'past the retention of tool_usage_logs'
        from unnest('{session_steps_1d,user_usage_1d,call_ids_1h,parameter_keys_1d}'::text[]) as a (relation)
        union all
        select a.relation,
               g.days * tstzmultirange(tstzrange(null, date_trunc('day', bcp_internal.now() - g.kept, 'UTC'))),
               'past the setting activity_retention'
        from unnest('{user_activity_1d,user_totals_1d,session_activity_1d}'::text[]) as a (relation)
        where g.kept is not null
    ) as o (relation, days, reason)
    where not isempty(o.days)
$func$;

comment on function bcp_internal.old_days is
    'Which days of which aggregates are to go, and why. The calls of all of them are gone, or rows would answer.';

create or replace function bcp_internal.delete_old_days() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_old record;
    v_rows bigint;
    v_deleted bigint := 0;
begin
    for v_old in
        select o.*, format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
                   as stored
        from bcp_internal.old_days() o
        join timescaledb_information.continuous_aggregates c on c.view_schema = 'bcp' and c.view_name = o.relation
    loop
        -- By row, because the columnstore has merged thirty days into one chunk.
        execute format('delete from %s where %s', v_old.stored, bcp_internal.within('bucket', v_old.days));
        get diagnostics v_rows = row_count;
        begin
            perform public.drop_chunks(
                format('bcp.%I', v_old.relation)::regclass, older_than => upper(r), newer_than => lower(r))
            from unnest(v_old.days) r;
        exception
            -- A chunk that is in use is empty by now, and goes another day.
            when lock_not_available or deadlock_detected then
                null;
        end;
        if v_rows > 0 then
            insert into bcp.cleanup_log (logged_at, table_name, row_count, action, reason)
            values (bcp_internal.now(), v_old.relation, v_rows, 'deleted', v_old.reason);
        end if;
        v_deleted := v_deleted + v_rows;
    end loop;
    return v_deleted;
end
$func$;

comment on function bcp_internal.delete_old_days is
    'Deletes the days of bcp_internal.old_days, logs that, and returns how many rows it deleted.';
