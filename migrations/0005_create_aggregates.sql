-- Continuous aggregates in UTC buckets; the coarser ones are made from the finer ones. All are materialised only,
-- because the built-in real-time union loses vectorised execution (1,175 ms against 468 ms on 3 million calls); the
-- query functions themselves add what is not materialised.
--
-- Aggregates of which a question reads many rows have a columnstore without segments, ordered by bucket: a bucket has
-- few rows per tool, so segments by tool would be batches of a few rows each. Their chunks are short, because only a
-- chunk that is over moves to the columnstore; and they are merged there, because planning costs each question time per
-- chunk.

create materialized view bcp.tool_usage_1m
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '7 days'
) as
select
    public.time_bucket(interval '1 minute', start_time) as bucket,
    bcp_name,
    tool_name,
    operation,
    count(*) as calls,
    count(*) filter (where success) as successes,
    count(*) filter (where not success) as errors,
    count(duration_ms) as timed_calls,
    sum(duration_ms) as sum_duration_ms,
    min(duration_ms) as min_duration_ms,
    max(duration_ms) as max_duration_ms,
    -- As bigint the sum would overflow with a few calls that claim a huge size, and no refresh would get past them. A
    -- double precision is exact up to 2^53.
    sum(request_bytes)::double precision as request_bytes,
    sum(response_bytes)::double precision as response_bytes,
    -- Null where senders give no tokens, which costs nothing.
    sum(response_tokens)::double precision as given_tokens,
    sum(response_bytes) filter (where response_tokens is not null)::double precision as given_bytes
from bcp.tool_usage_logs
group by 1, 2, 3, 4
with no data;

alter materialized view bcp.tool_usage_1m set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, operation'
);

create materialized view bcp.tool_usage_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '6 hours'
) as
select
    public.time_bucket(interval '1 hour', bucket) as bucket,
    bcp_name,
    tool_name,
    operation,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors,
    sum(timed_calls)::bigint as timed_calls,
    sum(sum_duration_ms) as sum_duration_ms,
    min(min_duration_ms) as min_duration_ms,
    max(max_duration_ms) as max_duration_ms,
    sum(request_bytes) as request_bytes,
    sum(response_bytes) as response_bytes,
    sum(given_tokens) as given_tokens,
    sum(given_bytes) as given_bytes
from bcp.tool_usage_1m
group by 1, 2, 3, 4
with no data;

alter materialized view bcp.tool_usage_1h set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, operation',
    timescaledb.compress_chunk_interval = '10 days'
);

create materialized view bcp.tool_usage_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    bcp_name,
    tool_name,
    operation,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors,
    sum(timed_calls)::bigint as timed_calls,
    sum(sum_duration_ms) as sum_duration_ms,
    min(min_duration_ms) as min_duration_ms,
    max(max_duration_ms) as max_duration_ms,
    sum(request_bytes) as request_bytes,
    sum(response_bytes) as response_bytes,
    sum(given_tokens) as given_tokens,
    sum(given_bytes) as given_bytes
from bcp.tool_usage_1h
group by 1, 2, 3, 4
with no data;

alter materialized view bcp.tool_usage_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, operation',
    timescaledb.compress_chunk_interval = '30 days'
);

create materialized view bcp.tool_usage_1mo
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '3650 days'
) as
select
    public.time_bucket(interval '1 month', bucket) as bucket,
    bcp_name,
    tool_name,
    operation,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors,
    sum(timed_calls)::bigint as timed_calls,
    sum(sum_duration_ms) as sum_duration_ms,
    min(min_duration_ms) as min_duration_ms,
    max(max_duration_ms) as max_duration_ms,
    sum(request_bytes) as request_bytes,
    sum(response_bytes) as response_bytes,
    sum(given_tokens) as given_tokens,
    sum(given_bytes) as given_bytes
from bcp.tool_usage_1d
group by 1, 2, 3, 4
with no data;

do $block$
declare
    v_view record;
    v_column record;
