"""The lake has what the archive has: a file before its chunk is dropped, none that is gone, nobody erased."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from psycopg import sql

from bcp_analytics import cleanup_old_data, erase_user
from bcp_analytics.archive import _steps, archive, archives, erase, forget_lake, rewrite
from bcp_analytics.errors import ArchiveError, BcpAnalyticsError
from tests.archive.rows import TABLES, checksum, count, drop, few, fill, time
from tests.archive.test_erase_runs import JANE, JOHN, insert
from tests.archive.test_kills import DAYS, ids_of_table, program, wait_for_the_locks
from tests.security.roles import logged_in_as

pytest.importorskip("pyiceberg", reason="needs the extra iceberg")
pytest.importorskip("sqlalchemy", reason="needs the extra iceberg")
from bcp_analytics.archive import _iceberg

if TYPE_CHECKING:
    import psycopg
    from pyiceberg.table import Table

    Db = psycopg.Connection[Any]

RUNS = os.environ.get("BCP_FAULT_LAKE_RUNS")
# pyiceberg leaves the closing of files to the collector of garbage.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def table_of(conn: Db, name: str = "tool_usage_logs") -> Table:
    with _iceberg.opened(conn, "store") as catalog:
        found = catalog.table(name)
    assert found is not None
    return found


def rows_of(conn: Db, name: str = "tool_usage_logs") -> list[dict[str, Any]]:
    return table_of(conn, name).scan().to_arrow().to_pylist()


def paths_of(conn: Db) -> set[str]:
    return {file.file_path.rpartition("/")[2] for file in _iceberg.files(table_of(conn))}


def on_disk(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.parquet")}


def everything(folder: Path) -> str:
    """All that is written: rows, and the metadata as its readers decode it."""
    import fastavro  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    said: list[Any] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            said += pq.read_table(path, partitioning=None).to_pylist()
        elif path.suffix == ".avro":
            with path.open("rb") as file:
                said += list(fastavro.reader(file))
        elif path.is_file():
            said.append(path.read_text())
    return repr(said)


def test_every_type_and_value_is_in_the_lake(clean_db: Db, tmp_path: Path) -> None:
    fill(clean_db)
    for name in TABLES:
        archive(clean_db, tmp_path, table=name, since=time("2026-01-05"), iceberg="store")
        there = table_of(clean_db, name)
        found = there.scan().to_arrow()
        assert found.num_rows == count(clean_db, name)
        total = sum(_tables_checksum(batch) for batch in _as_archived(found).to_batches())
        assert f"{total % 2**64:016x}" == checksum(clean_db, name)[1], "to the last bit"
        columns = archives(clean_db, table=name)[0].columns
        assert [field.name for field in there.schema().fields] == [c["name"] for c in columns]
        [partition] = there.spec().fields
        assert (partition.name, str(partition.transform)) == ("day", "day")
        order = [there.schema().find_field(one.source_id).name for one in there.sort_order().fields]
        assert order[-1] in {"start_time", "timestamp"}
        assert order[:-1] == (
            ["bcp_name", "tool_name"] if {"bcp_name", "tool_name"} <= set(found.column_names) else []
        )
    fields = {field.name: str(field.field_type) for field in table_of(clean_db).schema().fields}
    assert [fields[n] for n in ("start_time", "lat_idx", "request_bytes", "duration_ms", "parameters")] == [
        "timestamptz", "int", "long", "double", "string"]  # fmt: skip


def _as_archived(found: pa.Table) -> pa.Table:
    # pyiceberg gives text as large_string.
    return found.cast(
        pa.schema(
            [(f.name, pa.string() if pa.types.is_large_string(f.type) else f.type) for f in found.schema]
        )
    )


def _tables_checksum(batch: pa.RecordBatch) -> int:
    from bcp_analytics.archive import _columns  # noqa: PLC0415

    return _columns.checksum(batch)


def test_what_was_archived_before_is_published_too(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    few(clean_db, "2020-01-06")
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    assert archive(clean_db, tmp_path, iceberg="store") == []
    assert len(rows_of(clean_db)) == 6
    assert len(table_of(clean_db).snapshots()) == 1, "all in one"
    # From now on without being told.
    few(clean_db, "2020-01-07")
    archive(clean_db, tmp_path)
    assert len(rows_of(clean_db)) == 9


def test_a_file_is_there_before_its_chunk_may_go(
    clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(clean_db, "2020-01-05")
    seen: list[tuple[str, int, int]] = []

    def look(step: str) -> None:
        if step in {"manifest", "published", "marked"}:
            cleanup_old_data(clean_db)
            with _iceberg.opened(clean_db, "store") as catalog:
                there = catalog.table("tool_usage_logs")
            seen.append((step, count(clean_db), there.scan().count() if there else 0))

    clean_db.execute("call bcp.run_cleanup()")
    monkeypatch.setattr(_steps, "reached", look)
    archive(clean_db, tmp_path, iceberg="store")
    assert seen == [("manifest", 3, 0), ("published", 3, 3), ("marked", 0, 3)]


def test_a_chunk_that_changed_takes_the_place_of_what_it_was(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path, iceberg="store")
    few(clean_db, "2020-01-05", 1)
    archive(clean_db, tmp_path)
    assert len(rows_of(clean_db)) == 4
    assert paths_of(clean_db) == on_disk(tmp_path)
    # Late rows of a chunk that was dropped have an archive of their own.
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    few(clean_db, "2020-01-05", 2)
    archive(clean_db, tmp_path)
    assert len(rows_of(clean_db)) == 6
    assert paths_of(clean_db) == on_disk(tmp_path)


def test_an_erased_person_is_in_no_snapshot_and_no_file(clean_db: Db, tmp_path: Path) -> None:
    for day in ("2020-01-05", "2020-01-06"):
        insert(clean_db, day, JANE, "s-jane", 1)
        insert(clean_db, day, JOHN, "s-john", 3, f'{{"to": "{JANE}"}}')
    insert(clean_db, "2020-01-07", JANE, "s-jane", 1)
    archive(clean_db, tmp_path, iceberg="store")
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    drop(clean_db, start="2020-01-07", end="2020-01-08")
    table_of(clean_db).manage_snapshots().create_tag(
        table_of(clean_db).current_snapshot().snapshot_id, "kept-by-somebody"
    ).commit()
    old = paths_of(clean_db)
    assert JANE in everything(tmp_path)
    erase_user(clean_db, JANE)
    erase(clean_db)
    there = table_of(clean_db)
    assert sorted(row["user_id"] for row in rows_of(clean_db)) == [JOHN, JOHN]
    assert len(there.snapshots()) == 1
    assert set(there.refs()) == {"main"}
    said = everything(tmp_path)
    assert JANE not in said
    assert JANE[:12] not in said, "nor a bound that was cut"
    assert paths_of(clean_db) == on_disk(tmp_path)
    assert not old & on_disk(tmp_path)
    metadata = tmp_path / "_iceberg" / "tool_usage_logs" / "metadata"
    written = {f"file://{path}" for path in metadata.iterdir()}
    assert written == _iceberg.reachable(there)
    assert clean_db.execute("select completed_at is not null from bcp.erasures").fetchall() == [(True,)]


def test_no_bound_of_text_is_in_the_metadata(clean_db: Db, tmp_path: Path) -> None:
    insert(clean_db, "2020-01-05", JANE, "s-jane", 1)
    archive(clean_db, tmp_path, iceberg="store")
    [file] = _iceberg.files(table_of(clean_db))
    names = {field.field_id: field.name for field in table_of(clean_db).schema().fields}
    assert {names[n] for n in file.lower_bounds} == {"start_time", "bcp_name", "tool_name"}


def test_a_column_of_later_is_taken_in(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path, iceberg="store")
    clean_db.execute("alter table bcp.error_logs add column later text")
    clean_db.execute("alter table bcp.tool_usage_logs add column later bigint")
    few(clean_db, "2020-01-06")
    clean_db.execute("update bcp.tool_usage_logs set later = 7 where start_time >= '2020-01-06Z'")
    archive(clean_db, tmp_path)
    assert Counter(row["later"] for row in rows_of(clean_db)) == {None: 3, 7: 3}


def test_a_store_without_a_lake_has_none_of_it(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path)
    assert not (tmp_path / "_iceberg").exists()
    archive(clean_db, tmp_path, iceberg="store")
    forget_lake(clean_db)
    few(clean_db, "2020-01-06")
    archive(clean_db, tmp_path)
    assert clean_db.execute("select count(*) from bcp_lake.iceberg_tables").fetchall() == [(0,)]
    assert [path for path in (tmp_path / "_iceberg").rglob("*") if path.is_file()] == []
    assert len(on_disk(tmp_path)) == 2
    archive(clean_db, tmp_path, iceberg="store")
    assert len(rows_of(clean_db)) == 6


def test_only_one_lake_and_only_of_a_catalogue(clean_db: Db, tmp_path: Path) -> None:
    for bad in ("https://user:secret@host/", "sqlite:///x", "", "http://host/?token=secret"):
        with pytest.raises(BcpAnalyticsError, match="neither store nor") as caught:
            archive(clean_db, tmp_path, iceberg=bad)
        assert "secret" not in str(caught.value)
    archive(clean_db, tmp_path, iceberg="store")
    with pytest.raises(BcpAnalyticsError, match="in another catalogue already: store"):
        archive(clean_db, tmp_path, iceberg="http://127.0.0.1:1/")


def test_a_catalogue_that_is_gone_stops_what_would_remove_files(clean_db: Db, tmp_path: Path) -> None:
    insert(clean_db, "2020-01-05", JANE, "s", 1)
    insert(clean_db, "2020-01-05", JOHN, "s", 1)
    [made] = archive(clean_db, tmp_path, iceberg="store")
    clean_db.execute("update bcp_internal.archive_lake set catalog = 'http://127.0.0.1:1/'")
    with pytest.raises(ArchiveError, match="The lake could not be changed"):
        rewrite(clean_db, made.archive_id, lambda: clean_db.execute("delete from pg_temp.bcp_restored"))
    clean_db.execute("update bcp_internal.archive_lake set catalog = 'store'")
    assert len(rows_of(clean_db)) == 2
    assert paths_of(clean_db) == on_disk(tmp_path)


def test_who_may_do_what_with_the_catalogue(clean_db: Db) -> None:
    ask = "select count(*) from bcp_lake.iceberg_tables"
    with logged_in_as(clean_db, "bcp_reader"):
        assert clean_db.execute(ask).fetchall() == [(0,)]  # type: ignore[arg-type]
        for forbidden in (
            "delete from bcp_lake.iceberg_tables",
            "create table bcp_lake.x ()",
            "select bcp_internal.use_lake('store')",
        ):
            with pytest.raises(psycopg_errors(), match="permission denied"):
                clean_db.execute(sql.SQL(forbidden))
    with logged_in_as(clean_db, "bcp_admin"):
        clean_db.execute("delete from bcp_lake.iceberg_tables")
        with pytest.raises(psycopg_errors(), match="permission denied"):
            clean_db.execute("create table bcp_lake.x ()")
    with logged_in_as(clean_db, "bcp_writer"), pytest.raises(psycopg_errors(), match="permission denied"):
        clean_db.execute(sql.SQL(ask))


def psycopg_errors() -> type[Exception]:
    from psycopg.errors import InsufficientPrivilege  # noqa: PLC0415

    return InsufficientPrivilege


ORDERS = (
    ("archive", "manifest"), ("archive", "swapped"), ("archive", "expired"), ("archive", "swept"),
    ("archive", "published"), ("archive", "marked"), ("archives", "published"), ("archive", "removed"),
    ("rewrite", "swapped"), ("rewrite", "expired"), ("rewrite", "swept"), ("rewrite", "published"),
    ("rewrite", "marked"), ("rewrite", "removed"), ("archives", "swapped"), ("archive", ""), ("rewrite", ""),
)  # fmt: skip


def check(conn: Db, folder: Path, everything: set[str], *, repaired: bool) -> None:
    """What is in the lake can be read; no row is twice in it, and none that was dropped is missing."""
    found = Counter(row["event_id"] for row in rows_of(conn))
    assert set(found.values()) <= {1}, "twice"
    assert set(found) | set(ids_of_table(conn)) == everything, "in neither"
    if repaired:
        proven = {file["path"].rpartition("/")[2] for one in archives(conn) for file in one.files}
        assert paths_of(conn) == proven == on_disk(folder)


@pytest.mark.timeout(3600)
def test_kills(dsn: str, clean_db: Db, tmp_path: Path, target: str) -> None:
    runs = int(RUNS or ("17" if target == "native" else "6"))
    chance = random.Random(runs)  # noqa: S311
    killed: Counter[str] = Counter()
    for day in DAYS:
        few(clean_db, day, 4)
    archive(clean_db, tmp_path, iceberg="store")
    with program(dsn, tmp_path) as run:
        for number in range(runs):
            do, step = ORDERS[number * 5 % len(ORDERS)]
            if do.startswith("archive"):
                # Late rows: half of the time of a chunk that is still there, and has to be replaced.
                if number % 2:
                    run("archive")
                for day in DAYS:
                    few(clean_db, day, chance.randrange(1, 4))
            else:
                run("archive")
                if number % 2:
                    clean_db.execute("call bcp.run_cleanup()")
            rows = {row["event_id"] for row in rows_of(clean_db)} | set(ids_of_table(clean_db))
            if step:
                signalled = run(do, step, times=chance.randrange(1, 3))
            else:
                signalled = run(do, after=chance.uniform(0.05, 1.2))
            killed[f"{do} {step or 'any time'}"] += bool(signalled)
            wait_for_the_locks(clean_db)
            check(clean_db, tmp_path, rows, repaired=False)
            clean_db.execute("call bcp.run_cleanup()")
            check(clean_db, tmp_path, rows, repaired=False)
            run("archive")
            check(clean_db, tmp_path, rows, repaired=True)
    sys.stdout.write(json.dumps({"runs": runs, "killed": dict(sorted(killed.items()))}) + "\n")
    assert killed.total() >= runs * 2 // 3
