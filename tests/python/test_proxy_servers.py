"""The proxy in front of real MCP servers from PyPI, driven by the official client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")

from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.types import Implementation

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

# Keeps what passes in each direction, in front of the server (where) and behind the proxy alike.
TEE = """
import os, subprocess, sys, threading
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def copy(source, target, kept):
    with open(kept, "wb", buffering=0) as file:
        while chunk := os.read(source, 65536):
            file.write(chunk)
            os.write(target, chunk)
    os.close(target)
threading.Thread(target=copy, args=(0, server.stdin.fileno(), sys.argv[1] + ".in"), daemon=True).start()
copy(server.stdout.fileno(), 1, sys.argv[1] + ".out")
sys.exit(server.wait())
"""

TIME = ("-m", "mcp_server_time")
TIME_CALLS = (
    ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
    ("convert_time", {"source_timezone": "UTC", "time": "25:99", "target_timezone": "Asia/Tokyo"}),
    ("get_current_time", {"timezone": "grace.hopper@example.com"}),
    ("tell_fortune", {}),
)


def git_server(folder: Path) -> tuple[tuple[str, ...], Any]:
    repository = folder / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    (repository / "readme").write_text("hello\n")
    subprocess.run([*git, "add", "readme"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "say hello"], check=True)
    (repository / "readme").write_text("hello\nworld\n" * 2_000)
    path = {"repo_path": str(repository)}
    calls = (
        ("git_status", path),
        ("git_diff_unstaged", path),
        ("git_log", path | {"max_count": 1}),
        ("git_show", path | {"revision": "no-such-revision"}),
        ("git_status", {"repo_path": "/"}),
        ("git_log", path | {"max_count": "many"}),
    )
    return ("-m", "mcp_server_git"), calls


async def talk(command: list[str], calls: Any, mode: str) -> list[Any]:
    """List the tools, make the calls, and return all that the client was told."""
    me = Implementation(name="tester", version="1.5")
    parameters = StdioServerParameters(command=command[0], args=command[1:])
    told: list[Any] = []
    async with (
        asyncio.timeout(60),
        Client(stdio_client(parameters), client_info=me, mode=mode, read_timeout_seconds=20) as client,
    ):
        told.append((await client.list_tools()).model_dump(mode="json"))
        for name, arguments in calls:
            try:
                told.append((await client.call_tool(name, arguments)).model_dump(mode="json"))
            except MCPError as error:
                told.append((error.error.code, error.error.message))
    return told


def through_proxy(folder: Path, dsn: str, name: str, server: tuple[str, ...]) -> list[str]:
    """Client, tee, proxy, tee, server."""
    tee = [sys.executable, str(folder / "tee.py")]
    proxy = [
        sys.executable,
        "-m",
        "bcp_analytics",
        "proxy",
        "--bcp",
        name,
        "--user-id",
        "42",
        "--dsn",
        dsn,
        "--",
    ]
    before = [*tee, str(folder / f"{name}-client")]
    return [*before, *proxy, *tee, str(folder / f"{name}-server"), sys.executable, *server]


def passed(folder: Path, name: str, side: str) -> list[bytes]:
    return [(folder / f"{name}-{side}.{way}").read_bytes() for way in ("in", "out")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tee.py").write_text(TEE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def rows(conn: psycopg.Connection[Any], query: str) -> list[Any]:
    return conn.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_time_server_of_either_protocol(
    mode: str, version: str, dsn: str, clean_db: psycopg.Connection[Any], folder: Path
) -> None:
    pytest.importorskip("mcp_server_time")
    direct = asyncio.run(talk([sys.executable, *TIME], TIME_CALLS, mode))
    told = asyncio.run(talk(through_proxy(folder, dsn, "time", TIME), TIME_CALLS, mode))
    assert told == direct
    assert passed(folder, "time", "client") == passed(folder, "time", "server")
    assert rows(
        clean_db,
        "select tool_name, operation, outcome, error_type, user_id, client_name, client_version,"
        " attributes ->> 'protocol_version', release is not null, request_bytes > 40,"
        " response_bytes between 20 and (attributes -> 'wire_bytes')::integer - 40,"
        " duration_ms between 0.01 and 20000 from bcp.tool_usage_logs"
        " where tool_name <> 'tools/definition' order by start_time",
    ) == [
        (tool, operation, outcome, error, "42", "tester", "1.5", version, True, True, True, True)
        for tool, operation, outcome, error in [
            ("tools/list", "tools/list", "success", None),
            ("convert_time", "tools/call", "success", None),
            ("convert_time", "tools/call", "soft_fail", "tool_error"),
            ("get_current_time", "tools/call", "soft_fail", "tool_error"),
            ("tell_fortune", "tools/call", "rejected", "-32602"),
        ]
    ]
    assert rows(clean_db, "select level, tool_name from bcp.error_logs order by timestamp") == [
        ("warn", "convert_time"),
        ("warn", "get_current_time"),
        ("error", "tell_fortune"),
    ]
    # What the wrong argument was, and what the server said of it, is masked.
    [(parameters, message)] = rows(
        clean_db,
        "select parameters ->> 'timezone', error_message from bcp.tool_usage_logs"
        " where tool_name = 'get_current_time'",
    )
    assert parameters.startswith("email#")
    assert "grace" not in message
    assert rows(
        clean_db,
        "select user_id, client_name, tool_calls_count, errors_count, ended_at is not null"
        " from bcp.user_sessions",
    ) == [("42", "tester", 4, 3, True)]
    [(listed, cost)] = rows(
        clean_db,
        "select jsonb_path_query_array(response_data, '$.tools[*].name'),"
        " (attributes -> 'context_bytes')::integer"
        " from bcp.tool_usage_logs where tool_name = 'tools/list'",
    )
    assert listed == [tool["name"] for tool in direct[0]["tools"]]
    assert cost > 200


def test_the_git_server(dsn: str, clean_db: psycopg.Connection[Any], folder: Path) -> None:
    pytest.importorskip("mcp_server_git")
    server, calls = git_server(folder)
    direct = asyncio.run(talk([sys.executable, *server], calls, "auto"))
    told = asyncio.run(talk(through_proxy(folder, dsn, "git", server), calls, "auto"))
    assert told == direct
    assert passed(folder, "git", "client") == passed(folder, "git", "server")
    found = rows(
        clean_db,
        "select tool_name, outcome, response_bytes from bcp.tool_usage_logs"
        " where tool_name <> 'tools/definition' order by start_time",
    )
    assert [row[0] for row in found] == ["tools/list", *(name for name, _ in calls)]
    assert [row[1] for row in found] == ["success"] * 4 + ["soft_fail"] * 2 + ["rejected"]
    assert found[2][2] > 20_000
    assert rows(clean_db, "select count(*) from bcp.rejected_events") == [(0,)]
