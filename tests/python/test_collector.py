"""Collector: what is recorded arrives once, in order, and never disturbs who records."""

from __future__ import annotations

import asyncio
import re
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
from bcp_analytics.collector.capture._events import copied, encode, new_event_id, snapshot
from bcp_analytics.collector.spool._folders import default_root
from tests.python.collector_fakes import Clock, Sender, balanced, make, stored


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
