"""Records become events of the store: tool calls, and errors from the exceptions of their spans."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bcp_analytics._core.own import OWN_SERVER
from bcp_analytics.serve._otlp._mapping import Rule, Rules, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bcp_analytics.serve._otlp._record import Event, Record

NO_CALL = "no tool call"
OWN_CALL = "a call of the store's own MCP server"

_OF_ERRORS = (
    "bcp_name",
    "tool_name",
    "operation",
    "user_id",
    "session_id",
    "conversation_id",
    "client_name",
    "request_id",
    "trace_id",
    "release",
)


@dataclass(slots=True)
class Found:
    """What a request holds. Ignored records are neither stored nor rejected."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """How many records were ignored for each reason."""


def find(records: Iterable[Record], rules: Rules, vantage: str | None) -> Found:
    """Return the calls among records that a token of this vantage sent, and the errors of these."""
    found = Found()
    is_client = vantage == "client"
    for record in records:
        rule = next((r for r in rules[record.signal] if r.matches(record)), None)
        if rule is None:
            found.ignored[NO_CALL] += 1
        elif rule.reason is not None:
            found.ignored[rule.reason] += 1
        elif rule.vantage is not None and (rule.vantage == "client") != is_client:
            found.ignored[
                f"a call as the {rule.vantage} saw it, from a token of vantage {vantage or 'server'}"
            ] += 1
        else:
            exceptions = [event for event in record.events if event.name == "exception"]
            call = _call(record, rule, exceptions)
            if call.get("bcp_name") == OWN_SERVER:
                found.ignored[OWN_CALL] += 1
                continue
            found.calls.append(call)
            found.errors += [e for n, x in enumerate(exceptions) if (e := _error(call, x, n)) is not None]
    return found


def _call(record: Record, rule: Rule, exceptions: list[Event]) -> dict[str, Any]:
    call = rule.fill(record)
    is_error = call.pop("is_error", None) is True
    if is_error:
        # The name that the conventions for MCP give to an answer that says isError.
        call.setdefault("error_type", "tool_error")
    failed = is_error or "error_type" in call or record.own.get("status") == "error"
    if record.signal == "span":
        # A status that is unset means success, by the conventions, where there is no error.type.
        call["success"] = not failed and call.get("success") is not False
        _add_times(call, record)
    elif failed:
        call.setdefault("success", False)
    if call.get("success") is False:
        _add_failure(call, record, exceptions)
    else:
        call.pop("error_type", None)
    ids = {"span_id": record.span_id, "parent_span_id": record.parent_span_id}
    call |= {name: value for name, value in ids.items() if value is not None}
    call["otel_mapping"] = rule.name
    if record.trace_id is not None:
        call["trace_id"] = record.trace_id
    call.setdefault("event_id", _event_id(record, rule, call))
    return call


def _add_times(call: dict[str, Any], record: Record) -> None:
    if record.start_ns:
        call["start_time"] = time_of(record.start_ns)
    if record.start_ns and record.end_ns >= record.start_ns:
        call["duration_ms"] = (record.end_ns - record.start_ns) / 1e6
    elif record.end_ns:
        call["end_time"] = time_of(record.end_ns)


def _add_failure(call: dict[str, Any], record: Record, exceptions: list[Event]) -> None:
    last = exceptions[-1].attributes if exceptions else {}
    for name, value in (
        ("error_message", record.status_message or last.get("exception.message")),
        ("error_type", last.get("exception.type")),
    ):
        if isinstance(value, str) and value:
            call.setdefault(name, value)


def _event_id(record: Record, rule: Rule, call: dict[str, Any]) -> str:
    """Return what the same record has each time it is sent."""
    if record.signal == "span" and record.trace_id and record.span_id:
        return f"{record.trace_id}-{record.span_id}"
    session = call.get("conversation_id") or call.get("session_id")
    if record.signal == "log" and session and "request_id" in call:
        given = f"{rule.name}/{session}/{call['request_id']}"
        return hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()
    return record.digest().hex()


def _error(call: dict[str, Any], event: Event, number: int) -> dict[str, Any] | None:
    said = {
        name: value
        for name in ("type", "message", "stacktrace")
        if isinstance(value := event.attributes.get(f"exception.{name}"), str) and value
    }
    message = said.get("message") or said.get("type")
    if message is None:
        return None
    error = {name: call[name] for name in _OF_ERRORS if name in call}
    error |= {
        # As for calls that the proxy and the middleware record: the tool failed, the protocol did not.
        "level": "warn" if call.get("error_type") == "tool_error" else "error",
        "message": message,
        "error_type": said.get("type"),
        "stack_trace": said.get("stacktrace"),
        "timestamp": time_of(event.time_ns),
        "event_id": f"{call['event_id']}-{number}",
    }
    return {name: value for name, value in error.items() if value is not None}
