"""The spool: segments on disk, what of them is still to be sent, and their bound.

A segment is hot while its batches are in memory, too, about to be sent: a durable collector writes each event
to disk first. It is cold once they are on disk only, and is then read back when its turn comes. All methods
but `left` are called under the core's lock.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from bcp_analytics.collector.capture import _events
from bcp_analytics.collector.capture._events import Snapshot
from bcp_analytics.collector.spool import _folders, _format, _segment
from bcp_analytics.collector.spool._batch import Batch, chunks

if TYPE_CHECKING:
    from pathlib import Path

    from bcp_analytics.collector.spool._folders import Folder
    from bcp_analytics.collector.spool._segment import Segment


class SpoolFull(OSError):  # noqa: N818 - an OSError as the disk's own
    """The spool has reached its limit, and nothing in it may be dropped."""

    def __init__(self) -> None:
        """Say so as the disk does."""
        super().__init__(errno.EDQUOT, "the spool has reached its limit")


class Spool:
    """The segments of one collector, and of those it took over."""

    def __init__(
        self, base: Path, *, limit_bytes: int, drop_oldest: bool, max_batch_bytes: int, fsync: bool
    ) -> None:
        """Touch nothing yet: the folder is made when it is first needed."""
        self.base = base
        self._limit = limit_bytes
        self._segment_bytes = max(64 * 2**10, min(4 * 2**20, limit_bytes // 8))
        self._drop_oldest = drop_oldest
        self._max_batch_bytes = max_batch_bytes
        self._fsync = fsync
        self._folder: Folder | None = None
        self._segments: deque[Segment] = deque()
        self._active: Segment | None = None
        self._loose = 0
        self._loaded: deque[Batch] = deque()
        self._seen: set[Path] = set()
        self._closed = False
        self.bytes = 0
        self.events = 0
        self.dropped = 0
        self.adopted = 0
        self.corrupt = 0
        self.damaged = 0

    # Writing

    def write_event(self, kind: int, payload: bytes) -> int:
        """Write one event through and return its number. Raises `OSError`, `SpoolFull` among them."""
        record_bytes = len(payload) + _format.RECORD_BYTES
        segment = self._writable(record_bytes)
        number = segment.number + 1
        self._append(segment, _format.pack(_format.EVENT, kind, number, payload))
        segment.number = number
        self._count(segment, 1)
        self._loose += 1
        return number

    def seal(self, batch: Batch) -> None:
        """Fix the id of a batch whose events were written through."""
        segment = self._active
        if segment is None:
            return
        batch.segment = segment
        self._loose -= len(batch)
        # A full disk may refuse the seal. That costs no event: after a crash they go under another batch id.
        with suppress(OSError):
            self._append(segment, _format.pack_members(_format.SEAL, batch.kind, batch.members))

    def write_batch(self, batch: Batch) -> None:
        """Write a batch that was in memory only. Raises `OSError`, `SpoolFull` among them."""
        payloads = batch.payloads
        if self._loose == 0:
            self.rotate(only_large=True)
        segment = self._writable(sum(map(len, payloads)) + (len(payloads) + 5) * _format.RECORD_BYTES)
        self._append(segment, _format.pack_batch(batch.kind, batch.id, segment.number + 1, payloads))
        segment.number += len(payloads)
        segment.cold = True
        self._count(segment, len(payloads))

    def cool(self, batch: Batch) -> None:
        """Note that a batch that was written through is no longer in memory."""
        if batch.segment is not None:
            batch.segment.cold = True

    def rotate(self, *, only_large: bool) -> None:
        """Close the active segment; the next write begins a new one. No event in it may be loose."""
        segment = self._active
        if segment is None or (only_large and segment.size < self._segment_bytes):
            return
        self._active = None
        segment.close()
        if segment.events == 0:
            self._remove(segment)

    def acknowledge(self, batch: Batch) -> None:
        """Note that the database has a batch, or that it is kept aside."""
        segment = batch.segment
        if segment is None or self._closed:
            return
        if segment.gone:
            # The segment was dropped while the batch was under way, and its events were counted as lost.
            self.dropped -= len(batch)
            return
        self._count(segment, -len(batch))
        if segment.events > 0:
            with suppress(OSError):
                self._append(segment, _format.pack_members(_format.ACK, batch.kind, batch.members))
        elif segment is not self._active:
            self._remove(segment)
        else:
            # Empty the file instead of letting it grow.
            self.bytes -= segment.size
            segment.empty()
            self.bytes += segment.size
            segment.cold = False

    def set_aside(self, batch: Batch) -> None:
        """Keep a batch that will never be taken, in a file of its own, as a segment. Raises `OSError`."""
        records = _format.pack_batch(batch.kind, batch.id, 1, batch.payloads)
        self._keep(f"{batch.id}.rejected", _format.header() + records)

    # Reading back

    @property
    def has_cold(self) -> bool:
        """Whether there is something to read back."""
        return bool(self._loaded) or any(segment.cold for segment in self._segments)

    def next_loaded(self) -> Batch | None:
        """Return the next batch of the segment that was read last, None where all are under way."""
        return self._loaded.popleft() if self._loaded else None

    def put_back(self, batch: Batch) -> None:
        """Take back a batch of `next_loaded`: it comes next again."""
        self._loaded.appendleft(batch)

    def oldest_cold(self) -> Segment | None:
        """Return the segment to read back next. No event in the active one may be loose."""
        segment = next((segment for segment in self._segments if segment.cold), None)
        if segment is not None and segment is self._active:
            self.rotate(only_large=False)
        return segment

    def load(
        self,
        segment: Segment,
        contents: _format.Contents,
        loose: dict[int, list[tuple[int, Snapshot]]],
    ) -> None:
        """Make the batches of a segment that was read the next ones, and keep aside what is damaged in it.

        `loose`: those of the contents, as numbered events.
        """
        segment.cold = False
        if segment.gone:
            return
        self._note_damage(segment, contents)
        missing = segment.events - contents.events
        if missing:
            self.corrupt += missing
            self._count(segment, -missing)
        segment.number = max(segment.number, contents.highest)
        for kind, entry, payloads in contents.batches:
            snapshots = [Snapshot(payload, is_json=True) for payload in payloads]
            self._loaded.append(Batch(entry.id, kind, snapshots, segment, entry.runs, replayed=True))
        for kind, items in loose.items():
            for chunk in chunks(items, self._max_batch_bytes):
                batch = Batch(_events.new_batch_id(), kind, [s for _, s in chunk], segment, replayed=True)
                batch.runs = _format.runs(number for number, _ in chunk)
                with suppress(OSError):
                    self._append(segment, _format.pack_members(_format.SEAL, kind, batch.members))
                self._loaded.append(batch)
        if segment.events == 0:
            self._remove(segment)

    def unreadable(self, segment: Segment) -> None:
        """Give up a segment that cannot be read; its file stays, under another name."""
        segment.cold = False
        if segment.gone:
            return
        self.damaged += 1
        self.corrupt += segment.events
        self._count(segment, -segment.events)
        with suppress(OSError):
            segment.path.rename(self.base / f"{segment.folder.path.name}-{segment.path.stem}.corrupt")
        self._remove(segment)

    def _note_damage(self, segment: Segment, contents: _format.Contents) -> None:
        self.damaged += len(contents.damaged)
        kept = contents.damaged[:-1] if contents.torn else contents.damaged
        if kept:
            with suppress(OSError):
                self._keep(f"{segment.folder.path.name}-{segment.path.stem}.corrupt", b"".join(kept))

    # Taking over

    def left(self) -> list[tuple[Folder, list[Segment], int]]:
        """Lock the folders of collectors that are gone; return each with its segments, and the unreadable.

        At most `MAX_TAKEN` at once, and each only once: a folder in which nothing can be read stays.
        """
        folders = list(islice(_folders.left_below(self.base, self._seen), _folders.MAX_TAKEN))
        self._seen.update(folder.path for folder in folders)
        return [(folder, *_segment.left_in(folder)) for folder in folders]

    def take_over(self, folder: Folder, segments: list[Segment], unreadable: int) -> None:
        """Make the segments of a folder of `left` part of this spool; being older, they go before its own."""
        self._segments = deque(sorted([*self._segments, *segments], key=lambda s: s.path.name))
        self.bytes += sum(segment.size for segment in segments)
        events = sum(segment.events for segment in segments)
        self.events += events
        self.adopted += events
        # A segment that cannot be read, such as one of a later version, stays where it is.
        self.damaged += unreadable
        if not segments:
            folder.remove()

    # The end

    def close(self) -> None:
        """Close the files and let go of the folders; what is in them is for the next collector."""
        if self._active is not None and self._active.events == 0:
            self.rotate(only_large=False)
        for segment in self._segments:
            segment.close()
        for folder in {id(s.folder): s.folder for s in self._segments}.values():
            folder.release()
        if self._folder is not None and not self._segments:
            self._folder.remove()
        elif self._folder is not None:
            self._folder.release()
        self._active = None
        self._loaded.clear()
        self._closed = True

    def abandon(self) -> None:
        """Close the descriptors that a fork copied: the files and locks stay the parent's."""
        descriptors = {s.fd for s in self._segments} | {s.folder.lock for s in self._segments}
        if self._folder is not None:
            descriptors.add(self._folder.lock)
        for descriptor in descriptors:
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self._closed = True

    # Files

    def _count(self, segment: Segment, events: int) -> None:
        segment.events += events
        self.events += events

    def _writable(self, size: int) -> Segment:
        self._make_room(size)
        if self._closed:
            raise OSError(errno.EBADF, "the spool is closed")
        if self._folder is None:
            self._folder = _folders.make(self.base)
        if self._active is None:
            self._active = _segment.create(self._folder, fsync=self._fsync)
            self._segments.append(self._active)
            self.bytes += self._active.size
        return self._active

    def _make_room(self, size: int) -> None:
        while self.bytes + size > self._limit:
            oldest = next((segment for segment in self._segments if segment is not self._active), None)
            if oldest is None or not self._drop_oldest:
                raise SpoolFull
            self.dropped += oldest.events
            self._count(oldest, -oldest.events)
            self._loaded = deque(batch for batch in self._loaded if batch.segment is not oldest)
            self._remove(oldest)

    def _append(self, segment: Segment, data: bytes) -> None:
        if segment.gone or self._closed:
            return
        before = segment.size
        segment.append(data, fsync=self._fsync)
        self.bytes += segment.size - before

    def _keep(self, name: str, data: bytes) -> None:
        _folders.make_base(self.base)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.base / name, flags, 0o600)
        try:
            _segment.write(fd, data)
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def _remove(self, segment: Segment) -> None:
        if segment.gone:
            return
        segment.gone = True
        segment.cold = False
        segment.close()
        self.bytes -= segment.size
        with suppress(OSError):
            segment.path.unlink()
        with suppress(ValueError):
            self._segments.remove(segment)
        if segment is self._active:
            self._active = None
        if segment.folder is not self._folder and all(s.folder is not segment.folder for s in self._segments):
            segment.folder.remove()
