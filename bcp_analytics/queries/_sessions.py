"""Questions about sessions and users: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID  # noqa: TC003 - so that the types of a row can be found at run time

from bcp_analytics._core.arguments import ErrorLevel, Id, Outcome  # noqa: TC001 - found at run time
from bcp_analytics._core.function import question


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One thing that happened in a session."""

    session_id: str
    happened_at: datetime
    since_previous_ms: float | None
    """Time since the row before, None in the first."""
    kind: Literal["start", "call", "error", "end"]
    bcp_name: str | None
    tool_name: str | None
    operation: str | None
    duration_ms: float | None
    outcome: Outcome | None
    """Of a call."""
    level: ErrorLevel | None
    """Of an error."""
    error_type: str | None
    message: str | None
    request_id: str | None
    event_id: UUID | None


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Sessions of one client that began in one bucket of time."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    client_name: str | None
    session_count: int
    user_count: int
    ended_count: int
    """Those that said that they ended."""
    call_count: int
    error_count: int
    calls_per_session: float
    single_call_count: int
    """Sessions with one call."""
    avg_duration_ms: float
    p50_duration_ms: float
    p95_duration_ms: float
    max_duration_ms: float


@dataclass(frozen=True, slots=True)
class TopUser:
    """Calls of one user."""

    user_id: str
    call_count: int
    success_count: int
    error_count: int
    success_rate: float | None
    """success_count / (success_count + error_count), None where both are 0."""
    share: float
    """Of the calls of all users that pass the filters."""
    response_bytes: int


@dataclass(frozen=True, slots=True)
class ActiveUsers:
    """Users with a call, up to the end of one day."""

    day: datetime
    daily_users: int
    weekly_users: int
    """In the 7 days that end with this one."""
    monthly_users: int
    """In the 30 days that end with this one."""
    new_users: int
    """Those of the day whom the store had never seen before."""
    stickiness: float | None
    """daily_users / monthly_users."""


@dataclass(frozen=True, slots=True)
class AuthenticationStats:
    """Log-ins to one bundle by one method in one bucket of time."""

    time_bucket: datetime
    """Start of the bucket; of the range, where one bucket covers it."""
    bcp_name: str
    method: str
    """The tool that was called."""
    attempt_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    user_count: int
    """Users who got in."""
    failed_user_count: int
    """Users who failed at least once."""
    top_failure: str | None
    """The most frequent error type of those who failed."""


@dataclass(frozen=True, slots=True)
class ToolSequence:
    """How often one tool follows another in a session."""

    bcp_name: str
    tool_name: str
    next_bcp_name: str | None
    """None where the call was its session's last in the range."""
    next_tool_name: str | None
    pair_count: int
    share: float
    """Of the calls of the first tool."""
    avg_gap_ms: float | None
    """From the end of the first to the begin of the next; negative where they overlap."""


@dataclass(frozen=True, slots=True)
class ToolRetries:
    """What came after the failed calls of one tool, in the same session."""

    bcp_name: str
    tool_name: str
    failed_count: int
    """Failed calls in sessions."""
    retried_count: int
    """Those after whose end the session called the tool again."""
    retry_rate: float
    """retried_count / failed_count."""
    retry_success_count: int
    """Those whose next call succeeded."""
    retry_success_rate: float | None
    """retry_success_count / retried_count, None where that is 0."""
    avg_gap_ms: float | None
    """From the end of a failed call to the begin of the next."""


@question(SessionEvent)
def session_timeline(
    *,
    session_id: Id | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1000,
) -> None:
    """Tell what happened in a session, in order: its start, calls, errors, and end.

    None is the session that was active last. The range is by default the whole session.
    """


@question(SessionStats)
def session_stats(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = timedelta(days=1),
    user_id: Id | None = None,
    client_name: str | None = None,
    time_zone: str = "UTC",
    client_version: str | None = None,
) -> None:
    """Tell how many sessions began, how long they last, how busy they are: a row a bucket and client."""


@question(TopUser)
def top_users(
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
    limit: int = 20,
    order: Literal["calls", "errors", "cost"] = "calls",
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """List the users who call most, fail most, or cost most (bytes of answers).

    Filters other than `bcp_name` and `user_id` make it read all calls.
    """


@question(ActiveUsers)
def active_users(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    client_name: str | None = None,
    outcome: Outcome | None = None,
    time_zone: str = "UTC",
    failed: bool | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Count who uses the tools by day, week and month: a row a day that overlaps the range, latest first.

    A time zone other than UTC, or a filter other than `bcp_name`, makes it read all calls since 29 days
    before the range.
    """


@question(AuthenticationStats)
def authentication_stats(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    interval: timedelta | str | None = None,
    bcp_name: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    time_zone: str = "UTC",
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell who logs in, how, and how often that fails: a row a bucket, bundle and method.

    A log-in is a call whose operation or tool has a name of the setting login_names; its tool is the method:

        log_tool_usage(conn, "accounts", "password", "login", success=False, error_type="wrong_password")
    """


@question(ToolSequence)
def tool_sequences(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    limit: int = 50,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
) -> None:
    """Tell which tool follows which in a session, the most frequent pair first.

    `bcp_name` and `tool_name` are the first of the two.
    """


@question(ToolRetries)
def tool_retries(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    client_name: str | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
    limit: int = 50,
) -> None:
    """Tell how often a failed call is followed by another of the same tool, and how many of these succeed."""
