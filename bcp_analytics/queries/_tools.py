"""Questions about tools beside one another: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bcp_analytics._core.arguments import Id, Outcome
from bcp_analytics._core.function import Arguments, question


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
    """success_count / (success_count + error_count), None where both are 0."""
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
) -> Arguments:
    """What has changed?

    One row per tool that was called in the range, or in the period of the same length before it, most calls
    first. With `order` call_change, p50_change, p95_change or p99_change the largest increase comes first,
    with success_rate the largest fall; tools that cannot be compared come last. Columns of the period before
    begin with previous_. Changes are shares of the value before: 0.5 means half as much again, None if there
    was none. Percentiles are in milliseconds, within 1 percent of exact. Reads aggregates. The range is
    [`since`, `until`), the last 24 hours by default. Filters by user (for whole UTC days), by failure and by
    an outcome other than success are answered from aggregates, too; any other makes it read every raw row of
    both periods.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class UnusedTool:
    """A tool that was listed and not called."""

    bcp_name: str
    tool_name: str
    listing_count: int
    last_listed: datetime
    context_bytes: int | None
    """What its latest listing costs a model's context."""


@question(UnusedTool)
def unused_tools(
    *, since: datetime | None = None, until: datetime | None = None, bcp_name: str | None = None
) -> Arguments:
    """Which tools are listed and never called?

    One row per tool that a list of the range named and that no call of the range used, most expensive first.
    context_bytes is how much of the model's context its latest listing takes, as docs/reference/calls.md
    describes, None if that is not known. The proxy and the middleware record lists, with the operation
    tools/list. Reads aggregates of lists and of calls. The range is [`since`, `until`), the last 24 hours by
    default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class UnknownTool:
    """A tool that was called and is on no list."""

    bcp_name: str
    tool_name: str
    call_count: int
    success_count: int
    error_count: int


@question(UnknownTool)
def unknown_tools(
    *, since: datetime | None = None, until: datetime | None = None, bcp_name: str | None = None
) -> Arguments:
    """Which tools are called that no list names?

    One row per tool, most calls first: names that a model made up, or tools that were taken away. It looks
    only at bundles that listed any tool in the range. A tool with successes was on a page of the list that
    nobody asked for. Reads aggregates of lists and of calls. The range is [`since`, `until`), the last 24
    hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Of the tokens of everything that passes the filters, from 0 to 1, None if there are none."""
    tokens: int
    """As senders gave them; where they did not, response_bytes divided by bytes_per_token."""
    given_tokens: int
    """Those of them that senders gave."""


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
) -> Arguments:
    """What fills the model's context?

    One row per tool, or with by="session" one row per session, most tokens first, at most `limit` (1 to
    10000). tokens is the sum of the tokens that senders gave (response_tokens; given_tokens is their sum)
    and, for all other calls, of an estimate. share is of the tokens of everything that passes the filters,
    from 0 to 1, None if there are none. The estimate is the bytes of the answers divided by
    `bytes_per_token`, as measured for the model in use (0.1 to 1000). Its default is the setting
    bytes_per_token, 4 as OpenAI's rule of thumb for English text (https://platform.openai.com/tokenizer);
    other text, and JSON, may take twice as many tokens. Lists of tools, which are no calls, count as the tool
    tools/list, or towards their session. Reads aggregates; a filter that these do not have makes it read the
    calls of the range. The range is [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Of the calls of the bucket whose duration is known, from 0 to 1."""


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
) -> Arguments:
    """How do durations spread over time?

    One row per bucket of time and band of durations, [from_ms, to_ms) in milliseconds, that has any call;
    latest first. `bands` are the bounds between bands; the last band has no end, so its to_ms is None. share
    is of the calls of the bucket whose duration is known, from 0 to 1. Reads the latency sketch: a call
    within 1 percent of a bound may count on its other side. The range is [`since`, `until`), the last 24
    hours by default. Filters by user (for whole UTC days), by failure and by an outcome other than success
    are answered from aggregates, too; any other makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
) -> Arguments:
    """How long do calls take over time, all tools together?

    One row per bucket that has any call with a known duration, latest first; interval=None makes one row.
    Percentiles are within 1 percent of exact; call_count counts the calls with a known duration. Reads the
    latency sketch. The range is [`since`, `until`), the last 24 hours by default. Filters by user (for whole
    UTC days), by failure and by an outcome other than success are answered from aggregates, too; any other
    makes it read every raw row of the range.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
