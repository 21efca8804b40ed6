"""Chunks go when their time is over, whole, and never before their rows are aggregated and archived."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics.cli._app import app
from tests.embedded.conftest import until
from tests.sql.events import NOW, ingest, rows, usage

LATER = "2026-10-01T12:00:00Z"  # over 90 days after NOW


def at(conn: psycopg.Connection[Any], now: str) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [now])


def cleaned(conn: psycopg.Connection[Any]) -> dict[str, int]:
    found = conn.execute("select table_name, deleted_count from bcp.cleanup_old_data()").fetchall()
    return dict(found)


def calls(conn: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return conn.execute(
        "select tool_name, call_count from bcp.tool_usage_stats('2026-06-01', '2026-10-02', null) order by 1"
    ).fetchall()


def archived(conn: psycopg.Connection[Any], state: str = "verified", **more: object) -> None:
    """Note a proven archive of the one chunk of calls there is."""
    conn.execute(
        "insert into bcp.archives (table_name, range_start, range_end, state, location, columns,"
        " schema_version, row_count, checksum, digest, bytes, started_at, verified_at, keep_until)"
        " select 'tool_usage_logs', range_start, range_end, %s, 'file:///a', columns,"
        " '1', row_count, checksum, digest, 1, now(), now(), %s"
        " from timescaledb_information.chunks, bcp_internal.archive_columns('tool_usage_logs') as columns,"
        " bcp_internal.archive_checksum('bcp.tool_usage_logs', columns)"
        " where hypertable_name = 'tool_usage_logs'",
        [state, more.get("keep_until")],
    )


@pytest.fixture
def store(clean_db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Three calls of one day, aggregated, and as much later as makes them old."""
    at(clean_db, NOW)
    ingest(clean_db, [usage(start_time="2026-06-15T10:00:00Z", tool_name=name) for name in "aab"])
    clean_db.execute("call bcp.refresh_analytics_views()")
    at(clean_db, "2026-06-17T10:00:00Z")
    clean_db.execute("call bcp.refresh_analytics_views()")
    at(clean_db, LATER)
    return clean_db


def without_archive(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "update bcp.data_retention_policies set archive_before_delete = false"
        " where table_name = 'tool_usage_logs'"
    )


def plan(conn: psycopg.Connection[Any]) -> list[tuple[str, int, str, str]]:
    return conn.execute(
        "select table_name, row_count, action, reason from bcp.cleanup_plan()"
        " where table_name = 'tool_usage_logs'"
    ).fetchall()


def raw(conn: psycopg.Connection[Any]) -> int:
    [(n,)] = conn.execute("select count(*) from bcp.tool_usage_logs").fetchall()
    return int(n)


def test_a_chunk_waits_for_its_archive_and_the_reason_is_a_row(store: psycopg.Connection[Any]) -> None:
    store.execute("listen bcp_archive")
    for _ in range(2):
        assert cleaned(store)["tool_usage_logs"] == 0
    notes = store.notifies(timeout=5, stop_after=2)
    assert [note.channel for note in notes] == ["bcp_archive", "bcp_archive"]
    store.execute("unlisten bcp_archive")
    assert raw(store) == 3
    [kept] = rows(store, "select * from bcp.cleanup_log where table_name = 'tool_usage_logs'")
    assert (kept["action"], kept["row_count"]) == ("kept", 3)
    assert kept["range_start"] == datetime(2026, 6, 15, tzinfo=UTC)
    assert kept["reason"] == "not archived yet: bcp-analytics archive does that"
    assert kept["bytes"] > 0


def test_an_archived_chunk_is_dropped_and_its_calls_stay_counted(store: psycopg.Connection[Any]) -> None:
    before = calls(store)
    archived(store)
    assert plan(store) == [("tool_usage_logs", 3, "dropped", "past its retention, and archived")]
    assert raw(store) == 3  # a plan is only that
    assert cleaned(store)["tool_usage_logs"] == 3
    assert raw(store) == 0
    assert calls(store) == before == [("a", 2), ("b", 1)]
    assert rows(store, "select state, dropped_at from bcp.archives") == [
        {"state": "dropped", "dropped_at": datetime.fromisoformat(LATER)}
    ]
    assert cleaned(store)["tool_usage_logs"] == 0
    store.execute("call bcp.refresh_analytics_views()")
    assert calls(store) == before


