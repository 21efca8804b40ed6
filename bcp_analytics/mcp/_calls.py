"""What the middlewares have in common: measuring a call, recording it, and never being felt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bcp_analytics.collector.capture import _context
from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bcp_analytics.mcp._events import Fields, Json, Sink

UserId = str | Callable[[], str | None] | None
"""Whose calls they are, or what says it at each call, such as from a context variable."""

_watching: ContextVar[Watched | None] = ContextVar("bcp_analytics_request", default=None)
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
    """Session, client, protocol version, trace."""
    request_id: str | int | None = None


@dataclass(slots=True)
class Watched:
    """Takes the answer to a request, and when a person was waited for."""

    request: object = None
    """Session and id."""
    read: Callable[[], Json] | None = None
    waits: list[tuple[int, int]] = field(default_factory=list)

    def answer(self, read: Callable[[], Json]) -> None:
        """Take what returns the result as it is on the wire; it is called once the request is over."""
        self.read = read


class CallRecorder:
    """Records calls to a sink; a base of middlewares."""

    def __init__(
        self,
        collector: Sink,
        *,
        user_id: UserId = None,
        ask_context: bool = False,
        get_more_tools: bool = False,
    ) -> None:
        """Record to `collector`."""
        self.asking = Asking(context=ask_context, more=get_more_tools)
        self._collector = collector
        self._user_id = user_id
        self._definitions = events.Definitions()
        self.failures = 0
        """Events that could not be recorded."""
        self.process_session = str(uuid4())
        """Session of calls that did not come over HTTP: a server over stdio has one client."""

    @contextmanager
    def watch(self, about: Any, describe: Callable[[], Request]) -> Iterator[Watched]:  # noqa: ANN401
        """Measure a block that handles a request, and record what became of it, also where it raises.

        `about` is the framework's own object for the request, None where there is none. A request that comes
        by here once more while it is handled, as to a server that is mounted in another, is one call.
        """
        session = getattr(about, "session", None)
        watched = Watched((session, getattr(about, "request_id", None)))
        around = _watching.get()
        if about is not None and around is not None and around.request == watched.request:
            yield watched
            return
        token = _watching.set(watched)
        _time_questions(session)
        began, epoch = time.monotonic_ns(), time.time()
        error: BaseException | None = None
        try:
            yield watched
        except BaseException as raised:
            error = raised
            raise
        finally:
            _watching.reset(token)
            ended = time.monotonic_ns()
            try:
                times = events.durations(began, ended, watched.waits)
                times["start_time"] = datetime.fromtimestamp(epoch, UTC)
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
        }
        user = self._user_id() if callable(self._user_id) else self._user_id
        if user is not None:
            fields["user_id"] = user
        if error is not None:
            fields |= _fields_of_exception(error)
        elif watched.read is not None:
            result = watched.read()
            size = events.encoded_size(result)
            fields |= events.fields_of_listing(result) if listing else events.fields_of_result(result, size)
        fields = {name: value for name, value in fields.items() if value is not None}
        self._collector.record(request.bcp_name, tool, request.method, **fields)
        if listing and error is None and watched.read is not None:
            about = {name: fields[name] for name in ("release",) if name in fields}
            for one in self._definitions.of(request.bcp_name, watched.read(), fields["start_time"], about):
                self._collector.record(request.bcp_name, events.DEFINITION, events.LIST, **one)
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


def _time_questions(session: Any) -> None:  # noqa: ANN401 - the SDK's, of a request or of a connection
    """Have a session note with the call at hand when it asks the person at the client, and is answered."""
    send = getattr(session, "send_request", None)
    if send is None or hasattr(send, "__wrapped__"):
        return

    @wraps(send)
    async def timed(request: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        watched = _watching.get()
        # mcp 1 has it in a model around it.
        method = getattr(getattr(request, "root", request), "method", None)
        if watched is None or method != events.ELICIT:
            return await send(request, *args, **options)
        asked = time.monotonic_ns()
        try:
            return await send(request, *args, **options)
        finally:
            watched.waits.append((asked, time.monotonic_ns()))

    with suppress(AttributeError):
        session.send_request = timed


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


def records(middleware: Iterable[object]) -> bool:
    """Whether one of ours is among a server's middleware."""
    return any(isinstance(one, CallRecorder) for one in middleware)


def fields_of_http(request: Any, protocol_version: str | None) -> Fields:  # noqa: ANN401 - starlette's Request
    """Return who calls over HTTP, as far as the request says it.

    The session is that of the protocol, where that has any. Address and user agent do not tell one user from
    another.
    """
    fields: Fields = {"user_agent": events.string(request.headers.get("user-agent"))}
    if events.has_sessions(protocol_version):
        fields["session_id"] = events.string(request.headers.get("mcp-session-id"))
    with suppress(AttributeError, ValueError):
        fields["ip_address"] = str(ip_address(request.client.host))
    return fields | _principal(request.scope.get("user"))


def _principal(user: Any) -> Fields:  # noqa: ANN401 - of starlette.authentication, or of the SDK's
    """Return whom the framework has authenticated."""
    token = getattr(user, "access_token", None)
    if token is not None:
        client = events.string(getattr(token, "client_id", None))
        claims = events.mapping(getattr(token, "claims", None))
        subject = events.string(getattr(token, "subject", None)) or events.string(claims.get("sub"))
        # A program that acts for nobody else is its own user.
        return {"user_id": subject or client, "client_name": client, "client_id": client}
    if getattr(user, "is_authenticated", False) is not True:
        return {}
    for name in ("identity", "display_name"):
        with suppress(Exception):
            if found := events.string(getattr(user, name)):
                return {"user_id": found}
    return {}


def fields_of_server(server: object) -> Fields:
    """Return the release that a server names itself by."""
    return events.server_of({"version": getattr(server, "version", None)})
