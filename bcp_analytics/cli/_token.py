"""The commands `bcp-analytics token create`, `token list` and `token revoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from bcp_analytics import upkeep
from bcp_analytics.cli._output import Format, Output, write_rows
from bcp_analytics.cli._support import Dsn, connected, parse_ahead, say, tell
from bcp_analytics.errors import BcpAnalyticsError

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens for bcp-analytics serve.")


Role = Literal["ingest", "reader", "admin"]
Vantage = Literal["server", "client"]
Name = Annotated[str, typer.Argument(help="Who or what has the token, such as github-server.")]


@app.command()
def create(
    name: Name,
    *,
    role: Annotated[
        Role,
        typer.Option(
            help="ingest: send events, and read nothing. reader: ask questions. admin: both, the live "
            "stream, and changes such as resolving an issue."
        ),
    ],
    vantage: Annotated[
        Vantage | None,
        typer.Option(
            help="Of the role ingest: server (the default) where the tools run, client where they are "
            "called. It keeps a call that both sides send from being counted twice.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            help="When it stops being accepted: in 12h, 90d or 4w, or an ISO 8601 time. By default never.",
            show_default=False,
        ),
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Make a token and print it, once: only its SHA-256 is kept.

    \b
    bcp-analytics token create github-server --role ingest
    bcp-analytics token create laptop --role ingest --vantage client --expires 90d
    bcp-analytics token create dashboard --role admin > token.txt
    """  # noqa: D301
    expires_at = None if expires is None else parse_ahead("--expires", expires, lambda: datetime.now(UTC))
    with connected(dsn) as conn:
        token = upkeep.create_api_token(
            conn,
            name,
            role,
            vantage=vantage,
            expires_at=expires_at,
        )
    tell(token)
    say("Keep it: nobody can show it again. Send it as the header Authorization: Bearer TOKEN.")


@app.command("list")
def list_(output: Output = Format.table, dsn: Dsn = None) -> None:
    """Say which tokens there are, what each may do, and when it was last used.

    \b
    bcp-analytics token list
    bcp-analytics token list --format json
    """  # noqa: D301
    with connected(dsn) as conn:
        found = upkeep.api_tokens(conn)
    none = "There is no token yet. Make one: bcp-analytics token create NAME --role reader"
    write_rows(found, upkeep.ApiToken, output, none=none)


@app.command()
def revoke(name: Name, dsn: Dsn = None) -> None:
    """Revoke a token. Servers refuse it within five seconds, and close its streams within a minute.

    \b
    bcp-analytics token revoke laptop
    """  # noqa: D301
    with connected(dsn) as conn:
        revoked = upkeep.revoke_api_token(conn, name)
    if not revoked:
        raise BcpAnalyticsError(
            f"There is no valid token named {name!r}.", hint="bcp-analytics token list shows all."
        )
    tell("Revoked.")
