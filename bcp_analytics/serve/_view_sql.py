"""The views' SQL: each reads public tables, views and questions, and takes what stands in %(...)s."""

from __future__ import annotations

from typing import LiteralString

CALL: LiteralString = """\
select
    start_time, end_time, created_at, duration_ms, event_id, bcp_name, tool_name, operation, success, outcome,
    error_type, error_message, parameters, response_data, request_bytes, response_bytes, response_tokens, user_id,
    session_id, request_id, trace_id, client_name, client_version, client_model, release, intent,
    ip_address::text, user_agent, attributes, suspect_success
from bcp.tool_usage_logs
where start_time = %(at)s and event_id = %(id)s"""

_OF_TOOLS: LiteralString = """\
bcp_internal.filters(
        p_bcp_name => %(bcp_name)s, p_tool_name => %(tool_name)s, p_client_name => %(client_name)s,
        p_release => %(release)s)"""

# Percentiles of 100,000 tools take seconds. Those of a page of tools do not, unless tools are sorted by them. Nor do
# those that a search finds: it is a filter of the scans.
TOOL_LIST: LiteralString = (
    """\
with page as materialized (
    select
        row_number() over (order by
            (case %(sort)s
                when 'calls' then f.call_count
                when 'change' then f.call_change
                when 'errors' then f.error_count
                when 'success' then f.success_rate
                when 'p50' then f.p50_duration_ms
                when 'p95' then f.p95_duration_ms
                when 'p99' then f.p99_duration_ms
                when 'slower' then f.p95_change
                when 'answers' then f.response_bytes
            end)::double precision * case when %(ascending)s then 1 else -1 end nulls last,
            case when %(sort)s = 'name' and not %(ascending)s then f.bcp_name || '.' || f.tool_name end desc,
            f.bcp_name, f.tool_name) as place,
        f.bcp_name, f.tool_name, count(*) over () as tool_count
    from bcp_internal.compared_tools(
        %(since)s, %(until)s, """
    + _OF_TOOLS
    + """ || jsonb_strip_nulls(jsonb_build_object('search', %(search)s)),
        coalesce(%(sort)s in ('p50', 'p95', 'p99', 'slower'), false), coalesce(%(sort)s = 'slower', false)) as f
    order by place
    limit %(limit)s offset %(offset)s
)
select f.*, p.tool_count
from page as p
join bcp_internal.compared_tools(
    %(since)s, %(until)s, """
    + _OF_TOOLS
    + """ || jsonb_build_object(
        'tools', (select coalesce(jsonb_agg(jsonb_build_array(bcp_name, tool_name)), '[]') from page)),
    true, true) as f using (bcp_name, tool_name)
order by p.place"""
)

# One row per tool that is among the first of any of the lists.
TOOL_RANKS: LiteralString = (
    """\
select *
from (
    select
        f.*, count(*) over () as tool_count,
        row_number() over (order by f.call_count desc, f.bcp_name, f.tool_name) as by_calls,
        row_number() over (order by f.p95_duration_ms desc nulls last, f.bcp_name, f.tool_name) as by_p95,
        row_number() over (order by f.error_count desc, f.bcp_name, f.tool_name) as by_errors,
        row_number() over (order by
            bcp_internal.tool_change_score(
                f.call_count, f.previous_call_count, f.p95_duration_ms, f.previous_p95_duration_ms, f.success_rate,
                f.previous_success_rate) desc nulls last, f.bcp_name, f.tool_name) as by_change
    from bcp_internal.compared_tools(
        %(since)s, %(until)s, """
    + _OF_TOOLS
    + """,
        true, true) as f
) as r
where least(r.by_calls, r.by_p95, r.by_errors, r.by_change) <= %(limit)s"""
)

BEFORE: LiteralString = """\
select s.bcp_name, s.tool_name, s.pair_count, s.share, s.avg_gap_ms
from bcp.tool_sequences(%(since)s, %(until)s, p_limit => 10000) as s
where s.next_bcp_name = %(bcp_name)s and s.next_tool_name = %(tool_name)s
order by s.pair_count desc
limit %(limit)s"""

