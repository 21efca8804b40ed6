"""Running the server until it is told to stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._app import create_app
from bcp_analytics.serve._database import check_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.serve._config import Config

# How long requests that run may take to end once the server is told to stop: seconds.
_GRACE = 10


def uvicorn_config(config: Config) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        create_app(config),
        host=config.host,
        port=config.port,
        ws="websockets-sansio",
        ws_max_size=4096,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        ws_per_message_deflate=False,
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


def run(config: Config, *, tell: Callable[[str], object] = print) -> None:
    """Serve until a signal says to stop, and end what runs first.

    Raises `BcpAnalyticsError` where the database cannot serve, or the address is in use.
    """
    asyncio.run(check_ready(config))
    server = uvicorn.Server(uvicorn_config(config))
    scheme = "https" if config.tls_certificate else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    tell(f"Serving on {scheme}://{host}:{config.port}. Stop it by Ctrl+C.")
    try:
        server.run()
    except SystemExit:
        raise BcpAnalyticsError(
            f"The server could not start on {host}:{config.port}.",
            hint="Another program may use the port: give another by --port.",
        ) from None