begin
    for v_view in
        select * from (values ('1m', 'minute'), ('1h', 'hour'), ('1d', 'day'), ('1mo', 'month')) as v (suffix, width)
    loop
        execute pg_catalog.format(
            'comment on view bcp.tool_usage_%s is %L',
            v_view.suffix, pg_catalog.format('Calls per %s by bundle, tool and operation.', v_view.width));
        for v_column in
            select * from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool.'),
                ('operation', 'Operation.'),
                ('calls', 'Calls that began in the bucket.'),
                ('successes', 'Of those, the ones that succeeded.'),
                ('errors', 'Of those, the ones that failed; the rest did not say.'),
                ('timed_calls', 'Calls whose duration is known.'),
                ('sum_duration_ms', 'Sum of their durations in milliseconds.'),
                ('min_duration_ms', 'Shortest of them in milliseconds.'),
                ('max_duration_ms', 'Longest of them in milliseconds.'),
                ('request_bytes', 'Bytes of arguments.'),
                ('response_bytes', 'Bytes of answers.'),
                ('given_tokens', 'Tokens of answers, of those calls for which the sender gave them.'),
                ('given_bytes', 'Bytes of the same answers.')) as c (name, says)
        loop
            execute pg_catalog.format(
                'comment on column bcp.tool_usage_%s.%I is %L', v_view.suffix, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;

-- The latency sketch counts the calls by lat_idx. A row has 32 of these counts, in columns n0 to n31, because adding up
-- columns costs less than grouping rows: over 30 days of 3 million calls a year by 200 tools, one row per lat_idx would
-- be 7 times the rows and take 10 times as long. An integer counts 2 billion calls within 2 percent of one latency in a
-- day. A month uses double precision, which counts up to 2^53 and needs no numeric to be added up. Days and months
-- leave out the operation, for which hours answer: where a tenth of the calls has an operation of its own, a month has
-- 5,654 rows instead of 10,152.
do $block$
declare
    v_level record;
    v_column integer;
begin
    for v_level in
        select * from (values
            ('1h', 'hour', '1 hour', 'tool_usage_logs', 'start_time', '6 hours', 'bcp_name, tool_name, operation'),
            ('1d', 'day', '1 day', 'tool_latency_1h', 'bucket', '1 day', 'bcp_name, tool_name'),
            ('1mo', 'month', '1 month', 'tool_latency_1d', 'bucket', '3650 days', 'bcp_name, tool_name')
        ) as v (suffix, says, width, source, time_column, chunk_interval, keys)
    loop
        execute pg_catalog.format(
            'create materialized view bcp.tool_latency_%s'
            ' with (timescaledb.continuous, timescaledb.materialized_only = true,'
            ' timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %L) as'
            ' select public.time_bucket(interval %L, %I) as bucket, %s, %s as lat_base, %s'
            ' from bcp.%I %s group by 1, %s, lat_base with no data',
            v_level.suffix, v_level.chunk_interval, v_level.width, v_level.time_column, v_level.keys,
            case v_level.suffix when '1h' then 'lat_idx & (-32)::smallint' else 'lat_base' end,
            (select pg_catalog.string_agg(
                 pg_catalog.format(
                     case v_level.suffix
                         when '1h' then 'count(*) filter (where lat_idx & 31::smallint = %1$s)::integer as n%1$s'
                         when '1d' then 'sum(n%1$s)::integer as n%1$s'
                         else 'sum(n%1$s)::double precision as n%1$s'
                     end, n), ', ' order by n)
             from pg_catalog.generate_series(0, 31) as n),
            v_level.source,
            -- Lists of tools are no calls, and days and months could no longer tell them apart.
            case v_level.suffix when '1h' then $$where lat_idx is not null and operation <> 'tools/list'$$ end,
            v_level.keys);
        execute pg_catalog.format(
            'comment on view bcp.tool_latency_%s is %L',
            v_level.suffix, pg_catalog.format(
                'Latency sketch per %s by %s: bcp_internal.latency_cells unfolds it.', v_level.says,
                case v_level.suffix when '1h' then 'bundle, tool and operation' else 'bundle and tool' end));
        execute pg_catalog.format(
            'comment on column bcp.tool_latency_%s.bucket is %L', v_level.suffix, 'Start of the bucket, UTC.');
        execute pg_catalog.format(
            'comment on column bcp.tool_latency_%s.bcp_name is %L', v_level.suffix, 'Bundle of tools.');
        execute pg_catalog.format('comment on column bcp.tool_latency_%s.tool_name is %L', v_level.suffix, 'Tool.');
        if v_level.suffix = '1h' then
            execute pg_catalog.format(
                'comment on column bcp.tool_latency_%s.operation is %L', v_level.suffix, 'Operation.');
        end if;
        execute pg_catalog.format(
            'comment on column bcp.tool_latency_%s.lat_base is %L', v_level.suffix,
            'The lat_idx that column n0 counts: see bcp.tool_usage_logs.lat_idx.');
        for v_column in 0..31 loop
            execute pg_catalog.format(
                'comment on column bcp.tool_latency_%s.n%s is %L', v_level.suffix, v_column,
                pg_catalog.format('Calls whose duration has lat_idx = lat_base + %s.', v_column));
        end loop;
    end loop;
end
$block$;

alter materialized view bcp.tool_latency_1h set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, operation, lat_base',
    timescaledb.compress_chunk_interval = '10 days'
);

