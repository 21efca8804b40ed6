"""Which rows answer: aggregates where they are right, raw rows where not, each added up vectorised."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.sql.events import ingest, refresh_at_once, rows, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.targets import Filled

# Each has months of calls aggregated.
pytestmark = pytest.mark.slow

NOW = "2026-06-15T12:34:56Z"
AFTER_NIGHTS = "2026-11-03T12:00:00Z"
LEVELS = "{1mo,1d,1h,1m}"


def pieces(
    conn: psycopg.Connection[Any], since: str, until: str, family: str = "tool_usage"
) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows(
        conn,
        "select relation, lower(r) as first, upper(r) as last"
        f" from bcp_internal.pieces('{family}', '{LEVELS}', '{since}', '{until}'), unnest(ranges) r"
        " order by 1, 2",
    ):
        found.setdefault(row["relation"], []).append(
            (f"{row['first']:%m-%dT%H:%M}", f"{row['last']:%m-%dT%H:%M}")
        )
    return found


def total(conn: psycopg.Connection[Any], since: str = "2026-01-01", until: str = "2026-07-01") -> int:
    [row] = rows(
        conn,
        "select coalesce(sum(call_count), 0)::int as n"
        f" from bcp.tool_usage_stats('{since}', '{until}', p_interval => null)",
    )
    return int(row["n"])


def compress(conn: psycopg.Connection[Any], relation: str) -> None:
    conn.execute(
        "select compress_chunk(c) from show_chunks(%s::regclass, older_than => timestamptz '2026-06-14') c",
        [f"bcp.{relation}"],
    )


def fill(conn: psycopg.Connection[Any]) -> None:
    """Store a call an hour from April to now, and aggregate all."""
    conn.execute("select set_config('bcp.now', %s, false)", [NOW])
    first = datetime(2026, 4, 1, tzinfo=UTC)
    hours = int((datetime.fromisoformat(NOW) - first) / timedelta(hours=1)) + 1
    events = [
        usage(start_time=(first + timedelta(hours=n)).isoformat(), duration_ms=n % 50 + 1)
        for n in range(hours)
    ]
    conn.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success)"
        " select r.start_time, r.start_time + r.duration_ms * interval '1 ms', r.start_time,"
        " gen_random_uuid(), r.bcp_name, r.tool_name, 'call', true"
        " from jsonb_to_recordset(%s::jsonb)"
        " as r (start_time timestamptz, duration_ms integer, bcp_name text, tool_name text)",
        [json.dumps(events)],
    )
    refresh_at_once(conn, added_later=False)


@pytest.fixture(scope="module")
def filled(filled_by: Callable[..., Filled]) -> Filled:
    return filled_by(fill)


@pytest.fixture
def conn(filled: Filled) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a copy, for what refreshes: no transaction can."""
    with filled.copy() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [NOW])
        yield conn


@pytest.fixture
def rolled_back(filled: Filled) -> Iterator[psycopg.Connection[Any]]:
    with closing(filled.connect()) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [NOW])
        yield conn


def test_a_range_is_covered_by_its_widest_whole_buckets(rolled_back: psycopg.Connection[Any]) -> None:
    assert pieces(rolled_back, "2026-04-29 22:58:30", "2026-06-15 12:34:56") == {
        "tool_usage_1mo": [("05-01T00:00", "06-01T00:00")],
        "tool_usage_1d": [("04-30T00:00", "05-01T00:00"), ("06-01T00:00", "06-15T00:00")],
        "tool_usage_1h": [("04-29T23:00", "04-30T00:00"), ("06-15T00:00", "06-15T12:00")],
        # The watermark is the end of the last bucket with a call.
        "tool_usage_1m": [("04-29T22:59", "04-29T23:00"), ("06-15T12:00", "06-15T12:01")],
        "tool_usage_logs": [("04-29T22:58", "04-29T22:59"), ("06-15T12:01", "06-15T12:34")],
    }
    # The session's time zone changes no bucket, though its clock does at the end of March.
    rolled_back.execute("set timezone = 'Europe/Berlin'")
    assert total(rolled_back, "2026-03-01Z", "2026-06-15 12:00Z") == 75 * 24 + 12
    rolled_back.execute("reset timezone")
    assert pieces(rolled_back, "2026-05-01", "2026-05-01") == {}
    assert pieces(rolled_back, "2026-05-02", "2026-05-01") == {}


