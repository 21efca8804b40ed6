"""Reads the exchanges of the streamable HTTP transport, and records the calls among them.

A client posts each message by a request of its own. The answer is the body of the response or an event in it.
Up to version 2025-11-25 of the protocol it may also come on another stream, which the client opens where the
first one broke off. What holds all of these together is the session, where the server gives one.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._proxy._bodies import Ignored, body_of
from bcp_analytics.mcp._proxy._conversation import UNKNOWN, UNREAD, Conversation, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bcp_analytics.mcp._events import Fields, Sink
    from bcp_analytics.mcp._proxy._bodies import Body
    from bcp_analytics.mcp._proxy._conversation import Moment, Request
    from bcp_analytics.mcp._proxy._lines import Line

_MAX_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A client's request: what its headers say, an empty text where they do not."""

    method: str
    session: str
    version: str
    user_agent: str
    address: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The response to it."""

    status: int
    session: str
    content_type: str
    encoding: str


class Ended(Enum):
    """How an exchange ended."""

    WHOLE = "with the whole response"
    BROKEN = "because the server broke off"
    LEFT = "because the client left"
    STOPPED = "because the proxy is stopped"


class HttpObserver:
    """Reads exchanges, and sends what it understands to a sink; never raises."""

    def __init__(
        self, bcp_name: str, sink: Sink, *, user_id: str | None = None, say: Callable[[str], None]
    ) -> None:
        """`say` is called once, should recording fail."""
        self._journal = Journal(bcp_name, sink, say)
        self.counts = self._journal.counts
        self._user: Fields = {"user_id": user_id} if user_id else {}
        self._release: str | None = None
        self._exchanges: dict[int, _Exchange] = {}
        self._sessions: OrderedDict[str, Conversation] = OrderedDict()

    def take(self, item: Any, at: Moment, way: tuple[int, bool]) -> bool:  # noqa: ANN401
        """Take what a `Tap` yields: of which exchange, and whether it is the client's."""
        number, from_client = way
        if isinstance(item, Opened):
            self._exchanges[number] = _Exchange(item, self._conversation(item))
            return False
        exchange = self._exchanges.get(number)
        if exchange is None:
            return False
        if isinstance(item, bytes):
            exchange.feed(item, at, from_client=from_client)
        elif isinstance(item, int):
            self.counts.unread_bytes += item
            exchange.gap(item, from_client=from_client)
        elif item is None:
            exchange.asked(at)
        elif isinstance(item, Answered):
            exchange.answered(item)
            self._adopt(exchange)
        elif isinstance(item, Ended):
            del self._exchanges[number]
            exchange.end(item, at)
            # Without sessions it is said once, and is so for the calls that follow: there is but one server.
            self._release = exchange.conversation.release or self._release
            self._forget(exchange, at)
        return False

    def finish(self, at: Moment, **_: Any) -> None:  # noqa: ANN401
        """Record calls that nobody will answer any more. Sessions go on: the server has them."""
        for exchange in self._exchanges.values():
            exchange.end(Ended.STOPPED, at)
        for conversation in self._sessions.values():
            conversation.give_up_all(UNKNOWN, None)

    def _conversation(self, opened: Opened) -> Conversation:
        """Return that of the session, or one for this exchange alone."""
        session = _session(opened.session, opened.version)
        found = self._sessions.get(session)
        if found is not None:
            self._sessions.move_to_end(session)
            return found
        about = {
            "user_agent": opened.user_agent,
            "ip_address": opened.address,
            "protocol_version": opened.version,
            "release": self._release,
        }
        about = {name: value for name, value in about.items() if value}
        made = Conversation(self._journal, self._user | ({"session_id": session} if session else {}), about)
        if session:
            self._keep(session, made)
        return made

    def _adopt(self, exchange: _Exchange) -> None:
        """Keep the conversation in which a client has just been given a session."""
        conversation, answer = exchange.conversation, exchange.answer
        session = "" if answer is None else _session(answer.session, exchange.opened.version)
        if session and "session_id" not in conversation.who and session not in self._sessions:
            conversation.who = conversation.who | {"session_id": session}
            conversation.touch()
            self._keep(session, conversation)

    def _keep(self, session: str, conversation: Conversation) -> None:
        self._sessions[session] = conversation
        if len(self._sessions) > _MAX_SESSIONS:
            _, oldest = self._sessions.popitem(last=False)
            oldest.give_up_all(UNKNOWN, None)

    def _forget(self, exchange: _Exchange, at: Moment) -> None:
        """Note the end of a session that its client ended."""
        if exchange.opened.method != "DELETE" or exchange.answer is None:
            return
        found = self._sessions.get(_session(exchange.opened.session, exchange.opened.version))
        if found is not None and exchange.answer.status < HTTPStatus.MULTIPLE_CHOICES:
            del self._sessions[found.who["session_id"]]
            found.give_up_all(UNKNOWN, None)
            found.end_session(at)


