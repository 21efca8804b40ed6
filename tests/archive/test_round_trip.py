"""Archived, dropped and restored, rows are what they were, whatever is in them."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from bcp_analytics import archives_wanted
from bcp_analytics.archive import archive, archives, restore
from tests.archive.rows import TABLES, checksum, count, drop, few, fill, time

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import psycopg

    Db = psycopg.Connection[Any]

RANGE = (time("2026-01-05"), time("2026-01-07"))


# 31 days are what was promised; two are enough each time.
DAYS = int(os.environ.get("BCP_TEST_ARCHIVE_DAYS", "2"))


def archive_days(conn: Db, folder: Path, until: datetime = RANGE[1]) -> None:
    for table in TABLES:
        archive(conn, folder, table=table, since=RANGE[0], until=until)


def test_every_type_and_value_comes_back(clean_db: Db, tmp_path: Path) -> None:
    days = [RANGE[0] + timedelta(days=n) for n in range(DAYS + 1)]
    fill(clean_db, tuple(f"{day:%Y-%m-%d}" for day in days[:-1]))
    before = {table: checksum(clean_db, table) for table in TABLES}
    for table in TABLES:
        clean_db.execute(f"create temporary table was_{table} as select * from bcp.{table}")  # type: ignore[arg-type]
    archive_days(clean_db, tmp_path, days[-1])
    made = archives(clean_db)
    assert len(made) == 3 * DAYS
    assert {a.state for a in made} == {"verified"}
    for table in TABLES:
        of_table = [a for a in made if a.table_name == table]
        assert sum(a.row_count or 0 for a in of_table) == before[table][0]
        assert f"{sum(int(a.checksum or '', 16) for a in of_table) % 2**64:016x}" == before[table][1]
        drop(clean_db, table, f"{days[0]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}")
        assert count(clean_db, table) == 0
        assert len(restore(clean_db, table, days[0], days[-1])) == DAYS
        assert checksum(clean_db, table) == before[table]
        for one, other in ((f"bcp.{table}", f"was_{table}"), (f"was_{table}", f"bcp.{table}")):
            # jsonb takes 1.0 and 1.00 for equal, but not their texts; the checksum is of the texts.
            assert clean_db.execute(f"select * from {one} except all select * from {other}").fetchall() == []  # type: ignore[arg-type]
        # The rows are there already, so none may come twice.
        assert restore(clean_db, table, days[0], days[-1]) == []
        assert checksum(clean_db, table) == before[table]
        clean_db.execute(f"drop table was_{table}")  # type: ignore[arg-type]
    assert {a.state for a in archives(clean_db)} == {"restored"}


def test_the_files_and_their_manifest(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2026-01-05")
    [made] = archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0])
    assert made.location == tmp_path.as_uri()
    folder = tmp_path / "table=tool_usage_logs" / "day=2026-01-05"
    name = f"20260105T000000Z-{made.archive_id}"
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"_{name}.manifest.json", f"{name}.parquet"])
    manifest = json.loads((folder / f"_{name}.manifest.json").read_text())
    assert manifest["checksum"] == made.checksum
    assert manifest["row_count"] == 3
    assert manifest["schema_version"].startswith("0")
    assert manifest["files"] == made.files
    assert manifest["bytes"] == (folder / f"{name}.parquet").stat().st_size
    file = pq.ParquetFile(folder / f"{name}.parquet")
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.schema_arrow.names == [c["name"] for c in made.columns]
    assert archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0]) == [], (
        "it is archived as it is"
    )


def test_what_is_due_is_archived(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    few(clean_db, "2020-01-06", table="error_logs")
    clean_db.execute(
        "insert into bcp.performance_metrics (timestamp, created_at, event_id, metric_name, metric_value)"
        " values ('2020-01-01', now(), gen_random_uuid(), 'm', 1)"
    )
    clean_db.execute("insert into bcp.tool_usage_logs (start_time, created_at, event_id, bcp_name, tool_name,"
                     " operation) values (now(), now(), gen_random_uuid(), 'b', 't', 'o')")  # fmt: skip
    wanted = [(w.table_name, w.range_start, w.range_end) for w in archives_wanted(clean_db)]
    assert wanted == [
        # Metrics want no archive.
        ("error_logs", time("2020-01-06"), time("2020-01-07")),
        ("tool_usage_logs", time("2020-01-05"), time("2020-01-06")),
    ]
    made = archive(clean_db, tmp_path)
    assert [(a.table_name, a.range_start, a.range_end) for a in made] == wanted
    assert archives_wanted(clean_db) == []
    assert archive(clean_db, tmp_path) == []


def test_a_chunk_that_changed_is_archived_anew(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    [first] = archive(clean_db, tmp_path)
    few(clean_db, "2020-01-05", 1)
    [second] = archive(clean_db, tmp_path)
    assert (first.row_count, second.row_count) == (3, 4)
    clean_db.execute("update bcp.tool_usage_logs set user_id = 'erased' where user_id = 'u2'")
    [third] = archive(clean_db, tmp_path)
    assert third.checksum != second.checksum
    [left] = archives(clean_db, states=("writing", "verified", "replaced"))
    assert left == third
    assert len(list(tmp_path.rglob("*.parquet"))) == len(list(tmp_path.rglob("*.json"))) == 1


def test_late_rows_of_a_dropped_chunk_get_an_archive_of_their_own(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05", 3)
    [first] = archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    few(clean_db, "2020-01-05", 2)
    [late] = archive(clean_db, tmp_path)
    assert late.row_count == 2
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    found = archives(clean_db)
    assert {(a.archive_id, a.state) for a in found} == {
        (first.archive_id, "dropped"),
        (late.archive_id, "dropped"),
    }
    assert len(restore(clean_db, "tool_usage_logs", time("2020-01-05"), time("2020-01-06"))) == 2
    assert count(clean_db) == 5
    assert archives_wanted(clean_db) == []
    # All of it, once it may go again: with what came late since, in one archive.
    few(clean_db, "2020-01-05", 1)
    clean_db.execute("update bcp.archives set keep_until = now() - interval '1 second'")
    [whole] = archive(clean_db, tmp_path)
    assert whole.row_count == 6
    assert [a.archive_id for a in archives(clean_db)] == [whole.archive_id]
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_restored_without_change_it_is_not_written_again(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05", 3)
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    restore(clean_db, "tool_usage_logs", time("2020-01-05"), time("2020-01-06"), keep_days=0)
    assert archives_wanted(clean_db) == []
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    assert count(clean_db) == 0


def test_beside_the_table(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    before = checksum(clean_db, "tool_usage_logs")
    archive_days(clean_db, tmp_path)
    drop(clean_db)
    try:
        for _ in range(2):
            assert len(restore(clean_db, "tool_usage_logs", *RANGE, into_schema="Old calls")) == 2
            [found] = clean_db.execute(
                "select row_count, checksum from bcp_internal.archive_checksum("
                "'\"Old calls\".tool_usage_logs', bcp_internal.archive_columns('tool_usage_logs'))"
            ).fetchall()
            assert found == before
        assert count(clean_db) == 0
        assert {a.state for a in archives(clean_db, table="tool_usage_logs")} == {"dropped"}
    finally:
        clean_db.execute('drop schema "Old calls" cascade')


def test_a_chunk_of_many_days_has_a_file_a_day(clean_db: Db, tmp_path: Path) -> None:
    clean_db.execute("update bcp.settings set value = '7 days' where name = 'chunk_interval'")
    clean_db.execute("select bcp.apply_policies()")
    for day in ("2020-01-02", "2020-01-03", "2020-01-05"):
        few(clean_db, day)
    before = checksum(clean_db, "tool_usage_logs")
    [made] = archive(clean_db, tmp_path)
    assert [(f["day"], f["row_count"]) for f in made.files] == [
        ("2020-01-02", 3), ("2020-01-03", 3), ("2020-01-05", 3)]  # fmt: skip
    drop(clean_db, start="2019-12-01", end="2020-02-01")
    # Chunks are shorter now: which of them has been archived could not be told any more.
    clean_db.execute("update bcp.settings set value = '1 day' where name = 'chunk_interval'")
    clean_db.execute("select bcp.apply_policies()")
    with pytest.raises(Exception, match="of a longer chunk than chunks are made now"):
        restore(clean_db, "tool_usage_logs", time("2020-01-02"), time("2020-01-03"))
    clean_db.execute("update bcp.settings set value = '14 days' where name = 'chunk_interval'")
    clean_db.execute("select bcp.apply_policies()")
    restore(clean_db, "tool_usage_logs", time("2020-01-02"), time("2020-01-03"), keep_days=0)
    assert checksum(clean_db, "tool_usage_logs") == before
    # A longer chunk holds it now, and gets an archive of its own, which takes the place of the first.
    [longer] = archive(clean_db, tmp_path)
    assert (longer.row_count, longer.checksum) == (made.row_count, made.checksum)
    assert archives(clean_db) == [longer]
    assert archives_wanted(clean_db) == []


def test_a_column_that_came_later(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    clean_db.execute(
        "alter table bcp.tool_usage_logs add column later text, add column seven integer default 7"
    )
    try:
        restore(clean_db, "tool_usage_logs", time("2020-01-05"), time("2020-01-06"), keep_days=0)
        assert clean_db.execute("select distinct later, seven from bcp.tool_usage_logs").fetchall() == [
            (None, 7)
        ]
        # The archive does not have all columns, so the chunk wants a new one.
        [made] = archive(clean_db, tmp_path)
        assert made.row_count == 3
        assert [c["name"] for c in made.columns][-2:] == ["later", "seven"]
    finally:
        clean_db.execute("alter table bcp.tool_usage_logs drop column later, drop column seven")


def test_compressed_chunks(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    before = checksum(clean_db, "tool_usage_logs")
    clean_db.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') as c")
    archive_days(clean_db, tmp_path)
    drop(clean_db)
    # Late rows have made the chunk anew, and it is compressed.
    few(clean_db, "2026-01-05", 2)
    late = checksum(clean_db, "tool_usage_logs")
    clean_db.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') as c")
    restore(clean_db, "tool_usage_logs", *RANGE)
    number, total = checksum(clean_db, "tool_usage_logs")
    assert number == before[0] + 2
    assert int(total, 16) == (int(before[1], 16) + int(late[1], 16)) % 2**64
