"""Programs that record calls and leave their collector open: what a stop by signal must not lose.

The environment says where to: `RECORD_TO`, `SPOOL`. Nothing is sent before the end but by the end itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from functools import cache
from socket import AF_UNIX, socket
from threading import Thread
from typing import TYPE_CHECKING, Any

from bcp_analytics.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastmcp import FastMCP


@cache
def collector() -> Collector:
    return Collector(
        os.environ["RECORD_TO"],
        source="served",
        spool=os.environ["SPOOL"],
        buffer_size=100_000,
        flush_interval_s=3600,
        drain_timeout_s=30,
    )


def answer() -> bytes:
    collector().record("served", "ask", duration_ms=1)
    return b"{}"


async def asgi(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # Recorded before the client can have the answer.
    await send({"type": "http.response.body", "body": answer()})


def wsgi(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [answer()]


def fastmcp_server() -> FastMCP:
    from fastmcp import FastMCP  # noqa: PLC0415 - it takes a second, and the others do without

    from bcp_analytics.mcp import instrument  # noqa: PLC0415

    server = FastMCP("served")

    @server.tool
    def ask() -> str:
        return "answer"

    @server.tool
    async def outlast(path: str) -> str:
        """Answer once the server takes no more connections, as after a signal."""
        os.write(1, b"called\n")
        with suppress(OSError):
            while True:
                with socket(AF_UNIX) as probe:
                    probe.connect(path)
                await asyncio.sleep(0.01)
        return "answer"

    return instrument(server, collector())


async def _wait(stop: asyncio.Event) -> None:
    for _ in range(10):
        answer()
    os.write(1, b"x" * 10)
    await stop.wait()


def _busy() -> None:
    """Tell of each call once it is recorded; the signal comes at any moment, also within record()."""
    while True:
        answer()
        os.write(1, b"x")


def _chained() -> None:
    """As a program does that ends itself by the signal it got, and whose collector is another thread's."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    maker = Thread(target=collector)
    maker.start()
    maker.join()
    signal.signal(signal.SIGTERM, end)
    asyncio.run(_wait(asyncio.Event()))


async def _lifespan() -> None:
    """As a server does that ends by _exit after its lifespan."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with collector().lifespan():
        await _wait(stop)
    os._exit(0)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "fastmcp":
        fastmcp_server().run(
            transport="http",
            show_banner=False,
            stateless_http=True,
            json_response=True,
            host_origin_protection=False,
            uvicorn_config={"uds": rest[0]},
        )
    elif what in {"asyncio", "lifespan"}:
        asyncio.run(_wait(asyncio.Event()) if what == "asyncio" else _lifespan())
    else:
        {"busy": _busy, "chained": _chained}[what]()
