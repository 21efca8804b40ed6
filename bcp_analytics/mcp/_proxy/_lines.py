"""Cutting a stream of bytes into lines in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bcp_analytics.mcp._proxy._outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Line:
    """A line, without what ends it."""

    data: bytes
    """The whole line; nothing of one that is not whole."""
    size: int
    """Bytes of the line."""
    outline: Outline | None = None
    """Of a line that is too long, or of which bytes never came here, what can be told; else None."""


class Lines:
    """Collects chunks and returns the lines that they complete, keeping at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Lines longer than `limit` bytes are returned by their outline alone."""
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._outline: Outline | None = None

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
        self._outlined().stop()

    def end(self) -> Line | None:
        """Return what came after the last newline, None where that is nothing."""
        return self._finish() if self._size else None

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._outline is not None:
            self._outline.feed(part)
            return
        self._parts.append(part)
        if self._size > self._limit:
            self._outlined()

    def _outlined(self) -> Outline:
        if self._outline is None:
            self._outline, self._parts = Outline(*self._parts), []
        return self._outline

    def _finish(self) -> Line:
        line = Line(b"".join(self._parts), self._size, self._outline)
        self._start()
        return line
