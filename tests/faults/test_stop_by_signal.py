"""SIGTERM, as every container stop sends it: each call that was answered is in the database afterwards."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

APP = "tests.faults.served"
CALLS = 10
ASK = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}'
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}

# The end that each has without a collector, too.
SERVERS = {
    "uvicorn": (["-m", "uvicorn", f"{APP}:asgi", "--uds", "SOCKET"], -signal.SIGTERM),
    "uvicorn, 2 workers": (["-m", "uvicorn", f"{APP}:asgi", "--uds", "SOCKET", "--workers", "2"], 0),
    "gunicorn": (["-m", "gunicorn", f"{APP}:wsgi", "--bind", "unix:SOCKET", "--workers", "2"], 0),
    "gunicorn, asgi": (["-m", "gunicorn", f"{APP}:asgi", "--bind", "unix:SOCKET", "-k", "asgi"], 0),
    "hypercorn": (["-m", "hypercorn", f"{APP}:asgi", "--bind", "unix:SOCKET"], 0),
    "fastmcp": (["-m", APP, "fastmcp", "SOCKET"], -signal.SIGTERM),
    "asyncio": (["-m", APP, "asyncio"], -signal.SIGTERM),
    "handler of its own": (["-m", APP, "chained"], -signal.SIGTERM),
    "lifespan": (["-m", APP, "lifespan"], 0),
    "within record()": (["-m", APP, "busy"], -signal.SIGTERM),
}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def ask(path: Path, process: subprocess.Popen[bytes], body: bytes = ASK) -> None:
    """Make a call, once there is somebody to answer."""
    until = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the server ended by itself"
        assert time.monotonic() < until, "the server does not answer"
        connection = _Connection(str(path))
        try:
            connection.request("POST", "/mcp", body, HEADERS)
            answer = connection.getresponse()
            said = answer.read()
        except OSError:
            time.sleep(0.02)
            continue
        finally:
            connection.close()
        assert answer.status == 200, said
        return


@pytest.mark.parametrize("name", SERVERS)
def test_no_call_is_lost(name: str, dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path) -> None:
    arguments, end = SERVERS[name]
    if arguments[1] != APP and importlib.util.find_spec(arguments[1]) is None:
        pytest.skip(f"{arguments[1]} is not installed")
    path = tmp_path / "http"
    serves = "SOCKET" in " ".join(arguments)
    process = subprocess.Popen(
        [sys.executable, *(argument.replace("SOCKET", str(path)) for argument in arguments)],
        env=os.environ | {"RECORD_TO": dsn, "SPOOL": str(tmp_path / "spool")},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process:
        try:
            answered = 0
            while answered < CALLS:
                if serves:
                    ask(path, process)
                    answered += 1
                else:
                    answered += len(process.stdout.read(CALLS - answered))
            process.send_signal(signal.SIGTERM)
            said = process.stdout.read()
            # Servers write a log there.
            answered += 0 if serves else len(said)
            assert process.wait(60) == end
        finally:
            process.kill()
    [(stored,)] = clean_db.execute("select count(*) from bcp.tool_usage_logs").fetchall()
    # Nothing can be said of the call that the signal interrupted.
    assert stored - answered in ({0, 1} if name == "within record()" else {0})


def test_a_call_that_outlasts_the_signal(dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path) -> None:
    """A server answers what it has begun before it ends: that is recorded, too."""
    pytest.importorskip("fastmcp")
    path = tmp_path / "http"
    params = {"name": "outlast", "arguments": {"path": str(path)}}
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    process = subprocess.Popen(
        [sys.executable, "-m", APP, "fastmcp", str(path)],
        env=os.environ | {"RECORD_TO": dsn, "SPOOL": str(tmp_path / "spool")},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process, ThreadPoolExecutor(CALLS) as clients:
        try:
            ask(path, process)
            calls = [clients.submit(ask, path, process, call) for _ in range(CALLS)]
            called = 0
            while called < CALLS:
                line = process.stdout.readline()
                assert line, "the server ended by itself"
                called += line == b"called\n"
            process.send_signal(signal.SIGTERM)
            for each in calls:
                each.result(60)
            process.stdout.read()
            assert process.wait(60) == -signal.SIGTERM
        finally:
            process.kill()
    stored = clean_db.execute(
        "select tool_name, outcome, count(*) from bcp.tool_usage_logs group by 1, 2 order by 1"
    ).fetchall()
    assert stored == [("ask", "success", 1), ("outlast", "success", CALLS)]
