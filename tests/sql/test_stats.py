"""Hours and days whose percentiles are ready answer as usage and sketch do, where they may."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
import pytest

from tests.sql.events import ingest, refresh_at_once, rows, usage

NOW = "2026-06-15T12:34:56Z"
HOURS: LiteralString = "select * from bcp.tool_usage_stats('2026-06-10 06:20Z', '2026-06-15 12:34:56Z')"
DAYS: LiteralString = (
    "select * from bcp.tool_usage_stats('2026-06-10 06:20Z', '2026-06-15 12:34:56Z', '1 day')"
)
OVER_TIME: LiteralString = "select * from bcp.latency_over_time('2026-06-10 06:20Z', '2026-06-15 12:34:56Z')"
OLDER: LiteralString = """
select name, time_bucket(bucket, bcp_internal.now())
from bcp_internal.aggregates() where not added_later order by ordinal
"""
RAW: LiteralString = """
select public.time_bucket(%s::interval, start_time), tool_name, count(*),
       percentile_disc('{0.5,0.95,0.99}'::float8[]) within group (order by duration_ms)
from bcp.tool_usage_logs where start_time >= '2026-06-10 06:20Z' and start_time < '2026-06-15 12:34:56Z'
group by 1, 2 order by 1 desc, 3 desc, 2
"""


@pytest.fixture
def conn(clean_db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A call of each of two tools every 20 minutes of the last eight days, not aggregated yet."""
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    clean_db.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success)"
        " select at, at + (n * n %% 977) * interval '1 ms', at, gen_random_uuid(), 'files',"
        " case n %% 2 when 0 then 'read' else 'write' end, 'call', n %% 7 > 0"
        " from generate_series(1, 1152) n,"
        " lateral (select %s::timestamptz - n * interval '10 minutes') a (at)",
        [NOW],
    )
    return clean_db


def ready(conn: psycopg.Connection[Any], aggregate: str) -> str:
    [(found,)] = conn.execute(
        "select array(select to_char(lower(r), 'DD HH24:MI') || ' to ' || to_char(upper(r), 'DD HH24:MI')"
        " from unnest(bcp_internal.covered(%s, bcp_internal.finite('2026-06-10 06:20Z', %s))) r)::text",
        [aggregate, NOW],
    ).fetchall()
    return str(found)


def test_whole_hours_and_days_are_ready_and_late_calls_show_at_once(conn: psycopg.Connection[Any]) -> None:
    before = [rows(conn, question) for question in (HOURS, DAYS, OVER_TIME)]
    assert ready(conn, "tool_stats_1h") == ready(conn, "tool_stats_1d") == "{}"
    conn.execute("call bcp.refresh_analytics_views()")
    assert ready(conn, "tool_stats_1h") == '{"10 07:00 to 15 12:00"}'
    assert ready(conn, "call_stats_1h") == '{"10 07:00 to 15 12:00"}'
    assert ready(conn, "tool_stats_1d") == '{"11 00:00 to 15 00:00"}'
    assert [rows(conn, question) for question in (HOURS, DAYS, OVER_TIME)] == before
    ingest(conn, [usage(start_time="2026-06-12T08:30:00Z", tool_name="late", duration_ms=7)])
    assert ready(conn, "tool_stats_1h") == '{"10 07:00 to 12 08:00","12 09:00 to 15 12:00"}'
    assert ready(conn, "tool_stats_1d") == '{"11 00:00 to 12 00:00","13 00:00 to 15 00:00"}'
    late = [rows(conn, question) for question in (HOURS, DAYS, OVER_TIME)]
    assert [len(after) - len(old) for after, old in zip(late, before, strict=True)] == [1, 1, 0]
    conn.execute("call bcp.refresh_analytics_views()")
    assert ready(conn, "tool_stats_1d") == '{"11 00:00 to 15 00:00"}'
    assert [rows(conn, question) for question in (HOURS, DAYS, OVER_TIME)] == late


