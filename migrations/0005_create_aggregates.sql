-- Continuous aggregates, in UTC buckets, coarser ones made from finer ones. All are materialised only:
-- the built-in real-time union loses vectorised execution (1,175 ms against 468 ms on 3 million calls), so
-- the query functions add what is newer than the watermark themselves. Long chunks, because vectorised
-- aggregation finishes chunk by chunk (91 one-day chunks of a sketch: 1,350 ms; 2 long ones: 470 ms).

create materialized view bcp.tool_usage_1m
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '30 days'
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
    sum(request_bytes)::bigint as request_bytes,
    sum(response_bytes)::bigint as response_bytes
from bcp.tool_usage_logs
group by 1, 2, 3, 4
with no data;

comment on view bcp.tool_usage_1m is 'Calls a minute by bundle, tool and operation.';

comment on column bcp.tool_usage_1m.bucket is 'Start of the bucket, UTC.';

comment on column bcp.tool_usage_1m.bcp_name is 'Bundle of tools.';

comment on column bcp.tool_usage_1m.tool_name is 'Tool.';

comment on column bcp.tool_usage_1m.operation is 'Operation.';

comment on column bcp.tool_usage_1m.calls is 'Calls that began in the bucket.';

comment on column bcp.tool_usage_1m.successes is 'Of those, the ones that succeeded.';

comment on column bcp.tool_usage_1m.errors is 'Of those, the ones that failed; the rest did not say.';

comment on column bcp.tool_usage_1m.timed_calls is 'Calls whose duration is known.';

comment on column bcp.tool_usage_1m.sum_duration_ms is 'Sum of their durations in milliseconds.';

comment on column bcp.tool_usage_1m.min_duration_ms is 'Shortest of them in milliseconds.';

comment on column bcp.tool_usage_1m.max_duration_ms is 'Longest of them in milliseconds.';

comment on column bcp.tool_usage_1m.request_bytes is 'Bytes of arguments.';

comment on column bcp.tool_usage_1m.response_bytes is 'Bytes of answers.';

create materialized view bcp.tool_usage_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '90 days'
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
    sum(request_bytes)::bigint as request_bytes,
    sum(response_bytes)::bigint as response_bytes
from bcp.tool_usage_1m
group by 1, 2, 3, 4
with no data;

comment on view bcp.tool_usage_1h is 'Calls an hour by bundle, tool and operation.';

comment on column bcp.tool_usage_1h.bucket is 'Start of the bucket, UTC.';

comment on column bcp.tool_usage_1h.bcp_name is 'Bundle of tools.';

comment on column bcp.tool_usage_1h.tool_name is 'Tool.';

comment on column bcp.tool_usage_1h.operation is 'Operation.';

comment on column bcp.tool_usage_1h.calls is 'Calls that began in the bucket.';

comment on column bcp.tool_usage_1h.successes is 'Of those, the ones that succeeded.';

comment on column bcp.tool_usage_1h.errors is 'Of those, the ones that failed; the rest did not say.';

comment on column bcp.tool_usage_1h.timed_calls is 'Calls whose duration is known.';

comment on column bcp.tool_usage_1h.sum_duration_ms is 'Sum of their durations in milliseconds.';

comment on column bcp.tool_usage_1h.min_duration_ms is 'Shortest of them in milliseconds.';

comment on column bcp.tool_usage_1h.max_duration_ms is 'Longest of them in milliseconds.';

comment on column bcp.tool_usage_1h.request_bytes is 'Bytes of arguments.';

comment on column bcp.tool_usage_1h.response_bytes is 'Bytes of answers.';

create materialized view bcp.tool_usage_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
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
    sum(request_bytes)::bigint as request_bytes,
    sum(response_bytes)::bigint as response_bytes
from bcp.tool_usage_1h
group by 1, 2, 3, 4
with no data;

comment on view bcp.tool_usage_1d is 'Calls a day by bundle, tool and operation.';

comment on column bcp.tool_usage_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.tool_usage_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.tool_usage_1d.tool_name is 'Tool.';

comment on column bcp.tool_usage_1d.operation is 'Operation.';

comment on column bcp.tool_usage_1d.calls is 'Calls that began in the bucket.';

