"""The command line: bcp-analytics."""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bcp_analytics import __version__, embedded
from bcp_analytics import migrate as migrations
from bcp_analytics.cli import (
    _archive,
    _channel,
    _cleanup,
    _compose,
    _erase,
    _explain,
    _federate,
    _lake,
    _mcp,
    _notify,
    _query,
    _restore,
    _serve,
    _spool,
    _token,
)
from bcp_analytics.cli._support import Commands, Dsn, ReadDsn, connected, counted, find_dsn, say, tell
from bcp_analytics.embedded._places import Places
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.upkeep import refresh_analytics_views

app = typer.Typer(
    name="bcp-analytics",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(_spool.app, name="spool")
app.add_typer(_archive.app, name="archive")
app.add_typer(_lake.app, name="lake")
app.add_typer(_token.app, name="token")
app.add_typer(_channel.app, name="channel")
app.add_typer(_federate.app, name="federate")


class StatusFormat(StrEnum):
    """How the state of the database is written."""

    text = "text"
    json = "json"


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of the embedded database. By default BCP_ANALYTICS_DATA, else a folder of this user.",
        show_default=False,
    ),
]


def _wait_for_signal() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(0.5):
        pass


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        tell(f"bcp-analytics {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. So does BCP_ANALYTICS_DEBUG=1.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Store the analytics of AI tool calls in your own PostgreSQL, and ask questions about them.

    \b
    bcp-analytics demo                      try it, with nothing else installed
    bcp-analytics migrate                   install the store, or upgrade it
    bcp-analytics query tool_usage_stats    ask
    """  # noqa: D301


@app.command()
def migrate(dsn: Dsn = None) -> None:
    """Install the store in a database, or bring it up to this version.

    Safe to run at every start of an application: runs wait for each other, and change nothing where there is
    nothing to change.

    \b
    bcp-analytics migrate --dsn postgresql://bcp_owner@db.example.com/bcp
    BCP_ANALYTICS_DSN=service=bcp bcp-analytics migrate
    """  # noqa: D301
    result = migrations.migrate(find_dsn(dsn), progress=say)
    if not result.changed:
        tell("Up to date, nothing to do.")
        return
    loaded = "loaded" if result.sql_applied else "as it was"
    tell(f"Done: {counted(len(result.applied), 'migration')} applied, sql/ {loaded}.")


@app.command()
def status(
    dsn: Dsn = None,
    output: Annotated[
        StatusFormat, typer.Option("--format", help="Text, or JSON for programs.")
    ] = StatusFormat.text,
) -> None:
    """Say which version a database is at, and what migrate would do. Changes nothing.

    \b
    bcp-analytics status
    bcp-analytics status --format json | jq .current
    """  # noqa: D301
    found = migrations.status(find_dsn(dsn))
    if output is StatusFormat.json:
        tell(json.dumps(asdict(found) | {"current": found.current}, default=datetime.isoformat, indent=2))
        return
    tell(f"PostgreSQL {found.postgresql}, TimescaleDB {found.timescaledb or 'not installed'}")
    for applied in found.applied:
        tell(f"  {applied.id}  {applied.applied_at:%Y-%m-%d %H:%M:%S} UTC")
    for pending in found.pending:
        tell(f"  {pending}  pending")
    for unknown in found.unknown:
        tell(f"  {unknown}  not known to this version of bcp-analytics")
    if found.sql_loaded_at is None:
        tell("sql/ is not loaded")
    else:
        state = "current" if found.sql_current else f"not that of version {__version__}"
        at = f"{found.sql_loaded_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        tell(f"sql/ is {state}, loaded {at} by version {found.sql_loaded_by}")
    for warning in found.warnings:
        tell(f"Warning: {warning}.")
    if found.unknown:
        needed = found.sql_loaded_by or "the version that migrated it"
        tell(f"Newer than version {__version__}: install {needed}, or a later one.")
    else:
        tell("Up to date." if found.current else "Not up to date: run bcp-analytics migrate.")


@app.command()
def rollback(
    *,
    count: Annotated[int, typer.Option(min=1, help="How many migrations to take back, latest first.")] = 1,
    everything: Annotated[
        bool, typer.Option("--all", help="Take back all of them: the store is gone.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it only says what would be lost.")
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Take back the last migrations, with the data that is in what they made.

    Without --yes it says what would be lost, changes nothing and ends with exit code 1.

    \b
    bcp-analytics rollback
    bcp-analytics rollback --all --yes
    """  # noqa: D301
    found = find_dsn(dsn)
    number = None if everything else count
    plan = migrations.rollback_plan(found, count=number)
    if not plan.migrations:
        tell("No migration is applied, nothing to take back.")
        return
    for lost in plan.lost:
        say(f"lost: {lost}")
    if not yes:
        raise BcpAnalyticsError(
            f"This would take back {', '.join(plan.migrations)} and lose what is listed, for good.",
            hint="Run it again with --yes to do that.",
        )
    done = migrations.rollback(found, count=number, progress=say)
    tell(f"Done: {counted(len(done.migrations), 'migration')} taken back.")
    if not everything:
        tell("The functions of sql/ are gone too: bcp-analytics migrate brings them back.")


@app.command()
def up(
    data: Data = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Listen on this port of 127.0.0.1 too, with a password; 0: any free one.",
            show_default=False,
        ),
    ] = None,
    *,
    serve: _serve.ServeToo = False,
    serve_port: _serve.ServePort = _serve.PORT,
) -> None:
    """Start the embedded database, migrate it, and keep it in the foreground until Ctrl-C.

    The first start downloads the engine. The other commands find the database by themselves.

    \b
    bcp-analytics up
    bcp-analytics up --data ./analytics --port 5433
    bcp-analytics up --serve
    """  # noqa: D301
    found = embedded.status(data)
    if found is not None:
        raise BcpAnalyticsError(
            f"An embedded database already runs on {found.path} (pid {found.pid}): {found.dsn}",
            hint="Use it, or stop it with bcp-analytics down.",
        )
    if serve:
        _serve.check_beside(serve_port)
    database = embedded.EmbeddedDatabase(data, port=port)
    say(f"starting the embedded database on {database.path}")
    stopped = threading.Event()
    with ExitStack() as running:
        running.enter_context(database)
        migrations.migrate(database.dsn, progress=say)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        tell(database.dsn)
        if port is not None:
            address = database.tcp_dsn.rpartition("@")[2]
            tell(f"postgresql://postgres@{address} with the password in {database.path / 'password'}")
        sys.stdout.flush()
        if serve:
            running.enter_context(_serve.serving_beside(database.dsn, serve_port))
        say("ready; Ctrl-C stops it")
        while not stopped.wait(0.5):
            if database.running:
                continue
            if Places(database.path).state.exists():
                raise BcpAnalyticsError(
                    "The embedded database has ended by itself.",
                    hint=f"{database.log_path} says why; what was committed is kept.",
                )
            break
    say("stopped")


