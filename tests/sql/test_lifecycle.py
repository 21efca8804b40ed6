"""What bcp.settings and bcp.data_retention_policies say is what TimescaleDB does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.sql.events import NOW, ingest, rows, usage

POLICIES = """
select j.proc_name, coalesce(c.view_name, j.hypertable_name) as relation, j.config,
       j.schedule_interval::text as every
from timescaledb_information.jobs j
left join timescaledb_information.continuous_aggregates c
    on (c.materialization_hypertable_schema, c.materialization_hypertable_name)
     = (j.hypertable_schema, j.hypertable_name)
where 'bcp' in (c.view_schema, j.hypertable_schema) or j.proc_schema = 'bcp_internal'
"""


def policies(conn: psycopg.Connection[Any], procedure: str) -> dict[str, dict[str, Any]]:
    return {row["relation"]: row for row in rows(conn, POLICIES) if row["proc_name"] == procedure}


def apply(conn: psycopg.Connection[Any]) -> int:
    [(changes,)] = conn.execute("select bcp.apply_policies()").fetchall()
    return int(changes)


def test_policies_are_as_seeded_and_applying_them_again_changes_nothing(db: psycopg.Connection[Any]) -> None:
    assert apply(db) == 0
    # Jobs of our own alone move and drop chunks: TimescaleDB's wait for locks until readers die.
    assert policies(db, "policy_compression") == policies(db, "policy_retention") == {}
    jobs = {row["proc_name"]: row["every"] for row in rows(db, POLICIES)}
    assert jobs["cleanup_job"] == "1 day"
    assert jobs["columnstore_job"] == "01:00:00"
    [forget] = [row for row in rows(db, POLICIES) if row["proc_name"] == "forget_keys_job"]
    assert forget["every"] == "01:00:00"


def test_every_aggregate_is_refreshed_within_retention_and_days_made_from_rows_by_the_hour(
    db: psycopg.Connection[Any],
) -> None:
    refresh = policies(db, "policy_refresh_continuous_aggregate")
    names = {
        row["view_name"]
        for row in rows(
            db,
            "select view_name from timescaledb_information.continuous_aggregates where view_schema = 'bcp'",
        )
    }
    listed = {row["name"] for row in rows(db, "select name from bcp_internal.aggregates()")}
    assert set(refresh) == names == listed
    by_the_hour = {name for name, row in refresh.items() if row["every"] == "01:00:00"}
    assert by_the_hour == {
        "user_usage_1d",
        "user_activity_1d",
        "session_activity_1d",
        "session_steps_1d",
        "tool_stats_1d",
        "listed_tools_1d",
        "client_usage_1d",
        "client_tool_usage_1d",
        "parameter_keys_1d",
    }
    assert {row["every"] for row in refresh.values()} == {"00:05:00", "01:00:00"}
    within = rows(
        db,
        "select a.name, bcp_internal.refresh_start(retention_days) < retention_days * interval '1 day' as ok"
        " from bcp_internal.aggregates() a"
        " join bcp.data_retention_policies r on r.table_name = a.source_table",
    )
    assert len(within) == len(names)
    assert all(row["ok"] for row in within)
    # A month may be longer than retention. What these are made from is not dropped.
    unbounded = {name for name, row in refresh.items() if row["config"]["start_offset"] is None}
    assert unbounded == {
        "tool_usage_1mo",
        "tool_latency_1mo",
        "client_tool_usage_1mo",
        "failed_usage_1mo",
        "tool_pairs_1mo",
        "error_totals_1d",
        "errors_1d_packed",
        "errors_1mo",
    }


def test_a_changed_row_is_carried_out_at_once(db: psycopg.Connection[Any]) -> None:
    db.execute(
        "update bcp.data_retention_policies set retention_days = 40, columnstore_after = '7 days'"
        " where table_name = 'tool_usage_logs'"
    )
    refresh = policies(db, "policy_refresh_continuous_aggregate")
    assert refresh["tool_usage_1h"]["config"]["start_offset"] == "38 days"
    assert apply(db) == 0


@pytest.mark.parametrize(
    ("table", "change", "hint"),
    [
        ("tool_usage_logs", "retention_days = 0", "Use 1 to 36500"),
        ("tool_usage_logs", "retention_days = 2147483647", "Use 1 to 36500"),
        ("tool_usage_logs", "retention_days = 4", "Use 5 days or more: tool_usage_1d, tool_latency_1d"),
        ("tool_usage_logs", "columnstore_after = '59 minutes'", "null leaves chunks as rows"),
        (
            "tool_usage_logs",
            "columnstore_after = retention_days * interval '1 day'",
            "dropped before they move",
        ),
        ("rejected_events", "columnstore_after = '2 days'", "has no columnstore"),
        ("user_sessions", "archive_before_delete = true", "Only hypertables can be archived"),
        ("user_sessions", "table_name = 'users'", "Set cleanup_enabled to false"),
    ],
)
def test_a_nonsensical_policy_is_refused(
    db: psycopg.Connection[Any], table: str, change: str, hint: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute(f"update bcp.data_retention_policies set {change} where table_name = %s", [table])  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB003"
    assert hint in str(caught.value.diag.message_hint)


def test_the_shortest_retention_can_be_carried_out(db: psycopg.Connection[Any]) -> None:
    db.execute("update bcp.data_retention_policies set retention_days = 5")
    refresh = policies(db, "policy_refresh_continuous_aggregate")
    assert refresh["tool_usage_1d"]["config"]["start_offset"] == "3 days"


def test_a_policy_is_not_deleted(db: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error, match="cannot be removed") as caught:
        db.execute("delete from bcp.data_retention_policies")
    assert caught.value.sqlstate == "ZB003"


def test_the_chunk_interval_is_a_setting(db: psycopg.Connection[Any]) -> None:
    db.execute("update bcp.settings set value = '6 hours' where name = 'chunk_interval'")
    assert apply(db) == 3
    db.execute("select set_config('bcp.now', %s, true)", [NOW])
    ingest(db, [usage()])
    [chunk] = rows(
        db,
        "select range_end - range_start as length from timescaledb_information.chunks"
        " where hypertable_name = 'tool_usage_logs'",
    )
    assert chunk["length"].total_seconds() == 6 * 3600


def test_the_index_on_parameters_is_a_setting(db: psycopg.Connection[Any]) -> None:
    def there() -> bool:
        [(found,)] = db.execute(
            "select to_regclass('bcp.tool_usage_logs_parameters_idx') is not null"
        ).fetchall()
        return bool(found)

    assert there()
    db.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    assert apply(db) == 1
    assert not there()
    db.execute("update bcp.settings set value = 'on' where name = 'index_parameters'")
    assert apply(db) == 1
    assert there()


def test_a_missing_setting_is_named(db: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error, match="there is no setting 'nothing'") as caught:
        db.execute("select bcp_internal.setting('nothing')")
    assert caught.value.sqlstate == "ZB003"


def test_chunks_go_to_the_columnstore_and_answer_the_same(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    calls = [
        usage(
            start_time=f"2026-06-{day:02}T10:00:00Z", duration_ms=day, success=day % 3 > 0, event_id=f"e{day}"
        )
        for day in range(1, 11)
    ]
    assert ingest(clean_db, calls) == (10, 10, 0, 0)
    question = (
        "select time_bucket, call_count, success_count, p95_duration_ms"
        " from bcp.tool_usage_stats('2026-06-01', p_interval => '1 day')"
    )
    before = rows(clean_db, question)
    days = (
        "select range_end::text as until from timescaledb_information.chunks"
        " where hypertable_name = 'tool_usage_logs' and is_compressed order by 1"
    )
    set_after = (
        "update bcp.data_retention_policies set columnstore_after = %s * interval '1 day'"
        " where table_name = 'tool_usage_logs'"
    )
    for after, moved in ((None, 0), (7, 7), (1, 10)):
        clean_db.execute(set_after, [after])
        clean_db.execute("call bcp_internal.columnstore_tables()")
        assert len(rows(clean_db, days)) == moved
        assert rows(clean_db, question) == before
    # Late calls and duplicates find their way into compressed chunks too.
    assert ingest(clean_db, [calls[0], usage(start_time="2026-06-01T11:00:00Z")]) == (2, 1, 1, 0)
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert sum(row["call_count"] for row in rows(clean_db, question)) == 11


def hours(conn: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return how many chunks tool_latency_1h has in the columnstore alone, and how many else."""
    [found] = conn.execute(
        "select count(*) filter (where s.status = 1), count(*) filter (where s.status <> 1)"
        " from show_chunks('bcp.tool_latency_1h') c"
        " cross join _timescaledb_functions.chunk_status(c) as s (status)"
    ).fetchall()
    return found


