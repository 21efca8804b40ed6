"""Where events are between record() and the database: in memory, then in batches, and on disk where need be.

All methods are called with the core's lock held, except `take`, `spill` and `adopt`, which take it
themselves, and let go of it while they encode or read files.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bcp_analytics.collector._delivery import examine
from bcp_analytics.collector.capture import _events
from bcp_analytics.collector.spool import _folders, _format, _segment
from bcp_analytics.collector.spool._batch import Batch, Queue, chunks
from bcp_analytics.collector.spool._spool import SpoolFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.collector.capture._events import Snapshot
    from bcp_analytics.collector.pipeline._log import Log
    from bcp_analytics.collector.spool._spool import Spool

_HELD_EVENTS: Final = 10_000
_HELD_BYTES: Final = 64 * 2**20
"""With more in memory record() itself moves the oldest batch to disk: the sender is behind, or hangs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a collector was told; as the arguments of Collector."""

    buffer_size: int
    flush_interval_s: float
    durable: bool
    max_batch_bytes: int
    drain_timeout_s: float
    drop_oldest: bool
    block_s: float
    """How long record() may wait for room, in seconds; 0 with drop_oldest and in an AsyncCollector."""
    threaded: bool = True


class Buffer:
    """What is not in the database yet: pending, then in `queue`, then `inflight`; or in `spool`."""

    def __init__(
        self, spool: Spool, settings: Settings, lock: threading.RLock, clock: Callable[[], float], log: Log
    ) -> None:
        """Begin empty."""
        self.spool = spool
        self.queue = Queue()
        self.inflight: Batch | None = None
        self.changed = threading.Condition(lock)
        """Notified when there may be room, and when a flush was answered."""
        self.recorded = 0
        self.sealed = 0
        """Of those recorded, how many are in a batch by now; they get there in the order of recording."""
        self.settled = 0
        """Of those, how many are in the database, on disk, or lost."""
        self.pending_since = 0.0
        self.disk_error: str | None = None
        """Class and code of what keeps the spool from being written; None while it can be."""
        self._lost = 0
        self._more_left = False
        self._pending: list[tuple[int, Snapshot, int]] = []
        self._pending_bytes = 0
        self._settings = settings
        self._lock = lock
        self._clock = clock
        self._log = log
        self._max_events = max(_HELD_EVENTS, 10 * settings.buffer_size)
        self._max_bytes = max(_HELD_BYTES, 4 * settings.max_batch_bytes)

    # Taking events

    def add(self, kind: int, snapshot: Snapshot) -> int:
        """Take an event; return how many are pending, 0 where there is no room and it is lost."""
        self.recorded += 1
        if self._is_full() and not self._make_room():
            self.lose(1)
            return 0
        number = self._write_through(kind, snapshot) if self._settings.durable else 0
        self._pending.append((kind, snapshot, number))
        self._pending_bytes += len(snapshot.data)
        count = len(self._pending)
        if count == 1:
            self.pending_since = self._clock()
        return count

    def lose(self, events: int) -> None:
        """Count events as lost, and say so in the log."""
        self._lost += events
        why = self.disk_error or "the collector is closed, or has no room"
        self._log.warn("lost", "bcp_analytics: %d event(s) or more are lost: %s", events, why)

    @property
    def dropped(self) -> int:
        """Events that are lost."""
        return self._lost + self.spool.dropped

    @property
    def unwritten(self) -> int:
        """Events that are in memory only."""
        batches = [*self.queue, *([self.inflight] if self.inflight is not None else [])]
        held = sum(len(batch) for batch in batches if batch.segment is None)
        return held + sum(number == 0 for _, _, number in self._pending)

    @property
    def has_pending(self) -> bool:
        """Whether any event is in no batch yet."""
        return bool(self._pending)

    @property
    def is_due(self) -> bool:
        """Whether enough is pending for a batch."""
        return (
            len(self._pending) >= self._settings.buffer_size
            or self._pending_bytes > self._settings.max_batch_bytes
        )

    def _is_full(self) -> bool:
        return (
            len(self._pending) + self.queue.events >= self._max_events
            or self._pending_bytes + self.queue.bytes >= self._max_bytes
        )

    def _make_room(self) -> bool:
        """Move the oldest batch to disk here; False where there is no room and nothing may be lost."""
        until = self._clock() + self._settings.block_s
        while self._is_full():
            if not self.queue:
                self.seal()
            if self.spill_one():
                continue
            left = until - self._clock()
            if left > 0:
                self.changed.wait(left)
            elif self._settings.drop_oldest and self.queue:
                self.lose(len(self.queue.pop()))
            else:
                return False
        return True

    def _write_through(self, kind: int, snapshot: Snapshot) -> int:
        """Return the event's number in the spool, 0 where the spool did not take it."""
        until = self._clock() + self._settings.block_s
        while True:
            try:
                number = self.spool.write_event(kind, snapshot.data)
            except OSError as error:
                self._note(error)
                left = until - self._clock()
                if not isinstance(error, SpoolFull) or left <= 0:
                    return 0
                self.changed.wait(left)
            else:
                self.disk_error = None
                return number

    def _note(self, error: OSError) -> None:
        self.disk_error = examine(error).name
        self._log.note(self.disk_error)
        self._log.warn(
            "disk", "bcp_analytics: the spool cannot be written (%s); events stay in memory", self.disk_error
        )

    # Batches

    def seal(self) -> None:
        """Put what is pending into batches."""
        pending, self._pending = self._pending, []
        self._pending_bytes = 0
        self.sealed = self.recorded
        groups: dict[tuple[bool, int], list[tuple[int, Snapshot]]] = {}
        for kind, snapshot, number in pending:
            groups.setdefault((number > 0, kind), []).append((number, snapshot))
        for (written, kind), items in groups.items():
            for chunk in chunks(items, self._settings.max_batch_bytes):
                batch = Batch(_events.new_batch_id(), kind, [snapshot for _, snapshot in chunk])
                if written:
                    batch.runs = _format.runs(number for number, _ in chunk)
                    self.spool.seal(batch)
                self.queue.append(batch)
        self.spool.rotate(only_large=True)

    def take(self) -> Batch | None:
        """Return the batch to send next, the spool's oldest before the queue's; it is then `inflight`."""
        while True:
            with self._lock:
                segment = None
                batch = self.spool.next_loaded()
                if batch is None and self.spool.has_cold:
                    # It may be the segment being written. What is in that must not be in memory, too, or it
                    # would be sent twice.
                    self.seal()
                    for written in self.queue.pop_written():
                        self.spool.cool(written)
                    segment = self.spool.oldest_cold()
                elif batch is None and self.queue:
                    batch = self.queue.pop()
                self.inflight = batch
                more = batch is None and segment is None and self._more_left
            if more:
                self.adopt()
                continue
            if segment is None:
                return batch
            try:
                contents = _segment.read(segment)
                loose = {
                    kind: [(number, _events.read_back(kind, payload)) for number, payload in events.items()]
                    for kind, events in contents.loose.items()
                }
            except (OSError, _format.NewerFormat):
                with self._lock:
                    self.spool.unreadable(segment)
            else:
                with self._lock:
                    self.spool.load(segment, contents, loose)

    def finish(self, batch: Batch) -> None:
        """Note that the database has the batch in flight."""
        self.inflight = None
        self.spool.acknowledge(batch)
        self.changed.notify_all()

    def give_back(self, batch: Batch) -> None:
        """Take back the batch in flight: it comes next again."""
        self.inflight = None
        if batch.replayed:
            self.spool.put_back(batch)
        else:
            self.queue.put_back(batch)

    def set_aside(self, batch: Batch) -> bool:
        """Keep the batch in flight in a file of its own; False where the disk does not take it."""
        try:
            self.spool.set_aside(batch)
        except OSError as error:
            self._note(error)
            return False
        self.finish(batch)
        return True

    # To disk

    def spill(self) -> None:
        """Move the queue to the spool, as far as that takes it."""
        with self._lock:
            waiting = list(self.queue)
        for batch in waiting:
            if batch.segment is None:
                batch.encode()
        with self._lock:
            while self.spill_one():
                pass

    def spill_one(self) -> bool:
        """Move the oldest batch of the queue to the spool; False where there is none, or no room."""
        batch = next(iter(self.queue), None)
        if batch is None:
            return False
        if batch.segment is not None:
            self.spool.cool(batch)
        else:
            try:
                self.spool.write_batch(batch)
            except OSError as error:
                self._note(error)
                return False
            self.disk_error = None
        self.queue.pop()
        return True

    def settle(self) -> None:
        """Note, where it is so, that no sealed event is in memory only."""
        if not self.queue and self.inflight is None:
            self.settled = self.sealed

    def adopt(self) -> None:
        """Take over what collectors left that are gone, as far as it is this user's."""
        found = self.spool.left()
        refused = _folders.refused_below(self.spool.base)
        with self._lock:
            self._more_left = len(found) == _folders.MAX_TAKEN
            if refused:
                self._log.warn(
                    "refused",
                    "bcp_analytics: %d folder(s) of the spool are links, of another user, or open to others, "
                    "and left alone: %r ...",
                    len(refused),
                    str(refused[0]),
                )
            for folder, segments, unreadable in found:
                self.spool.take_over(folder, segments, unreadable)

    def end(self) -> None:
        """Write what remains to the spool, and close that. What it does not take is lost."""
        self.seal()
        if self.inflight is not None:
            # Its sender hangs. If it arrives nevertheless, its id makes what is sent later a duplicate.
            self.give_back(self.inflight)
        while self.queue:
            if not self.spill_one():
                self.lose(len(self.queue.pop()))
        self.settle()
        self.spool.close()
        self.changed.notify_all()
