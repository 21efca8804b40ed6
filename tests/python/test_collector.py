"""Collector: what is recorded arrives once, in order, and never disturbs who records."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from array import array
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics import AsyncCollector, Collector, InvalidArgument
from bcp_analytics.collector import _segment
from bcp_analytics.collector._events import copied, encode, new_event_id, snapshot
from bcp_analytics.collector._folders import default_root
from bcp_analytics.collector._spool import SpoolFull
from tests.python.collector_fakes import Clock, Sender, balanced, crash, make


def stored(sender: Sender) -> list[dict[str, Any]]:
    return list(sender.database.events.values())


def test_an_event_arrives_with_its_fields(tmp_path: Path) -> None:
    sender = Sender()
    with make(tmp_path, sender) as collector:
        event_id = collector.record(
            "mail", "send", parameters={"to": [1]}, duration_ms=2.5, success=True, user_id=7, colour="red"
        )
        assert collector.flush()
    [event] = stored(sender)
    assert UUID(event_id).version == 7
    assert datetime.fromisoformat(event.pop("end_time")).tzinfo == UTC
    assert event == {
        "event_id": event_id,
        "bcp_name": "mail",
        "tool_name": "send",
        "operation": "call",
        "parameters": {"to": [1]},
        "duration_ms": 2.5,
        "success": True,
        "user_id": 7,
        "colour": "red",
    }


def test_ids_are_new_sorted_and_of_now() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_event_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(UUID(i).version == 7 and UUID(i).variant == "specified in RFC 4122" for i in ids)
    assert before <= UUID(ids[0]).int >> 80 <= time.time_ns() // 1_000_000
    assert sorted(i[:18] for i in ids) == [i[:18] for i in ids]


def test_every_kind_has_a_batch_of_its_own(tmp_path: Path) -> None:
    sender = Sender()
    with make(tmp_path, sender) as collector:
        collector.record("mail", "send", event_id="mine")
        collector.record_error("warn", "it broke")
        collector.metric("queue_ms", 1.5, labels={"a": 1})
        collector.touch_session("s1", user_id="u")
        collector.end_session("s1")
        collector.flush()
        assert collector.stats().batches == 4
        assert collector.stats().recorded == collector.stats().stored == 5
    events = stored(sender)
    assert events[0]["event_id"] == "mine"
    assert "start_time" in events[0]
    assert {"level", "message", "timestamp", "event_id"} <= set(events[1])
    assert events[2]["metric_value"] == 1.5
    assert {"session_id", "last_activity", "user_id"} <= set(events[3])
    assert set(events[4]) == {"session_id", "ended_at"}


@pytest.mark.parametrize("durable", [False, True])
def test_what_was_recorded_does_not_change(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001
    class Odd:
        def __init__(self) -> None:
            self.name = "before"

        def __repr__(self) -> str:
            return self.name

    sender, odd = Sender(), Odd()
    plain: dict[str, Any] = {"list": [1], "deep": {"x": []}}
    other: dict[str, Any] = {"odd": odd, "at": datetime(2026, 1, 2, tzinfo=UTC)}
    with make(tmp_path, sender, durable=durable) as collector:
        collector.record("mail", "send", parameters=plain, response_data=other)
        plain["list"].append(2)
        plain["deep"]["x"].append(plain)
        odd.name = "after"
        other.clear()
    [event] = stored(sender)
    assert event["parameters"] == {"list": [1], "deep": {"x": []}}
    assert event["response_data"] == {"odd": "before", "at": "2026-01-02T00:00:00+00:00"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.uuids()
    | st.decimals()
    | st.datetimes()
    | st.builds(bytearray, st.binary())
    | st.builds(lambda numbers: array("d", numbers), st.lists(st.floats(), max_size=2))
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(deque, st.lists(inner)),
    max_leaves=10,
)


@given(VALUES)
def test_a_copy_is_encoded_as_the_value_itself_would_be(value: Any) -> None:
    now, later = snapshot(0, {"x": value}, as_json=True), snapshot(0, {"x": value}, as_json=False)
    assert later.payload() == now.payload()
    assert encode({"x": copied(value), "y": 1}) in {
        encode({"x": value, "y": 1}),
        encode({"y": 1, "x": value}),
    }


def test_record_costs_at_most_20_us(tmp_path: Path) -> None:
    """CPU time, so that a busy machine does not matter; benchmarks/record.py has the figures."""
    document = {"path": "/var/lib/data", "notes": "The quick brown fox. " * 15, "ids": list(range(14))}
    times = []
    with make(tmp_path, Sender()) as collector:
        for _ in range(20):
            began = time.thread_time_ns()
            for _ in range(90):
                collector.record("files", "read", parameters=document, duration_ms=12.5, success=True)
            times.append((time.thread_time_ns() - began) / 90_000)
            collector.flush()
    assert min(times) < 20


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize("durable", [False, True])
def test_record_raises_for_nothing(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001
    sender = Sender()
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    with make(tmp_path, sender, durable=durable) as collector:
        for value in (cycle, deep, Hostile(), {Hostile: 1}, float("nan"), "\ud800\0", b"\xff", 10**5000):
            assert collector.record("mail", "send", parameters=value)
        collector.record(None, Hostile(), start_time="yesterday")  # type: ignore[arg-type]
        collector.record_error("error", exception=RuntimeError(Hostile()))
        collector.record_error("loud", None)  # type: ignore[arg-type]
        collector.metric("m", Hostile())  # type: ignore[arg-type]
        collector.touch_session(Hostile())  # type: ignore[arg-type]
        assert balanced(collector)
        assert collector.stats().dropped == 0
    assert len(stored(sender)) == 13


def test_an_id_that_cannot_be_text_does_not_raise(tmp_path: Path) -> None:
    with make(tmp_path, Sender()) as collector:
        assert collector.record("mail", "send", event_id=Hostile())  # type: ignore[arg-type]
        assert balanced(collector)


def test_a_huge_event_goes_without_its_documents(tmp_path: Path) -> None:
    sender = Sender()
    with make(tmp_path, sender) as collector:
        collector.record("mail", "send", parameters="x" * 17_000_000, success=True)
        collector.record("mail", "send", comment="x" * 17_000_000)
    first, second = stored(sender)
    assert (first["success"], first["omitted_bytes"] > 17_000_000, "parameters" in first) == (
        True,
        True,
        False,
    )
    assert (second["tool_name"], "comment" in second) == ("send", False)


def test_batches_are_bounded_in_events_and_bytes(tmp_path: Path) -> None:
    sender = Sender()
    with make(tmp_path, sender, max_batch_bytes=1000) as collector:
        for _ in range(10):
            collector.record("mail", "send", parameters="x" * 200)
        collector.flush()
        assert collector.stats().batches == 5
    sender = Sender()
    with make(tmp_path, sender) as collector:
        for _ in range(2500):
            collector.metric("m", 1)
        collector.flush()
    assert list(sender.database.batches.values()) == [1000, 1000, 500]


# The database is away


def test_away_means_spooled_and_sent_later_once_in_order_under_the_same_id(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    with make(tmp_path, sender, clock) as collector:
        sender.mode = "lost"
        collector.record("mail", "first")
        assert collector.flush()
        s = collector.stats()
        assert (s.state, s.spooled, s.buffered, s.sent) == ("spooling", 1, 0, 0)
        assert s.last_error == "OperationalError"
        collector.record("mail", "second")
        assert collector.flush()
        assert sender.attempts == 1, "no attempt before its time"
        sender.mode = "ok"
        clock.now += 31
        assert collector.flush()
        s = collector.stats()
        assert (s.state, s.spooled, s.stored, s.duplicates) == ("ok", 0, 1, 1)
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
        assert (s.state, s.last_error, s.spooled) == ("failed", "InvalidPassword 28P01", 5)
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
        assert (s.rejected, s.stored, s.spooled, s.state, s.last_error) == (
            1,
            1,
            0,
            "ok",
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
        assert "OSError ENOSPC" in {s.last_error, collector._core._buffer.disk_error}
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


# With the thread


def test_the_thread_sends_a_full_buffer_and_errors_at_once(tmp_path: Path) -> None:
    arrived = threading.Event()

    class Telling(Sender):
        def send(self, batch: Any) -> Any:
            result = super().send(batch)
            arrived.set()
            return result

    sender = Telling()
    with Collector(
        "", source="test", spool=tmp_path, flush_interval_s=3600, buffer_size=10, _sender=sender
    ) as collector:
        for _ in range(9):
            collector.record("mail", "send")
        assert not arrived.wait(0.05)
        collector.record("mail", "send")
        assert arrived.wait(10)
        arrived.clear()
        collector.record_error("warn", "wait")
        assert not arrived.wait(0.05)
        collector.record_error("error", "now")
        assert arrived.wait(10)
    assert len(stored(sender)) == 12


def test_an_interval_that_is_over_sends_too(tmp_path: Path) -> None:
    arrived = threading.Event()

    class Telling(Sender):
        def send(self, batch: Any) -> Any:
            arrived.set()
            return super().send(batch)

    with Collector("", source="test", spool=tmp_path, flush_interval_s=0.01, _sender=Telling()) as collector:
        collector.record("mail", "send")
        assert arrived.wait(10)


def test_many_threads_record_at_once(tmp_path: Path) -> None:
    sender = Sender()
    ids: list[str] = []
    with Collector("", source="test", spool=tmp_path, durable=True, _sender=sender) as collector:

        def work() -> None:
            mine = [collector.record("mail", "send", parameters={"n": n}) for n in range(300)]
            ids.extend(mine)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert collector.flush(30)
        assert balanced(collector)
    assert set(ids) == set(sender.database.events)
    assert sender.database.copies == []


def test_a_hanging_send_neither_blocks_record_nor_close_nor_loses(tmp_path: Path) -> None:
    go, entered = threading.Event(), threading.Event()

    class Hanging(Sender):
        def send(self, batch: Any) -> Any:
            entered.set()
            go.wait(60)
            return super().send(batch)

    sender = Hanging()
    collector = Collector("", source="test", spool=tmp_path, buffer_size=1, _sender=sender)
    collector.record("mail", "send")
    assert entered.wait(10)
    for _ in range(12_000):
        collector.metric("m", 1)
    s = collector.stats()
    assert s.spooled > 0, "memory is bounded"
    assert balanced(collector)
    assert not collector.flush(0.01)
    collector.close(0.01)
    assert (collector.stats().spooled, collector.stats().buffered) == (12_001, 0)
    go.set()
    assert collector._core._thread is not None
    collector._core._thread.join(10)
    with make(tmp_path, Sender(sender.database)) as collector:
        collector.flush()
    assert len(sender.database.events) == 12_001


def test_a_thread_that_died_costs_nothing(tmp_path: Path) -> None:
    class Deadly(Sender):
        def send(self, batch: Any) -> Any:
            del batch
            raise SystemExit

    collector = Collector("", source="test", spool=tmp_path, flush_interval_s=3600, _sender=Deadly())
    collector.record("mail", "send")
    assert not collector.flush(1)
    thread = collector._core._thread
    assert thread is not None
    thread.join(10)
    collector.record("mail", "send")
    collector.flush(10)
    collector.close()
    assert (collector.stats().spooled, collector.stats().dropped) == (2, 0)


_AT_EXIT = """
import sys
from tests.python.collector_fakes import Sender
from bcp_analytics import Collector
sender = Sender()
sender.close = lambda: print(len(sender.database.events), flush=True)
collector = Collector("", source="test", spool=sys.argv[1], _sender=sender)
for _ in range(7):
    collector.record("mail", "send")
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "raise ValueError"])
def test_the_end_of_the_program_drains(tmp_path: Path, end: str) -> None:
    code = _AT_EXIT.format(end=end)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split()[0] == "7", done.stderr


