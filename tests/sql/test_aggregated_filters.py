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
                    client_name="ide" if minute % 3 else None,
                    client_model="large" if minute % 2 else "small",
                )
                for minute in range(10)
            ],
        )
    return clean_db


BY_DAY = [
    f"tool_usage_stats({WEEK}, '1 day', p_user_id => 'ann')",
    f"tool_usage_stats({WEEK}, '1 day', p_user_id => 'ann', p_failed => true)",
    f"tool_usage_stats({WEEK}, '1 hour', p_failed => true)",
    f"tool_usage_stats({WEEK}, null, p_outcome => 'error')",
    f"latency_percentiles({WEEK}, p_user_id => 'bob')",
    f"tool_usage_stats({WEEK}, '1 day', p_client_name => 'ide')",
    f"latency_percentiles({WEEK}, p_client_name => 'ide')",
    f"tool_usage_stats({WEEK}, '1 day', p_client_name => '')",
    f"latency_percentiles({WEEK}, p_client_name => '')",
    f"usage_breakdown({WEEK}, '{{client_model}}', p_release => '', p_client_version => '')",
    f"usage_breakdown({WEEK})",
    f"usage_breakdown({WEEK}, '{{client_name,release}}', '1 day', p_client_model => 'large')",
    f"usage_breakdown({WEEK}, '{{client_name,bcp_name,tool_name}}')",
    f"usage_breakdown({WEEK}, '{{tool_name}}', p_failed => true)",
    f"throughput({WEEK})",
    f"throughput({WEEK}, '15 minutes')",
    f"peak_usage_hours({WEEK})",
    f"top_users({WEEK})",
    f"active_users({WEEK})",
]


def answers(conn: Db, questions: list[str]) -> dict[str, list[dict[str, Any]]]:
    return {question: rows(conn, f"select * from bcp.{question}") for question in questions}


def test_an_answer_needs_no_raw_rows_once_they_are_aggregated(store: Db) -> None:
    before = answers(store, BY_DAY)
    assert all(before.values())
    store.execute("call bcp.refresh_analytics_views()")
    assert answers(store, BY_DAY) == before
    store.execute("call bcp_internal.columnstore_aggregates()")
    assert answers(store, BY_DAY) == before
    for question in BY_DAY:
        assert raw_calls_read(store, f"select * from bcp.{question}", "2026-06-15") == 0, question


MONTHS = "'2026-04-20', '2026-06-15'"


BY_MONTH = [
    f"tool_usage_stats({MONTHS}, null, p_client_name => 'ide')",
    f"tool_usage_stats({MONTHS}, '1 month', p_client_name => 'ide')",
    f"tool_usage_stats({MONTHS}, null, p_client_name => '')",
    f"tool_usage_stats({MONTHS}, null, p_failed => true)",
    f"tool_usage_stats({MONTHS}, '1 month', p_outcome => 'timeout')",
    f"tool_usage_stats({MONTHS}, null, p_failed => true, p_time_zone => 'Europe/Berlin')",
    f"latency_percentiles({MONTHS}, p_failed => true)",
    f"usage_breakdown({MONTHS}, '{{client_name,tool_name}}', '1 month')",
]


def test_months_of_clients_and_failures_say_what_their_calls_do(store: Db) -> None:
    for day in ("2026-04-29", "2026-05-01", "2026-05-17", "2026-05-31"):
        ingest(
            store,
            [
                usage(
                    start_time=f"{day}T{hour:02}:30:00Z",
                    duration_ms=None if hour == 3 else 10 * hour,
                    success=[True, False, None][hour % 3],
                    outcome=["success", "timeout", "cancelled"][hour % 3],
                    client_name="ide",
                    tool_name=f"tool-{hour % 2}",
                )
                for hour in range(12)
            ],
        )
    before = answers(store, BY_MONTH)
    assert all(before.values())
    store.execute("call bcp.refresh_analytics_views()")
    assert answers(store, BY_MONTH) == before
    for name in ("client_tool_usage_1mo", "failed_usage_1mo"):
        assert rows(store, f"select distinct bucket::date::text as m from bcp.{name} order by 1")


