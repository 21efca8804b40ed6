# ruff: noqa: E501 - a clause of SQL stays on its line
"""The questions of benchmarks/questions.py: ours, and the same in SQL over the rows themselves.

One text serves DuckDB, chDB and, where their table has the columns, the requirements' design; what differs between
them is in benchmarks/question_dialects.py. An answer is compared by its keys; counts must be equal, and all other figures within 1 percent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import md5
from string import Template
from typing import Any
from uuid import UUID

from benchmarks.question_dialects import DIALECTS, SINCE
from benchmarks.question_rows import D90, NOW

ENGINES = ("duckdb", "chdb", "requirements")
# The event id of one call of every size.
EVENT = str(UUID(md5(b"7777", usedforsecurity=False).hexdigest()))


@dataclass(frozen=True)
class Question:
    """A question, and how to compare its answers."""

    name: str
    ours: str
    scan: str
    keys: int
    """How many columns an answer is compared by. 0: the first column in order, of a list of the most or latest."""
    exact: int = 0
    """How many columns after the keys must be equal."""
    theirs: bool = False
    """Whether the requirements' table can answer; of theirs only keys and exact columns are compared."""
    chdb: str | None = None
    aggregates: bool = False
    """Whether aggregates can answer, all but the last minutes."""
    loose: bool = False
    """Whether calls near a bound may count on its other side."""

    def sql(self, engine: str) -> str:
        text = self.chdb if engine == "chdb" and self.chdb is not None else self.scan
        return Template(text).substitute(DIALECTS[engine])


_FIGURES = (
    "call_count, success_count, error_count, avg_duration_ms, p50_duration_ms, p95_duration_ms, p99_duration_ms,"
    " max_duration_ms"
)
_SCANNED = "$n, $ok, $bad, avg(duration_ms), $p, max(duration_ms)"


def _range(since: str, until: str = NOW) -> str:
    return f"'{since}', '{until}'"


def _usage(
    name: str, since: str, bucket: str | None, where: str = "", filters: str = "", **more: bool
) -> Question:
    """Return a question of tool_usage_stats: in buckets of a day, an hour, or of a zone."""
    interval = {
        None: "null",
        "day": "'1 day'",
        "hour": "'1 hour'",
        "week_berlin": "'7 days'",
        "day_berlin": "'1 day'",
        "day_new_york": "'1 day'",
    }
    # Berlin is the store's time zone, of which days are ready, and New York is not.
    zones = {
        "week_berlin": "Europe/Berlin",
        "day_berlin": "Europe/Berlin",
        "day_new_york": "America/New_York",
    }
    zone = f", p_time_zone => '{zones[bucket]}'" if bucket in zones else ""
    first, scanned = ("time_bucket, ", f"${bucket} as bucket, ") if bucket else ("", "")
    ours = (
        f"select {first}bcp_name, tool_name, {_FIGURES}"
        f" from bcp.tool_usage_stats({_range(SINCE[since])}, {interval[bucket]}{filters}{zone})"
    )
    scan = (
        f"select {scanned}bcp_name, tool_name, {_SCANNED} from $calls where ${since}{where}"
        f" group by {'bucket, ' if bucket else ''}bcp_name, tool_name"
    )
    settings: dict[str, Any] = {"theirs": True, "aggregates": not where} | more
    return Question(name, ours, scan, 3 if bucket else 2, 3, **settings)


_SEQUENCES = (
    "with steps as (select bcp_name, tool_name, $next(bcp_name) over w as next_bcp, $next(tool_name) over w as next_tool,"
    " $gap as gap from $calls where $d90 and session_id is not null window w as ($w))"
    " select $n, bcp_name, tool_name, next_bcp, next_tool, avg(gap) from steps"
    " group by bcp_name, tool_name, next_bcp, next_tool order by 1 desc limit 50"
)
_ACTIVE = (
    "with seen as (select distinct {day} as day, user_id from {calls} where start_time >= {first}"
    " and operation <> 'tools/list' and user_id is not null),"
    " days as (select distinct day from seen where day >= {days})"
    " select d.day, count(distinct case when s.day = d.day then s.user_id end),"
    " count(distinct case when s.day > d.day - {week} then s.user_id end), count(distinct s.user_id)"
    " from days d join seen s on s.day <= d.day and s.day > d.day - {month} group by d.day"
)

