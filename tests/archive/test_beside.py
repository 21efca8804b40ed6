"""What was restored beside its table is reached by erasures and late masking, or named as not reached."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from typer.testing import CliRunner

from bcp_analytics import anonymize_history, erase_user
from bcp_analytics.archive import archive, erase, restore
from bcp_analytics.cli._app import app
from bcp_analytics.errors import ArchiveError
from tests.archive.rows import drop, time
from tests.archive.test_erase import JANE, JOHN, fill, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Db = psycopg.Connection[Any]

RANGE = (time("2020-01-05"), time("2020-01-06"))
JANUARY = "january.tool_usage_logs"


@pytest.fixture
def beside(clean_db: Db, tmp_path: Path) -> Iterator[Db]:
    """A database with the calls of tests.archive.test_erase in an archive and in a schema, but not in bcp."""
    fill(clean_db)
    archive(clean_db, tmp_path, table="tool_usage_logs")
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    try:
        restore(clean_db, "tool_usage_logs", *RANGE, into_schema="january")
        yield clean_db
    finally:
        clean_db.execute("reset role")
        clean_db.execute("drop schema if exists january cascade")


def calls(conn: Db, table: str = JANUARY) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cur:
        query = sql.SQL("select * from {} order by tool_name").format(sql.Identifier(*table.split(".")))
        return cur.execute(query).fetchall()


def receipt(conn: Db) -> dict[str, Any]:
    with conn.cursor(row_factory=dict_row) as cur:
        [found] = cur.execute("select * from bcp.erasures").fetchall()
    return found


def test_a_person_is_erased_from_what_was_restored_beside(beside: Db) -> None:
    jane = stored_as(beside, JANE)
    assert repr(calls(beside)).count(jane) == 4
    erase_user(beside, JANE)
    found = calls(beside)
    assert jane not in repr(found)
    assert [(row["tool_name"], row["user_id"]) for row in found] == [
        ("c", stored_as(beside, JOHN)), ("d", "bob"), ("e", "bob")]  # fmt: skip
    assert found[1]["parameters"]["to"] == found[1]["error_message"] == "[ERASED]"
    assert found[2]["parameters"] == {"to": "carol"}
    assert receipt(beside)["counts"][JANUARY] == {"deleted": 2, "changed": 1}
    assert receipt(beside)["unreached"] == []
    assert receipt(beside)["completed_at"] is None  # the archive
    erase(beside)
    assert receipt(beside)["completed_at"] is not None


def test_a_table_is_found_by_what_it_is_and_not_by_its_name(beside: Db) -> None:
    beside.execute("alter table january.tool_usage_logs rename to calls")
    beside.execute("alter schema january rename to looked_at")
    try:
        erase_user(beside, JANE)
        assert stored_as(beside, JANE) not in repr(calls(beside, "looked_at.calls"))
    finally:
        beside.execute("drop schema looked_at cascade")
    # An erasure need not reach a table that was dropped.
    erase(beside)
    erase_user(beside, JOHN)
    assert beside.execute("select unreached from bcp.erasures").fetchall() == [([],), ([],)]
    assert beside.execute("select count(*) from bcp_internal.restored_tables").fetchall() == [(0,)]


def test_a_table_that_cannot_be_reached_is_named_and_keeps_the_receipt_open(
    beside: Db, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    # Triggers that somebody else made would run with the rights of whoever erases.
    beside.execute("alter table january.tool_usage_logs owner to bcp_admin")
    result = CliRunner().invoke(app, ["erase-user", "--yes"], input=JANE + "\n")
    assert result.exit_code == 1, result.output
    assert f"Not reached: {JANUARY} (SQLSTATE 42501)" in result.stdout
    assert "Complete" not in result.stdout
    assert "Not complete" in result.stderr
    assert stored_as(beside, JANE) in repr(calls(beside))
    assert receipt(beside)["unreached"] == [{"table": JANUARY, "sqlstate": "42501"}]
    assert (receipt(beside)["archives_pending"], receipt(beside)["completed_at"]) == (0, None)

    beside.execute("alter table january.tool_usage_logs owner to current_user")
    result = CliRunner().invoke(app, ["erase-user", "--yes"], input=JANE + "\n")
    assert result.exit_code == 0, result.output
    assert "Complete: neither the database nor an archive holds anything of them." in result.stdout
    assert stored_as(beside, JANE) not in repr(calls(beside))
    assert receipt(beside)["completed_at"] is not None
    assert beside.execute("select count(*) from bcp_internal.erasure_work").fetchall() == [(0,)]


def test_a_table_whose_columns_are_others_is_named(beside: Db) -> None:
    beside.execute("alter table january.tool_usage_logs rename column user_id to who")
    erase_user(beside, JANE)
    assert receipt(beside)["unreached"] == [{"table": JANUARY, "sqlstate": "42703"}]


def test_late_masking_reaches_it(beside: Db) -> None:
    beside.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('to', 'word')")
    anonymize_history(beside, older_than=timedelta(days=9999))
    assert calls(beside)[4]["parameters"] == {"to": "carol"}
    anonymize_history(beside, table="error_logs")
    assert calls(beside)[4]["parameters"] == {"to": "carol"}
    anonymize_history(beside)
    assert calls(beside)[4]["parameters"] == {"to": "[REDACTED]"}
    assert {row["user_id"] for row in calls(beside)} >= {"bob", None}
    anonymize_history(beside, older_than=timedelta(days=30), forget_users=True)
    assert {(row["user_id"], row["session_id"]) for row in calls(beside)} == {(None, None)}
    assert [row["tool_name"] for row in calls(beside)] == list("abcde")


def test_late_masking_says_what_it_cannot_reach(beside: Db) -> None:
    beside.execute("alter table january.tool_usage_logs owner to bcp_admin")
    beside.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('about', 'exact')")
    beside.execute("insert into bcp.open_tool_calls values (gen_random_uuid(), now(), '{\"about\": 1}')")
    with pytest.raises(ArchiveError, match=r"restored into january\.tool_usage_logs \(SQLSTATE 42501\)"):
        anonymize_history(beside)
    # All else is done.
    assert beside.execute("select event from bcp.open_tool_calls").fetchall() == [({"about": "[REDACTED]"},)]


def test_an_administrator_restores_and_the_owner_reaches_it(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    archive(clean_db, tmp_path, table="tool_usage_logs")
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    role = sql.Identifier(f"restorer_{uuid4().hex[:8]}")
    clean_db.execute(sql.SQL("create role {} in role bcp_admin").format(role))
    try:
        database = sql.Identifier(clean_db.info.dbname)
        clean_db.execute(sql.SQL("grant create on database {} to {}").format(database, role))
        clean_db.execute(sql.SQL("set role {}").format(role))
        for _ in range(2):
            restore(clean_db, "tool_usage_logs", *RANGE, into_schema="january")
            assert len(calls(clean_db)) == 5
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            clean_db.execute("alter table january.tool_usage_logs add column trap text")
        clean_db.execute("reset role")
        erase_user(clean_db, JANE)
        assert stored_as(clean_db, JANE) not in repr(calls(clean_db))
        clean_db.execute(sql.SQL("set role {}").format(role))
        # The role that restored the table may drop it.
        clean_db.execute("drop schema january cascade")
    finally:
        clean_db.execute("reset role")
        clean_db.execute("drop schema if exists january cascade")
        clean_db.execute(sql.SQL("drop owned by {}").format(role))
        clean_db.execute(sql.SQL("drop role {}").format(role))


def test_a_table_that_no_restore_made_is_left_alone(beside: Db) -> None:
    beside.execute("create schema other; create table other.tool_usage_logs (like bcp.tool_usage_logs)")
    try:
        for schema in ("other", "bcp"):
            with pytest.raises(ArchiveError, match="was not made by a restore"):
                restore(beside, "tool_usage_logs", *RANGE, into_schema=schema)
        assert calls(beside, "other.tool_usage_logs") == []
    finally:
        beside.execute("drop schema other cascade")


def test_nothing_is_restored_while_a_person_is_erased(beside: Db) -> None:
    """It would go where the erasure may have been already."""
    beside.execute("select bcp_internal.begin_erasure(%s, null)", [JANE])
    with pytest.raises(ArchiveError, match="a person is being erased"):
        restore(beside, "tool_usage_logs", *RANGE, into_schema="january")
    with pytest.raises(ArchiveError, match="a person is being erased"):
        restore(beside, "tool_usage_logs", *RANGE)
    erase_user(beside, JANE)
    erase(beside)
    assert len(restore(beside, "tool_usage_logs", *RANGE, into_schema="january")) == 1
    assert stored_as(beside, JANE) not in repr(calls(beside))
