-- Chunks stay as short as they are; new ones are as long as they were.
do $block$
declare
    v_view record;
    v_chunk regclass;
begin
    for v_view in
        select pg_catalog.format('bcp.%I', view_name)::regclass as name,
               pg_catalog.format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
                   as relation
        from timescaledb_information.continuous_aggregates
        where view_schema = 'bcp' and view_name in ('user_activity_1d', 'session_activity_1d')
    loop
        for v_chunk in select public.show_chunks(v_view.name) loop
            perform public.decompress_chunk(v_chunk, true);
        end loop;
        execute pg_catalog.format(
            'alter materialized view %s set (timescaledb.enable_columnstore = false)', v_view.name);
        perform public.set_chunk_time_interval(v_view.relation, interval '730 days');
    end loop;
end
$block$;
