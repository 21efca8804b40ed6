"""Questions about tools beside one another: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from bcp_analytics._core.function import question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bcp_analytics._core.arguments import Id, Outcome


@dataclass(frozen=True, slots=True)
class ToolTrend:
    """Calls of one tool in the range, and in the period of the same length before it."""

    bcp_name: str
    tool_name: str
    call_count: int
    previous_call_count: int
    call_change: float | None
    """0.5 is half as much again, None where there was nothing before."""
    success_rate: float | None
    previous_success_rate: float | None
    avg_duration_ms: float | None
    previous_avg_duration_ms: float | None
    p50_duration_ms: float | None
    previous_p50_duration_ms: float | None
    p50_change: float | None
    p95_duration_ms: float | None
    previous_p95_duration_ms: float | None
    p95_change: float | None
    p99_duration_ms: float | None
    previous_p99_duration_ms: float | None
    p99_change: float | None


@dataclass(frozen=True, slots=True)
class UnusedTool:
    """A tool that was listed and not called."""

    bcp_name: str
    tool_name: str
    listing_count: int
    last_listed: datetime
    context_bytes: int | None
    """What its latest listing costs a model's context."""


@dataclass(frozen=True, slots=True)
class UnknownTool:
    """A tool that was called and is on no list."""

    bcp_name: str
    tool_name: str
    call_count: int
    success_count: int
    error_count: int


@dataclass(frozen=True, slots=True)
class ContextCost:
    """Bytes that one tool, or all tools in one session, poured into the model's context."""

    bcp_name: str | None
    """None where the row is a session's, as `tool_name`."""
    tool_name: str | None
    session_id: str | None
    """None where the row is a tool's."""
    call_count: int
    response_bytes: int
    avg_response_bytes: float
    share: float | None
    """Of the tokens of all that pass the filters, None where there are none."""
    tokens: int
    """As senders gave them; where they did not, response_bytes divided by bytes_per_token."""
    given_tokens: int
    """Those of them that senders gave."""


@dataclass(frozen=True, slots=True)
class LatencyBand:
    """Calls of one bucket of time whose durations are in one band."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    from_ms: float
    to_ms: float | None
    """Exclusive; None where the band has no end."""
    call_count: int
    share: float
    """Of the bucket's calls with a known duration."""


@dataclass(frozen=True, slots=True)
class LatencyOverTime:
    """Percentiles of the durations of all calls in one bucket of time."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    call_count: int
    """Calls with a known duration."""
    p50_duration_ms: float
    p95_duration_ms: float
    p99_duration_ms: float


@question(ToolTrend)
def tool_trends(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
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
    order: Literal[
        "calls", "call_change", "success_rate", "p50_change", "p95_change", "p99_change"
    ] = "calls",
) -> None:
    """Compare the calls of each tool with the period of the same length before the range.

    By default the tool with most calls is first; else the one whose calls or percentile grew most, or whose
    success rate fell most.
    """


@question(UnusedTool)
def unused_tools(
    *, since: datetime | None = None, until: datetime | None = None, bcp_name: str | None = None
) -> None:
    """List the tools that were listed in the range and not called, the most expensive for a context first."""


@question(UnknownTool)
def unknown_tools(
    *, since: datetime | None = None, until: datetime | None = None, bcp_name: str | None = None
) -> None:
    """List the tools that were called in the range and that no list of their bundle names."""


@question(ContextCost)
def context_cost(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    by: Literal["tool", "session"] = "tool",
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    limit: int = 50,
    bytes_per_token: float | None = None,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell what fills the model's context: bytes and tokens of answers, by tool or session, most first.

    Where the sender gave no tokens, one is `bytes_per_token` bytes, as measured for the model at hand, from
    0.1 to 1000; by default what the setting of that name says, 4: OpenAI's rule of thumb for English text,
    https://platform.openai.com/tokenizer. Filters that the aggregates do not know make it read all calls of
    the range.
    """


@question(LatencyBand)
def latency_heatmap(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(hours=1),
    bands: Sequence[float] = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
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
    """Tell how durations spread over time: a row a bucket and band that has any call, latest first.

    `bands` are the bounds between bands, in milliseconds. A call within 1 percent of a bound may count on its
    other side.
    """


@question(LatencyOverTime)
def latency_over_time(
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
    """Tell how long calls take over time, all tools together: a row a bucket, latest first.

    Percentiles are within 1 percent of exact.
    """