def test_a_call_that_came_after_the_archive_keeps_the_chunk(store: psycopg.Connection[Any]) -> None:
    archived(store)
    ingest(store, [usage(start_time="2026-06-15T11:00:00Z")])
    store.execute("call bcp.run_cleanup()")
    assert raw(store) == 4
    [(_, count, action, reason)] = plan(store)
    assert (count, action) == (4, "kept")
    assert reason == "the archive holds other rows than the chunk: bcp-analytics archive makes it anew"


def test_rows_that_are_not_aggregated_keep_the_chunk_until_they_are(store: psycopg.Connection[Any]) -> None:
    without_archive(store)
    ingest(store, [usage(start_time="2026-06-15T23:00:00Z", tool_name="late")])
    before = calls(store)
    assert ("late", 1) in before
    assert cleaned(store)["tool_usage_logs"] == 0
    [(_, _, action, reason)] = plan(store)
    assert action == "kept"
    assert reason.startswith("not all of it is aggregated yet, in tool_usage_1m, tool_usage_1h")
    store.execute("call bcp.run_cleanup()")
    assert raw(store) == 0
    assert calls(store) == before
    # A call that comes later still, for the chunk that is gone, takes nothing away from what was counted.
    ingest(store, [usage(start_time="2026-06-15T23:00:00Z", tool_name="later")])
    store.execute("call bcp.run_cleanup()")
    assert raw(store) == 0
    assert calls(store) == before
    [last] = rows(
        store,
        "select reason from bcp.cleanup_log"
        " where action = 'dropped' and row_count = 1 and table_name = 'tool_usage_logs'",
    )
    assert last["reason"].endswith("came late for a chunk dropped before, and is in no aggregate")


def test_a_restored_chunk_is_kept_for_its_time(store: psycopg.Connection[Any]) -> None:
    until = datetime.fromisoformat(LATER) + timedelta(days=3)
    archived(store, "restored", keep_until=until)
    assert cleaned(store)["tool_usage_logs"] == 0
    assert plan(store)[0][3] == "restored, and to be kept until 2026-10-04 12:00 UTC"
    at(store, "2026-10-05T00:00:00Z")
    assert cleaned(store)["tool_usage_logs"] == 3


def test_cleanup_can_be_turned_off(store: psycopg.Connection[Any]) -> None:
    archived(store)
    store.execute(
        "update bcp.data_retention_policies set cleanup_enabled = false where table_name = 'tool_usage_logs'"
    )
    assert "tool_usage_logs" not in cleaned(store)
    assert raw(store) == 3


def test_short_chunks_go_by_whole_days(clean_db: psycopg.Connection[Any]) -> None:
    """Where half a day were dropped, the day's aggregates would count the other half only."""
    at(clean_db, NOW)
    clean_db.execute("update bcp.settings set value = '6 hours' where name = 'chunk_interval'")
    clean_db.execute("select bcp.apply_policies()")
    without_archive(clean_db)
    ingest(clean_db, [usage(start_time=f"2026-06-15T{hour:02}:30:00Z") for hour in (0, 6, 11)])
    for day, left in ((13, 3), (14, 0)):
        at(clean_db, f"2026-09-{day}T23:59:00Z")
        clean_db.execute("call bcp.run_cleanup()")
        assert raw(clean_db) == left
    [(_, total)] = calls(clean_db)
    assert total == 3


def test_old_metrics_and_sessions_go_and_aggregates_stay(clean_db: psycopg.Connection[Any]) -> None:
    at(clean_db, NOW)
    event = {"metric_name": "m", "metric_value": 2, "timestamp": "2026-06-14T00:00:00Z"}
    clean_db.execute("select bcp.ingest_metrics(null, %s::text)", [json.dumps([event])])
    for number, last in enumerate(("2026-06-10T00:00:00Z", "2026-07-01T00:00:00Z")):
        clean_db.execute(
            "insert into bcp.user_sessions (session_id, started_at, last_activity) values (%s, %s, %s)",
            [f"s{number}", last, last],
        )
    at(clean_db, "2026-07-16T00:00:00Z")
    clean_db.execute("call bcp.run_cleanup()")
    assert rows(clean_db, "select 1 from bcp.performance_metrics") == []
    assert rows(clean_db, "select metric_name, sum_value from bcp.metrics_1d") == [
        {"metric_name": "m", "sum_value": 2.0}
    ]
    assert rows(clean_db, "select session_id from bcp.user_sessions") == [{"session_id": "s1"}]
    logged = rows(clean_db, "select table_name, row_count, action from bcp.cleanup_log order by 1")
    assert logged == [
        {"table_name": "performance_metrics", "row_count": 1, "action": "dropped"},
        {"table_name": "user_sessions", "row_count": 1, "action": "deleted"},
    ]