comment on column bcp.tool_usage_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.tool_usage_1d.errors is 'Of those, the ones that failed; the rest did not say.';

comment on column bcp.tool_usage_1d.timed_calls is 'Calls whose duration is known.';

comment on column bcp.tool_usage_1d.sum_duration_ms is 'Sum of their durations in milliseconds.';

comment on column bcp.tool_usage_1d.min_duration_ms is 'Shortest of them in milliseconds.';

comment on column bcp.tool_usage_1d.max_duration_ms is 'Longest of them in milliseconds.';

comment on column bcp.tool_usage_1d.request_bytes is 'Bytes of arguments.';

comment on column bcp.tool_usage_1d.response_bytes is 'Bytes of answers.';

create materialized view bcp.tool_latency_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '90 days'
) as
select
    public.time_bucket(interval '1 hour', start_time) as bucket,
    bcp_name,
    tool_name,
    operation,
    lat_idx,
    count(*) as calls
from bcp.tool_usage_logs
where lat_idx is not null
group by 1, 2, 3, 4, 5
with no data;

comment on view bcp.tool_latency_1h is 'Latency sketch an hour by bundle, tool and operation.';

comment on column bcp.tool_latency_1h.bucket is 'Start of the bucket, UTC.';

comment on column bcp.tool_latency_1h.bcp_name is 'Bundle of tools.';

comment on column bcp.tool_latency_1h.tool_name is 'Tool.';

comment on column bcp.tool_latency_1h.operation is 'Operation.';

comment on column bcp.tool_latency_1h.lat_idx is 'Bucket of the latency sketch: see bcp.tool_usage_logs.lat_idx.';

comment on column bcp.tool_latency_1h.calls is 'Calls whose duration fell into it.';

create materialized view bcp.tool_latency_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    bcp_name,
    tool_name,
    operation,
    lat_idx,
    sum(calls)::bigint as calls
from bcp.tool_latency_1h
group by 1, 2, 3, 4, 5
with no data;

comment on view bcp.tool_latency_1d is 'Latency sketch a day by bundle, tool and operation.';

comment on column bcp.tool_latency_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.tool_latency_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.tool_latency_1d.tool_name is 'Tool.';

comment on column bcp.tool_latency_1d.operation is 'Operation.';

comment on column bcp.tool_latency_1d.lat_idx is 'Bucket of the latency sketch: see bcp.tool_usage_logs.lat_idx.';

comment on column bcp.tool_latency_1d.calls is 'Calls whose duration fell into it.';

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

comment on view bcp.errors_1h is 'Errors an hour by level, tool, type and group.';

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

comment on view bcp.errors_1d is 'Errors a day by level, tool, type and group.';

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
    sum(metric_value) as sum_value,
    min(metric_value) as min_value,
    max(metric_value) as max_value
from bcp.performance_metrics
group by 1, 2, 3, 4
with no data;

comment on view bcp.metrics_1m is 'Metrics a minute by series.';

comment on column bcp.metrics_1m.bucket is 'Start of the bucket, UTC.';

comment on column bcp.metrics_1m.metric_name is 'Name of the metric.';

comment on column bcp.metrics_1m.labels is 'Labels of the series.';

comment on column bcp.metrics_1m.aggregation_period is 'raw, or the period the sender aggregated over.';

comment on column bcp.metrics_1m.samples is 'Values in the bucket.';

comment on column bcp.metrics_1m.sum_value is 'Their sum.';

comment on column bcp.metrics_1m.min_value is 'The smallest.';

comment on column bcp.metrics_1m.max_value is 'The largest.';

create materialized view bcp.metrics_5m
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '30 days'
) as
select
    public.time_bucket(interval '5 minutes', bucket) as bucket,
    metric_name,
    labels,
    aggregation_period,
    sum(samples)::bigint as samples,
    sum(sum_value) as sum_value,
    min(min_value) as min_value,
    max(max_value) as max_value
from bcp.metrics_1m
group by 1, 2, 3, 4
with no data;

comment on view bcp.metrics_5m is 'Metrics every five minutes by series.';

