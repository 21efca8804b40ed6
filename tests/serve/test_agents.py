"""POST /mcp: the official client asks with a token, and gets what the token may have."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

pytest.importorskip("mcp")

from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from bcp_analytics.serve import _agents
from tests.agents import HOSTILE, Told
from tests.serve.conftest import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serve.conftest import Running

READ = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ASKED = {"name": "failures", "arguments": {"since": "yesterday"}}


@pytest.fixture
def resolving(server: Running) -> Iterator[Running]:
    """Give another server of the store, which was told to let agents resolve issues."""
    with serving(server.dsn, allow_resolve=True) as running:
        running.tokens = server.tokens
        yield running


def told(
    server: Running, role: str, *calls: tuple[str, dict[str, Any]], mode: str = "auto"
) -> tuple[set[str], list[Told]]:
    """Return the names of the tools, and the answers."""

    async def talk() -> tuple[set[str], list[Told]]:
        headers = {"authorization": f"Bearer {server.tokens[role]}"}
        async with (
            asyncio.timeout(60),
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as client,
        ):
            names = {tool.name for tool in (await client.list_tools()).tools}
            answers = [await client.call_tool(*call) for call in calls]
        return names, [Told(a.content[0].text, bool(a.is_error)) for a in answers]  # type: ignore[union-attr]

    return asyncio.run(talk())


def fail(server: Running) -> None:
    event = {"bcp_name": "mail", "tool_name": "send", "success": False, "error_message": HOSTILE}
    assert server.send("POST", "/v1/events/tool_usage", role="ingest", json=[event]).json()["stored"] == 1
    error = {"level": "error", "message": HOSTILE, "bcp_name": "mail", "tool_name": "send"}
    assert server.send("POST", "/v1/events/errors", role="ingest", json=[error]).json()["stored"] == 1


def post(server: Running, role: str | None = "reader", **options: Any) -> httpx2.Response:
    headers = READ | options.pop("headers", {})
    return server.send("POST", "/mcp", role=role, headers=headers, **({"json": PING} | options))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_asks_what_broke_since_yesterday_and_gets_it_fenced(server: Running, mode: str) -> None:
    fail(server)
    names, [said] = told(server, "reader", ("failures", {"since": "yesterday"}), mode=mode)
    assert {"overview", "failures", "search"} < names
    assert not said.failed
    [issue] = said.of("issue")
    assert issue["message"] == HOSTILE
    assert "ignore" not in said.outside
    assert f"In the dashboard: {server.url}/errors?from=" in said.outside


def test_only_an_administrator_resolves_and_only_where_the_server_lets_agents(
    server: Running, resolving: Running
) -> None:
    fail(server)
    _, [listed] = told(server, "reader", ("issues", {}))
    wanted = ("resolve_issue", {"fingerprint": listed.of("issue")[0]["fingerprint"]})
    for at, role in ((server, "admin"), (resolving, "reader")):
        names, [refused] = told(at, role, wanted)
        assert "resolve_issue" not in names
        assert refused.failed
    names, [done, after] = told(resolving, "admin", wanted, ("issues", {}))
    assert "resolve_issue" in names
    assert not done.failed
    assert [issue["state"] for issue in after.of("issue")] == ["resolved"]


def test_who_may_not_ask_is_refused_as_at_its_neighbours(server: Running) -> None:
    assert post(server, None).status_code == 401
    assert post(server, "ingest").status_code == 403
    assert post(server, headers={"origin": "http://evil.example"}).status_code == 403
    assert post(server, headers={"host": "evil.example"}).status_code == 421
    for method in ("GET", "DELETE"):
        assert server.send(method, "/mcp", role="reader").status_code == 405
    answer = post(server)
    assert (answer.status_code, answer.json()["result"]) == (200, {})
    assert answer.headers["cache-control"] == "no-store"


def test_what_is_sent_is_bounded(server: Running) -> None:
    large = b" " * (_agents.MAX_BODY + 1)
    assert post(server, json=None, content=large).status_code == 413
    encoded = {"content-encoding": "gzip"}
    assert post(server, json=None, content=gzip.compress(large), headers=encoded).status_code == 413
    assert post(server, json=None, content=b"{").json()["error"]["code"] == -32700
    sound = gzip.compress(json.dumps(PING).encode())
    assert post(server, json=None, content=sound, headers=encoded).json()["result"] == {}


def test_a_token_that_asks_too_often_has_to_wait_and_others_do_not(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(server.app.state.agents, "_pace", _agents._Pace(lambda: now))
    assert [post(server).status_code for _ in range(_agents.PER_MINUTE)] == [200] * _agents.PER_MINUTE
    refused = post(server)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert post(server, "admin").status_code == 200
    now = 1.0
    assert [post(server).status_code for _ in range(3)] == [200, 200, 429]


def test_a_database_that_is_away_is_an_error_of_the_tool(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(server, "reader")  # so that the token is known
    monkeypatch.setattr(server.app.state.database, "_pool", None)
    answer = post(server, json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ASKED}).json()
    assert answer["result"]["isError"] is True
    assert "The database cannot be reached." in answer["result"]["content"][0]["text"]
