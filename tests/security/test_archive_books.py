"""An administrator keeps the archive's books, and cannot make them say what the database did not count."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from bcp_analytics.archive import archive, archives
from tests.archive.rows import count, few

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Db = psycopg.Connection[Any]

CHUNK = ("tool_usage_logs", "2020-01-05", "2020-01-06")
FORGED = (
    "insert into pg_temp.bcp_restored (start_time, created_at, event_id, bcp_name, tool_name, operation,"
    " user_id) select '2020-01-05T12:00:00Z', now(), gen_random_uuid(), 'b', 't', 'o',"
    " 'ada.lovelace@example.com' from generate_series(1, 3)"
)


@contextmanager
def admin(conn: Db) -> Iterator[None]:
    conn.execute("set role bcp_admin")
    try:
        yield
    finally:
        conn.execute("reset role")


def begun(conn: Db, *chunk: str, location: str = "file:///a") -> Any:
    found = conn.execute(
        "select archive_id from bcp_internal.begin_archive(%s, %s, %s, %s)", [*chunk, location]
    ).fetchone()
    return found[0] if found else None


def finish(conn: Db, archive_id: Any, files: list[Any], rows: int, checksum: str, size: int) -> None:
    conn.execute(
        "select bcp_internal.finish_archive(%s, %s, %s, %s, %s)",
        [archive_id, Jsonb(files), rows, checksum, size],
    )


def a_file(archive_id: Any, **other: Any) -> dict[str, Any]:
    path = f"table=tool_usage_logs/day=2020-01-05/20200105T000000Z-{archive_id}.parquet"
    return {"path": path, "day": "2020-01-05", "row_count": 3, "bytes": 1, "sha256": "0" * 64} | other


def test_what_the_database_did_not_count_is_not_archived(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    with admin(clean_db):
        made = begun(clean_db, *CHUNK)
        with pytest.raises(psycopg.Error, match="nothing was marked as archived"):
            finish(clean_db, made, [a_file(made)], 3, "0" * 16, 1)
        [(rows, checksum)] = clean_db.execute(
            "select row_count, checksum from bcp_internal.count_archive(%s)", [made]
        ).fetchall()
        for files, number, said in (
            ([], 0, checksum),
            ([a_file(made)], rows, "0" * 16),
            ([a_file(made)], rows + 1, checksum),
            ([], rows, checksum),
            ([a_file(made, row_count=2)], rows, checksum),
            ([a_file(made, path="../../etc/passwd")], rows, checksum),
            ([a_file(made, sha256="x")], rows, checksum),
            ([a_file(made, day="2020-01-09")], rows, checksum),
            ([a_file(made)] * 2, rows, checksum),
        ):
            with pytest.raises(psycopg.Error, match="nothing was marked as archived"):
                finish(clean_db, made, files, number, said, len(files))
        clean_db.execute("select * from bcp.cleanup_old_data()")
        assert count(clean_db) == 3
        finish(clean_db, made, [a_file(made)], rows, checksum, 1)
    [(state,)] = clean_db.execute("select state from bcp.archives").fetchall()
    assert state == "verified"


def test_only_chunks_that_are_there_are_archived(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    with admin(clean_db):
        for chunk in (
            ("tool_usage_logs", "-infinity", "infinity"),
            ("tool_usage_logs", "2020-01-05", "2020-01-07"),
            ("error_logs", "2020-01-05", "2020-01-06"),
            ("settings", "2020-01-05", "2020-01-06"),
        ):
            assert begun(clean_db, *chunk) is None
        for location in ("x", "", "http://127.0.0.1/x", "s3://user:password@x", "file://host/x", "s3://[x"):
            with pytest.raises(psycopg.errors.CheckViolation):
                begun(clean_db, *CHUNK, location=location)


def test_no_row_of_the_books_stops_the_commands(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    [made] = archive(clean_db, tmp_path)
    for bad in (
        "range_end = 'infinity'",
        "range_start = '-infinity'",
        "range_start = '0044-03-15 BC'",
        "range_end = '12020-01-01'",
        "range_start = range_end - interval '400000 days'",
        "keep_until = 'infinity'",
        "location = 'x'",
        "files = '{}'",
        "columns = 'null'",
        "checksum = 'x'",
        "digest = 'x'",
        "digest = null",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            clean_db.execute(f"update bcp.archives set {bad}")  # type: ignore[arg-type]
    # A store that cannot be reached is one.
    few(clean_db, "2020-01-07")
    with admin(clean_db):
        begun(clean_db, "tool_usage_logs", "2020-01-07", "2020-01-08", location="file:///nowhere/%00")
        [second] = archive(clean_db, tmp_path)
    assert archives(clean_db) == [made, second]


def test_cleanup_looks_at_the_rows_and_not_at_their_number(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    clean_db.execute("call bcp.run_cleanup()")
    archive(clean_db, tmp_path)
    clean_db.execute("update bcp.tool_usage_logs set user_id = 'u9' where user_id = 'u2'")
    clean_db.execute("call bcp.run_cleanup()")
    assert count(clean_db) == 3
    archive(clean_db, tmp_path)
    clean_db.execute("call bcp.run_cleanup()")
    assert count(clean_db) == 0


def test_only_the_rows_that_were_archived_come_back(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    clean_db.execute("call bcp.run_cleanup()")
    [made] = archive(clean_db, tmp_path)
    restored = "select bcp_internal.finish_restore(%s, now())"
    beside = "select bcp_internal.finish_beside(bcp_internal.begin_beside('public', %s, array[%s]), %s)"
    clean_db.execute("call bcp.run_cleanup()")
    assert count(clean_db) == 0
    with clean_db.transaction(force_rollback=True):
        clean_db.execute("select bcp_internal.begin_restore(%s)", [made.archive_id])
        clean_db.execute(FORGED)
        # Rows can be made up whose checksum is what it should be: the sum of hashes modulo 2^64.
        clean_db.execute(
            "update bcp.archives a set checksum = c.checksum"
            " from bcp_internal.archive_checksum('pg_temp.bcp_restored', %s) c",
            [Jsonb(made.columns)],
        )
        with admin(clean_db):
            for query, params in (
                (restored, [made.archive_id]),
                (beside, ["tool_usage_logs", made.archive_id, made.archive_id]),
            ):
                with pytest.raises(psycopg.Error, match="nothing was restored"), clean_db.transaction():
                    clean_db.execute(query, params)
    assert count(clean_db) == 0


def test_rows_that_are_in_the_table_are_not_restored_once_more(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    with admin(clean_db):
        made = begun(clean_db, *CHUNK)
        clean_db.execute("select bcp_internal.count_archive(%s)", [made])
        with pytest.raises(psycopg.Error, match="is not, or no longer, proven"):
            clean_db.execute("select bcp_internal.finish_restore(%s, now())", [made])


def test_tables_beside_are_not_made_among_the_stores_own(clean_db: Db) -> None:
    with admin(clean_db):
        for schema, table in (("bcp_internal", "tool_usage_logs"), ("public", "settings")):
            with pytest.raises(psycopg.Error, match=r"is the store's own|has no chunks"):
                clean_db.execute("select bcp_internal.begin_beside(%s, %s, '{}')", [schema, table])
