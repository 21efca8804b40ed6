"""Nobody's locks stop the store: a stranger's hold nothing up, a sender's open transaction not for long."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.archive import archive
from bcp_analytics.migrate import migrate
from tests.archive.rows import few
from tests.security.roles import logged_in_as
from tests.sql.events import ingest, rows, usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Db = psycopg.Connection[Any]
pytestmark = pytest.mark.native("the embedded database is one backend: its transactions never overlap")
MIGRATE = int.from_bytes(b"bcp_anal")
PLACE = "('tool_usage_logs', '2020-01-05Z', '2020-01-06Z')"
KEY = f"select bcp_internal.archive_lock_key(bcp_internal.archive_lock_name{PLACE}) as key"


@contextmanager
def logged_in(dsn: str, conn: Db, more: str = "") -> Iterator[Db]:
    """Connect as a role of its own, since a message names who logged in."""
    conn.execute(f"create role bcp_test_user login {more}")  # type: ignore[arg-type]
    with psycopg.connect(dsn, user="bcp_test_user", autocommit=True) as other:
        yield other
    conn.execute("drop role bcp_test_user")


@pytest.fixture
def stranger(dsn: str, clean_db: Db) -> Iterator[Db]:
    """A role with no grants that is connected."""
    with logged_in(dsn, clean_db) as conn:
        yield conn


@pytest.fixture
def writer(dsn: str, clean_db: Db) -> Iterator[Db]:
    with logged_in(dsn, clean_db, "in role bcp_writer") as conn:
        yield conn


def test_a_stranger_holds_up_no_run(dsn: str, clean_db: Db, stranger: Db, tmp_path: Path) -> None:
    [key] = rows(clean_db, KEY)  # as pg_locks shows it during a run
    for taken in (
        MIGRATE, key["key"], "hashtextextended('bcp.cleanup_old_data', 0)",
        "hashtext('bcp_internal.erase_chunk')",
    ):  # fmt: skip
        stranger.execute(f"select pg_advisory_lock({taken})")
    for table in ("bcp.cleanup_log", "bcp_internal.archive_lock", "bcp_internal.erasure_work"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute(f"lock table {table} in access share mode")  # type: ignore[arg-type]
    clean_db.execute("set statement_timeout = '20s'")
    few(clean_db, "2020-01-05")
    said: list[str] = []
    migrate(dsn, progress=said.append, wait_seconds=1)
    assert any("of role bcp_test_user holds" in sentence for sentence in said)
    assert len(archive(clean_db, tmp_path)) == 1
    clean_db.execute("select * from bcp.cleanup_old_data()")
    clean_db.execute("call bcp.erase_user('nobody')")


def test_runs_stay_apart_after_a_stranger_had_the_lock(clean_db: Db, stranger: Db, dsn: str) -> None:
    [key] = rows(clean_db, KEY)
    stranger.execute("select pg_advisory_lock(%s)", [key["key"]])
    take = f"select is_mine, holder from bcp_internal.lock_archive{PLACE}"
    with psycopg.connect(dsn, autocommit=True) as second, logged_in_as(second, "bcp_admin"):
        assert rows(clean_db, take) == [{"is_mine": True, "holder": None}]
        [found] = rows(second, take)
        assert not found["is_mine"]
        assert f"process {clean_db.info.backend_pid} of role" in found["holder"]
        stranger.execute("select pg_advisory_unlock_all()")
        assert not rows(second, take)[0]["is_mine"]
        clean_db.execute(f"select bcp_internal.unlock_archive{PLACE}")  # type: ignore[arg-type]
        assert rows(second, take)[0]["is_mine"]
        assert not rows(clean_db, take)[0]["is_mine"]


def test_only_an_admin_takes_the_lock_of_archives(clean_db: Db) -> None:
    for role in ("bcp_reader", "bcp_writer"):
        with logged_in_as(clean_db, role), pytest.raises(psycopg.errors.InsufficientPrivilege):
            clean_db.execute(f"select * from bcp_internal.lock_archive{PLACE}")  # type: ignore[arg-type]


def test_an_open_transaction_that_touched_a_user_stops_no_other_sender(clean_db: Db, writer: Db) -> None:
    clean_db.execute("set statement_timeout = '10s'")
    first = {"start_time": rows(clean_db, "select now()::text as t")[0]["t"]}
    later = {"start_time": rows(clean_db, "select (now() + interval '5 minutes')::text as t")[0]["t"]}
    ingest(
        clean_db, [usage(**first, user_id="old", session_id="a"), usage(**later)]
    )  # as a chunk that is new is locked too
    with writer.transaction():
        ingest(writer, [usage(**later, user_id=user, session_id="b") for user in ("old", "new")])
        for user in ("old", "new"):
            assert ingest(clean_db, [usage(**later, user_id=user, session_id=user)]) == (1, 1, 0, 0)
    assert rows(clean_db, "select count(*) as n from bcp.users") == [{"n": 2}]


def test_nothing_that_runs_as_the_owner_waits_for_ever(db: Db) -> None:
    """Sessions, issues and event ids have to be waited for, so that no count and no duplicate is lost."""
    loose = rows(
        db,
        "select p.oid::regprocedure::text as name from pg_proc p"
        " where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace) and p.prosecdef"
        " and not coalesce(p.proconfig, '{}')::text ~ 'lock_timeout=[1-9]'",
    )
    assert loose == []


def test_who_waited_in_vain_is_told_what_to_do(clean_db: Db, writer: Db) -> None:
    clean_db.execute("alter function bcp.ingest_tool_usage(uuid, text, text) set lock_timeout = '50ms'")
    ingest(clean_db, [usage(session_id="s1")])
    with writer.transaction():
        ingest(writer, [usage(session_id="s1")])
        with pytest.raises(psycopg.errors.LockNotAvailable, match="another open transaction") as caught:
            ingest(clean_db, [usage(session_id="s1")])
        assert "idle_in_transaction_session_timeout" in str(caught.value.diag.message_hint)
    assert ingest(clean_db, [usage(session_id="s1")]) == (1, 1, 0, 0)


def test_a_cleanup_names_the_one_that_it_waited_for(dsn: str, clean_db: Db) -> None:
    clean_db.execute("alter function bcp_internal.lock_table(regclass, text) set lock_timeout = '50ms'")
    with logged_in(dsn, clean_db, "in role bcp_admin") as other, other.transaction():
        other.execute("select * from bcp.cleanup_old_data()")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            clean_db.execute("select * from bcp.cleanup_old_data()")
        assert f"server process {other.info.backend_pid} of role bcp_test_user" in str(caught.value)


def test_health_warns_of_a_database_that_everybody_may_connect_to(db: Db) -> None:
    query = "select status, detail from bcp.health() where check_name = 'strangers'"
    [found] = rows(db, query)
    assert found["status"] == "warn"
    db.execute(found["detail"].split("; ")[1].split(",")[0])
    assert rows(db, query)[0]["status"] == "ok"