@app.command(context_settings={"allow_interspersed_args": False})
def proxy(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="The MCP server: a program and its arguments.", show_default=False),
    ] = None,
    *,
    bcp: Annotated[str, typer.Option(help="Name of the bundle of tools, under which the calls are kept.")],
    upstream: Annotated[
        str | None,
        typer.Option(
            help="URL of an MCP server over HTTP, instead of a program. Needs the extra "
            "bcp_analytics[server].",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="Where clients reach --upstream by way of the proxy, by default 127.0.0.1:9000; port 0 is "
            "any free one. The path is that of the URL.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name by which clients reach the proxy. By default the local ones, and that of "
            "--listen. May be given several times.",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let --listen be an address that other machines reach.")
    ] = False,
    dsn: Dsn = None,
    user_id: Annotated[
        str | None,
        typer.Option(help="Whose calls they are, as your application names users.", show_default=False),
    ] = None,
    durable: Annotated[
        bool, typer.Option("--durable", help="Write each call to disk at once, so that no kill can lose it.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say at the end on stderr what was recorded, terminal or not.")
    ] = False,
    ask_context: Annotated[
        bool,
        typer.Option(
            "--ask-context",
            help="Give each tool an optional argument, context, in which the agent says why it calls. The "
            "server does not get it.",
        ),
    ] = False,
    get_more_tools: Annotated[
        bool,
        typer.Option(
            "--get-more-tools",
            help="Add a tool of this name, by which the agent says what is missing. The proxy answers it.",
        ),
    ] = False,
) -> None:
    """Stand between clients and an MCP server, change nothing, and record the tool calls.

    For a server over stdio, put this in front of the command by which a client starts it. It passes stdin and
    stdout on to the byte, and ends with the server's exit code.

    For a server over HTTP (streamable HTTP), give its URL as --upstream, and clients the address of --listen.
    Headers pass as well, and none that says who somebody is gets recorded. Ctrl-C or SIGTERM ends it.

    Without a database the server can be used all the same. Only --ask-context and --get-more-tools change
    what the two sides tell each other.

    \b
    bcp-analytics proxy --bcp time -- mcp-server-time
    bcp-analytics proxy --bcp files --user-id 42 -- npx -y @modelcontextprotocol/server-filesystem /data
    bcp-analytics proxy --bcp shop --upstream https://mcp.example.com/mcp
    bcp-analytics proxy --bcp shop --listen 127.0.0.1:9001 --upstream http://127.0.0.1:8000/mcp
    """  # noqa: D301
    from bcp_analytics.cli import _proxy  # noqa: PLC0415 - only this command pays for its imports
    from bcp_analytics.mcp._asking import Asking  # noqa: PLC0415

    asking = Asking(context=ask_context, more=get_more_tools)
    how = _proxy.How(bcp, dsn, user_id, durable=durable, verbose=verbose, asking=asking)
    if upstream is None and command and not (listen or allow_host or public):
        raise typer.Exit(_proxy.run(how, command))
    if upstream is None or command:
        raise typer.BadParameter(
            "give a command after --, or --upstream and perhaps --listen, --allow-host and --public."
        )
    raise typer.Exit(_proxy.serve(how, upstream, listen, allow_host or [], public=public))