class _Exchange:
    """A request of HTTP and its response."""

    def __init__(self, opened: Opened, conversation: Conversation) -> None:
        self.opened = opened
        self.answer: Answered | None = None
        self.conversation = conversation
        # A server may take a message for JSON that does not say so.
        self._from_client: Body = body_of("application/json", opened.encoding)
        self._from_server: Body = Ignored()
        self._requests: list[Request] = []
        self._torn = False

    def feed(self, chunk: bytes, at: Moment, *, from_client: bool) -> None:
        """Take bytes of a body."""
        body = self._from_client if from_client else self._from_server
        self._read(body.feed(chunk), at, from_client=from_client)

    def gap(self, size: int, *, from_client: bool) -> None:
        """Note that bytes of a body were left out."""
        (self._from_client if from_client else self._from_server).gap(size)
        self._torn |= not from_client

    def asked(self, at: Moment) -> None:
        """Note the end of the client's body."""
        self._read(self._from_client.end(), at, from_client=True)
        self._from_client = Ignored()

    def answered(self, answer: Answered) -> None:
        """Take what the response says of itself."""
        self.answer = answer
        self._from_server = body_of(answer.content_type, answer.encoding)

    def end(self, how: Ended, at: Moment) -> None:
        """Take the end, and record what the client has asked for in vain."""
        # Of a body that the server did not want to hear to its end, an outline tells.
        self.asked(at)
        self._read(self._from_server.end(), at, from_client=False)
        if not (self._from_server.resumable and "session_id" in self.conversation.who):
            fields, ended = self._in_vain(how, at)
            self.conversation.give_up(self._requests, fields, ended)

    def _read(self, lines: Iterable[Line], at: Moment, *, from_client: bool) -> None:
        for line in lines:
            to = None if from_client else self._requests
            self._requests += self.conversation.read(line, at, from_client=from_client, to=to)

    def _in_vain(self, how: Ended, at: Moment) -> tuple[Fields, Moment | None]:
        """Return what is known of a request that the response has not answered, as far as it was read."""
        if self._torn:
            return UNREAD, None
        if how is Ended.LEFT and not _has_sessions(self.opened.version):
            # There this is how a client cancels.
            return events.cancelled("client", "The client closed the stream."), at
        if how in {Ended.LEFT, Ended.STOPPED} or self.answer is None:
            return UNKNOWN, None
        status = self.answer.status
        if status >= HTTPStatus.BAD_REQUEST:
            return events.failed(str(status), f"HTTP {status} {_phrase(status)}".rstrip()), at
        verb = "broke off" if how is Ended.BROKEN else "ended"
        return events.failed("no_answer", f"The server {verb} before the call was answered."), at


def _has_sessions(version: str) -> bool:
    return events.has_sessions(version or None)


def _session(header: str, version: str) -> str:
    """Return what a session is called in the store: whoever knows its id of the protocol can act in it."""
    if not header or not _has_sessions(version):
        return ""
    return hashlib.sha256(header.encode()).hexdigest()[:32]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
