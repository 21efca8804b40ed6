"""Serving the HTTP proxy until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp._proxy import _passing
from bcp_analytics.mcp._proxy._conversation import say
from bcp_analytics.mcp._proxy._exchanges import HttpObserver
from bcp_analytics.mcp._proxy._guard import Guard, Listen, Upstream
from bcp_analytics.mcp._proxy._loop_tap import LoopTap
from bcp_analytics.mcp._proxy._record import Recording
from bcp_analytics.mcp._proxy._run import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import aiohttp

    from bcp_analytics.mcp._asking import Asking

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_GRACE_S = 4
"""How long, once it is told to end, calls that are under way may take to be answered."""
_CLOSE_S = 5
"""How long sending may take after that. Together less than the 10 s after which Docker kills."""
_KEEP_S = 75
_MAX_HEADERS = 65_536


def serve_proxy(
    bcp_name: str,
    upstream: str,
    listen: str,
    connect: Callable[[], Any],
    *,
    user_id: str | None = None,
    allow_hosts: Iterable[str] = (),
    public: bool = False,
    asking: Asking | None = None,
) -> Outcome:
    """Stand between clients at `listen` and the server at `upstream`, and record the calls; until a signal.

    `connect` makes the collector, in a process of its own; where it raises, that is said on stderr and
    nothing is recorded. `asking` is what agents are asked, by default nothing. To be called from the main
    thread, while there is no other. Raises `BcpAnalyticsError`.
    """
    to, at = Upstream.read(upstream), Listen.read(listen, public=public)
    if to.is_at(at):
        raise BcpAnalyticsError("The server's address is that of the proxy.", hint="Give another --listen.")
    tap = LoopTap()
    read = partial(HttpObserver, bcp_name, user_id=user_id, say=say)
    # What a terminal's Ctrl-C ends is the proxy; the process that records ends when it has heard all.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        recording = Recording(tap, connect, read, _CLOSE_S)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # After the fork, or the address would be taken for as long as the recording takes to end.
    sockets = [_bound(at)]
    recording.begin()
    try:
        passing = partial(
            _passing.Passing,
            upstream=to,
            guard=Guard(at, allow_hosts, to.path),
            tap=tap,
            asking=asking if asking is not None and asking.wanted else None,
        )
        asyncio.run(_serve(sockets, to, passing, tap, recording.pipe))
    finally:
        recording.start()
        recording.finish(0, client_left=True)
    return Outcome(0, recording.counts, recording.stats)


def _bound(at: Listen) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # From now on clients can connect, if only to wait.
        bound.listen()
    except OSError as error:
        raise BcpAnalyticsError(
            f"The proxy cannot listen on {at.host}:{at.port}: {error.strerror or error}.",
            hint="Give another --listen; port 0 is any free one.",
        ) from None
    return bound


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them once more at its end, before all is recorded."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    sockets: list[socket.socket],
    upstream: Upstream,
    passed_by: Callable[[aiohttp.ClientSession], _passing.Passing],
    tap: LoopTap,
    pipe: int,
) -> None:
    tap.attach(pipe)
    # It says so of each response that is broken off, which here is done on purpose.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    async with _passing.session() as client:
        passing = passed_by(client)
        config = uvicorn.Config(
            passing,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=_MAX_HEADERS,
            timeout_keep_alive=_KEEP_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = _Server(config)

        def stop() -> None:
            server.force_exit = server.should_exit
            server.should_exit = True
            passing.break_off_streams()

        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        host, port = sockets[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        say(f"clients of {upstream.origin}{upstream.path} connect to http://{name}:{port}{upstream.path}")
        await server.serve(sockets)
    tap.detach()
