"""Sending events: each function calls the SQL function of its name.

All take a psycopg connection first, sync or async (then await the result), and commit nothing: use
autocommit, or commit yourself, or the events are gone.

A batch never fails for one event's sake: an event that cannot be stored is kept, redacted, in
`bcp.rejected_events` with the reason, and counted. So that this holds for what JSON cannot express too, the
batch functions turn such values into text or marks (NaN becomes "NaN", which a field that must be a number
then rejects); `bcp_analytics/_core/encode.py` lists them. Times without a zone are read as UTC.

    result = ingest_tool_usage(conn, events, batch_id=uuid4())
    result = await ingest_tool_usage(aconn, events)

All raise `AnonymizerFailed` where nothing may be stored because the anonymiser cannot work, and psycopg's
own errors for the rest, such as `InsufficientPrivilege` for a role without bcp_writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bcp_analytics._core.arguments import utc
from bcp_analytics._core.encode import document, encode_batch, text
from bcp_analytics._core.function import Arguments, action, scalar

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from bcp_analytics._core.arguments import ErrorLevel, Id
    from bcp_analytics._core.encode import Events

    Address = str | IPv4Address | IPv6Address


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
    """Take in tool calls: an iterable of mappings, or a JSON array as text.

    `batch_id` makes sending the same batch again harmless, and so does an `event_id` in each event. `source`
    is who sends, by default the connection's application_name; it is masked as events are. Raises
    `InvalidBatch` where text is no JSON array; then nothing is stored.
    """
    return _batch(events, batch_id, source)


@action(IngestResult)
def ingest_errors(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Take in errors, as `ingest_tool_usage` does calls."""
    return _batch(events, batch_id, source)


