"""Questions about sessions and users: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from bcp_analytics._core.arguments import ErrorLevel, Id, Outcome
from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One thing that happened in a session."""

    session_id: str
    happened_at: datetime
    since_previous_ms: float | None
    """The time since the row before, None in the first."""
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
    intent: str
    """Why the agent made a call, where it said so."""


@question(SessionEvent)
def session_timeline(
    *,
    session_id: Id | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1000,
) -> Arguments:
    """What happened in a session?

    One row per start, call, error or end (kind), in order of time, at most `limit` (1 to 10000).
    since_previous_ms is the time since the row before, None in the first. Without `session_id` it is the
    session that was active last. intent is why the agent made a call, where it said so. The range is
    [`since`, `until`), by default the whole session as bcp.user_sessions knows it. Reads the calls and errors
    of that time.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
) -> Arguments:
    """How many sessions are there, how long, how busy?

    One row per bucket and client, of the sessions that began in it, latest first; interval=None makes one row
    per client. A session lasts from its first event to its last, or to its end; percentiles are exact.
    single_call_count counts sessions with one call: see also bcp.degenerate_sessions. Days of UTC come from
    figures that are kept ready, with `client_name`, too; all else, and days that are not over or have just
    changed, from the sessions. The range is [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Of the calls of all users that pass the filters, from 0 to 1."""
    response_bytes: int


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
) -> Arguments:
    """Who calls most?

    One row per user, at most `limit` (1 to 10000): most calls first, with `order` errors most failures first,
    with cost most bytes of answers first, where lists of tools count too. share is of the calls of all users
    that pass the filters, from 0 to 1; calls without a user are left out. Reads a daily aggregate; a filter
    other than bundle and user makes it read the calls of the range. The range is [`since`, `until`), the last
    24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Those that the store first saw on that day."""
    stickiness: float | None
    """Daily users divided by monthly users, from 0 to 1."""


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
) -> Arguments:
    """How many people use the tools?

    One row per day that overlaps the range, latest first: users with a call on that day, in the 7 days that
    end with it, and in the 30 days that end with it. new_users are those that the store first saw on that
    day; stickiness is daily users divided by monthly users, from 0 to 1. Calls without a user are left out.
    Reads a daily aggregate, from 29 days before the range on; a time zone other than UTC, or a filter other
    than the bundle, makes it read the calls of that time. The range is [`since`, `until`), the last 24 hours
    by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """success_count / (success_count + failure_count), None where both are 0."""
    user_count: int
    """Users who got in."""
    failed_user_count: int
    """Users who failed at least once."""
    top_failure: str | None
    """The most frequent error type of those who failed."""


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
) -> Arguments:
    """Who logs in, how, and how often does that fail?

    A log-in is a call whose operation or tool has a name of the setting login_names, and its tool is the
    method: log_tool_usage('accounts', 'password', 'login', success=False, error_type="wrong_password",
    user_id="42"). One row per bucket, bundle and method, latest first; interval=None, the default, makes one
    row per method. user_count counts users who got in, failed_user_count users who failed at least once;
    top_failure is the most frequent error type of the failures. Log-ins to bcp-analytics serve are no calls,
    and count too, as the method api_token of the bundle bcp_analytics: a token once an hour, and each
    failure. They name no user. Reads aggregates, where these have any log-in the names of all calls of the
    range, and the metric bcp_log_ins. The range is [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """Of the calls of the first tool, from 0 to 1."""
    avg_gap_ms: float | None
    """The time from the end of the first call to the start of the next, negative if they overlap."""


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
) -> Arguments:
    """Which tool follows which in a session?

    One row per pair of tools, most frequent first, at most `limit` (1 to 10000); `bcp_name` and `tool_name`
    are the first of the two. The next tool is None if the call was the last of its session in the range.
    share is of the calls of the first tool, from 0 to 1. avg_gap_ms is the time from the end of the first
    call to the start of the next, negative if they overlap. Lists of tools are left out. Reads aggregates by
    day and month; with a user, a session, a client, a model or a release it reads the calls of the range. Of
    days whose calls retention has dropped, what followed from one day to the next is not known. The range is
    [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


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
    """The time from the end of a failed call to the start of the next."""


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
) -> Arguments:
    """Are failed calls tried again, and does that help?

    One row per tool with failures in sessions, most failures first, at most `limit` (1 to 10000).
    retried_count counts failures after whose end the same session called the same tool again within the
    range, with any arguments; retry_rate is their share of failed_count. retry_success_count counts those
    whose next call succeeded; retry_success_rate is its share of retried_count, None if there is none. Both
    rates are from 0 to 1. avg_gap_ms is the time from the end of a failed call to the start of the next.
    Reads the calls of the range. The range is [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
