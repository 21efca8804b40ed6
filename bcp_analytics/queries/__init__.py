"""The questions: each function asks the SQL function of its name, and returns that one's rows.

What a function says of itself is the comment of its SQL function, in the words of Python.

All take a psycopg connection first, sync or async, and only keyword arguments after it:

    rows = tool_usage_stats(conn, since=datetime.now(UTC) - timedelta(days=7), bcp_name="mail")
    rows = await tool_usage_stats(aconn, bcp_name="mail")

Arguments have the names of the SQL function's parameters without `p_`; None stands for that one's default.
They mean the same everywhere:

- `since`, `until`: the range asked about, from `since` up to but not including `until`. By default it ends
  now and begins 24 hours before its end. A time without a zone is read as UTC, as in SQL.
- `bcp_name`, `tool_name`, `operation`, `level`, `user_id`, `session_id`, `client_name`, `client_version`,
  `client_model`, `release`, `outcome`: only what has this name. `failed`: True is calls whose success is
  false, False all others (succeeded, cancelled, unknown). Aggregates know bundles, tools and operations
  alone: with any other filter every raw row of the range is read. Lists of tools are no calls:
  `operation="tools/list"` asks for them.
- `interval`: the length of a bucket: a timedelta, or text that PostgreSQL reads as an interval, which can
  say "1 month"; None makes one bucket of the whole range. `time_zone`, such as "Europe/Berlin", is where days
  and hours begin.
- `limit`: how many rows there may be, from 1 to 10,000.

Times in answers are aware, in the time zone of the session. Names ending in `_ms` are milliseconds, in
`_bytes` bytes; rates and shares go from 0 to 1.

Nothing here commits or rolls back. All raise `InvalidArgument` where an argument is out of its bounds (a
reversed range, an interval of zero, an unknown time zone), `InvalidDocument` where text holds what PostgreSQL
cannot store, and psycopg's own errors for the rest, such as `InsufficientPrivilege` for a role without
bcp_reader.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from bcp_analytics._core.arguments import BreakdownColumn, IssueState
from bcp_analytics.queries._alerts import (
    ActiveAlert,
    NotificationAttempt,
    PastAlert,
    active_alerts,
    alert_history,
    notification_history,
)
from bcp_analytics.queries._calls import (
    Call,
    FailedCall,
    FoundCall,
    SlowCall,
    failed_calls,
    find_calls,
    search_parameters,
    slow_calls,
)
from bcp_analytics.queries._errors import ErrorIssue, FoundError, error_issues, search_errors
from bcp_analytics.queries._intents import (
    Intent,
    MissingTool,
    ToolChange,
    intents,
    missing_tools,
    tool_changes,
)
from bcp_analytics.queries._live import LiveMetric, RecentCall, live_metrics, recent_calls
from bcp_analytics.queries._report import ReportTotals, UsageOverTime, report_totals, usage_over_time
from bcp_analytics.queries._sessions import (
    ActiveUsers,
    AuthenticationStats,
    SessionEvent,
    SessionStats,
    ToolRetries,
    ToolSequence,
    TopUser,
    active_users,
    authentication_stats,
    session_stats,
    session_timeline,
    tool_retries,
    tool_sequences,
    top_users,
)
from bcp_analytics.queries._tools import (
    ContextCost,
    LatencyBand,
    LatencyOverTime,
    ToolTrend,
    UnknownTool,
    UnusedTool,
    context_cost,
    latency_heatmap,
    latency_over_time,
    tool_trends,
    unknown_tools,
    unused_tools,
)
from bcp_analytics.queries._usage import (
    DailyErrorSummary,
    ErrorAnalysis,
    HealthCheck,
    HourlyToolUsage,
    LatencyPercentile,
    PeakUsageHour,
    SuccessAndErrorRates,
    Throughput,
    ToolUsageStats,
    UsageBreakdown,
    daily_error_summary,
    error_analysis,
    health,
    hourly_tool_usage,
    latency_percentiles,
    peak_usage_hours,
    success_and_error_rates,
    throughput,
    tool_usage_stats,
    usage_breakdown,
)

__all__ = [
    "ActiveAlert",
    "ActiveUsers",
    "AuthenticationStats",
    "BreakdownColumn",
    "Call",
    "ContextCost",
    "DailyErrorSummary",
    "ErrorAnalysis",
    "ErrorIssue",
    "FailedCall",
    "FoundCall",
    "FoundError",
    "HealthCheck",
    "HourlyToolUsage",
    "Intent",
    "IssueState",
    "LatencyBand",
    "LatencyOverTime",
    "LatencyPercentile",
    "LiveMetric",
    "MissingTool",
    "NotificationAttempt",
    "PastAlert",
    "PeakUsageHour",
    "RecentCall",
    "ReportTotals",
    "SessionEvent",
    "SessionStats",
    "SlowCall",
    "SuccessAndErrorRates",
    "Throughput",
    "ToolChange",
    "ToolRetries",
    "ToolSequence",
    "ToolTrend",
    "ToolUsageStats",
    "TopUser",
    "UnknownTool",
    "UnusedTool",
    "UsageBreakdown",
    "UsageOverTime",
    "active_alerts",
    "active_users",
    "alert_history",
    "authentication_stats",
    "context_cost",
    "daily_error_summary",
    "error_analysis",
    "error_issues",
    "failed_calls",
    "find_calls",
    "health",
    "hourly_tool_usage",
    "intents",
    "latency_heatmap",
    "latency_over_time",
    "latency_percentiles",
    "live_metrics",
    "missing_tools",
    "notification_history",
    "peak_usage_hours",
    "recent_calls",
    "report_totals",
    "search_errors",
    "search_parameters",
    "session_stats",
    "session_timeline",
    "slow_calls",
    "success_and_error_rates",
    "throughput",
    "tool_changes",
    "tool_retries",
    "tool_sequences",
    "tool_trends",
    "tool_usage_stats",
    "top_users",
    "unknown_tools",
    "unused_tools",
    "usage_breakdown",
    "usage_over_time",
]
