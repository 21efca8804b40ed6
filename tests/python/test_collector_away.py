"""Collector: what the database cannot take now waits on disk, within bounds, and outlives the program."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bcp_analytics import Collector
from bcp_analytics.collector.spool import _segment
from bcp_analytics.collector.spool._spool import SpoolFull
from tests.python.collector_fakes import Clock, Sender, balanced, crash, make, stored


def test_away_means_spooled_and_sent_later_once_in_order_under_the_same_id(tmp_path: Path) -> None:
    sender, clock, began = Sender(), Clock(), datetime.now(UTC)
    with make(tmp_path, sender, clock) as collector:
        sender.mode = "lost"
        collector.record("mail", "first")
        assert collector.flush()
        s = collector.stats()
        assert (s.state, s.spooled, s.buffered, s.sent) == ("spooling", 1, 0, 0)
        assert s.error == s.last_error == "OperationalError 08006"
        collector.record("mail", "second")
        assert collector.flush()
        assert sender.attempts == 1, "no attempt before its time"
        sender.mode = "ok"
        clock.now += 31
        assert collector.flush()
        s = collector.stats()
        assert (s.state, s.spooled, s.stored, s.duplicates) == ("ok", 0, 1, 1)
        assert (s.error, s.last_error) == (None, "OperationalError 08006"), "what is over is over"
        assert s.last_error_at is not None
        assert began <= s.last_error_at <= datetime.now(UTC)
        assert balanced(collector)
    assert [event["tool_name"] for event in stored(sender)] == ["first", "second"]
    assert sender.database.order[0] == sender.database.order[1]
    assert list(tmp_path.rglob("*.seg")) == []


def test_attempts_come_with_growing_jittered_pauses_up_to_30_s(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    waits = []
    with make(tmp_path, sender, clock) as collector:
        collector.record("mail", "send")
        for _ in range(60):
            collector.flush()
            waits.append(collector._core._attempts.try_at - clock.now)
            clock.now = collector._core._attempts.try_at
    assert all(0 <= wait <= 30 for wait in waits)
    assert max(waits[:3]) <= 4
    assert max(waits) > 15
    assert len({round(wait, 6) for wait in waits}) > 50


def test_a_wrong_password_is_a_state_and_a_log_line_without_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "failed"
    with caplog.at_level(logging.WARNING, "bcp_analytics"), make(tmp_path, sender, clock) as collector:
        for _ in range(5):
            collector.record("mail", "send", parameters="hunter2")
            collector.flush()
            clock.now += 1
        s = collector.stats()
        assert (s.state, s.error, s.spooled) == ("failed", "InvalidPassword 28P01", 5)
    [line] = [record.getMessage() for record in caplog.records]
    assert "28P01" in line
    assert "pg_hba.conf" in line
    assert "secret" not in line


def test_a_refused_batch_is_kept_aside_and_holds_up_nothing(tmp_path: Path) -> None:
    sender = Sender()
    with make(tmp_path, sender) as collector:
        sender.mode = "refused"
        collector.record("mail", "bad")
        assert collector.flush()
        sender.mode = "ok"
        collector.record("mail", "good")
        assert collector.flush()
        s = collector.stats()
        assert (s.rejected, s.stored, s.spooled, s.state, s.error, s.last_error) == (
            1,
            1,
            0,
            "ok",
            None,
            "InvalidBatch ZB001",
        )
        assert balanced(collector)
    [kept] = tmp_path.rglob("*.rejected")
    assert b'"bad"' in kept.read_bytes()
    assert kept.stat().st_mode & 0o77 == 0


def test_what_nobody_foresaw_is_tried_a_few_times_and_then_kept_aside(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "broken"
    with make(tmp_path, sender, clock) as collector:
        collector.record("mail", "bad")
        for _ in range(10):
            collector.flush()
            clock.now += 31
        s = collector.stats()
        assert (s.rejected, s.spooled, s.retries, s.last_error) == (1, 0, 4, "RuntimeError")
        assert balanced(collector)
    assert len(list(tmp_path.rglob("*.rejected"))) == 1


# The spool's bounds


def test_at_the_limit_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    with make(tmp_path, sender, clock, spool_limit_bytes=600_000) as collector:
        for number in range(1500):
            collector.record("mail", "send", parameters="x" * 600, request_id=str(number))
            if number % 50 == 49:
                dropped = collector.stats().dropped
                assert collector.flush() == (collector.stats().dropped == dropped)
        s = collector.stats()
        assert s.dropped > 0
        assert s.spooled + s.dropped == 1500
        assert s.spooled_bytes <= 600_000
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.seg")) == s.spooled_bytes
        sender.mode = "ok"
        clock.now += 31
        collector.flush()
        assert balanced(collector)
    kept = [int(event["request_id"]) for event in stored(sender)]
    assert kept == list(range(s.dropped, 1500)), "the newest, in order"
    assert sender.reports[-1].dropped == s.dropped


def test_at_the_limit_blocking_keeps_the_oldest_and_says_blocked(tmp_path: Path) -> None:
    class Impatient(Clock):
        def __call__(self) -> float:
            self.now += 0.5
            return self.now

    sender = Sender()
    sender.mode = "away"
    with make(tmp_path, sender, Impatient(), spool_limit_bytes=200_000, at_spool_limit="block") as collector:
        core = collector._core
        core._buffer._max_events = 500
        core._buffer.changed.wait = lambda _=None: True  # type: ignore[method-assign,assignment]
        for number in range(1500):
            collector.record("mail", "send", parameters="x" * 600, request_id=str(number))
            if number % 50 == 49:
                collector.flush()
        s = collector.stats()
        assert s.state == "blocked"
        assert (s.dropped > 0, s.buffered) == (True, 500)
        assert s.spooled_bytes <= 200_000
        assert balanced(collector)
        sender.mode = "ok"
        for _ in range(100):
            collector.flush()
        assert balanced(collector)
    kept = [int(event["request_id"]) for event in stored(sender)]
    assert sorted(kept) == list(range(1500 - s.dropped)), "the oldest"


@pytest.mark.parametrize("durable", [False, True])
def test_a_full_disk_is_a_state_and_loses_nothing_that_memory_can_hold(
    tmp_path: Path,
    durable: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = [2000]
    real = _segment.write

    def write(fd: int, data: bytes) -> None:
        if len(data) > room[0]:
            os.write(fd, data[: room[0]])
            room[0] = 0
            raise OSError(28, "No space left on device")
        room[0] -= len(data)
        real(fd, data)

    monkeypatch.setattr(_segment, "write", write)
    sender, clock = Sender(), Clock()
    sender.mode = "away"
    with caplog.at_level(logging.WARNING, "bcp_analytics"):
        collector = make(tmp_path, sender, clock, durable=durable)
        for _ in range(30):
            collector.record("mail", "send")
            if not durable:
                collector.flush()
        assert not collector.flush(), "some of it is in memory only"
        s = collector.stats()
        assert s.state == "blocked"
        assert s.error == "OSError ENOSPC"
        assert s.spooled > 0
        assert s.buffered > 0
        assert s.spooled + s.buffered == 30
        assert "spool cannot be written (OSError ENOSPC)" in caplog.text
        collector._core._buffer._max_events = 40
        for _ in range(30):
            collector.record("mail", "send")
        assert collector.stats().dropped > 0
        assert balanced(collector)
        room[0] = 10**9
        sender.mode = "ok"
        clock.now += 31
        assert collector.flush()
        assert balanced(collector)
        assert collector.stats().state == "ok" or durable
        collector.record("mail", "send")
        collector.flush()
        assert collector.stats().state == "ok"
        collector.close()
    assert collector.stats().corrupt == collector.stats().damaged == 0
    assert len(stored(sender)) == 61 - collector.stats().dropped


def test_the_spool_says_when_it_is_full() -> None:
    assert "limit" in str(SpoolFull())


# Ends


@pytest.mark.parametrize("durable", [False, True])
def test_close_spools_what_is_not_sent_and_the_next_collector_sends_it(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001
    sender = Sender()
    sender.mode = "lost"
    with make(tmp_path, sender, durable=durable) as collector:
        for _ in range(5):
            collector.record("mail", "send")
    assert (collector.stats().state, collector.stats().spooled) == ("closed", 5)
    assert collector.record("mail", "late")
    assert collector.stats().dropped == 1
    assert balanced(collector)
    again = Sender(sender.database)
    with make(tmp_path, again) as collector:
        assert collector.stats().adopted == 5
        assert collector.flush()
        assert (collector.stats().duplicates, collector.stats().spooled) == (5, 0)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_durable_event_outlives_a_crash_right_after_record(tmp_path: Path) -> None:
    sender = Sender()
    collector = make(tmp_path, sender, durable=True)
    ids = [collector.record("mail", "send") for _ in range(3)]
    ids.append(collector.record_error("fatal", "it broke"))
    assert (collector.stats().spooled, collector.stats().buffered) == (4, 0)
    crash(collector)
    with make(tmp_path, sender) as collector:
        collector.flush()
    assert list(sender.database.events) == ids


def test_a_crash_between_commit_and_acknowledgement_makes_duplicates_only(tmp_path: Path) -> None:
    sender = Sender()
    collector = make(tmp_path, sender, durable=True)
    collector.record("mail", "send")
    sender.mode = "lost"
    collector.flush()
    crash(collector)
    with make(tmp_path, Sender(sender.database), durable=True) as collector:
        collector.record("mail", "send")
        collector.flush()
        assert (collector.stats().duplicates, collector.stats().stored) == (1, 1)
    assert sender.database.order[0] == sender.database.order[1]


def test_a_spool_in_use_is_not_taken_over(tmp_path: Path) -> None:
    sender = Sender()
    sender.mode = "away"
    one = make(tmp_path, sender)
    one.record("mail", "send")
    one.flush()
    with make(tmp_path, Sender()) as two:
        assert two.stats().adopted == 0
    with make(tmp_path, Sender(), durable=True) as three:
        three.record("mail", "send")
        assert len(list(tmp_path.rglob("*.seg"))) == 2
    one.close()
    assert len(list(tmp_path.rglob("*.seg"))) == 1


def test_sources_do_not_share_a_spool(tmp_path: Path) -> None:
    for name in ("a/b", "a_b", "..", "é"):
        sender = Sender()
        sender.mode = "away"
        with Collector("", source=name, spool=tmp_path, _sender=sender, _threaded=False) as collector:
            collector.record("mail", "send")
        assert collector.stats().adopted == 0
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 4
    assert all(path.stat().st_mode & 0o77 == 0 for path in tmp_path.rglob("*"))
