-- Carries out bcp.settings and bcp.data_retention_policies: chunk length, indexes, columnstore, refresh, retention, jobs.

create or replace function bcp_internal.set_policy(p_procedure text, p_relation text, p_config jsonb, p_add text, p_remove text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_current jsonb;
begin
    -- The policy functions with if_not_exists only warn where another policy exists, so: compare, then alter.
    select j.config into v_current
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates c
        on c.materialization_hypertable_schema = j.hypertable_schema
        and c.materialization_hypertable_name = j.hypertable_name
    where j.proc_name = p_procedure
      and coalesce(c.view_schema, j.hypertable_schema) = 'bcp'
      and coalesce(c.view_name, j.hypertable_name) = p_relation;
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

comment on function bcp_internal.set_policy(text, text, jsonb, text, text) is
    'Makes a relation of schema bcp have the policy wanted, and says whether that changed anything.';

create or replace function bcp.apply_policies() returns bigint
language plpgsql volatile
-- Policies and indexes are the owner's to change; bcp_admin may have what the two tables say carried out.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_chunk_interval constant interval := bcp_internal.setting('chunk_interval');
    v_policy record;
    v_changes bigint := 0;
begin
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
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_compression', v_policy.table_name,
            jsonb_build_object('compress_after', make_interval(days => v_policy.columnstore_after_days)::text),
            case when v_policy.columnstore_after_days is not null then
                format('call public.add_columnstore_policy(%L::regclass, after => make_interval(days => %s))',
                       'bcp.' || quote_ident(v_policy.table_name), v_policy.columnstore_after_days) end,
            format('call public.remove_columnstore_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.table_name)))::integer;
        -- A table that wants an archive first keeps its chunks until something has archived them.
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_retention', v_policy.table_name,
            jsonb_build_object('drop_after', make_interval(days => v_policy.retention_days)::text),
            case when v_policy.cleanup_enabled and not v_policy.archive_before_delete then
                format('select public.add_retention_policy(%L::regclass, drop_after => make_interval(days => %s))',
                       'bcp.' || quote_ident(v_policy.table_name), v_policy.retention_days) end,
            format('select public.remove_retention_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.table_name)))::integer;
    end loop;
    for v_policy in
        select a.name, a.bucket, a.columnstore_after,
               case when not a.all_time then bcp_internal.refresh_start(r.retention_days) end as start_offset
        from bcp_internal.aggregates() a
        join bcp.data_retention_policies r on r.table_name = a.source_table
        order by a.ordinal
    loop
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_refresh_continuous_aggregate', v_policy.name,
            -- In one batch: as in bcp.refresh_analytics_views.
            jsonb_build_object('start_offset', v_policy.start_offset::text, 'end_offset', v_policy.bucket::text,
                               'buckets_per_batch', 0),
            format('select public.add_continuous_aggregate_policy(%L::regclass, start_offset => %L::interval, '
                   'end_offset => %L::interval, schedule_interval => interval ''5 minutes'', buckets_per_batch => 0)',
                   'bcp.' || quote_ident(v_policy.name), v_policy.start_offset, v_policy.bucket),
            format('select public.remove_continuous_aggregate_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.name)))::integer;
        v_changes := v_changes + bcp_internal.set_policy(
            'policy_compression', v_policy.name,
            jsonb_build_object('compress_after', v_policy.columnstore_after::text),
            case when v_policy.columnstore_after is not null then
                format('call public.add_columnstore_policy(%L::regclass, after => %L::interval)',
                       'bcp.' || quote_ident(v_policy.name), v_policy.columnstore_after) end,
            format('call public.remove_columnstore_policy(%L::regclass)', 'bcp.' || quote_ident(v_policy.name)))::integer;
    end loop;
    for v_policy in
        select w.name, w.every
        from (values ('forget_keys_job', interval '1 hour'), ('evaluate_alerts_job', interval '1 minute')) as w (name, every)
        where not exists (
            select from timescaledb_information.jobs j where j.proc_schema = 'bcp_internal' and j.proc_name = w.name)
    loop
        perform public.add_job(format('bcp_internal.%I', v_policy.name)::regproc, v_policy.every);
        v_changes := v_changes + 1;
    end loop;
    if bcp_internal.setting('index_parameters') = 'on' and to_regclass('bcp.tool_usage_logs_parameters_idx') is null then
        create index tool_usage_logs_parameters_idx on bcp.tool_usage_logs using gin (parameters jsonb_path_ops);
        v_changes := v_changes + 1;
    elsif bcp_internal.setting('index_parameters') = 'off' and to_regclass('bcp.tool_usage_logs_parameters_idx') is not null then
        drop index bcp.tool_usage_logs_parameters_idx;
        v_changes := v_changes + 1;
    end if;
    return v_changes;
end
$func$;

comment on function bcp.apply_policies() is
    'Carries out bcp.settings and bcp.data_retention_policies, and returns how many things it changed: 0 where all was as they say.';

select bcp.apply_policies();
