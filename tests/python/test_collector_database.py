"""Collector with a real database: the books of both agree, whatever state the database is in."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bcp_analytics import Collector, InvalidArgument, report_collector
from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics.migrate import migrate
from tests.faults.relay import LossyRelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = "00000000-0000-7000-8000-000000000001"
LEDGER = (
    "select accepted, stored, duplicates, rejected, spooled, dropped"
    " from bcp.ingest_ledger where source = %s order by hour"
)


def wait_until(collector: Collector, condition: Callable[[], bool]) -> None:
    core = collector._core
    with core._lock:
        # As if the pause before the next attempt were over.
        core._attempts.try_at = 0.0
        core._work.notify()
        assert core._buffer.changed.wait_for(condition, 30), collector.stats()


def drain(collector: Collector) -> None:
    wait_until(collector, lambda: collector.stats().spooled == 0)


def rows(conn: psycopg.Connection[Any], query: str, *values: object) -> list[Any]:
    return conn.execute(query, values).fetchall()


def test_everything_arrives_and_the_ledger_agrees(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    with Collector(dsn, source="ledger-test", spool=tmp_path) as collector:
        ids = [
            collector.record(
                "mail", "send", parameters={"to": "ada@example.com"}, duration_ms=n, success=True
            )
            for n in range(5)
        ]
        collector.record("mail", "send", event_id=ids[0])
        collector.record("", "send")
        collector.metric("queue_ms", 1.5)
        collector.touch_session("s1", user_id="u1")
        collector.record_error("error", exception=ValueError("it broke"), bcp_name="mail")
        assert collector.flush(30)
        s = collector.stats()
        assert (s.recorded, s.stored, s.duplicates, s.rejected) == (10, 8, 1, 1)
    assert rows(clean_db, LEDGER, "ledger-test") == [(10, 8, 1, 1, 0, 0)]
    assert rows(
        clean_db, "select source, recorded, sent, spooled, dropped, last_error from bcp.collector_reports"
    ) == [("ledger-test", 10, 10, 0, 0, None)]
    stored = rows(clean_db, "select event_id::text from bcp.tool_usage_logs order by duration_ms")
    assert [i for (i,) in stored] == ids
    assert "ada" not in str(rows(clean_db, "select parameters from bcp.tool_usage_logs"))
    [(level, context)] = rows(clean_db, "select level::text, context from bcp.error_logs")
    assert level == "error"
    assert context["runtime"]["python"]


def test_a_call_and_its_error_are_of_one_session(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """Found by user and client, since neither names one."""

    with Collector(dsn, source="sessions", spool=tmp_path) as collector:

        @collector.tracked("mail", user_id="u", client_name="cli")
        def send() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            send()
        assert collector.flush(30)
    [(of_call, of_error)] = rows(
        clean_db,
        "select c.session_id, e.session_id from bcp.tool_usage_logs c, bcp.error_logs e",
    )
    assert of_call == of_error
    assert of_call.startswith("gap-")


def test_a_commit_whose_answer_was_lost_makes_no_second_row(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    with LossyRelay(dsn) as relay, Collector(relay.dsn, source="lost", spool=tmp_path) as collector:
        for nth in (1, 2):
            relay.lose_the_answer_to(b"ingest_tool_usage")
            collector.record("mail", "send")
            collector.touch_session("s1")
            assert collector.flush(30)
            drain(collector)
            s = collector.stats()
            assert (relay.lost, s.spooled, s.state) == (nth, 0, "ok")
            # Whichever kind went first; the other was not sent.
            assert (s.stored, s.duplicates) == (nth, nth)
    assert rows(clean_db, "select count(*) from bcp.tool_usage_logs") == [(2,)]
    assert rows(clean_db, LEDGER, "lost") == [(6, 4, 2, 0, 0, 0)]


def test_a_connection_that_broke_in_between_is_made_anew_at_once(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    with Collector(dsn, source="broke", spool=tmp_path) as collector:
        collector.record("mail", "send")
        assert collector.flush(30)
        clean_db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'broke'"
        )
        sender: Any = collector._core._sender
        sender._conn.pgconn.finish()
        collector.record("mail", "send")
        assert collector.flush(30)
        assert (collector.stats().stored, collector.stats().spooled) == (2, 0)


@pytest.mark.native("the embedded engine runs one transaction at a time")
def test_a_deadlock_is_repeated_at_once_as_the_same_batch(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    with psycopg.connect(dsn) as other, Collector(dsn, source="deadlock", spool=tmp_path) as collector:
        for session in ("a", "b"):
            collector.touch_session(session, time=datetime(2026, 1, 1, tzinfo=UTC))
        assert collector.flush(30)
        # The other is not who gives way.
        other.execute("set deadlock_timeout = '1min'")
        other.execute("update bcp.user_sessions set client_name = client_name where session_id = 'b'")
        for session in ("a", "b"):
            collector.record("mail", "send", session_id=session)
        with ThreadPoolExecutor() as pool:
            flushed = pool.submit(collector.flush, 30)
            waits = (
                "select from pg_stat_activity"
                " where application_name = 'deadlock' and wait_event_type = 'Lock'"
            )
            while not rows(clean_db, waits):
                assert not flushed.done()
            other.execute("update bcp.user_sessions set client_name = client_name where session_id = 'a'")
            other.commit()
            assert flushed.result()
        s = collector.stats()
        assert (s.state, s.retries, s.batches, s.stored, s.spooled) == ("ok", 1, 2, 4, 0)
        assert (s.error, s.last_error) == (None, "DeadlockDetected 40P01")
    assert rows(clean_db, "select count(*) from bcp.tool_usage_logs") == [(2,)]


def away_and_back(
    collector: Collector, state: str, error: str, caplog: pytest.LogCaptureFixture, advice: str
) -> Iterator[None]:
    """Record while something is wrong; after the yield it must be right."""
    with caplog.at_level(logging.WARNING, "bcp_analytics"):
        collector.record("mail", "send", parameters="hunter2")
        assert collector.flush(30)
    s = collector.stats()
    assert (s.state, s.spooled, s.buffered, s.dropped, s.error) == (state, 1, 0, 0, error)
    assert advice in caplog.text
    assert "hunter2" not in caplog.text
    yield
    drain(collector)
    s = collector.stats()
    assert (s.state, s.spooled, s.stored, s.error) == ("ok", 0, 1, None)
    assert s.last_error is not None


@pytest.mark.native("one server of the embedded target has one database")
def test_a_read_only_database(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = clean_db.info.dbname
    clean_db.execute(f"alter database {name} set default_transaction_read_only = on")
    with Collector(dsn, source="ro", spool=tmp_path) as collector:
        steps = away_and_back(collector, "spooling", "ReadOnlySqlTransaction 25006", caplog, "read-only")
        next(steps)
        clean_db.execute("set default_transaction_read_only = off")
        clean_db.execute(f"alter database {name} reset default_transaction_read_only")
        clean_db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ro'"
        )
        next(steps, None)


@pytest.mark.native("the embedded target has one user")
def test_a_user_without_the_writers_role(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clean_db.execute("create role bcp_test_sender login")
    try:
        with Collector(
            make_conninfo(dsn, user="bcp_test_sender"), source="role", spool=tmp_path
        ) as collector:
            steps = away_and_back(collector, "failed", "InsufficientPrivilege 42501", caplog, "bcp_writer")
            next(steps)
            clean_db.execute("grant bcp_writer to bcp_test_sender")
            next(steps, None)
        assert rows(clean_db, "select count(*) from bcp.collector_reports") == [(1,)]
    finally:
        clean_db.execute("drop role bcp_test_sender")


@pytest.mark.native("a database that can be dropped")
def test_a_database_and_a_store_that_are_not_there_yet(
    blank_db: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Collector(make_conninfo(blank_db, dbname="bcp_nowhere"), source="no", spool=tmp_path) as collector:
        collector.record("mail", "send")
        assert collector.flush(30)
        assert (collector.stats().state, collector.stats().error) == ("failed", "OperationalError 3D000")
    with Collector(blank_db, source="blank", spool=tmp_path) as collector:
        steps = away_and_back(collector, "failed", "InvalidSchemaName 3F000", caplog, "bcp-analytics migrate")
        next(steps)
        migrate(blank_db)
        next(steps, None)


@pytest.mark.native("a database of its own")
def test_a_schema_one_version_behind(blank_db: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    migrations = shutil.copytree(migrations_folder(), tmp_path / "migrations")
    for path in [migrations / "frozen.txt", *migrations.glob("0006*.sql")]:
        path.unlink()
    code = shutil.copytree(sql_folder(), tmp_path / "sql")
    (code / "35_collector.sql").unlink()
    migrate(blank_db, migrations=migrations, sql_files=code)
    with Collector(blank_db, source="behind", spool=tmp_path / "spool") as collector:
        with caplog.at_level(logging.WARNING, "bcp_analytics"):
            collector.record("mail", "send")
            assert collector.flush(30)
            wait_until(collector, lambda: collector.stats().last_error is not None)
        s = collector.stats()
        assert (s.state, s.stored, s.error, s.last_error) == ("ok", 1, None, "UndefinedFunction 42883")
        assert "run bcp-analytics migrate" in caplog.text
        with psycopg.connect(blank_db, autocommit=True) as conn:
            conn.execute("alter function bcp.ingest_tool_usage(uuid, text, text) rename to later_name")
            collector.record("mail", "send")
            assert collector.flush(30)
            assert (collector.stats().state, collector.stats().spooled) == ("failed", 1)
            conn.execute("alter function bcp.later_name(uuid, text, text) rename to ingest_tool_usage")
        drain(collector)
        assert (collector.stats().state, collector.stats().stored) == ("ok", 2)


def test_nobody_listens(tmp_path: Path) -> None:
    with Collector("host=127.0.0.1 port=1 password=hunter2", source="none", spool=tmp_path) as collector:
        collector.record("mail", "send")
        assert collector.flush(30)
        s = collector.stats()
        assert (s.state, s.spooled, s.error) == ("spooling", 1, "OperationalError 08001")


def test_a_report_is_one_row_a_collector_and_holds_no_text(db: psycopg.Connection[Any]) -> None:
    report_collector(db, "a", ONE, recorded=1)
    report_collector(
        db,
        "a",
        ONE,
        recorded=9,
        sent=5,
        spooled=3,
        spooled_bytes=100,
        dropped=1,
        last_error="E 25006",
        last_error_at=datetime(2026, 6, 15, tzinfo=UTC),
    )
    assert rows(db, "select last_error, last_error_at::date::text from bcp.collector_reports") == [
        ("E 25006", "2026-06-15")
    ]
    assert rows(db, "select recorded, sent, spooled, spooled_bytes, dropped from bcp.collector_reports") == [
        (9, 5, 3, 100, 1)
    ]
    assert rows(db, LEDGER, "a") == [(0, 0, 0, 0, 3, 1)]
    # A class and a code by its form, and a token all the same.
    report_collector(db, "a", ONE, last_error="ghp_aBcdEfghijklmnopqrstuvwxyz0123456789")
    assert rows(db, "select last_error from bcp.collector_reports") == [("[REDACTED]",)]
    for wrong in (
        {"source": " "},
        {"source": "x" * 501},
        {"sent": -1},
        {"last_error": "password=hunter2"},
        {"last_error": "could not connect to ada"},
    ):
        with pytest.raises(InvalidArgument) as caught, db.transaction():
            report_collector(db, **({"source": "a", "instance": ONE} | wrong))  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


def test_a_writer_reports_and_a_reader_reads(db: psycopg.Connection[Any]) -> None:
    assert rows(
        db,
        "select r, has_function_privilege(r, p.oid, 'execute'),"
        " has_table_privilege(r, 'bcp.collector_reports', 'select'),"
        " has_table_privilege(r, 'bcp.ingest_ledger', 'select'),"
        " has_table_privilege(r, 'bcp.collector_reports', 'insert, update, delete')"
        " from pg_proc p, unnest(array['bcp_reader', 'bcp_writer']) as r"
        " where p.proname = 'report_collector'",
    ) == [("bcp_reader", False, True, True, False), ("bcp_writer", True, False, False, False)]


def test_old_reports_of_a_source_go(db: psycopg.Connection[Any]) -> None:
    report_collector(db, "a", ONE)
    db.execute("update bcp.collector_reports set reported_at = now() - interval '91 days'")
    report_collector(db, "b", "00000000-0000-7000-8000-000000000002")
    assert rows(db, "select count(*) from bcp.collector_reports") == [(2,)]
    report_collector(db, "a", "00000000-0000-7000-8000-000000000003")
    assert rows(db, "select source from bcp.collector_reports order by 1") == [("a",), ("b",)]
