"""Sending events: each function calls the SQL function of its name.

All take a psycopg connection first, sync or async (then await the result), and commit nothing: use
autocommit, or commit yourself, or the events are gone.

A batch is an iterable of mappings, or a JSON array as text. It never fails for one event's sake: one that
cannot be stored is kept, redacted, in `bcp.rejected_events` with the reason, and counted. So that this holds
for what JSON cannot express too, the batch functions turn such values into text or marks (NaN becomes "NaN",
which a field that must be a number then rejects); `bcp_analytics/_core/encode.py` lists them. A `batch_id`
makes sending the same batch again harmless, and so does an `event_id` in each event.

    result = ingest_tool_usage(conn, events, batch_id=uuid4())
    result = await ingest_tool_usage(aconn, events)

Times without a zone are read as UTC, durations are in milliseconds, sizes in bytes before anything was cut;
`parameters` and `response_data` are any JSON. The functions for one event raise `InvalidDocument`, before
anything is sent, where a text holds what PostgreSQL cannot store.

All raise `AnonymizerFailed` where nothing may be stored because the anonymiser cannot work, and psycopg's
own errors for the rest, such as `InsufficientPrivilege` for a role without bcp_writer.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bcp_analytics._core.arguments import Address, ErrorLevel, Id
from bcp_analytics._core.encode import Events
from bcp_analytics._core.function import Arguments, action, question, scalar


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of the events sent: accepted = stored + duplicates + rejected."""

    accepted: int
    stored: int
    duplicates: int
    """Taken in before: their batch id, or their event id, within the setting dedup_window."""
    rejected: int
    """Kept, redacted, in bcp.rejected_events."""


