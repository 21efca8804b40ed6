"""The stream: who may watch, what they are told, and that nobody who watches costs the others anything."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bcp_analytics.serve import Config
from bcp_analytics.serve._errors import Busy, Refused
from bcp_analytics.serve._stream import UVICORN
from bcp_analytics.serve._stream import _hub as hub_module
from bcp_analytics.serve._stream._frames import MetricFrames
from bcp_analytics.serve._stream._hub import Watcher
from bcp_analytics.serve._stream._protocol import StreamProtocol
from tests.serve.conftest import Running, make_token, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = 0.05
PATH = "/analytics-stream"
# The schema of every type of message, as the documentation has it.
SCHEMAS = {
    name: Draft202012Validator(json.loads(schema))
    for name, schema in re.findall(
        r"<!-- schema: (\w+) -->\n```json\n(.*?)```",
        (Path(__file__).parents[2] / "docs" / "reference" / "live.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
}


@pytest.fixture
def server(dsn: str) -> Iterator[Running]:
    with _serving(dsn) as running:
        yield running


@contextmanager
def _serving(dsn: str, **changes: Any) -> Iterator[Running]:
    admin = make_token(dsn, "admin", "admin")
    with serving(dsn, tick=TICK, **changes) as running:
        running.tokens["admin"] = admin
        yield running


@contextmanager
def watching(server: Running, **options: Any) -> Iterator[ClientConnection]:
    if not options:
        options = {"additional_headers": {"Authorization": f"Bearer {server.tokens['admin']}"}}
    with connect(f"ws://127.0.0.1:{server.port}{PATH}", proxy=None, **options) as ws:
        yield ws


def receive(ws: ClientConnection, kind: str | None = None, **wanted: Any) -> dict[str, Any]:
    """Return the data of the next message of a type, and where `wanted` says so with such members."""
    while True:
        text = ws.recv(10)
        told = json.loads(text)
        SCHEMAS["message"].validate(told)
        SCHEMAS[told["type"]].validate(told["data"])
        assert text.isascii()
        if kind in {None, told["type"]} and wanted.items() <= told["data"].items():
            return told if kind is None else dict(told["data"])


def until_calls(ws: ClientConnection, calls: int) -> dict[str, Any]:
    """Return the data of the next message that counts so many calls."""
    while (told := receive(ws, "metric"))["all"]["calls"] < calls:
        pass
    assert told["all"]["calls"] == calls
    return told


def closed(ws: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as left:
        _receive_all(ws)
    assert left.value.rcvd is not None
    return left.value.rcvd.code, left.value.rcvd.reason


def _receive_all(ws: ClientConnection) -> None:
    while True:
        ws.recv(10)


def wait_until(condition: Any) -> None:
    pause = threading.Event()
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not condition():
        assert datetime.now(UTC) < deadline
        pause.wait(0.01)


def run_in(server: Running, coroutine: Any) -> Any:
    loop = server.app.state.stream._tasks[0].get_loop()
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)


def test_who_is_no_admin_is_accepted_and_closed_as_unauthorized(server: Running) -> None:
    now = datetime.now(UTC)
    token = {
        role: make_token(server.dsn, role, role, **({"vantage": "server"} if role == "ingest" else {}))
        for role in ("ingest", "reader")
    }
    revoked = make_token(server.dsn, "gone", "admin")
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("select bcp.revoke_api_token('gone')")
        conn.execute("select set_config('bcp.now', %s, false)", [(now - timedelta(days=2)).isoformat()])
        row = conn.execute(
            "select bcp.create_api_token('old', 'admin', p_expires_at => %s)", [now - timedelta(days=1)]
        ).fetchone()
    assert row is not None
    wrong = server.tokens["admin"][:-1] + ("0" if server.tokens["admin"][-1] != "0" else "1")
    for attempt in (None, "", "nonsense", wrong, revoked, row[0], token["ingest"], token["reader"]):
        headers = {} if attempt is None else {"Authorization": f"Bearer {attempt}"}
        with watching(server, additional_headers=headers | {"X": "1"}) as ws:
            assert closed(ws) == (1008, "Unauthorized")
    with watching(server, subprotocols=["bcp.v1", f"bcp.token.{token['reader']}"]) as ws:
        assert closed(ws) == (1008, "Unauthorized")
    with watching(server, additional_headers={"Cookie": "bcp_session=made-up"}) as ws:
        assert closed(ws) == (1008, "Unauthorized")
    assert server.app.state.stream._watchers == set()


def test_an_admin_comes_in_by_header_cookie_or_subprotocol(server: Running) -> None:
    session = server.send("POST", "/v1/session", json={"token": server.tokens["admin"]}).cookies[
        "bcp_session"
    ]
    ways: list[dict[str, Any]] = [
        {"additional_headers": {"Authorization": f"Bearer {server.tokens['admin']}"}},
        {"additional_headers": {"Cookie": f"bcp_session={session}", "Origin": server.url}},
        {"subprotocols": ["bcp.v1", f"bcp.token.{server.tokens['admin']}"]},
        {"subprotocols": [f"bcp.token.{server.tokens['admin']}", "bcp.v1"]},
    ]
    for way in ways:
        with watching(server, **way) as ws:
            assert ws.subprotocol == ("bcp.v1" if "subprotocols" in way else None)
            assert ws.response is not None
            assert server.tokens["admin"] not in str(ws.response.headers)
            assert "permessage-deflate" not in str(ws.response.headers)
            assert receive(ws)["type"] == "metric"


def test_a_page_of_another_origin_is_refused_before_the_socket_opens(server: Running) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['admin']}", "Origin": "https://evil.example"}
    with pytest.raises(InvalidStatus) as refused, watching(server, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 403


def test_the_current_figures_come_first_and_then_what_is_new(server: Running) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn, watching(server) as ws:
        first = receive(ws)
        assert first["type"] == "metric"
        assert first["timestamp"].endswith("Z")
        before = first["data"]["all"]["calls"]
        conn.execute("select bcp.log_tool_usage('mail', '<b>', p_duration_ms => 100, p_success => false)")
        conn.execute("select bcp.log_tool_usage('mail', 'send', p_duration_ms => 50, p_success => true)")
        told = until_calls(ws, before + 2)
        [bundle] = [row for row in told["bundles"] if row["bcp_name"] == "mail"]
        assert (bundle["calls"], bundle["successes"], bundle["errors"]) == (2, 1, 1)
        assert bundle["success_rate"] == 0.5
        tools = {row["tool_name"]: row for row in told["tools"] if row["bcp_name"] == "mail"}
        assert tools["<b>"]["outcomes"] == {"error": 1}
        assert tools["<b>"]["p95_duration_ms"] == pytest.approx(100, rel=0.01)
        assert (tools["send"]["calls_today"], tools["send"]["errors_today"]) == (1, 0)
        assert {"send", "<b>"} <= {call["tool_name"] for call in told["recent_calls"]}
        with watching(server) as second:
            assert receive(second, "metric")["all"]["calls"] == before + 2


@pytest.mark.native("on the embedded server an open transaction holds up all others")
def test_a_call_whose_commit_comes_after_later_calls_counts_once(server: Running) -> None:
    late, soon = (psycopg.connect(server.dsn, autocommit=True) for _ in range(2))
    # Both would wait for the first chunk otherwise.
    soon.execute("select bcp.log_tool_usage('mail', 'first')")
    with late, soon, watching(server) as ws:
        before = receive(ws, "metric")["all"]["calls"]
        with late.transaction():
            late.execute("select bcp.log_tool_usage('mail', 'late')")
            soon.execute("select bcp.log_tool_usage('mail', 'soon')")
            told = until_calls(ws, before + 1)
            assert receive(ws, "metric")["all"]["calls"] == before + 1
        told = until_calls(ws, before + 2)
        assert receive(ws, "metric")["all"]["calls"] == before + 2
        assert {row["tool_name"]: row["calls"] for row in told["tools"] if row["bcp_name"] == "mail"} == {
            "first": 1,
            "late": 1,
            "soon": 1,
        }


def test_calls_of_before_anybody_watched_are_in_the_first_message(server: Running) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(
            "select bcp.log_tool_usage('mail', 'send', p_success => true) from generate_series(1, 7)"
        )
        conn.execute("call bcp.refresh_analytics_views()")
    with watching(server) as ws:
        tools = {row["tool_name"]: row for row in receive(ws, "metric")["tools"]}
        assert (tools["send"]["calls"], tools["send"]["calls_today"]) == (7, 7)


def test_alerts_are_told_as_they_open_and_close(server: Running) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn, watching(server) as ws:
        receive(ws, "metric")
        # Anybody may send a notification, and nothing of it goes on.
        conn.execute('notify bcp_alerts, \'{"event": "opened", "rule_name": "forged"}\'')
        conn.execute(
            "insert into bcp.alerts (rule_name, metric, severity, threshold, value, worst_value, calls,"
            " pending_since, opened_at, evaluated_at)"
            " values ('errors', 'error_rate', 'warning', 0.05, 0.2, 0.2, 50, now(), now(), now())"
        )
        conn.execute("notify bcp_alerts")
        told = receive(ws, "alert")
        [change] = told["changes"]
        assert (change["event"], change["rule_name"], change["value"]) == ("opened", "errors", 0.2)
        assert [alert["alert_id"] for alert in told["open"]] == [change["alert_id"]]
        with watching(server) as second:
            assert receive(second)["type"] == "metric"
            told = receive(second, "alert")
            assert (told["changes"], len(told["open"])) == ([], 1)
        conn.execute("update bcp.alerts set closed_at = now()")
        conn.execute("notify bcp_alerts")
        told = receive(ws, "alert")
        assert [(c["event"], c["alert_id"]) for c in told["changes"]] == [("closed", change["alert_id"])]
        assert told["open"] == []


@pytest.mark.native("the embedded server has one database, which cannot be closed to others")
def test_it_says_when_the_database_goes_away_and_returns(server: Running) -> None:
    name = psycopg.conninfo.conninfo_to_dict(server.dsn)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(server.dsn, dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as conn, watching(server) as ws:
        receive(ws, "metric")
        conn.execute(f'alter database "{name}" with allow_connections false')
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        receive(ws, "status", database="away")
        with watching(server) as second:
            # Whose token this is was known, and is believed for some seconds.
            assert receive(second)["data"] == {"database": "away"}
        conn.execute(f'alter database "{name}" with allow_connections true')
        receive(ws, "status", database="available")
        receive(ws, "metric")


def test_who_does_not_read_is_dropped_and_holds_up_nobody(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UVICORN, "ws_ping_interval", 0.2)
    monkeypatch.setitem(UVICORN, "ws_ping_timeout", 0.2)
    lost: list[Any] = []
    connection_lost = StreamProtocol.connection_lost

    def noted(self: StreamProtocol, error: Exception | None) -> None:
        lost.append(self.client)
        connection_lost(self, error)

    monkeypatch.setattr(StreamProtocol, "connection_lost", noted)
    with _serving(dsn) as server:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(
                "select bcp.log_tool_usage('mail', 'tool-' || n || repeat('x', 90), p_success => true)"
                " from generate_series(1, 300) n"
            )
        hub = server.app.state.stream
        with socket.socket() as stalled, watching(server) as ws:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", server.port))
            stalled.sendall(
                f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
                f"Authorization: Bearer {server.tokens['admin']}\r\n\r\n".encode()
            )
            wait_until(lambda: len(hub._watchers) == 2)
            receive(ws, "metric")
            wait_until(lambda: lost == [stalled.getsockname()])
            assert len(hub._watchers) == 1
            receive(ws, "metric")


@pytest.mark.any_target("it needs no database")
def test_a_watcher_has_one_slot_per_type_of_message() -> None:
    async def take() -> list[str]:
        watcher = Watcher(asyncio.Event().wait)
        for number in range(5):
            watcher.put("metric", f"metric {number}")
        watcher.put("status", "away")
        watcher.put("metric", "latest")
        return await watcher.take()

    assert asyncio.run(take()) == ["latest", "away"]


def test_only_short_messages_are_read_from_a_client(server: Running) -> None:
    with watching(server) as ws:
        ws.send("x" * 4096)
        ws.send(b"x" * 100)
        receive(ws, "metric")
        receive(ws, "metric")
        ws.send("x" * 4097)
        assert closed(ws)[0] == 1009


def test_there_is_a_bound_on_who_watches(dsn: str) -> None:
    with _serving(dsn, max_watchers=2) as server:
        with watching(server) as first, watching(server) as second:
            receive(first, "metric")
            receive(second, "metric")
            with watching(server) as third:
                assert closed(third)[0] == 1013
        wait_until(lambda: len(server.app.state.stream._watchers) < 2)
        with watching(server) as again:
            receive(again, "metric")


def test_a_token_is_checked_again(server: Running) -> None:
    other = make_token(server.dsn, "other", "admin")
    header = {"additional_headers": {"Authorization": f"Bearer {other}"}}
    with watching(server) as stays, watching(server, **header) as leaves:
        receive(stays, "metric")
        receive(leaves, "metric")
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            conn.execute("select bcp.revoke_api_token('other')")
        server.app.state.tokens._known._entries.clear()
        assert hub_module._RECHECK == 60
        run_in(server, server.app.state.stream.check_tokens())
        assert closed(leaves) == (1008, "Unauthorized")
        receive(stays, "metric")


def test_the_stream_begins_anew_after_a_failure(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(server) as ws:
        receive(ws, "metric")
        read, failures = hub_module.Reader.read, [KeyError("a tool")]

        async def fail_once(reader: hub_module.Reader) -> dict[str, str]:
            if failures:
                raise failures.pop()
            return await read(reader)

        monkeypatch.setattr(hub_module.Reader, "read", fail_once)
        receive(ws, "status", database="away")
        receive(ws, "status", database="available")
        receive(ws, "metric")


def test_a_token_that_cannot_be_checked_keeps_no_other_from_being_checked(server: Running) -> None:
    async def check() -> list[tuple[int, str] | None]:
        hub = server.app.state.stream
        problems = (psycopg.errors.InsufficientPrivilege(), Busy(), Refused(401, "This token was revoked."))
        watchers = [hub.join(partial(_raise, problem)) for problem in problems]
        await hub.check_tokens()
        for watcher in watchers:
            hub.leave(watcher)
        return [watcher.closing for watcher in watchers]

    async def _raise(problem: Exception) -> None:
        raise problem

    assert run_in(server, check()) == [None, None, (1008, "Unauthorized")]


def test_a_tick_is_two_statements_whoever_watches_and_none_where_nobody_does(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0
    a_tick: list[int] = []
    execute, frame = psycopg.AsyncCursor.execute, MetricFrames.frame

    async def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal sent
        sent += 1
        return await execute(self, query, *args, **kwargs)

    def framed(self: Any, *args: Any) -> str:
        nonlocal sent
        a_tick.append(sent)
        sent = 0
        return frame(self, *args)

    def next_ticks() -> set[int]:
        seen = len(a_tick) + 1
        wait_until(lambda: len(a_tick) >= seen + 5)
        return set(a_tick[seen : seen + 5])

    with _serving(dsn) as server:
        with watching(server) as ws:
            receive(ws, "metric")
            # Tokens are asked for before the count.
            monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
            monkeypatch.setattr(MetricFrames, "frame", framed)
            assert next_ticks() == {2}
            with watching(server), watching(server), watching(server):
                assert next_ticks() == {2}
        wait_until(lambda: not server.app.state.stream._latest)
        with psycopg.connect(dsn, autocommit=True) as conn:
            found = conn.execute(
                "select count(*) from pg_stat_activity where query like '%%live_metrics%%'"
                " and pid <> pg_backend_pid()"
            ).fetchone()
            assert found == (0,)


@pytest.mark.any_target("it needs no database")
def test_ticks_are_skipped_and_never_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = begun = 0

    class Slow:
        @classmethod
        async def open(cls, _: object) -> Slow:
            return cls()

        async def read(self) -> dict[str, str]:
            nonlocal running, most, begun
            running, begun = running + 1, begun + 1
            most = max(most, running)
            # Three and a half ticks long.
            await asyncio.sleep(3.5 * TICK)
            running -= 1
            return {"metric": "{}"}

        def current_alerts(self) -> None: ...

        async def close(self) -> None: ...

    async def watch() -> float:
        hub = hub_module.Hub(Config(dsn="", tick=TICK), None)  # type: ignore[arg-type]
        await hub.start()
        watcher = hub.join(asyncio.Event().wait)
        assert watcher is not None
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            await watcher.take()
        took = asyncio.get_running_loop().time() - began
        await hub.stop()
        return took

    monkeypatch.setattr(hub_module, "Reader", Slow)
    took = asyncio.run(watch())
    assert most == 1
    assert begun in {4, 5}
    # The next one is due at the fourth tick.
    assert took >= (3 * 4 + 3.5) * TICK * 0.99