def test_chunks_of_aggregates_are_merged_whatever_order_they_came_in(
    clean_db: psycopg.Connection[Any],
) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    question = (
        "select call_count, p50_duration_ms from bcp.tool_usage_stats('2026-06-01', p_interval => null)"
    )
    # Day by day, and so chunk by chunk, from the last to the first.
    for day in range(14, 0, -1):
        times = [f"2026-06-{day:02}T{hour:02}:30:00Z" for hour in (1, 7, 13, 19)]
        ingest(clean_db, [usage(start_time=time, duration_ms=day) for time in times])
        clean_db.execute("call bcp.refresh_analytics_views()")
    assert hours(clean_db) == (0, 56)
    before = rows(clean_db, question)
    for _ in range(2):
        clean_db.execute("call bcp_internal.columnstore_aggregates()")
        merged, others = hours(clean_db)
        assert merged <= 3, "a chunk each ten days"
        assert others == 0
        assert rows(clean_db, question) == before
    # A late call makes rows of its hour again, which the next run puts back.
    ingest(clean_db, [usage(start_time="2026-06-12T07:31:00Z", duration_ms=5)])
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert hours(clean_db)[1] == 1
    clean_db.execute("call bcp_internal.columnstore_aggregates()")
    assert hours(clean_db) == (merged, 0)
    assert rows(clean_db, question)[0]["call_count"] == before[0]["call_count"] + 1


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_chunks_of_an_aggregate_that_somebody_reads_wait(clean_db: psycopg.Connection[Any], dsn: str) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    ingest(
        clean_db,
        [usage(start_time=f"2026-06-13T{hour:02}:30:00Z", duration_ms=hour) for hour in (1, 7, 13, 19)],
    )
    clean_db.execute("call bcp.refresh_analytics_views()")
    with psycopg.connect(dsn) as reader:
        reader.execute("select from bcp.tool_latency_1h where bucket = '2026-06-13T07:00:00Z'")
        clean_db.execute("call bcp_internal.columnstore_aggregates()")
        assert hours(clean_db) == (0, 4)
    clean_db.execute("call bcp_internal.columnstore_aggregates()")
    assert hours(clean_db) == (1, 0)


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_a_refresh_waits_for_that_of_a_job(clean_db: psycopg.Connection[Any], dsn: str) -> None:
    """TimescaleDB refuses a second refresh of the same time instead of having it wait."""
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    ingest(clean_db, [usage(start_time="2026-06-13T12:00:00Z")])
    clean_db.execute(
        "insert into bcp_internal.pending_refreshes (table_name, range_start, range_end)"
        " select table_name, range_start, range_end from bcp_internal.event_chunks()"
    )
    [(materialized,)] = clean_db.execute(
        "select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
        " from timescaledb_information.continuous_aggregates where view_name = 'tool_usage_1m'"
    ).fetchall()
    waits = "select wait_event_type from pg_stat_activity where pid = %s"
    with (
        psycopg.connect(dsn, autocommit=True) as job,
        psycopg.connect(dsn, autocommit=True) as watch,
        ThreadPoolExecutor(2) as threads,
        psycopg.connect(dsn) as writer,
    ):
        writer.execute(f"lock table {materialized} in exclusive mode")  # type: ignore[arg-type]
        running = threads.submit(
            job.execute, "call bcp_internal.refresh_aggregate('tool_usage_1m', null, '2026-06-15')"
        )
        while rows(watch, waits, [job.info.backend_pid]) != [{"wait_event_type": "Lock"}]:
            assert not running.done()
        asked = threads.submit(clean_db.execute, "call bcp_internal.refresh_pending()")
        while rows(watch, waits, [clean_db.info.backend_pid]) != [{"wait_event_type": "Timeout"}]:
            assert not asked.done(), asked.exception()
        writer.rollback()
        running.result(timeout=60)
        asked.result(timeout=60)
    assert rows(clean_db, "select calls from bcp.tool_usage_1d") == [{"calls": 1}]


