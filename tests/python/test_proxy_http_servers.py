"""The HTTP proxy in front of servers by FastMCP and by the official SDK, driven by the official client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("fastmcp")
pytest.importorskip("mcp")

from mcp import Client, MCPError
from mcp.types import ElicitResult, Implementation

from tests.python.http_upstream import Relay, proxied
from tests.targets import free_port, until_it_listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

CLIENTS = 10
SERVERS = {
    "FastMCP": """
from fastmcp import Context, FastMCP
from fastmcp.server.event_store import EventStore
server = FastMCP("shop", version="1.5")
def app():
    return server.http_app(event_store=EventStore(), retry_interval=1)
""",
    "mcp": """
from mcp.server.mcpserver import Context, MCPServer
server = MCPServer("shop", version="1.5")
def app():
    return server.streamable_http_app(json_response=True)
""",
}
TOOLS = """
import sys, uvicorn
from pydantic import BaseModel
class Sure(BaseModel):
    value: bool
async def echo(text: str, context: Context) -> str:
    await context.report_progress(1, 2)
    return text
async def fail(message: str) -> str:
    raise ValueError(message)
async def ask(context: Context) -> str:
    return (await context.elicit("Sure?", Sure)).action
async def resume(context: Context) -> str:
    await context.close_sse_stream()
    return "resumed"
for tool in (echo, fail, ask, resume):
    server.tool()(tool)
uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", ws="none")
"""


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVERS[request.param] + TOOLS, str(port)])
    try:
        until_it_listens(port, lambda: process.poll() is not None)
        yield request.param, port
    finally:
        process.kill()
        process.wait()


async def talk(port: int, mode: str, name: str, calls: Any) -> list[Any]:
    """List the tools, make the calls, and return all that the client was told."""
    told: list[Any] = []

    async def answer(*_: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"value": True})

    async def on_progress(*_: Any) -> None:
        told.append("progress")

    async with (
        asyncio.timeout(60),
        Client(
            f"http://127.0.0.1:{port}/mcp",
            client_info=Implementation(name=name, version="1.5"),
            mode=mode,
            read_timeout_seconds=30,
            elicitation_callback=answer,
        ) as client,
    ):
        told.append((await client.list_tools()).model_dump(mode="json"))
        for tool, arguments in calls:
            try:
                result = await client.call_tool(tool, arguments, progress_callback=on_progress)
                told.append(result.model_dump(mode="json"))
            except MCPError as error:
                told.append((error.error.code, error.error.message))
    return told


def calls_of(number: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("echo", {"text": f"{number} Grüße"}),
        ("echo", {"text": "x" * 70_000}),
        ("fail", {"message": "no such order"}),
        ("fail", {"message": 7}),
        ("tell_fortune", {}),
    ]


def rows(conn: psycopg.Connection[Any], query: str) -> list[Any]:
    return conn.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_ten_clients_at_once(
    mode: str,
    version: str,
    server: tuple[str, int],
    dsn: str,
    clean_db: psycopg.Connection[Any],
    tmp_path: Path,
) -> None:
    _, port = server

    async def all_of(port: int) -> list[list[Any]]:
        return await asyncio.gather(
            *[talk(port, mode, f"client {number}", calls_of(number)) for number in range(CLIENTS)]
        )

    direct = asyncio.run(all_of(port))
    with (
        closing(Relay(port)) as behind,
        proxied(tmp_path, f"http://127.0.0.1:{behind.port}/mcp", dsn=dsn) as proxy,
        closing(Relay(proxy.port)) as before,
    ):
        told = asyncio.run(all_of(before.port))
        assert proxy.stop() == 0
        assert "spooled" not in proxy.said[-1]
    assert told == direct
    assert before.messages() == behind.messages()
    assert rows(clean_db, "select count(*) from bcp.rejected_events") == [(0,)]
    assert rows(
        clean_db,
        "select client_name, array_agg(concat_ws(' ', tool_name, outcome, error_type) order by start_time)"
        " from bcp.tool_usage_logs where tool_name <> 'tools/definition' group by 1 order by 1",
    ) == [
        (
            f"client {number}",
            [
                "tools/list success",
                "echo success",
                "echo success",
                "fail soft_fail tool_error",
                "fail rejected ValidationError",
                "tell_fortune soft_fail tool_error",
            ],
        )
        for number in range(CLIENTS)
    ]
    sessions = CLIENTS if mode == "legacy" else 0
    assert rows(
        clean_db,
        "select array_agg(distinct client_version), array_agg(distinct attributes ->> 'protocol_version'),"
        " array_agg(distinct release), count(distinct session_id)::integer, bool_and(user_agent <> ''),"
        " bool_and(duration_ms between 0.01 and 20000), bool_and(request_bytes > 40)"
        " from bcp.tool_usage_logs where operation = 'tools/call'",
    ) == [(["1.5"], [version], ["1.5"], sessions, True, True, True)]
    assert rows(
        clean_db,
        "select tool_calls_count, errors_count, ended_at is not null, count(*)::integer"
        " from bcp.user_sessions group by 1, 2, 3",
    ) == ([(5, 3, True, CLIENTS)] if mode == "legacy" else [])


@pytest.mark.parametrize("server", ["FastMCP"], indirect=True)
def test_questions_and_resumption(
    server: tuple[str, int], dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """A person is asked on the call's stream; a stream is closed before its call is answered, and resumed."""
    _, port = server
    calls: Any = [("ask", {}), ("resume", {}), ("echo", {"text": "again"})]
    direct = asyncio.run(talk(port, "legacy", "tester", calls))
    with (
        closing(Relay(port)) as behind,
        proxied(tmp_path, f"http://127.0.0.1:{behind.port}/mcp", dsn=dsn) as proxy,
    ):
        told = asyncio.run(talk(proxy.port, "legacy", "tester", calls))
        assert proxy.stop() == 0
    assert told == direct
    assert told[1]["content"][0]["text"] == "accept"
    requests, _ = behind.messages()
    assert any((b"last-event-id" in dict(headers)) for _, _, headers in requests)
    assert rows(
        clean_db,
        "select tool_name, outcome, attributes ? 'waited_ms' from bcp.tool_usage_logs"
        " where operation = 'tools/call' order by start_time",
    ) == [("ask", "success", True), ("resume", "success", False), ("echo", "success", False)]
