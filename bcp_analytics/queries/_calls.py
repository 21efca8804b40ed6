"""Questions about single calls: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bcp_analytics._core.arguments import EventId, Id, Outcome
from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call that took long."""

    start_time: datetime
    duration_ms: float
    bcp_name: str
    tool_name: str
    operation: str
    outcome: Outcome | None
    error_type: str | None
    user_id: str | None
    session_id: str | None
    client_name: str | None
    request_id: str | None
    trace_id: str | None
    request_bytes: int | None
    response_bytes: int | None
    event_id: UUID


@question(SlowCall)
def slow_calls(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_duration_ms: float = 5000,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    limit: int = 50,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> Arguments:
    """Which calls took longest?

    One row per call that took `min_duration_ms` (milliseconds) or more, slowest first, at most `limit` (1 to
    10000). Reads aggregates, and the calls of the hours that these name; a filter other than bundle, tool and
    operation makes it read all hours that have a call of `min_duration_ms`. The range is [`since`, `until`),
    the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that failed."""

    start_time: datetime
    bcp_name: str
    tool_name: str
    operation: str
    outcome: Outcome | None
    error_type: str | None
    error_message: str | None
    duration_ms: float | None
    parameters: Any
    """Its arguments, masked, as JSON; None where there are none."""
    user_id: str | None
    session_id: str | None
    client_name: str | None
    request_id: str | None
    trace_id: str | None
    event_id: UUID


@question(FailedCall)
def failed_calls(
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
    limit: int = 50,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> Arguments:
    """Which calls failed, and with what arguments?

    One row per call whose success is false, latest first, at most `limit` (1 to 10000). Reads an index of
    failed calls; chunks in the columnstore have no such index, so there it reads the success of all calls.
    The range is [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class Call:
    """A call."""

    start_time: datetime
    bcp_name: str
    tool_name: str
    operation: str
    outcome: Outcome | None
    error_type: str | None
    error_message: str | None
    duration_ms: float | None
    parameters: Any
    """Its arguments, masked, as JSON; None where there are none."""
    request_bytes: int | None
    response_bytes: int | None
    user_id: str | None
    session_id: str | None
    client_name: str | None
    client_version: str | None
    client_model: str | None
    release: str | None
    request_id: str | None
    trace_id: str | None
    event_id: UUID
    intent: str
    """Why the agent called, where it said so."""


@question(Call)
def find_calls(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    event_id: EventId | None = None,
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
    limit: int = 50,
    after: UUID | None = None,
    intent: str | None = None,
) -> Arguments:
    """Which calls were there?

    One row per call, latest first, at most `limit` (1 to 10000): the calls of a user (`user_id`, as it is
    stored), a session, a model or a release, or the one call to which its sender gave `event_id`, any text or
    a UUID. An empty text finds the calls that name none: release="" those without a release. `failed` true
    finds calls whose success is false; `failed` false finds all others: succeeded, cancelled or unknown.
    intent is why the agent called, where it said so. `intent` finds the calls that `intents` counts as one:
    of the same words as this intent, as it is stored. An empty `intent` finds calls without one, and
    `tool_name` get_more_tools what `missing_tools` counts. For the next page give start_time of the last row
    as `until`, and its event_id as `after`. Reads the calls of the range [`since`, `until`): the last 24
    hours by default, or with `event_id` all time, of which it reads the hours in which bcp.call_ids_1h may
    have the id. A call that comes late for an hour that is aggregated is found by its id once the transaction
    that sent it has committed.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call whose arguments were searched for."""

    start_time: datetime
    bcp_name: str
    tool_name: str
    operation: str
    outcome: Outcome | None
    duration_ms: float | None
    parameters: Any
    """Its arguments, masked, as JSON; None where there are none."""
    user_id: str | None
    session_id: str | None
    client_name: str | None
    request_id: str | None
    event_id: UUID


@question(FoundCall)
def search_parameters(
    *,
    contains: Any = None,
    path: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    limit: int = 50,
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> Arguments:
    """Which calls were made with these arguments?

    One row per call whose parameters contain `contains` (as @>) and have what the JSON path `path` looks for
    (as @?, or as @@ if it is a predicate), latest first, at most `limit` (1 to 10000). Values are as stored:
    masked. Reads the GIN index on parameters where there is one. Chunks in the columnstore have none, and
    neither has a store with the setting index_parameters off: there it reads the parameters of the bundles
    that have the keys of `contains`, or without `contains` those of all. A call that comes late for a day
    that is aggregated is found once the transaction that sent it has committed. The range is [`since`,
    `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