alter materialized view bcp.tool_latency_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, lat_base',
    timescaledb.compress_chunk_interval = '30 days'
);

create materialized view bcp.errors_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '90 days'
) as
select
    public.time_bucket(interval '1 hour', "timestamp") as bucket,
    level,
    bcp_name,
    tool_name,
    error_type,
    fingerprint,
    count(*) as errors,
    min("timestamp") as first_seen,
    max("timestamp") as last_seen
from bcp.error_logs
group by 1, 2, 3, 4, 5, 6
with no data;

comment on view bcp.errors_1h is 'Errors per hour by level, tool, type and group.';

comment on column bcp.errors_1h.bucket is 'Start of the bucket, UTC.';

comment on column bcp.errors_1h.level is 'Severity.';

comment on column bcp.errors_1h.bcp_name is 'Bundle of tools.';

comment on column bcp.errors_1h.tool_name is 'Tool, null where none was involved.';

comment on column bcp.errors_1h.error_type is 'Class of the error.';

comment on column bcp.errors_1h.fingerprint is 'Group of the error: see bcp.error_issues.';

comment on column bcp.errors_1h.errors is 'Errors in the bucket.';

comment on column bcp.errors_1h.first_seen is 'Time of the earliest.';

comment on column bcp.errors_1h.last_seen is 'Time of the latest.';

create materialized view bcp.errors_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    level,
    bcp_name,
    tool_name,
    error_type,
    fingerprint,
    sum(errors)::bigint as errors,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from bcp.errors_1h
group by 1, 2, 3, 4, 5, 6
with no data;

comment on view bcp.errors_1d is 'Errors per day by level, tool, type and group.';

comment on column bcp.errors_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.errors_1d.level is 'Severity.';

comment on column bcp.errors_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.errors_1d.tool_name is 'Tool, null where none was involved.';

comment on column bcp.errors_1d.error_type is 'Class of the error.';

comment on column bcp.errors_1d.fingerprint is 'Group of the error: see bcp.error_issues.';

comment on column bcp.errors_1d.errors is 'Errors in the bucket.';

comment on column bcp.errors_1d.first_seen is 'Time of the earliest.';

comment on column bcp.errors_1d.last_seen is 'Time of the latest.';

create materialized view bcp.metrics_1m
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '30 days'
) as
select
    public.time_bucket(interval '1 minute', "timestamp") as bucket,
    metric_name,
    labels,
    aggregation_period,
    count(*) as samples,
    -- bcp_internal.store_metrics bounds each value, so that no two of them overflow the sum.
    sum(least(greatest(metric_value, -1e100), 1e100)) as sum_value,
    min(metric_value) as min_value,
    max(metric_value) as max_value
from bcp.performance_metrics
group by 1, 2, 3, 4
with no data;

do $block$
declare
    v_level record;
    v_column record;
