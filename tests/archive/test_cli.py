"""bcp-analytics archive and restore."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics.cli import _archive
from bcp_analytics.cli._app import app
from tests.archive.rows import count, few

if TYPE_CHECKING:
    from pathlib import Path

    Db = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def store(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", str(tmp_path / "archive"))
    monkeypatch.delenv("COLUMNS", raising=False)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout if code == 0 else result.stderr


def aggregated(conn: Db, *days: str) -> None:
    for day in days:
        few(conn, day)
    conn.execute("call bcp.run_cleanup()")
    assert count(conn) == 3 * len(days)


def test_out_and_back(clean_db: Db) -> None:
    aggregated(clean_db, "2020-01-05", "2020-01-06")
    assert run("archive", "list") == ""
    said = run("archive", "--cleanup").splitlines()
    assert [line.partition(",")[0] for line in said] == [
        "tool_usage_logs 2020-01-06 00:00 UTC: 3 rows",
        "tool_usage_logs 2020-01-05 00:00 UTC: 3 rows",
        "Done: 2 archives.",
    ]
    assert count(clean_db) == 0
    assert run("archive") == "Nothing to archive.\n"
    assert "dropped" in run("archive", "list")
    listed = json.loads(run("archive", "list", "--format", "json"))
    assert [(a["range_start"], a["row_count"]) for a in listed] == [
        ("2020-01-05T00:00:00+00:00", 3),
        ("2020-01-06T00:00:00+00:00", 3),
    ]
    found = list(
        csv.DictReader(io.StringIO(run("archive", "list", "--from", "2020-01-06", "--format", "csv")))
    )
    assert [row["state"] for row in found] == ["dropped"]
    sql = "select user_id, start_time, null as nothing from tool_usage_logs order by start_time limit 1"
    assert json.loads(run("archive", "query", sql, "--format", "json")) == [
        {"user_id": "u1", "start_time": "2020-01-05T00:01:00+00:00", "nothing": None}
    ]
    assert run("archive", "query", sql, "--format", "csv") == (
        "user_id,start_time,nothing\nu1,2020-01-05T00:01:00+00:00,\n"
    )
    assert "u1" in run("archive", "query", sql)
    before = clean_db.execute("select count(*) from bcp.alerts").fetchall()
    asked = ("--table", "tool_usage_logs", "--from", "2020-01-05", "--to", "2020-01-06")
    assert run("restore", *asked) == "Restored: 1 archive, 3 rows, in bcp.tool_usage_logs.\n"
    assert run("restore", *asked).startswith("Nothing to restore")
    assert run("restore", *asked, "--into-schema", "old").endswith("in old.tool_usage_logs.\n")
    clean_db.execute("drop schema old cascade")
    # It stays for a week, and answers are the same with it and without.
    clean_db.execute("call bcp.run_cleanup()")
    assert count(clean_db) == 3
    assert clean_db.execute("select count(*) from bcp.alerts").fetchall() == before
    answer = "select sum(call_count)::int from bcp.tool_usage_stats('2020-01-01', '2020-02-01', '1 day')"
    assert clean_db.execute(answer).fetchall() == [(6,)]
    clean_db.execute(
        "update bcp.archives set keep_until = now() - interval '1 hour' where keep_until is not null"
    )
    clean_db.execute("call bcp.run_cleanup()")
    assert count(clean_db) == 0
    assert clean_db.execute(answer).fetchall() == [(6,)]


def test_a_range_that_is_not_due(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    few(clean_db, "2020-01-06", table="error_logs")
    said = run("archive", "--table", "error_logs", "--from", "2020-01-01", "--to", "2020-02-01")
    assert said.startswith("error_logs 2020-01-06 00:00 UTC: 3 rows, ")
    assert said.endswith("Done: 1 archive.\n")


def test_a_query_does_without_a_database(
    clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(clean_db, "2020-01-05")
    few(clean_db, "2020-01-06")
    run("archive")
    # There is no manifest of what a run that died had not proven.
    [file, *_] = sorted((tmp_path / "archive").glob("*/*/*.parquet"))
    (file.parent / "20200105T000000Z-0.parquet").write_bytes(b"not proven")
    moved = tmp_path / "elsewhere"
    (tmp_path / "archive").rename(moved)
    monkeypatch.setenv("BCP_ANALYTICS_DSN", f"host={tmp_path} connect_timeout=1")
    monkeypatch.delenv("BCP_ARCHIVE_LOCATION")
    sql = "select day::text as day, count(*) as n from tool_usage_logs group by day order by day"
    both = [{"day": "2020-01-05", "n": 3}, {"day": "2020-01-06", "n": 3}]
    where = ("--location", str(moved))
    assert json.loads(run("archive", "query", sql, *where, "--format", "json")) == both
    assert json.loads(run("archive", *where, "query", sql, "--format", "json")) == both
    said = run("archive", "query", sql, code=1)
    assert "cannot be reached" in said
    assert "--location, or BCP_ARCHIVE_LOCATION" in said
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", str(moved))
    result = CliRunner().invoke(app, ["archive", "query", sql, "--format", "json"])
    assert json.loads(result.stdout) == both
    assert "manifests" in result.stderr
    manifest = next(moved.glob("*/*/_*.json"))
    manifest.write_text(manifest.read_text().replace("table=", "../table="))
    assert "outside of its archive's location" in run("archive", "query", sql, *where, code=1)
    manifest.write_text("[]")
    assert "no manifest" in run("archive", "query", sql, *where, code=1)


def test_options_before_the_verb_are_the_verbs(
    dsn: str, clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(clean_db, "2020-01-05")
    run("archive")
    monkeypatch.setenv("BCP_ANALYTICS_DSN", f"host={tmp_path} connect_timeout=1")
    for where, n in ((str(tmp_path / "archive"), 1), (str(tmp_path), 0)):
        for options in (
            ["--location", where, "--dsn", dsn, "list"],
            ["list", "--location", where, "--dsn", dsn],
        ):
            assert len(json.loads(run("archive", *options, "--format", "json"))) == n
    assert "does not go with query" in run("archive", "--table", "error_logs", "query", "select 1", code=2)


def test_what_can_go_wrong_is_told(clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few(clean_db, "2020-01-05")
    assert "goes with what is due" in run("archive", "--watch", "--table", "error_logs", code=2)
    assert "Error: table 'users' has no chunks" in run("archive", "--table", "users", code=1)
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file" in run("archive", "--location", str(tmp_path / "file"), code=1)
    run("archive")
    error = run("archive", "query", "select * from error_logs", code=1)
    assert "DuckDB refused the query" in error
    assert "there are archives of: tool_usage_logs" in error
    monkeypatch.delenv("BCP_ARCHIVE_LOCATION")
    assert "set BCP_ARCHIVE_LOCATION" in run("archive", code=1)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'bcp_analytics[archive]'" in run("archive", code=1)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_watches(clean_db: Db, stop: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bcp_analytics", "archive", "--watch", "--poll", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "Nothing to archive.\n"
        few(clean_db, "2020-01-05")
        # Notify as cleanup does, again and again, since the watcher may not listen yet.
        said = b""
        while b"Done: 1 archive.\n" not in said:
            clean_db.execute("notify bcp_archive")
            if select.select([process.stdout], [], [], 0.2)[0]:
                said += os.read(process.stdout.fileno(), 10_000)
            assert process.poll() is None
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "stopped\n"


def test_cleanup_runs_where_nothing_is_to_be_archived(clean_db: Db) -> None:
    aggregated(clean_db, "2020-01-05")
    run("archive")
    assert run("archive", "--cleanup") == "Nothing to archive.\n"
    assert count(clean_db) == 0


def test_watch_is_not_asked_by_its_own_cleanup(
    dsn: str, clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cleanup keeps what was restored, and asks for archives of what it kept.
    aggregated(clean_db, "2020-01-05")
    run("archive", "--cleanup")
    run("restore", "--table", "tool_usage_logs", "--from", "2020-01-05", "--to", "2020-01-06")
    once = _archive._archive_once
    asked = []

    def twice(*args: Any, check_content: bool, **options: Any) -> None:
        once(*args, check_content=check_content, **options)
        asked.append(check_content)
        if len(asked) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(_archive, "_archive_once", twice)
    monkeypatch.setattr(_archive.signal, "signal", lambda *_: None)
    _archive._watch(dsn, str(tmp_path / "archive"), 0.01, cleanup=True)
    # It reads the content only where somebody else asks.
    assert asked == [True, False]
    assert count(clean_db) == 3


def test_help_has_examples() -> None:
    for command in (["archive"], ["archive", "list"], ["archive", "query"], ["restore"]):
        text = run(*command, "--help")
        assert f"bcp-analytics {' '.join(command)} " in text.split("Usage:")[1].split("\n", 1)[1]
