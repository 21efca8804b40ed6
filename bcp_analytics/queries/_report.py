"""What a report shows of a range: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime, timedelta

from bcp_analytics._core.arguments import Id, Outcome
from bcp_analytics._core.function import Arguments, question


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
) -> Arguments:
    """How do calls, failures and durations develop, all tools together?

    One row per bucket that the range touches, also for a bucket without calls, latest first; interval=None
    makes one row. Percentiles are of the calls with a known duration, within 1 percent of exact, and None if
    there are none. Raises `InvalidArgument` if there are more than 10000 buckets. The range is [`since`,
    `until`), the last 24 hours by default. Filters by user (for whole UTC days), by failure and by an outcome
    other than success are answered from aggregates, too; any other makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Compares call_count with previous_call_count, of the period of the same length before: 0.5 means half
    as much again, None if there were none.
    """
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


@question(ReportTotals)
def report_totals(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
) -> Arguments:
    """What are the figures of the range as a whole?

    One row. success_rate is the share of successes among the calls that say whether they succeeded,
    error_share the share of errors among all calls, both from 0 to 1 and None if there are none;
    unknown_count counts calls that do not say. call_change compares call_count with previous_call_count, of
    the period of the same length before: 0.5 means half as much again, None if there were none. Percentiles
    are in milliseconds, within 1 percent of exact. bcp_count and tool_count count bundles and tools that were
    called. session_count counts sessions that began, and is None with a filter, because a session may use
    several tools. The range is [`since`, `until`), the last 24 hours by default; `InvalidArgument` if it is
    infinite.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
