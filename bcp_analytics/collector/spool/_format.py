"""Segments of the spool: files that are only ever appended to, and can be read whatever happened to them.

    segment = header record*
    header  = "BCPSPOOL" version:u16 0:u16 crc32:u32               (of what is before it)
    record  = marker:4 crc32:u32 type:u8 kind:u8 number:u32 length:u32 payload      (crc32 of all after it)

Numbers are little-endian. There are three types of record: an event, numbered within its segment; a seal,
which puts events of one kind that are in no batch yet into one, and so fixes the id of that batch; and an
acknowledgement, which says that the database has a batch. A payload is JSON in ASCII and the marker is not,
so no payload contains one: after damage, reading goes on at the next marker before a record that its
checksum proves whole.

A checksum proves that a record is as it was written, not that it makes sense. One that does not, whoever
wrote it, counts as damage too. The length of the file bounds what reading it costs, whatever is in it.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn
from zlib import crc32

from bcp_analytics.collector.capture._events import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERSION: Final = 1
EVENT: Final = 1
SEAL: Final = 2
ACK: Final = 3

_MAGIC: Final = b"BCPSPOOL"
_HEADER: Final = struct.Struct("<8sHHI")
# F5 and FE are in no UTF-8 either.
MARKER: Final = b"\xf5\xfe\xb5\xf5"
_PREFIX: Final = struct.Struct("<4sI")
_FIELDS: Final = struct.Struct("<BBII")
HEADER_BYTES: Final = _HEADER.size
RECORD_BYTES: Final = _PREFIX.size + _FIELDS.size
"""What a record takes besides its payload."""
MAX_PAYLOAD: Final = 64 * 2**20
MAX_BATCH_EVENTS: Final = 1000
"""Of one batch."""
# An id becomes the name of a file where the database refuses the batch.
_BATCH_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED_TIMES: Final = 4
"""How often each event may be named by seals and acknowledgements; twice is what ever happens."""


class Record(NamedTuple):
    """A whole record."""

    type: int
    kind: int
    number: int
    payload: bytes


class Members(NamedTuple):
    """A batch: its id, and the numbers of its events, as runs of a first and a last one."""

    id: str
    runs: list[list[int]]


@dataclass(slots=True)
class Contents:
    """What is in a segment and not yet acknowledged.

    `batches`: kind, members and events of each, in the order of their seals. `loose`: events in no batch, by
    kind and number. `events`: how many these are together. `highest`: the highest number of any event.
    `damaged`: the bytes of each place that could not be read. `torn`: whether the segment ends in the
    middle of a record.
    """

    batches: list[tuple[int, Members, tuple[bytes, ...]]] = field(default_factory=list)
    loose: dict[int, dict[int, bytes]] = field(default_factory=dict)
    events: int = 0
    highest: int = 0
    damaged: list[bytes] = field(default_factory=list)
    torn: bool = False


class NewerFormat(Exception):  # noqa: N818 - says what it is
    """A later version of the package wrote the segment."""


def header() -> bytes:
    """Return the beginning of a segment."""
    start = _HEADER.pack(_MAGIC, VERSION, 0, 0)[:-4]
    return start + struct.pack("<I", crc32(start))


def pack(kind_of_record: int, kind: int, number: int, payload: bytes) -> bytes:
    """Return a record."""
    rest = _FIELDS.pack(kind_of_record, kind, number, len(payload)) + payload
    return _PREFIX.pack(MARKER, crc32(rest)) + rest


def runs(numbers: Iterable[int]) -> list[list[int]]:
    """Return ascending numbers as runs of a first and a last one."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def pack_members(kind_of_record: int, kind: int, batch: Members) -> bytes:
    """Return a seal or an acknowledgement."""
    payload = [batch.id, *chain.from_iterable(batch.runs)]
    return pack(kind_of_record, kind, 0, json.dumps(payload).encode("ascii"))


def pack_batch(kind: int, batch_id: str, first: int, payloads: tuple[bytes, ...]) -> bytes:
    """Return the records of a batch: its events, numbered from `first` on, and its seal."""
    records = [pack(EVENT, kind, number, payload) for number, payload in enumerate(payloads, first)]
    batch = Members(batch_id, [[first, first + len(payloads) - 1]])
    return b"".join([*records, pack_members(SEAL, kind, batch)])


def scan(data: bytes) -> Iterator[Record | bytes]:
    """Yield the records of a segment in order and, as bytes, each place between them that is damaged.

    Raises `NewerFormat`.
    """
    position = _begin(data)
    broken = position if position == 0 and data else None
    while position < len(data):
        record = _record_at(data, position)
        if record is not None:
            if broken is not None:
                yield data[broken:position]
                broken = None
            yield record
            position += RECORD_BYTES + len(record.payload)
            continue
        if broken is None:
            broken = position
        found = data.find(MARKER, position + 1)
        position = found if found >= 0 else len(data)
    if broken is not None:
        yield data[broken:]


