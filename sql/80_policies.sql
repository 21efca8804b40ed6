-- Puts bcp.settings and bcp.data_retention_policies into effect: chunk length, indexes, columnstore, refresh,
-- retention, jobs.

create or replace function bcp_internal.set_policy(
    p_procedure text, p_relation text, p_config jsonb, p_add text, p_remove text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_current jsonb;
begin
    -- With if_not_exists the policy functions only warn if another policy exists. So this compares, and then replaces.
    select j.config into v_current
    from bcp_internal.jobs() j
    where j.proc_name = p_procedure and j.relation = p_relation;
    if p_add is not null and v_current @> p_config then
        return false;
    end if;
    if v_current is not null then
        execute p_remove;
    end if;
    if p_add is not null then
        execute p_add;
    end if;
    return v_current is not null or p_add is not null;
end
$func$;

comment on function bcp_internal.set_policy is
    'Gives a relation of schema bcp the policy wanted, and says whether that changed anything.';

create or replace function bcp.apply_policies() returns bigint
language plpgsql volatile
-- Only the owner may change policies and indexes, but bcp_admin may have the two tables put into effect.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_chunk_interval constant interval := bcp_internal.setting('chunk_interval');
    v_policy record;
    v_changes bigint := 0;
begin
    perform bcp_internal.check_overloads();
    for v_policy in
        select p.*, h.time_interval
        from bcp.data_retention_policies p
        join timescaledb_information.dimensions h
            on h.hypertable_schema = 'bcp' and h.hypertable_name = p.table_name and h.dimension_number = 1
    loop
        if v_policy.table_name in ('tool_usage_logs', 'error_logs', 'performance_metrics')
            and v_policy.time_interval <> v_chunk_interval
        then
            perform public.set_chunk_time_interval(format('bcp.%I', v_policy.table_name)::regclass, v_chunk_interval);
            v_changes := v_changes + 1;
        end if;
        -- bcp_internal.columnstore_tables moves the chunks instead: this policy waits for its locks without limit, and
        -- readers wait with it.
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_compression', v_policy.table_name, null, null,
            format(
                'call public.remove_columnstore_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.table_name))
        )::integer;
    end loop;
    v_changes := v_changes + bcp_internal.set_local_days()::integer;
    for v_policy in
        select a.name, a.bucket,
               case when not a.all_time then bcp_internal.refresh_start(r.retention_days) end as start_offset,
               -- All in one batch, as in bcp_internal.refresh_aggregate; what a store in use was given later by days.
               case when a.added_later then greatest(86400 / extract(epoch from a.bucket)::integer, 1) else 0 end
                   as batch,
               -- A day that is over changes only by calls that come late, and one of them has the whole day aggregated
               -- anew. From rows that is 33,000 calls, 0.1 s for each aggregate of users or sessions.
               case when a.of_rows and a.bucket = interval '1 day' then interval '1 hour' else interval '5 minutes' end
                   as every
        from bcp_internal.aggregates() a
        join bcp.data_retention_policies r on r.table_name = a.source_table
        order by a.ordinal
    loop
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_refresh_continuous_aggregate', v_policy.name,
            jsonb_build_object('start_offset', v_policy.start_offset::text, 'end_offset', v_policy.bucket::text,
                               'buckets_per_batch', v_policy.batch),
            format('select public.add_continuous_aggregate_policy(%L::regclass, start_offset => %L::interval, '
                   'end_offset => %L::interval, schedule_interval => %L::interval, buckets_per_batch => %s)',
                   'bcp.' || quote_ident(v_policy.name), v_policy.start_offset, v_policy.bucket, v_policy.every,
                   v_policy.batch),
            format(
                'select public.remove_continuous_aggregate_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.name))
        )::integer;
    end loop;
    for v_policy in
        select w.name, w.every
        from (values ('forget_keys_job', interval '1 hour'), ('columnstore_job', interval '1 hour'),
                     ('columnstore_tables_job', interval '12 hours'), ('evaluate_alerts_job', interval '1 minute'),
                     ('find_floods_job', interval '1 minute'), ('cleanup_job', interval '1 day')) as w (name, every)
        where not exists (
            select from timescaledb_information.jobs j where j.proc_schema = 'bcp_internal' and j.proc_name = w.name)
    loop
        perform public.add_job(format('bcp_internal.%I', v_policy.name)::regproc, v_policy.every);
        v_changes := v_changes + 1;
    end loop;
    for v_policy in
        select j.job_id, w.every
        from timescaledb_information.jobs j
        cross join (
            -- Twice within the least age, so that a chunk is at most half of it late.
            select greatest(least(min(p.columnstore_after) / 2, interval '12 hours'), interval '30 minutes') as every
            from bcp.data_retention_policies p
        ) w
        where j.proc_schema = 'bcp_internal' and j.proc_name = 'columnstore_tables_job'
          and j.schedule_interval <> w.every
    loop
        perform public.alter_job(v_policy.job_id, schedule_interval => v_policy.every);
        v_changes := v_changes + 1;
    end loop;
    if bcp_internal.setting('index_parameters') = 'on'
        and to_regclass('bcp.tool_usage_logs_parameters_idx') is null
    then
        create index tool_usage_logs_parameters_idx on bcp.tool_usage_logs using gin (parameters jsonb_path_ops);
        v_changes := v_changes + 1;
    elsif bcp_internal.setting('index_parameters') = 'off'
        and to_regclass('bcp.tool_usage_logs_parameters_idx') is not null
    then
        drop index bcp.tool_usage_logs_parameters_idx;
        v_changes := v_changes + 1;
    end if;
    return v_changes;
end
$func$;

comment on function bcp.apply_policies is
    'Puts bcp.settings and bcp.data_retention_policies into effect, and returns how many things it changed; 0 if '
    'everything was as they say. A change of bcp.data_retention_policies calls it by itself.';

grant execute on function bcp.apply_policies to bcp_admin;

create or replace function bcp_internal.check_retention_policy() returns trigger
language plpgsql volatile
-- bcp_admin may change the table, but nothing of what this reads and changes.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_hint text;
    v_aggregates text;
begin
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and new.table_name <> old.table_name) then
        raise exception using
            errcode = 'ZB003',
            message = format('the policy of %s cannot be removed or renamed', old.table_name),
            hint = 'Set cleanup_enabled to false to keep all of its rows.';
    end if;
    select string_agg(a.name, ', ' order by a.ordinal)
        filter (where bcp_internal.refresh_start(new.retention_days) < 3 * a.bucket)
    into v_aggregates
    from bcp_internal.aggregates() a
    where a.source_table = new.table_name and not a.all_time;
    v_hint := case
        when bcp_internal.time_column(new.table_name) is null
            and new.table_name not in ('user_sessions', 'open_tool_calls') then
            'Cleanup knows the hypertables of schema bcp, user_sessions and open_tool_calls.'
        when new.retention_days not between 1 and 36500 then 'Use 1 to 36500; cleanup_enabled = false keeps everything.'
        when v_aggregates is not null then format(
            'Use 5 days or more: %s are refreshed over the last days of it, and a refresh must never see a chunk'
            ' already dropped.', v_aggregates)
        when new.columnstore_after < interval '1 hour' then 'Use 1 hour or more; null leaves chunks as rows.'
        when new.columnstore_after >= make_interval(days => new.retention_days) then
            'Chunks would be dropped before they move to the columnstore: make columnstore_after smaller than'
            ' retention_days, or null.'
        when new.columnstore_after is not null and not coalesce((
            select h.compression_enabled
            from timescaledb_information.hypertables h
            where h.hypertable_schema = 'bcp' and h.hypertable_name = new.table_name), false) then
            'This table has no columnstore: leave columnstore_after null.'
        when new.archive_before_delete and new.table_name in ('user_sessions', 'open_tool_calls') then
            'Only hypertables can be archived: set archive_before_delete to false.'
    end;
    if v_hint is not null then
        raise exception using
            errcode = 'ZB003',
            message = format(
                'the policy of %s makes no sense: retention_days %s, columnstore_after %s,'
                ' archive_before_delete %s',
                new.table_name, new.retention_days, coalesce(new.columnstore_after::text, 'null'),
                new.archive_before_delete),
            hint = v_hint;
    end if;
    return new;
end
$func$;

comment on function bcp_internal.check_retention_policy is
    'Refuses, with ZB003 and a hint, a row of bcp.data_retention_policies that contradicts itself, and its removal.';

create or replace trigger check_retention_policy before insert or update or delete on bcp.data_retention_policies
for each row execute function bcp_internal.check_retention_policy();

create or replace function bcp_internal.carry_out_policies() returns trigger
language plpgsql volatile
-- bcp_admin may change the table, but nothing of what this reads and changes.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    perform bcp.apply_policies();
    return null;
end
$func$;

comment on function bcp_internal.carry_out_policies is
    'Puts a change of bcp.data_retention_policies into effect at once.';

create or replace trigger carry_out_policies after insert or update on bcp.data_retention_policies
for each statement execute function bcp_internal.carry_out_policies();

select bcp.apply_policies();
