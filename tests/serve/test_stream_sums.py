"""Running sums are what counting all calls again would give, however late a commit comes."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bcp_analytics.queries import LiveMetric, RecentCall, SuccessAndErrorRates
from bcp_analytics.serve._stream._frames import MetricFrames
from bcp_analytics.serve._stream._sums import ALL, RunningSums, Sums, midnight

pytestmark = pytest.mark.any_target("it needs no database")

WINDOW, OVERLAP = 20, 5
MIDNIGHT = datetime(2026, 6, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    """A call: when it began, its transaction did, and when that was committed, in seconds after midnight."""

    tool: str
    start: float
    created: float
    committed: float
    outcome: str | None
    duration_ms: float | None

    @property
    def success(self) -> bool | None:
        return None if self.outcome in {None, "cancelled"} else self.outcome == "success"


calls = st.builds(
    lambda tool, created, delay, late, outcome, duration: Stored(
        tool, created - delay, created, created + late, outcome, duration
    ),
    st.sampled_from(["read", "write", "send"]),
    st.floats(-30, 60),
    st.floats(0, 40),
    st.floats(0, OVERLAP - 0.001),
    st.sampled_from(["success", "error", "timeout", "cancelled", None]),
    st.one_of(st.none(), st.integers(0, 200).map(lambda n: 1.02**n)),
)
ticks = st.lists(st.floats(0.1, 8), min_size=1, max_size=30)


def time(seconds: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=seconds)


def live_metrics(stored: list[Stored], at: float, since: datetime, known: list[int]) -> list[LiveMetric]:
    """Answer as the SQL function does, from what is committed."""
    seconds = defaultdict(list)
    for call in stored:
        if call.committed <= at and time(call.created) >= since:
            seconds[time(call.created).replace(microsecond=0)].append(call)
    rows = []
    for second, there in seconds.items():
        place = round((second - since).total_seconds())
        if len(there) == (known[place] if place < len(known) else None):
            continue
        groups = Counter(
            (midnight(time(c.start)), c.tool, c.outcome, c.success, c.duration_ms) for c in there
        )
        for (day, tool, outcome, success, ms), count in groups.items():
            total = None if ms is None else ms * count
            rows.append(
                LiveMetric(second, day, "b", tool, outcome, success, ms, count, total, 3 * count, 7 * count)
            )
    return rows


def totals(stored: list[Stored], at: float) -> list[SuccessAndErrorRates]:
    day = midnight(time(at))
    today = [c for c in stored if c.committed <= at and midnight(time(c.start)) == day]
    return [
        SuccessAndErrorRates(
            day, "b", tool, *(counts := _outcomes(c for c in today if c.tool == tool)), counts[0], None, None
        )
        for tool in sorted({c.tool for c in today})
    ]


def _outcomes(some: Any) -> tuple[int, int, int]:
    found = [c.success for c in some]
    return len(found), found.count(True), found.count(False)


def figures(running: RunningSums, tool: str | None) -> dict[str, Any]:
    return running.sums.get(("b", tool), Sums()).figures()


def begin(stored: list[Stored], at: float) -> RunningSums:
    running = RunningSums(window=WINDOW, overlap=OVERLAP)
    running.start(time(at), totals(stored, at))
    for since, until in running.window():
        rows = live_metrics(stored, at, since, [])
        running.add_window(row for row in rows if until is None or row.stored_at < until)
    return running


# Committed right after a tick at 14.9 s, almost an overlap after it began.
@example([Stored("read", 10.1, 10.1, 15.0, "success", None)], [14.4, 5.1])
@given(st.lists(calls, max_size=60), ticks)
def test_each_call_counts_once_however_late_its_commit(stored: list[Stored], steps: list[float]) -> None:
    at = 0.5
    running = begin(stored, at)
    for step in steps:
        at += step
        since, known = running.asks()
        running.take(time(at), live_metrics(stored, at, since, known))
        seen = [c for c in stored if c.committed <= at]
        window = [c for c in seen if int(time(c.created).timestamp()) >= int(time(at).timestamp()) - WINDOW]
        for key in ["read", "write", "send", None]:
            sums = figures(running, key)
            recent = [c for c in window if key in {None, c.tool}]
            today = [c for c in seen if key in {None, c.tool} and midnight(time(c.start)) == MIDNIGHT]
            assert (sums["calls"], sums["successes"], sums["errors"]) == _outcomes(recent)
            assert (sums["calls_today"], sums["successes_today"], sums["errors_today"]) == _outcomes(today)
            assert sums["outcomes"] == dict(Counter(c.outcome for c in recent if c.outcome))
            assert sums["request_bytes"] == 3 * len(recent)
            durations = sorted(c.duration_ms for c in recent if c.duration_ms is not None)
            if durations:
                exact = durations[math.ceil(0.95 * len(durations)) - 1]
                assert sums["p95_duration_ms"] == pytest.approx(exact, abs=0.001)
                assert sums["avg_duration_ms"] == pytest.approx(sum(durations) / len(durations), abs=0.001)
            else:
                assert sums["p95_duration_ms"] is sums["avg_duration_ms"] is None
    assert running.sums[ALL].figures() == figures(running, None)


def test_a_frame_tells_only_tools_that_have_calls_and_says_how_many_do_not_fit() -> None:
    stored = [Stored(f"tool-{n:04}" + "\u2028" * 50, 1.0, 1.0, 1.0, "success", 2.0) for n in range(2_000)]
    running = begin([], 0.5)
    frames = MetricFrames(running, window=WINDOW)
    running.take(time(2), live_metrics(stored, 2, *running.asks()))
    call = RecentCall(time(1), time(1), "b", "x" * 9_000, "call", None, None, None, None, None, None, None)  # type: ignore[arg-type]
    frame = frames.frame(time(2), [call] * 50)
    assert len(frame) < 256_000
    assert "\u2028" not in frame
    told = json.loads(frame)["data"]
    assert told["all"]["calls"] == 2_000
    assert len(told["tools"]) + told["tools_left_out"] == 2_000
    assert len(told["tools"]) > 100
    assert (len(told["recent_calls"]), told["recent_calls_left_out"]) == (3, 47)
    # Calls that began the day before are in no total of the day, and leave with the window.
    yesterday = begin([Stored("old", -60.0, 0.1, 0.2, "success", None)], 0.5)
    frames = MetricFrames(yesterday, window=WINDOW)
    assert [row["tool_name"] for row in json.loads(frames.frame(time(1), []))["data"]["tools"]] == ["old"]
    yesterday.take(time(50), [])
    assert json.loads(frames.frame(time(50), []))["data"]["tools"] == []
