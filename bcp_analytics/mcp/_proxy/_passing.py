"""Passes the requests of HTTP on to one server, and its responses back, as they come.

Bodies and headers stay as they are, but for what HTTP means for one connection alone, and for what `_asks`
changes where agents are asked. A chunk is passed on as
soon as it is here; a slow reader holds up the writer on the other side. What one side breaks off is broken
off on the other: a client sees half a response where the server has sent half of one.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from yarl import URL

from bcp_analytics.mcp._proxy._asks import Said, Talk, frames_of
from bcp_analytics.mcp._proxy._conversation import MAX_LINE, say
from bcp_analytics.mcp._proxy._exchanges import Answered, Ended, Opened
from bcp_analytics.mcp._proxy._headers import request_headers, response_headers
from bcp_analytics.mcp._proxy._pump import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bcp_analytics.mcp._asking import Asking
    from bcp_analytics.mcp._proxy._asks import Frames
    from bcp_analytics.mcp._proxy._guard import Guard, Upstream
    from bcp_analytics.mcp._proxy._pump import Tap

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

_METHODS = frozenset({"POST", "GET", "DELETE", "OPTIONS", "HEAD"})
_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_CONNECTION_CLOSED = -32_000
"""What the official SDKs say where an answer can no longer come."""
_CONNECT_S = 10
_KEEP_S = 4
"""How long a connection to the server is kept for the next request: Node and uvicorn close it after 5 s, and
a call that is sent just then is lost."""
_MAX_HEADER = 65_536


def session() -> aiohttp.ClientSession:
    """Return the client that talks to the server; to be closed."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_S),
        # A stream may be silent for as long as the server likes.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        # Read no more before what is here has been passed on: when a connection breaks, aiohttp drops what it
        # holds.
        read_bufsize=1,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
    )


class _Copy:
    """The copy of an exchange that goes to the recording."""

    def __init__(self, tap: Tap, number: int, opened: Opened) -> None:
        self._tap = tap
        self._number = number
        self._left_out = {True: 0, False: 0}
        # Where the recording is behind, a whole exchange is left out rather than torn.
        self.kept = tap.has_room(0)
        self._put(opened, from_client=True)

    def chunk(self, chunk: bytes, *, from_client: bool) -> None:
        left_out = self._left_out[from_client]
        if not self._tap.has_room(len(chunk)):
            self._left_out[from_client] += len(chunk)
            return
        if left_out:
            self._put(left_out, from_client=from_client)
            self._left_out[from_client] = 0
        self._put(chunk, from_client=from_client)
        if not from_client and chunk.endswith((b"\n\n", b"\r\n\r\n")):
            self._tap.wake()

    def asked(self) -> None:
        self._put_left_out(from_client=True)
        self._put(None, from_client=True)

    def answered(self, answer: Answered) -> None:
        self._put(answer, from_client=False)

    def end(self, how: Ended) -> None:
        self._put_left_out(from_client=False)
        self._put(how, from_client=False)
        self._tap.wake()

    def _put_left_out(self, *, from_client: bool) -> None:
        if self._left_out[from_client]:
            self._put(self._left_out[from_client], from_client=from_client)

    def _put(self, item: Any, *, from_client: bool) -> None:  # noqa: ANN401
        if self.kept:
            self._tap.put(item, now(), (self._number, from_client))


