"""A query of the archive is somebody else's: it sees the archive and nothing besides, and changes nothing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics.archive import _query, archive, query
from bcp_analytics.cli._app import app
from bcp_analytics.errors import ArchiveError
from tests.archive.rows import few
from tests.archive.s3 import Faults, server

Db = psycopg.Connection[Any]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("word\nhunter2\n")
    return tmp_path / "archive"


@pytest.fixture
def files(clean_db: Db, where: Path) -> dict[Path, bytes]:
    few(clean_db, "2020-01-05")
    archive(clean_db, where, table="tool_usage_logs")
    return {path: path.read_bytes() for path in where.rglob("*.parquet")}


CSV = "(format csv, use_tmp_file false)"
READS = [
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_blob('/proc/self/environ')",
    "select * from read_csv('{secret}')",
    "select * from '{secret}'",
    "select * from read_csv('{archive}/../secret.csv')",
    "select * from glob('/etc/*')",
    "select * from tool_usage_logs, read_text('/etc/passwd')",
    "select * from query('select * from read_text(''/etc/passwd'')')",
    "select * from 'https://example.com/x.parquet'",
    "select * from 's3://other/x.parquet'",
    "attach '{archive}/../x.db' as x",
    "attach 'host=127.0.0.1' as p (type postgres)",
    "load httpfs",
    "install httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset enable_external_access",
    "create secret (type s3, key_id 'x', secret 'y')",
    "select * from archives",
    "select * from sql",
    "select 1; select * from read_text('/etc/passwd')",
]
WRITES = [
    "copy (select 1) to '{archive}/../out.csv'",
    "copy (select 1) to '{file}' {csv}",
    "with a as (copy (select 1) to '{file}' {csv}) select * from a",
    "with a as materialized (copy (select 1) to '{file}' {csv}) select 1 from a",
    "select * from (with a as (copy (select 1) to '{file}' {csv}) select * from a)",
    "select * from query('with a as (copy (select 1) to ''{file}'' {csv}) from a')",
    "select 1; copy (select 1) to '{file}' {csv}",
    "explain analyze copy (select 1) to '{file}' {csv}",
    "copy (pivot tool_usage_logs on user_id) to '{file}' {csv}",
    "export database '{archive}/../out'",
    "create table x as select 1",
    "pragma enable_profiling",
]


@pytest.mark.parametrize("sql", READS + WRITES)
def test_a_query_has_no_way_out(clean_db: Db, where: Path, files: dict[Path, bytes], sql: str) -> None:
    [file, *_] = files
    before = sorted(where.parent.iterdir())
    with pytest.raises(ArchiveError) as caught:
        query(clean_db, sql.format(archive=where, secret=where.parent / "secret.csv", file=file, csv=CSV))
    assert "hunter2" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert {path: path.read_bytes() for path in where.rglob("*.parquet")} == files
    assert sorted(where.parent.iterdir()) == before


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from tool_usage_logs where day = '2020-01-05'",
        "with a as (select * from tool_usage_logs) select 'COPY_TO_FILE' from a order by 1",
        "from tool_usage_logs limit 1;",
        "describe tool_usage_logs",
        "summarize tool_usage_logs",
        "show tables",
        "values (1)",
        "select user_id, list(tool_name order by start_time) over (partition by day) from tool_usage_logs",
        "pivot tool_usage_logs on user_id in ('u1') using count(*)",
    ],
)
def test_what_reads_the_archive_works(clean_db: Db, sql: str) -> None:
    assert query(clean_db, sql).num_rows >= 1


def test_a_manifest_that_names_files_elsewhere(clean_db: Db, files: dict[Path, bytes]) -> None:
    assert files
    for path in ("../secret.csv", "/etc/passwd", "a/../../secret.csv"):
        clean_db.execute(
            "update bcp.archives set files = jsonb_set(files, '{0,path}', %s::jsonb)", [json.dumps(path)]
        )
        with pytest.raises(ArchiveError, match="outside of its archive's location"):
            query(clean_db, "select 1")


def test_a_bucket_is_all_of_s3_that_it_sees(clean_db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults()
    with server(faults) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-hunter2-hunter2")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        few(clean_db, "2020-01-05")
        [made] = archive(clean_db, "s3://archives/of/bcp", table="tool_usage_logs")
        file = f"{made.location}/{made.files[0]['path']}"
        assert query(clean_db, "select count(*) as n from tool_usage_logs").to_pylist() == [{"n": 3}]
        assert query(
            None, "select count(*) as n from tool_usage_logs", location="s3://archives/of/bcp"
        ).to_pylist() == [{"n": 3}]
        faults.seen.clear()
        for sql in (
            "select * from read_text('s3://archives/of/other')",
            "select * from read_text('s3://elsewhere/x')",
            "select * from read_text('/etc/passwd')",
            f"copy (select 1) to '{file}' {CSV}",
            f"with a as (copy (select 1) to '{file}' {CSV}) select * from a",
        ):
            with pytest.raises(ArchiveError):
                query(clean_db, sql)
        assert {method for method, _ in faults.seen} <= {"GET", "HEAD"}
        assert not [path for _, path in faults.seen if "other" in path or "elsewhere" in path]
        # Where a write is not seen in the plan, the bucket is open for reading only.
        monkeypatch.setattr(_query, "_check", lambda *_: None)
        with pytest.raises(ArchiveError, match="changes nothing"):
            query(clean_db, f"copy (select 1) to '{file}' {CSV}")
        assert query(clean_db, "select count(*) as n from tool_usage_logs").to_pylist() == [{"n": 3}]


@pytest.mark.usefixtures("files")
def test_what_it_prints(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    sql = (
        "select chr(27) || '[2J' || chr(8238) || chr(8232) || chr(155) as \"a\x1b[2Jb\", '=1+1' as f, -1 as n"
    )

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["archive", *arguments])
        assert result.exit_code == code, result.output
        assert not set("\x1b\u202e\u2028\x9b") & set(result.output)
        return result.stdout

    assert r"\x1b[2J\u202e\u2028\x9b" in run("query", sql)
    [row] = json.loads(run("query", sql, "--format", "json"))
    assert row == {"a\x1b[2Jb": "\x1b[2J\u202e\u2028\x9b", "f": "=1+1", "n": -1}
    for more, formula in (((), "=1+1"), (("--spreadsheet",), "'=1+1")):
        said = run("query", sql, "--format", "csv", *more)
        assert list(csv.reader(io.StringIO(said))) == [
            [r"a\x1b[2Jb", "f", "n"],
            [r"\x1b[2J\u202e\u2028\x9b", formula, "-1"],
        ]
    run("query", 'select "\x1b[2J\u202e"', code=1)
    run("list", "--spreadsheet", code=2)
    assert "--spreadsheet > errors.csv" in run("query", "--help")
