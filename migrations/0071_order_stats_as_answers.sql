-- The columnstore keeps ready statistics in the order in which bcp.tool_usage_stats answers, the busiest tool of a
-- bucket first, so that no answer of 29,000 rows is sorted: that took a third of its time. It is read backwards,
-- because merging small chunks into large ones wants the time in ascending order.
--
-- Every chunk is written anew. TimescaleDB 2.28 leaves the rows of a chunk in their old order where it compresses the
-- chunk again with other settings (recompress => true), and then overlooks some of them.
do $block$
declare
    v_view record;
begin
    for v_view in
        select
            c.view_name,
            pg_catalog.array_agg(pg_catalog.format('%I.%I', k.chunk_schema, k.chunk_name)::pg_catalog.regclass)
                filter (where k.is_compressed) as chunks
        from timescaledb_information.continuous_aggregates c
        left join timescaledb_information.chunks k
            on k.hypertable_schema = c.materialization_hypertable_schema
            and k.hypertable_name = c.materialization_hypertable_name
        where c.view_schema = 'bcp' and c.view_name in ('tool_stats_1h', 'tool_stats_1d', 'tool_stats_local_1d')
        group by c.view_name
    loop
        perform public.decompress_chunk(u.chunk) from pg_catalog.unnest(v_view.chunks) as u (chunk);
        execute pg_catalog.format(
            'alter materialized view bcp.%I set (timescaledb.orderby = %L)', v_view.view_name,
            'bucket, calls, bcp_name desc, tool_name desc');
        perform public.compress_chunk(u.chunk) from pg_catalog.unnest(v_view.chunks) as u (chunk);
    end loop;
end
$block$;
