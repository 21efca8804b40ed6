"""`bcp-analytics demo`: the whole way, from an empty folder to answers.

An embedded database, made-up but realistic traffic of 30 days, calls to a real MCP server, and what the store
says about them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bcp_analytics._core.connection import connect
from bcp_analytics._render.tables import duration
from bcp_analytics.demo import _real_calls as real
from bcp_analytics.demo._generate import BATCH_SIZE, DAYS
from bcp_analytics.demo._present import Answers
from bcp_analytics.demo._send import SOURCE, Before, look, send, send_real
from bcp_analytics.embedded import EmbeddedDatabase, status
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.migrate import migrate
from bcp_analytics.upkeep import refresh_analytics_views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from bcp_analytics.demo._generate import Event

__all__ = ["run_demo"]

IDLE_STOP_S = 30 * 60.0


def run_demo(
    *,
    calls: int = 100_000,
    seed: int = 1,
    data: str | os.PathLike[str] | None = None,
    stop: bool = False,
    real_calls: bool = True,
    console: Console | None = None,
) -> int:
    """Run the demo and return the exit code 0.

    `calls` is how many tool calls to make up; the same `seed` makes the same ones. `data` is the folder of
    the embedded database, by default that of `EmbeddedDatabase`. The demo uses a database that runs there.
    One that it starts itself stops after half an hour without clients. With `stop`, either stops at the end.
    Without `real_calls` it calls no MCP server. `console` is where to print.

    Raises `BcpAnalyticsError` where the folder holds somebody's own events, a server is missing, or anything
    else keeps the demo from what it promises; a database that it started is stopped then.
    """
    console = console or Console(highlight=False)
    if real_calls:
        real.check()  # before anything is downloaded
    console.print(Text.assemble(("bcp_analytics demo", "bold"), ("  tool calls in, answers out", "dim")))
    running = status(data)
    database = EmbeddedDatabase(data, detach=True, idle_stop_s=IDLE_STOP_S)
    _start(database, console, running=running is not None)
    try:
        _migrate(database, console)
        _run(database, console, seed=seed, calls=calls, real_calls=real_calls)
    except BaseException:
        if running is None:
            database.stop()
        raise
    if stop:
        database.stop()
        console.print(f"\nThe database is stopped; its data stay in {database.path}.")
    else:
        _what_next(database, console, started=running is None)
    return 0


@contextmanager
def _stage(console: Console, doing: str) -> Iterator[list[str]]:
    """Show a spinner during the block, then the line that the block put into the list, and the seconds."""
    done: list[str] = []
    begin = time.perf_counter()
    with console.status(doing):
        yield done
    _done(console, done[0], time.perf_counter() - begin)


def _done(console: Console, what: str, seconds: float) -> None:
    mark = "ok" if console.options.ascii_only else "✓"
    _line(console, Text(mark, "green"), what, duration(seconds * 1000))


def _line(console: Console, mark: Text, what: str, took: str = "") -> None:
    """Print a line of three columns: its mark, its text, and the time it took."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(no_wrap=True, justify="right", style="dim")
    grid.add_row(mark, Text(what), took)
    console.print(grid)


def _start(database: EmbeddedDatabase, console: Console, *, running: bool) -> None:
    with _stage(console, "starting the embedded database") as done:
        if not running:
            database.start()
        found = status(database.path)
        if found is None:
            raise BcpAnalyticsError(f"The embedded database has ended; {database.log_path} says why.")
        verb = "used as it runs" if running else "started"
        done.append(
            f"PostgreSQL {found.postgresql} with TimescaleDB {found.timescaledb}, in WebAssembly, {verb}"
        )


def _migrate(database: EmbeddedDatabase, console: Console) -> None:
    with _stage(console, "migrating") as done:
        result = migrate(database.dsn)
        done.append(
            f"{len(result.applied)} migrations applied, SQL functions loaded"
            if result.changed
            else "schema up to date"
        )


