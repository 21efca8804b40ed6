"""A person who was erased is in no archive either, and all others are."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bcp_analytics import anonymize_history, erase_user, find_erasure
from bcp_analytics.archive import archive, archives, erase, restore
from bcp_analytics.cli._app import app
from bcp_analytics.errors import ArchiveError
from tests.archive.rows import drop, time
from tests.sql.events import ingest, usage

if TYPE_CHECKING:
    from pathlib import Path

    Db = psycopg.Connection[Any]

JANE, JOHN = "jane.roe@example.com", "john.doe@example.com"
RANGE = (time("2020-01-05"), time("2020-01-06"))


def stored_as(conn: Db, user_id: str) -> str:
    [(stored,)] = conn.execute(
        "select bcp_internal.anonymize_json(jsonb_build_object('user_id', %s::text)) ->> 'user_id'", [user_id]
    ).fetchall()
    return str(stored)


def fill(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '9999 days' where name = 'max_event_age'")
    at = "2020-01-05T10:00:00Z"
    ingest(
        conn,
        [
            usage(start_time=at, user_id=JANE, session_id="s-jane", tool_name="a"),
            usage(start_time=at, user_id=None, session_id="s-jane", tool_name="b"),
            usage(start_time=at, user_id=JOHN, session_id="s-john", tool_name="c"),
            usage(
                start_time=at, user_id="bob", session_id="s-bob", tool_name="d",
                parameters={"to": JANE, "cc": JOHN, "text": json.dumps({"for": JANE})}, error_message=JANE,
            ),
            usage(start_time=at, user_id="bob", session_id="s-b", tool_name="e", parameters={"to": "carol"}),
        ],
    )  # fmt: skip
    rejected = usage(start_time=at, user_id=JANE, tool_name=None)
    ingest(conn, [rejected, rejected | {"user_id": "bob"}])


def everything(folder: Path) -> str:
    """What the files say: their own compression would hide it from a search of bytes."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return json.dumps([table.to_pylist() for table in tables], default=str)


@pytest.fixture
def dropped(clean_db: Db, tmp_path: Path) -> Db:
    fill(clean_db)
    archive(clean_db, tmp_path, table="tool_usage_logs")
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    return clean_db


def test_archives_are_rewritten_without_a_person(dropped: Db, tmp_path: Path) -> None:
    jane, john = stored_as(dropped, JANE), stored_as(dropped, JOHN)
    before = everything(tmp_path)
    assert before.count(jane) == 4
    erase_user(dropped, JANE)
    erase_user(dropped, JOHN)
    [pending] = dropped.execute("select sum(archives_pending) from bcp.erasures").fetchall()
    assert pending == (2,)
    with pytest.raises(ArchiveError, match="still has rows of a person who was erased"):
        restore(dropped, "tool_usage_logs", *RANGE)
    assert erase(dropped) == 1  # one archive, both people
    after = everything(tmp_path)
    assert jane not in after
    assert john not in after
    assert "s-jane" not in after
    assert dropped.execute(
        "select count(*), count(completed_at), sum(archives_pending), sum(archives_rewritten)"
        " from bcp.erasures"
    ).fetchall() == [(2, 2, 0, 2)]
    assert erase(dropped) == 0
    [archived] = archives(dropped)
    assert (archived.state, archived.row_count) == ("dropped", 2)
    restore(dropped, "tool_usage_logs", *RANGE)
    assert dropped.execute(
        "select tool_name, error_message, parameters ->> 'to', parameters ->> 'text' from bcp.tool_usage_logs"
        " order by 1"
    ).fetchall() == [
        ("d", "[ERASED]", "[ERASED]", '{"for": "[ERASED]"}'),
        ("e", None, "carol", None),
    ]


def test_rejected_events_in_archives(clean_db: Db, tmp_path: Path) -> None:
    clean_db.execute("select set_config('bcp.now', '2020-01-05T12:00:00Z', false)")
    fill(clean_db)
    clean_db.execute("select set_config('bcp.now', '', false)")
    archive(clean_db, tmp_path, table="rejected_events", until=time("2021-01-01"))
    jane = stored_as(clean_db, JANE)
    assert jane in everything(tmp_path)
    erase_user(clean_db, JANE)
    erase(clean_db)
    assert jane not in everything(tmp_path)
    assert '"bob' in everything(tmp_path).replace("\\", "")


def test_an_archive_with_nobody_else_goes(clean_db: Db, tmp_path: Path) -> None:
    clean_db.execute("update bcp.settings set value = '9999 days' where name = 'max_event_age'")
    ingest(clean_db, [usage(start_time="2020-01-05T10:00:00Z", user_id=JANE)])
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    erase_user(clean_db, JANE)
    assert erase(clean_db) == 1
    assert archives(clean_db) == []
    assert list(tmp_path.rglob("*.parquet")) == []
    assert clean_db.execute("select completed_at is not null from bcp.erasures").fetchall() == [(True,)]


def test_the_command_rewrites_archives_too(
    dropped: Db, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    result = CliRunner().invoke(app, ["erase-user", "--yes"], input=JANE + "\n")
    assert result.exit_code == 0, result.output
    assert "1 archive rewritten" in result.stderr
    assert "Complete: neither the database nor an archive holds anything of them." in result.stdout
    assert stored_as(dropped, JANE) not in everything(tmp_path)
    assert find_erasure(dropped, JANE)


def test_what_is_masked_later_is_archived_anew(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    [before] = archive(clean_db, tmp_path, table="tool_usage_logs")
    anonymize_history(clean_db, older_than=timedelta(days=30), forget_users=True)
    assert archives(clean_db) == []
    [after] = archive(clean_db, tmp_path)
    assert after.row_count == before.row_count
    assert '"bob"' not in everything(tmp_path)
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_an_archive_that_was_being_written_is_not_forgotten(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    [made] = archive(clean_db, tmp_path, table="tool_usage_logs")
    unfinished = "update bcp.archives set state = %s where archive_id = %s"
    clean_db.execute(unfinished, ["writing", made.archive_id])
    erase_user(clean_db, JANE)
    assert clean_db.execute("select completed_at, archives_pending from bcp.erasures").fetchall() == [
        (None, 1)
    ]
    # It was read before the person went, and is finished after.
    clean_db.execute(unfinished, ["verified", made.archive_id])
    assert erase(clean_db) == 1
    assert stored_as(clean_db, JANE) not in everything(tmp_path)
    assert clean_db.execute("select completed_at is null from bcp.erasures").fetchall() == [(False,)]


def test_an_archive_that_died_does_not_keep_a_receipt_open(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    [made] = archive(clean_db, tmp_path, table="tool_usage_logs")
    clean_db.execute("update bcp.archives set state = 'writing' where archive_id = %s", [made.archive_id])
    erase_user(clean_db, JANE)
    archive(clean_db, tmp_path)
    assert clean_db.execute("select completed_at is null from bcp.erasures").fetchall() == [(False,)]
    assert stored_as(clean_db, JANE) not in everything(tmp_path)