def test_ready_cells_in_the_columnstore_are_read_in_the_order_of_answers(
    conn: psycopg.Connection[Any],
) -> None:
    ingest(conn, [usage(start_time="2026-06-11T08:30:00Z", tool_name="third", duration_ms=7)])
    before = [rows(conn, question) for question in (HOURS, DAYS)]
    refresh_at_once(conn)
    conn.execute("call bcp_internal.columnstore_aggregates()")
    assert [rows(conn, question) for question in (HOURS, DAYS)] == before
    conn.execute("set enable_sort = off")
    for name in ("tool_stats_1h", "tool_stats_1d"):
        [(statement,)] = conn.execute(
            "select bcp_internal.stats_statement(bcp_internal.ready_statement(%s, bcp_internal.in_buckets("
            " bcp_internal.finite('2026-06-09', '2026-06-14'), '1 day'), '{}'))"
            " || ' order by c.time_bucket desc, c.calls desc, c.bcp_name, c.tool_name'",
            [name],
        ).fetchall()
        plan = "\n".join(line for (line,) in conn.execute(f"explain {statement}").fetchall())
        assert "Columnar" in plan or "DecompressChunk" in plan
        assert "Sort" not in plan
    # A late call stands beside the columns of its chunk until that is moved again.
    ingest(conn, [usage(start_time="2026-06-12T08:30:00Z", tool_name="late", duration_ms=7)])
    late = [rows(conn, question) for question in (HOURS, DAYS)]
    conn.execute("call bcp.refresh_analytics_views()")
    assert [rows(conn, question) for question in (HOURS, DAYS)] == late
    conn.execute("call bcp_internal.columnstore_aggregates()")
    assert [rows(conn, question) for question in (HOURS, DAYS)] == late


def split(conn: psycopg.Connection[Any], interval: str, zone: str) -> str:
    """Return the days of UTC that two buckets share, and that are read as a day and a few of its hours."""
    [(found,)] = conn.execute(
        "select array(select to_char(lower(r), 'DD') || ' to ' || to_char(upper(r), 'DD')"
        " from unnest(d.ranges) r)::text from bcp_internal.split_days("
        "%s, %s, bcp_internal.finite('2026-06-10 06:20Z', %s), 'bcp_name, tool_name, ', '') d",
        [interval, zone, NOW],
    ).fetchall()
    return str(found)


@pytest.mark.parametrize(
    ("zone", "is_near"),
    [("Europe/Berlin", True), ("America/New_York", True), ("Asia/Tokyo", False), ("Pacific/Auckland", False)],
)
def test_days_of_a_time_zone_have_the_percentiles_of_the_raw_rows(
    conn: psycopg.Connection[Any], zone: str, *, is_near: bool
) -> None:
    """Days of a zone that is far from UTC are not split: all of their hours take less."""
    question = (
        f"select time_bucket, tool_name, call_count, p50_duration_ms, p95_duration_ms, p99_duration_ms"
        f" from bcp.tool_usage_stats('2026-06-10 06:20Z', p_interval => '1 day', p_time_zone => '{zone}')"
    )
    before = conn.execute(question).fetchall()
    assert split(conn, "1 day", zone) == "{}"
    refresh_at_once(conn)
    assert split(conn, "1 day", zone) == ('{"11 to 15"}' if is_near else "{}")
    assert conn.execute(question).fetchall() == before
    # A late call is in the answer at once, and its day is read by other means until the next refresh.
    ingest(conn, [usage(start_time="2026-06-12T23:30:00Z", tool_name="late", duration_ms=7)])
    assert split(conn, "1 day", zone) == ('{"11 to 12","13 to 15"}' if is_near else "{}")
    late = conn.execute(question).fetchall()
    assert {row for row in late if row[1] != "late"} == set(before)
    conn.execute("call bcp.refresh_analytics_views()")
    assert split(conn, "1 day", zone) == ('{"11 to 15"}' if is_near else "{}")
    assert conn.execute(question).fetchall() == late


def test_only_days_that_two_buckets_share_are_split(conn: psycopg.Connection[Any]) -> None:
    refresh_at_once(conn)
    # Monday begins at 22:00 UTC of Sunday, the 14th.
    assert split(conn, "7 days", "Europe/Berlin") == '{"14 to 15"}'
    for interval, zone in [("1 day", "UTC"), ("1 day", "Asia/Kolkata"), ("6 hours", "Europe/Berlin")]:
        assert split(conn, interval, zone) == "{}"


def test_hours_that_a_day_has_not_seen_are_not_taken_from_it(conn: psycopg.Connection[Any]) -> None:
    refresh_at_once(conn)
    ingest(conn, [usage(start_time="2026-06-12T23:30:00Z", tool_name="late", duration_ms=7)])
    conn.execute(
        "call bcp_internal.refresh_aggregate('tool_latency_1h', '2026-06-12 00:00Z', '2026-06-13 00:00Z')"
    )
    assert split(conn, "1 day", "Europe/Berlin") == '{"11 to 12","13 to 15"}'


