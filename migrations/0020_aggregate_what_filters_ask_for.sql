-- Aggregates for questions that those by bundle, tool and operation cannot answer: about all tools together, about
-- calls that failed, and about one user. They are filled by the first refresh; until then raw rows answer.

create materialized view bcp.total_usage_1m
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '7 days'
) as
select
    public.time_bucket(interval '1 minute', bucket) as bucket,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors
from bcp.tool_usage_1m
-- A list of tools is no call.
where operation <> 'tools/list'
group by 1
with no data;

alter materialized view bcp.total_usage_1m set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket'
);

create materialized view bcp.total_usage_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 hour', bucket) as bucket,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors,
    max(calls) as peak_calls,
    (array_agg(bucket order by calls desc, bucket))[1] as peak_minute
from bcp.total_usage_1m
group by 1
with no data;

do $block$
declare
    v_view record;
    v_column record;
begin
    for v_view in select * from (values ('1m', 'minute'), ('1h', 'hour')) as v (suffix, width) loop
        execute pg_catalog.format(
            'comment on view bcp.total_usage_%s is %L',
            v_view.suffix, pg_catalog.format('Calls per %s, all tools together.', v_view.width));
        for v_column in
            select * from (values
                ('bucket', 'Start of the bucket, UTC.', true),
                ('calls', 'Calls that began in the bucket, without lists of tools.', true),
                ('successes', 'Of those, the ones that succeeded.', true),
                ('errors', 'Of those, the ones that failed; the rest did not say.', true),
                ('peak_calls', 'Most calls in one minute.', false),
                ('peak_minute', 'The first minute with so many.', false)) as c (name, says, is_in_all)
            where is_in_all or v_view.suffix = '1h'
        loop
            execute pg_catalog.format(
                'comment on column bcp.total_usage_%s.%I is %L', v_view.suffix, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;

-- These two are made from rows, and know the outcome and the latency of each call, so one row mostly stands for one
-- call. What such a row says twice is left out: of a single call the sum of durations is also the shortest and the
-- longest. Durations are whole microseconds, which take half the space of fractions. Ordered by day and user, the rows
-- of one user lie together, and the columnstore reads a few batches a day.
do $block$
declare
    v_view record;
    v_column record;
    -- A sum that bigint does not hold would fail each refresh. least and greatest would make a number of null.
    v_bounded constant text[] := array(
        select pg_catalog.format(
            'case when %1$s > 9e18 then 9e18 when %1$s < -9e18 then -9e18 else %1$s end::bigint', a.expression)
        from pg_catalog.unnest(array[
            'sum(duration_ms) * 1000', 'min(duration_ms) * 1000', 'max(duration_ms) * 1000', 'sum(request_bytes)',
            'sum(response_bytes)', 'sum(response_tokens)',
            'sum(response_bytes) filter (where response_tokens is not null)']) with ordinality as a (expression, n)
        order by a.n);
begin
    for v_view in
        select * from (values
            ('failed_usage_1h', '1 hour', '6 hours', '90 days', '',
             $$outcome is distinct from 'success' or success is not true$$,
             'Calls per hour by tool and outcome, of those that did not succeed.'),
            ('user_usage_1d', '1 day', '1 day', '30 days', 'user_id, ', 'user_id is not null',
             'Calls per day by user, tool and outcome.')
        ) as v (name, width, chunk_interval, merged_interval, keys, condition, says)
    loop
        execute pg_catalog.format(
            'create materialized view bcp.%I'
            ' with (timescaledb.continuous, timescaledb.materialized_only = true,'
            ' timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %L) as'
            ' select public.time_bucket(interval %L, start_time) as bucket, %s'
            ' bcp_name, tool_name, operation, success, outcome, lat_idx,'
            ' count(*) as calls, count(duration_ms) as timed_calls,'
            ' %s as sum_duration_us, case when count(*) > 1 then %s end as min_duration_us,'
            ' case when count(*) > 1 then %s end as max_duration_us, %s as request_bytes, %s as response_bytes,'
            ' %s as given_tokens, %s as given_bytes'
            ' from bcp.tool_usage_logs where %s'
            ' group by 1, %s bcp_name, tool_name, operation, success, outcome, lat_idx with no data',
            v_view.name, v_view.chunk_interval, v_view.width, v_view.keys,
            v_bounded[1], v_bounded[2], v_bounded[3], v_bounded[4], v_bounded[5], v_bounded[6], v_bounded[7],
            v_view.condition, v_view.keys);
        execute pg_catalog.format(
            'alter materialized view bcp.%I set (timescaledb.enable_columnstore = true, timescaledb.segmentby = %L,'
            ' timescaledb.orderby = %L, timescaledb.compress_chunk_interval = %L)',
            v_view.name, '', 'bucket, ' || v_view.keys || 'bcp_name, tool_name, operation, success, outcome, lat_idx',
            v_view.merged_interval);
        execute pg_catalog.format('comment on view bcp.%I is %L', v_view.name, v_view.says);
        for v_column in
            select * from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('user_id', 'User.'),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool.'),
                ('operation', 'Operation.'),
                ('success', 'Whether the calls succeeded: see bcp.tool_usage_logs.success.'),
                ('outcome', 'How they ended: see bcp.tool_usage_logs.outcome.'),
                ('lat_idx', 'Place of their durations in the latency sketch: see bcp.tool_usage_logs.lat_idx.'),
                ('calls', 'Calls that began in the bucket, lists of tools too.'),
                ('timed_calls', 'Calls whose duration is known.'),
                ('sum_duration_us', 'Sum of their durations in microseconds.'),
                ('min_duration_us', 'Shortest of them in microseconds; null for a single call.'),
                ('max_duration_us', 'Longest of them in microseconds; null for a single call.'),
                ('request_bytes', 'Bytes of arguments.'),
                ('response_bytes', 'Bytes of answers.'),
                ('given_tokens', 'Tokens of answers, of those calls for which the sender gave them.'),
                ('given_bytes', 'Bytes of the same answers.')) as c (name, says)
            where name <> 'user_id' or v_view.keys <> ''
        loop
            execute pg_catalog.format('comment on column bcp.%I.%I is %L', v_view.name, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;