def test_months_need_the_days_of_a_refresh_that_reaches_no_further_than_retention(
    conn: psycopg.Connection[Any],
) -> None:
    conn.execute(
        "update bcp.data_retention_policies set retention_days = 20 where table_name = 'tool_usage_logs'"
    )
    conn.execute("select bcp.apply_policies()")
    refresh_at_once(conn, added_later=False)
    assert pieces(conn, "2026-05-01", "2026-06-01") == {"tool_usage_1mo": [("05-01T00:00", "06-01T00:00")]}
    jobs = conn.execute(
        "select job_id from timescaledb_information.jobs"
        " where proc_name = 'policy_refresh_continuous_aggregate'"
    ).fetchall()
    for (job,) in jobs:
        conn.execute("call run_job(%s)", [job])


@pytest.mark.parametrize("family", ["tool_usage", "tool_latency"])
def test_what_came_late_is_read_from_raw_rows_until_a_refresh(
    conn: psycopg.Connection[Any], family: str
) -> None:
    before = total(conn)
    ingest(conn, [usage(start_time="2026-05-20T08:30:30Z")])
    assert total(conn) == before + 1
    found = pieces(conn, "2026-05-01", "2026-06-01", family)
    assert f"{family}_1mo" not in found
    assert found[f"{family}_1d"] == [("05-01T00:00", "05-20T00:00"), ("05-21T00:00", "06-01T00:00")]
    assert found[f"{family}_1h"] == [("05-20T00:00", "05-20T08:00"), ("05-20T09:00", "05-21T00:00")]
    assert len(found["tool_usage_logs"]) == 1
    refresh_at_once(conn, added_later=False)
    assert pieces(conn, "2026-05-01", "2026-06-01", family) == {
        f"{family}_1mo": [("05-01T00:00", "06-01T00:00")]
    }
    assert total(conn) == before + 1


def test_late_errors_and_late_calls_of_people_and_tools_show_at_once(conn: psycopg.Connection[Any]) -> None:
    error = {"level": "error", "message": "it broke", "timestamp": "2026-05-20T08:00:00Z"}
    call = usage(start_time="2026-05-20T08:30:30Z", user_id="u", session_id="s", duration_ms=7)
    questions = {
        "error_analysis": "error_count",
        "daily_error_summary": "total_errors",
        "error_issues": "error_count",
        "top_users": "call_count",
        "latency_over_time": "call_count",
        "usage_over_time": "call_count",
        "report_totals": "call_count",
        "latency_heatmap": "call_count",
    }

    def counts() -> dict[str, int]:
        asked = "p_since => '2026-05-20T00:00Z', p_until => '2026-05-21T00:00Z'"
        return {
            name: int(rows(conn, f"select coalesce(sum({column}), 0) as n from bcp.{name}({asked})")[0]["n"])
            for name, column in questions.items()
        }

    ingest(conn, [error], "errors")
    ingest(conn, [call])
    refresh_at_once(conn, added_later=False)
    before = counts()
    assert min(before.values()) > 0
    ingest(conn, [error], "errors")
    ingest(conn, [call])
    assert counts() == {name: count + 1 for name, count in before.items()}


def test_a_correction_shows_at_once(conn: psycopg.Connection[Any]) -> None:
    question = (
        "select call_count, success_count, max_duration_ms from"
        " bcp.tool_usage_stats('2026-05-20', '2026-05-21', p_interval => null)"
    )
    compress(conn, "tool_usage_logs")
    conn.execute("delete from bcp.tool_usage_logs where start_time = '2026-05-20 03:00Z'")
    conn.execute(
        "update bcp.tool_usage_logs set success = false, end_time = start_time + interval '9 s'"
        " where start_time = '2026-05-20 04:00Z'"
    )
    expected = [{"call_count": 23, "success_count": 22, "max_duration_ms": 9000.0}]
    assert rows(conn, question) == expected
    refresh_at_once(conn, added_later=False)
    assert rows(conn, question) == expected
    assert pieces(conn, "2026-05-20", "2026-05-21") == {"tool_usage_1d": [("05-20T00:00", "05-21T00:00")]}


def test_chunks_are_merged_in_the_columnstore_and_take_what_comes_late(conn: psycopg.Connection[Any]) -> None:
    chunks = (
        "select format('%I.%I', c.chunk_schema, c.chunk_name) from timescaledb_information.chunks c"
        " join timescaledb_information.continuous_aggregates a"
        " on a.materialization_hypertable_name = c.hypertable_name"
        " where a.view_name = 'tool_latency_1d' order by c.range_start"
    )
    before, made = total(conn), conn.execute(chunks).fetchall()
    for (chunk,) in made:
        conn.execute("select compress_chunk(%s)", [chunk])
    assert len(conn.execute(chunks).fetchall()) <= len(made) / 4
    assert pieces(conn, "2026-04-10", "2026-05-01", "tool_latency") == {
        "tool_latency_1d": [("04-10T00:00", "05-01T00:00")]
    }
    ingest(conn, [usage(start_time="2026-04-20T08:30:30Z", duration_ms=7) for _ in range(2000)])
    question = (
        "select call_count, p95_duration_ms from bcp.tool_usage_stats('2026-04-20', '2026-05-01', null)"
    )
    raw = conn.execute(question).fetchall()  # type: ignore[arg-type]
    refresh_at_once(conn, added_later=False)
    assert conn.execute(question).fetchall() == raw  # type: ignore[arg-type]
    assert raw[0][0] == 2000 + 11 * 24
    assert total(conn) == before + 2000