@action(IngestResult)
def ingest_metrics(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Take in values of metrics, as `ingest_tool_usage` does calls."""
    return _batch(events, batch_id, source)


@action(IngestResult)
def ingest_sessions(
    events: Events, *, batch_id: UUID | str | None = None, source: str | None = None
) -> Arguments:
    """Take in sessions, as `ingest_tool_usage` does calls; each widens what is known of its session."""
    return _batch(events, batch_id, source)


@action(IngestResult)
def log_tool_usage(
    bcp_name: str,
    tool_name: str,
    operation: str | None = "call",
    *,
    parameters: Any = None,  # noqa: ANN401 - any JSON
    response_data: Any = None,  # noqa: ANN401
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
) -> Arguments:
    """Take in one tool call.

    Any two of `start_time`, `end_time` and `duration_ms` (milliseconds) will do; without a time it began now.
    `parameters` and `response_data` are any JSON. `outcome` is success, soft_fail, error, timeout, cancelled
    or rejected, by default as SQL finds from the rest; where `success` says otherwise, it decides. Sizes are
    in bytes, before anything was cut; `response_tokens` are what the answer takes of the model's context, by
    default estimated from its bytes. An `event_id` that comes again is a duplicate. Its session is
    `conversation_id`, else `session_id`, else, where there is a user, found by user, client and time.

    Raises `InvalidDocument`, before anything is sent, where a text holds what PostgreSQL cannot store.
    """
    return {
        "bcp_name": text("bcp_name", bcp_name),
        "tool_name": text("tool_name", tool_name),
        "operation": text("operation", operation),
        "parameters": document("parameters", parameters),
        "response_data": document("response_data", response_data),
        "success": success,
        "error_message": text("error_message", error_message),
        "start_time": utc(start_time),
        "end_time": utc(end_time),
        "duration_ms": duration_ms,
        "user_id": text("user_id", user_id),
        "session_id": text("session_id", session_id),
        "event_id": text("event_id", event_id),
        "outcome": text("outcome", outcome),
        "error_type": text("error_type", error_type),
        "request_id": text("request_id", request_id),
        "trace_id": text("trace_id", trace_id),
        "client_name": text("client_name", client_name),
        "client_version": text("client_version", client_version),
        "client_model": text("client_model", client_model),
        "release": text("release", release),
        "request_bytes": request_bytes,
        "response_bytes": response_bytes,
        "ip_address": text("ip_address", ip_address),
        "user_agent": text("user_agent", user_agent),
        "conversation_id": text("conversation_id", conversation_id),
        "response_tokens": response_tokens,
    }


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
    """Take in one error, which happened now unless `timestamp` says when.

    `tool_context` may name bcp, tool and operation. `fingerprint` puts the error into an issue of yours;
    without one it is made from the error. Its session is found as that of a call.
    Raises as `log_tool_usage` does.
    """
    return {
        "level": text("level", level),
        "message": text("message", message),
        "error_type": text("error_type", error_type),
        "error_code": text("error_code", error_code),
        "stack_trace": text("stack_trace", stack_trace),
        "context": document("context", context),
        "tool_context": document("tool_context", tool_context),
        "bcp_name": text("bcp_name", bcp_name),
        "tool_name": text("tool_name", tool_name),
        "operation": text("operation", operation),
        "user_id": text("user_id", user_id),
        "session_id": text("session_id", session_id),
        "request_id": text("request_id", request_id),
        "trace_id": text("trace_id", trace_id),
        "release": text("release", release),
        "fingerprint": text("fingerprint", fingerprint),
        "timestamp": utc(timestamp),
        "event_id": text("event_id", event_id),
        "conversation_id": text("conversation_id", conversation_id),
        "client_name": text("client_name", client_name),
    }


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
    """Take in one value of a metric, measured now unless `timestamp` says when.

    The unit belongs into the name, such as queue_wait_ms. `aggregation_period` is what the value sums up:
    raw, 1m, 5m, 1h or 1d. Raises as `log_tool_usage` does.
    """
    return {
        "metric_name": text("metric_name", metric_name),
        "metric_value": metric_value,
        "labels": document("labels", labels),
        "aggregation_period": text("aggregation_period", aggregation_period),
        "timestamp": utc(timestamp),
        "event_id": text("event_id", event_id),
    }


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
    """Make a session, or say that it is active at `time`, now by default. Raises as `log_tool_usage` does."""
    return {
        "session_id": text("session_id", session_id),
        "user_id": text("user_id", user_id),
        "client_name": text("client_name", client_name),
        "client_version": text("client_version", client_version),
        "ip_address": text("ip_address", ip_address),
        "user_agent": text("user_agent", user_agent),
        "time": utc(time),
    }


@action(IngestResult)
def end_session(session_id: Id, *, time: datetime | None = None) -> Arguments:
    """End a session at `time`, now by default. Raises as `log_tool_usage` does."""
    return {"session_id": text("session_id", session_id), "time": utc(time)}


@scalar(UUID)
def begin_tool_call(
    bcp_name: str,
    tool_name: str,
    operation: str | None = "call",
    *,
    parameters: Any = None,  # noqa: ANN401 - any JSON
    user_id: Id | None = None,
    session_id: Id | None = None,
    start_time: datetime | None = None,
    request_id: Id | None = None,
    client_name: str | None = None,
    client_model: str | None = None,
    conversation_id: Id | None = None,
) -> Arguments:
    """Note that a call began, now by default, and return the id to end it with.

    Until it has ended, bcp.open_tool_calls shows it. Raises `InvalidDocument` where it could not be stored.
    """
    return {
        "bcp_name": text("bcp_name", bcp_name),
        "tool_name": text("tool_name", tool_name),
        "operation": text("operation", operation),
        "parameters": document("parameters", parameters),
        "user_id": text("user_id", user_id),
        "session_id": text("session_id", session_id),
        "start_time": utc(start_time),
        "request_id": text("request_id", request_id),
        "client_name": text("client_name", client_name),
        "client_model": text("client_model", client_model),
        "conversation_id": text("conversation_id", conversation_id),
    }


@action(IngestResult)
def end_tool_call(
    event_id: UUID | str,
    *,
    success: bool | None = None,
    response_data: Any = None,  # noqa: ANN401 - any JSON
    error_message: str | None = None,
    error_type: str | None = None,
    outcome: str | None = None,
    response_bytes: int | None = None,
    end_time: datetime | None = None,
    response_tokens: int | None = None,
) -> Arguments:
    """End a call that `begin_tool_call` began, now by default, and store it.

    Ending it twice is a duplicate, ending one that never began is rejected. Raises as `log_tool_usage` does.
    """
    return {
        "event_id": text("event_id", event_id),
        "success": success,
        "response_data": document("response_data", response_data),
        "error_message": text("error_message", error_message),
        "error_type": text("error_type", error_type),
        "outcome": text("outcome", outcome),
        "response_bytes": response_bytes,
        "end_time": utc(end_time),
        "response_tokens": response_tokens,
    }


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
    """Note what a collector did since it began, in events, and return when; `Collector` does so by itself.

    `last_error` is a class and a code, `last_error_at` when that was. Raises `InvalidArgument` where an
    argument is out of bounds.
    """
    return {
        "source": text("source", source),
        "instance": text("instance", instance),
        "recorded": recorded,
        "sent": sent,
        "spooled": spooled,
        "spooled_bytes": spooled_bytes,
        "dropped": dropped,
        "last_error": text("last_error", last_error),
        "started_at": utc(started_at),
        "last_error_at": utc(last_error_at),
    }


def _batch(events: Events, batch_id: UUID | str | None, source: str | None) -> Arguments:
    # The overload that takes text: what jsonb cannot hold is then repaired.
    return {
        "batch_id": text("batch_id", batch_id),
        "events_text": encode_batch(events),
        "source": text("source", source),
    }