class _Incoming:
    """The client's body; cancels the task that handles the request when the client leaves."""

    def __init__(self, receive: Receive, copy: _Copy, task: asyncio.Task[Any]) -> None:
        self._receive = receive
        self._copy = copy
        self._task = task
        self._watch: asyncio.Task[None] | None = None
        self._first = b""
        self._more = True
        self.left = False

    async def data(self, *, sized: bool) -> bytes | AsyncIterator[bytes] | None:
        """Return the body, whole where it is here already."""
        self._first = await self._next()
        if self._more:
            return self._chunks()
        return self._first if self._first or sized else None

    async def changed(self, change: Callable[[bytes], Said]) -> Said | AsyncIterator[bytes]:
        """Return what becomes of the body, or the body as it is where it is too long to be held."""
        parts = []
        size = 0
        while self._more and size <= MAX_LINE:
            parts.append(await self._take())
            size += len(parts[-1])
        self._first = b"".join(parts)
        if self._more:
            self._note(self._first)
            return self._chunks()
        said = change(self._first)
        self._note(said.recorded)
        return said

    def stay(self) -> None:
        """Cancel nothing any more."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._watch is not None:
            self.left = True
            self._task.cancel()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._first
        while self._more:
            yield await self._next()

    async def _next(self) -> bytes:
        chunk = await self._take()
        self._note(chunk)
        return chunk

    async def _take(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            raise ConnectionResetError
        chunk: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        return chunk

    def _note(self, chunk: bytes) -> None:
        if chunk:
            self._copy.chunk(chunk, from_client=True)
        if not self._more:
            self._copy.asked()
            self._watch = asyncio.ensure_future(self._until_left())


class _Refusal(NamedTuple):
    status: int
    reason: str


class Passing:
    """The ASGI application."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        upstream: Upstream,
        guard: Guard,
        tap: Tap,
        *,
        asking: Asking | None = None,
    ) -> None:
        """Pass to `upstream`, by `client`, what `guard` lets through, unchanged unless there is `asking`."""
        self._asking = asking
        self._client = client
        self._upstream = upstream
        self._guard = guard
        self._tap = tap
        self._numbers = count()
        self._streams: set[asyncio.Task[Any]] = set()
        self._left_out = 0
        self._failed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refusal = self._guard.refusal(scope)
        if refusal is None and scope["method"] not in _METHODS:
            refusal = 405, "The method is none of those that the protocol uses."
        if refusal is not None:
            await _refuse(send, _Refusal(*refusal))
            return
        copy = _Copy(self._tap, next(self._numbers), _opened(scope))
        if not copy.kept:
            self._left_out += 1
            if self._left_out == 1:
                say("the recording is behind: calls are left out of it; they are passed on all the same")
        how = Ended.STOPPED
        try:
            how = await self._exchange(scope, receive, send, copy)
        except Exception as error:
            # The server of this side breaks the response off, and says nothing.
            self._failed += 1
            if self._failed == 1:
                say(f"a request could not be passed on: {type(error).__name__}: {error}")
            raise
        finally:
            copy.end(how)

    def break_off_streams(self) -> None:
        """End the streams that clients hold open without waiting for an answer, as the proxy is stopped."""
        for task in self._streams:
            task.cancel()

    async def _exchange(self, scope: Scope, receive: Receive, send: Send, copy: _Copy) -> Ended:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        incoming = _Incoming(receive, copy, task)
        if scope["method"] == "GET":
            self._streams.add(task)
        outgoing = _Outgoing(send, copy, incoming.stay)
        try:
            return await self._pass(scope, incoming, outgoing)
        except asyncio.CancelledError:
            # By `_Incoming`, `break_off_streams`, or the server of this side after its patience.
            if not incoming.left and not outgoing.began:
                await _refuse(send, _Refusal(503, "The proxy is being stopped."))
            return Ended.LEFT if incoming.left else Ended.STOPPED
        finally:
            self._streams.discard(task)
            incoming.stay()

    async def _pass(self, scope: Scope, incoming: _Incoming, outgoing: _Outgoing) -> Ended:
        try:
            headers, sized = request_headers(scope["headers"])
        except UnicodeDecodeError:
            return await outgoing.refuse(400, "A header of the request is not UTF-8.")
        response = await self._response(scope, incoming, outgoing, headers, sized=sized)
        if isinstance(response, Ended):
            return response
        async with response:
            location = response.headers.get("location")
            if response.status in _REDIRECTS and location is not None:
                # Followed, it could lead anywhere, with what the client trusts this one server with.
                where = _without_secrets(location)
                return await outgoing.refuse(
                    502, f"The server redirects to {where}: if it has moved there, give that as --upstream."
                )
            await outgoing.begin(response)
            content = response.content
            try:
                last = False
                while not last:
                    chunk = await content.readany()
                    last = content.at_eof()
                    await outgoing.chunk(chunk, last=last)
            except (aiohttp.ClientError, OSError):
                # Without a last chunk, the server of this side closes the connection.
                await outgoing.give_held()
                return Ended.BROKEN
        return Ended.WHOLE

    async def _response(
        self,
        scope: Scope,
        incoming: _Incoming,
        outgoing: _Outgoing,
        headers: list[tuple[str, str]],
        *,
        sized: bool,
    ) -> aiohttp.ClientResponse | Ended:
        """Return what the server responds, or how it ended where the client needs no response of it."""
        url = URL(self._upstream.url(scope["query_string"].decode("latin-1")), encoded=True)
        try:
            if self._asking is None:
                data = await incoming.data(sized=sized)
            else:
                data = await _asked(self._asking, scope, incoming, outgoing, headers)
                if outgoing.began:
                    return Ended.WHOLE
            return await self._client.request(
                scope["method"], url, data=data, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            if incoming.left:
                return Ended.LEFT
            return await outgoing.refuse(
                502, f"The server at {self._upstream.origin} cannot be reached: {_why(error)}"
            )


class _Outgoing:
    """The response to the client."""

    def __init__(self, send: Send, copy: _Copy, before_end: Callable[[], object]) -> None:
        self._send = send
        self._copy = copy
        self._before_end = before_end
        self.began = False
        self.talk: Talk | None = None
        """What changes the answer, where it may have to be changed."""
        self._frames: Frames | None = None

    async def begin(self, response: aiohttp.ClientResponse) -> None:
        def text(name: str) -> str:
            return response.headers.get(name, "")

        self._copy.answered(
            Answered(response.status, text("mcp-session-id"), text("content-type"), text("content-encoding"))
        )
        self.began = True
        headers = response_headers(response.raw_headers)
        if self.talk is not None and text("content-encoding").strip().lower() in {"", "identity"}:
            self._frames = frames_of(text("content-type"), self.talk)
            if self._frames is not None:
                headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})

    async def chunk(self, chunk: bytes, *, last: bool) -> None:
        if self._frames is not None:
            chunk = b"".join(self._frames.feed(chunk)) + (self._frames.end() if last else b"")
            if not (chunk or last):
                return
        # To the recording first, or the next request might come before this answer.
        if chunk:
            self._copy.chunk(chunk, from_client=False)
        if last:
            self._before_end()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})

    async def give_held(self) -> None:
        """Pass on the part that there is of a message that was held until its end."""
        held = b"" if self._frames is None else self._frames.end(whole=False)
        if held:
            self._frames = None
            await self.chunk(held, last=False)

    async def answer(self, body: bytes) -> None:
        """Answer a call in the server's place."""
        self.began = True
        self._before_end()
        self._copy.answered(Answered(200, "", "application/json", ""))
        self._copy.chunk(body, from_client=False)
        await _send_json(self._send, 200, body)

    async def refuse(self, status: int, reason: str) -> Ended:
        """Answer in the server's place, and have that recorded as what the client was told."""
        self.began = True
        self._before_end()
        self._copy.answered(Answered(status, "", "application/json", ""))
        self._copy.chunk(await _refuse(self._send, _Refusal(status, reason)), from_client=False)
        return Ended.WHOLE


