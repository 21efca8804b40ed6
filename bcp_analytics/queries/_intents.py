"""Questions about why agents called, and how tools changed: see `bcp_analytics.queries` for arguments."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class Intent:
    """What agents wanted, and how many calls it took."""

    intent: str
    """Its latest wording, masked."""
    call_count: int
    success_rate: float | None
    """The share of successes among the calls that say whether they succeeded, from 0 to 1, None if there are
    none.
    """
    session_count: int
    tool_count: int
    """Counts the tools that were called for it."""
    bcp_name: str
    tool_name: str
    first_seen: datetime
    last_seen: datetime


@question(Intent)
def intents(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    client_name: str | None = None,
    limit: int = 50,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> Arguments:
    """Why do agents call?

    One row per intent, most calls first, at most `limit` (1 to 10000). Intents of the same words, in any form
    and order, are one; intent is its latest wording, masked. success_rate is the share of successes among the
    calls that say whether they succeeded, from 0 to 1, None if there are none. tool_count counts the tools
    that were called for it; bcp_name and tool_name are those called most. Calls without an intent are left
    out, and so is what agents looked for in vain: see `missing_tools`. Reads the calls of the range [`since`,
    `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class MissingTool:
    """What agents looked for in vain."""

    intent: str | None
    """Its latest wording, masked; None where it was not said."""
    bcp_name: str
    request_count: int
    session_count: int
    first_seen: datetime
    last_seen: datetime


@question(MissingTool)
def missing_tools(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    client_name: str | None = None,
    limit: int = 50,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> Arguments:
    """Which tools do agents miss?

    One row per bundle and wish, most frequent first, at most `limit` (1 to 10000). A wish is the intent of a
    call of get_more_tools, which proxy and middleware add to a server where they are told to; wishes of the
    same words are one, and None is a wish that was not said. Reads the calls of the range [`since`, `until`),
    the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ToolChange:
    """A new definition of a tool, and what the figures did."""

    changed_at: datetime
    bcp_name: str
    tool_name: str
    change: Literal["added", "description", "schema", "both"] | None
    """Added where none was seen in the week before the range, removed where lists that came in one answer
    lack the tool, else description, schema or both.
    """
    description: str | None
    previous_description: str | None
    input_schema: Any
    previous_input_schema: Any
    context_bytes: int | None
    """What the definition takes of the model's context."""
    previous_context_bytes: int | None
    call_count: int
    previous_call_count: int
    success_rate: float | None
    """success_count / (success_count + error_count), None where both are 0."""
    previous_success_rate: float | None
    p95_duration_ms: float | None
    previous_p95_duration_ms: float | None
    avg_response_bytes: float | None
    previous_avg_response_bytes: float | None


@question(ToolChange)
def tool_changes(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    window: timedelta | str = timedelta(days=1),
    limit: int = 20,
) -> Arguments:
    """What changed in the tools themselves, and what did it do?

    One row per new definition of a tool that a list of the range had, and per tool that lists had and then
    had no more, latest first, at most `limit` (1 to 10000). change is added where none was seen in the week
    before the range, removed where lists that came in one answer lack the tool, else description, schema or
    both. Where lists differ by who asks, no tool is said to be removed. call_count, success_rate (from 0 to
    1, None if no call says), p95_duration_ms and avg_response_bytes are of the `window` (at most 31 days)
    after the change, those that begin with previous_ of as long before it. context_bytes is what the
    definition takes of the model's context. Descriptions and schemas are masked like any answer. The proxy
    and the middleware record definitions, each once a day. Reads these, and the calls of the changed tools.
    The range is [`since`, `until`), the last 24 hours by default. Raises `InvalidArgument` if `window` is out
    of its bounds.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
