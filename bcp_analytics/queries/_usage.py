"""Questions about usage, durations, errors, health: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bcp_analytics._core.arguments import BreakdownColumn, ErrorLevel, Id, Outcome
from bcp_analytics._core.function import Arguments, question


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
    """The share of successes among the calls that say whether they succeeded, from 0 to 1."""
    avg_duration_ms: float | None
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None
    max_duration_ms: float | None
    request_bytes: int
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
) -> Arguments:
    """How often is each tool called, how fast is it, how often does it fail?

    One row per bucket and tool, latest first; interval=None makes one row per tool. success_rate is the share
    of successes among the calls that say whether they succeeded, from 0 to 1. Percentiles are within 1
    percent of exact. The range is [`since`, `until`), the last 24 hours by default. A list of tools is no
    call: operation="tools/list" asks for lists. Filters by user or client (for whole UTC days), by failure
    and by an outcome other than success are answered from aggregates, too. By session it reads the raw rows
    of the days on which it was active; any other filter makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class LatencyPercentile:
    """One percentile of one tool's durations, within 1 percent of exact."""

    bcp_name: str
    tool_name: str
    percentile: float
    """As asked for: 0.95 is the 95th."""
    duration_ms: float
    call_count: int
    """Counts the calls whose duration is known."""


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
) -> Arguments:
    """How long do calls take?

    One row per tool and percentile (0.95 is the 95th), in milliseconds, within 1 percent of percentile_disc
    over the raw rows. call_count counts the calls whose duration is known. The range is [`since`, `until`),
    the last 24 hours by default. Filters by user or client (for whole UTC days), by failure and by an outcome
    other than success are answered from aggregates, too. By session it reads the raw rows of the days on
    which it was active; any other filter makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """success_count / (success_count + error_count), None where both are 0."""
    error_rate: float | None


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
) -> Arguments:
    """What share of the calls succeeds, and what share fails?

    One row per bucket and tool, latest first; interval=None makes one row per tool. Both rates are shares of
    the calls that say whether they succeeded, from 0 to 1, and None if no call does; unknown_count counts the
    other calls. The range is [`since`, `until`), the last 24 hours by default. Filters by user or client (for
    whole UTC days), by failure and by an outcome other than success are answered from aggregates, too. By
    session it reads the raw rows of the days on which it was active; any other filter makes it read every raw
    row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class Throughput:
    """Load in one bucket of time."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    call_count: int
    calls_per_minute: float
    """The mean over the part of the bucket that lies in the range."""
    peak_calls_per_minute: int
    """The most in one clock minute, and peak_minute the first such minute."""
    peak_minute: datetime
    """Start of the first minute with that many."""


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
) -> Arguments:
    """How many calls are there per minute?

    One row per bucket with calls, latest first. `interval` is of whole minutes; None makes one row.
    calls_per_minute is the mean over the part of the bucket that lies in the range; peak_calls_per_minute is
    the most in one clock minute, and peak_minute the first such minute. The range is [`since`, `until`), the
    last 24 hours by default. Filters by user (for whole UTC days), by failure and by an outcome other than
    success are answered from aggregates, too; any other makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class PeakUsageHour:
    """Load in one hour of the day, or of the week."""

    weekday: int | None
    """1 is Monday; None where days of the week were not told apart."""
    hour_of_day: int
    """0 to 23, in the time zone asked for."""
    call_count: int
    share: float | None
    """Of all calls in the answer, from 0 to 1."""
    calls_per_hour: float
    """The mean over the hours of that kind in the range."""
    peak_calls: int
    """The most in one such hour, which began at peak_hour."""
    peak_hour: datetime | None
    """Start of the first with that many, None where there were no calls."""


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
) -> Arguments:
    """When is the load highest?

    One row per hour of the day (0 to 23) in the time zone, or with `by_weekday` one row per hour of the week
    (weekday 1 is Monday), most calls first; hours without calls are included. share is of all calls in the
    answer, from 0 to 1; calls_per_hour is the mean over the hours of that kind in the range; peak_calls is
    the most in one such hour, which began at peak_hour. The range is [`since`, `until`), the last 24 hours by
    default. Filters by user (for whole UTC days), by failure and by an outcome other than success are
    answered from aggregates, too; any other makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """The share of successes among the calls that say whether they succeeded, from 0 to 1."""
    avg_duration_ms: float | None
    """None where no call was timed, as all durations."""
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None
    max_duration_ms: float | None
    request_bytes: int
    response_bytes: int


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
) -> Arguments:
    """How do models, clients or releases compare?

    One row per bucket and combination of the columns that `by` names: any of bcp_name, tool_name,
    client_name, client_version, client_model and release. Latest first, then most calls first; interval=None,
    the default, makes one bucket of the range. Columns that `by` does not name are None, and so are values
    that calls do not give. success_rate is the share of successes among the calls that say whether they
    succeeded, from 0 to 1. Durations are in milliseconds, percentiles within 1 percent of exact. Aggregates
    have the days of clients, versions, models and releases without tools, and those of clients by tool. For
    other combinations of these, in `by` or as filters, it reads every raw row of the range. The range is
    [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class HourlyToolUsage:
    """Calls of one tool that began in one hour."""

    hour: datetime
    """Start of the hour."""
    bcp_name: str
    """Bundle of tools."""
    tool_name: str
    """Tool."""
    total_calls: int
    """Calls that began in the hour."""
    successful_calls: int
    """How many of those calls succeeded."""
    avg_duration_ms: float | None
    """Mean duration in milliseconds."""
    max_duration_ms: float | None
    """Longest duration in milliseconds."""
    p95_duration_ms: float | None
    """95th percentile of the duration in milliseconds, within 1 percent of exact."""


@question(HourlyToolUsage)
def hourly_tool_usage(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
) -> Arguments:
    """How much is each tool used by the hour?

    Rows of the view `hourly_tool_usage` whose hour overlaps [`since`, `until`), the last 24 hours by default;
    latest first.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Errors of one level, tool and type within the range."""

    level: ErrorLevel
    bcp_name: str | None
    tool_name: str | None
    error_type: str | None
    error_count: int
    share: float
    """Of all errors in the answer, from 0 to 1."""
    issue_count: int
    """Groups of errors with one cause."""
    first_seen: datetime
    last_seen: datetime
    sample_message: str | None
    """Latest message of the most frequent of those groups, masked."""


@question(ErrorAnalysis)
def error_analysis(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    release: str | None = None,
) -> Arguments:
    """What fails, where, and how often?

    One row per level, tool and type, most frequent first. share is of all errors in the answer, from 0 to 1;
    sample_message is the latest message of the most frequent issue in the row. The range is [`since`,
    `until`), the last 24 hours by default. With `release` it reads every error of the range, not aggregates.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class DailyErrorSummary:
    """Errors of one day, level, tool and type."""

    day: datetime
    """Start of the day."""
    level: ErrorLevel
    """Severity."""
    bcp_name: str | None
    """Bundle of tools."""
    tool_name: str | None
    """Tool, None where none was involved."""
    error_type: str | None
    """Class of the error."""
    total_errors: int
    """Errors of the day."""
    issues: int
    """Number of issues to which these errors belong."""
    first_seen: datetime
    """Time of the earliest error."""
    last_seen: datetime
    """Time of the latest error."""


@question(DailyErrorSummary)
def daily_error_summary(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    release: str | None = None,
) -> Arguments:
    """How many errors are there per day?

    Rows of the view `daily_error_summary` whose day overlaps [`since`, `until`), the last 24 hours by
    default; latest first. With `release` it reads every error of the range, not aggregates.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at, and how it stands."""

    check_name: str
    status: Literal["ok", "warn", "fail"]
    """`detail` says what to look at where it is not ok."""
    value: str
    detail: str


@question(HealthCheck)
def health() -> Arguments:
    """Is the store itself well?

    One row per check: status is ok, warn or fail, and detail says what to look at.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
