-- What a head does in place of what a store does.
--
-- Bundles are whole on one shard. So what is counted by bundle is the union of the shards' rows; counts by time, by
-- user, by error or by lat_idx add up, and percentiles come from the sum; and a question for the latest rows is asked
-- on every shard, and the latest of all are taken. Most questions are made from few functions, so rules for these make
-- all of them right. What has no rule and is not kept raises an error on a head: bcp_internal.make_head goes over the
-- catalogue, so that a new function answers nothing by mistake.

create or replace function bcp_internal.cell_rules()
returns table (routine text, merge text, given jsonb, without text[])
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    values
    ('bcp_internal.tool_cells', 'select {columns} from r', '{}'::jsonb, '{}'::text[]),
    ('bcp_internal.usage_cells', 'select {columns} from r', '{}', '{}'),
    ('bcp_internal.breakdown_cells', 'select {columns} from r', '{}', '{}'),
    ('bcp_internal.usage_totals', $rule$
        select r.time_bucket, sum(r.calls)::bigint, sum(r.successes)::bigint, sum(r.errors)::bigint from r group by 1
    $rule$, '{}', '{}'),
    ('bcp_internal.latency_cells', $rule$
        select r.time_bucket, r.band, sum(r.calls)::bigint from r group by 1, 2
    $rule$, '{}', '{}'),
    -- What has percentiles ready does not add up.
    ('bcp_internal.is_ranked', 'select false', '{}', '{}'),
    ('bcp_internal.is_sketched', 'select false', '{}', '{}'),
    ('bcp_internal.active_days', 'select distinct r.time_bucket, r.id from r', '{}', '{}'),
    ('bcp_internal.active_statement', $rule$
        select format(
            'select time_bucket, id from bcp_internal.active_days(%L, %L, %L, %L, %L)', p_since, p_until, p_interval,
            p_time_zone, p_filters)
    $rule$, '{}', '{}'),
    ('bcp_internal.activity_cells', $rule$
        select r.time_bucket, r.id, sum(r.calls)::bigint, sum(r.successes)::bigint, sum(r.errors)::bigint,
               least(sum(r.response_bytes), 9e18)::bigint, sum(r.given_tokens), sum(r.given_bytes)
        from r
        group by 1, 2
    $rule$, '{}', '{}'),
    ('bcp_internal.error_cells', $rule$
        select r.day, r.level, r.bcp_name, r.tool_name, r.error_type, r.fingerprint, sum(r.errors)::bigint,
               min(r.first_seen), max(r.last_seen)
        from r
        group by 1, 2, 3, 4, 5, 6
    $rule$, '{}', '{}'),
    ('bcp_internal.issue_cells', $rule$
        select r.fingerprint, sum(r.errors)::bigint, sum(r.errors_before)::bigint from r group by 1
    $rule$, '{}', '{}'),
    -- Numbers of issues that are ready do not add up either.
    ('bcp_internal.ready_error_days', 'select ''{}''::tstzmultirange', '{}', '{}'),
    -- Neither do numbers of users, and a head has no sessions of its own.
    ('bcp_internal.ready_session_days', 'select ''{}''::tstzmultirange', '{}', '{}'),
    -- The busiest minute of all is not the busiest of a shard, so all minutes come here.
    ('bcp_internal.usage_minutes', 'select {columns} from r', '{}', '{}'),
    ('bcp_internal.usage_peaks', $rule$
        select * from bcp_internal.peaks_of_shards(p_since, p_until, p_interval, p_time_zone, p_filters)
    $rule$, '{}', '{}'),
    -- Percentiles do not add up; the counts that they are made from do.
    ('bcp_internal.sketch_rows', 'select {columns} from r', '{}', '{}'),
    ('bcp_internal.latency_quantiles', $rule$
        select {columns} from r where p_by_tool
        union all
        select q.time_bucket, null, null, q.timed_calls, q.durations_ms
        from bcp_internal.quantiles_of_shards(
            p_since, p_until, p_interval, p_time_zone, p_percentiles, p_filters) q
        where not p_by_tool
    $rule$, '{}', '{}'),
    ('bcp_internal.tool_statements', $rule$
        select array[format(
            'select * from bcp_internal.tool_cells(%L, %L, %L, %L, %L, %L)',
            p_since, p_until, p_interval, p_time_zone, p_filters, p_timed)]
    $rule$, '{}', '{}'),
    ('bcp_internal.breakdown_statement', $rule$
        select format(
            'select time_bucket, %s, lat_idx, in_sketch, calls, successes, errors, timed_calls, sum_ms, min_ms, max_ms,'
            ' request_bytes, response_bytes from bcp_internal.breakdown_cells(%L, %L, %L, %L, %L, %L)',
            p_keys, p_since, p_until, p_interval, p_time_zone, p_keys, p_filters)
    $rule$, '{}', '{}'),
    -- Whole rows, for the questions that follow a session from bundle to bundle or compare what agents say. These need
    -- no documents, which would be most of what is sent.
    ('bcp_internal.calls', 'select {columns} from r', '{}',
        '{parameters,response_data,attributes,error_message,user_agent}'),
    -- The calls of a session may be on several shards, so none of these knows what follows what.
    ('bcp_internal.sequence_cells', $rule$
        select x.bcp_name, x.tool_name, x.next_bcp_name, x.next_tool_name, count(*), sum(x.gap_ms)
        from (
            select
                c.bcp_name, c.tool_name, lead(c.bcp_name) over w as next_bcp_name,
                lead(c.tool_name) over w as next_tool_name,
                extract(epoch from lead(c.start_time) over w - coalesce(c.end_time, c.start_time))::double precision
                    * 1000 as gap_ms
            from bcp_internal.calls(p_since, p_until, p_filters) c
            where c.session_id is not null
            window w as (partition by c.session_id order by c.start_time, c.event_id)
        ) x
        group by 1, 2, 3, 4
    $rule$, '{}', '{}'),
    -- An issue may have errors on several shards, and the latest of all describes it.
    ('bcp_internal.issues', $rule$
        select r.fingerprint, min(r.first_seen), max(r.last_seen), sum(r.events)::bigint, max(r.level),
               (array_agg(r.message order by r.last_seen desc))[1],
               (array_agg(r.error_type order by r.last_seen desc))[1],
               (array_agg(r.bcp_name order by r.last_seen desc))[1],
               (array_agg(r.tool_name order by r.last_seen desc))[1]
        from r
        group by 1
    $rule$, '{}', '{}'),
    ('bcp_internal.releases_before', 'select distinct r.answer from r', '{}', '{}'),
    ('bcp_internal.has_regressed', 'select coalesce(bool_or(r.answer), false) from r',
        '{"p_releases_before": "array(select bcp_internal.releases_before(p_fingerprint, p_fixed_at))"}', '{}'),
    -- A session that uses bundles of several shards is on each of them, with what it did there.
    ('bcp_internal.sessions_named', $rule$
        select r.session_id,
               (array_agg(r.user_id order by r.started_at) filter (where r.user_id is not null))[1],
               (array_agg(r.client_name order by r.started_at) filter (where r.client_name is not null))[1],
               (array_agg(r.client_version order by r.started_at) filter (where r.client_version is not null))[1],
               (array_agg(r.ip_address order by r.started_at) filter (where r.ip_address is not null))[1],
               (array_agg(r.user_agent order by r.started_at) filter (where r.user_agent is not null))[1],
               min(r.started_at), max(r.last_activity), max(r.ended_at), sum(r.tool_calls_count)::bigint,
               sum(r.errors_count)::bigint,
               (array_agg(r.attributes order by r.started_at) filter (where r.attributes is not null))[1],
               min(r.resolved_by), min(r.sent_by)
        from r
        group by 1
    $rule$, '{}', '{}'),
    ('bcp_internal.sessions_begun', $rule$
        select s.*
        from (select array_agg(distinct r.session_id) as ids from r) i
        cross join lateral bcp_internal.sessions_named(i.ids) s
        where i.ids <> '{}' and s.started_at >= p_since and s.started_at < p_until
    $rule$, '{}', '{}'),
    ('bcp_internal.session_of', $rule$
        select s.*
        from bcp_internal.sessions_named(array(
            select r.session_id from r order by r.last_activity desc, r.session_id limit 1)) s
    $rule$, '{}', '{}'),
    ('bcp_internal.session_events', $rule$
        select {columns} from r order by r.happened_at, r.ordinal, r.event_id limit p_limit
    $rule$, '{}', '{}'),
    ('bcp_internal.first_seen', 'select r.user_id, min(r.first_seen) from r group by 1', '{}', '{}'),
    ('bcp_internal.ingest', $rule$
        select * from bcp_internal.ingest_on_shards(p_kind, p_batch_id, p_events, p_source, p_unreadable)
    $rule$, '{}', '{}')
