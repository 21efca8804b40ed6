"""What Collector and AsyncCollector have in common: the methods that record, which never raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics.collector.api._calls import Call, tracker
from bcp_analytics.collector.capture import _context, _events

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import ParamSpec, TypeVar
    from uuid import UUID

    from bcp_analytics._core.arguments import Address, ErrorLevel, Id
    from bcp_analytics.collector._stats import CollectorStats
    from bcp_analytics.collector.pipeline._core import Core

    P = ParamSpec("P")
    R = TypeVar("R")

_URGENT = frozenset({"error", "fatal"})
# Arguments of record_error that the event does not have as they are.
_NO_FIELDS = frozenset({"self", "exception", "attributes"})


class Recorder:
    """Takes events and hands them, encoded, to the core."""

    _core: Core
    source: str

    def record(
        self,
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
        response_tokens: int | None = None,
        ip_address: Address | None = None,
        user_agent: str | None = None,
        conversation_id: Id | None = None,
        intent: str | None = None,
        **attributes: Any,  # noqa: ANN401
    ) -> str:
        """Record one tool call and return its event id, a new UUIDv7 where none is given.

        The fields are those of `ingest.log_tool_usage`; further ones are kept as attributes. Without a time
        the call ended now where `duration_ms` (milliseconds) is given, else it began now.
        """
        event_id = _events.new_event_id() if event_id is None else _events.given_id(event_id)
        try:
            if start_time is None and end_time is None:
                if duration_ms is None:
                    attributes["start_time"] = _events.now()
                else:
                    attributes["end_time"] = _events.now()
            # Not from locals(), as in record_error: that takes a tenth more time, and calls are many.
            known = (
                ("parameters", parameters),
                ("response_data", response_data),
                ("success", success),
                ("error_message", error_message),
                ("start_time", start_time),
                ("end_time", end_time),
                ("duration_ms", duration_ms),
                ("user_id", user_id),
                ("session_id", session_id),
                ("outcome", outcome),
                ("error_type", error_type),
                ("request_id", request_id),
                ("trace_id", trace_id),
                ("client_name", client_name),
                ("client_version", client_version),
                ("client_model", client_model),
                ("release", release),
                ("request_bytes", request_bytes),
                ("response_bytes", response_bytes),
                ("response_tokens", response_tokens),
                ("ip_address", ip_address),
                ("user_agent", user_agent),
                ("conversation_id", conversation_id),
                ("intent", intent),
            )
            # Leave nulls out: encoding twenty of them costs more than the rest.
            event = {name: value for name, value in known if value is not None}
            event["event_id"] = event_id
            event["bcp_name"] = bcp_name
            event["tool_name"] = tool_name
            event["operation"] = operation
            if attributes:
                event |= attributes
            self._core.put(_events.CALLS, event)
        except Exception as error:  # noqa: BLE001 - a tool must not fail for being recorded
            self._core.lost(error)
        return event_id

    def record_error(
        self,
        level: ErrorLevel,
        message: str | None = None,
        *,
        exception: BaseException | None = None,
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
        **attributes: Any,  # noqa: ANN401
    ) -> str:
        """Record one error and return its event id; of level error or fatal it is sent at once.

        The fields are those of `ingest.log_error`. `exception` fills in what is not given: message, type,
        stack trace and, in the context, its chain, the frames in the application's own code, and the
        runtime.
        """
        event_id = _events.new_event_id() if event_id is None else _events.given_id(event_id)
        try:
            event = {
                name: value
                for name, value in locals().items()
                if value is not None and name not in _NO_FIELDS
            } | attributes
            if not message:
                event.pop("message", None)
            event.setdefault("timestamp", _events.now())
            _context.complete(event, exception)
            self._core.put(_events.ERRORS, event, urgent=level in _URGENT)
        except Exception as error:  # noqa: BLE001 - a tool must not fail for being recorded
            self._core.lost(error)
        return event_id

    def metric(
        self,
        name: str,
        value: float,
        *,
        labels: dict[str, Any] | None = None,
        timestamp: datetime | None = None,
        aggregation_period: str | None = None,
        event_id: UUID | str | None = None,
    ) -> str:
        """Record one value of a metric, measured now by default, and return its event id."""
        event_id = _events.new_event_id() if event_id is None else _events.given_id(event_id)
        event = {
            "metric_name": name,
            "metric_value": value,
            "labels": labels,
            "timestamp": timestamp,
            "aggregation_period": aggregation_period,
            "event_id": event_id,
        }
        self._put(_events.METRICS, event, "timestamp")
        return event_id

    def touch_session(
        self,
        session_id: Id,
        *,
        user_id: Id | None = None,
        client_name: str | None = None,
        client_version: str | None = None,
        ip_address: Address | None = None,
        user_agent: str | None = None,
        time: datetime | None = None,
        **attributes: Any,  # noqa: ANN401
    ) -> None:
        """Make a session, or say that it is active at `time`, now by default."""
        event = attributes | {
            "session_id": session_id,
            "user_id": user_id,
            "client_name": client_name,
            "client_version": client_version,
            "ip_address": ip_address,
            "user_agent": user_agent,
            "last_activity": time,
        }
        self._put(_events.SESSIONS, event, "last_activity")

    def end_session(self, session_id: Id, *, time: datetime | None = None) -> None:
        """End a session at `time`, now by default."""
        self._put(_events.SESSIONS, {"session_id": session_id, "ended_at": time}, "ended_at")

    def call(
        self,
        bcp_name: str,
        tool_name: str,
        operation: str | None = "call",
        **fields: Any,  # noqa: ANN401
    ) -> Call:
        """Return a context manager that records the call which its block makes, with duration and outcome.

        It yields a `Call`, on which the block may set `response_data`, `success`, `outcome`, `error_type`,
        `error_message`, `response_bytes`, `response_tokens` and `intent`. An exception of the block is
        recorded and goes on. `fields` are further fields of record(); `parameters` are kept as they are at
        the start.
        """
        return Call(self, bcp_name, tool_name, operation, fields)

    def tracked(
        self,
        bcp_name: str | None = None,
        tool_name: str | None = None,
        operation: str | None = "call",
        *,
        arguments: bool = True,
        response: bool = True,
        errors: bool = True,
        **fields: Any,  # noqa: ANN401
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records each call of a function, sync or async, or a generator.

        `bcp_name` is the collector's source by default, `tool_name` the function's name. `arguments`
        records the arguments by name, except self and cls; `response` records what the function returns;
        `errors` records what it raises as an error of its own, too. `fields` are further fields of
        record().

        Where a function returns what goes on (an awaitable, a future, a generator, sync or async, a streaming
        response of Starlette), the call ends when that is through, by what that raises; where nobody uses it,
        or stops before its end, the call was cancelled. What a generator yields is not recorded.
        """
        return tracker(
            self,
            bcp_name,
            tool_name,
            operation,
            arguments=arguments,
            response=response,
            errors=errors,
            fields=fields,
        )

    def stats(self) -> CollectorStats:
        """Return what the collector did and where it stands; asks no database."""
        return self._core.stats()

    def _put(self, kind: int, event: dict[str, Any], time_field: str) -> None:
        try:
            event = {name: value for name, value in event.items() if value is not None}
            event.setdefault(time_field, _events.now())
            self._core.put(kind, event)
        except Exception as error:  # noqa: BLE001 - a tool must not fail for being recorded
            self._core.lost(error)