@app.command()
def down(data: Data = None) -> None:
    """Stop the embedded database. What was committed stays in its folder.

    \b
    bcp-analytics down
    bcp-analytics down --data ./analytics
    """  # noqa: D301
    where = data or embedded.default_data_dir()
    tell("Stopped." if embedded.stop(data) else f"No embedded database runs on {where}.")


@app.command()
def demo(
    *,
    calls: Annotated[int, typer.Option(min=1, help="How many tool calls to make up.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data: Data = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the database at the end.")] = False,
    real_calls: Annotated[
        bool, typer.Option("--real-calls/--no-real-calls", help="Whether to call a real MCP server too.")
    ] = True,
    serve: _serve.ServeToo = False,
    serve_port: _serve.ServePort = _serve.PORT,
) -> None:
    """See it work: an embedded database, 30 days of made-up calls and some real ones, and the answers.

    \b
    bcp-analytics demo
    bcp-analytics demo --calls 5000 --stop
    bcp-analytics demo --serve
    """  # noqa: D301
    from bcp_analytics.demo import run_demo  # noqa: PLC0415 - its imports are for the demo alone

    if serve and stop:
        raise typer.BadParameter("there is nothing to serve once it is stopped.", param_hint="--stop")
    if serve:
        _serve.check_beside(serve_port)
    code = run_demo(calls=calls, seed=seed, data=data, stop=stop, real_calls=real_calls)
    found = embedded.status(data)
    if serve and found is not None:
        with _serve.serving_beside(found.dsn, serve_port):
            say("Ctrl-C stops the server.")
            _wait_for_signal()
    raise typer.Exit(code)


@app.command()
def refresh(dsn: Dsn = None) -> None:
    """Bring the aggregates up to date now, which a job does every five minutes.

    The questions answer exactly without it. Views lack what came late, for a time that was aggregated before.

    \b
    bcp-analytics refresh
    """  # noqa: D301
    with connected(dsn, autocommit=True) as conn:
        refresh_analytics_views(conn)
    tell("The aggregates are up to date.")


app.command()(_restore.restore)
app.command()(_cleanup.cleanup)
app.command()(_compose.compose)
app.command()(_query.query)
app.command()(_explain.explain)
app.command()(_serve.serve)
app.command()(_mcp.mcp)
app.command()(_notify.notify)
app.command("erase-user")(_erase.erase_user)
app.command("anonymize-history")(_erase.anonymize_history)


@app.command()
def report(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            help="Start of the range: 24h, 7d or 2w ago, today, yesterday, or an ISO 8601 time; or the range "
            "itself: 2026-11-01..2026-11-08. By default 7d ago.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="End of the range, exclusive. By default now.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write this file: one page with charts that needs no network, for a browser, mail or "
            "print. Needs the extra bcp_analytics[report].",
            show_default=False,
        ),
    ] = None,
    bcp: Annotated[
        str | None, typer.Option(help="About this bundle of tools alone.", show_default=False)
    ] = None,
    tool: Annotated[str | None, typer.Option(help="About this tool alone.", show_default=False)] = None,
    time_zone: Annotated[str, typer.Option(help="Where days begin, such as Europe/Berlin.")] = "UTC",
    dsn: ReadDsn = None,
) -> None:
    """Show it all at once: load, latency, tools, errors, users, context, alerts, and the store's health.

    \b
    bcp-analytics report
    bcp-analytics report --since 7d --html report.html
    bcp-analytics report --since 2026-01-01..2026-02-01 --time-zone Europe/Berlin --html january.html
    bcp-analytics report --since 24h --bcp mail --tool send
    """  # noqa: D301
    from bcp_analytics.cli._report import run  # noqa: PLC0415 - only this command pays for its imports

    written = run(since=since, until=until, time_zone=time_zone, bcp=bcp, tool=tool, file=html, dsn=dsn)
    if written is not None:
        tell(written)