@pytest.mark.parametrize(("question", "width"), [(HOURS, "1 hour"), (DAYS, "1 day")])
def test_ready_cells_are_those_of_the_raw_rows(
    conn: psycopg.Connection[Any], question: LiteralString, width: str
) -> None:
    refresh_at_once(conn)
    expected = conn.execute(RAW, [width]).fetchall()
    found = rows(conn, question)
    assert [(r["time_bucket"], r["tool_name"], r["call_count"]) for r in found] == [r[:3] for r in expected]
    for row, (*_, percentiles) in zip(found, expected, strict=True):
        assert [row[f"p{n}_duration_ms"] for n in (50, 95, 99)] == pytest.approx(percentiles, rel=0.01)


def test_what_was_dropped_before_there_were_ready_cells_is_added_up(conn: psycopg.Connection[Any]) -> None:
    for name, until in conn.execute(OLDER).fetchall():
        conn.execute("call bcp_internal.refresh_aggregate(%s, null, %s)", [name, until])
    before = [rows(conn, question) for question in (HOURS, DAYS, OVER_TIME)]
    conn.execute("select set_config('bcp.now', '2026-10-01T00:00:00Z', false)")
    conn.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-06-14')")
    conn.execute("call bcp.refresh_analytics_views()")
    for question, old in zip((HOURS, DAYS, OVER_TIME), before, strict=True):
        # Of the day on which the range begins only whole hours are left, and nothing else changes.
        kept = [r for r in old if 11 <= r["time_bucket"].day < 14]
        assert [r for r in rows(conn, question) if 11 <= r["time_bucket"].day < 14] == kept != []


def test_a_store_in_use_is_filled_by_days_the_latest_first(conn: psycopg.Connection[Any]) -> None:
    asked = "select since, until from bcp_internal.refresh_windows(%s, %s, %s)"
    since, until = "2026-06-08 05:00Z", "2026-06-15 12:00Z"

    def windows(since: str) -> list[tuple[str, str]]:
        found = conn.execute(asked, ["tool_stats_1h", since, until]).fetchall()
        return [(f"{a:%d %H}", f"{b:%d %H}") for a, b in found]

    days = [
        ("15 00", "15 12"), ("14 00", "15 00"), ("13 00", "14 00"), ("12 00", "13 00"), ("11 00", "12 00"),
        ("10 00", "11 00"),
    ]  # fmt: skip
    assert windows(since) == [*days, ("08 05", "10 00")]
    # Days before the first chunk have nothing to fill in: they go with the day on which it begins.
    assert windows("2026-03-20Z") == [*days, ("09 00", "10 00"), ("08 00", "09 00"), ("20 00", "08 00")]
    assert len(conn.execute(asked, ["tool_usage_1h", since, until]).fetchall()) == 1
    conn.execute("call bcp.refresh_analytics_views()")
    assert len(conn.execute(asked, ["tool_stats_1h", since, until]).fetchall()) == 1


def test_weeks_of_a_time_zone_are_made_of_days_and_hours(conn: psycopg.Connection[Any]) -> None:
    refresh_at_once(conn)
    found = rows(
        conn,
        "select relation, lower(r) as first, upper(r) as last"
        " from bcp_internal.zone_grain('1 week', 'Europe/Berlin', '2026-06-08Z', '2026-06-15 12:00Z') g,"
        " bcp_internal.pieces('tool_latency', levels, '2026-06-08Z', '2026-06-15 12:00Z', '{}', cuts),"
        " unnest(ranges) r order by first",
    )
    assert [(r["relation"], f"{r['first']:%d %H}", f"{r['last']:%d %H}") for r in found] == [
        ("tool_latency_1d", "08 00", "14 00"),
        ("tool_latency_1h", "14 00", "15 12"),
    ]


def test_cells_that_masking_makes_equal_are_added_up(conn: psycopg.Connection[Any]) -> None:
    name = "read of jane@example.com"
    conn.execute("update bcp.tool_usage_logs set tool_name = %s where tool_name = 'read'", [name])
    conn.execute(
        "update bcp.tool_usage_logs set tool_name = masked #>> '{}' from bcp_internal.masked_values("
        " 'tool_name', array[to_jsonb(%s::text)]) where tool_name = 'write'",
        [name],
    )
    refresh_at_once(conn)
    conn.execute("select set_config('bcp.now', '2026-10-01T00:00:00Z', false)")
    conn.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-07-01')")
    for (aggregate,) in conn.execute(
        "select name from bcp_internal.aggregates() where name ~ '^tool'"
    ).fetchall():
        conn.execute("select bcp_internal.mask_aggregate(%s, 'infinity')", [aggregate])
    for question, calls in ((DAYS, 144), (HOURS, 6)):
        cells = [r for r in rows(conn, question) if f"{r['time_bucket']:%d}" == "12"]
        assert {r["call_count"] for r in cells} == {calls}
        assert len({r["tool_name"] for r in cells}) == 1
