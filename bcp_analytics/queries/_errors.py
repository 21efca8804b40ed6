"""Questions about single errors and their causes: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bcp_analytics._core.arguments import ErrorLevel, EventId, Id, IssueState
from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class ErrorIssue:
    """A group of errors with one cause."""

    fingerprint: str
    """What `resolve_issue` and `reopen_issue` take."""
    state: IssueState
    """Resolved, regressed, new or ongoing, as `error_issues` says."""
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
    """Compares error_count with previous_count, the count of the period of the same length before: 0.5 means
    half as much again, None if there were none.
    """
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
    fingerprint: str | None = None,
) -> Arguments:
    """What causes the errors?

    One row per issue, a group of errors with one cause, that has an error in the range; most frequent first,
    at most `limit` (1 to 10000). state is resolved after `resolve_issue`, and regressed if an error came
    after that in the fixed release or a later one. Otherwise it is new if the first error ever is in the
    range, else ongoing. change compares error_count with previous_count, the count of the period of the same
    length before: 0.5 means half as much again, None if there were none. level is the most severe ever,
    message the latest, as a sample; total_count, first_seen and last_seen are of all time. Reads aggregates,
    and for an issue that was resolved in a release also its errors since then. The range is [`since`,
    `until`), the last 24 hours by default. With `release` it counts errors of that release alone, from raw
    rows, but the state is that of the whole issue. `fingerprint` asks about one issue.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """The best part of the message with ** around each match, None without `query`."""
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
) -> Arguments:
    """Which errors say this?

    One row per error whose message, type, code or tool name matches `query`, best match first (ts_rank), then
    latest; at most `limit` (1 to 10000). A type matches by its words too: TimeoutError by timeout. `query` is
    as in a web search: words that must all be there in any form, "a phrase", or, -without; None finds all
    errors. headline is the best part of the message with ** around each match, None without `query`; it is
    not escaped for HTML. Reads a full-text index; chunks in the columnstore have none, so there it reads the
    messages of the whole range. `event_id` is the id that the sender gave, any text or a UUID. The range is
    [`since`, `until`), the last 24 hours by default, or with `event_id` all time.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