# What one row of bcp.tool_sequences counts: calls of a tool after which the session goes on with the next, or ends.
SEQUENCE_CALLS: LiteralString = """\
select
    f.start_time, f.bcp_name, f.tool_name, f.operation, f.outcome, f.error_type, f.duration_ms, f.response_bytes,
    f.user_id, f.session_id, f.client_name, f.event_id
from (
    select l.*, lead(l.bcp_name) over w as next_bcp_name, lead(l.tool_name) over w as next_tool_name
    from bcp_internal.calls(%(since)s, %(until)s, '{}') as l
    where l.session_id in (
        select c.session_id
        from bcp_internal.calls(
            %(since)s, %(until)s,
            bcp_internal.filters(p_bcp_name => %(bcp_name)s, p_tool_name => %(tool_name)s)) as c
    )
    window w as (partition by l.session_id order by l.start_time, l.event_id)
) as f
where f.bcp_name = %(bcp_name)s and f.tool_name = %(tool_name)s
  and f.next_bcp_name is not distinct from %(next_bcp_name)s
  and f.next_tool_name is not distinct from %(next_tool_name)s
order by f.start_time desc, f.event_id
limit %(limit)s offset %(offset)s"""

CAUSES: LiteralString = """\
select
    l.outcome, l.error_type, count(*) as call_count, max(l.start_time) as last_seen,
    (array_agg(left(l.error_message, 500) order by l.start_time desc))[1] as error_message
from bcp.tool_usage_logs l
where l.success is false
  and l.start_time >= %(since)s and l.start_time < %(until)s
  and l.bcp_name = %(bcp_name)s and l.tool_name = %(tool_name)s
group by l.outcome, l.error_type
order by call_count desc
limit %(limit)s"""

# What one row of CAUSES counts.
CAUSE_CALLS: LiteralString = """\
select
    l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.error_type, l.error_message, l.duration_ms,
    l.response_bytes, l.user_id, l.session_id, l.client_name, l.event_id
from bcp.tool_usage_logs l
where l.success is false
  and l.start_time >= %(since)s and l.start_time < %(until)s
  and l.bcp_name = %(bcp_name)s and l.tool_name = %(tool_name)s
  and l.outcome is not distinct from %(outcome)s and l.error_type is not distinct from %(error_type)s
order by l.start_time desc, l.event_id
limit %(limit)s offset %(offset)s"""

# What listing_count of bcp.unused_tools counts: each time that a list names the tool.
LISTING_CALLS: LiteralString = """\
select
    l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.error_type, l.duration_ms, l.response_bytes,
    l.user_id, l.session_id, l.client_name, l.event_id
from bcp.tool_usage_logs l
cross join lateral jsonb_path_query(
    l.response_data, '$.tools[*] ? (@.name == $name)', jsonb_build_object('name', %(tool_name)s)) as t
where l.operation = 'tools/list' and l.bcp_name = %(bcp_name)s
  and l.start_time >= %(since)s and l.start_time < %(until)s
order by l.start_time desc, l.event_id
limit %(limit)s offset %(offset)s"""

# What call_count of bcp.alert_preview counts, from its counted_from until its counted_until.
RULE_CALLS: LiteralString = """\
select
    l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.error_type, l.error_message, l.duration_ms,
    l.response_bytes, l.user_id, l.session_id, l.client_name, l.event_id
from bcp_internal.calls(
    %(since)s, %(until)s, bcp_internal.filters(%(bcp_name)s, %(tool_name)s, %(operation)s)) as l
where case %(metric)s
    when 'throughput' then true
    when 'avg_duration_ms' then l.duration_ms is not null
    else l.success is not null
end
order by l.start_time desc, l.event_id
limit %(limit)s offset %(offset)s"""

# is_new tells a release that came in the range from one that was called in the period before too.
RELEASES: LiteralString = """\
select
    l.bcp_name, l.release, min(l.start_time) filter (where l.start_time >= %(since)s) as first_seen,
    min(l.start_time) >= %(since)s as is_new, count(*) filter (where l.start_time >= %(since)s) as call_count
from bcp.tool_usage_logs l
where l.release is not null
  and l.start_time >= %(since)s - (%(until)s - %(since)s) and l.start_time < %(until)s
  and (%(bcp_name)s is null or l.bcp_name = %(bcp_name)s)
  and (%(tool_name)s is null or l.tool_name = %(tool_name)s)
group by l.bcp_name, l.release
having max(l.start_time) >= %(since)s
order by first_seen desc
limit %(limit)s"""

