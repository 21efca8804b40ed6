"""Cutting a stream of bytes into lines in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = 256


@dataclass(frozen=True, slots=True)
class Line:
    """A line, without what ends it."""

    data: bytes
    """The whole line; of one that is too long its first 256 bytes."""
    size: int
    """Bytes of the line."""
    tail: bytes | None = None
    """None where `data` is whole; of a line that is too long its last 256 bytes."""
    torn: bool = False
    """Whether bytes of it never came here."""


class Lines:
    """Collects chunks and returns the lines that they complete, keeping at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Lines longer than `limit` bytes, at least 256, are returned by their ends alone."""
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._tail: bytes | None = None
        self._torn = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes, and return the lines that end in them."""
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            self._add(chunk[begin:end])
            yield self._finish()
            begin = end + 1
        if begin < len(chunk):
            self._add(chunk[begin:] if begin else chunk)

    def gap(self, size: int) -> None:
        """Note that `size` bytes were not kept: the line they belong to is torn."""
        self._size += size
        self._torn = True

    def end(self) -> Line | None:
        """Return what came after the last newline, None where that is nothing."""
        return self._finish() if self._size else None

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._tail is not None:
            self._tail = (self._tail + part[-_ENDS:])[-_ENDS:]
            return
        self._parts.append(part)
        if self._size > self._limit:
            whole = b"".join(self._parts)
            self._parts, self._tail = [whole[:_ENDS]], whole[-_ENDS:]

    def _finish(self) -> Line:
        data = b"".join(self._parts)
        line = Line(data, self._size, self._tail, self._torn)
        self._start()
        return line
