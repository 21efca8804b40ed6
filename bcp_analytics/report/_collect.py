"""Asks the questions of a report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from bcp_analytics._render.tables import duration, percent, size
from bcp_analytics.queries import (
    ReportTotals,
    ToolUsageStats,
    UsageOverTime,
    health,
    report_totals,
    tool_usage_stats,
    usage_over_time,
)
from bcp_analytics.queries._alerts import active_alerts
from bcp_analytics.queries._errors import error_issues
from bcp_analytics.queries._sessions import session_stats, top_users
from bcp_analytics.queries._tools import context_cost, unknown_tools, unused_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from bcp_analytics.queries._alerts import ActiveAlert
    from bcp_analytics.queries._sessions import SessionStats

_TOP = 10
# From here on a change is a multiple: nobody reads +1666933 %.
_MANY_TIMES = 10
_MOST_TOOLS = 50
_MOST_BUCKETS = 100
_INTERVALS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(days=1),
    timedelta(days=7),
)


@dataclass(frozen=True, slots=True)
class Total:
    """One figure about the whole range."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A table: some columns of rows that are dataclasses."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Any]
    empty: str
    """What to say where there are no rows."""
    note: str = ""
    bar: str = ""
    """The column that is shown as a bar too, if any."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows."""

    since: datetime
    until: datetime
    zone: tzinfo
    interval: timedelta
    """Length of a bucket."""
    filters: dict[str, str]
    """Names of the bundle and tool that it is about, if it is not about all."""
    totals: list[Total]
    buckets: list[UsageOverTime]
    """In the order of time, also those without calls."""
    sections: list[Section]

    @property
    def call_count(self) -> int:
        """Calls of the range."""
        return sum(bucket.call_count for bucket in self.buckets)


@dataclass(frozen=True, slots=True)
class _Alert:
    severity: str
    rule: str
    about: str
    value: str
    threshold: str
    opened_at: datetime
    description: str | None


def collect(
    conn: Connection[Any],
    *,
    since: datetime,
    until: datetime,
    time_zone: str = "UTC",
    zone: tzinfo = UTC,
    bcp_name: str | None = None,
    tool_name: str | None = None,
) -> Report:
    """Ask everything about [since, until); days and hours begin as in `time_zone`, which `zone` is too.

    Raises what the questions raise: `InvalidArgument` where the range is reversed. Calls of a transaction in
    isolation level repeatable read see one state of the store.
    """
    interval = choose_interval(until - since)
    names: dict[str, Any] = {"bcp_name": bcp_name, "tool_name": tool_name}
    asked: dict[str, Any] = {"since": since, "until": until}
    filters = {name: value for name, value in names.items() if value is not None}
    tools = tool_usage_stats(conn, **asked, **names, interval=None)
    buckets = usage_over_time(conn, **asked, **names, interval=interval, time_zone=time_zone)
    [totals] = report_totals(conn, **asked, **names)
    # Sessions are of all bundles.
    clients = session_stats(conn, **asked, interval=None) if not filters else None
    return Report(
        since,
        until,
        zone,
        interval,
        filters,
        _totals(totals),
        buckets[::-1],
        [
            _alerts(active_alerts(conn, **names)),
            *_tools(tools),
            _errors(conn, asked | names),
            _users(conn, asked | names),
            *([_clients(clients)] if clients is not None else []),
            _context_cost(conn, asked | names),
            _unused(conn, asked, bcp_name, tool_name),
            _unknown(conn, asked, bcp_name, tool_name),
            _health(conn),
        ],
    )


def choose_interval(length: timedelta) -> timedelta:
    """Return the shortest interval that makes no more buckets than a chart can show; a week at most."""
    return next((step for step in _INTERVALS if length <= step * _MOST_BUCKETS), _INTERVALS[-1])


def _totals(of: ReportTotals) -> list[Total]:
    if of.call_change is None:
        change = "none before"
    elif of.call_change >= _MANY_TIMES - 1:
        change = f"{of.call_change + 1:,.0f} times the period before"
    else:
        change = f"{100 * of.call_change:+.0f} % on the period before"
    latency = [
        Total(name, "-" if value is None else duration(value), "duration of a call")
        for name, value in (
            ("p50", of.p50_duration_ms),
            ("p95", of.p95_duration_ms),
            ("p99", of.p99_duration_ms),
        )
    ]
    sessions = (
        [] if of.session_count is None else [Total("sessions", f"{of.session_count:,}", "began in the range")]
    )
    return [
        Total("calls", f"{of.call_count:,}", change),
        Total(
            "success rate",
            "-" if of.success_rate is None else percent(of.success_rate),
            f"{of.unknown_count:,} calls do not say" if of.unknown_count else "of calls",
        ),
        Total(
            "failed calls",
            f"{of.error_count:,}",
            "" if of.error_share is None else f"{percent(of.error_share)} of calls",
        ),
        *latency,
        Total("tools called", f"{of.tool_count:,}", f"of {of.bcp_count:,} bundles"),
        *sessions,
        Total("answers", size(of.response_bytes), "into the model's context"),
    ]


