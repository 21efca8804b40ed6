"""The next run of bcp-analytics archive takes those who were erased out of archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from bcp_analytics import erase_user
from bcp_analytics.archive import archive, archives, restore, rewrite
from tests.archive.rows import drop, time

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Db = psycopg.Connection[Any]

JANE = "jane-0123456789abcdef"
JOHN = "john-0123456789abcdef"


def insert(conn: Db, day: str, user: str | None, session: str, n: int, parameters: str = "{}") -> None:
    conn.execute(
        "insert into bcp.tool_usage_logs (start_time, created_at, event_id, bcp_name, tool_name, operation,"
        " user_id, session_id, parameters) values (%s::timestamptz + %s * interval '1 minute', now(),"
        " gen_random_uuid(), 'mail', 'send', 'call', %s, %s, %s)",
        [day, n, user, session, parameters],
    )


def archived(folder: Path) -> list[dict[str, Any]]:
    found = (pq.read_table(path, partitioning=None) for path in folder.rglob("*.parquet"))
    return [row for table in found for row in table.to_pylist()]


@pytest.fixture
def receipts(clean_db: Db, tmp_path: Path) -> Any:
    for day in ("2020-01-05", "2020-01-06"):
        insert(clean_db, day, JANE, "s-jane", 1)
        insert(clean_db, day, None, "s-jane", 2)
        insert(clean_db, day, JOHN, "s-john", 3, f'{{"to": "{JANE}", "text": "see {JANE}, \\"{JANE}\\""}}')
        insert(clean_db, day, None, "s-other", 4)
    insert(clean_db, "2020-01-07", JANE, "s-jane", 1)
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    drop(clean_db, start="2020-01-07", end="2020-01-08")

    def found() -> list[dict[str, Any]]:
        with clean_db.cursor(row_factory=dict_row) as cur:
            return cur.execute("select * from bcp.erasures order by requested_at").fetchall()

    return found


def test_nothing_of_a_person_is_left_in_archives(clean_db: Db, tmp_path: Path, receipts: Any) -> None:
    erase_user(clean_db, JANE)
    [receipt] = receipts()
    assert (receipt["archives_pending"], receipt["completed_at"]) == (3, None)
    archive(clean_db, tmp_path)
    [receipt] = receipts()
    assert receipt["archives_pending"] == 0
    assert receipt["completed_at"] is not None
    files = list(tmp_path.rglob("*.parquet"))
    # The archive of the third day had nobody else in it.
    assert len(files) == len(archives(clean_db)) == 2
    rows = archived(tmp_path)
    assert JANE not in repr(rows)
    assert sorted((row["user_id"] or "", row["session_id"]) for row in rows) == [
        ("", "s-other"), ("", "s-other"), (JOHN, "s-john"), (JOHN, "s-john")]  # fmt: skip
    assert {row["parameters"] for row in rows if row["user_id"]} == {
        '{"to": "[ERASED]", "text": "see [ERASED], \\"[ERASED]\\""}'
    }
    restore(clean_db, "tool_usage_logs", time("2020-01-05"), time("2020-01-08"))
    assert JANE not in repr(clean_db.execute("select * from bcp.tool_usage_logs").fetchall())


def test_two_people_at_once_and_one_after_the_other(clean_db: Db, tmp_path: Path, receipts: Any) -> None:
    erase_user(clean_db, JANE)
    erase_user(clean_db, JOHN)
    assert [r["archives_pending"] for r in receipts()] == [3, 3]
    archive(clean_db, tmp_path)
    assert [r["archives_pending"] for r in receipts()] == [0, 0]
    assert all(r["completed_at"] for r in receipts())
    rows = archived(tmp_path)
    assert [(row["user_id"], row["session_id"]) for row in rows] == [(None, "s-other")] * 2


def test_what_waits_passes_on_to_the_next_archive(clean_db: Db, tmp_path: Path, receipts: Any) -> None:
    erase_user(clean_db, JANE)
    before = archives(clean_db)
    new = rewrite(
        clean_db,
        before[0].archive_id,
        lambda: clean_db.execute(
            "delete from pg_temp.bcp_restored where event_id = (select max(event_id::text)::uuid"
            " from pg_temp.bcp_restored)"
        ),
    )
    assert new is not None
    assert receipts()[0]["archives_pending"] == 3
    archive(clean_db, tmp_path)
    assert receipts()[0]["archives_pending"] == 0
    assert JANE not in repr(archived(tmp_path))
