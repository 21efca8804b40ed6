"""Questions about usage, durations, errors, health: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from bcp_analytics._core.arguments import ErrorLevel, Id, Outcome  # noqa: TC001 - found at run time
from bcp_analytics._core.function import question

if TYPE_CHECKING:
    from collections.abc import Sequence

BreakdownColumn = Literal["bcp_name", "tool_name", "client_name", "client_version", "client_model", "release"]


@dataclass(frozen=True, slots=True)
class ToolUsageStats:
    """Calls of one tool in one bucket of time; durations are None where no call of them was timed."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    bcp_name: str
    tool_name: str
    call_count: int
    success_count: int
    error_count: int
    """Calls that failed; one that does not say how it went counts neither here nor as a success."""
    success_rate: float | None
    """success_count / (success_count + error_count), None where both are 0."""
    avg_duration_ms: float | None
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None
    max_duration_ms: float | None
    request_bytes: int
    response_bytes: int


@dataclass(frozen=True, slots=True)
class LatencyPercentile:
    """One percentile of one tool's durations, within 1 percent of exact."""

    bcp_name: str
    tool_name: str
    percentile: float
    """As asked for: 0.95 is the 95th."""
    duration_ms: float
    call_count: int
    """Calls with a known duration."""


@dataclass(frozen=True, slots=True)
class SuccessAndErrorRates:
    """How the calls of one tool in one bucket of time went; rates are None where no call of them says."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    bcp_name: str
    tool_name: str
    call_count: int
    success_count: int
    error_count: int
    unknown_count: int
    """Calls that do not say how they went; the rates leave them out."""
    success_rate: float | None
    error_rate: float | None


@dataclass(frozen=True, slots=True)
class Throughput:
    """Load in one bucket of time."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    call_count: int
    calls_per_minute: float
    """Mean over the part of the bucket that lies in the range."""
    peak_calls_per_minute: int
    """The most in one clock minute."""
    peak_minute: datetime
    """Start of the first minute with that many."""


@dataclass(frozen=True, slots=True)
class PeakUsageHour:
    """Load in one hour of the day, or of the week."""

    weekday: int | None
    """1 is Monday; None where days of the week were not told apart."""
    hour_of_day: int
    """0 to 23, in the time zone asked for."""
    call_count: int
    share: float | None
    """Of all the calls in the answer, None where there are none."""
    calls_per_hour: float
    """Mean over the hours of this kind in the range."""
    peak_calls: int
    """The most in one such hour."""
    peak_hour: datetime | None
    """Start of the first with that many, None where there were no calls."""


@dataclass(frozen=True, slots=True)
class UsageBreakdown:
    """Calls with the same values of the columns asked for; the other ones of the first six are None."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    bcp_name: str | None
    tool_name: str | None
    client_name: str | None
    client_version: str | None
    client_model: str | None
    release: str | None
    call_count: int
    success_count: int
    error_count: int
    success_rate: float | None
    """success_count / (success_count + error_count), None where both are 0."""
    avg_duration_ms: float | None
    """None where no call was timed, as all durations."""
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None
    max_duration_ms: float | None
    request_bytes: int
    response_bytes: int


@dataclass(frozen=True, slots=True)
class HourlyToolUsage:
    """Calls of one tool that began in one hour."""

    hour: datetime
    bcp_name: str
    tool_name: str
    total_calls: int
    successful_calls: int
    avg_duration_ms: float | None
    max_duration_ms: float | None
    p95_duration_ms: float | None


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Errors of one level, tool and type within the range."""

    level: ErrorLevel
    bcp_name: str | None
    tool_name: str | None
    error_type: str | None
    error_count: int
    share: float
    """Of all the errors in the answer."""
    issue_count: int
    """Groups of errors with one cause."""
    first_seen: datetime
    last_seen: datetime
    sample_message: str | None
    """Latest message of the most frequent of those groups, masked."""