def test_the_job_cleans_up(store: psycopg.Connection[Any]) -> None:
    archived(store)
    [(job,)] = store.execute(
        "select job_id from timescaledb_information.jobs where proc_name = 'cleanup_job'"
    ).fetchall()
    store.execute("call run_job(%s)", [job])
    assert raw(store) == 0


def test_cleanup_refuses_a_transaction_that_does_not_see_the_latest(store: psycopg.Connection[Any]) -> None:
    store.execute("set default_transaction_isolation = 'repeatable read'")
    with pytest.raises(psycopg.Error, match="repeatable read") as caught:
        cleaned(store)
    assert caught.value.sqlstate == "ZB002"


def test_the_command_says_what_goes_and_what_stays(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        at(conn, NOW)
        ingest(conn, [usage(start_time="2026-06-15T10:00:00Z")])
        event = {"metric_name": "m", "metric_value": 2, "timestamp": "2026-06-14T00:00:00Z"}
        conn.execute("select bcp.ingest_metrics(null, %s::text)", [json.dumps([event])])
    monkeypatch.setenv(
        "BCP_ANALYTICS_DSN", psycopg.conninfo.make_conninfo(dsn, options=f"-c bcp.now={LATER}")
    )
    would = CliRunner().invoke(app, ["cleanup", "--dry-run"])
    assert would.exit_code == 0
    assert "not all of it is aggregated yet" in would.stdout
    done = CliRunner().invoke(app, ["cleanup"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "ingest_batches: 2 rows removed in 1 chunk.",
        "performance_metrics: 1 row removed in 1 chunk.",
        "tool_usage_logs: 1 chunk kept: not archived yet: bcp-analytics archive does that.",
    ]


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_a_table_that_a_move_has_locked_is_left_for_the_next_time(
    store: psycopg.Connection[Any], dsn: str
) -> None:
    without_archive(store)
    at(store, LATER)
    with psycopg.connect(dsn) as other:
        other.execute("lock table only bcp.tool_usage_logs in access exclusive mode")
        assert cleaned(store)["tool_usage_logs"] == 0
        [kept] = rows(store, "select reason from bcp.cleanup_log where table_name = 'tool_usage_logs'")
        assert kept == {"reason": "in use"}
    assert cleaned(store)["tool_usage_logs"] > 0


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_a_chunk_somebody_writes_to_is_left_for_the_next_time(
    store: psycopg.Connection[Any], dsn: str
) -> None:
    without_archive(store)
    with psycopg.connect(dsn) as writer:
        at(writer, LATER)
        ingest(writer, [usage(start_time="2026-06-15T11:00:00Z")])
        assert cleaned(store)["tool_usage_logs"] == 0
        [kept] = rows(store, "select reason from bcp.cleanup_log where table_name = 'tool_usage_logs'")
        assert kept == {"reason": "in use"}
    assert cleaned(store)["tool_usage_logs"] == 0  # it came after the aggregates were made
    store.execute("call bcp.run_cleanup()")
    assert raw(store) == 0
    assert sum(n for _, n in calls(store)) == 4


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_a_row_that_is_committed_while_cleanup_waits_keeps_its_chunk(
    store: psycopg.Connection[Any], dsn: str
) -> None:
    """Cleanup looks at the rows only when no writer can add one any more."""
    without_archive(store)
    with (
        psycopg.connect(dsn) as writer,
        psycopg.connect(dsn, autocommit=True) as cleaner,
        ThreadPoolExecutor(1) as thread,
    ):
        at(writer, LATER)
        ingest(writer, [usage(start_time="2026-06-15T11:00:00Z")])
        at(cleaner, LATER)
        cleaner.execute("set lock_timeout = '30s'")
        dropping = thread.submit(
            cleaner.execute,
            "select bcp_internal.drop_old_chunk(table_name, range_start, range_end, chunk, archive_first)"
            " from bcp_internal.old_chunks() where table_name = 'tool_usage_logs'",
        )
        blocked = "select cardinality(pg_blocking_pids(%s)) > 0 as blocked"
        until(lambda: rows(store, blocked, [cleaner.info.backend_pid])[0]["blocked"])
        writer.commit()
        assert dropping.result(timeout=60).fetchall() == [(0,)]
    assert raw(store) == 4
