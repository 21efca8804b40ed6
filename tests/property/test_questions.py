"""Every answer from aggregates equals the answer from the raw rows, whatever the range and grouping."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

NOW = datetime(2026, 4, 2, 13, 37, 21, 123456, tzinfo=UTC)
FIRST = NOW - timedelta(days=12)  # the clocks of Europe change within it
# The data are only read, so the examples of one test may share them.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe"]
INTERVALS = ["15 minutes", "1 hour", "3 hours", "1 day", "1 week", None]


def calls(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)  # noqa: S311
    return [
        {
            "bcp_name": rng.choice(["files", "mail"]),
            "tool_name": rng.choice(["read", "write", "list"]),
            "operation": rng.choice(["call", "retry"]),
            "start_time": (FIRST + rng.random() * (NOW - FIRST)).isoformat(),
            "duration_ms": rng.choice([None, 0, round(rng.lognormvariate(3, 2), 3)]),
            "success": rng.choice([True, True, True, False, None]),
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    return calls(seed=7, count=3000)


@pytest.fixture
def conn(clean_db: psycopg.Connection[Any], sent: list[dict[str, Any]]) -> psycopg.Connection[Any]:
    """Two thirds of the calls older than a day materialised, a late third that a refresh has caught up with,
    and a last day above every watermark."""
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
    early = [c for n, c in enumerate(sent) if n % 3]
    late = [c for n, c in enumerate(sent) if not n % 3]
    for batch in (early, late):
        clean_db.execute("select bcp.ingest_tool_usage(null, %s::text)", [json.dumps(batch)])
        clean_db.execute("call bcp.refresh_analytics_views()")
    [(mark,)] = clean_db.execute("select bcp_internal.watermark('tool_latency_1d')").fetchall()
    assert FIRST < mark < NOW  # both sides are there, else this tests nothing
    return clean_db


ranges = st.tuples(
    st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 3)),  # noqa: DTZ001
    st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(0), timedelta(days=14))),
    st.sampled_from([timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]),
)


def a_range(drawn: tuple[datetime, timedelta, timedelta]) -> tuple[datetime, datetime]:
    """A range whose ends often lie on whole minutes, hours or days."""
    start, length, grain = drawn
    epoch = datetime(2000, 1, 1, tzinfo=UTC)

    def floor(t: datetime) -> datetime:
        return t - (t - epoch) % grain

    start = start.replace(tzinfo=UTC)
    return floor(start), floor(start + length)


def bucket_start(t: datetime, interval: str | None, zone: str, since: datetime) -> datetime:
    """time_bucket() with a time zone: local wall-clock buckets, weeks from Monday."""
    if interval is None:
        return since
    local = t.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    number, unit = interval.split()
    width = timedelta(**{unit.rstrip("s") + "s": int(number)})
    origin = datetime(2000, 1, 3)  # noqa: DTZ001
    return (local - (local - origin) % width).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def disc(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


@shared
@given(
    drawn=ranges,
    interval=st.sampled_from(INTERVALS),
    zone=st.sampled_from(ZONES),
    tool=st.sampled_from([None, "read", "none such"]),
)
def test_usage_stats_equal_the_raw_rows(
    conn: psycopg.Connection[Any],
    sent: list[dict[str, Any]],
    drawn: tuple[datetime, timedelta, timedelta],
    interval: str | None,
    zone: str,
    tool: str | None,
) -> None:
    since, until = a_range(drawn)
    expected: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for call in sent:
        t = datetime.fromisoformat(call["start_time"])
        if since <= t < until and tool in (None, call["tool_name"]):
            expected[bucket_start(t, interval, zone, since), call["bcp_name"], call["tool_name"]].append(call)
    with conn.cursor(row_factory=dict_row) as cur:
        found = cur.execute(
            "select * from bcp.tool_usage_stats(%s, %s, %s::interval, p_tool_name => %s, p_time_zone => %s)",
            [since, until, interval, tool, zone],
        ).fetchall()
    assert {(r["time_bucket"], r["bcp_name"], r["tool_name"]) for r in found} == set(expected)
    for row in found:
        group = expected[row["time_bucket"], row["bcp_name"], row["tool_name"]]
        assert row["call_count"] == len(group)
        assert row["success_count"] == sum(c["success"] is True for c in group)
        assert row["error_count"] == sum(c["success"] is False for c in group)
        durations = [c["duration_ms"] for c in group if c["duration_ms"] is not None]
        if not durations:
            assert row["avg_duration_ms"] is None
            assert row["p95_duration_ms"] is None
            continue
        assert row["avg_duration_ms"] == pytest.approx(sum(durations) / len(durations), rel=1e-9)
        assert row["max_duration_ms"] == pytest.approx(max(durations), rel=1e-9)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert row[f"{name}_duration_ms"] == pytest.approx(disc(durations, share), rel=0.01, abs=1e-9)


@shared
@given(drawn=ranges, shares=st.lists(st.floats(0, 1), max_size=4))
def test_percentiles_are_within_one_percent_of_percentile_disc(
    conn: psycopg.Connection[Any],
    sent: list[dict[str, Any]],
    drawn: tuple[datetime, timedelta, timedelta],
    shares: list[float],
) -> None:
    since, until = a_range(drawn)
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for call in sent:
        if since <= datetime.fromisoformat(call["start_time"]) < until and call["duration_ms"] is not None:
            durations[call["bcp_name"], call["tool_name"]].append(call["duration_ms"])
    with conn.cursor(row_factory=dict_row) as cur:
        found = cur.execute(
            "select * from bcp.latency_percentiles(%s, %s, %s::double precision[])", [since, until, shares]
        ).fetchall()
    assert len(found) == len(durations) * len(set(shares))
    for row in found:
        group = durations[row["bcp_name"], row["tool_name"]]
        assert row["call_count"] == len(group)
        assert row["duration_ms"] == pytest.approx(disc(group, row["percentile"]), rel=0.01, abs=1e-9)
