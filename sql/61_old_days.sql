-- Days of users that go with their calls: bcp.user_usage_1d has nearly each call of a user, so what retention promises
-- of calls holds for it.

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
    'Days of bcp.user_usage_1d that are past the retention of calls, and whose calls are gone. It has nearly each call '
    'of a user, so what retention promises of calls holds for it.';

create or replace function bcp_internal.delete_old_days() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_old constant tstzmultirange := bcp_internal.old_days_of_users();
    v_relation regclass;
    v_rows bigint;
begin
    if coalesce(isempty(v_old), true) then
        return 0;
    end if;
    select format('%I.%I', c.materialization_hypertable_schema, c.materialization_hypertable_name)::regclass
    into v_relation
    from timescaledb_information.continuous_aggregates c
    where c.view_schema = 'bcp' and c.view_name = 'user_usage_1d';
    -- By row, because the columnstore has merged thirty days into one chunk.
    execute format('delete from %s where %s', v_relation, bcp_internal.within('bucket', v_old));
    get diagnostics v_rows = row_count;
    begin
        perform public.drop_chunks('bcp.user_usage_1d'::regclass, older_than => upper(r), newer_than => lower(r))
        from unnest(v_old) r;
    exception
        -- A chunk that is in use is empty by now, and goes another day.
        when lock_not_available or deadlock_detected then
            null;
    end;
    if v_rows > 0 then
        insert into bcp.cleanup_log (logged_at, table_name, row_count, action, reason)
        values (bcp_internal.now(), 'user_usage_1d', v_rows, 'deleted', 'past the retention of tool_usage_logs');
    end if;
    return v_rows;
end
$func$;

comment on function bcp_internal.delete_old_days is
    'Deletes the days of bcp.user_usage_1d whose calls are past their retention and gone, logs that, and returns how '
    'many rows it deleted.';
