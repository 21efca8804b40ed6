"""`up` and `down`: the embedded database from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "BCP_ANALYTICS_DSN"}
    return kept | {"BCP_ANALYTICS_DATA": str(tmp_path / "data")}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def up(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bcp_analytics", "up", *args],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield up
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def line(process: subprocess.Popen[str]) -> str:
    """The next line of its output; it comes when the database is ready."""
    assert process.stdout is not None
    text = process.stdout.readline().strip()
    if not text:
        pytest.fail(f"up ended: {process.communicate(timeout=60)[1]}")
    return text


def run(environment: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bcp_analytics", *args],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def end(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.embedded("it is the embedded database that is started")
@pytest.mark.usefixtures("target")
def test_up_serves_until_it_is_told_to_stop_and_keeps_the_data(
    start: Any, environment: dict[str, str]
) -> None:
    first = start()
    with psycopg.connect(line(first), autocommit=True) as conn:
        conn.execute("select bcp.log_tool_usage('files', 'read')")
    # The other commands find it without being told.
    assert run(environment, "query", "health", "--format", "csv").stdout.startswith("check_name,")
    assert "Up to date." in run(environment, "status").stdout

    second = run(environment, "up")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert f"pid {first.pid}" not in second.stderr  # the server's, which is not the command's

    code, stderr = end(first, signal.SIGINT)
    assert (code, stderr.splitlines()[-1]) == (0, "stopped")
    assert run(environment, "down").stdout.startswith("No embedded database runs on ")

    third = start("--port", "0")
    dsn, tcp = line(third), line(third)
    with psycopg.connect(dsn) as conn:
        assert conn.execute("select count(*) from bcp.tool_usage_logs").fetchall() == [(1,)]
    address, _, file = tcp.partition(" with the password in ")
    with open(file, encoding="utf-8") as secret:  # noqa: PTH123
        password = secret.read().strip()
    assert password not in tcp
    with psycopg.connect(address, password=password) as conn:
        assert conn.execute("select 1").fetchall() == [(1,)]

    assert run(environment, "down").stdout == "Stopped.\n"
    _, stderr = third.communicate(timeout=60)
    assert (third.returncode, stderr.splitlines()[-1]) == (0, "stopped")
