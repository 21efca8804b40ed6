"""Questions about single calls: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - so that the types of a row can be found at run time
from typing import Any
from uuid import UUID  # noqa: TC003 - so that the types of a row can be found at run time

from bcp_analytics._core.arguments import EventId, Id, Outcome  # noqa: TC001 - found at run time
from bcp_analytics._core.function import question


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
) -> None:
    """List the calls that took `min_duration_ms` or more, slowest first."""


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
) -> None:
    """List the calls that failed, with their arguments, latest first."""


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
) -> None:
    """List calls, latest first: those of one user, session, model or release, or the one with an `event_id`.

    `event_id` is as its sender gave it; with it the range is by default all time.
    """


@question(FoundCall)
def search_parameters(
    *,
    contains: Any = None,  # noqa: ANN401 - any JSON
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
) -> None:
    """List the calls that were made with these arguments, latest first.

    `contains` is JSON that the arguments contain, such as `{"path": "/etc/hosts"}`; `path` a JSON path that
    finds something in them, such as `$.items[*] ? (@.price > 10)`. Values are compared as they are stored:
    masked. Where chunks are in the columnstore, or the store has no index on arguments, it takes time in
    proportion to the range.
    """