CHOICES: LiteralString = """\
(select 'bundle' as kind, u.bcp_name as name, u.call_count as weight
from bcp.usage_breakdown(%(since)s, %(until)s, '{bcp_name}') as u
order by weight desc limit %(limit)s)
union all
(select 'client', s.client_name, sum(s.tool_calls_count)::bigint as weight
from bcp.user_sessions s
where s.client_name is not null and s.last_activity >= %(since)s
group by s.client_name order by weight desc limit %(limit)s)"""

SESSIONS: LiteralString = """\
select
    s.session_id, s.user_id, s.client_name, s.client_version, s.started_at, s.last_activity, s.ended_at,
    bcp_internal.session_duration_ms(s.started_at, s.last_activity, s.ended_at) as duration_ms,
    s.tool_calls_count as call_count, s.errors_count as error_count, s.resolved_by
from bcp.user_sessions s
where s.last_activity >= %(since)s and s.started_at < %(until)s
  and (%(client_name)s is null or coalesce(s.client_name, '') = %(client_name)s)
  and (%(user_id)s is null or s.user_id = %(user_id)s or %(user_id)s = '' and s.user_id is null)
  and (not %(begun)s or s.started_at >= %(since)s)
  and (not %(single)s or s.tool_calls_count = 1)
  and (not %(failed)s or s.errors_count > 0)
  and (%(search)s is null or strpos(lower(s.session_id), lower(%(search)s)) > 0)
order by
    case %(sort)s
        when 'calls' then s.tool_calls_count::double precision
        when 'errors' then s.errors_count::double precision
        when 'duration' then bcp_internal.session_duration_ms(s.started_at, s.last_activity, s.ended_at)
        else extract(epoch from s.last_activity)::double precision
    end desc, s.session_id
limit %(limit)s offset %(offset)s"""

# What user_count of bcp.session_stats counts.
SESSION_USERS: LiteralString = """\
select
    s.user_id, count(*) as session_count, sum(s.errors_count)::bigint as error_count,
    max(s.last_activity) as last_activity, count(*) over () as user_count
from bcp.user_sessions s
where s.last_activity >= %(since)s and s.started_at >= %(since)s and s.started_at < %(until)s
  and s.user_id is not null
  and (%(client_name)s is null or coalesce(s.client_name, '') = %(client_name)s)
group by s.user_id
order by session_count desc, s.user_id
limit %(limit)s offset %(offset)s"""

SESSION: LiteralString = """\
select
    s.session_id, s.user_id, s.client_name, s.client_version, s.started_at, s.last_activity, s.ended_at,
    s.tool_calls_count as call_count, s.errors_count as error_count, s.resolved_by
from bcp.user_sessions s
where s.session_id = %(session_id)s"""

TIMELINE: LiteralString = """\
select
    t.happened_at, t.since_previous_ms, t.kind, t.bcp_name, t.tool_name, t.operation, t.duration_ms, t.outcome, t.level,
    t.error_type, t.message, t.request_bytes, t.response_bytes, t.context_bytes, t.in_loop, t.event_id
from bcp_internal.session_steps(%(session_id)s, %(limit)s) as t
order by t.step"""

ISSUE: LiteralString = """\
select
    i.fingerprint, i.level::text as level, i.bcp_name, i.tool_name, i.error_type, i.message, i.events as total_count,
    i.first_seen, i.last_seen, a.action, a.acted_at, a.acted_by, a.release as resolved_release, a.notes,
    bcp_internal.issue_state(
        i.fingerprint, i.first_seen, i.last_seen, %(since)s, a.action, a.acted_at, a.release) as state
from bcp.error_issues i
left join lateral (
    select * from bcp.issue_actions x where x.fingerprint = i.fingerprint order by x.action_id desc limit 1
) as a on true
where i.fingerprint = %(fingerprint)s"""

