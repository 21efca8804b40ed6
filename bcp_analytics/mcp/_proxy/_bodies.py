"""Reading the bodies of HTTP in bounded memory: a JSON message, or a stream of events, perhaps compressed.

https://html.spec.whatwg.org/multipage/server-sent-events.html has the form of the latter.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

from bcp_analytics.mcp._proxy._conversation import MAX_LINE
from bcp_analytics.mcp._proxy._lines import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bcp_analytics.mcp._proxy._lines import Line

READABLE_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "identity"})
"""Content codings that Python can undo without another package."""
_MAX_HEAD = 1_000
"""Bytes of a line of a stream, other than data, that are kept."""
_INFLATED = 262_144
_MAX_INFLATED = 2 * MAX_LINE
"""Of a chunk that inflates to more, the rest is not read: a megabyte can stand for a gigabyte."""


class Body(Protocol):
    """Takes a body in parts, and returns the messages in it as soon as they are whole."""

    @property
    def resumable(self) -> bool:
        """Whether it has named a place from which a client can have the rest of it."""

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes."""

    def gap(self, size: int) -> None:
        """Note that bytes were not kept."""

    def end(self) -> Iterator[Line]:
        """Take the end."""


class Ignored:
    """A body that is no message, such as a page that says what went wrong."""

    resumable = False

    def feed(self, _: bytes) -> Iterator[Line]:
        """Ignore them."""
        return iter(())

    def gap(self, _: int) -> None:
        """Ignore them."""

    def end(self) -> Iterator[Line]:
        """Ignore it."""
        return iter(())


class Message:
    """A body that is one message, or one batch."""

    resumable = False

    def __init__(self) -> None:
        """Start empty."""
        self._parts = Parts(MAX_LINE)

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes."""
        self._parts.add(chunk)
        return iter(())

    def gap(self, size: int) -> None:
        """Note that bytes were not kept."""
        self._parts.gap(size)

    def end(self) -> Iterator[Line]:
        """Return the message."""
        if self._parts.size:
            yield self._parts.take()


class Events:
    """A stream of events, the data of each of which is a message."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.resumable = False
        self._data = Parts(MAX_LINE)
        self._head = b""
        self._in_data = False
        self._after_return = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes, and return the data of the events that end in them."""
        chunk = self._with_newlines(chunk)
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            self._add(chunk[begin:end])
            yield from self._end_line()
            begin = end + 1
        self._add(chunk[begin:])

    def gap(self, size: int) -> None:
        """Note that bytes were not kept: the event that they belong to is torn."""
        self._data.gap(size)
        self._in_data = True

    def end(self) -> Iterator[Line]:
        """Forget an event that has no end, as clients do."""
        return iter(())

    def _with_newlines(self, chunk: bytes) -> bytes:
        """Turn each of the three ways in which a line may end into one."""
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_return = False
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _add(self, part: bytes) -> None:
        if self._in_data:
            self._data.add(part)
            return
        if len(self._head) < _MAX_HEAD:
            self._head += part
        if self._head.startswith(b"data:") and len(self._head) > len(b"data: "):
            self._begin_data()

    def _begin_data(self) -> None:
        if self._data.size:
            self._data.add(b"\n")
        self._data.add(self._head[5:].removeprefix(b" "))
        self._in_data, self._head = True, b""

    def _end_line(self) -> Iterator[Line]:
        if self._in_data:
            self._in_data = False
        elif self._head:
            name, _, value = self._head.partition(b":")
            self.resumable |= name == b"id" and bool(value.strip())
            if name == b"data" and self._data.size:
                # An empty line within a message.
                self._data.add(b"\n")
        elif self._data.size:
            yield self._data.take()
        self._head = b""


class Inflated:
    """A body that comes compressed."""

    def __init__(self, body: Body) -> None:
        """Read `body` out of gzip or zlib's format."""
        self._body = body
        # Either format, by its header.
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._torn = False

    @property
    def resumable(self) -> bool:
        """Whether it has named a place from which a client can have the rest of it."""
        return self._body.resumable

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes."""
        room = _MAX_INFLATED
        while chunk and not self._torn:
            try:
                part = self._inflate.decompress(chunk, _INFLATED)
            except zlib.error:
                break
            room -= len(part)
            chunk = self._inflate.unconsumed_tail
            yield from self._body.feed(part)
            if room < 0 or (chunk and not part):
                break
        if chunk:
            self.gap(len(chunk))

    def gap(self, size: int) -> None:
        """Note that bytes were not kept: nothing after them can be read."""
        self._torn = True
        self._body.gap(size)

    def end(self) -> Iterator[Line]:
        """Take the end."""
        return self._body.end()


def body_of(content_type: str, encoding: str) -> Body:
    """Return what reads a body, by the headers that describe it."""
    kind = content_type.partition(";")[0].strip().lower()
    body: Body
    if kind == "text/event-stream":
        body = Events()
    elif kind == "application/json" or kind.endswith("+json"):
        body = Message()
    else:
        return Ignored()
    return body if encoding.strip().lower() in {"", "identity"} else Inflated(body)
