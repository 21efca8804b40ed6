"""What a store with much traffic sets, and where its counts end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bcp_analytics.archive import archive
from tests.sql.events import KINDS, ingest, rows, usage

Db = psycopg.Connection[Any]
NOW = datetime(2026, 6, 15, 12, 0, 30, tzinfo=UTC)
MOST = 2**31 - 1
COUNTED = (
    "select time_bucket, bcp_name, call_count, success_count, p95_duration_ms, max_duration_ms"
    " from bcp.tool_usage_stats(%s, %s, p_interval => '1 hour')"
)


def at(conn: Db, time: datetime) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [time.isoformat()])


def hourly(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '1 hour' where name = 'chunk_interval'")
    # This change carries out that one, too.
    conn.execute(
        "update bcp.data_retention_policies set columnstore_after = '2 hours'"
        " where table_name = 'tool_usage_logs'"
    )


def test_chunks_of_an_hour_are_aggregated_moved_archived_and_dropped(clean_db: Db, tmp_path: Path) -> None:
    at(clean_db, NOW)
    hourly(clean_db)
    calls = [
        usage(start_time=(NOW - timedelta(minutes=20 * n)).isoformat(), duration_ms=n, success=n % 3 > 0)
        for n in range(90)
    ]
    # Three each in the 30 hours before now.
    assert ingest(clean_db, calls) == (90, 90, 0, 0)
    asked = [NOW - timedelta(days=3), NOW]
    raw = rows(clean_db, COUNTED, asked)
    assert sum(row["call_count"] for row in raw) == 89  # [since, until)
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert rows(clean_db, COUNTED, asked) == raw
    clean_db.execute("call bcp_internal.columnstore_tables()")
    chunks = (
        "select count(*) as n, count(*) filter (where is_compressed) as moved,"
        " max(range_end - range_start) as w"
        " from timescaledb_information.chunks where hypertable_name = 'tool_usage_logs'"
    )
    # The hour from 12 on is not over, and 10 to 11 and 11 to 12 are so for less than two hours.
    assert rows(clean_db, chunks) == [{"n": 31, "moved": 28, "w": timedelta(hours=1)}]
    assert rows(clean_db, COUNTED, asked) == raw
    # A call that comes late for the columnstore.
    assert ingest(clean_db, [usage(start_time=(NOW - timedelta(hours=20)).isoformat())]) == (1, 1, 0, 0)
    clean_db.execute("call bcp.refresh_analytics_views()")
    clean_db.execute("call bcp_internal.columnstore_tables()")
    late = rows(clean_db, COUNTED, asked)
    assert sum(row["call_count"] for row in late) == 90
    at(clean_db, NOW + timedelta(days=100))
    made = archive(clean_db, tmp_path, table="tool_usage_logs")
    assert len(made) == 31
    assert sum(one.row_count or 0 for one in made) == 91
    clean_db.execute("call bcp.run_cleanup()")
    assert rows(clean_db, chunks)[0]["n"] == 0
    # Aggregates stay when calls go.
    assert rows(clean_db, COUNTED, asked)[1:] == late[1:]


@pytest.mark.parametrize(
    ("age", "minutes"),
    [("2 hours", 60), ("1 hour", 30), ("90 minutes", 45), ("5 days", 720), (None, 720)],
)
def test_the_job_that_moves_tables_looks_twice_within_the_least_age(
    db: Db, age: str | None, minutes: int
) -> None:
    db.execute("update bcp.data_retention_policies set columnstore_after = null")
    db.execute(
        "update bcp.data_retention_policies set columnstore_after = %s where table_name = 'error_logs'", [age]
    )
    [job] = rows(
        db,
        "select schedule_interval as every from timescaledb_information.jobs"
        " where proc_name = 'columnstore_tables_job'",
    )
    assert job["every"] == timedelta(minutes=minutes)
    assert rows(db, "select bcp.apply_policies() as changed") == [{"changed": 0}]


def test_ids_of_one_kind_may_be_forgotten_earlier(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '1 hour' where name = 'dedup_window_tool_usage'")
    call, error = usage(event_id="once"), KINDS["errors"] | {"event_id": "once"}
    batch = "00000000-0000-4000-8000-000000000001"
    assert ingest(conn, [call], batch=batch) == ingest(conn, [error], "errors", batch=batch) == (1, 1, 0, 0)
    conn.execute("select set_config('bcp.now', '2026-06-15T12:59:59Z', true)")
    assert conn.execute("select bcp_internal.forget_keys()").fetchall() == [(0,)]
    assert ingest(conn, [call]) == ingest(conn, [error], "errors") == (1, 0, 1, 0)
    conn.execute("select set_config('bcp.now', '2026-06-15T13:00:01Z', true)")
    assert ingest(conn, [call]) == (1, 1, 0, 0)
    assert ingest(conn, [error], "errors") == (1, 0, 1, 0)
    conn.execute("select set_config('bcp.now', '2026-06-15T15:00:00Z', true)")
    # The id of the call and of its batch; those of the errors stay for the week of dedup_window.
    assert conn.execute("select bcp_internal.forget_keys()").fetchall() == [(2,)]
    assert ingest(conn, [error], "errors", batch=batch) == (1, 0, 1, 0)


def test_a_count_that_the_sketch_of_a_day_cannot_hold_is_an_error_and_answers_stay_right(
    clean_db: Db,
) -> None:
    """A day counts up to 2^31 - 1 calls of a tool within 2 percent of one latency: 24,855 a second."""
    day = datetime(2026, 6, 13, tzinfo=UTC)
    at(clean_db, NOW)
    hours = [day + timedelta(hours=n) for n in (1, 2)]
    ingest(clean_db, [usage(start_time=hour.isoformat(), duration_ms=10) for hour in hours])
    clean_db.execute("call bcp_internal.refresh_aggregate('tool_latency_1h', %s, %s)", [day, NOW])
    [(hourly_rows,)] = clean_db.execute(
        "select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
        " from timescaledb_information.continuous_aggregates where view_name = 'tool_latency_1h'"
    ).fetchall()
    [(column,)] = clean_db.execute("select 'n' || (lat_idx & 31) from bcp.tool_usage_logs limit 1").fetchall()
    clean_db.execute(f"update {hourly_rows} set {column} = {MOST}")  # type: ignore[arg-type]
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        clean_db.execute("call bcp_internal.refresh_aggregate('tool_latency_1d', %s, %s)", [day, NOW])
    # Hours answer for the day, which holds twice what an integer can.
    found = rows(
        clean_db,
        "select percentile, round(duration_ms) as ms, call_count"
        " from bcp.latency_percentiles(%s, %s, '{0.5,0.99}')",
        [day, day + timedelta(days=1)],
    )
    assert [(row["ms"], row["call_count"]) for row in found] == [(10, 2 * MOST)] * 2
