"""Batches, and the queue of those that are in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bcp_analytics.collector.spool._format import MAX_BATCH_EVENTS, Members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bcp_analytics.collector.capture._events import Snapshot
    from bcp_analytics.collector.spool._segment import Segment


@dataclass(slots=True, eq=False)
class Batch:
    """Events of one kind that are sent together, under an id that never changes.

    `segment`: where it is on disk, and `runs` the numbers of its events; None while it is in memory only.
    `replayed`: it was read back from there.
    """

    id: str
    kind: int
    snapshots: list[Snapshot]
    segment: Segment | None = None
    runs: list[list[int]] = field(default_factory=list)
    replayed: bool = False
    size: int = field(init=False)
    _payloads: tuple[bytes, ...] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Measure it, in bytes."""
        self.size = sum(len(snapshot.data) for snapshot in self.snapshots)

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """The events as JSON."""
        return self._payloads or self.encode()

    def encode(self) -> tuple[bytes, ...]:
        """Make the JSON, once; needs no lock."""
        self._payloads = tuple(snapshot.payload() for snapshot in self.snapshots)
        return self._payloads

    @property
    def members(self) -> Members:
        """Its entry in its segment."""
        return Members(self.id, self.runs)

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.snapshots)


class Queue:
    """Batches in memory, oldest first, and how much they are together."""

    def __init__(self) -> None:
        """Begin empty."""
        self._batches: deque[Batch] = deque()
        self.events = 0
        self.bytes = 0

    def append(self, batch: Batch) -> None:
        """Add a batch at the end."""
        self._batches.append(batch)
        self._count(batch, 1)

    def put_back(self, batch: Batch) -> None:
        """Add a batch at the front."""
        self._batches.appendleft(batch)
        self._count(batch, 1)

    def pop(self) -> Batch:
        """Take the oldest."""
        batch = self._batches.popleft()
        self._count(batch, -1)
        return batch

    def pop_written(self) -> list[Batch]:
        """Take those that are on disk, too."""
        written = [batch for batch in self._batches if batch.segment is not None]
        if written:
            self._batches = deque(batch for batch in self._batches if batch.segment is None)
            for batch in written:
                self._count(batch, -1)
        return written

    def __iter__(self) -> Iterator[Batch]:
        """Iterate, oldest first."""
        return iter(self._batches)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def _count(self, batch: Batch, sign: int) -> None:
        self.events += sign * len(batch)
        self.bytes += sign * batch.size


def chunks(items: Iterable[tuple[int, Snapshot]], max_bytes: int) -> Iterator[list[tuple[int, Snapshot]]]:
    """Split numbered events of a kind into what one batch may hold; one that is too large goes alone.

    Late ones are split by day and go first, the oldest before the others: TimescaleDB marks one range of time
    per transaction as changed, from its oldest row to its newest, and the aggregates compute all of it again.
    """
    days: dict[int, list[tuple[int, Snapshot]]] = {}
    for item in items:
        days.setdefault(item[1].day, []).append(item)
    for day in sorted(days):
        chunk: list[tuple[int, Snapshot]] = []
        size = 0
        for item in days[day]:
            length = len(item[1].data)
            # Send together what came in while a batch was under way: a call costs more than a row.
            if chunk and (len(chunk) >= MAX_BATCH_EVENTS or size + length > max_bytes):
                yield chunk
                chunk, size = [], 0
            chunk.append(item)
            size += length
        yield chunk