# Whatever the range, so that an issue of last month still shows what it was.
ISSUE_LATEST: LiteralString = """\
select
    e."timestamp" as happened_at, e.level::text as level, e.message, e.error_type, e.error_code, e.stack_trace,
    e.bcp_name, e.tool_name, e.operation, e.context, e.tool_context, e.attributes, e.user_id, e.session_id,
    e.request_id, e.trace_id, e.release, e.event_id
from bcp.error_logs e
join bcp.error_issues i on i.fingerprint = e.fingerprint
where e.fingerprint = %(fingerprint)s
  and e."timestamp" between i.first_seen and i.last_seen
order by e."timestamp" desc
limit %(limit)s"""

# What an issue is spread over: the name of its tool, client or release.
_SPREAD_NAME: LiteralString = """\
e.bcp_name || coalesce('.' || e.tool_name, '') as tool, s.client_name as client, e.release"""

ISSUE_ERRORS: LiteralString = (
    """\
select *
from (
    select
        e."timestamp" as happened_at, e.level::text as level, e.message, e.error_type, e.bcp_name, e.tool_name,
        e.user_id, e.session_id, e.request_id, e.trace_id, e.event_id,
        """
    + _SPREAD_NAME
    + """
    from bcp.error_logs e
    left join bcp.user_sessions s on s.session_id = e.session_id
    where e.fingerprint = %(fingerprint)s and e."timestamp" >= %(since)s and e."timestamp" < %(until)s
) as f
where %(by)s is null
    or case %(by)s when 'tool' then f.tool when 'client' then f.client when 'release' then f.release end
        is not distinct from %(name)s
order by f.happened_at desc, f.event_id
limit %(limit)s offset %(offset)s"""
)

ISSUE_OVER_TIME: LiteralString = """\
select public.time_bucket(%(interval)s::interval, e."timestamp") as time_bucket, count(*) as error_count
from bcp.error_logs e
where e.fingerprint = %(fingerprint)s and e."timestamp" >= %(since)s and e."timestamp" < %(until)s
group by 1
order by 1 desc"""

ISSUE_SPREAD: LiteralString = (
    """\
with f as materialized (
    select
        """
    + _SPREAD_NAME
    + """
    from bcp.error_logs e
    left join bcp.user_sessions s on s.session_id = e.session_id
    where e.fingerprint = %(fingerprint)s and e."timestamp" >= %(since)s and e."timestamp" < %(until)s
)
select * from (
    select 'tool' as kind, f.tool as name, count(*) as error_count from f group by 2
    union all
    select 'release', f.release, count(*) from f group by 2
    union all
    select 'client', f.client, count(*) from f group by 2
) as k
order by k.kind, k.error_count desc, k.name
limit %(limit)s"""
)

ISSUE_ACTIONS: LiteralString = """\
select a.acted_at, a.action, a.release, a.notes, a.acted_by
from bcp.issue_actions a
where a.fingerprint = %(fingerprint)s
order by a.action_id desc
limit %(limit)s"""

ALERT_RULES: LiteralString = """\
select
    r.rule_name, r.metric, r.fires, r.threshold, r.clear_threshold, r.lookback::text as lookback,
    r.short_lookback::text as short_lookback, r.objective, r.min_calls, r.for_at_least::text as for_at_least, r.scope,
    r.bcp_name, r.tool_name, r.operation, r.severity, r.enabled, r.description, r.last_error,
    r.snoozed_until
from bcp.alert_rules r
order by r.rule_name"""

LEDGER: LiteralString = """\
select
    l.source, sum(l.accepted)::bigint as accepted, sum(l.stored)::bigint as stored,
    sum(l.duplicates)::bigint as duplicates, sum(l.rejected)::bigint as rejected, sum(l.repaired)::bigint as repaired,
    max(l.hour) as last_hour
from bcp.ingest_ledger l
where l.hour >= public.time_bucket('1 hour', %(since)s) and l.hour < %(until)s
group by l.source
order by accepted desc
limit %(limit)s"""

REJECTIONS: LiteralString = """\
select r.reason_code, r.reason, r.kind, r.source, count(*) as event_count, max(r.rejected_at) as last_rejected
from bcp.rejected_events r
where r.rejected_at >= %(since)s and r.rejected_at < %(until)s
group by r.reason_code, r.reason, r.kind, r.source
order by event_count desc
limit %(limit)s"""

