"""Passes bytes on, unchanged, and hands a copy to the recording, which never holds them up.

One thread per direction blocks in read or in write. So a slow reader holds up the writer on the other side,
and nothing piles up here. Each copy goes into a queue, which a third thread sends to the process that
records. Where that process is `MAX_BEHIND` bytes behind, chunks are left out of the queue, and counted.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bcp_analytics.mcp._proxy._conversation import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 262_144
"""Bytes read at once, and what `widen` makes a pipe hold: four times what Linux does.

The fewer turns server, proxy and client take over an answer, the less they wait for a processor. Of those of
1 MB, with eight others that want the two processors, half took less than 5.6 ms and nine of ten less than 14;
with pipes as Linux makes them 6.1 and 25. It lets a user have 256 such pipes, and after that makes new ones
small: two a proxy are few enough.
"""
MAX_BEHIND = 32 * 1024 * 1024

_ITEM = 2_000
"""Bytes that an item takes up which is no chunk."""

Passed = tuple[Any, Moment, Any]
"""A chunk, or the size of one that was left out, or None for the end; when; which way.

Over stdio the way is whether it is the client's, and over HTTP which exchange it belongs to as well.
"""


def now() -> Moment:
    """Return the time by both clocks."""
    return Moment(time.monotonic_ns(), time.time())


def widen(descriptor: int) -> None:
    """Have a pipe hold more, where it is one and that is allowed."""
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK)


class Tap:
    """The queue between the threads that pass bytes on and the recording."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[Passed] = deque()
        self._behind = 0
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._stopped = False

    def is_empty(self) -> bool:
        """Say whether there is nothing to be taken just now."""
        return not self._waiting

    def has_room(self, size: int) -> bool:
        """Say whether a chunk of this size would be kept."""
        return self._behind + size <= MAX_BEHIND

    def put(self, item: Any, at: Moment, way: Any) -> None:  # noqa: ANN401
        """Take a chunk, or something else that is not left out; never waits for the reader.

        Wakes it only where a line is so long that it must be read in parts.
        """
        with self._lock:
            if isinstance(item, bytes) and not self.has_room(len(item)):
                item = len(item)
                last = self._waiting[-1] if self._waiting else None
                if last is not None and isinstance(last[0], int) and last[2] == way:
                    self._waiting[-1] = (last[0] + item, at, way)
                    return
            self._behind += _size(item)
            self._waiting.append((item, at, way))
            if self._behind > MAX_BEHIND // 4:
                self.wake()

    def wake(self) -> None:
        """Have the reader take what is there."""
        self._more.set()

    def unsent(self) -> bytes:
        """Return what was taken out of the queue and not sent."""
        return b""

    def stop(self) -> None:
        """Let the reader come to an end once it has taken what is there."""
        self._stopped = True
        self._more.set()

    def __iter__(self) -> Iterator[Passed]:
        """Yield all that was put, until `stop`."""
        stopped = False
        while not stopped:
            self._more.wait()
            self._more.clear()
            # Ask before emptying the queue, or what was put before `stop` might be missed.
            stopped = self._stopped
            while (item := self._take()) is not None:
                yield item

    def _take(self) -> Passed | None:
        with self._lock:
            item = self._waiting.popleft() if self._waiting else None
            if item is not None:
                self._behind -= _size(item[0])
            return item


def _size(item: Any) -> int:  # noqa: ANN401
    if isinstance(item, bytes):
        return len(item)
    return 0 if item is None or isinstance(item, int) else _ITEM


class Pump(threading.Thread):
    """Copies one direction until its end, and then ends the other side's."""

    def __init__(self, source: int, target: int, tap: Tap, *, from_client: bool) -> None:
        """Copy from the descriptor `source` to `target`, both of which it then owns."""
        super().__init__(name=f"bcp-proxy-{'in' if from_client else 'out'}", daemon=True)
        self._source = source
        self._target = target
        self._tap = tap
        self._from_client = from_client
        self._idle_since: float | None = None
        self.hung_up = False
        """Whether the side that is read from has ended, rather than the one that is written to."""

    def idle_s(self) -> float:
        """Return for how many seconds it has had nothing to pass on."""
        since = self._idle_since
        return 0.0 if since is None else time.monotonic() - since

    def run(self) -> None:
        """Copy until either side ends."""
        try:
            self.hung_up = self._copy()
        finally:
            # Both, so that whoever writes to us learns that nobody reads any more.
            _close(self._target)
            _close(self._source)
            self._tap.put(None, now(), self._from_client)
            self._tap.wake()

    def _copy(self) -> bool:
        while True:
            self._idle_since = time.monotonic()
            chunk = _read(self._source)
            self._idle_since = None
            if not chunk:
                self._end()
                return True
            if not self._pass(chunk):
                return False

    def _pass(self, chunk: bytes) -> bool:
        """Pass on what was read, and say whether the other side still takes it."""
        return self._put(chunk, chunk)

    def _end(self) -> None:
        """Pass on what was held."""

    def _put(self, passed: bytes, recorded: bytes) -> bool:
        # Put it into the queue before writing it, or the answer might come before its request.
        if recorded:
            self._tap.put(recorded, now(), self._from_client)
        written = _write(self._target, passed)
        # Wake the reader at the end of a line only: it would take the GIL while the rest waits.
        if recorded.endswith(b"\n"):
            self._tap.wake()
        return written


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, CHUNK)
        except BlockingIOError:
            # Somebody who shares the descriptor made it non-blocking.
            select.select([source], [], [])
        except OSError:
            return b""


def _write(target: int, chunk: bytes) -> bool:
    rest = memoryview(chunk)
    while rest:
        try:
            rest = rest[os.write(target, rest) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return False
    return True


def _close(descriptor: int) -> None:
    """Close a descriptor; the numbers of stdin and stdout must not come to name something else."""
    try:
        if descriptor > 2:  # noqa: PLR2004
            os.close(descriptor)
            return
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor)
        os.close(null)
    except OSError:
        pass
