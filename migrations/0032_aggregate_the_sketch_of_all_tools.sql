-- The latency sketch of all tools together. Questions that name no tool read a row of each tool otherwise: a week of
-- 200 tools has 80,000 rows by the hour, and 2,000 of all tools together. Both levels are filled by the first refresh;
-- until then the sketches of the tools answer.
do $block$
declare
    v_level record;
begin
    for v_level in
        select * from (values
            ('1h', 'hour', '1 hour', 'tool_latency_1h', '30 days'),
            ('1d', 'day', '1 day', 'call_latency_1h', '730 days')
        ) as v (suffix, says, width, source, chunk_interval)
    loop
        execute pg_catalog.format(
            'create materialized view bcp.call_latency_%s'
            ' with (timescaledb.continuous, timescaledb.materialized_only = true,'
            ' timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %L) as'
            ' select public.time_bucket(interval %L, bucket) as bucket, lat_base, %s'
            ' from bcp.%I group by 1, lat_base with no data',
            v_level.suffix, v_level.chunk_interval, v_level.width,
            (select pg_catalog.string_agg(pg_catalog.format('sum(n%1$s)::integer as n%1$s', n), ', ' order by n)
             from pg_catalog.generate_series(0, 31) as n),
            v_level.source);
        execute pg_catalog.format(
            'comment on view bcp.call_latency_%s is %L', v_level.suffix,
            pg_catalog.format(
                'Latency sketch per %s, all tools together: bcp_internal.latency_cells unfolds it.', v_level.says));
        execute pg_catalog.format(
            'comment on column bcp.call_latency_%s.bucket is %L', v_level.suffix, 'Start of the bucket, UTC.');
        execute pg_catalog.format(
            'comment on column bcp.call_latency_%s.lat_base is %L', v_level.suffix,
            'The lat_idx that column n0 counts: see bcp.tool_usage_logs.lat_idx.');
        for v_column in 0..31 loop
            execute pg_catalog.format(
                'comment on column bcp.call_latency_%s.n%s is %L', v_level.suffix, v_column,
                pg_catalog.format('Calls whose duration has lat_idx = lat_base + %s.', v_column));
        end loop;
    end loop;
end
$block$;

alter materialized view bcp.call_latency_1h set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, lat_base'
);

-- This function of sql/ takes more, and `create or replace` would leave the old one beside the new.
drop function if exists bcp_internal.latency_cells(timestamptz, timestamptz, interval, text, jsonb);
