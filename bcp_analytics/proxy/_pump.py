"""Passing bytes on, unchanged, and beside that to the observer, which may never hold them up.

One thread a direction blocks in read or in write: a slow reader so holds up the writer on the other side, and
nothing piles up here. What is passed on is put into a queue for the observer's thread; where that one is
behind by `MAX_BEHIND` bytes, chunks are left out of the queue, and counted.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from bcp_analytics.proxy._observer import Moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.proxy._observer import Observer

CHUNK = 65_536
"""Bytes read at once: what a pipe holds on Linux."""
MAX_BEHIND = 32 * 1024 * 1024


def now() -> Moment:
    """Return the time by both clocks."""
    return Moment(time.monotonic_ns(), time.time())


class Tap:
    """The queue between the threads that pass bytes on and the one that reads them."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[tuple[bytes | int | None, Moment, bool]] = deque()
        self._behind = 0
        self._lock = threading.Lock()
        self._more = threading.Semaphore(0)

    def put(self, chunk: bytes | None, at: Moment, *, from_client: bool) -> None:
        """Take a chunk that was passed on, or None for the end of a direction; never waits for the reader."""
        with self._lock:
            item: bytes | int | None = chunk
            if chunk is not None:
                if self._behind + len(chunk) > MAX_BEHIND:
                    item = len(chunk)
                    last = self._waiting[-1]
                    if isinstance(last[0], int) and last[2] == from_client:
                        self._waiting[-1] = (last[0] + item, at, from_client)
                        return
                else:
                    self._behind += len(chunk)
            self._waiting.append((item, at, from_client))
        self._more.release()

    def stop(self) -> None:
        """Make `drain` return once it has read what is there."""
        self._more.release()

    def drain(self, observer: Observer, at_end: Callable[[bool], None]) -> None:
        """Give all that comes to the observer, until `stop`; `at_end` is told which direction ended."""
        while True:
            self._more.acquire()
            with self._lock:
                if not self._waiting:
                    return
                item, at, from_client = self._waiting.popleft()
                if isinstance(item, bytes):
                    self._behind -= len(item)
            if item is None:
                observer.end(at, from_client=from_client)
                at_end(from_client)
            elif isinstance(item, int):
                observer.gap(item, from_client=from_client)
            else:
                observer.feed(item, at, from_client=from_client)


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
            self._tap.put(None, now(), from_client=self._from_client)

    def _copy(self) -> bool:
        while True:
            self._idle_since = time.monotonic()
            chunk = _read(self._source)
            self._idle_since = None
            if not chunk:
                return True
            # Before it is written, or the answer could come into the queue before its request. This takes
            # 1 us; the other thread starts to read only when this one waits in write and lets go of the GIL.
            self._tap.put(chunk, now(), from_client=self._from_client)
            if not _write(self._target, chunk):
                return False


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, CHUNK)
        except BlockingIOError:
            # Somebody who shares the descriptor made it so.
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
