"""The analytics store for AI tool calls, in your own PostgreSQL.

`Collector` and `AsyncCollector` record from a program, in the background (`bcp_analytics.collector`).
Functions to send events are in `bcp_analytics.ingest`, questions in `bcp_analytics.queries`, upkeep in
`bcp_analytics.upkeep`, exceptions in `bcp_analytics.errors`, migrations in `bcp_analytics.migrate`. The first
four are here too. The collector is loaded when it is used: it needs POSIX, all else runs anywhere.
"""

from typing import TYPE_CHECKING

from bcp_analytics._core.arguments import ErrorLevel, Outcome
from bcp_analytics._core.version import __version__
from bcp_analytics.errors import (
    AnonymizerFailed,
    ArchiveError,
    BcpAnalyticsError,
    InvalidArgument,
    InvalidBatch,
    InvalidDocument,
    InvalidSetting,
    MigrationError,
    UnsupportedServer,
)
from bcp_analytics.ingest import (
    IngestResult,
    begin_tool_call,
    end_session,
    end_tool_call,
    ingest_errors,
    ingest_metrics,
    ingest_sessions,
    ingest_tool_usage,
    log_error,
    log_tool_usage,
    record_metric,
    report_collector,
    touch_session,
)
from bcp_analytics.queries import (
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
from bcp_analytics.queries._alerts import ActiveAlert, active_alerts
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
from bcp_analytics.queries._errors import ErrorIssue, FoundError, IssueState, error_issues, search_errors
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
from bcp_analytics.upkeep import (
    ArchiveWanted,
    CleanupCount,
    CleanupStep,
    acknowledge_alert,
    anonymize_history,
    apply_policies,
    archives_wanted,
    cleanup_old_data,
    cleanup_plan,
    disable_anonymization_pack,
    enable_anonymization_pack,
    erase_user,
    find_erasure,
    hash_of,
    refresh_analytics_views,
    reopen_issue,
    resolve_issue,
    rotate_anonymization_key,
    run_cleanup,
)

if TYPE_CHECKING:
    from bcp_analytics.collector import AsyncCollector, Collector, CollectorStats

__all__ = [
    "ActiveAlert",
    "ActiveUsers",
    "AnonymizerFailed",
    "ArchiveError",
    "ArchiveWanted",
    "AsyncCollector",
    "AuthenticationStats",
    "BcpAnalyticsError",
    "Call",
    "CleanupCount",
    "CleanupStep",
    "Collector",
    "CollectorStats",
    "ContextCost",
    "DailyErrorSummary",
    "ErrorAnalysis",
    "ErrorIssue",
    "ErrorLevel",
    "FailedCall",
    "FoundCall",
    "FoundError",
    "HealthCheck",
    "HourlyToolUsage",
    "IngestResult",
    "InvalidArgument",
    "InvalidBatch",
    "InvalidDocument",
    "InvalidSetting",
    "IssueState",
    "LatencyBand",
    "LatencyOverTime",
    "LatencyPercentile",
    "MigrationError",
    "Outcome",
    "PeakUsageHour",
    "SessionEvent",
    "SessionStats",
    "SlowCall",
    "SuccessAndErrorRates",
    "Throughput",
    "ToolRetries",
    "ToolSequence",
    "ToolTrend",
    "ToolUsageStats",
    "TopUser",
    "UnknownTool",
    "UnsupportedServer",
    "UnusedTool",
    "UsageBreakdown",
    "__version__",
    "acknowledge_alert",
    "active_alerts",
    "active_users",
    "anonymize_history",
    "apply_policies",
    "archives_wanted",
    "authentication_stats",
    "begin_tool_call",
    "cleanup_old_data",
    "cleanup_plan",
    "context_cost",
    "daily_error_summary",
    "disable_anonymization_pack",
    "enable_anonymization_pack",
    "end_session",
    "end_tool_call",
    "erase_user",
    "error_analysis",
    "error_issues",
    "failed_calls",
    "find_calls",
    "find_erasure",
    "hash_of",
    "health",
    "hourly_tool_usage",
    "ingest_errors",
    "ingest_metrics",
    "ingest_sessions",
    "ingest_tool_usage",
    "latency_heatmap",
    "latency_over_time",
    "latency_percentiles",
    "log_error",
    "log_tool_usage",
    "peak_usage_hours",
    "record_metric",
    "refresh_analytics_views",
    "reopen_issue",
    "report_collector",
    "resolve_issue",
    "rotate_anonymization_key",
    "run_cleanup",
    "search_errors",
    "search_parameters",
    "session_stats",
    "session_timeline",
    "slow_calls",
    "success_and_error_rates",
    "throughput",
    "tool_retries",
    "tool_sequences",
    "tool_trends",
    "tool_usage_stats",
    "top_users",
    "touch_session",
    "unknown_tools",
    "unused_tools",
    "usage_breakdown",
]

_OF_THE_COLLECTOR = frozenset({"AsyncCollector", "Collector", "CollectorStats"})


def __getattr__(name: str) -> object:
    """Load the collector for those who use it."""
    if name in _OF_THE_COLLECTOR:
        from bcp_analytics import collector  # noqa: PLC0415

        return getattr(collector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those of the collector too."""
    return sorted({*globals(), *__all__})
