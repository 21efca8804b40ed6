"""The HTTP proxy as a process: the bytes that pass, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")

from bcp_analytics.cli._app import app
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp._proxy import _passing
from bcp_analytics.mcp._proxy._guard import Guard, Listen
from bcp_analytics.mcp._proxy._guard import Upstream as Server
from bcp_analytics.mcp._proxy._pump import Tap
from tests.python.http_upstream import OK, WAIT_S, Heard, Proxy, Upstream, Wire, post, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"now","arguments":{}}}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def proxy(server: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    address = f"http://127.0.0.1:{server.port}/mcp?key=secret-of-the-url"
    with proxied(tmp_path_factory.mktemp("proxy"), address, "--allow-host", "Proxy.Example") as proxy:
        yield proxy


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[" * 50_000 + b"\x00\xff not json", id="no JSON"),
        pytest.param(os.urandom(9_000_000), id="too long to be read"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_and_headers_pass_unchanged_both_ways(
    server: Upstream, proxy: Proxy, body: bytes, chunked: Any
) -> None:
    back = body[::-1]
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    framed = (chunk(back) if back else b"") + b"0\r\n\r\n" if chunked else back
    answered = (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nSet-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\n"
        b'WWW-Authenticate: Bearer realm="x"\r\nMcp-Session-Id: abc\r\nX-Odd:  two  spaces \r\n'
        b"Connection: X-Mine\r\nX-Mine: for one connection\r\n" + framing + b"\r\n\r\n" + framed
    )
    server.script = lambda wire, _: wire.socket.sendall(answered)
    sent = (
        b"POST /mcp?more=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: Bearer secret-token\r\n"
        b"Cookie: id=secret-cookie\r\nMCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: secret-session\r\n"
        b"Last-Event-ID: 7\r\nAccept: application/json, text/event-stream\r\nX-Odd: a\r\nX-Odd: b\r\n"
        b"Accept-Encoding: br;q=1, gzip, zstd\r\nConnection: X-Mine\r\nX-Mine: for one connection\r\n"
        + framing
        + b"\r\n\r\n"
    )
    got = proxy.ask(sent + ((chunk(body) if body else b"") + b"0\r\n\r\n" if chunked else body))
    heard = server.heard[-1]
    assert (heard.body, got.body, got.status) == (body, back, 401)
    assert heard.head.startswith(b"POST /mcp?key=secret-of-the-url&more=1 HTTP/1.1\r\n")
    ours = {b"host", b"connection", b"transfer-encoding", b"x-mine", b"accept-encoding", b"content-length"}
    assert [pair for pair in heard.headers if pair[0] not in ours] == [
        pair for pair in Heard(sent[:-4], b"").headers if pair[0] not in ours
    ]
    assert heard.header(b"host") == b"127.0.0.1:%d" % server.port
    # What the recording could not read is not asked for.
    assert heard.header(b"accept-encoding") == b"gzip"
    expected = Heard(answered.partition(b"\r\n\r\n")[0], b"").headers
    assert [pair for pair in got.headers if pair[0] not in ours] == [
        pair for pair in expected if pair[0] not in ours
    ]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", [b"202 Accepted", b"204 No Content", b"405 Method Not Allowed"])
def test_methods_and_status_pass(server: Upstream, proxy: Proxy, method: str, status: bytes) -> None:
    length = b"" if status.startswith(b"204") else b"Content-Length: 0\r\n"
    server.script = lambda wire, _: wire.socket.sendall(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n")
    got = proxy.ask(f"{method} /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"%d" % got.status == status[:3]
    assert server.heard[-1].head.startswith(method.encode())


def test_events_pass_as_they_come(server: Upstream, proxy: Proxy) -> None:
    """The server sends the next one only when the client has the one before."""
    arrived = [threading.Event() for _ in range(3)]

    def script(wire: Wire, _: Heard) -> None:
        wire.socket.sendall(STREAM)
        for number, event in enumerate(arrived):
            wire.socket.sendall(chunk(b"data: %d\n\n" % number))
            assert event.wait(WAIT_S)
        wire.socket.sendall(b"0\r\n\r\n")

    server.script = script
    wire = proxy.connect()
    with wire.socket:
        wire.socket.sendall(post(CALL))
        for number, event in enumerate(arrived):
            assert (wire.until(b"data: %d\n\n" % number)) is not None
            event.set()
        assert wire.until(b"0\r\n\r\n") is not None


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("head", [STREAM, OK.replace(b"Length: 2", b"Length: 9000000")[:-2]])
def test_a_server_that_dies_in_mid_answer_is_seen_to(
    server: Upstream, proxy: Proxy, head: bytes, reset: Any
) -> None:
    """All that it said arrives, also where the client reads it late, and no end of it."""
    said = os.urandom(700_000)
    late = threading.Event()

    def script(wire: Wire, _: Heard) -> None:
        wire.socket.sendall(head + (chunk(said) if head == STREAM else said))
        if reset:
            # Whatever is still on its way is gone with a reset.
            assert late.wait(WAIT_S)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()
        closed.set()

    closed = threading.Event()
    server.script = script
    wire = proxy.connect()
    with wire.socket:
        wire.socket.sendall(post(CALL))
        got = wire.head()
        assert got is not None
        assert reset or closed.wait(WAIT_S)
        for piece in wire.pieces(got):
            got.body += piece
            if len(got.body) == len(said):
                late.set()
    assert got.body == said
    assert not got.whole


def test_of_a_server_that_died_all_arrives_however_late_it_is_taken() -> None:
    """What is on its way when the connection breaks must not be dropped for the error."""
    said = [os.urandom(9_000) for _ in range(20)]
    got: list[dict[str, Any]] = []

    async def main() -> None:
        died = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(STREAM + b"".join(map(chunk, said)))
            await writer.drain()
            writer.close()
            died.set()

        async def send(message: dict[str, Any]) -> None:
            got.append(message)
            if message["type"] == "http.response.body":
                await died.wait()
                for _ in range(200):
                    await asyncio.sleep(0)

        async def receive() -> dict[str, Any]:
            # Once, and then the client stays.
            return await asyncio.Future() if heard.is_set() else heard.set() or {"type": "http.request"}

        heard = asyncio.Event()
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with _passing.session() as client:
                passing = _passing.Passing(
                    client,
                    Server.read(f"http://127.0.0.1:{port}/mcp"),
                    Guard(Listen("127.0.0.1", 0), [], "/mcp"),
                    Tap(),
                )
                scope = {"type": "http", "method": "POST", "raw_path": b"/mcp", "query_string": b""}
                await passing(scope | {"headers": [(b"host", b"localhost")]}, receive, send)

    asyncio.run(main())
    assert b"".join(message.get("body", b"") for message in got) == b"".join(said)
    assert got[-1]["more_body"] is True


def test_a_client_that_leaves_is_seen_to_leave(server: Upstream, proxy: Proxy) -> None:
    left = threading.Event()

    def script(wire: Wire, _: Heard) -> None:
        wire.socket.sendall(STREAM)
        if wire.head() is None:
            left.set()

    server.script = script
    wire = proxy.connect()
    wire.socket.sendall(post(CALL))
    assert wire.until(b"\r\n\r\n") is not None
    wire.socket.close()
    assert left.wait(WAIT_S)


def test_a_server_that_is_not_there_or_answers_nothing(
    server: Upstream, proxy: Proxy, tmp_path: Path
) -> None:
    server.script = lambda wire, _: wire.socket.close()
    got = proxy.ask(post(CALL))
    assert (got.status, got.header(b"content-type")) == (502, b"application/json")
    assert b"closed the connection without an answer" in got.body
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with proxied(tmp_path, f"http://127.0.0.1:{port}/mcp") as other:
        got = other.ask(post(CALL))
        assert got.status == 502
        assert b"cannot be reached: Connect" in got.body
        assert b'"jsonrpc": "2.0", "id": null' in got.body
        assert other.stop() == 0
        assert any("1 call (1 failed)" in line for line in other.said)


def test_a_redirect_is_not_followed_nor_passed_on(server: Upstream, proxy: Proxy) -> None:
    elsewhere = Upstream()
    answer = (
        f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://u:secret-user@127.0.0.1:{elsewhere.port}/x?token=secret-query"
        "\r\nContent-Length: 0\r\n\r\n"
    )
    server.script = lambda wire, _: wire.socket.sendall(answer.encode())
    got = proxy.ask(post(CALL, "Authorization: Bearer secret-token"))
    assert got.status == 502
    assert got.header(b"location") == b""
    assert f"redirects to http://127.0.0.1:{elsewhere.port}/x:".encode() in got.body
    assert b"secret" not in got.body
    assert elsewhere.heard == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(CALL, host="evil.example:9000"), 421),
        (post(CALL, host="localhost.evil.example"), 421),
        (post(CALL, host=""), 421),
        (post(CALL, "Origin: http://evil.example"), 403),
        (post(CALL, "Origin: null"), 403),
        (post(CALL, "Origin: http://localhost@evil.example"), 403),
        (post(CALL, path="/other"), 404),
        (post(CALL, path="http://evil.example/mcp"), 404),
        (post(CALL).replace(b"POST", b"TRACE"), 405),
        (post(CALL, "X-Odd: \udcff".encode("utf-8", "surrogateescape").decode("latin-1")), 400),
    ],
)
def test_what_is_refused_does_not_reach_the_server(
    server: Upstream, proxy: Proxy, request_: bytes, status: int
) -> None:
    heard = len(server.heard)
    if status == 400:
        request_ = post(CALL, "X-Odd: ?").replace(b"?", b"\xff")
    got = proxy.ask(request_)
    assert got.status == status
    assert got.body.startswith(b'{"jsonrpc": "2.0", "id": null, "error"')
    assert len(server.heard) == heard


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:80", "LOCALHOST.", "proxy.example"])
def test_names_that_are_served(server: Upstream, proxy: Proxy, host: str) -> None:
    server.script = lambda wire, _: wire.socket.sendall(OK)
    assert proxy.ask(post(CALL, f"Origin: http://{host}", host=host)).status == 200


def test_nothing_of_who_somebody_is_gets_kept(server: Upstream, tmp_path: Path) -> None:
    answer = OK.replace(b"{}", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}').replace(
        b"Length: 2", b"Length: 63\r\nSet-Cookie: secret-set\r\nWWW-Authenticate: secret-challenge"
    )
    server.script = lambda wire, _: wire.socket.sendall(answer)
    address = f"http://127.0.0.1:{server.port}/mcp?key=secret-of-the-url"
    with proxied(tmp_path, address, "--durable") as proxy:
        secrets = ["Authorization: Bearer secret-token", "Cookie: secret-cookie", "X-Api-Key: secret-key"]
        got = proxy.ask(
            post(CALL, *secrets, "Mcp-Session-Id: secret-session", path="/mcp?token=secret-query")
        )
        assert got.status == 200
        assert proxy.stop() == 0
        assert any(line.startswith("bcp-analytics proxy: 1 call (1 failed)") for line in proxy.said)
        kept = proxy.kept()
        assert b"tools/call" in kept
        assert b"secret" not in kept
        assert "secret" not in "".join(proxy.said)


def test_it_ends_with_open_streams_and_lets_a_call_be_answered(server: Upstream, tmp_path: Path) -> None:
    stopping, asked = threading.Event(), threading.Event()

    def script(wire: Wire, heard: Heard) -> None:
        if heard.head.startswith(b"GET"):
            wire.socket.sendall(STREAM)
            wire.until(b"never")
        else:
            asked.set()
            assert stopping.wait(WAIT_S)
            wire.socket.sendall(OK)

    server.script = script
    with proxied(tmp_path, f"http://127.0.0.1:{server.port}/mcp") as proxy:
        stream, call = proxy.connect(), proxy.connect()
        with stream.socket, call.socket:
            stream.socket.sendall(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stream.until(b"\r\n\r\n") is not None
            call.socket.sendall(post(CALL))
            assert asked.wait(WAIT_S)
            proxy.process.send_signal(signal.SIGTERM)
            # Broken off, as nobody waits for an answer on it.
            assert stream.until(b"never") is None
            stopping.set()
            answer = call.hear()
            assert answer is not None
            assert answer.body == b"{}"
        assert proxy.stop() == 0


def test_a_proxy_that_records_nothing_passes_all_the_same(server: Upstream, tmp_path: Path) -> None:
    server.script = lambda wire, _: wire.socket.sendall(OK)
    with proxied(tmp_path, f"http://127.0.0.1:{server.port}/mcp", dsn="not = a dsn ' at all") as proxy:
        assert proxy.ask(post(CALL)).body == b"{}"
        assert proxy.stop() == 0
        assert "nothing was recorded" in proxy.said[-1]


def command(*arguments: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    program = f"import sys; {before}; from bcp_analytics._command import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "proxy", "--bcp", "x", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_the_command_line_says_of_a_proxy_that_cannot_be(server: Upstream) -> None:
    url = "http://127.0.0.1:1/mcp"
    taken = command("--upstream", url, "--listen", f"127.0.0.1:{server.port}")
    assert (taken.returncode, "cannot listen" in taken.stderr) == (1, True)
    without = command("--upstream", url, before="sys.modules['aiohttp'] = None")
    assert (without.returncode, 'pip install "bcp_analytics[server]"' in without.stderr) == (1, True)
    public = CliRunner().invoke(app, ["proxy", "--bcp", "x", "--upstream", url, "--listen", "0.0.0.0:0"])
    assert (public.exit_code, "--public" in public.stderr) == (1, True)
    for unclear in ((), ("--upstream", url, "--", "cat"), ("--listen", "127.0.0.1:0", "--", "cat")):
        assert CliRunner().invoke(app, ["proxy", "--bcp", "x", *unclear]).exit_code == 2


@pytest.mark.parametrize("address", ["0.0.0.0:9000", "192.0.2.1:80", "example.com:80", "[::]:1"])
def test_an_address_of_the_network_must_be_asked_for(address: str) -> None:
    with pytest.raises(BcpAnalyticsError, match="--public"):
        Listen.read(address, public=False)
    assert Listen.read(address, public=True).port == int(address.rpartition(":")[2])


@pytest.mark.parametrize("address", ["9000", "127.0.0.1", ":9000", "127.0.0.1:70000", "127.0.0.1:²"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BcpAnalyticsError, match=r"127\.0\.0\.1:9000"):
        Listen.read(address, public=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/secret",
        "//h/secret",
        "secret",
        "http:///secret",
        "http://h:x/secret",
        "http://h/\nsecret",
        "http://u:secret@h/",
        "http://h/#secret",
        "file:///secret",
        "http://h:99999/secret",
    ],
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(BcpAnalyticsError) as raised:
        Server.read(url)
    assert "secret" not in str(raised.value)


def test_the_proxy_is_no_server_of_itself() -> None:
    assert Server.read("http://localhost:9000/mcp").is_at(Listen("127.0.0.1", 9000))
    assert not Server.read("http://localhost:9001/mcp").is_at(Listen("127.0.0.1", 9000))
    assert not Server.read("https://example.com:9000/mcp").is_at(Listen("127.0.0.1", 9000))
