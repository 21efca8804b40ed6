"""Runs commands: in this process, which is quick, or in one of their own; and a store for them to ask."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from typer.testing import CliRunner

from bcp_analytics import ingest_tool_usage, log_error
from bcp_analytics.cli._app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from typer.testing import Result

    from tests.targets import Target

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def forget_the_user(monkeypatch: pytest.MonkeyPatch, folder: Any) -> None:
    """Have no variable of whoever runs the tests decide what a command does."""
    for name in (
        "BCP_ANALYTICS_DSN",
        "BCP_ANALYTICS_READ_DSN",
        "BCP_ANALYTICS_DEBUG",
        "COLUMNS",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BCP_ANALYTICS_DATA", str(folder / "data"))


def fill(dsn: str) -> str:
    """Send three calls and an error; return where that is, with a clock of the tests' own."""
    # Embedded and native alike take settings of a session in the connection string.
    dsn = psycopg.conninfo.make_conninfo(dsn, options=f"-c bcp.now={NOW.isoformat()}")
    with psycopg.connect(dsn) as conn:
        events = [
            {
                "bcp_name": "files",
                "tool_name": tool,
                "start_time": NOW - timedelta(hours=hours),
                "duration_ms": 100 * hours,
                "success": tool == "read",
            }
            for tool, hours in (("read", 1), ("read", 30), ("write", 1))
        ]
        ingest_tool_usage(conn, events)
        log_error(conn, "error", 'it broke, "badly"', timestamp=NOW - timedelta(hours=2))
    return dsn


@contextmanager
def filled(server: Target) -> Iterator[str]:
    """Give a filled store, for all tests of a module that write nothing."""
    with server.clean() as dsn:
        yield fill(dsn)


def run(*args: str) -> Result:
    result = CliRunner().invoke(app, list(args))
    assert "Traceback" not in result.output
    return result


def ok(*args: str) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def process(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bcp_analytics", *args],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def one_line_error(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def usage_error(*args: str) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())