def test_a_large_batch_goes_into_the_columnstore_where_it_may(clean_db: psycopg.Connection[Any]) -> None:
    [(version,)] = clean_db.execute(
        "select extversion from pg_extension where extname = 'timescaledb'"
    ).fetchall()
    sound = tuple(map(int, version.split("-")[0].split("."))) >= (2, 28, 1)
    events = [
        usage(start_time="2026-06-15T11:00:00Z", duration_ms=n, parameters={"n": n, "to": "ada@example.com"})
        for n in range(30)
    ]
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])

    def compressed() -> list[tuple[bool]]:
        return clean_db.execute(
            "select is_compressed from timescaledb_information.chunks"
            " where hypertable_name = 'tool_usage_logs'"
        ).fetchall()

    def stored() -> list[dict[str, Any]]:
        return rows(clean_db, "select duration_ms, lat_idx, parameters from bcp.tool_usage_logs order by 1")

    clean_db.execute("update bcp.settings set value = '30' where name = 'direct_columnstore_rows'")
    ingest(clean_db, events)
    assert compressed() == [(False,)]  # it would be in no index, and there is one
    before = stored()
    clean_db.execute("truncate bcp.tool_usage_logs")
    clean_db.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    clean_db.execute("select bcp.apply_policies()")
    ingest(clean_db, events[:29])
    assert compressed() == [(False,)]
    clean_db.execute("truncate bcp.tool_usage_logs")
    ingest(clean_db, events)
    assert compressed() == [(sound,)]
    assert stored() == before
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert clean_db.execute("select sum(calls) from bcp.tool_usage_1h").fetchall() == [(30,)]
    if sound:  # what the session had set is as it was
        [(left,)] = clean_db.execute("show timescaledb.enable_direct_compress_insert").fetchall()
        assert left == "off"


def test_late_calls_for_the_columnstore_keep_their_duration(clean_db: psycopg.Connection[Any]) -> None:
    """TimescaleDB 2.22 to 2.25 left generated columns of such rows empty (its issue 9314)."""
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    days = [usage(start_time=f"2026-06-{day:02}T11:00:00Z", duration_ms=1250) for day in (8, 9, 10, 11)]
    ingest(clean_db, days[:3])
    clean_db.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') as c")
    ingest(clean_db, [days[n % 4] for n in range(40)])
    ingest(clean_db, [usage(start_time="2026-06-10T11:00:01Z")])
    found = rows(
        clean_db,
        "select duration_ms, lat_idx, count(*) as n from bcp.tool_usage_logs group by 1, 2 order by 1",
    )
    assert found == [
        {"duration_ms": 1250, "lat_idx": 361, "n": 43},
        {"duration_ms": None, "lat_idx": None, "n": 1},
    ]
