"""Late events go apart, so that the aggregates look again at no more than what changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics import Collector
from bcp_analytics.collector.capture import _events
from tests.python.collector_fakes import Sender, balanced, crash, make

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from bcp_analytics.collector.spool._batch import Batch

# Midday, so that hours before are of the same day.
THEN = (datetime.now(UTC) - timedelta(days=5)).replace(hour=12)
DAY_BEFORE = THEN - timedelta(days=1)


class Noting(Sender):
    """Notes what each batch held."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    def send(self, batch: Batch) -> Any:
        result = super().send(batch)
        self.batches.append([json.loads(payload)["request_id"] for payload in batch.payloads])
        return result


def mix(collector: Collector) -> None:
    for name, start in (
        ("a1", None),
        ("b1", THEN),
        ("a2", None),
        ("c1", DAY_BEFORE),
        ("b2", THEN - timedelta(hours=8)),
        ("a3", datetime.now(UTC) - timedelta(minutes=50)),
        ("c2", DAY_BEFORE),
    ):
        collector.record("mail", "send", start_time=start, request_id=name)


APART = [["c1", "c2"], ["b1", "b2"], ["a1", "a2", "a3"]]


@pytest.mark.parametrize("durable", [False, True])
def test_each_day_of_late_events_is_a_batch_and_what_is_new_another(
    tmp_path: Path,
    durable: bool,  # noqa: FBT001
) -> None:
    sender = Noting()
    with make(tmp_path, sender, durable=durable) as collector:
        mix(collector)
        collector.flush()
        assert sender.batches == APART
        assert balanced(collector)
        assert collector.stats().spooled == 0


@pytest.mark.parametrize("durable", [False, True])
def test_they_stay_the_same_batches_on_disk(
    tmp_path: Path,
    durable: bool,  # noqa: FBT001
) -> None:
    """Their numbers lie between one another there, and the answer to the second of them is lost."""
    sender = Noting()
    collector = make(tmp_path, sender, durable=durable)
    mix(collector)
    sender.mode = "away"
    collector.flush()
    assert collector.stats().spooled == 7
    crash(collector)
    sender.mode = "ok"
    collector = make(tmp_path, sender)
    core = collector._core
    first = core._buffer.take()
    assert first is not None
    sender.send(first)
    with core._lock:
        core._buffer.finish(first)
    second = core._buffer.take()
    assert second is not None
    sender.send(second)
    crash(collector)
    with make(tmp_path, sender) as collector:
        collector.flush()
        assert (collector.stats().adopted, collector.stats().duplicates) == (5, 2)
        assert balanced(collector)
    assert sender.batches == [*APART[:2], *APART[1:]]
    assert sender.database.order[1] == sender.database.order[2]
    assert sender.database.copies == []


def test_what_a_killed_program_wrote_but_put_in_no_batch_goes_apart(tmp_path: Path) -> None:
    collector = make(tmp_path, Sender(), durable=True)
    mix(collector)
    crash(collector)
    sender = Noting()
    with make(tmp_path, sender) as collector:
        collector.flush()
    assert sender.batches == APART


@pytest.mark.parametrize(
    ("kind", "event", "late"),
    [
        (_events.CALLS, {"start_time": THEN, "end_time": datetime.now(UTC)}, True),
        (_events.CALLS, {"start_time": THEN.astimezone().replace(tzinfo=None)}, True),
        (_events.CALLS, {"end_time": THEN.isoformat()}, True),
        (_events.CALLS, {"end_time": _events.now(), "duration_ms": 7_200_000}, True),
        (_events.CALLS, {"end_time": _events.now(), "duration_ms": 60_000}, False),
        (_events.CALLS, {}, False),
        (_events.CALLS, {"start_time": "no time"}, False),
        (_events.CALLS, {"end_time": THEN, "duration_ms": "long"}, False),
        (_events.ERRORS, {"timestamp": THEN}, True),
        (_events.METRICS, {"timestamp": THEN.isoformat()}, True),
        # In no aggregate.
        (_events.SESSIONS, {"started_at": THEN, "start_time": THEN}, False),
    ],
)
def test_what_is_late(kind: int, event: dict[str, Any], late: bool) -> None:  # noqa: FBT001
    assert (_events.day_of(kind, event) != _events.FRESH) == late


def test_a_call_of_last_month_has_only_its_day_aggregated_again(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    changed = (
        "select coalesce(sum(upper(r) - lower(r)), interval '0'), count(*)"
        " from unnest(bcp_internal.logged_changes('tool_usage_1m', false)"
        " * tstzmultirange(tstzrange(now() - interval '40 days', now() - interval '10 minutes'))) as r"
    )
    with Collector(dsn, source="late", spool=tmp_path) as collector:
        collector.record("mail", "send", start_time=datetime.now(UTC) - timedelta(minutes=40))
        assert collector.flush(30)
        clean_db.execute("call bcp.refresh_analytics_views()")
        assert clean_db.execute(changed).fetchall() == [(timedelta(), 0)]
        for start in (THEN - timedelta(days=25), None, THEN - timedelta(hours=3), THEN):
            collector.record("mail", "send", start_time=start)
        collector.record("mail", "send", start_time=datetime.now(UTC) - timedelta(minutes=30))
        assert collector.flush(30)
        assert (collector.stats().batches, collector.stats().stored) == (4, 6)
    [(together, ranges)] = clean_db.execute(changed).fetchall()
    assert ranges == 3
    assert timedelta(hours=3) < together < timedelta(hours=4)