_ASKED: tuple[Question, ...] = (
    _usage("dashboard_90d", "d90", None),
    _usage("per_tool_by_day_90d", "d90", "day"),
    _usage("by_week_berlin_90d", "d90", "week_berlin"),
    _usage("by_day_berlin_90d", "d90", "day_berlin"),
    _usage("by_day_new_york_90d", "d90", "day_new_york"),
    _usage("by_hour_7d", "d7", "hour"),
    _usage("last_24_hours", "d1", "hour"),
    _usage(
        "one_tool_by_hour_90d",
        "d90",
        "hour",
        " and tool_name = 'tool-7'",
        ", p_tool_name => 'tool-7'",
        aggregates=True,
    ),
    _usage("one_user_90d", "d90", None, " and $user_is_7", ", p_user_id => 'u7'"),
    _usage("one_session_90d", "d90", None, " and session_id = 's-77'", ", p_session_id => 's-77'"),
    _usage("one_client_90d", "d90", None, " and $client = 'client-2'", ", p_client_name => 'client-2'"),
    _usage("failed_only_90d", "d90", None, " and $failed", ", p_failed => true"),
    _usage(
        "timeouts_by_day_30d",
        "d30",
        "day",
        " and outcome = 'timeout'",
        ", p_outcome => 'timeout'",
        theirs=False,
    ),
    Question(
        "success_rates_by_day_90d",
        "select time_bucket, bcp_name, tool_name, call_count, success_count, error_count"
        f" from bcp.success_and_error_rates({_range(D90)}, '1 day')",
        "select $day as bucket, bcp_name, tool_name, $n, $ok, $bad from $calls where $d90"
        " group by bucket, bcp_name, tool_name",
        3,
        3,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "latency_percentiles_90d",
        "select bcp_name, tool_name, percentile, call_count, duration_ms"
        f" from bcp.latency_percentiles({_range(D90)}, '{{0.5,0.9,0.99}}')",
        "select bcp_name, tool_name, unnest([0.5, 0.9, 0.99]), count(duration_ms),"
        " unnest(quantile_disc(duration_ms, [0.5, 0.9, 0.99])) from $calls where $d90 group by bcp_name, tool_name",
        3,
        1,
        aggregates=True,
        chdb="select bcp_name, tool_name, z.1, n, z.2 from (select bcp_name, tool_name, count(duration_ms) as n,"
        " arrayJoin(arrayZip([0.5, 0.9, 0.99], quantilesExact(0.499999999, 0.899999999, 0.989999999)(duration_ms)))"
        " as z from $calls where $d90 group by bcp_name, tool_name)",
    ),
    Question(
        "throughput_by_hour_90d",
        f"select time_bucket, call_count, peak_calls_per_minute from bcp.throughput({_range(D90)}, '1 hour')",
        "with m as (select $hour as bucket, $minute as minute, $n as n from $calls where $d90 group by bucket, minute)"
        " select bucket, sum(n), max(n) from m group by bucket",
        1,
        2,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "peak_hours_berlin_90d",
        "select weekday, hour_of_day, call_count, peak_calls"
        f" from bcp.peak_usage_hours({_range(D90)}, true, p_time_zone => 'Europe/Berlin') where call_count > 0",
        "with hours as (select $hour as h, $n as n from $calls where $d90 group by h)"
        " select $isodow as d, $hour_of as o, sum(n), max(n) from hours group by d, o",
        2,
        2,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "models_compared_90d",
        f"select client_model, {_FIGURES} from bcp.usage_breakdown({_range(D90)})",
        f"select client_model, {_SCANNED} from $calls where $d90 group by client_model",
        1,
        3,
    ),
    Question(
        "hourly_tool_usage_24h",
        "select hour, bcp_name, tool_name, total_calls, successful_calls, avg_duration_ms, max_duration_ms,"
        f" p95_duration_ms from bcp.hourly_tool_usage({_range(SINCE['d1'])})",
        "select $hour as bucket, bcp_name, tool_name, $n, $ok, avg(duration_ms), max(duration_ms),"
        " quantile_disc(duration_ms, 0.95) from $calls where $whole_hours group by bucket, bcp_name, tool_name",
        3,
        2,
        aggregates=True,
        chdb="select $hour as bucket, bcp_name, tool_name, $n, $ok, avg(duration_ms), max(duration_ms),"
        " quantileExact(0.949999999)(duration_ms) from $calls where $whole_hours group by bucket, bcp_name, tool_name",
    ),
    Question(
        "usage_over_time_90d",
        "select time_bucket, call_count, success_count, error_count, p50_duration_ms, p95_duration_ms,"
        f" p99_duration_ms from bcp.usage_over_time({_range(D90)}, '1 day')",
        "select $day as bucket, $n, $ok, $bad, $p from $calls where $d90 group by bucket",
        1,
        3,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "latency_by_hour_30d",
        "select time_bucket, call_count, p50_duration_ms, p95_duration_ms, p99_duration_ms"
        f" from bcp.latency_over_time({_range(SINCE['d30'])}, '1 hour')",
        "select $hour as bucket, count(duration_ms), $p from $calls where $d30 group by bucket",
        1,
        1,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "latency_heatmap_7d",
        "select time_bucket, from_ms, call_count"
        f" from bcp.latency_heatmap({_range(SINCE['d7'])}, '1 hour', '{{10,50,100,500,1000,5000}}')",
        "select $hour as bucket, case when duration_ms < 10 then 0 when duration_ms < 50 then 10 when duration_ms < 100"
        " then 50 when duration_ms < 500 then 100 when duration_ms < 1000 then 500 when duration_ms < 5000 then 1000"
        " else 5000 end as band, $n from $calls where $d7 group by bucket, band",
        2,
        0,
        aggregates=True,
        loose=True,
    ),
    Question(
        "report_totals_30d",
        "select call_count, success_count, error_count, previous_call_count, bcp_count, tool_count,"
        f" p50_duration_ms, p95_duration_ms, p99_duration_ms from bcp.report_totals({_range(SINCE['d30'])})",
        "select $n, $ok, $bad, (select $n from $calls where $before), count(distinct bcp_name),"
        " count(distinct bcp_name || tool_name), $p from $calls where $d30",
        1,
        5,
        theirs=True,
        aggregates=True,
    ),
    Question(
        "tool_trends_30d",
        "select bcp_name, tool_name, call_count, previous_call_count, p50_duration_ms, previous_p95_duration_ms"
        f" from bcp.tool_trends({_range(SINCE['d30'])})",
        "select bcp_name, tool_name, count(*) filter (where $d30), count(*) filter (where $before),"
        " quantile_disc(duration_ms, 0.5) filter (where $d30), quantile_disc(duration_ms, 0.95) filter (where $before)"
        " from $calls where $both group by bcp_name, tool_name",
        2,
        2,
        aggregates=True,
        chdb="select bcp_name, tool_name, countIf($d30), countIf($before),"
        " quantileExactIf(0.499999999)(duration_ms, $d30), quantileExactIf(0.949999999)(duration_ms, $before)"
        " from $calls where $both group by bcp_name, tool_name",
    ),
    Question(
        "context_cost_90d",
        "select bcp_name, tool_name, call_count, response_bytes, tokens"
        f" from bcp.context_cost({_range(D90)}, p_limit => 1000)",
        "select bcp_name, tool_name, $n, sum(response_bytes),"
        " sum(coalesce(response_tokens * 1.0, response_bytes / 4.0)) from $calls where $d90_all"
        " group by bcp_name, tool_name",
        2,
        2,
        aggregates=True,
    ),
    Question(
        "top_users_90d",
        f"select call_count, user_id, success_count, error_count, share from bcp.top_users({_range(D90)})",
        "select $n as n, $user as u, $ok, $bad, $n / sum($n) over () from $calls where $d90 and user_id is not null"
        " group by u order by n desc limit 20",
        0,
        theirs=True,
        aggregates=True,
        chdb="select $n as n, $user as u, $ok, $bad, n / (select $n from $calls where $d90 and user_id is not null)"
        " from $calls where $d90 and user_id is not null group by u order by n desc limit 20",
    ),
    Question(
        "active_users_30d",
        f"select day, daily_users, weekly_users, monthly_users from bcp.active_users({_range(SINCE['d30'])})",
        _ACTIVE.format(
            day="date_trunc('day', start_time)",
            calls="$calls",
            first="timestamp '2026-09-22'",
            days="timestamp '2026-10-21'",
            week="interval 7 days",
            month="interval 30 days",
        ),
        1,
        3,
        aggregates=True,
        chdb="with seen as (select distinct toDate(start_time) as day, user_id from $calls"
        " where start_time >= toDateTime64('2026-09-22 00:00:00', 6, 'UTC') and operation <> 'tools/list'"
        " and user_id is not null)"
        " select toUnixTimestamp(toDateTime(on_day, 'UTC')), uniqExactIf(user_id, day = on_day),"
        " uniqExactIf(user_id, day > on_day - 7), uniqExact(user_id)"
        " from (select day, user_id, arrayJoin(arrayMap(n -> day + n, range(30))) as on_day from seen)"
        " where on_day between toDate('2026-10-21') and toDate('2026-11-20') group by on_day",
    ),
    Question(
        "session_stats_90d",
        "select time_bucket, client_name, session_count, user_count, ended_count, call_count, error_count,"
        " single_call_count, avg_duration_ms, p50_duration_ms, p95_duration_ms, max_duration_ms"
        f" from bcp.session_stats({_range(D90)})",
        "select date_trunc('day', started_at) as day, client_name, $n, count(distinct user_id),"
        " count(*) filter (where ended), sum(tool_calls_count), sum(errors_count),"
        " count(*) filter (where tool_calls_count = 1), avg(ms), quantile_disc(ms, 0.5), quantile_disc(ms, 0.95),"
        " max(ms) from sessions where $d90_sessions group by day, client_name",
        2,
        6,
        chdb="select toUnixTimestamp(toStartOfDay(started_at, 'UTC')) as day, client_name, $n, uniqExact(user_id),"
        " countIf(ended), sum(tool_calls_count), sum(errors_count), countIf(tool_calls_count = 1), avg(ms),"
        " quantileExact(0.499999999)(ms), quantileExact(0.949999999)(ms), max(ms)"
        " from bench.sessions where $d90_sessions group by day, client_name",
    ),
    Question(
        "tool_sequences_90d",
        "select pair_count, bcp_name, tool_name, next_bcp_name, next_tool_name, avg_gap_ms"
        f" from bcp.tool_sequences({_range(D90)})",
        _SEQUENCES,
        0,
        theirs=True,
    ),
    Question(
        "slow_calls_90d",
        "select duration_ms, start_time, bcp_name, tool_name, outcome, user_id, session_id"
        f" from bcp.slow_calls({_range(D90)}, p_limit => 20)",
        "select duration_ms, start_time, bcp_name, tool_name, success, user_id, session_id"
        " from $calls where $d90 and duration_ms >= 5000 order by duration_ms desc limit 20",
        0,
        theirs=True,
    ),
    Question(
        "failed_calls_of_user_90d",
        "select duration_ms, start_time, tool_name, outcome, parameters"
        f" from bcp.find_calls({_range(D90)}, p_user_id => 'u7', p_failed => true)",
        "select duration_ms, start_time, tool_name, success, parameters"
        " from $calls where $d90 and $user_is_7 and $failed order by start_time desc limit 50",
        0,
        theirs=True,
    ),
    Question(
        "failed_calls_latest",
        f"select duration_ms, start_time, tool_name, outcome, parameters from bcp.failed_calls({_range(D90)})",
        "select duration_ms, start_time, tool_name, success, parameters"
        " from $calls where $d90 and $failed order by start_time desc limit 50",
        0,
        theirs=True,
    ),
    Question(
        "one_call",
        f"select duration_ms, start_time, tool_name, parameters from bcp.find_calls(p_event_id => '{EVENT}')",
        f"select duration_ms, start_time, tool_name, parameters from $calls where event_id = '{EVENT}'",
        0,
    ),
    Question(
        "search_parameters_90d",
        "select duration_ms, start_time, tool_name, parameters"
        f""" from bcp.search_parameters('{{"path": "/srv/data/1234"}}', null, {_range(D90)})""",
        "select duration_ms, start_time, tool_name, parameters from $calls"
        " where $d90 and $path = '/srv/data/1234' order by start_time desc limit 50",
        0,
    ),
    Question(
        "unknown_tools_90d",
        f"select bcp_name, tool_name, call_count, success_count, error_count from bcp.unknown_tools({_range(D90)})",
        "with listed as (select distinct bcp_name, unnest(listed::json ->> '$$.tools[*].name') as name from $calls"
        " where $d90_all and operation = 'tools/list')"
        " select bcp_name, tool_name, $n, $ok, $bad from $calls c where $d90"
        " and bcp_name in (select bcp_name from listed)"
        " and (bcp_name, tool_name) not in (select (bcp_name, name) from listed) group by bcp_name, tool_name",
        2,
        3,
        chdb="with listed as (select distinct bcp_name, JSONExtractString(arrayJoin(JSONExtractArrayRaw("
        "assumeNotNull(listed), 'tools')), 'name') as name from $calls where $d90_all and operation = 'tools/list')"
        " select bcp_name, tool_name, $n, $ok, $bad from $calls where $d90"
        " and bcp_name in (select bcp_name from listed)"
        " and (bcp_name, tool_name) not in (select bcp_name, name from listed) group by bcp_name, tool_name",
    ),
    Question(
        "error_analysis_90d",
        "select level::text, bcp_name, tool_name, error_type, error_count, issue_count"
        f" from bcp.error_analysis({_range(D90)})",
        "select level, bcp_name, tool_name, error_type, $n, count(distinct fingerprint) from errors"
        " where $d90_errors group by level, bcp_name, tool_name, error_type",
        4,
        2,
        aggregates=True,
    ),
    Question(
        "error_issues_30d",
        "select error_count, previous_count, fingerprint, state, message"
        f" from bcp.error_issues({_range(SINCE['d30'])})",
        "select count(*) filter (where $d30_errors) as n, count(*) filter (where $before_errors), fingerprint,"
        " max(message) from errors where $both_errors group by fingerprint order by n desc limit 50",
        0,
        aggregates=True,
        chdb="select countIf($d30_errors) as n, countIf($before_errors), fingerprint, max(message)"
        " from bench.errors where $both_errors group by fingerprint order by n desc limit 50",
    ),
    Question(
        "errors_by_day_90d",
        "select day, level::text, bcp_name, tool_name, error_type, total_errors, issues"
        f" from bcp.daily_error_summary({_range(D90)})",
        "select date_trunc('day', happened_at) as day, level, bcp_name, tool_name, error_type, $n,"
        " count(distinct fingerprint) from errors where $whole_days_errors"
        " group by day, level, bcp_name, tool_name, error_type",
        5,
        2,
        aggregates=True,
        chdb="select toUnixTimestamp(toStartOfDay(happened_at, 'UTC')) as day, level, bcp_name, tool_name, error_type,"
        " $n, count(distinct fingerprint) from bench.errors where $whole_days_errors"
        " group by day, level, bcp_name, tool_name, error_type",
    ),
)
QUESTIONS: tuple[Question, ...] = tuple(
    replace(q, chdb=q.scan.replace(" from errors", " from bench.errors"))
    if q.chdb is None and " from errors" in q.scan
    else q
    for q in _ASKED
)
