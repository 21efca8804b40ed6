"""Segments of the spool: files that are only ever appended to, and can be read whatever happened to them.

    segment = header record*
    header  = "BCPSPOOL" version:u16 0:u16 crc32:u32               (of what is before it)
    record  = marker:4 crc32:u32 type:u8 kind:u8 number:u32 length:u32 payload      (crc32 of all after it)

Numbers are little-endian. Three types of record: an event, numbered within its segment; a seal, which puts
events of a kind, as far as no earlier seal has them, into a batch and so fixes its id; and an
acknowledgement, which says that the database has a batch. A payload is JSON in ASCII,
so a marker, which no ASCII has, cannot be in one: after damage, reading goes on at the next marker before a
record that its checksum proves whole.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

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
    found = Contents()
    sealed: dict[str, tuple[int, Members, dict[int, bytes]]] = {}
    for item in scan(data):
        if isinstance(item, bytes):
            found.damaged.append(item)
        elif item.type == EVENT:
            found.loose.setdefault(item.kind, {})[item.number] = item.payload
            found.highest = max(found.highest, item.number)
        else:
            batch_id, *ends = json.loads(item.payload)
            batch = Members(batch_id, [list(run) for run in zip(ends[::2], ends[1::2], strict=True)])
            mine = {}
            loose = found.loose.get(item.kind, {})
            if item.type == SEAL or batch.id not in sealed:
                # Also for an acknowledgement whose seal cannot be read.
                numbers = chain.from_iterable(range(first, last + 1) for first, last in batch.runs)
                mine = {n: loose.pop(n) for n in numbers if n in loose}
            if item.type == SEAL:
                sealed[batch.id] = (item.kind, batch, mine)
            else:
                sealed.pop(batch.id, None)
    found.torn = bool(found.damaged) and data.endswith(found.damaged[-1]) and _is_start(found.damaged[-1])
    found.batches = [
        (kind, batch, tuple(events.values())) for kind, batch, events in sealed.values() if events
    ]
    found.loose = {kind: events for kind, events in found.loose.items() if events}
    found.events = sum(len(events) for _, _, events in found.batches) + sum(map(len, found.loose.values()))
    return found


def _is_start(damaged: bytes) -> bool:
    """Whether it is the beginning of one record, as a write leaves it that was interrupted."""
    if len(damaged) < RECORD_BYTES:
        return damaged.startswith(MARKER[: len(damaged)]) or header().startswith(damaged)
    _, _, _, length = _FIELDS.unpack_from(damaged, _PREFIX.size)
    return damaged.startswith(MARKER) and length > len(damaged) - RECORD_BYTES
