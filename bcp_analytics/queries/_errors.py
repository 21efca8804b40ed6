"""Questions about single errors and their causes: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - so that the types of a row can be found at run time
from typing import Literal
from uuid import UUID  # noqa: TC003 - so that the types of a row can be found at run time

from bcp_analytics._core.arguments import ErrorLevel, EventId, Id  # noqa: TC001 - found at run time
from bcp_analytics._core.function import question

IssueState = Literal["new", "ongoing", "regressed", "resolved"]


@dataclass(frozen=True, slots=True)
class ErrorIssue:
    """A group of errors with one cause."""

    fingerprint: str
    """What `resolve_issue` and `reopen_issue` take."""
    state: IssueState
    level: ErrorLevel
    """The most severe ever."""
    bcp_name: str | None
    tool_name: str | None
    error_type: str | None
    message: str
    """Its latest, masked."""
    error_count: int
    """In the range."""
    previous_count: int
    """In the period of the same length before the range."""
    change: float | None
    """From the one to the other: 0.5 is half as much again, None where there was none."""
    total_count: int
    """Ever."""
    first_seen: datetime
    """Ever, as `last_seen`."""
    last_seen: datetime
    resolved_at: datetime | None
    """None where it is not resolved, or was reopened; as the next two."""
    resolved_by: str | None
    resolved_release: str | None
    notes: str | None
    """Of the latest `resolve_issue` or `reopen_issue`."""


@dataclass(frozen=True, slots=True)
class FoundError:
    """An error that was searched for."""

    happened_at: datetime
    rank: float
    """How well it fits, by ts_rank; 0 where nothing was searched for."""
    level: ErrorLevel
    error_type: str | None
    error_code: str | None
    headline: str | None
    """The best part of its message, with ** around what was found; not escaped for HTML."""
    message: str
    bcp_name: str | None
    tool_name: str | None
    operation: str | None
    user_id: str | None
    session_id: str | None
    request_id: str | None
    trace_id: str | None
    release: str | None
    fingerprint: str
    event_id: UUID


@question(ErrorIssue)
def error_issues(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    state: IssueState | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    limit: int = 50,
    release: str | None = None,
) -> None:
    """Tell what causes the errors: a row a group with one cause, most frequent first.

    An issue is resolved after `resolve_issue`; regressed where an error came after that, in the fixed release
    or a later one; else new where its first error ever is in the range, and ongoing where it is older.
    """


@question(FoundError)
def search_errors(
    *,
    query: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    level: ErrorLevel | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    limit: int = 50,
    release: str | None = None,
    event_id: EventId | None = None,
) -> None:
    """Find errors by what their message, type, code or tool says, the best match first.

    `query` is as in a web search: words that must all be there, in any form, `"a phrase"`, `or`, `-without`;
    None finds all. Where chunks are in the columnstore, it reads all errors of the range. `event_id` is as
    its sender gave it; with it the range is by default all time.
    """
