"""The middleware for servers in Python: what is recorded, and that it never breaks a tool."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp")
pytest.importorskip("fastmcp")

import fastmcp
from mcp import Client, MCPError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ElicitResult, Implementation
from starlette.authentication import SimpleUser, UnauthenticatedUser
from starlette.testclient import TestClient

from bcp_analytics.collector import Collector
from bcp_analytics.mcp import AnalyticsMiddleware, ServerAnalyticsMiddleware, _calls, instrument
from tests.python.mcp_sink import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

ME = Implementation(name="tester", version="1.5")
TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "bcp-analytics/intent": "do sums",
}


def with_tools(server: Any) -> Any:
    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def divide(a: int, b: int) -> float:
        return a / b

    @server.tool()
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    return server


def official(collector: Any) -> Any:
    return instrument(with_tools(MCPServer("calc", version="3.1")), collector)


def fast(collector: Any) -> Any:
    return with_tools(fastmcp.FastMCP("calc", version="3.1", middleware=[AnalyticsMiddleware(collector)]))


servers = pytest.mark.parametrize("make", [official, fast])


async def use(server: Any) -> list[Any]:
    """Call what works and what does not, with the official client; return what it was told."""
    # FastMCP keeps the SDK's server inside; the client takes that one for a transport in memory.
    inner = getattr(server, "_mcp_server", server)
    answers: list[Any] = []
    async with Client(inner, client_info=ME, read_timeout_seconds=10) as client:
        answers.append([tool.name for tool in (await client.list_tools()).tools])
        for name, arguments in (
            ("add", {"a": 1, "b": 2}),
            ("divide", {"a": 1, "b": 0}),
            ("add", {"a": "one"}),
            ("no_such_tool", {}),
        ):
            try:
                answer = await client.call_tool(name, arguments, meta=TRACE)
                answers.append((answer.is_error, [part.text for part in answer.content]))
            except MCPError as error:
                answers.append(error.error.code)
    return answers


@servers
def test_calls_are_recorded_as_the_client_sees_them(make: Callable[[Any], Any]) -> None:
    kept = Kept()
    answers = asyncio.run(use(make(kept)))
    listing, *calls = kept.calls
    assert listing["operation"] == listing["tool_name"] == "tools/list"
    assert (
        [tool["name"] for tool in listing["response_data"]["tools"]]
        == answers[0]
        == ["add", "divide", "wait"]
    )
    assert listing["context_bytes"] > len("addAdd two numbers.")

    first, *failed = calls
    assert (first["bcp_name"], first["tool_name"], first["operation"]) == ("calc", "add", "tools/call")
    assert first["success"] is True
    assert first["parameters"] == {"a": 1, "b": 2}
    assert first["response_data"]["content"][0]["text"] == "3"
    assert 0 < first["duration_ms"] < 5_000
    assert first["request_bytes"] > 0
    # The number comes a second time as structuredContent, which the model does not get.
    assert first["response_bytes"] == len("3")
    assert (first["client_name"], first["client_version"]) == ("tester", "1.5")
    assert first["release"] == "3.1"
    assert first["protocol_version"] == "2026-07-28"
    assert first["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert {call["intent"] for call in calls} == {"do sums"}
    assert len({call["session_id"] for call in calls}) == 1

    for call, answer in zip(failed, answers[2:], strict=True):
        assert call["success"] is False
        assert call["response_bytes"] >= len(call["error_message"].encode())
        if isinstance(answer, int):
            assert call["error_type"] == str(answer)
        else:
            assert call["response_data"]["isError"] is answer[0] is True
    assert [error["level"] for error in kept.errors] == [
        "warn" if "response_data" in call else "error" for call in failed
    ]
    assert "divide" in kept.errors[0]["message"]


def asking(server: Any, collector: Any) -> Any:
    with_tools(server)

    @server.tool()
    def own(context: str) -> str:
        return f"own {context}"

    return instrument(server, collector, ask_context=True, get_more_tools=True)


@pytest.mark.parametrize("server", [MCPServer, fastmcp.FastMCP])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_agents_are_asked_why_and_the_server_does_not_notice(server: Any, mode: str) -> None:
    kept = Kept()
    made = asking(server("calc"), kept)

    async def talk() -> tuple[list[Any], list[Any]]:
        async with Client(getattr(made, "_mcp_server", made), mode=mode) as client:
            tools = (await client.list_tools()).tools
            answers = [
                await client.call_tool("add", {"a": 1, "b": 2, "context": "to sum"}),
                await client.call_tool("add", {"a": 1, "b": 2}),
                await client.call_tool("own", {"context": "mine"}),
                await client.call_tool("get_more_tools", {"context": "delete a mail"}),
            ]
        return tools, answers

    tools, answers = asyncio.run(talk())
    takes = {tool.name: set(tool.input_schema["properties"]) for tool in tools}
    assert takes["add"] == {"a", "b", "context"}
    assert takes["own"] == takes["get_more_tools"] == {"context"}
    assert all("context" not in tool.input_schema.get("required", []) for tool in tools if tool.name == "add")
    assert [answer.is_error for answer in answers] == [False] * 4
    assert [answer.content[0].text for answer in answers[:3]] == ["3", "3", "own mine"]
    _, *calls = kept.calls
    assert [(call["tool_name"], call.get("intent")) for call in calls] == [
        ("add", "to sum"),
        ("add", None),
        ("own", None),
        ("get_more_tools", "delete a mail"),
    ]
    assert calls[0]["parameters"] == {"a": 1, "b": 2}
    assert calls[2]["parameters"] == {"context": "mine"}


@servers
def test_recording_that_fails_breaks_no_tool(
    make: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept()
    expected = asyncio.run(use(make(kept)))
    kept.broken = RuntimeError("no more room")
    server = make(kept)
    with caplog.at_level(logging.WARNING, logger="bcp_analytics.mcp"):
        assert asyncio.run(use(server)) == expected
    [middleware] = [found for found in server.middleware if hasattr(found, "failures")]
    assert middleware.failures == 5
    assert [record.message for record in caplog.records if record.name == "bcp_analytics.mcp"] == [
        "Recording failed; the tools go on."
    ]


@servers
def test_a_cancelled_call(make: Callable[[Any], Any]) -> None:
    kept = Kept()
    server = make(kept)

    async def leave() -> None:
        async with Client(getattr(server, "_mcp_server", server), client_info=ME) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.call_tool("wait", {"seconds": 20})
            for _ in range(100):
                if kept.calls:
                    break
                await asyncio.sleep(0.02)

    asyncio.run(leave())
    [call] = kept.calls
    assert (call["tool_name"], call["cancelled_by"], call.get("success")) == ("wait", "client", None)
    assert call["duration_ms"] < 10_000
    assert kept.errors == []


def test_what_a_fastmcp_tool_raised_goes_along() -> None:
    kept = Kept()
    asyncio.run(use(fast(kept)))
    assert isinstance(kept.errors[0]["exception"], ZeroDivisionError)
    divide = next(call for call in kept.calls if call["tool_name"] == "divide")
    assert divide["error_type"] == "ZeroDivisionError"


def test_calls_from_python_need_no_client() -> None:
    kept = Kept()
    server = fast(kept)
    asyncio.run(server.call_tool("add", {"a": 1, "b": 2}))
    [call] = kept.calls
    assert (call["bcp_name"], call["success"]) == ("calc", True)
    assert "client_name" not in call


def test_names_of_bundle_and_user() -> None:
    kept = Kept()
    users = iter(["ada", "bob", "eve", "kay", "liz"])
    server = instrument(with_tools(MCPServer("calc")), kept, "sums", user_id=lambda: next(users))
    asyncio.run(use(server))
    assert {call["bcp_name"] for call in kept.calls} == {"sums"}
    assert [call["user_id"] for call in kept.calls] == ["ada", "bob", "eve", "kay", "liz"]
    server = instrument(with_tools(fastmcp.FastMCP("calc")), kept, user_id="zoe")
    asyncio.run(use(server))
    assert kept.calls[-1]["user_id"] == "zoe"


@servers
def test_a_server_that_records_already_stays_as_it_is(make: Callable[[Any], Any]) -> None:
    kept = Kept()
    server = make(kept)
    assert instrument(instrument(server, kept), Kept()) is server
    asyncio.run(use(server))
    assert len(kept.calls) == 5


def test_a_call_that_goes_on_to_a_mounted_server_is_one_call() -> None:
    kept = Kept()
    parent = fastmcp.FastMCP("all")
    for server in (parent, child := with_tools(fastmcp.FastMCP("calc"))):
        instrument(server, kept)
    parent.mount(child, namespace="calc")

    async def ask() -> None:
        async with Client(parent._mcp_server) as client:
            await client.list_tools()
            await client.call_tool("calc_add", {"a": 1, "b": 2})

    asyncio.run(ask())
    assert [(call["bcp_name"], call["tool_name"]) for call in kept.calls] == [
        ("all", "tools/list"),
        ("all", "calc_add"),
    ]


def ask_over_http(client: TestClient, version: str, session: str | None) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1.5"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": meta}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "add",
        "User-Agent": "browser/7",
    } | ({"Mcp-Session-Id": session} if session else {})
    answer = client.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers=headers
    )
    assert answer.status_code == 200, answer.text


def token(**fields: Any) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token="t", client_id="app-1", scopes=[], **fields))


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, None),
        (UnauthenticatedUser(), None),
        (SimpleUser("ada"), "ada"),
        (token(subject="ada"), "ada"),
        (token(claims={"sub": "ada"}), "ada"),
        (token(), "app-1"),
    ],
    ids=["none", "anonymous", "simple", "subject", "claim", "client"],
)
@servers
def test_who_calls_over_http(make: Callable[[Any], Any], user: Any, expected: str | None) -> None:
    kept = Kept()
    server = make(kept)
    if isinstance(server, MCPServer):
        app: Any = server.streamable_http_app(stateless_http=True, json_response=True, host="testserver")
    else:
        app = server.http_app(stateless_http=True, json_response=True, host_origin_protection=False)

    async def signed_in(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | ({"user": user} if user is not None else {}), receive, send)

    with TestClient(signed_in, "http://testserver", client=("203.0.113.9", 5000)) as client:
        ask_over_http(client, "2025-11-25", "s-1")
        # Of this version no id is a session: servers make a new one for each call.
        ask_over_http(client, "2026-07-28", "minted")
    for call, session in zip(kept.calls, ["s-1", None], strict=True):
        assert call.get("session_id") == session
        assert call.get("user_id") == expected
        assert (call["user_agent"], call["ip_address"]) == ("browser/7", "203.0.113.9")
        assert (call["client_name"], call["release"]) == ("tester", "3.1")
        assert call.get("client_id") == ("app-1" if isinstance(user, AuthenticatedUser) else None)


def test_a_server_that_takes_no_middleware_is_refused() -> None:
    with pytest.raises(TypeError, match="bcp-analytics proxy"):
        instrument(object(), Kept())


def test_the_low_level_server_takes_it_too() -> None:
    kept = Kept()
    server = with_tools(MCPServer("calc"))
    server.middleware.append(ServerAnalyticsMiddleware(kept, "low"))
    asyncio.run(use(server))
    assert len(kept.calls) == 5


def test_calls_arrive_in_the_database(dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Any) -> None:
    with Collector(dsn, source="calc", spool=tmp_path) as collector:
        asyncio.run(use(official(collector)))
        asyncio.run(use(fast(collector)))
        assert collector.flush(30)
    rows = clean_db.execute(
        "select tool_name, operation, count(*), count(*) filter (where success), count(distinct client_name)"
        " from bcp.tool_usage_logs where tool_name <> 'tools/definition' group by 1, 2 order by 1, 2"
    ).fetchall()
    assert rows == [
        ("add", "tools/call", 4, 2, 1),
        ("divide", "tools/call", 2, 0, 1),
        ("no_such_tool", "tools/call", 2, 0, 1),
        ("tools/list", "tools/list", 2, 2, 1),
    ]
    changes = clean_db.execute(
        "select distinct tool_name, change from bcp.tool_changes() where change = 'added'"
    )
    assert changes.fetchall() == [("add", "added"), ("divide", "added"), ("wait", "added")]
    assert clean_db.execute("select count(*) from bcp.error_logs").fetchall() == [(6,)]
    assert clean_db.execute("select count(*) from bcp.rejected_events").fetchall() == [(0,)]


@servers
def test_waiting_for_a_person_is_no_time_of_the_tool(
    make: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0, time=time.time)
    clock.monotonic_ns = lambda: clock.now
    monkeypatch.setattr(_calls, "time", clock)
    kept = Kept()
    server = make(kept)
    context = fastmcp.Context if make is fast else Context

    async def book(ctx: Any) -> str:
        answers = [
            await ctx.session.elicit(text, {"type": "object", "properties": {}})
            for text in ("sure?", "really?")
        ]
        return " ".join(answer.action for answer in answers)

    book.__annotations__["ctx"] = context
    server.tool()(book)

    async def person(*_: Any) -> ElicitResult:
        clock.now += 60_000_000_000
        return ElicitResult(action="accept", content={})

    async def call() -> Any:
        inner = getattr(server, "_mcp_server", server)
        async with Client(inner, mode="legacy", elicitation_callback=person) as client:
            return await client.call_tool("book", {})

    answer = asyncio.run(call())
    assert answer.content[0].text == "accept accept"
    [row] = [row for row in kept.calls if row["operation"] == "tools/call"]
    assert (row["duration_ms"], row["waited_ms"]) == (0.0, 120_000.0)
