"""Agents that are asked by the proxy, before servers by FastMCP and by the official SDK."""

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

from mcp import Client, StdioServerParameters, stdio_client

from tests.python.http_upstream import Relay, proxied
from tests.python.test_proxy_servers import TEE, rows
from tests.targets import free_port, until_it_listens

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

SERVERS = {
    "FastMCP": """
from fastmcp import FastMCP
server = FastMCP("shop", version="1.5")
def app():
    return server.http_app()
""",
    "mcp": """
from mcp.server.mcpserver import MCPServer
server = MCPServer("shop", version="1.5")
def app():
    return server.streamable_http_app(json_response=True)
""",
}
TOOLS = """
import sys
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
@server.tool()
def own(context: str) -> str:
    return "own " + context
if len(sys.argv) > 1:
    import uvicorn
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", ws="none")
else:
    server.run()
"""
ASK = ("--ask-context", "--get-more-tools")
OFFERED = {"add": {"a", "b", "context"}, "own": {"context"}, "get_more_tools": {"context"}}
RECORDED = [
    ("tools/list", None, None, "success"),
    ("add", "to sum", {"a": 1, "b": 2}, "success"),
    ("add", None, {"a": 3, "b": 4}, "success"),
    ("own", None, {"context": "mine"}, "success"),
    ("get_more_tools", "delete a mail", {}, "success"),
]
by_mode = pytest.mark.parametrize("mode", ["auto", "legacy"])
by_server = pytest.mark.parametrize("made", sorted(SERVERS))


async def talk(to: Any, mode: str) -> dict[str, set[str]]:
    """Do what an agent does that is asked, and return the arguments of each tool."""
    async with asyncio.timeout(60), Client(to, mode=mode, read_timeout_seconds=30) as client:
        tools = (await client.list_tools()).tools
        calls: list[tuple[str, dict[str, Any]]] = [
            ("add", {"a": 1, "b": 2, "context": "to sum"}),
            ("add", {"a": 3, "b": 4}),
            ("own", {"context": "mine"}),
            ("get_more_tools", {"context": "delete a mail"}),
        ]
        answers = [await client.call_tool(name, arguments) for name, arguments in calls]
        assert [answer.is_error for answer in answers] == [False] * 4
        texts = [answer.content[0].text for answer in answers]
        assert texts[:3] == ["3", "7", "own mine"]
        assert texts[3].startswith("Noted.")
        return {tool.name: set(tool.input_schema["properties"]) for tool in tools}


def recorded(conn: psycopg.Connection[Any]) -> list[Any]:
    return rows(
        conn,
        "select tool_name, intent, parameters, outcome from bcp.tool_usage_logs"
        " where tool_name <> 'tools/definition' order by start_time",
    )


@by_mode
@by_server
def test_over_stdio(
    made: str,
    mode: str,
    dsn: str,
    clean_db: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "tee.py").write_text(TEE)
    (tmp_path / "server.py").write_text(SERVERS[made] + TOOLS)
    heard = tmp_path / "heard"
    command = [
        *("-m", "bcp_analytics", "proxy", "--bcp", "shop", "--dsn", dsn, *ASK, "--"),
        *(sys.executable, str(tmp_path / "tee.py"), str(heard), sys.executable, str(tmp_path / "server.py")),
    ]
    parameters = StdioServerParameters(command=sys.executable, args=command)
    assert asyncio.run(talk(stdio_client(parameters), mode)) == OFFERED
    assert recorded(clean_db) == RECORDED
    assert rows(clean_db, "select intent, bcp_name from bcp.missing_tools()") == [("delete a mail", "shop")]
    got = heard.with_suffix(".in").read_bytes()
    assert got.count(b"tools/call") == 3
    assert not any(word in got for word in (b"to sum", b"get_more_tools", b"delete a mail", b"intent"))


@by_mode
@by_server
def test_over_http(made: str, mode: str, dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVERS[made] + TOOLS, str(port)])
    try:
        until_it_listens(port, lambda: process.poll() is not None)
        with (
            closing(Relay(port)) as behind,
            proxied(tmp_path, f"http://127.0.0.1:{behind.port}/mcp", *ASK, dsn=dsn) as proxy,
        ):
            assert asyncio.run(talk(f"http://127.0.0.1:{proxy.port}/mcp", mode)) == OFFERED
            assert proxy.stop() == 0
        requests, answers = behind.messages()
    finally:
        process.kill()
        process.wait()
    assert recorded(clean_db) == RECORDED
    assert rows(clean_db, "select intent, bcp_name from bcp.missing_tools()") == [("delete a mail", "test")]
    got = b"".join(body for _, body, _ in requests)
    assert got.count(b'"tools/call"') == 3
    assert not any(word in got for word in (b"to sum", b"get_more_tools", b"delete a mail", b"intent"))
    # Either way in which the transport answers.
    kinds = {dict(headers).get(b"content-type", b"").partition(b";")[0] for _, _, headers in answers}
    streams = made == "FastMCP" and mode == "legacy"
    assert (b"text/event-stream" if streams else b"application/json") in kinds