$func$;

comment on function bcp_internal.cell_rules is
    'What a head does in place of the functions that questions are made from. merge makes the answer from r, the rows '
    'that the same function returns on all shards; one without r asks no shard. given says what is sent in place of an '
    'argument, without which columns are not sent.';

create or replace function bcp_internal.question_rules()
returns table (routine text, merge text, given jsonb, without text[])
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    -- Every shard and this head end a range without an end at the same moment.
    select v.routine, v.merge,
           coalesce(v.given, '{"p_until": "coalesce(p_until, bcp_internal.now())"}')::jsonb, '{}'::text[]
    from (values
        ('bcp.failed_calls', $rule$
            select {columns} from r order by r.start_time desc, r.event_id limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        ('bcp.search_parameters', $rule$
            select {columns} from r order by r.start_time desc, r.event_id limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        ('bcp.find_calls', $rule$
            select {columns} from r order by r.start_time desc, r.event_id limit bcp_internal.checked_limit(p_limit)
        $rule$,
        '{"p_until": "case when p_event_id is null then coalesce(p_until, bcp_internal.now()) else p_until end"}'),
        ('bcp.slow_calls', $rule$
            select {columns} from r order by r.duration_ms desc, r.start_time desc, r.event_id
            limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        ('bcp.search_errors', $rule$
            select {columns} from r order by r.rank desc, r.happened_at desc, r.event_id
            limit bcp_internal.checked_limit(p_limit)
        $rule$,
        '{"p_until": "case when p_event_id is null then coalesce(p_until, bcp_internal.now()) else p_until end"}'),
        ('bcp.recent_calls', $rule$
            select {columns} from r order by r.stored_at desc, r.event_id limit bcp_internal.checked_limit(p_limit)
        $rule$, '{"p_since": "bcp_internal.checked_live_since(p_since, interval ''5 minutes'')"}'),
        ('bcp.live_metrics', $rule$
            , seconds as (
                select r.stored_at, sum(r.call_count)::bigint as calls from r group by 1
            )
            select {columns}
            from r
            join seconds s using (stored_at)
            where s.calls is distinct from p_known_calls[1 + extract(epoch from r.stored_at - date_trunc(
                'second', bcp_internal.checked_live_since(p_since, interval '1 minute')))::integer]
        $rule$,
        '{"p_since": "bcp_internal.checked_live_since(p_since, interval ''1 minute'')", "p_known_calls": "''{}''"}'),
        ('bcp.authentication_stats', $rule$
            select {columns} from r order by r.time_bucket desc, r.attempt_count desc, r.bcp_name, r.method
        $rule$, null),
        ('bcp.tool_retries', $rule$
            select {columns} from r order by r.failed_count desc, r.bcp_name, r.tool_name
            limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        ('bcp.missing_tools', $rule$
            select {columns} from r
            order by r.request_count desc, r.last_seen desc, r.bcp_name, bcp_internal.intent_words(r.intent)
            limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        -- Of equal rows of one tool, which are of one shard, the order there stays: that is what n is.
        ('bcp.tool_changes', $rule$
            select {columns} from r order by r.changed_at desc, r.bcp_name, r.tool_name, r.n
            limit bcp_internal.checked_limit(p_limit)
        $rule$, null),
        ('bcp.unused_tools', $rule$
            select {columns} from r order by r.context_bytes desc nulls last, r.bcp_name, r.tool_name
        $rule$, null),
        ('bcp.unknown_tools', $rule$
            select {columns} from r order by r.call_count desc, r.bcp_name, r.tool_name
        $rule$, null),
        ('bcp.erasure_plan', $rule$
            select r.table_name, sum(r.row_count)::bigint from r group by 1 order by min(r.n)
        $rule$, '{}'),
        ('bcp.rejection_reasons', $rule$
            select a.reason, sum(a.rejected)::bigint
            from bcp_internal.on_shards(
                'owner', 'reason text, rejected bigint', null,
                (select jsonb_object_agg(s.shard_name, format(
                     'select x.reason, x.rejected from bcp.rejection_reasons(%L) x',
                     bcp_internal.shard_batch(p_batch_id, s.shard_name)))
                 from bcp.shards s)) as a (shard text, reason text, rejected bigint)
            group by 1
            order by 2 desc, 1
        $rule$, '{}'),
        ('bcp.health', $rule$
            select c.check_name, c.status, c.value, c.detail
            from (
                select * from bcp_internal.store_checks()
                union all
                select * from bcp_internal.server_checks()
            ) c
            union all
            select h.* from bcp_internal.health_of_shards() h
        $rule$, '{}'),
        ('bcp.ingest_tool_usage(uuid,bcp.tool_call[],text)', $rule$
            select *
            from bcp_internal.ingest(
                'tool_usage', p_batch_id,
                case when p_calls is not null then coalesce((
                    select jsonb_agg(bcp_internal.write_tool_call(c.call) order by c.n)
                    from (select k, row_number() over () from unnest(p_calls) as k) as c (call, n)), '[]') end,
                p_source)
        $rule$, '{}')
    ) as v (routine, merge, given)
$func$;

comment on function bcp_internal.question_rules is
    'As bcp_internal.cell_rules, for public functions that shards answer as a whole.';

create or replace function bcp_internal.kept_on_head() returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    select array[
        -- Made from the functions of bcp_internal.cell_rules.
        'tool_usage_stats', 'latency_percentiles', 'success_and_error_rates', 'throughput', 'peak_usage_hours',
        'usage_breakdown', 'hourly_tool_usage', 'error_analysis', 'daily_error_summary', 'error_issues',
        'resolve_issue', 'reopen_issue', 'session_timeline', 'session_stats', 'top_users', 'active_users',
        'tool_sequences', 'intents', 'tool_trends', 'context_cost', 'latency_heatmap', 'latency_over_time',
        'usage_over_time', 'report_totals', 'alert_preview', 'ingest_tool_usage', 'ingest_errors', 'ingest_metrics',
        'ingest_sessions', 'log_tool_usage', 'log_error', 'record_metric', 'touch_session', 'end_session',
        -- About the head itself, which evaluates the alerts of all shards and has the key that they share.
        'active_alerts', 'acknowledge_alert', 'alert_history', 'put_alert_rule', 'delete_alert_rule',
        'snooze_alert_rule', 'snooze_alert', 'create_notification_channel', 'alter_notification_channel',
        'delete_notification_channel', 'test_notification_channel', 'notification_channels', 'notification_history',
        'create_api_token', 'revoke_api_token', 'api_tokens', 'hash_of', 'report_collector', 'apply_policies',
        'missing_shards', 'erase_user']
$func$;

comment on function bcp_internal.kept_on_head is 'Public functions that work on a head as they are.';