def test_percentiles_of_an_operation_come_from_hours(conn: psycopg.Connection[Any]) -> None:
    times = [f"2026-05-{day:02}T08:30:30Z" for day in range(1, 21)]
    ingest(conn, [usage(start_time=time, operation="rare", duration_ms=5000) for time in times])
    refresh_at_once(conn, added_later=False)
    [(query,)] = conn.execute(
        "select bcp_internal.sketch_statement("
        "'2026-04-15', '2026-06-10', null, 'UTC', null, bcp_internal.filters(p_operation => 'rare'))"
    ).fetchall()
    assert "bcp.tool_latency_1h" in query
    assert "bcp.tool_latency_1d" not in query
    asked = "p_since => '2026-04-15', p_until => '2026-06-10', p_interval => null"
    [row] = rows(conn, f"select * from bcp.tool_usage_stats({asked}, p_operation => 'rare')")
    assert (row["call_count"], row["p50_duration_ms"]) == (20, 5000)
    [row] = rows(conn, f"select * from bcp.tool_usage_stats({asked})")
    assert (row["call_count"], row["max_duration_ms"]) == (56 * 24 + 20, 5000)
    assert row["p50_duration_ms"] == pytest.approx(25, rel=0.1)


def test_many_late_calls_become_days(conn: psycopg.Connection[Any]) -> None:
    before = total(conn)
    for day in range(1, 29):
        ingest(conn, [usage(start_time=f"2026-05-{day:02}T08:30:30Z")])
    found = pieces(conn, "2026-05-01", "2026-06-01")
    assert found == {
        "tool_usage_1d": [("05-29T00:00", "06-01T00:00")],
        "tool_usage_logs": [("05-01T00:00", "05-29T00:00")],
    }
    assert total(conn) == before + 28


def test_calls_older_than_any_refresh_reaches_are_answered_from_raw_rows(
    conn: psycopg.Connection[Any],
) -> None:
    before = total(conn)
    ingest(
        conn,
        [usage(start_time="2026-02-01T08:30:30Z", duration_ms=7), usage(start_time="2026-01-10T08:30:30Z")],
    )
    assert total(conn) == before + 2
    refresh_at_once(conn, added_later=False)
    assert total(conn) == before + 2
    [(p95,)] = conn.execute(
        "select p95_duration_ms from bcp.tool_usage_stats('2026-01-01', '2026-03-01', null)"
    ).fetchall()
    assert p95 == pytest.approx(7)


def test_aggregates_answer_for_what_was_dropped(conn: psycopg.Connection[Any]) -> None:
    before = total(conn)
    conn.execute("select set_config('bcp.now', '2026-10-01T00:00:00Z', false)")
    conn.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-06-10')")
    assert total(conn) == before
    refresh_at_once(conn, added_later=False)
    assert total(conn) == before
    assert "tool_usage_1mo" in pieces(conn, "2026-04-01", "2026-06-01")
    [(calls,)] = conn.execute(
        "select call_count from bcp.latency_percentiles('2026-04-01', '2026-06-01', '{0.95}')"
    ).fetchall()
    assert calls == 61 * 24


def test_an_open_ended_range_is_all_there_is(rolled_back: psycopg.Connection[Any]) -> None:
    assert total(rolled_back, "-infinity", "infinity") == total(rolled_back)
    for question in ("throughput", "success_and_error_rates", "peak_usage_hours", "tool_usage_stats"):
        [(calls,)] = rolled_back.execute(
            f"select sum(call_count) from bcp.{question}('-infinity', 'infinity')"  # type: ignore[arg-type]
        ).fetchall()
        assert calls == total(rolled_back), question


def test_a_range_in_the_future_is_empty(rolled_back: psycopg.Connection[Any]) -> None:
    for question in ("throughput", "success_and_error_rates", "tool_usage_stats", "latency_percentiles"):
        assert rows(rolled_back, f"select * from bcp.{question}('2031-01-01', '2031-02-01')") == []
    found = rows(rolled_back, "select * from bcp.peak_usage_hours('2027-01-01', '2027-01-02')")
    assert {(r["call_count"], r["peak_hour"]) for r in found} in ({(0, None)}, set())


