"""How rows lie in the files, which decides what they weigh and how fast a question about one tool is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from bcp_analytics.archive import _columns, _export, _files, archive, query, restore
from tests.archive.rows import checksum, drop, few, time

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg
    import pytest

    Db = psycopg.Connection[Any]

# Bytes decide: capitals come before, and letters with marks after, all others.
TOOLS = (("mail", "send"), ("Mail", "send"), ("\u00e9tude", "a"), ("mail", "Search"), ("a", "z"))
RANGE = (time("2026-01-05"), time("2026-01-07"))


def calls(conn: Db, number: int = 40) -> None:
    for n, (bundle, tool) in enumerate(TOOLS):
        conn.execute(
            "insert into bcp.tool_usage_logs (start_time, end_time, created_at, event_id, bcp_name,"
            " tool_name, operation) select t, t + '20 ms', now(), gen_random_uuid(), %s, %s, 'call'"
            " from generate_series(1, %s) i, lateral (select timestamptz '2026-01-05Z'"
            " + (i * 37 %% 41 * %s + %s) * interval '61 seconds') as at (t)",
            [bundle, tool, number, len(TOOLS), n],
        )


def the_file(folder: Path) -> pq.ParquetFile:
    [path] = folder.rglob("*.parquet")
    return pq.ParquetFile(path)


def test_rows_lie_by_bundle_tool_and_time(clean_db: Db, tmp_path: Path) -> None:
    calls(clean_db)
    archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0])
    file = the_file(tmp_path)
    found = [
        (row["bcp_name"].encode(), row["tool_name"].encode(), row["start_time"])
        for row in file.read(["bcp_name", "tool_name", "start_time"]).to_pylist()
    ]
    assert len(found) == 200
    assert found == sorted(found)
    order = ["bcp_name", "tool_name", "start_time"]
    names = file.schema_arrow.names
    assert [names[one.column_index] for one in file.metadata.row_group(0).sorting_columns] == order


def test_rows_of_a_table_without_tools_lie_by_time(clean_db: Db, tmp_path: Path) -> None:
    clean_db.execute(
        "insert into bcp.performance_metrics (timestamp, created_at, event_id, metric_name, metric_value)"
        " select timestamptz '2026-01-05Z' + (n * 7 %% 40) * interval '1 minute', now(), gen_random_uuid(),"
        " 'm' || n, n from generate_series(1, 40) n", []
    )  # fmt: skip
    archive(clean_db, tmp_path, table="performance_metrics", since=RANGE[0])
    found = the_file(tmp_path).read(["timestamp"])["timestamp"].to_pylist()
    assert len(found) == 40
    assert found == sorted(found)


def test_a_file_has_few_row_groups(clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _files._GROUP_ROWS >= 128 * 1024
    # Blocks of text of a few rows each, as large chunks have them, and groups of a hundred.
    monkeypatch.setattr(_export, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(_files, "_GROUP_ROWS", 100)
    calls(clean_db)
    [made] = archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0])
    metadata = the_file(tmp_path).metadata
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert len(groups) == 2
    assert 100 <= groups[0] < 140, "a group ends with the block that fills it"
    assert sum(groups) == made.row_count == 200
    # What is long goes by its bytes: no group may take more memory than that.
    monkeypatch.setattr(_files, "_GROUP_BYTES", 8192)
    clean_db.execute("update bcp.tool_usage_logs set user_id = repeat('x', 1000)")
    archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0])
    assert the_file(tmp_path).metadata.num_row_groups > 20


def test_what_seldom_repeats_is_no_dictionary(clean_db: Db, tmp_path: Path) -> None:
    calls(clean_db)
    archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0])
    file = the_file(tmp_path)
    group = file.metadata.row_group(0)
    used = {group.column(n).path_in_schema: set(group.column(n).encodings) for n in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in used["start_time"]
    assert "DELTA_BYTE_ARRAY" in used["event_id"]
    assert not any("DICTIONARY" in one for one in used["duration_ms"])
    assert "RLE_DICTIONARY" in used["tool_name"]
    assert file.schema_arrow.field("lat_idx").type == pa.int32(), "as in Iceberg, which has no smaller one"


def test_files_of_the_older_layout_are_read_as_before(
    clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls(clean_db)
    few(clean_db, "2026-01-06")
    before = checksum(clean_db, "tool_usage_logs")
    with monkeypatch.context() as older:
        older.setattr(_columns, "_SORTED_BY", ())
        older.setattr(_columns, "_ENCODINGS", {})
        older.setitem(_columns._TYPES, "smallint", pa.int16())
        archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0], until=time("2026-01-06"))
    archive(clean_db, tmp_path, table="tool_usage_logs", since=RANGE[0], until=RANGE[1])
    kinds = {pq.read_schema(path).field("lat_idx").type for path in tmp_path.rglob("*.parquet")}
    assert kinds == {pa.int16(), pa.int32()}
    found = query(clean_db, "select count(*) as n, count(lat_idx) as timed from tool_usage_logs")
    assert found.to_pylist() == [{"n": 203, "timed": 203}]
    drop(clean_db)
    restore(clean_db, "tool_usage_logs", *RANGE)
    assert checksum(clean_db, "tool_usage_logs") == before
