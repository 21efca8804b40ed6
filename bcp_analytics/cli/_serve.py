"""The command `bcp-analytics serve`."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcp_analytics.cli._support import READ_DSN_VARIABLE, Dsn, connected, readable_dsn, say
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.upkeep import create_api_token, revoke_api_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# The token that `up --serve` and `demo --serve` make anew each time.
_OWN_TOKEN = "this-terminal"  # noqa: S105 - a name
PORT = 8787
_LOOPBACK = "127.0.0.1"
ServeToo = Annotated[
    bool,
    typer.Option(
        "--serve", help="Start bcp-analytics serve beside it, on 127.0.0.1 alone, with a token for you."
    ),
]
ServePort = Annotated[
    int, typer.Option("--serve-port", min=0, max=65535, help="Port of --serve; 0: any free one.")
]

Certificate = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="Certificate chain in PEM, for HTTPS.", show_default=False
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Its private key in PEM.", show_default=False),
]


def serve(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all, once there is a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name under which clients reach it, beside localhost; once for each.", show_default=False
        ),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address of a proxy whose X-Forwarded-For and X-Forwarded-Proto are believed; once for "
            "each.",
            show_default=False,
        ),
    ] = None,
    tls_certificate: Certificate = None,
    tls_key: Key = None,
    access_log: Annotated[
        bool, typer.Option(help="Whether to write a line of JSON per request to stderr.")
    ] = True,
    allow_resolve: Annotated[
        bool,
        typer.Option(
            "--allow-resolve", help="Let agents with the token of an administrator resolve issues, by /mcp."
        ),
    ] = False,
    notify: Annotated[
        bool,
        typer.Option(help="Whether to send alerts to the channels, as bcp-analytics notify does."),
    ] = True,
    dsn: Dsn = None,
) -> None:
    """Take events in by HTTP and OpenTelemetry, answer questions, and stream what happens.

    Every request needs a token, which bcp-analytics token create makes. It listens on this machine alone
    unless told otherwise. Where BCP_ANALYTICS_READ_DSN names a standby, that answers the questions.
    Needs the extra bcp_analytics[server], and a role of the database with bcp_admin.

    \b
    bcp-analytics token create me --role admin
    bcp-analytics serve
    bcp-analytics serve --allow-host bcp.example.com --trust-proxy 127.0.0.1
    bcp-analytics serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem --allow-host bcp.lan
    """  # noqa: D301
    server = _server_room()
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("give both or none.", param_hint="--tls-certificate and --tls-key")
    config = server.Config(
        dsn=readable_dsn(dsn),
        read_dsn=readable_dsn(None, reads=True) if os.environ.get(READ_DSN_VARIABLE) else None,
        host=host,
        port=port,
        allowed_hosts=tuple(allow_host or ()),
        trusted_proxies=tuple(trust_proxy or ()),
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        access_log=access_log,
        allow_resolve=allow_resolve,
        notify=notify,
    )
    if config.public and tls_certificate is None and not trust_proxy:
        say("Warning: without TLS others can read tokens and events: give --tls-certificate and --tls-key.")
    server.run(config, tell=say)


def _server_room() -> ModuleType:
    """Return the package that serves; raises `BcpAnalyticsError` where what it needs is not installed."""
    try:
        from bcp_analytics import serve as room  # noqa: PLC0415 - only whoever serves pays for its imports
    except ImportError as error:
        raise BcpAnalyticsError(
            f"The server needs {error.name}, which is not installed.",
            hint='pip install "bcp_analytics[server]"',
        ) from None
    return room


def check_beside(port: int) -> None:
    """Raise `BcpAnalyticsError` where a server could not serve, before a minute goes into its database."""
    _server_room()
    try:
        socket.create_server((_LOOPBACK, port)).close()
    except OSError as error:
        raise BcpAnalyticsError(
            f"The server cannot listen on {_LOOPBACK}, port {port}: {error.strerror or error}.",
            hint="Another program may use the port: give another by --serve-port.",
        ) from None


@contextmanager
def serving_beside(dsn: str, port: int) -> Iterator[None]:
    """Serve an embedded database during the block, and say how to get in."""
    server = _server_room()
    with connected(dsn) as conn:
        revoke_api_token(conn, _OWN_TOKEN)
        token = create_api_token(conn, _OWN_TOKEN, "admin")
    with server.background(server.Config(dsn=dsn, port=port, access_log=False)) as url:
        say(f"Serving on {url}")
        say(f"Open it and log in with this token, which is also what senders need: {token}")
        yield