@pytest.mark.parametrize(
    "function", ["bcp.tool_usage_stats", "bcp.usage_breakdown", "bcp_internal.tool_cells"]
)
def test_a_group_gets_its_calls_in_order_of_their_latency(store: Db, function: str) -> None:
    store.execute("call bcp.refresh_analytics_views()")
    settings = store.execute(
        "select split_part(c, '=', 1), split_part(c, '=', 2) from pg_proc p cross join unnest(p.proconfig) c"
        " where p.oid::regproc::text = %s and c ~ '^enable_'",
        [function],
    ).fetchall()
    [(statement,)] = store.execute(
        "select bcp_internal.ranked_statement("
        f"{WEEK}, interval '1 day', 'UTC', 'bcp_name, tool_name', '{{\"user_id\": \"ann\"}}')"
    ).fetchall()
    with store.transaction():
        # What would have it sort by the keys, if a session could have its way.
        store.execute("set local enable_hashagg = off")
        for name, value in settings:
            store.execute("select set_config(%s, %s, true)", [name, value])
        plan = [line for (line,) in store.execute(f"explain {statement}").fetchall()]
    [top, *_] = [line.strip() for line in plan if "Aggregate" in line or "Sort Key" in line]
    assert top.startswith("->  HashAggregate"), plan
    assert [line for line in plan if "Sort Key" in line and "lat_idx" in line], plan


@pytest.mark.parametrize("interval", ["null", "'1 day'"])
def test_many_calls_of_a_user_are_grouped_and_few_are_not(store: Db, interval: str) -> None:
    for day in range(11, 15):
        ingest(
            store,
            [
                usage(
                    start_time=f"2026-06-{day}T11:00:{second:02}Z",
                    duration_ms=None if second % 7 == 0 else 100 * (second % 4 + 1),
                    tool_name=f"tool-{second % 3}",
                    user_id="ann",
                )
                for second in range(40)
            ],
        )
    question = f"tool_usage_stats({WEEK}, {interval}, p_user_id => 'ann')"
    before = answers(store, [question])
    store.execute("call bcp.refresh_analytics_views()")
    few = answers(store, [question])
    store.execute("update bcp.user_totals_1d set calls = 40000")
    many = answers(store, [question])
    assert before == few == many
    assert any(row["p50_duration_ms"] < row["p95_duration_ms"] for row in few[question])
    assert [
        store.execute(
            "select bcp_internal.stays_rows('user_usage_1d', %s, tstzmultirange(tstzrange(%s, %s)))",
            ['{"user_id": "ann"}', since, "2026-06-15"],
        ).fetchone()
        for since in ("2026-06-12", "2026-06-15")
    ] == [(False,), (True,)]


@pytest.mark.parametrize("late", [False, True])
def test_a_session_is_read_from_the_days_on_which_it_was_active(store: Db, *, late: bool) -> None:
    def call(at: str, session: str, **more: Any) -> dict[str, Any]:
        return usage(start_time=at, session_id=session, duration_ms=7, **more)

    ingest(store, [call(f"2026-06-{day}T09:00:00Z", "other") for day in range(11, 15)])
    ingest(store, [call("2026-06-12T09:00:00Z", "one"), call("2026-06-15T11:59:00Z", "one")])
    store.execute("call bcp.refresh_analytics_views()")
    if late:
        ingest(store, [call("2026-06-14T09:00:00Z", "one", tool_name="late")])
    store.execute("call bcp_internal.columnstore_tables()")
    question = (
        "select coalesce(sum(call_count), 0)::int as n"
        " from bcp.tool_usage_stats('2026-06-11', '2026-06-16', null, p_session_id => 'one')"
    )
    assert rows(store, question) == [{"n": 3 if late else 2}]
    [found] = rows(
        store,
        "select bcp_internal.ranges_without(jsonb_build_object('session_id', 'one'), '2026-06-11',"
        " '2026-06-16')::text as r",
    )
    first, last = '["2026-06-11 00:00:00+00","2026-06-12 00:00:00+00")', '["2026-06-13 00:00:00+00"'
    assert found["r"] == f'{{{first},{last},"2026-06-{14 if late else 15} 00:00:00+00")}}'


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
