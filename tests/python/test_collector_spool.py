"""The spool: whatever happens to its files, what is whole in them comes back once and in order."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.collector.spool import _format
from bcp_analytics.collector.spool._format import ACK, EVENT, HEADER_BYTES, MARKER, SEAL, Members
from tests.python.collector_fakes import Clock, Sender, balanced, crash, make

PAYLOADS = st.lists(st.integers(0, 400).map(lambda n: b'{"x":"' + b"x" * n + b'"}'), max_size=12)
ONE, TWO = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def records_of(data: bytes) -> list[_format.Record]:
    return [item for item in _format.scan(data) if isinstance(item, _format.Record)]


@given(
    PAYLOADS,
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
    st.one_of(st.none(), st.floats(0, 1)),
    PAYLOADS,
)
def test_exactly_the_records_that_are_whole_come_back_in_order(
    payloads: list[bytes], flips: list[tuple[float, int]], cut: float | None, more: list[bytes]
) -> None:
    packed = [_format.pack(EVENT, n % 4, n, payload) for n, payload in enumerate(payloads, 1)]
    data = bytearray(_format.header() + b"".join(packed))
    pristine = bytes(data)
    for place, bits in flips:
        data[int(place * (len(data) - 1))] ^= bits
    if cut is not None:
        del data[int(cut * len(data)) :]
    # After a crash, another write may follow the damage.
    late = [_format.pack(EVENT, 0, 1000 + n, payload) for n, payload in enumerate(more)]
    end = len(data)
    data += b"".join(late)
    expected, position = [], HEADER_BYTES
    for n, record in enumerate(packed, 1):
        whole = bytes(data[position : position + len(record)]) == record and position + len(record) <= end
        if whole:
            expected.append((n, payloads[n - 1]))
        position += len(record)
    expected += [(1000 + n, payload) for n, payload in enumerate(more)]
    assert [(r.number, r.payload) for r in records_of(bytes(data))] == expected
    # Nothing vanishes: records and damage together are all there is after the header.
    parts = list(_format.scan(bytes(data)))
    known = sum(
        len(part) if isinstance(part, bytes) else _format.RECORD_BYTES + len(part.payload) for part in parts
    )
    assert known + (HEADER_BYTES if bytes(data[:HEADER_BYTES]) == pristine[:HEADER_BYTES] else 0) == len(data)
    assert _format.read(bytes(data)).events == len(expected)


def test_a_marker_is_in_no_payload() -> None:
    assert not MARKER.isascii()
    with pytest.raises(UnicodeDecodeError):
        MARKER.decode()


def test_a_torn_end_is_told_from_damage() -> None:
    whole = _format.header() + _format.pack(EVENT, 0, 1, b"{}") + _format.pack(EVENT, 0, 2, b'{"a": 1}')
    for length in range(len(whole)):
        found = _format.read(whole[:length])
        assert found.torn == bool(found.damaged)
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    assert not _format.read(bytes(flipped)).torn


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    sender = Sender()
    sender.mode = "away"
    with make(tmp_path, sender) as collector:
        collector.record("mail", "send")
    [path] = tmp_path.rglob("*.seg")
    start = struct.pack("<8sHH", b"BCPSPOOL", 2, 0)
    later = start + struct.pack("<I", crc32(start)) + path.read_bytes()[HEADER_BYTES:]
    path.write_bytes(later)
    with make(tmp_path, Sender()) as collector:
        collector.flush()
        assert (collector.stats().adopted, collector.stats().damaged) == (0, 1)
    assert path.read_bytes() == later


def test_seals_fix_batches_and_acknowledgements_end_them() -> None:
    events = [_format.pack(EVENT, 0, n, b'{"n":%d}' % n) for n in range(1, 7)]
    one, two = Members(ONE, [[1, 1], [3, 3]]), Members(TWO, [[2, 2], [4, 4]])
    seals = [_format.pack_members(SEAL, 0, one), _format.pack_members(SEAL, 0, two)]
    data = _format.header() + b"".join(events + seals) + _format.pack_members(ACK, 0, one)
    found = _format.read(data)
    assert found.batches == [(0, two, (b'{"n":2}', b'{"n":4}'))]
    assert found.loose == {0: {5: b'{"n":5}', 6: b'{"n":6}'}}
    # An event that is damaged must not pull one of another batch into its place.
    damaged = bytearray(data)
    damaged[HEADER_BYTES + _format.RECORD_BYTES] ^= 1
    assert _format.read(bytes(damaged)).batches == found.batches
    # An acknowledgement holds without its seal, and a batch without its seal is still there.
    assert _format.read(_format.header() + b"".join(events) + _format.pack_members(ACK, 0, one)).loose == {
        0: {n: b'{"n":%d}' % n for n in (2, 4, 5, 6)}
    }


def test_damage_in_the_middle_is_counted_kept_aside_and_costs_nothing_else(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    with make(tmp_path, sender, clock) as collector:
        for n in range(10):
            collector.record("mail", "send", request_id=f"r{n}")
        collector.flush()
        [path] = tmp_path.rglob("*.seg")
        data = bytearray(path.read_bytes())
        data[data.index(b'"r4"') + 1] ^= 0x20
        path.write_bytes(data)
        sender.mode = "ok"
        clock.now += 31
        collector.flush()
        s = collector.stats()
        assert (s.stored, s.corrupt, s.damaged, s.spooled) == (9, 1, 1, 0)
        assert balanced(collector)
    assert [e["request_id"] for e in sender.database.events.values()] == [
        f"r{n}" for n in range(10) if n != 4
    ]
    [kept] = tmp_path.rglob("*.corrupt")
    assert b'"R4"' in kept.read_bytes()


def test_a_segment_that_vanished_is_counted(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    with make(tmp_path, sender, clock) as collector:
        collector.record("mail", "send")
        collector.flush()
        [path] = tmp_path.rglob("*.seg")
        path.unlink()
        sender.mode = "ok"
        clock.now += 31
        collector.flush()
        assert (collector.stats().corrupt, collector.stats().spooled) == (1, 0)
        assert balanced(collector)


OPERATIONS = st.lists(
    st.one_of(
        st.sampled_from(["record", "record", "record", "metric", "session", "flush", "crash", "close"]),
        st.sampled_from(["ok", "ok", "away", "lost", "failed", "broken"]).map(lambda mode: f"mode {mode}"),
        st.integers(1, 40).map(lambda n: f"burst {n}"),
    ),
    max_size=40,
)


@pytest.mark.parametrize("durable", [False, True])
@given(operations=OPERATIONS)
def test_whatever_happens_each_event_is_there_once_or_counted(durable: bool, operations: list[str]) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as name:
        folder, clock, sender = Path(name), Clock(), Sender()
        settings: dict[str, Any] = {"durable": durable, "max_batch_bytes": 1500}
        expected: list[str] = []
        calls: set[str] = set()
        collector = make(folder, sender, clock, **settings)
        safe = 0
        for operation in operations:
            what, _, argument = operation.partition(" ")
            if what == "record":
                expected.append(collector.record("mail", "send", parameters="x" * 50))
                calls.add(expected[-1])
            elif what == "metric":
                expected.append(collector.metric("m", 1))
            elif what == "session":
                collector.touch_session("s", time=None)
            elif what == "burst":
                expected += [collector.record("mail", "send") for _ in range(int(argument))]
                calls.update(expected[-int(argument) :])
            elif what == "mode":
                sender.mode = argument
            elif what == "flush":
                clock.now += 31
                assert collector.flush()
                safe = len(expected)
            else:
                if what == "close":
                    collector.close()
                else:
                    crash(collector)
                    if not durable:
                        # Only what was in the buffer, which is what came since the last flush.
                        expected = expected[:safe]
                safe = len(expected)
                sender = Sender(sender.database)
                collector = make(folder, sender, clock, **settings)
            assert balanced(collector)
            assert collector.stats().dropped == collector.stats().corrupt == 0
        sender.mode = "ok"
        clock.now += 31
        assert collector.flush()
        kept = sum(path.read_bytes().count(b'"event_id"') for path in folder.rglob("*.rejected"))
        assert collector.stats().spooled == collector.stats().buffered == 0
        collector.close()
        there = set(sender.database.events)
        assert len(set(expected) - there) <= kept
        # Kinds are sent apart, so the order holds within one.
        assert [i for i in sender.database.events if i in calls] == [
            i for i in expected if i in calls & there
        ]
        assert list(folder.rglob("*.seg")) == []
        assert list(folder.rglob("*.corrupt")) == []