def _run(database: EmbeddedDatabase, console: Console, *, seed: int, calls: int, real_calls: bool) -> None:
    end = datetime.now(UTC)
    with connect(database.dsn, autocommit=True, application_name=SOURCE) as conn:
        before = look(conn, seed, calls)
        if before.foreign:
            raise BcpAnalyticsError(
                f"{database.path} holds events of others than the demo, which made-up calls would mix with.",
                hint="Name a folder for the demo: bcp-analytics demo --data ./demo-data",
            )
        example = _send(conn, console, before, database.path, seed=seed, calls=calls, end=before.end or end)
        done_by = None
        if real_calls:
            with _stage(console, "calling a real MCP server") as done:
                done_by = real.make_calls()
                send_real(conn, done_by)
                done.append(
                    f"{len(done_by.calls)} real calls to the MCP server {done_by.server} (protocol"
                    f" {done_by.protocol}, tools {', '.join(done_by.tools)}), some of them wrong on purpose"
                )
        with _stage(console, "refreshing the aggregates") as done:
            refresh_analytics_views(conn)
            done.append("aggregates refreshed")
        answers = Answers(conn, console, end)
        answers.busy()
        answers.tools()
        answers.errors()
        if done_by is not None:
            answers.real_calls(done_by.session_id, done_by.server)
        if example is not None:
            answers.anonymised(example)
        answers.ledger(end)
        answers.health()


def _send(
    conn: Connection[Any],
    console: Console,
    before: Before,
    folder: Path,
    *,
    seed: int,
    calls: int,
    end: datetime,
) -> Event | None:
    """Send the traffic unless that would store it twice; return one of the calls."""
    if before.first_sent is not None:
        when = f"{before.first_sent.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if before.forgotten:
            _line(
                console,
                Text("!", "yellow"),
                f"{folder} has these calls since {when}; ids are remembered for {before.dedup_window.days}"
                " days: they are not sent again, as they would be stored twice. For fresh ones run"
                " bcp-analytics down and remove the folder.",
            )
            return None
        _line(
            console,
            Text("!", "yellow"),
            f"these calls were sent before, at {when}: they go again with the same ids, to be duplicates",
        )
    begin = time.perf_counter()
    sent, example = send(conn, console, seed=seed, calls=calls, size=BATCH_SIZE, end=end)
    seconds = time.perf_counter() - begin
    _done(
        console,
        f"{calls:,} made-up calls of the last {DAYS} days, with their errors, sessions and metrics:"
        f" {sent.stored:,} events stored, {sent.duplicates:,} duplicates,"
        f" {sent.accepted / seconds:,.0f} events/s",
        seconds,
    )
    return example


def _own_command() -> str:
    """Return how to call the command from here, also where its virtual environment is not active."""
    beside = Path(sys.executable).with_name("bcp-analytics")
    if shutil.which("bcp-analytics") or not beside.exists():
        return "bcp-analytics"
    return shlex.quote(os.path.relpath(beside))


def _what_next(database: EmbeddedDatabase, console: Console, *, started: bool) -> None:
    folder = "" if database.path == EmbeddedDatabase().path else f" --data {shlex.quote(str(database.path))}"
    dsn = f' --dsn "{database.dsn}"' if folder else ""
    console.print()
    console.print(Text("The database runs on. Try:", style="bold"))
    own = _own_command()
    for command in (
        f'psql "{database.dsn}"',
        f"{own} query tool_usage_stats --since 7d --interval 1d --bcp payments{dsn}",
        f"{own} query error_analysis --since 30d --format json{dsn}",
        f"{own} report --since 30d{dsn}",
        f"{own} down{folder}",
    ):
        console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
    if started:
        console.print(
            f"[dim]It stops by itself after {IDLE_STOP_S / 60:.0f} minutes without clients; its data stay in"
            f" {database.path}.[/]",
            soft_wrap=True,
        )