def _begin(data: bytes) -> int:
    if len(data) < HEADER_BYTES:
        return 0
    magic, version, _, checksum = _HEADER.unpack_from(data)
    if magic != _MAGIC or crc32(data[: HEADER_BYTES - 4]) != checksum:
        return 0
    if version != VERSION:
        raise NewerFormat
    return HEADER_BYTES


def _record_at(data: bytes, position: int) -> Record | None:
    start = position + _PREFIX.size
    if len(data) - position < RECORD_BYTES:
        return None
    marker, checksum = _PREFIX.unpack_from(data, position)
    kind_of_record, kind, number, length = _FIELDS.unpack_from(data, start)
    end = position + RECORD_BYTES + length
    if marker != MARKER or length > MAX_PAYLOAD or end > len(data):
        return None
    if crc32(memoryview(data)[start:end]) != checksum:
        return None
    return Record(kind_of_record, kind, number, data[position + RECORD_BYTES : end])


def read(data: bytes) -> Contents:
    """Return what of a segment is still to be sent. Raises `NewerFormat`."""
    reader = _Reader(len(data))
    for item in scan(data):
        if isinstance(item, bytes):
            reader.contents.damaged.append(item)
        elif not reader.take(item):
            reader.contents.damaged.append(pack(*item))
    found = reader.contents
    found.torn = bool(found.damaged) and data.endswith(found.damaged[-1]) and _is_start(found.damaged[-1])
    found.batches = [
        (kind, batch, tuple(events.values())) for kind, batch, events in reader.sealed.values() if events
    ]
    found.loose = {kind: events for kind, events in found.loose.items() if events}
    found.events = sum(len(events) for _, _, events in found.batches) + sum(map(len, found.loose.values()))
    return found


class _Reader:
    """Puts the records of a segment together."""

    def __init__(self, size: int) -> None:
        """`size`: of the segment."""
        self.contents = Contents()
        self.sealed: dict[str, tuple[int, Members, dict[int, bytes]]] = {}
        self._ids: set[str] = set()
        self._may_name = _NAMED_TIMES * (size // RECORD_BYTES)

    def take(self, record: Record) -> bool:
        """Take a record; False where it makes no sense."""
        if record.kind not in KINDS:
            return False
        if record.type == EVENT:
            return self._take_event(record)
        batch = _members(record.payload) if record.type in {SEAL, ACK} else None
        if batch is None or (record.type == SEAL and batch.id in self._ids):
            return False
        self._may_name -= sum(last - first + 1 for first, last in batch.runs)
        if self._may_name < 0:
            return False
        mine = {}
        loose = self.contents.loose.get(record.kind, {})
        if record.type == SEAL or batch.id not in self.sealed:
            # Also for an acknowledgement whose seal cannot be read.
            numbers = chain.from_iterable(range(first, last + 1) for first, last in batch.runs)
            mine = {n: loose.pop(n) for n in numbers if n in loose}
        if record.type == SEAL:
            self._ids.add(batch.id)
            self.sealed[batch.id] = (record.kind, batch, mine)
        else:
            self.sealed.pop(batch.id, None)
        return True

    def _take_event(self, record: Record) -> bool:
        # Numbers only rise: a second event of the same number would take the place of the first.
        if record.number <= self.contents.highest or not _is_object(record.payload):
            return False
        self.contents.loose.setdefault(record.kind, {})[record.number] = record.payload
        self.contents.highest = record.number
        return True


def _members(payload: bytes) -> Members | None:
    """Read the payload of a seal or an acknowledgement; None where it is none."""
    try:
        batch_id, *ends = json.loads(payload)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(batch_id, str) or not _BATCH_ID.fullmatch(batch_id) or not ends or len(ends) % 2:
        return None
    if not all(type(end) is int and end > 0 for end in ends):
        return None
    numbers = [list(run) for run in zip(ends[::2], ends[1::2], strict=True)]
    if any(last < first for first, last in numbers):
        return None
    if sum(last - first + 1 for first, last in numbers) > MAX_BATCH_EVENTS:
        return None
    return Members(batch_id, numbers)


def _is_object(payload: bytes) -> bool:
    """Whether it is one JSON object in ASCII; one event that is not spoils its whole batch."""
    try:
        return payload.isascii() and isinstance(json.loads(payload, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> NoReturn:
    """Raise for NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(constant)


def _is_start(damaged: bytes) -> bool:
    """Whether it is the beginning of one record, as a write leaves it that was interrupted."""
    if len(damaged) < RECORD_BYTES:
        return damaged.startswith(MARKER[: len(damaged)]) or header().startswith(damaged)
    _, _, _, length = _FIELDS.unpack_from(damaged, _PREFIX.size)
    return damaged.startswith(MARKER) and length > len(damaged) - RECORD_BYTES