@pytest.mark.native("the embedded engine plans the same, but its version vectorises less")
def test_plans_are_vectorised(rolled_back: psycopg.Connection[Any]) -> None:
    for relation in (
        "tool_usage_logs",
        "tool_usage_1m",
        "tool_usage_1h",
        "tool_latency_1h",
        "tool_latency_1d",
    ):
        compress(rolled_back, relation)
    for statement in ("usage_statement", "sketch_statement"):
        for since, relation in (("2026-04-01", "1h"), ("2026-04-01", "logs")):
            user = "'nobody'" if relation == "logs" else "null"
            [(query,)] = rolled_back.execute(
                f"select bcp_internal.{statement}('{since}', '2026-06-12', '1 hour', 'UTC',"  # type: ignore[arg-type]
                f" 'bcp_name, tool_name', bcp_internal.filters(p_user_id => {user}))"
            ).fetchall()
            plan = "\n".join(
                line for (line,) in rolled_back.execute(f"explain (costs off) {query}").fetchall()
            )
            scans, vectorised = plan.count("(ColumnarScan)"), plan.count("(VectorAgg)")
            assert scans > 1, plan
            assert vectorised == scans, plan
            assert "Vectorized Filter" in plan or relation != "logs", plan
    [(query,)] = rolled_back.execute(
        "select bcp_internal.sketch_statement("
        "'2026-04-02', '2026-05-25', null, 'UTC', 'tool_name', bcp_internal.filters(p_tool_name => 'read'))"
    ).fetchall()
    plan = "\n".join(line for (line,) in rolled_back.execute(f"explain (costs off) {query}").fetchall())
    assert "(VectorAgg)" in plan, plan


@pytest.mark.native("the embedded engine plans the same, but its version vectorises less")
@pytest.mark.parametrize("statement", ["usage_statement", "sketch_statement"])
@pytest.mark.parametrize(
    ("since", "until", "user"),
    [("2026-05-05", "2026-05-06", "null"), ("2026-05-05 03:10", "2026-05-05 05:20", "'nobody'")],
    ids=["a day", "raw rows"],
)
def test_one_chunk_is_vectorised(
    rolled_back: psycopg.Connection[Any], statement: str, since: str, until: str, user: str
) -> None:
    for relation in ("tool_usage_logs", "tool_usage_1d", "tool_latency_1d"):
        compress(rolled_back, relation)
    [(query,)] = rolled_back.execute(
        f"select bcp_internal.{statement}('{since}', '{until}', null, 'UTC',"  # type: ignore[arg-type]
        f" 'bcp_name, tool_name', bcp_internal.filters(p_user_id => {user}))"
    ).fetchall()
    plan = "\n".join(line for (line,) in rolled_back.execute(f"explain (costs off) {query}").fetchall())
    assert (plan.count("(ColumnarScan)"), plan.count("(VectorAgg)")) == (1, 1), plan


def fill_nights(conn: psycopg.Connection[Any]) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [AFTER_NIGHTS])
    first = datetime(2026, 10, 24, 12, tzinfo=UTC)
    times = [first + timedelta(minutes=19 * n) for n in range(76)]
    times += [t + timedelta(days=7) for t in times]  # New York's clock changes a week later.
    times += [t - timedelta(days=7 * 29 + 0.5) for t in times]  # And Lord Howe's in April.
    ingest(conn, [usage(start_time=t.isoformat(), duration_ms=1) for t in times])


def fill_and_refresh_nights(conn: psycopg.Connection[Any]) -> None:
    fill_nights(conn)
    conn.execute("call bcp.refresh_analytics_views()")


@pytest.fixture(scope="module", params=[fill_nights, fill_and_refresh_nights])
def nights(request: pytest.FixtureRequest, filled_by: Callable[..., Filled]) -> Filled:
    return filled_by(request.param)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("width", ["7 minutes", "90 minutes", "2 hours"])
def test_buckets_of_a_night_that_has_an_hour_twice_begin_before_their_calls(
    nights: Filled, zone: str, width: str
) -> None:
    with closing(nights.connect()) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [AFTER_NIGHTS])
        expected = rows(
            conn,
            f"select time_bucket(interval '{width}', start_time, '{zone}') as bucket, count(*)::int as n"
            " from bcp.tool_usage_logs group by 1 order by 1",
        )
        found = rows(
            conn,
            "select time_bucket as bucket, call_count::int as n from bcp.tool_usage_stats("
            f"'2026-01-01', '2026-11-03', '{width}', p_time_zone => '{zone}') order by 1",
        )
    assert sum(row["n"] for row in found) == 4 * 76
    assert found == expected
