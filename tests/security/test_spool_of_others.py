"""Somebody else puts things into a spool: nothing of theirs is sent, and nothing stops the sender."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from bcp_analytics import Collector
from bcp_analytics.cli._app import app
from bcp_analytics.collector.capture._events import KINDS
from bcp_analytics.collector.spool import _folders, _format, _segment
from bcp_analytics.collector.spool._format import ACK, EVENT, SEAL
from tests.python.collector_fakes import Clock, Deadly, Sender, balanced, crash, make, stored

BATCH = "00000000-0000-4000-8000-000000000001"


def leave(root: Path) -> Path:
    """Leave an event that waits, as a killed program does, and return its segment."""
    sender = Sender()
    sender.mode = "away"
    collector = make(root, sender, durable=True)
    collector.record("mail", "theirs")
    crash(collector)
    return next(root.rglob("*.seg"))


def adopted(root: Path) -> tuple[int, int, int]:
    """Return what a new collector takes over, sends, and finds damaged."""
    sender = Sender()
    with make(root, sender) as collector:
        assert collector.flush()
        s = collector.stats()
        assert balanced(collector)
    return s.adopted, len(stored(sender)), s.damaged


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to another user")
    os.chown(path, 65534, -1)


def link(path: Path) -> None:
    elsewhere = path.with_name(".elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def hard_link(path: Path) -> None:
    path.with_name(".elsewhere").hardlink_to(path)


def open_up(path: Path) -> None:
    path.chmod(0o777 if path.is_dir() else 0o666)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_huge(path: Path) -> None:
    os.truncate(path, 2**40)


def test_what_is_ours_is_taken_over(tmp_path: Path) -> None:
    leave(tmp_path)
    assert adopted(tmp_path) == (1, 1, 0)


@pytest.mark.parametrize("attack", [give_away, link, open_up])
@pytest.mark.parametrize("level", ["folder", "source"])
def test_a_folder_of_another_is_left_alone(tmp_path: Path, level: str, attack: Any) -> None:
    segment = leave(tmp_path)
    folder = segment.parent if level == "folder" else segment.parent.parent
    attack(folder)
    before = segment.read_bytes()
    assert adopted(tmp_path)[:2] == (0, 0)
    assert segment.read_bytes() == before


@pytest.mark.parametrize("attack", [give_away, link, hard_link, open_up, pipe, make_huge])
def test_a_segment_of_another_is_not_sent(tmp_path: Path, attack: Any) -> None:
    segment = leave(tmp_path)
    attack(segment)
    assert adopted(tmp_path) == (0, 0, 1)
    assert os.path.lexists(segment)


@pytest.mark.parametrize("attack", [give_away, link, hard_link, open_up])
def test_a_lock_of_another_holds_nothing(tmp_path: Path, attack: Any) -> None:
    segment = leave(tmp_path)
    attack(segment.parent / "lock")
    assert adopted(tmp_path)[:2] == (0, 0)


def test_nothing_is_written_into_the_folder_of_another(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test").chmod(0o777)
    with make(tmp_path, Sender(), durable=True) as collector:
        collector.record("mail", "send")
        s = collector.stats()
        assert (s.state, s.spooled, s.buffered, s.last_error) == ("blocked", 0, 1, "PermissionError EPERM")
        assert list((tmp_path / "test").iterdir()) == []
        assert collector.flush()
        assert collector.stats().stored == 1


def test_a_segment_that_is_swapped_later_is_not_written_through(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    with make(tmp_path, sender, clock) as collector:
        for _ in range(2):
            collector.record("mail", "send")
            collector.metric("m", 1)
            collector.flush()
        [path] = tmp_path.rglob("*.seg")
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        path.unlink()
        path.symlink_to(victim)
        sender.mode = "ok"
        clock.now += 31
        collector.flush()
        assert balanced(collector)
        assert (collector.stats().corrupt, collector.stats().stored) == (4, 0)
    assert victim.read_bytes() == b"precious"


def test_the_command_line_leaves_them_alone_too(tmp_path: Path) -> None:
    leave(tmp_path)
    base = tmp_path / "test"
    refused = base / f"{BATCH}.rejected"
    refused.write_bytes(_format.header() + _format.pack_batch(0, BATCH, 1, (b"{}",)))
    refused.chmod(0o666)
    said = CliRunner().invoke(app, ["spool", "list", "--spool", str(tmp_path)])
    assert said.stdout == "test: 1 event waiting, 0 refused, 0 damaged places\n"
    base.chmod(0o777)
    said = CliRunner().invoke(app, ["spool", "list", "--spool", str(tmp_path)])
    assert "test: 1 folder not of this user alone, or a link: skipped" in said.output
    assert "waiting" not in said.output
    said = CliRunner().invoke(app, ["spool", "resend", "test", "--dsn", "port=1", "--spool", str(tmp_path)])
    assert said.exit_code == 1
    assert "others own it or may write to it" in said.stderr
    assert refused.exists()


# ---- whole records, and nonsense in them

GOOD = [_format.pack(EVENT, 0, n, json.dumps({"event_id": f"e{n}"}).encode()) for n in (1, 2, 3)]


def seal(payload: object, kind: int = 0, of: int = SEAL) -> bytes:
    return _format.pack(of, kind, 0, payload if isinstance(payload, bytes) else json.dumps(payload).encode())


NONSENSE = {
    "not json": seal(b"{"),
    "not ascii": seal(b"\xff\xfe"),
    "no list": seal({"a": 1}),
    "a number": seal(b"7"),
    "empty": seal([]),
    "nested": seal(b"[" * 100_000),
    "long number": seal(b"[" + b"9" * 10_000 + b"]"),
    "half a run": seal([BATCH, 1]),
    "no runs": seal([BATCH]),
    "runs of text": seal([BATCH, "1", "3"]),
    "runs of null": seal([BATCH, None, None]),
    "runs of fractions": seal([BATCH, 1.5, 3.5]),
    "backwards": seal([BATCH, 3, 1]),
    "negative": seal([BATCH, -5, 3]),
    "an id that is a number": seal([7, 1, 3]),
    "an id that is a path": seal(["../../../../tmp/edges", 1, 3]),
    "a run without end": seal([BATCH, 1, 2**62]),
    "runs without end": seal([BATCH, *[1, 4_000_000_000] * 100]),
    "an acknowledgement without end": seal([BATCH, 1, 2**62], of=ACK),
    "a type that is none": _format.pack(9, 0, 0, b"[]"),
    "a kind that is none": seal([BATCH, 1, 3], kind=200),
    "an event of no kind": _format.pack(EVENT, 77, 9, b"{}"),
    "an event that is two": _format.pack(EVENT, 0, 9, b'{}, {"event_id": "x"}'),
    "an event that is no object": _format.pack(EVENT, 0, 9, b"[]"),
    "an event that is nothing": _format.pack(EVENT, 0, 9, b""),
    "an event that is not ascii": _format.pack(EVENT, 0, 9, '{"a": "ü"}'.encode()),
    "an event that is not a number": _format.pack(EVENT, 0, 9, b'{"a": NaN}'),
    "an event in the place of another": _format.pack(EVENT, 0, 2, b"{}"),
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("threaded", [False, True])
def test_nonsense_with_a_good_checksum_is_damage(tmp_path: Path, nonsense: bytes, threaded: bool) -> None:  # noqa: FBT001
    path = leave(tmp_path)
    path.write_bytes(_format.header() + b"".join(GOOD) + nonsense)
    sender, began = Sender(), time.monotonic()
    with Collector("", source="test", spool=tmp_path, _sender=sender, _threaded=threaded) as collector:
        assert collector.flush(20)
        deadline = time.monotonic() + 20
        while collector.stats().sent < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        s = collector.stats()
        assert (s.state, s.adopted, s.stored, s.damaged) == ("ok", 3, 3, 1)
        assert balanced(collector)
    assert [event["event_id"] for event in stored(sender)] == ["e1", "e2", "e3"]
    [kept] = tmp_path.rglob("*.corrupt")
    assert kept.read_bytes() == nonsense
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [kept]
    assert time.monotonic() - began < 20


def test_what_reading_costs_is_bounded_by_the_length_of_the_file() -> None:
    # Each seal is allowed by itself; together they would name 100 million events.
    seals = [seal([str(uuid4()), 1, _format.MAX_BATCH_EVENTS]) for _ in range(100_000)]
    began = time.monotonic()
    found = _format.read(_format.header() + b"".join(GOOD) + b"".join(seals))
    assert time.monotonic() - began < 10
    assert found.events == 3
    assert len(found.damaged) > 90_000


def test_a_batch_that_is_sealed_twice_keeps_its_events() -> None:
    data = _format.header() + GOOD[0] + seal([BATCH, 1, 1]) + GOOD[1] + seal([BATCH, 2, 2])
    found = _format.read(data)
    assert [payloads for _, _, payloads in found.batches] == [(b'{"event_id": "e1"}',)]
    assert found.loose == {0: {2: b'{"event_id": "e2"}'}}
    assert len(found.damaged) == 1


def test_all_kinds_there_are_make_sense() -> None:
    data = _format.header() + b"".join(_format.pack(EVENT, kind, 1 + kind, b"{}") for kind in KINDS)
    assert _format.read(data).events == len(KINDS)


# ---- many, and the end of the thread


def test_many_folders_are_taken_over_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folders, "MAX_TAKEN", 3)
    for number in range(8):
        folder = _folders.make(tmp_path / "test")
        segment = _segment.create(folder, fsync=False)
        # One in the middle cannot be read, and stays.
        content = b"" if number == 4 else _format.pack(EVENT, 0, 1, b'{"event_id": "%d"}' % number)
        segment.append(content, fsync=False)
        if number == 4:
            segment.path.chmod(0o666)
        segment.close()
        folder.release()
    sender = Sender()
    open_at_once = []

    class Counting(Sender):
        def send(self, batch: Any) -> Any:
            open_at_once.append(len({s.folder.path for s in collector._core._buffer.spool._segments}))
            return sender.send(batch)

    with make(tmp_path, Counting()) as collector:
        assert collector.flush()
        assert balanced(collector)
        assert (collector.stats().adopted, collector.stats().damaged) == (7, 1)
    assert len(stored(sender)) == 7
    assert max(open_at_once) <= 3


def test_a_thread_that_died_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector("", source="test", spool=tmp_path, flush_interval_s=3600, _sender=Deadly())
    collector.record("mail", "send")
    assert collector.stats().state == "ok"
    collector.flush(5)
    thread = collector._core._thread
    assert thread is not None
    thread.join(10)
    assert (collector.stats().state, collector.stats().last_error) == ("dead", "SystemExit")
    assert "thread died" in caplog.text
    collector.record("mail", "send")
    assert collector.stats().state == "dead"
    collector.close()
    assert (collector.stats().state, collector.stats().spooled) == ("closed", 2)


def test_a_thread_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        collector = Collector("", source="test", spool=tmp_path, _sender=Sender())
        collector.record("mail", "send")
    assert collector.stats().state == "dead"
    collector.close()
    assert collector.stats().spooled == 1
