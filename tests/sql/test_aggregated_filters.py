"""Questions with filters: which raw rows they read, and what they say where aggregates and rows differ."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, raw_calls_read, rows, usage

Db = psycopg.Connection[Any]
NOW = "2026-06-15T12:00:00Z"
WEEK = "'2026-06-12', '2026-06-15'"


@pytest.fixture
def store(clean_db: Db) -> Db:
    """Four days of calls, of which each day's last failed, and took longest."""
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    for day in range(11, 15):
        ingest(
            clean_db,
            [
                usage(
                    start_time=f"2026-06-{day}T10:{minute:02}:00Z",
                    duration_ms=day + minute,
                    success=minute < 9,
                    user_id="ann" if minute % 2 else "bob",
                )
                for minute in range(10)
            ],
        )
    return clean_db


@pytest.mark.parametrize(
    "question",
    [
        f"tool_usage_stats({WEEK}, '1 day', p_user_id => 'ann')",
        f"tool_usage_stats({WEEK}, '1 day', p_user_id => 'ann', p_failed => true)",
        f"tool_usage_stats({WEEK}, '1 hour', p_failed => true)",
        f"tool_usage_stats({WEEK}, null, p_outcome => 'error')",
        f"latency_percentiles({WEEK}, p_user_id => 'bob')",
        f"throughput({WEEK})",
        f"throughput({WEEK}, '15 minutes')",
        f"peak_usage_hours({WEEK})",
        f"top_users({WEEK})",
        f"active_users({WEEK})",
    ],
)
def test_an_answer_needs_no_raw_rows_once_they_are_aggregated(store: Db, question: str) -> None:
    before = rows(store, f"select * from bcp.{question}")
    assert before
    store.execute("call bcp.refresh_analytics_views()")
    assert rows(store, f"select * from bcp.{question}") == before
    store.execute("call bcp_internal.columnstore_aggregates()")
    assert rows(store, f"select * from bcp.{question}") == before
    assert raw_calls_read(store, f"select * from bcp.{question}", "2026-06-15") == 0


def test_the_slowest_calls_are_read_from_the_hours_that_have_them(store: Db) -> None:
    for day in range(12, 15):
        ingest(store, [usage(start_time=f"2026-06-{day}T04:00:00Z", duration_ms=1)] * 1)
    store.execute("call bcp.refresh_analytics_views()")
    slow = f"select duration_ms from bcp.slow_calls({WEEK}, 0, p_limit => 3)"
    assert [row["duration_ms"] for row in rows(store, slow)] == [23, 22, 22]
    store.execute("call bcp_internal.columnstore_tables()")
    assert [row["duration_ms"] for row in rows(store, slow)] == [23, 22, 22]
    [scans] = rows(
        store,
        "select count(*) as n, min(least_ms) as least"
        f" from bcp_internal.slow_scans({WEEK}, 0, 3, '{{}}') where condition like '%10:00:00%'",
    )
    assert scans == {"n": 3, "least": 21}


def test_the_slowest_calls_are_found_where_an_aggregate_counts_slower_ones_that_are_gone(store: Db) -> None:
    store.execute("call bcp.refresh_analytics_views()")
    # As if a cleanup had removed them after the aggregates were read.
    some = rows(
        store,
        "select materialization_hypertable_schema as schema, materialization_hypertable_name as name"
        " from timescaledb_information.continuous_aggregates"
        " where view_name in ('tool_usage_1d', 'tool_usage_1h')",
    )
    for table in some:
        store.execute(f"update {table['schema']}.{table['name']} set max_duration_ms = 100")
    slow = f"select duration_ms from bcp.slow_calls({WEEK}, 0, p_limit => 3)"
    assert [row["duration_ms"] for row in rows(store, slow)] == [23, 22, 22]