REJECTED: LiteralString = """\
select r.rejected_at, r.kind, r.source, r.reason_code, r.reason, r.event, r.event_bytes
from bcp.rejected_events r
where r.rejected_at >= %(since)s and r.rejected_at < %(until)s
order by r.rejected_at desc
limit %(limit)s"""

COLLECTORS: LiteralString = """\
select
    c.source, c.recorded, c.sent, c.spooled, c.spooled_bytes, c.dropped, c.last_error, c.last_error_at, c.started_at,
    c.reported_at
from bcp.collector_reports c
where c.reported_at >= %(since)s
order by c.reported_at desc
limit %(limit)s"""

LAG: LiteralString = """\
select
    max(l.start_time) as last_start, max(l.created_at) as last_stored,
    percentile_cont(0.5) within group (order by extract(epoch from l.created_at - coalesce(l.end_time, l.start_time)))
        as p50_lag_s,
    percentile_cont(0.99) within group (order by extract(epoch from l.created_at - coalesce(l.end_time, l.start_time)))
        as p99_lag_s
from (
    select * from bcp.tool_usage_logs where created_at >= %(since)s order by created_at desc limit 1000
) as l"""

ANY_CALL: LiteralString = "select exists (select from bcp.tool_usage_logs) as any_call"

_LOG_IN_NAMES: LiteralString = """\
with names as (
    select btrim(lower(n)) as name from string_to_table(bcp_internal.setting('login_names'), ',') as n
)
"""
_LOG_IN_CALLS: LiteralString = """\
l.start_time >= %(since)s and l.start_time < %(until)s
      and l.operation <> 'tools/list'
      and l.bcp_name = %(bcp_name)s and l.tool_name = %(method)s
      and (lower(l.operation) in (select name from names) or lower(l.tool_name) in (select name from names))"""

# What one row of bcp.authentication_stats counts. Those by token are no calls, and have no event_id.
LOG_INS: LiteralString = (
    _LOG_IN_NAMES
    + """\
select *
from (
    select
        l.start_time as happened_at, l.bcp_name, l.tool_name as method, l.success, l.outcome, l.error_type,
        1::bigint as attempts, l.user_id as who, l.ip_address::text as network, l.event_id
    from bcp.tool_usage_logs l
    where """
    + _LOG_IN_CALLS
    + """
    union all
    select
        t.happened_at, t.bcp_name, t.method, t.success, null, t.error_type, t.attempts, t.caller, t.network, null
    from bcp_internal.token_log_ins(%(since)s, %(until)s) as t
    where t.bcp_name = %(bcp_name)s and t.method = %(method)s
) as f
where (not %(failed)s or f.success is false)
  and (%(user_id)s is null or f.who = %(user_id)s)
order by f.happened_at desc, f.event_id
limit %(limit)s offset %(offset)s"""
)

# What user_count of bcp.authentication_stats counts: users who got in. A token names none.
LOG_IN_USERS: LiteralString = (
    _LOG_IN_NAMES
    + """\
select
    l.user_id, count(*) as attempts, count(*) filter (where not l.success) as failures,
    max(l.start_time) as last_attempt, count(*) over () as user_count
from bcp.tool_usage_logs l
where """
    + _LOG_IN_CALLS
    + """
  and l.user_id is not null
group by l.user_id
having bool_or(l.success)
order by attempts desc, l.user_id
limit %(limit)s offset %(offset)s"""
)

# A server adds what it has ignored once a minute. Whoever may write can send a metric of this name too.
OTLP_IGNORED: LiteralString = """\
select
    m.labels ->> 'signal' as signal, m.labels ->> 'reason' as reason,
    sum(least(greatest(m.metric_value, 0), 1e9))::bigint as record_count, max(m."timestamp") as last_ignored
from bcp.performance_metrics m
where m.metric_name = 'bcp_otlp_ignored' and m."timestamp" >= %(since)s and m."timestamp" < %(until)s
group by 1, 2
order by record_count desc, reason
limit %(limit)s"""
