"""Figures of sessions by day that are kept ready: they answer, and only while they are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics import upkeep
from tests.sql.events import ingest, rows, usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    Db = psycopg.Connection[Any]

STATS = "select * from bcp.session_stats('2026-06-12', '2026-06-16')"
two_writers = pytest.mark.native("the embedded engine runs one transaction at a time")


@pytest.fixture
def conn(clean_db: Db) -> Db:
    clean_db.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', false)")
    ingest(
        clean_db,
        [
            usage(
                start_time=f"2026-06-{day}T10:00:00Z", session_id=f"s{day}", client_name="cli", user_id="u1"
            )
            for day in (12, 13, 14, 15)
        ],
    )
    clean_db.execute("select bcp_internal.refresh_session_days()")
    return clean_db


@pytest.fixture
def writers(dsn: str) -> Iterator[list[Db]]:
    made = [psycopg.connect(dsn) for _ in range(2)]
    for one in made:
        one.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', false)")
        # A wait for somebody else is a failure, not a hanging test.
        one.execute("set lock_timeout = '5s'")
        one.commit()
    yield made
    for one in made:
        one.close()


def late(conn: Db, session: str, at: str) -> None:
    ingest(conn, [usage(start_time=at, session_id=session, client_name="cli", user_id="u1")])


def counts(conn: Db) -> dict[int, tuple[int, int]]:
    """Sessions and calls by day of the month."""
    return {r["time_bucket"].day: (r["session_count"], r["call_count"]) for r in rows(conn, STATS)}


def test_days_that_are_over_are_read_as_they_are_kept(conn: Db) -> None:
    assert counts(conn) == dict.fromkeys((12, 13, 14, 15), (1, 1))
    conn.execute("update bcp_internal.session_days set session_count = 77")
    assert counts(conn) == {12: (77, 1), 13: (77, 1), 14: (77, 1), 15: (1, 1)}
    # Whoever may read the store reads them, too.
    conn.execute("set role bcp_reader")
    assert counts(conn)[12] == (77, 1)


def test_a_change_counts_at_once(conn: Db) -> None:
    late(conn, "s13", "2026-06-13T11:00:00Z")
    assert counts(conn)[13] == (1, 2)
    # A session that turns out to have begun the day before moves there.
    late(conn, "s14", "2026-06-13T23:59:00Z")
    assert {13: (2, 4), 15: (1, 1)}.items() <= counts(conn).items()
    assert 14 not in counts(conn)
    upkeep.erase_user(conn, "u1")
    assert counts(conn) == {}


@pytest.mark.parametrize(
    "change",
    [
        "update bcp.user_sessions set client_name = 'ide', started_at = started_at - interval '1 day'",
        "delete from bcp.user_sessions where session_id = 's13'",
        "truncate bcp.user_sessions",
        "update bcp.user_sessions set started_at = '-infinity' where session_id = 's13'",
        "update bcp.user_sessions set started_at = 'infinity' where session_id = 's13'",
    ],
)
def test_so_does_a_change_by_hand_and_a_refresh_keeps_it(conn: Db, change: str) -> None:
    conn.execute(change)
    before = rows(conn, STATS)
    conn.execute("select bcp_internal.refresh_session_days()")
    assert rows(conn, STATS) == before
    counted = rows(
        conn,
        "select count(*) as n from bcp.user_sessions"
        " where started_at >= '2026-06-12' and isfinite(started_at)",
    )
    assert sum(r["session_count"] for r in before) == counted[0]["n"]


def test_a_refresh_makes_only_what_has_changed(conn: Db) -> None:
    [again] = rows(conn, "select bcp_internal.refresh_session_days() as days")
    assert again == {"days": 0}
    late(conn, "s15", "2026-06-15T11:00:00Z")
    late(conn, "s12", "2026-06-12T11:00:00Z")
    [again] = rows(conn, "select bcp_internal.refresh_session_days() as days")
    assert again == {"days": 1}
    assert rows(conn, "select * from bcp_internal.changed_session_days") == []


@two_writers
def test_a_refresh_does_not_miss_a_batch_that_commits_after_it(conn: Db, writers: list[Db]) -> None:
    late(writers[0], "s13", "2026-06-13T11:00:00Z")
    # Neither the other collector nor the refresh waits for the batch.
    late(writers[1], "other", "2026-06-13T11:00:00Z")
    writers[1].commit()
    conn.execute("set lock_timeout = '5s'")
    conn.execute("select bcp_internal.refresh_session_days()")
    assert counts(conn)[13] == (2, 2)
    writers[0].commit()
    assert counts(conn)[13] == (2, 3)


@two_writers
def test_a_batch_does_not_wait_for_a_refresh(conn: Db, writers: list[Db]) -> None:
    late(conn, "s13", "2026-06-13T11:00:00Z")
    writers[0].execute("select bcp_internal.refresh_session_days()")
    late(writers[1], "s13", "2026-06-13T11:30:00Z")
    writers[1].commit()
    assert counts(conn)[13] == (1, 3)
    writers[0].commit()
    assert counts(conn)[13] == (1, 3)
