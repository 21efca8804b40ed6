"""Cutting a stream of bytes into messages in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bcp_analytics.mcp._proxy._outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Line:
    """A message, without what is around it: over stdio a line."""

    data: bytes
    """All of it; nothing of one that is not whole."""
    size: int
    """Its bytes."""
    outline: Outline | None = None
    """Of a line that is too long, or of which bytes never came here, what can be told; else None."""


class Parts:
    """Collects the parts of a message, keeping at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Of messages longer than `limit` bytes, only the outline is kept."""
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        self._outline: Outline | None = None

    def add(self, part: bytes) -> None:
        """Take the next part."""
        self.size += len(part)
        if self._outline is not None:
            self._outline.feed(part)
            return
        self._parts.append(part)
        if self.size > self._limit:
            self._outlined()

    def gap(self, size: int) -> None:
        """Note that `size` bytes were not kept: the message is torn."""
        self.size += size
        self._outlined().stop()

    def _outlined(self) -> Outline:
        if self._outline is None:
            self._outline, self._parts = Outline(*self._parts), []
        return self._outline

    def take(self) -> Line:
        """Return the message, and begin the next one."""
        line = Line(b"".join(self._parts), self.size, self._outline)
        self._start()
        return line


class Lines:
    """Collects chunks and returns the lines that they complete, keeping at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Lines longer than `limit` bytes are returned by their outline alone."""
        self._parts = Parts(limit)

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes, and return the lines that end in them."""
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            self._parts.add(chunk[begin:end])
            yield self._parts.take()
            begin = end + 1
        if begin < len(chunk):
            self._parts.add(chunk[begin:] if begin else chunk)

    def gap(self, size: int) -> None:
        """Note that `size` bytes were not kept: the line they belong to is torn."""
        self._parts.gap(size)

    def end(self) -> Line | None:
        """Return what came after the last newline, None where that is nothing."""
        return self._parts.take() if self._parts.size else None
