"""A server of HTTP that answers to the byte as a test says, and a client that reads to the byte."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_S = 20


@dataclass
class Heard:
    """A message as it was on the wire."""

    head: bytes
    body: bytes
    whole: bool = True

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [(name.strip().lower(), value.strip()) for name, _, value in lines]

    def header(self, name: bytes) -> bytes:
        return dict(self.headers).get(name, b"")


class Wire:
    """A connection that is read to the byte."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        connected.settimeout(WAIT_S)
        self._rest = b""

    def until(self, mark: bytes) -> bytes | None:
        """Return what comes up to a mark, None where the connection ends before."""
        while mark not in self._rest:
            if not self._more():
                return None
        found, _, self._rest = self._rest.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self._rest) < size and self._more():
            pass
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def hear(self) -> Heard | None:
        """Return a request or a response, with the body that there is of it."""
        heard = self.head()
        if heard is not None:
            for piece in self.pieces(heard):
                heard.body += piece
        return heard

    def head(self) -> Heard | None:
        """Return the head alone."""
        head = self.until(b"\r\n\r\n")
        return None if head is None else Heard(head, b"")

    def pieces(self, heard: Heard) -> Iterator[bytes]:
        """Yield the body as it comes, and say in `heard` whether that was all of it."""
        heard.whole = False
        if heard.header(b"transfer-encoding") == b"chunked":
            while (size := self.until(b"\r\n")) is not None:
                yield self.exactly(int(size, 16))
                self.exactly(2)
                if int(size, 16) == 0:
                    heard.whole = True
                    return
            return
        left = int(heard.header(b"content-length") or 0)
        while left and (piece := self.exactly(min(left, 50_000))):
            left -= len(piece)
            yield piece
        heard.whole = not left

    def _more(self) -> bool:
        try:
            chunk = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._rest += chunk
        return bool(chunk)


@dataclass
class Upstream:
    """Answers each request by `script`, which gets the connection and the request."""

    script: Callable[[Wire, Heard], None] = lambda wire, _: wire.socket.sendall(OK)
    heard: list[Heard] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self.socket.accept()
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(Wire(connected),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError), wire.socket:
            while (heard := wire.hear()) is not None:
                self.heard.append(heard)
                self.script(wire, heard)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Proxy:
    """A proxy in a process of its own, whose database is away unless there is a `dsn`."""

    def __init__(self, folder: Path, upstream: str, *options: str, dsn: str = "") -> None:
        self.folder = folder
        environment = os.environ | {
            "XDG_STATE_HOME": str(folder / "state"),
            "BCP_ANALYTICS_DSN": dsn or f"host={folder} dbname=nowhere connect_timeout=2",
        }
        command = [sys.executable, "-m", "bcp_analytics", "proxy", "--bcp", "test", "--verbose"]
        listen = ("--listen", "127.0.0.1:0") if "--listen" not in options else ()
        self.process = subprocess.Popen(
            [*command, "--upstream", upstream, *listen, *options], stderr=subprocess.PIPE, env=environment
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        while not self.said or "connect to" not in self.said[-1]:
            self.said.append(self.process.stderr.readline().decode())
            assert self.said[-1], self.said
        self.port = int(self.said[-1].rpartition("/")[0].rpartition(":")[2])

    def connect(self) -> Wire:
        return Wire(socket.create_connection(("127.0.0.1", self.port)))

    def ask(self, request: bytes) -> Heard:
        """Send a request over a connection of its own, and return the response."""
        wire = self.connect()
        with wire.socket:
            wire.socket.sendall(request)
            heard = wire.hear()
            assert heard is not None
            return heard

    def stop(self) -> int:
        """End it, keep what it said, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        _, err = self.process.communicate(timeout=60)
        self.said += err.decode().splitlines()
        return self.process.returncode

    def kept(self) -> bytes:
        """Return all that it has left on disk."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)


@contextlib.contextmanager
def proxied(folder: Path, upstream: str, *options: str, **given: Any) -> Iterator[Proxy]:
    """Run a proxy, and end it."""
    proxy = Proxy(folder, upstream, *options, **given)
    try:
        yield proxy
    finally:
        proxy.process.kill()
        proxy.stop()


def post(body: bytes, *headers: str, host: str = "localhost", path: str = "/mcp") -> bytes:
    """Return a request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Relay:
    """Stands on the way to a port, and keeps what passes in each direction."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._passed: list[tuple[bytearray, bytearray]] = []
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def messages(self) -> tuple[list[Any], list[Any]]:
        """Return the requests and the responses that passed, less what is about one side alone."""
        requests = [one for kept, _ in self._passed for one in _messages(bytes(kept))]
        responses = [one for _, kept in self._passed for one in _messages(bytes(kept))]
        return sorted(requests), sorted(responses)

    def close(self) -> None:
        """Take no more connections, and wait until those that there were have ended."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        sent, got = bytearray(), bytearray()
        self._passed.append((sent, got))
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            back = threading.Thread(target=_copy, args=(server, client, got), daemon=True)
            back.start()
            _copy(client, server, sent)
            back.join()


def _copy(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            kept += chunk
            target.sendall(chunk)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


class _Kept(Wire):
    """What was kept of a connection, to be read again."""

    def __init__(self, kept: bytes) -> None:
        self._rest = kept

    def _more(self) -> bool:
        return False


_OF_ONE_SIDE = {
    b"host",
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"content-length",
    b"accept-encoding",
}


def _messages(kept: bytes) -> Iterator[Any]:
    wire = _Kept(kept)
    # A client that has its answer may leave before the end of a stream.
    while (heard := wire.hear()) is not None:
        headers = tuple(pair for pair in heard.headers if pair[0] not in _OF_ONE_SIDE)
        yield heard.head.split(b"\r\n")[0], heard.body, headers