async def _refuse(send: Send, refusal: _Refusal) -> bytes:
    """Answer with an error of the protocol that is the proxy's own, and return the answer."""
    error = {"code": _CONNECTION_CLOSED, "message": f"bcp-analytics proxy: {refusal.reason}"}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    allowed = (b"allow", ", ".join(sorted(_METHODS)).encode())
    await _send_json(send, refusal.status, body, *([allowed] if refusal.status == 405 else []))  # noqa: PLR2004
    return body


async def _send_json(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _asked(
    asking: Asking, scope: Scope, incoming: _Incoming, outgoing: _Outgoing, headers: list[tuple[str, str]]
) -> bytes | AsyncIterator[bytes] | None:
    """Return the body for the server where agents are asked, or answer; `headers` come to fit it."""
    opened = _opened(scope)
    talk = Talk(asking, opened.version or None)
    sized = any(name == "content-length" for name, _ in headers)
    resumed = any(name == "last-event-id" for name, _ in headers)
    if scope["method"] != "POST" or opened.encoding:
        data = await incoming.data(sized=sized)
        lists = resumed
    else:
        said = await incoming.changed(talk.of_client)
        if not isinstance(said, Said):
            return said
        if said.answer:
            await outgoing.answer(said.answer)
            return None
        data, lists = said.passed if said.passed or sized else None, said.lists
        if said.passed is not said.recorded:
            headers[:] = [pair for pair in headers if pair[0] != "content-length"]
    if lists:
        # A list that comes compressed could not be changed.
        headers[:] = [pair for pair in headers if pair[0] != "accept-encoding"]
        headers.append(("accept-encoding", "identity"))
        outgoing.talk = talk
    return data


def _opened(scope: Scope) -> Opened:
    found: dict[bytes, str] = {name: value.decode("latin-1") for name, value in scope["headers"]}

    def text(name: bytes) -> str:
        return found.get(name, "")

    return Opened(
        scope["method"],
        text(b"mcp-session-id"),
        text(b"mcp-protocol-version"),
        text(b"user-agent"),
        scope["client"][0] if scope.get("client") else "",
        text(b"content-encoding"),
    )


def _why(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer."
    return f"{getattr(inner, 'strerror', None) or type(error).__name__}."


def _without_secrets(location: str) -> str:
    """Return a URL without its query, which may hold a token, and without a user."""
    with suppress(ValueError):
        parts = urlsplit(location)
        return str(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))[:200]
    return "another address"
