-- The activity of users and sessions in the columnstore: a tenth of the space, and sums are vectorised there. Chunks
-- become as short as a bucket, because only a chunk that is over moves to the columnstore, and rows that are there
-- move into such chunks. The columnstore merges them, because planning costs each question time per chunk.
do $block$
declare
    v_view record;
begin
    for v_view in
        select pg_catalog.format('bcp.%I', view_name)::regclass as name, left(view_name, -12) || '_id' as key,
               pg_catalog.format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
                   as relation
        from timescaledb_information.continuous_aggregates
        where view_schema = 'bcp' and view_name in ('user_activity_1d', 'session_activity_1d')
    loop
        -- bcp.apply_policies adds them anew, by the hour.
        perform public.remove_continuous_aggregate_policy(v_view.name, if_exists => true);
        perform public.set_chunk_time_interval(v_view.relation, interval '30 days');
        execute pg_catalog.format(
            'alter materialized view %s set (timescaledb.enable_columnstore = true, timescaledb.segmentby = %L,'
            ' timescaledb.orderby = %L, timescaledb.compress_chunk_interval = %L)',
            v_view.name, '', pg_catalog.format('bucket, %s, bcp_name', v_view.key), '30 days');
        execute pg_catalog.format('create temporary table moved on commit drop as select * from %s', v_view.relation);
        perform public.drop_chunks(v_view.name, older_than => 'infinity'::timestamptz);
        -- Each chunk takes locks until the end, so days that are older than a month have one chunk for 30.
        execute pg_catalog.format(
            'insert into %s select * from moved where bucket < now() - interval ''30 days'' order by bucket',
            v_view.relation);
        perform public.set_chunk_time_interval(v_view.relation, interval '1 day');
        execute pg_catalog.format(
            'insert into %s select * from moved where bucket >= now() - interval ''30 days'' order by bucket',
            v_view.relation);
        drop table moved;
        -- Dropping chunks sets the watermark anew, the first time to the beginning. This drops nothing.
        perform public.drop_chunks(v_view.name, older_than => '1970-01-01Z'::timestamptz);
    end loop;
end
$block$;