comment on column bcp.metrics_5m.bucket is 'Start of the bucket, UTC.';

comment on column bcp.metrics_5m.metric_name is 'Name of the metric.';

comment on column bcp.metrics_5m.labels is 'Labels of the series.';

comment on column bcp.metrics_5m.aggregation_period is 'raw, or the period the sender aggregated over.';

comment on column bcp.metrics_5m.samples is 'Values in the bucket.';

comment on column bcp.metrics_5m.sum_value is 'Their sum.';

comment on column bcp.metrics_5m.min_value is 'The smallest.';

comment on column bcp.metrics_5m.max_value is 'The largest.';

create materialized view bcp.metrics_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '90 days'
) as
select
    public.time_bucket(interval '1 hour', bucket) as bucket,
    metric_name,
    labels,
    aggregation_period,
    sum(samples)::bigint as samples,
    sum(sum_value) as sum_value,
    min(min_value) as min_value,
    max(max_value) as max_value
from bcp.metrics_5m
group by 1, 2, 3, 4
with no data;

comment on view bcp.metrics_1h is 'Metrics an hour by series.';

comment on column bcp.metrics_1h.bucket is 'Start of the bucket, UTC.';

comment on column bcp.metrics_1h.metric_name is 'Name of the metric.';

comment on column bcp.metrics_1h.labels is 'Labels of the series.';

comment on column bcp.metrics_1h.aggregation_period is 'raw, or the period the sender aggregated over.';

comment on column bcp.metrics_1h.samples is 'Values in the bucket.';

comment on column bcp.metrics_1h.sum_value is 'Their sum.';

comment on column bcp.metrics_1h.min_value is 'The smallest.';

comment on column bcp.metrics_1h.max_value is 'The largest.';

create materialized view bcp.metrics_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    metric_name,
    labels,
    aggregation_period,
    sum(samples)::bigint as samples,
    sum(sum_value) as sum_value,
    min(min_value) as min_value,
    max(max_value) as max_value
from bcp.metrics_1h
group by 1, 2, 3, 4
with no data;

comment on view bcp.metrics_1d is 'Metrics a day by series.';

comment on column bcp.metrics_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.metrics_1d.metric_name is 'Name of the metric.';

comment on column bcp.metrics_1d.labels is 'Labels of the series.';

comment on column bcp.metrics_1d.aggregation_period is 'raw, or the period the sender aggregated over.';

comment on column bcp.metrics_1d.samples is 'Values in the bucket.';

comment on column bcp.metrics_1d.sum_value is 'Their sum.';

comment on column bcp.metrics_1d.min_value is 'The smallest.';

comment on column bcp.metrics_1d.max_value is 'The largest.';

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
    count(*) as calls,
    count(*) filter (where success) as successes,
    count(*) filter (where not success) as errors,
    sum(response_bytes)::bigint as response_bytes
from bcp.tool_usage_logs
where user_id is not null
group by 1, 2, 3
with no data;

comment on view bcp.user_activity_1d is 'Calls a day by user and bundle.';

comment on column bcp.user_activity_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.user_activity_1d.user_id is 'User.';

comment on column bcp.user_activity_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.user_activity_1d.calls is 'Calls that began in the bucket.';

comment on column bcp.user_activity_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.user_activity_1d.errors is 'Of those, the ones that failed.';

comment on column bcp.user_activity_1d.response_bytes is 'Bytes of answers.';

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
    count(*) as calls,
    count(*) filter (where success) as successes,
    count(*) filter (where not success) as errors,
    sum(response_bytes)::bigint as response_bytes
from bcp.tool_usage_logs
where session_id is not null
group by 1, 2, 3
with no data;

comment on view bcp.session_activity_1d is 'Calls a day by session and bundle.';

comment on column bcp.session_activity_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.session_activity_1d.session_id is 'Session.';

comment on column bcp.session_activity_1d.bcp_name is 'Bundle of tools.';

comment on column bcp.session_activity_1d.calls is 'Calls that began in the bucket.';

comment on column bcp.session_activity_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.session_activity_1d.errors is 'Of those, the ones that failed.';

comment on column bcp.session_activity_1d.response_bytes is 'Bytes of answers.';
