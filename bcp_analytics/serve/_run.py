"""Running the server until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._app import create_app
from bcp_analytics.serve._database import check_ready
from bcp_analytics.serve._patience import PatientProtocol
from bcp_analytics.serve._stream import UVICORN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from bcp_analytics.serve._config import Config

# How long requests that run may take to end once the server is told to stop: seconds.
_GRACE = 10


def _server(config: Config, app: Starlette) -> uvicorn.Server:
    settings = uvicorn.Config(
        app,
        **UVICORN,
        http=PatientProtocol,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=list(config.trusted_proxies) or None,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
        server_header=False,
        # Ours has no values in it.
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
    )
    try:
        settings.load()
    except OSError as error:
        raise BcpAnalyticsError(
            f"The certificate and its key cannot be used: {error.strerror or error}.",
            hint="Both are in PEM, and the key is that of the first certificate.",
        ) from None
    return uvicorn.Server(settings)


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        raise BcpAnalyticsError(
            f"The server cannot listen on {config.host}, port {config.port}: {error.strerror or error}.",
            hint="Another program may use the port: give another by --port.",
        ) from None


def _url(config: Config, listener: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.tls_certificate else 'http'}://{host}:{listener.getsockname()[1]}"


def run(config: Config, *, tell: Callable[[str], object] = print) -> None:
    """Serve until a signal says to stop, and end what runs first.

    Raises `BcpAnalyticsError` where the database cannot serve, or the address is in use.
    """
    asyncio.run(check_ready(config))
    with _listen(config) as listener:
        server = _server(config, create_app(config))
        tell(f"Serving on {_url(config, listener)}; Ctrl-C stops it.")
        server.run(sockets=[listener])


@contextmanager
def background(config: Config, app: Starlette | None = None) -> Iterator[str]:
    """Serve in a thread during the block, which gets the URL; `app` is by default that of `config`.

    Raises `BcpAnalyticsError` where the address is in use, or the server ends at once.
    """
    with _listen(config) as listener:
        server = _server(config, app or create_app(config))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="bcp-analytics serve", daemon=True
        )
        thread.start()
        while not server.started:
            thread.join(0.01)
            if not thread.is_alive():
                raise BcpAnalyticsError(
                    "The server has ended at once.", hint="What it said before tells why."
                )
        try:
            yield _url(config, listener)
        finally:
            server.should_exit = True
            thread.join(_GRACE * 2)