@dataclass(frozen=True, slots=True)
class DailyErrorSummary:
    """Errors of one day, level, tool and type."""

    day: datetime
    level: ErrorLevel
    bcp_name: str | None
    tool_name: str | None
    error_type: str | None
    total_errors: int
    issues: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at, and how it stands."""

    check_name: str
    status: Literal["ok", "warn", "fail"]
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class UsageOverTime:
    """All calls of one bucket of time; percentiles are None where no call of them was timed."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    call_count: int
    success_count: int
    error_count: int
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None


@dataclass(frozen=True, slots=True)
class ReportTotals:
    """The figures of a range as a whole."""

    call_count: int
    success_count: int
    error_count: int
    unknown_count: int
    """Calls that do not say whether they succeeded."""
    success_rate: float | None
    """success_count / (success_count + error_count), None where both are 0."""
    error_share: float | None
    """error_count / call_count, None without calls."""
    previous_call_count: int
    """Calls of the period of the same length before."""
    call_change: float | None
    """0.5 is half as many calls again as before, None where there were none."""
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None
    bcp_count: int
    """Bundles that were called."""
    tool_count: int
    """Tools that were called."""
    session_count: int | None
    """Sessions that began; None where the question has a filter."""
    response_bytes: int


@question(ToolUsageStats)
def tool_usage_stats(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(hours=1),
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell how often each tool is called, how fast it is, how often it fails.

    One row a bucket and tool, latest first.

    `interval` is the length of a bucket: a timedelta, or text that PostgreSQL reads as an interval, which can
    say "1 month"; None makes one bucket of the whole range. `time_zone`, such as "Europe/Berlin", is where
    days and hours begin. Percentiles are within 1 percent of exact.
    """


@question(LatencyPercentile)
def latency_percentiles(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    percentiles: Sequence[float] = (0.5, 0.9, 0.95, 0.99),
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell how long calls take: a row a tool and percentile, the tool with most calls first.

    `percentiles` are shares from 0 to 1. Percentiles are within 1 percent of exact.
    """


@question(SuccessAndErrorRates)
def success_and_error_rates(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(hours=1),
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell what share of the calls succeeds and what share fails: a row a bucket and tool, latest first.

    `interval` and `time_zone` are as of `tool_usage_stats`.
    """


@question(Throughput)
def throughput(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(hours=1),
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Count calls a minute, with the peak: a row a bucket that has calls, latest first.

    `interval`, of whole minutes, and `time_zone` are as of `tool_usage_stats`.
    """


@question(PeakUsageHour)
def peak_usage_hours(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    by_weekday: bool = False,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell when the load is highest: a row an hour of the day, or of the week, most calls first.

    Hours of the day are those of `time_zone`; hours without calls are rows too.
    """


@question(UsageBreakdown)
def usage_breakdown(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    by: Sequence[BreakdownColumn] = ("client_model",),
    interval: timedelta | str | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Compare models, clients or releases: a row a bucket and each value of the columns that `by` names.

    `by` is one column or several. No aggregate knows clients, models or releases: by these every call of the
    range is read. `interval` and `time_zone` are as of `tool_usage_stats`.
    """


@question(HourlyToolUsage)
def hourly_tool_usage(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
) -> None:
    """Count calls by UTC hour and tool, latest first: every whole hour that overlaps the range."""


@question(ErrorAnalysis)
def error_analysis(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    release: str | None = None,
) -> None:
    """Tell what fails, where, and how often: a row a level, tool and type, most frequent first."""


@question(DailyErrorSummary)
def daily_error_summary(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    release: str | None = None,
) -> None:
    """Count errors by UTC day, level, tool and type, latest first: each whole day that overlaps the range."""


@question(HealthCheck)
def health() -> None:
    """Tell whether the store itself is well: a row a check, with what to look at where it is not."""


@question(UsageOverTime)
def usage_over_time(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(hours=1),
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    time_zone: str = "UTC",
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell how calls, failures and durations develop, all tools together: one row per bucket, latest first.

    Buckets without calls are there too. Raises `InvalidArgument` where there are more than 10,000.
    """


@question(ReportTotals)
def report_totals(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
) -> None:
    """Tell the figures of the range as a whole, in one row."""