def _tools(tools: list[ToolUsageStats]) -> list[Section]:
    slow = sorted((t for t in tools if t.p95_duration_ms), key=lambda t: -(t.p95_duration_ms or 0))
    failing = sorted((t for t in tools if t.error_count), key=lambda t: t.success_rate or 0)
    name = ("bcp_name", "tool_name", "call_count")
    more = len(tools) - _MOST_TOOLS
    return [
        Section(
            "Tools",
            (
                *(*name, "success_rate", "avg_duration_ms"),
                *("p50_duration_ms", "p95_duration_ms", "p99_duration_ms"),
            ),
            tools[:_MOST_TOOLS],
            "No tool was called.",
            f"The most called; {more:,} more are not shown." if more > 0 else "",
            bar="call_count",
        ),
        Section(
            "Slowest tools",
            (*name, "p95_duration_ms", "p99_duration_ms", "max_duration_ms"),
            slow[:_TOP],
            "No call was timed.",
            bar="p95_duration_ms",
        ),
        Section(
            "Failing tools",
            (*name, "error_count", "success_rate"),
            failing[:_TOP],
            "No call failed.",
            "The lowest success rate first.",
            bar="error_count",
        ),
    ]


def _errors(conn: Connection[Any], asked: dict[str, Any]) -> Section:
    return Section(
        "What causes the errors",
        ("state", "level", "bcp_name", "tool_name", "error_type", "message", "error_count", "last_seen"),
        error_issues(conn, **asked, limit=_TOP),
        "No error was logged.",
        f"The {_TOP} most frequent causes; each message is the latest, masked.",
        bar="error_count",
    )


def _users(conn: Connection[Any], asked: dict[str, Any]) -> Section:
    return Section(
        "Who calls most",
        ("user_id", "call_count", "success_rate", "share", "response_bytes"),
        top_users(conn, **asked, limit=_TOP),
        "No call names its user.",
        bar="share",
    )


def _clients(clients: list[SessionStats]) -> Section:
    return Section(
        "Sessions by client",
        (
            *("client_name", "session_count", "user_count", "calls_per_session"),
            *("p50_duration_ms", "p95_duration_ms"),
        ),
        sorted(clients, key=lambda client: -client.session_count)[:_TOP],
        "No session began.",
        "p50 and p95 are of how long a session lasts.",
        bar="session_count",
    )


def _context_cost(conn: Connection[Any], asked: dict[str, Any]) -> Section:
    return Section(
        "What fills the model's context",
        (
            *("bcp_name", "tool_name", "call_count", "response_bytes", "avg_response_bytes"),
            *("share", "tokens"),
        ),
        context_cost(conn, **asked, limit=_TOP),
        "No call returned anything.",
        bar="share",
    )


def _unused(
    conn: Connection[Any], asked: dict[str, Any], bcp_name: str | None, tool_name: str | None
) -> Section:
    return Section(
        "Listed and never called",
        ("bcp_name", "tool_name", "listing_count", "last_listed", "context_bytes"),
        [] if tool_name else unused_tools(conn, **asked, bcp_name=bcp_name),
        "Not asked of a single tool." if tool_name else "Every tool that was listed was called.",
        "Each costs the model's context its bytes at every listing.",
    )


def _unknown(
    conn: Connection[Any], asked: dict[str, Any], bcp_name: str | None, tool_name: str | None
) -> Section:
    return Section(
        "Called and never listed",
        ("bcp_name", "tool_name", "call_count", "success_count", "error_count"),
        [] if tool_name else unknown_tools(conn, **asked, bcp_name=bcp_name),
        "Not asked of a single tool."
        if tool_name
        else "No tool was called that its bundle's lists do not have.",
    )


def _health(conn: Connection[Any]) -> Section:
    return Section(
        "Is the store well",
        ("status", "check_name", "value", "detail"),
        health(conn),
        "",
        "Now, whatever the range.",
    )


def _alerts(alerts: list[ActiveAlert]) -> Section:
    rows = [
        _Alert(
            alert.severity,
            alert.rule_name,
            ".".join(filter(None, (alert.bcp_name, alert.tool_name))) or "all calls",
            _metric(alert.metric, alert.value),
            _metric(alert.metric, alert.threshold),
            alert.opened_at,
            alert.description,
        )
        for alert in alerts
    ]
    columns = ("severity", "rule", "about", "value", "threshold", "opened_at", "description")
    return Section("Active alerts", columns, rows, "No alert is open.", "Now, whatever the range.")


def _metric(metric: str, value: float) -> str:
    match metric:
        case "avg_duration_ms":
            return f"mean {duration(value)}"
        case "success_rate":
            return f"{percent(value)} succeed"
        case "error_rate":
            return f"{percent(value)} fail"
        case "throughput":
            return f"{value:,.3g} calls/min"
        case _:
            return f"{value:,.3g} x the error budget"
