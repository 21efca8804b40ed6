-- What tool_usage_stats and latency_over_time answer for an hour or a day, ready to be read: a question for such
-- buckets neither adds up operations nor sorts sketches. Percentiles do not add up, so each of these aggregates is made
-- from rows, and is only for questions whose buckets are its own. A percentile is kept as its lat_idx, which is what
-- the sketch finds, too: one question may be answered from both.
--
-- They begin without data, because filling them may take hours. The columnstore is that of migration 0005.
do $block$
declare
    v_level record;
    v_column record;
begin
    for v_level in
        select * from (values
            ('1h', 'hour', '1 hour', '6 hours', '10 days'), ('1d', 'day', '1 day', '1 day', '30 days')
        ) as v (suffix, says, width, chunk_interval, merged_interval)
    loop
        execute pg_catalog.format(
            $query$
                create materialized view bcp.tool_stats_%s
                with (
                    timescaledb.continuous,
                    timescaledb.materialized_only = true,
                    timescaledb.create_group_indexes = false,
                    timescaledb.chunk_interval = %L
                ) as
                select
                    public.time_bucket(interval %L, start_time) as bucket,
                    bcp_name,
                    tool_name,
                    count(*) as calls,
                    count(*) filter (where success) as successes,
                    count(*) filter (where not success) as errors,
                    count(duration_ms) as timed_calls,
                    sum(duration_ms) as sum_duration_ms,
                    min(duration_ms) as min_duration_ms,
                    max(duration_ms) as max_duration_ms,
                    percentile_disc(0.5) within group (order by lat_idx) as p50_lat_idx,
                    percentile_disc(0.95) within group (order by lat_idx) as p95_lat_idx,
                    percentile_disc(0.99) within group (order by lat_idx) as p99_lat_idx,
                    -- As in bcp.tool_usage_1m.
                    sum(request_bytes)::double precision as request_bytes,
                    sum(response_bytes)::double precision as response_bytes
                from bcp.tool_usage_logs
                where operation <> 'tools/list'
                group by 1, 2, 3
                with no data
            $query$,
            v_level.suffix, v_level.chunk_interval, v_level.width);
        execute pg_catalog.format(
            'alter materialized view bcp.tool_stats_%s set (timescaledb.enable_columnstore = true,'
            ' timescaledb.segmentby = '''', timescaledb.orderby = ''bucket, bcp_name, tool_name'','
            ' timescaledb.compress_chunk_interval = %L)',
            v_level.suffix, v_level.merged_interval);
        execute pg_catalog.format(
            'comment on view bcp.tool_stats_%s is %L', v_level.suffix,
            pg_catalog.format(
                'Calls per %s by bundle and tool with their percentiles, without lists of tools; none that were '
                'dropped before this view was made.', v_level.says));
        for v_column in
            select * from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool.'),
                ('calls', 'Calls that began in the bucket, without lists of tools.'),
                ('successes', 'Of those, the ones that succeeded.'),
                ('errors', 'Of those, the ones that failed; the rest did not say.'),
                ('timed_calls', 'Calls whose duration is known.'),
                ('sum_duration_ms', 'Sum of their durations in milliseconds.'),
                ('min_duration_ms', 'Shortest of them in milliseconds.'),
                ('max_duration_ms', 'Longest of them in milliseconds.'),
                ('p50_lat_idx', 'Median of their lat_idx: 1.02 ^ p50_lat_idx is within 1 percent of their median.'),
                ('p95_lat_idx', '95th percentile of their lat_idx.'),
                ('p99_lat_idx', '99th percentile of their lat_idx.'),
                ('request_bytes', 'Bytes of arguments.'),
                ('response_bytes', 'Bytes of answers.')) as c (name, says)
        loop
            execute pg_catalog.format(
                'comment on column bcp.tool_stats_%s.%I is %L', v_level.suffix, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;

create materialized view bcp.call_stats_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '90 days'
) as
select
    public.time_bucket(interval '1 hour', start_time) as bucket,
    count(lat_idx) as timed_calls,
    percentile_disc(0.5) within group (order by lat_idx) as p50_lat_idx,
    percentile_disc(0.95) within group (order by lat_idx) as p95_lat_idx,
    percentile_disc(0.99) within group (order by lat_idx) as p99_lat_idx
from bcp.tool_usage_logs
where operation <> 'tools/list'
group by 1
with no data;

comment on view bcp.call_stats_1h is
    'Percentiles of the durations per hour, all tools together, without lists of tools; none of calls that were '
    'dropped before this view was made.';

comment on column bcp.call_stats_1h.bucket is 'Start of the bucket, UTC.';

comment on column bcp.call_stats_1h.timed_calls is 'Calls that began in the bucket and whose duration is known.';

comment on column bcp.call_stats_1h.p50_lat_idx is
    'Median of their lat_idx: 1.02 ^ p50_lat_idx is within 1 percent of the median duration.';

comment on column bcp.call_stats_1h.p95_lat_idx is '95th percentile of their lat_idx.';

comment on column bcp.call_stats_1h.p99_lat_idx is '99th percentile of their lat_idx.';

-- These functions of sql/ take or return more, and `create or replace` would leave the old ones beside the new.
drop function if exists bcp_internal.aggregates();

drop function if exists bcp_internal.pieces(text, text[], timestamptz, timestamptz);

drop function if exists bcp_internal.usage_statement(timestamptz, timestamptz, interval, text, text, jsonb, boolean);

drop function if exists bcp_internal.usage_cells(timestamptz, timestamptz, interval, text, jsonb, boolean, boolean);

drop function if exists bcp_internal.sketch_scans(timestamptz, timestamptz, interval, text, text, jsonb);

drop function if exists bcp_internal.sketch_statement(timestamptz, timestamptz, interval, text, text, jsonb);

drop function if exists bcp_internal.latency_quantiles(
    timestamptz, timestamptz, interval, text, double precision[], jsonb, boolean);
