"""`bcp-analytics erase-user`: what it says, and that the id is nowhere but on standard input."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics.cli._app import app
from tests.sql.events import ingest, usage

JANE = "Jane.Roe@example.com"


def run(dsn: str, *arguments: str, user_id: str = JANE, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["erase-user", "--dsn", dsn, *arguments], input=f"{user_id}\n")
    assert result.exit_code == code, result.output
    assert JANE not in result.output
    assert "#k1#" not in result.output
    return result.output


def test_it_says_what_it_would_do_and_does_it_when_told(dsn: str, clean_db: psycopg.Connection[Any]) -> None:
    ingest(clean_db, [usage(user_id=JANE), usage(user_id=JANE), usage(user_id="bob")])
    ingest(clean_db, [{"level": "error", "message": "m", "user_id": JANE}], "errors")
    said = run(dsn, code=1)
    assert "It would delete 2 calls and 1 error" in said
    assert clean_db.execute("select count(*) from bcp.tool_usage_logs").fetchall() == [(3,)]
    said = run(dsn, "--yes", "--note", "request 4711")
    [(receipt, note)] = clean_db.execute("select erasure_id::text, note from bcp.erasures").fetchall()
    assert note == "request 4711"
    assert f"Receipt {receipt}" in said
    assert "  tool_usage_logs: 2 deleted, 0 changed\n" in said
    assert "  error_logs: 1 deleted, 0 changed\n" in said
    assert "Complete" in said
    assert clean_db.execute("select user_id from bcp.tool_usage_logs").fetchall() == [("bob",)]


def test_it_says_how_many_archives_are_left(dsn: str, clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute(
        "insert into bcp.archives (table_name, range_start, range_end, state, location, files, columns,"
        " schema_version, row_count, checksum, digest, bytes, started_at, verified_at)"
        " values ('tool_usage_logs', '2020-01-01', '2020-01-02', 'dropped', 'file:///nowhere/at/all',"
        ' \'[{"path": "f", "day": "2020-01-01", "row_count": 1, "bytes": 1, "sha256": "0"}]\','
        ' \'[{"name": "start_time", "type": "timestamp with time zone"}]\','
        " '0011', 1, repeat('0', 16), repeat('0', 64), 1, now(), now())"
    )
    said = run(dsn, "--yes", code=1)
    assert "The database holds nothing of them any more. 1 archive may: run it again" in said
    assert "/nowhere/at/all" in said


def test_nobody_is_erased_without_an_id(dsn: str) -> None:
    assert "There is no id on standard input." in run(dsn, "--yes", user_id=" ", code=1)
    assert "is stored as [REDACTED]" in run(dsn, "--yes", user_id="[REDACTED]", code=1)


@pytest.mark.parametrize("command", ["erase-user", "spool erase"])
def test_an_id_on_the_command_line_is_told_where_it_goes(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), JANE], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"printf '%s' \"$ID\" | bcp-analytics {command}" in result.stderr


def test_stored_rows_are_masked_again(dsn: str, clean_db: psycopg.Connection[Any]) -> None:
    ingest(clean_db, [usage(user_id="bob", parameters={"badge": 7})])
    clean_db.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('badge', 'exact')")
    result = CliRunner().invoke(app, ["anonymize-history", "--dsn", dsn])
    assert result.exit_code == 0, result.output
    assert "1 rows masked" in result.output
    assert clean_db.execute("select parameters, user_id from bcp.tool_usage_logs").fetchall() == [
        ({"badge": "[REDACTED]"}, "bob")
    ]
    result = CliRunner().invoke(app, ["anonymize-history", "--dsn", dsn, "--forget-users"])
    assert result.exit_code == 1
    assert "p_forget_users needs p_older_than" in result.output
