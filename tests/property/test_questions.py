"""Every answer about calls equals the answer from the raw rows: whatever the range, grouping and filters, and
whether or not a refresh has seen what came late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.property import calls as model
from tests.property.calls import AUTUMN, INTERVALS, SPRING, ZONES, Call
from tests.sql.events import refresh_at_once
from tests.targets import Target

Range = tuple[datetime, datetime]


class Store:
    def __init__(
        self, conn: psycopg.Connection[Any], now: datetime, *, refreshed: bool, target: str = "native"
    ) -> None:
        """Calls of twelve days in aggregates and columnstore; others that came late, and corrections."""
        self.conn, self.now, self.target = conn, now, target
        conn.execute("select set_config('bcp.now', %s, false)", [now.isoformat()])
        self.calls = model.some_calls(7, 1500, now, 12)
        model.insert(conn, self.calls)
        refresh_at_once(conn)
        self.compress()
        self.calls = model.change_late(conn, self.calls, 11, now)
        stale = conn.execute(
            "select count(*) from _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log"
        )
        assert stale.fetchone() != (0,)
        if refreshed:
            refresh_at_once(conn)

    def compress(self) -> None:
        relations = [
            "tool_usage_1m",
            "tool_usage_1h",
            "tool_latency_1h",
            "tool_latency_1d",
            "tool_stats_1h",
            "total_usage_1m",
            "failed_usage_1h",
            "user_usage_1d",
            "call_latency_1h",
            "client_usage_1d",
            "client_tool_usage_1d",
        ]
        # TimescaleDB 2.23 leaves generated columns null in rows that come late for it (its issue 9314).
        if self.target != "embedded":
            relations.append("tool_usage_logs")
        for relation in relations:
            self.conn.execute(
                "select compress_chunk(c) from show_chunks(%s::regclass, older_than => %s::timestamptz) c",
                [f"bcp.{relation}", self.now - timedelta(days=1)],
            )

    def ask(self, function: str, zone: str, **arguments: Any) -> list[dict[str, Any]]:
        # The answer does not depend on the session's time zone.
        self.conn.execute("select set_config('timezone', %s, false)", [zone])
        given = ", ".join(f"p_{name} => %s" for name in arguments)
        with self.conn.cursor(row_factory=dict_row) as cur:
            query = f"select * from bcp.{function}({given})"
            rows = cur.execute(query, list(arguments.values())).fetchall()  # type: ignore[arg-type]
        # In UTC, because Python holds times that a clock shows twice for unequal to all of other zones.
        return [
            {name: v.astimezone(UTC) if isinstance(v, datetime) else v for name, v in row.items()}
            for row in rows
        ]


# Tests only read it, so those of one worker share each.
@pytest.fixture(scope="module", params=["spring, stale", "autumn, stale", "spring, refreshed"])
def store(request: pytest.FixtureRequest, _server: Target, target: str) -> Iterator[Store]:
    season, state = request.param.split(", ")
    now = SPRING if season == "spring" else AUTUMN
    with _server.clean() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        yield Store(conn, now, refreshed=state == "refreshed", target=target)


def ranges(now: datetime) -> st.SearchStrategy[Range]:
    """Ranges whose ends often lie on whole minutes, hours or days, some empty, some partly in the future."""
    naive = now.replace(tzinfo=None)

    def made(start: datetime, length: timedelta, grain: timedelta) -> Range:
        start = start.replace(tzinfo=UTC)
        return model.floor(start, grain), model.floor(start + length, grain)

    return st.builds(
        made,
        st.datetimes(naive - timedelta(days=14), naive + timedelta(hours=10)),
        st.one_of(st.just(timedelta(0)), st.timedeltas(timedelta(0), timedelta(days=14))),
        st.sampled_from(
            [timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]
        ),
    )


filters = st.fixed_dictionaries(
    {},
    optional={
        "bcp_name": st.sampled_from(["files", "none such"]),
        "tool_name": st.sampled_from(["read", "'; drop table --"]),
        "operation": st.just("retry"),
        "user_id": st.sampled_from(["u1", ""]),
        "session_id": st.sampled_from(["s2", ""]),
        "client_name": st.sampled_from(["c1", ""]),
        "outcome": st.just("error"),
        "failed": st.booleans(),
        "client_version": st.sampled_from(["2.0", ""]),
        "client_model": st.sampled_from(["large", ""]),
        "release": st.sampled_from(["r1", ""]),
    },
) | st.just({})


@given(data=st.data(), interval=st.sampled_from(INTERVALS), zone=st.sampled_from(ZONES), chosen=filters)
def test_usage_stats_and_rates_equal_the_raw_rows(
    store: Store, data: st.DataObject, interval: str | None, zone: str, chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))
    expected = model.grouped(
        model.selected(store.calls, since, until, chosen),
        lambda c: (model.bucket_of(c.start_time, interval, zone, since), c.bcp_name, c.tool_name),
    )
    session_zone = data.draw(st.sampled_from(ZONES))
    asked: dict[str, Any] = {
        "since": since,
        "until": until,
        "interval": interval,
        "time_zone": zone,
        **chosen,
    }
    found = store.ask("tool_usage_stats", session_zone, **asked)
    rates = store.ask("success_and_error_rates", session_zone, **asked)
    parts = store.ask("usage_breakdown", session_zone, by=["bcp_name", "tool_name"], **asked)
    assert [(r["time_bucket"], r["bcp_name"], r["tool_name"]) for r in found] == sorted(
        expected, key=lambda k: (-k[0].timestamp(), -len(expected[k]), k[1], k[2])
    )
    assert [r["time_bucket"] for r in rates] == [r["time_bucket"] for r in found]
    for row, rate, part in zip(found, rates, parts, strict=True):
        assert [part[name] for name in row][:3] == list(row.values())[:3]
        assert [part[name] for name in row][3:] == pytest.approx(list(row.values())[3:])
        group = expected[row["time_bucket"], row["bcp_name"], row["tool_name"]]
        assert row["call_count"] == rate["call_count"] == len(group)
        successes, errors = (sum(c.success is how for c in group) for how in (True, False))
        assert (row["success_count"], row["error_count"]) == (successes, errors)
        assert (rate["success_count"], rate["error_count"]) == (successes, errors)
        assert rate["unknown_count"] == len(group) - successes - errors
        known = successes + errors
        assert row["success_rate"] == rate["success_rate"] == (successes / known if known else None)
        assert rate["error_rate"] == (errors / known if known else None)
        assert (row["request_bytes"], row["response_bytes"]) == (len(group), 2 * len(group))
        durations = [c.ms for c in group if c.ms is not None]
        if not durations:
            assert row["avg_duration_ms"] is row["p95_duration_ms"] is row["max_duration_ms"] is None
            continue
        assert row["avg_duration_ms"] == pytest.approx(sum(durations) / len(durations), rel=1e-9)
        assert row["max_duration_ms"] == pytest.approx(max(durations), rel=1e-9)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert row[f"{name}_duration_ms"] == pytest.approx(
                model.disc(durations, share), rel=0.01, abs=1e-9
            )


@given(data=st.data(), shares=st.lists(st.floats(0, 1), max_size=4), chosen=filters)
def test_percentiles_are_within_one_percent_of_percentile_disc(
    store: Store, data: st.DataObject, shares: list[float], chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))
    timed = [c for c in model.selected(store.calls, since, until, chosen) if c.ms is not None]
    expected = model.grouped(timed, lambda c: (c.bcp_name, c.tool_name))
    found = store.ask("latency_percentiles", "UTC", since=since, until=until, percentiles=shares, **chosen)
    assert len(found) == len(expected) * len(set(shares))
    for row in found:
        group = expected[row["bcp_name"], row["tool_name"]]
        assert row["call_count"] == len(group)
        exact = model.disc([c.ms for c in group if c.ms is not None], row["percentile"])
        assert row["duration_ms"] == pytest.approx(exact, rel=0.01, abs=1e-9)


@given(data=st.data(), interval=st.sampled_from(INTERVALS), zone=st.sampled_from(ZONES), chosen=filters)
def test_latency_over_time_equals_the_raw_rows(
    store: Store, data: st.DataObject, interval: str | None, zone: str, chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))
    timed = [c for c in model.selected(store.calls, since, until, chosen) if c.ms is not None]
    expected = model.grouped(timed, lambda c: model.bucket_of(c.start_time, interval, zone, since))
    found = store.ask(
        "latency_over_time", zone, since=since, until=until, interval=interval, time_zone=zone, **chosen
    )
    assert [r["time_bucket"] for r in found] == sorted(expected, reverse=True)
    for row in found:
        durations = [c.ms for c in expected[row["time_bucket"]] if c.ms is not None]
        assert row["call_count"] == len(durations)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert row[f"{name}_duration_ms"] == pytest.approx(
                model.disc(durations, share), rel=0.01, abs=1e-9
            )


@given(data=st.data(), interval=st.sampled_from(INTERVALS), zone=st.sampled_from(ZONES), chosen=filters)
def test_throughput_equals_the_raw_rows(
    store: Store, data: st.DataObject, interval: str | None, zone: str, chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))
    expected = model.grouped(
        model.selected(store.calls, since, until, chosen),
        lambda c: model.bucket_of(c.start_time, interval, zone, since),
    )
    found = store.ask(
        "throughput", zone, since=since, until=until, interval=interval, time_zone=zone, **chosen
    )
    assert [r["time_bucket"] for r in found] == sorted(expected, reverse=True)
    for row in found:
        group = expected[row["time_bucket"]]
        minute, most = model.busiest(group, timedelta(minutes=1))
        assert (row["call_count"], row["peak_calls_per_minute"], row["peak_minute"]) == (
            len(group),
            most,
            minute,
        )
        end = until
        if interval is not None and model.width_of(interval) < timedelta(hours=1):
            end = min(until, row["time_bucket"] + model.width_of(interval))
        elif interval is not None and model.width_of(interval) >= timedelta(days=1):
            local = row["time_bucket"].astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            end = min(until, model.at(local + model.width_of(interval), zone))
        elif interval is not None:
            continue  # an hour in which a clock changes has no length of its own
        minutes = (end - max(row["time_bucket"], since)) / timedelta(minutes=1)
        assert row["calls_per_minute"] == pytest.approx(len(group) / minutes)


@given(data=st.data(), least=st.sampled_from([0.0, 20.0, 5000.0]), limit=st.integers(1, 60), chosen=filters)
def test_the_slowest_calls_are_those_of_the_raw_rows(
    store: Store, data: st.DataObject, least: float, limit: int, chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))
    timed = [
        c for c in model.selected(store.calls, since, until, chosen) if c.ms is not None and c.ms >= least
    ]
    timed.sort(key=lambda c: (-(c.duration_us or 0), -c.start_time.timestamp(), c.event_id))
    found = store.ask(
        "slow_calls", "UTC", since=since, until=until, min_duration_ms=least, limit=limit, **chosen
    )
    assert [row["event_id"].hex for row in found] == [c.event_id for c in timed[:limit]]


@given(data=st.data(), zone=st.sampled_from(ZONES[:3]), by_weekday=st.booleans(), chosen=filters)
def test_peak_hours_equal_the_raw_rows(
    store: Store, data: st.DataObject, zone: str, *, by_weekday: bool, chosen: dict[str, Any]
) -> None:
    since, until = data.draw(ranges(store.now))

    def kind(t: datetime) -> tuple[int | None, int]:
        local = t.astimezone(ZoneInfo(zone))
        return local.isoweekday() if by_weekday else None, local.hour

    calls = model.selected(store.calls, since, until, chosen)
    expected = model.grouped(calls, lambda c: kind(c.start_time))
    hours: dict[Any, float] = {}
    quarter = model.floor(since, timedelta(minutes=15))
    while since < until and quarter < until:
        end = quarter + timedelta(minutes=15)
        hours[kind(quarter)] = hours.get(kind(quarter), 0) + (
            min(end, until) - max(quarter, since)
        ) / timedelta(hours=1)
        quarter = end
    found = store.ask(
        "peak_usage_hours", zone, since=since, until=until, by_weekday=by_weekday, time_zone=zone, **chosen
    )
    assert {(r["weekday"], r["hour_of_day"]) for r in found} == set(hours)
    counts = [r["call_count"] for r in found]
    assert counts == sorted(counts, reverse=True)
    for row in found:
        key = row["weekday"], row["hour_of_day"]
        group = expected.get(key, [])
        assert row["call_count"] == len(group)
        assert row["calls_per_hour"] == pytest.approx(len(group) / hours[key])
        assert row["share"] == (pytest.approx(len(group) / len(calls)) if calls else None)
        if not group:
            assert (row["peak_calls"], row["peak_hour"]) == (0, None)
            continue
        most = model.grouped(group, lambda c: model.bucket_of(c.start_time, "1 hour", zone, since))
        assert row["peak_calls"] == max(map(len, most.values()))
        assert row["peak_hour"] == min(t for t, g in most.items() if len(g) == row["peak_calls"])


@given(data=st.data())
def test_hourly_usage_equals_the_raw_rows(store: Store, data: st.DataObject) -> None:
    since, until = data.draw(ranges(store.now))
    hour = timedelta(hours=1)
    expected: dict[Any, list[Call]] = {}
    if since < until:
        first, last = model.floor(since, hour), model.floor(until + hour - timedelta(microseconds=1), hour)
        expected = model.grouped(
            model.selected(store.calls, first, last, {}),
            lambda c: (model.floor(c.start_time, hour), c.bcp_name, c.tool_name),
        )
    found = store.ask("hourly_tool_usage", "UTC", since=since, until=until)
    assert {(r["hour"], r["bcp_name"], r["tool_name"]): r["total_calls"] for r in found} == {
        key: len(group) for key, group in expected.items()
    }
