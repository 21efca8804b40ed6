"""The command `bcp-analytics serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bcp_analytics.cli._support import Dsn, readable_dsn, say
from bcp_analytics.errors import BcpAnalyticsError

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
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8787,
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
    dsn: Dsn = None,
) -> None:
    """Take events in by HTTP and OpenTelemetry, answer questions, and stream what happens.

    Every request needs a token, which bcp-analytics token create makes. It listens on this machine alone
    unless told otherwise. Needs the extra bcp_analytics[server], and a role of the database with bcp_admin.

    \b
    bcp-analytics token create me --role admin
    bcp-analytics serve
    bcp-analytics serve --allow-host bcp.example.com --trust-proxy 127.0.0.1
    bcp-analytics serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem --allow-host bcp.lan
    """  # noqa: D301
    try:
        from bcp_analytics.serve import Config, run  # noqa: PLC0415 - only this command pays for its imports
    except ImportError as error:
        raise BcpAnalyticsError(
            f"The server needs {error.name}, which is not installed.",
            hint='pip install "bcp_analytics[server]"',
        ) from None
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("give both or none.", param_hint="--tls-certificate and --tls-key")
    config = Config(
        dsn=readable_dsn(dsn),
        host=host,
        port=port,
        allowed_hosts=tuple(allow_host or ()),
        trusted_proxies=tuple(trust_proxy or ()),
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        access_log=access_log,
    )
    if config.public and tls_certificate is None and not trust_proxy:
        say("Warning: without TLS others can read tokens and events: give --tls-certificate and --tls-key.")
    run(config, tell=say)
