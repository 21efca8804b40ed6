"""What the middlewares have in common: measuring a call, recording it, and never being felt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bcp_analytics import _mcp_events as events
from bcp_analytics.collector import _context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bcp_analytics._mcp_events import Fields, Json, Sink

UserId = str | Callable[[], str | None] | None
"""Whose calls they are, or what says it at each call, such as from a context variable."""

_logger = logging.getLogger("bcp_analytics.mcp")
_SAID_AS_RESULT = {("fastmcp", name) for name in ("FastMCPError", "NotFoundError", "DisabledError")}
"""What FastMCP turns into a result that says isError; anything else becomes an error of the protocol."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the middleware saw it."""

    bcp_name: str
    method: str
    params: Mapping[str, Any]
    fields: Fields
    """Client, protocol version, trace."""
    request_id: str | int | None = None
    session_id: str | None = None


@dataclass(slots=True)
class Watched:
    """Takes the answer to a request."""

    read: Callable[[], Json] | None = None

    def answer(self, read: Callable[[], Json]) -> None:
        """Take what returns the result as it is on the wire; it is called once the request is over."""
        self.read = read


class CallRecorder:
    """Records calls to a sink; a base of middlewares."""

    def __init__(self, collector: Sink, *, user_id: UserId = None) -> None:
        """Record to `collector`."""
        self._collector = collector
        self._user_id = user_id
        self.failures = 0
        """Events that could not be recorded."""
        self.process_session = str(uuid4())
        """Session of calls that came over no HTTP: a server over stdio has one client."""

    @contextmanager
    def watch(self, describe: Callable[[], Request]) -> Iterator[Watched]:
        """Measure a block that handles a request, and record what became of it, also where it raises."""
        watched = Watched()
        began, epoch = time.monotonic_ns(), time.time()
        error: BaseException | None = None
        try:
            yield watched
        except BaseException as raised:
            error = raised
            raise
        finally:
            duration_ms = (time.monotonic_ns() - began) / 1e6
            try:
                times = {"start_time": datetime.fromtimestamp(epoch, UTC), "duration_ms": duration_ms}
                self._record(describe(), times, watched, error)
            except Exception as failure:  # noqa: BLE001 - a tool must not fail for being recorded
                self._failed(failure)

    def _record(self, request: Request, times: Fields, watched: Watched, error: BaseException | None) -> None:
        params = request.params
        listing = request.method == events.LIST
        tool = events.LIST if listing else str(params.get("name") or "(no name)")
        parameters = None if listing else params.get("arguments")
        size = events.encoded_size(parameters)
        fields = request.fields | times
        fields |= {
            "parameters": events.fitting(parameters, size) if parameters is not None else None,
            "request_bytes": events.encoded_size(params),
            "request_id": None if request.request_id is None else str(request.request_id),
            "session_id": request.session_id,
            "user_id": self._user_id() if callable(self._user_id) else self._user_id,
        }
        if error is not None:
            fields |= _fields_of_exception(error)
        elif watched.read is not None:
            result = watched.read()
            size = events.encoded_size(result)
            fields |= events.fields_of_listing(result) if listing else events.fields_of_result(result, size)
        fields = {name: value for name, value in fields.items() if value is not None}
        self._collector.record(request.bcp_name, tool, request.method, **fields)
        level = events.level_of(fields)
        if level is not None:
            about = events.error_of(request.bcp_name, tool, request.method, fields)
            if isinstance(error, Exception):
                # What the tool raised, where the framework wrapped it to say so.
                about["exception"] = error.__cause__ or error
            self._collector.record_error(level, fields["error_message"], **about)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            _logger.warning("Recording failed; the tools go on.", exc_info=error)


def _fields_of_exception(error: BaseException) -> Fields:
    """Return what the client will see of a request whose handling raised, and the exception's class."""
    if isinstance(error, asyncio.CancelledError):
        return events.cancelled("client", "The client cancelled the call.")
    code = getattr(getattr(error, "error", None), "code", None)
    message = str(error) or type(error).__name__
    if isinstance(code, int):
        return events.fields_of_error({"code": code, "message": message})
    names = {(base.__module__.partition(".")[0], base.__name__) for base in type(error).__mro__}
    if names & _SAID_AS_RESULT:
        result = {"content": [{"type": "text", "text": message}], "isError": True}
        fields = events.fields_of_result(result, events.encoded_size(result))
    else:
        fields = events.failed(None, message) | {"response_bytes": events.text_bytes(message)}
    # What the tool raised, where the framework wrapped it to say so.
    raised = error.__cause__ or error
    return fields | {"error_type": _context.type_name(raised)} | _context.chain_of_types(raised)


def http_session(request: Any) -> str | None:  # noqa: ANN401 - starlette's Request
    """Return the session that a client names over HTTP; from protocol version 2026-07-28 on it names none.

    The store then finds the session by user, client and time.
    """
    return events.string(request.headers.get("mcp-session-id"))
