"""Who asks while chunks move gets the whole answer, and nobody who asks is ended by what moves them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.queries._questions import QUESTIONS
from tests.embedded.conftest import until
from tests.sql.events import NOW, ingest, rows, something_to_answer, usage

if TYPE_CHECKING:
    from collections.abc import Iterator

Db = psycopg.Connection[Any]

pytestmark = pytest.mark.native("the embedded engine runs one transaction at a time")

WEEK_AFTER = "2026-06-22T12:00:00Z"
NO_READERS = {
    "bcp_internal.calls": "becomes a part of the statement that calls it",
    "bcp_internal.cell_rules": "has SQL for functions of a head, as text",
    "bcp_internal.head_body": "has SQL for functions of a head, as text",
    "bcp_internal.question_rules": "has SQL for functions of a head, as text",
    "bcp_internal.load_anonymizer": "names a function to call, in a message",
    "bcp_internal.pseudonym": "names a function to call, in a message",
}
MOVE = "select bcp_internal.move_chunk(chunk, hypertable, merges) as ok from bcp_internal.chunks_to_move()"
COMPRESS = """
select public.compress_chunk(c)
from public.show_chunks('bcp.tool_usage_logs', older_than => timestamptz '2026-06-15Z') as c
"""
TABLES = """
select format('%I.%I', hypertable_schema, hypertable_name) as name
from timescaledb_information.hypertables
where compression_enabled
"""


@pytest.fixture
def reader(clean_db: Db, dsn: str) -> Iterator[Db]:
    """Return a session that asks, of a store with yesterday's events."""
    with psycopg.connect(dsn, autocommit=True) as other:
        set_clock(other, NOW)
        happened(clean_db)
        yield other


def set_clock(conn: Db, now: str) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [now])


def happened(conn: Db) -> None:
    """Let calls come of which every question has something to tell."""
    set_clock(conn, NOW)
    for hours in range(1, 24, 3):
        at = datetime.fromisoformat(NOW) - timedelta(hours=hours)
        for kind, events in something_to_answer(at).items():
            ingest(conn, events, kind)
        ingest(conn, [usage(start_time=at.isoformat(), duration_ms=hours)])
    conn.execute("call bcp.refresh_analytics_views()")


def move_all(conn: Db) -> int:
    set_clock(conn, WEEK_AFTER)
    moved = rows(
        conn,
        "select bcp_internal.move_chunk(chunk, hypertable, merges) as ok from bcp_internal.chunks_to_move()",
    )
    assert all(row["ok"] for row in moved)
    return len(moved)


def waits(conn: Db, other: Db) -> bool:
    [found] = rows(conn, "select cardinality(pg_blocking_pids(%s)) > 0 as waits", [other.info.backend_pid])
    return bool(found["waits"])


def test_every_question_has_the_whole_answer_while_chunks_move(clean_db: Db, reader: Db) -> None:
    for name, (ask, _) in QUESTIONS.items():
        if name == "health":
            continue  # which says how large the store is
        happened(clean_db)
        before = ask(reader)
        with ThreadPoolExecutor(1) as thread:
            with clean_db.transaction():
                # Who asks has begun, and looks for chunks only when they have moved.
                for table in rows(clean_db, TABLES):
                    clean_db.execute(f"lock table only {table['name']} in access exclusive mode")
                assert move_all(clean_db) > 0
                asking = thread.submit(ask, reader)
                until(lambda: asking.done() or waits(clean_db, reader))  # noqa: B023
            assert asking.result(timeout=60) == before, name


def test_no_chunk_moves_while_somebody_may_be_looking_for_it(clean_db: Db, reader: Db) -> None:
    """A statement locks its hypertable and then looks for chunks: it could miss one that changes then."""
    set_clock(clean_db, WEEK_AFTER)
    clean_db.execute("set lock_timeout = '50ms'")
    move = f"{MOVE} where not merges"
    with reader.transaction():
        for table in rows(reader, TABLES):
            reader.execute(f"lock table only {table['name']} in access share mode")
        assert {row["ok"] for row in rows(clean_db, move)} == {False}
    assert {row["ok"] for row in rows(clean_db, move)} == {True}


def test_masking_waits_for_a_chunk_that_moves(clean_db: Db, reader: Db, dsn: str) -> None:
    clean_db.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('tools', 'exact')")
    with (
        psycopg.connect(dsn, autocommit=True) as mover,
        ThreadPoolExecutor(2) as threads,
        psycopg.connect(dsn) as asking,
    ):
        asking.execute("select from bcp.tool_usage_logs")
        moving = threads.submit(mover.execute, COMPRESS)  # type: ignore[arg-type]
        until(lambda: waits(reader, mover))
        masking = threads.submit(clean_db.execute, "call bcp.anonymize_history()")
        until(lambda: masking.done() or waits(reader, clean_db))
        asking.rollback()
        moving.result(timeout=60)
        masking.result(timeout=60)
    assert rows(clean_db, "select from bcp.tool_usage_logs where response_data::text like '%spare%'") == []


def test_a_chunk_that_is_being_erased_from_does_not_move(clean_db: Db, reader: Db, dsn: str) -> None:
    """A move keeps writers out and waits for readers: it would end whoever has read and wants to write."""
    clean_db.execute(
        "create or replace function bcp_internal.refresh_later("
        "p_table text, p_start timestamptz, p_end timestamptz) returns boolean"
        " language sql as 'select pg_advisory_xact_lock(4711); select true'"
    )
    with (
        psycopg.connect(dsn, autocommit=True) as mover,
        ThreadPoolExecutor(2) as threads,
        psycopg.connect(dsn) as holder,
    ):
        holder.execute("select pg_advisory_xact_lock(4711)")
        erasing = threads.submit(clean_db.execute, "call bcp.erase_user('u1')")
        until(lambda: waits(reader, clean_db))
        moving = threads.submit(mover.execute, COMPRESS)  # type: ignore[arg-type]
        until(lambda: waits(reader, mover))
        holder.rollback()
        erasing.result(timeout=60)
        moving.result(timeout=60)
    assert rows(clean_db, "select from bcp.tool_usage_logs where user_id = 'u1'") == []


def test_what_reads_events_takes_a_snapshot_after_its_locks(db: Db) -> None:
    """A function that is not volatile has its caller's snapshot, of before the locks it waits for."""
    early = rows(
        db,
        "with functions as ("
        "  select p.oid::regproc::text as name, p.provolatile <> 'v' as early, p.prosrc,"
        "         format('%%I.%%I(', p.pronamespace::regnamespace, p.proname) as call"
        "  from pg_proc p where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
        "), of_events as ("
        "  select 'bcp.' || hypertable_name as name from timescaledb_information.hypertables"
        "  where hypertable_schema = 'bcp'"
        "  union all select 'bcp.' || view_name from timescaledb_information.continuous_aggregates"
        "  union all select call from functions where not early and name <> 'bcp.health'"
        "  union all select 'bcp.%%I'"
        ")"
        " select f.name, array_agg(e.name) as reads"
        " from functions f join of_events e on strpos(f.prosrc, e.name) > 0"
        " where f.early and f.name <> all (%s) group by 1",
        [list(NO_READERS)],
    )
    assert early == []