def test_a_forked_child_begins_anew_and_the_parent_sends_its_own(tmp_path: Path) -> None:
    class Shared(Sender):
        """Writes what it gets to a file, since memory is not shared."""

        def send(self, batch: Any) -> Any:
            with (tmp_path / f"sent-{os.getpid()}").open("a") as file:
                file.writelines(f"{json.loads(p)['tool_name']}\n" for p in batch.payloads)
            return super().send(batch)

    collector = Collector(
        "", source="test", spool=tmp_path / "s", flush_interval_s=3600, durable=True, _sender=Shared()
    )
    collector.record("mail", "parent")
    instance = collector._core._reporter.instance
    child = os.fork()
    if child == 0:
        try:
            clean = collector.stats().recorded == 0 and collector._core._reporter.instance != instance
            collector.record("mail", "child")
            sent = collector.flush(20)
            os._exit(0 if clean and sent and len(list((tmp_path / "s").rglob("*.seg"))) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / f"sent-{child}").read_text() == "child\n"
    # The child left without closing. Its lock went with it, the parent's lock did not.
    with make(tmp_path / "s", Sender()) as other:
        assert other.stats().adopted == 0
    collector.close()
    assert (tmp_path / f"sent-{os.getpid()}").read_text() == "parent\n"


_POOL = """
import multiprocessing, sys
from bcp_analytics import Collector
from tests.python.collector_fakes import Sender

def work(folder):
    sender = Sender()
    sender.close = lambda: print("sent", len(sender.database.events), flush=True)
    Collector("", source="test", spool=folder, _sender=sender).record("mail", "send")

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1],))
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_drains_too(tmp_path: Path, method: str) -> None:
    (tmp_path / "pool.py").write_text(_POOL)
    done = subprocess.run(
        [sys.executable, tmp_path / "pool.py", tmp_path / "spool", method],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.split()[:2] == ["sent", "1"], done.stderr


def test_a_log_handler_may_record_with_the_same_collector(tmp_path: Path) -> None:
    class Recording(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other = threading.Thread(target=collector.record_error, args=("error", record.getMessage()))
            other.start()
            other.join(20)
            assert not other.is_alive(), "the collector's lock is held while a line is written"

    handler = Recording()
    logging.getLogger("bcp_analytics").addHandler(handler)
    sender = Sender()
    sender.mode = "away"
    try:
        with make(tmp_path, sender) as collector:
            collector.record("mail", "send")
            collector.flush()
            assert collector.stats().recorded == 2
    finally:
        logging.getLogger("bcp_analytics").removeHandler(handler)


async def _use(tmp_path: Path, sender: Sender) -> AsyncCollector:
    async with AsyncCollector("", source="test", spool=tmp_path, _sender=sender) as collector:
        assert collector.record("mail", "send")
        assert await collector.flush()
        assert collector.stats().stored == 1
        collector.metric("m", 1)
    return collector


def test_the_async_collector_is_the_same(tmp_path: Path) -> None:
    sender = Sender()
    collector = asyncio.run(_use(tmp_path, sender))
    assert (collector.stats().state, collector.stats().stored) == ("closed", 2)


def test_reports_come_once_a_minute_after_success_and_at_the_end(tmp_path: Path) -> None:
    sender, clock = Sender(), Clock()
    with make(tmp_path, sender, clock) as collector:
        sender.mode = "away"
        collector.record("mail", "send")
        collector.flush()
        assert sender.reports == []
        sender.mode = "ok"
        clock.now += 31
        for _ in range(10):
            collector.record("mail", "send")
            collector.flush()
            clock.now += 10
        assert len(sender.reports) == 2
        collector.record("mail", "send")
    assert len(sender.reports) == 3
    assert (sender.reports[-1].recorded, sender.reports[-1].sent) == (12, 12)


def test_arguments_out_of_bounds_are_refused_at_once(tmp_path: Path) -> None:
    for wrong in ({"buffer_size": 0}, {"spool_limit_bytes": -1}, {"at_spool_limit": "explode"}):
        with pytest.raises(InvalidArgument):
            Collector("", spool=tmp_path, **wrong)  # type: ignore[arg-type]
    with pytest.raises(psycopg.ProgrammingError):
        Collector("no such thing", spool=tmp_path)


def test_the_default_folder_is_the_state_folder_of_xdg(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "bcp-analytics/spool"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert str(default_root()) == "/home/x/.local/state/bcp-analytics/spool"


def test_the_stats_never_hold_text_of_an_error(tmp_path: Path) -> None:
    sender = Sender()
    sender.mode = "broken"
    with make(tmp_path, sender) as collector:
        collector.record("mail", "send")
        collector.flush()
        assert re.fullmatch(r"[A-Za-z_.]+( [A-Z0-9]+)?", collector.stats().last_error or "")
