"""What was stored just now: see `bcp_analytics.queries` for what arguments mean.

`docs/reference/live.md` says how a server keeps running sums with them.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bcp_analytics._core.arguments import Outcome
from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class LiveMetric:
    """Calls of one tool, outcome and duration that were stored in one second."""

    stored_at: datetime
    """Start of the second."""
    start_day: datetime
    """Start of the UTC day on which the calls began."""
    bcp_name: str
    tool_name: str
    outcome: Outcome | None
    success: bool | None
    """As of `RecentCall`."""
    duration_ms: float | None
    """Of each of the calls, within 1 percent; None where it is not known."""
    call_count: int
    sum_duration_ms: float | None
    """Exact sum of their durations, in milliseconds."""
    request_bytes: int
    response_bytes: int


@question(LiveMetric)
def live_metrics(
    *, since: datetime | None = None, until: datetime | None = None, known_calls: Sequence[int] = ()
) -> Arguments:
    """What was stored just now, to be added up?

    One row per second of storing, UTC day of the call's start, bundle, tool, outcome and duration, of the
    calls stored from `since` (by default a minute ago, at most 24 hours) up to, but not including, `until`.
    duration_ms is the middle of a bucket of the latency sketch, within 1 percent of each of its calls, so
    percentiles come from adding up call_count by it; None where the duration is not known. `known_calls` is
    how many calls the caller has of each second from `since` on: a second with as many is left out, any other
    comes whole, to replace what the caller has. Lists of tools, and calls that began more than 24 hours
    before `since`, are not counted. Reads only the calls stored in the range, by an index.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class RecentCall:
    """A call that was stored just now."""

    stored_at: datetime
    start_time: datetime
    bcp_name: str
    tool_name: str
    operation: str
    outcome: Outcome | None
    success: bool | None
    """None where nobody said, and where the call was cancelled."""
    error_type: str | None
    duration_ms: float | None
    client_name: str | None
    session_id: str | None
    event_id: UUID


@question(RecentCall)
def recent_calls(
    *,
    since: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    failed: bool | None = None,
    limit: int = 50,
) -> Arguments:
    """Which calls were stored last?

    One row per call, the latest stored first, at most `limit` (1 to 10000), of those stored from `since` on:
    the last 5 minutes by default, at most 24 hours. `failed` true finds calls whose success is false;
    `failed` false finds all others: succeeded, cancelled or unknown. Lists of tools, and calls that began
    more than 24 hours before `since`, are left out. `find_calls` has the rest of a call, by its event_id.
    Reads an index of the times of storing.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
