"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from bcp_analytics import __version__, embedded
from bcp_analytics.cli._app import app
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.queries._questions import QUESTIONS
from tests.python.cli_runs import fill, forget_the_user, ok, one_line_error, process, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_the_user(monkeypatch, tmp_path)


@pytest.fixture
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three calls and an error, by a clock of the test's own; the environment names the database."""
    dsn = fill(dsn)
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    return dsn


def test_version() -> None:
    assert ok("--version") == f"bcp-analytics {__version__}\n"


def test_every_command_has_help_with_an_example() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    assert set(names) == {
        "anonymize-history",
        "cleanup",
        "compose",
        "restore",
        "erase-user",
        "explain",
        "migrate",
        "status",
        "rollback",
        "up",
        "down",
        "demo",
        "notify",
        "proxy",
        "refresh",
        "query",
        "report",
        "serve",
        "mcp",
    }
    for name in names:
        text = ok(name, "--help")
        assert f"bcp-analytics {name}" in text.split("Usage:")[1].split("\n", 1)[1], name


def test_the_list_of_questions_says_what_each_takes() -> None:
    text = ok("query", "--list")
    for name in QUESTIONS:
        assert f"{name}\n" in text
    assert "--since --until --percentiles" in text


def test_no_database_says_how_to_get_one() -> None:
    line = one_line_error(run("query", "health"))
    for part in ("BCP_ANALYTICS_DSN", "--dsn", "bcp-analytics up"):
        assert part in line


def test_the_database_is_the_option_else_the_environment_else_the_running_embedded_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bcp_analytics.cli._support import find_dsn  # noqa: PLC0415

    class Running:
        dsn = "from the embedded one"

    with pytest.raises(BcpAnalyticsError):
        find_dsn(None)
    monkeypatch.setattr(embedded, "status", Running)
    assert find_dsn(None) == "from the embedded one"
    monkeypatch.setenv("BCP_ANALYTICS_DSN", "from the environment")
    assert find_dsn(None) == "from the environment"
    assert find_dsn("from the option") == "from the option"
    assert find_dsn("") == ""  # libpq's own environment
    monkeypatch.setenv("BCP_ANALYTICS_DSN", "")
    assert find_dsn(None) == "from the embedded one"


def test_what_reads_may_have_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from bcp_analytics.cli._support import find_dsn  # noqa: PLC0415

    monkeypatch.setenv("BCP_ANALYTICS_DSN", "primary")
    assert find_dsn(None, reads=True) == "primary"
    monkeypatch.setenv("BCP_ANALYTICS_READ_DSN", "standby")
    assert find_dsn(None, reads=True) == "standby"
    assert find_dsn(None) == "primary"
    assert find_dsn("from the option", reads=True) == "from the option"


@pytest.mark.parametrize(
    ("dsn", "command"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["migrate"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["status"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["rollback"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["refresh"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["--debug", "query", "health"]),
        ("host=127.0.0.1 port=1 user=u password=hunter2", ["query", "health"]),
        ("host=127.0.0.1 port='1 password=hunter2", ["query", "health"]),
        ("host=127.0.0.1 port='1 password=hunter2", ["--debug", "status"]),
        ("postgresql://u:hunter2@[::1", ["--debug", "query", "health"]),
    ],
)
def test_no_error_shows_a_password(dsn: str, command: list[str]) -> None:
    result = process(*command, "--dsn", dsn)
    assert result.returncode == 1
    assert "hunter2" not in result.stdout + result.stderr
    assert "The database cannot be reached" in result.stderr or "string cannot be read" in result.stderr


def test_a_database_without_the_store_says_to_migrate(blank_db: str) -> None:
    assert "bcp-analytics migrate" in one_line_error(run("query", "health", "--dsn", blank_db))
    since = run("query", "error_analysis", "--since", "24h", "--dsn", blank_db)
    assert "bcp-analytics migrate" in one_line_error(since)
    assert "bcp-analytics migrate" in one_line_error(run("refresh", "--dsn", blank_db))


def test_migrate_status_and_rollback(blank_db: str) -> None:
    assert "Not up to date: run bcp-analytics migrate." in ok("status", "--dsn", blank_db)
    first = run("migrate", "--dsn", blank_db)
    assert first.exit_code == 0
    assert "migrations applied, sql/ loaded." in first.stdout
    assert "applying migration 0001" in first.stderr
    assert ok("migrate", "--dsn", blank_db) == "Up to date, nothing to do.\n"
    assert "Up to date." in ok("status", "--dsn", blank_db)
    status = json.loads(ok("status", "--format", "json", "--dsn", blank_db))
    assert status["current"] is True
    assert status["pending"] == []
    assert datetime.fromisoformat(status["applied"][0]["applied_at"])

    refused = run("rollback", "--all", "--dsn", blank_db)
    assert refused.exit_code == 1
    assert "lost: table bcp.tool_usage_logs" in refused.stderr
    assert "--yes" in refused.stderr.splitlines()[-1]
    assert "Up to date." in ok("status", "--dsn", blank_db)

    with psycopg.connect(blank_db) as conn:
        conn.execute("update bcp_migrations.loaded_sql set package_version = '9.1'")
        conn.execute(
            "insert into bcp_migrations._yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " values ('9', '9000_newer', now())"
        )
    newer = ok("status", "--dsn", blank_db)
    assert "9000_newer  not known to this version" in newer
    assert newer.endswith(f"Newer than version {__version__}: install 9.1, or a later one.\n")
    assert "Install 9.1" in run("migrate", "--dsn", blank_db).stderr
    with psycopg.connect(blank_db) as conn:
        conn.execute("delete from bcp_migrations._yoyo_migration where migration_hash = '9'")

    assert "taken back" in ok("rollback", "--all", "--yes", "--dsn", blank_db)
    assert ok("rollback", "--dsn", blank_db) == "No migration is applied, nothing to take back.\n"


def test_refresh(store: str) -> None:
    assert ok("refresh") == "The aggregates are up to date.\n"
    with psycopg.connect(store) as conn:
        assert conn.execute("select sum(calls) from bcp.tool_usage_1h").fetchall() == [(3,)]


def test_a_role_that_may_not_is_told_whom_to_ask(store: str) -> None:
    with psycopg.connect(store, autocommit=True) as conn:
        conn.execute("create role bcp_test_stranger login")
    try:
        stranger = psycopg.conninfo.make_conninfo(store, options="-c role=bcp_test_stranger")
        assert "bcp_reader" in one_line_error(run("query", "tool_usage_stats", "--dsn", stranger))
    finally:
        with psycopg.connect(store, autocommit=True) as conn:
            conn.execute("drop role bcp_test_stranger")


def test_debug_shows_the_traceback() -> None:
    shown = process("--debug", "query", "health")
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert "Traceback" in process("query", "health", env=os.environ | {"BCP_ANALYTICS_DEBUG": "1"}).stderr
    assert "Traceback" not in process("query", "health").stderr


def test_down_with_nothing_running() -> None:
    assert ok("down").startswith("No embedded database runs on ")
