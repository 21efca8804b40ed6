"""The analytics store for AI tool calls, in your own PostgreSQL.

`Collector` and `AsyncCollector` record from a program, in the background (`bcp_analytics.collector`).
Functions to send events are in `bcp_analytics.ingest`, questions in `bcp_analytics.queries`, upkeep in
`bcp_analytics.manage`, exceptions in `bcp_analytics.errors`, migrations in `bcp_analytics.migrate`. The first
four are here too.
"""

from bcp_analytics._arguments import ErrorLevel, Outcome
from bcp_analytics.collector import AsyncCollector, Collector, CollectorStats
from bcp_analytics.errors import (
    AnonymizerFailed,
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
from bcp_analytics.manage import (
    apply_policies,
    refresh_analytics_views,
    reopen_issue,
    resolve_issue,
    rotate_anonymization_key,
)
from bcp_analytics.queries import (
    DailyErrorSummary,
    ErrorAnalysis,
    HealthCheck,
    HourlyToolUsage,
    LatencyPercentile,
    ToolUsageStats,
    daily_error_summary,
    error_analysis,
    health,
    hourly_tool_usage,
    latency_percentiles,
    tool_usage_stats,
)
from bcp_analytics.queries_calls import (
    FailedCall,
    FoundCall,
    SlowCall,
    failed_calls,
    search_parameters,
    slow_calls,
)
from bcp_analytics.queries_errors import (
    ErrorIssue,
    FoundError,
    IssueState,
    error_issues,
    search_errors,
)

__version__ = "0.1.0"

__all__ = [
    "AnonymizerFailed",
    "AsyncCollector",
    "BcpAnalyticsError",
    "Collector",
    "CollectorStats",
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
    "LatencyPercentile",
    "MigrationError",
    "Outcome",
    "SlowCall",
    "ToolUsageStats",
    "UnsupportedServer",
    "apply_policies",
    "begin_tool_call",
    "daily_error_summary",
    "end_session",
    "end_tool_call",
    "error_analysis",
    "error_issues",
    "failed_calls",
    "health",
    "hourly_tool_usage",
    "ingest_errors",
    "ingest_metrics",
    "ingest_sessions",
    "ingest_tool_usage",
    "latency_percentiles",
    "log_error",
    "log_tool_usage",
    "record_metric",
    "refresh_analytics_views",
    "reopen_issue",
    "report_collector",
    "resolve_issue",
    "rotate_anonymization_key",
    "search_errors",
    "search_parameters",
    "slow_calls",
    "tool_usage_stats",
    "touch_session",
]
