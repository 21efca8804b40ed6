"""The commands `bcp-analytics federate add`, `list`, `remove`, `check` and `share-keys`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from bcp_analytics import federation
from bcp_analytics._core.connection import check_readable
from bcp_analytics.cli._output import Format, Output, write_rows
from bcp_analytics.cli._support import Dsn, connected, find_dsn, say, tell
from bcp_analytics.errors import BcpAnalyticsError

app = typer.Typer(
    no_args_is_help=True, help="Ask several stores as one: a head, and the stores that it asks, its shards."
)

Name = Annotated[str, typer.Argument(help="Name of the shard, such as eu_1.")]


@app.command()
def add(
    name: Name,
    shard: Annotated[
        str | None,
        typer.Argument(
            metavar="DSN",
            help="Connection string of the shard, as the head's server reaches it, for the role that "
            "migrated it. With a password it comes from standard input instead.",
            show_default=False,
        ),
    ] = None,
    *,
    bundles: Annotated[
        str,
        typer.Option(
            help="Bundles that it takes, with commas between them. * is what no other shard names.",
        ),
    ] = "*",
    dsn: Dsn = None,
) -> None:
    """Add a shard to a head: a migrated database without events, which --dsn names.

    Other users of this machine see what is on the command line, so a connection string with a password is
    read from standard input. The head keeps the password where only its owner can read it.

    \b
    bcp-analytics federate add eu "host=db-eu.example.com dbname=bcp user=bcp_owner" --bundles files,mail
    bcp-analytics federate add rest < rest.dsn
    """  # noqa: D301
    if shard is None:
        shard = sys.stdin.readline().strip()
        if not shard:
            raise BcpAnalyticsError("There is no connection string on standard input.")
    else:
        check_readable(shard)
        if conninfo_to_dict(shard).get("password"):
            raise typer.BadParameter(
                "has a password, which every list of processes shows: give it on standard input.",
                param_hint="DSN",
            )
    wanted = [bundle.strip() for bundle in bundles.split(",") if bundle.strip()]
    federation.add(find_dsn(dsn), name, shard, wanted)
    tell(f"Added. Its bundles: {', '.join(wanted)}.")
    say("bcp-analytics federate share-keys gives all one key, bcp-analytics federate check looks at all.")


@app.command("list")
def list_(output: Output = Format.table, dsn: Dsn = None) -> None:
    """Say which shards there are, where, and which bundles each takes.

    \b
    bcp-analytics federate list
    """  # noqa: D301
    with connected(dsn) as conn:
        found = federation.shards(conn)
    none = "This database is no head. Add a shard: bcp-analytics federate add NAME DSN"
    write_rows(found, federation.Shard, output, none=none)


@app.command()
def remove(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; answers are then without this shard.")] = False,
    dsn: Dsn = None,
) -> None:
    """Remove a shard from the head. The shard keeps what it holds.

    \b
    bcp-analytics federate remove eu --yes
    """  # noqa: D301
    if not yes:
        say(f"Answers would be without the shard {name}, and nobody would be told. Give --yes to do it.")
        raise typer.Exit(1)
    if not federation.remove(find_dsn(dsn), name):
        raise BcpAnalyticsError(
            f"There is no shard {name!r}.", hint="bcp-analytics federate list names them."
        )
    tell("Removed.")


@app.command()
def check(output: Output = Format.table, dsn: Dsn = None) -> None:
    """Ask every shard whether it answers, and whether it is like the head. Exit code 1 where one fails.

    \b
    bcp-analytics federate check
    """  # noqa: D301
    found = federation.check(find_dsn(dsn))
    write_rows(found, federation.Finding, output, none="This database is no head.")
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(1)


@app.command("share-keys")
def share_keys(dsn: Dsn = None) -> None:
    """Make a new key for keyed hashes and give it to the head and all shards: one person has one hash.

    Hashes that are stored stay, so run it before the first event. No command line, statement or log has the
    key.

    \b
    bcp-analytics federate share-keys
    """  # noqa: D301
    number = federation.share_keys(find_dsn(dsn))
    tell(f"Head and shards have key {number}.")