begin
    for v_level in
        select * from (values
            ('1m', 'minute', null, null, null),
            ('5m', 'five minutes', '5 minutes', '1m', '30 days'),
            ('1h', 'hour', '1 hour', '5m', '90 days'),
            ('1d', 'day', '1 day', '1h', '730 days')
        ) as v (suffix, says, width, source, chunk_interval)
    loop
        if v_level.source is not null then
            execute pg_catalog.format(
                'create materialized view bcp.metrics_%s'
                ' with (timescaledb.continuous, timescaledb.materialized_only = true,'
                ' timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %L) as'
                ' select public.time_bucket(interval %L, bucket) as bucket, metric_name, labels, aggregation_period,'
                ' sum(samples)::bigint as samples, sum(sum_value) as sum_value, min(min_value) as min_value,'
                ' max(max_value) as max_value from bcp.metrics_%s group by 1, 2, 3, 4 with no data',
                v_level.suffix, v_level.chunk_interval, v_level.width, v_level.source);
        end if;
        execute pg_catalog.format(
            'comment on view bcp.metrics_%s is %L', v_level.suffix,
            pg_catalog.format('Metrics per %s by series.', v_level.says));
        for v_column in
            select * from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('metric_name', 'Name of the metric.'),
                ('labels', 'Labels of the series.'),
                ('aggregation_period', 'raw, or the period the sender aggregated over.'),
                ('samples', 'Values in the bucket.'),
                ('sum_value', 'Their sum.'),
                ('min_value', 'The smallest.'),
                ('max_value', 'The largest.')) as c (name, says)
        loop
            execute pg_catalog.format(
                'comment on column bcp.metrics_%s.%I is %L', v_level.suffix, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;

create materialized view bcp.user_activity_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', start_time) as bucket,
    user_id,
    bcp_name,
    -- A list of tools is no call, but it fills the model's context.
    count(*) filter (where operation <> 'tools/list') as calls,
    count(*) filter (where success and operation <> 'tools/list') as successes,
    count(*) filter (where not success and operation <> 'tools/list') as errors,
    sum(response_bytes)::double precision as response_bytes,
    sum(response_tokens)::double precision as given_tokens,
    sum(response_bytes) filter (where response_tokens is not null)::double precision as given_bytes
from bcp.tool_usage_logs
where user_id is not null
group by 1, 2, 3
with no data;

comment on view bcp.user_activity_1d is 'Calls per day by user and bundle.';

comment on column bcp.user_activity_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.user_activity_1d.user_id is 'User.';

comment on column bcp.user_activity_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.user_activity_1d.calls is 'Calls that began in the bucket, without lists of tools.';

comment on column bcp.user_activity_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.user_activity_1d.errors is 'Of those, the ones that failed.';

comment on column bcp.user_activity_1d.response_bytes is 'Bytes of answers, lists of tools too.';

comment on column bcp.user_activity_1d.given_tokens is
    'Tokens of answers, of those calls for which the sender gave them.';

comment on column bcp.user_activity_1d.given_bytes is 'Bytes of the same answers.';

create materialized view bcp.session_activity_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', start_time) as bucket,
    session_id,
    bcp_name,
    -- A list of tools is no call, but it fills the model's context.
    count(*) filter (where operation <> 'tools/list') as calls,
    count(*) filter (where success and operation <> 'tools/list') as successes,
    count(*) filter (where not success and operation <> 'tools/list') as errors,
    sum(response_bytes)::double precision as response_bytes,
    sum(response_tokens)::double precision as given_tokens,
    sum(response_bytes) filter (where response_tokens is not null)::double precision as given_bytes
from bcp.tool_usage_logs
where session_id is not null
group by 1, 2, 3
with no data;

comment on view bcp.session_activity_1d is 'Calls per day by session and bundle.';

comment on column bcp.session_activity_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.session_activity_1d.session_id is 'Session.';

comment on column bcp.session_activity_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.session_activity_1d.calls is 'Calls that began in the bucket, without lists of tools.';

comment on column bcp.session_activity_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.session_activity_1d.errors is 'Of those, the ones that failed.';

comment on column bcp.session_activity_1d.response_bytes is 'Bytes of answers, lists of tools too.';

comment on column bcp.session_activity_1d.given_tokens is
    'Tokens of answers, of those calls for which the sender gave them.';

comment on column bcp.session_activity_1d.given_bytes is 'Bytes of the same answers.';