@action(IngestResult)
def ingest_tool_usage(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Takes in an array of tool calls: accepted = stored + duplicates + rejected.

    A batch id or an event_id that comes again within the setting dedup_window is a duplicate. A bad value is
    repaired, and attributes._repaired names its field. An event without a name is kept in
    bcp.rejected_events, and fails no other event. `source` defaults to application_name, and is masked.
    Raises `InvalidBatch` where the batch is no array.
    """
    return locals()


@action(IngestResult)
def ingest_errors(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Takes in an array of errors; batch ids, event ids, bad values, the ledger and `source` work as in
    `ingest_tool_usage`.
    """
    return locals()


@action(IngestResult)
def ingest_metrics(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Takes in an array of metrics; batch ids, event ids, bad values, the ledger and `source` work as in
    `ingest_tool_usage`.
    """
    return locals()


@action(IngestResult)
def ingest_sessions(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Takes in an array of sessions; batch ids, bad values, the ledger and `source` work as in
    `ingest_tool_usage`.

    Each event adds to what is known of its session, so the same one again changes nothing.
    """
    return locals()


@action(IngestResult)
def log_tool_usage(
    bcp_name: str,
    tool_name: str,
    operation: str | None = "call",
    *,
    parameters: Any = None,
    response_data: Any = None,
    success: bool | None = None,
    error_message: str | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    duration_ms: float | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    event_id: UUID | str | None = None,
    outcome: str | None = None,
    error_type: str | None = None,
    request_id: Id | None = None,
    trace_id: str | None = None,
    client_name: str | None = None,
    client_version: str | None = None,
    client_model: str | None = None,
    release: str | None = None,
    request_bytes: int | None = None,
    response_bytes: int | None = None,
    ip_address: Address | None = None,
    user_agent: str | None = None,
    conversation_id: Id | None = None,
    response_tokens: int | None = None,
    intent: str | None = None,
) -> Arguments:
    """Takes in one tool call.

    Any two of start, end and duration (milliseconds) are enough; without a time it began now. `outcome` is
    success, soft_fail, error, timeout, cancelled or rejected; by default it is found from the rest, and it
    counts where `success` says otherwise. Success is None where the call was cancelled. `response_tokens` are
    what the answer takes of the model's context, by default estimated from its bytes. `intent` is why the
    agent called, in its own words. An event id that comes again is a duplicate. The session is the
    conversation, else the session, else, where there is a user, found by user and client as the setting
    session_gap says.
    """
    return locals()


@action(IngestResult)
def log_error(
    level: ErrorLevel,
    message: str,
    *,
    error_type: str | None = None,
    error_code: Id | None = None,
    stack_trace: str | None = None,
    context: dict[str, Any] | None = None,
    tool_context: dict[str, Any] | None = None,
    bcp_name: str | None = None,
    tool_name: str | None = None,
    operation: str | None = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    request_id: Id | None = None,
    trace_id: str | None = None,
    release: str | None = None,
    fingerprint: str | None = None,
    timestamp: datetime | None = None,
    event_id: UUID | str | None = None,
    conversation_id: Id | None = None,
    client_name: str | None = None,
) -> Arguments:
    """Takes in one error.

    `level` is debug, info, warn, error or fatal. `tool_context` may name bcp, tool and operation. The error
    happened now, unless `timestamp` says when. `fingerprint` puts it into an issue of yours; without one it
    is made from the error. The session is found like that of a call.
    """
    return locals()


@action(IngestResult)
def record_metric(
    metric_name: str,
    metric_value: float,
    *,
    labels: dict[str, Any] | None = None,
    aggregation_period: str | None = "raw",
    timestamp: datetime | None = None,
    event_id: UUID | str | None = None,
) -> Arguments:
    """Takes in one value of a metric.

    Put its unit into its name, as in queue_wait_ms. `aggregation_period` is what the value sums up: raw, 1m,
    5m, 1h or 1d. It was measured now, unless `timestamp` says when.
    """
    return locals()


@action(IngestResult)
def touch_session(
    session_id: Id,
    *,
    user_id: Id | None = None,
    client_name: str | None = None,
    client_version: str | None = None,
    ip_address: Address | None = None,
    user_agent: str | None = None,
    time: datetime | None = None,
) -> Arguments:
    """Makes a session, or records that it is active at a time, now by default."""
    return locals()


@action(IngestResult)
def end_session(session_id: Id, *, time: datetime | None = None) -> Arguments:
    """Ends a session at a time, now by default."""
    return locals()


@scalar(UUID)
def begin_tool_call(
    bcp_name: str,
    tool_name: str,
    operation: str | None = "call",
    *,
    parameters: Any = None,
    user_id: Id | None = None,
    session_id: Id | None = None,
    start_time: datetime | None = None,
    request_id: Id | None = None,
    client_name: str | None = None,
    client_model: str | None = None,
    conversation_id: Id | None = None,
    intent: str | None = None,
) -> Arguments:
    """Notes that a call began, and returns the id to end it with.

    Until it ends, bcp.open_tool_calls shows it. Raises `InvalidDocument` where it could not be stored.
    """
    return locals()


@action(IngestResult)
def end_tool_call(
    event_id: UUID | str,
    *,
    success: bool | None = None,
    response_data: Any = None,
    error_message: str | None = None,
    error_type: str | None = None,
    outcome: str | None = None,
    response_bytes: int | None = None,
    end_time: datetime | None = None,
    response_tokens: int | None = None,
) -> Arguments:
    """Ends a call that `begin_tool_call` began, now by default, and stores it.

    A call that is ended twice is a duplicate; one that never began is rejected.
    """
    return locals()


@scalar(datetime)
def report_collector(
    source: str,
    instance: UUID | str,
    *,
    recorded: int = 0,
    sent: int = 0,
    spooled: int = 0,
    spooled_bytes: int = 0,
    dropped: int = 0,
    last_error: str | None = None,
    started_at: datetime | None = None,
    last_error_at: datetime | None = None,
) -> Arguments:
    """Notes what a collector has done since it began, in events, and returns the time.

    source and last_error are masked. last_error is a class and a code, never a message, and may be over by
    now; `last_error_at` is when it happened. Raises `InvalidArgument` where an argument is out of bounds, or
    the instance belongs to another role. Reports of the same role and source that are older than
    bcp.ingest_batches may be are removed.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """A row of the answer of `rejection_reasons`."""

    reason: str
    rejected: int


@question(RejectionReason)
def rejection_reasons(*, batch_id: UUID | str | None = None) -> Arguments:
    """Why were events of a batch rejected?

    One row per reason, most frequent first, of batches of the last dedup_window. A reason names the field and
    what is wrong with it, and never its value.
    """
    return locals()
