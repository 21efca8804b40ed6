"""The commands archive and restore."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003 - render reads the types

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bcp_analytics import archive as archives
from bcp_analytics import cleanup_old_data
from bcp_analytics._render import tables
from bcp_analytics._render.visible import visible, visible_line
from bcp_analytics.archive import _extra
from bcp_analytics.archive._model import LOCATION_VARIABLE
from bcp_analytics.cli._query import Format, Spreadsheet, check_spreadsheet
from bcp_analytics.cli._support import Dsn, connected, counted, parse_time, say, say_error, server_time, tell
from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

_CHANNEL = "bcp_archive"
_RETRY_S = 30.0
_MOST_ROWS = 200

app = typer.Typer(no_args_is_help=False)

Location = Annotated[
    str | None,
    typer.Option(
        help="A folder, or s3://bucket/prefix. By default BCP_ARCHIVE_LOCATION. Credentials come from AWS_*.",
        show_default=False,
    ),
]
Table = Annotated[str | None, typer.Option(help="This table alone.", show_default=False)]
From = Annotated[
    str | None,
    typer.Option(
        "--from", help="Start of the range: 24h, 7d or 2w ago, or an ISO 8601 time.", show_default=False
    ),
]
To = Annotated[str | None, typer.Option("--to", help="End of the range, exclusive.", show_default=False)]


class State(StrEnum):
    """States of an archive; see bcp.archives."""

    writing = "writing"
    verified = "verified"
    dropped = "dropped"
    restored = "restored"
    replaced = "replaced"


@dataclass(frozen=True, slots=True)
class Listed:
    """An archive as archive list shows it."""

    archive_id: UUID
    table_name: str
    range_start: datetime
    range_end: datetime
    state: str
    row_count: int | None
    size_bytes: int | None
    checksum: str | None
    verified_at: datetime | None
    keep_until: datetime | None
    location: str
    files: str


@app.callback(invoke_without_command=True)
def archive(
    context: typer.Context,
    *,
    location: Location = None,
    table: Table = None,
    since: From = None,
    until: To = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on until Ctrl-C: whenever cleanup asks, and every --poll seconds."),
    ] = False,
    poll: Annotated[float, typer.Option(min=1, help="Seconds between looks, with --watch.")] = 300,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Have cleanup drop each chunk as soon as its archive is proven.")
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Write chunks past retention to Parquet files, read them back, and mark them as proven.

    Without options, what is due. With --table, --from or --to, all whole chunks of that range that are over.
    Only cleanup drops chunks, and only those whose archive is proven.

    \b
    bcp-analytics archive --location /srv/bcp-archive
    BCP_ARCHIVE_LOCATION=s3://analytics/bcp bcp-analytics archive --watch --cleanup
    bcp-analytics archive --location ./old --table error_logs --from 2026-01-01 --to 2026-02-01
    bcp-analytics archive list
    bcp-analytics archive query "select tool_name, count(*) from tool_usage_logs group by 1"
    """  # noqa: D301
    if context.invoked_subcommand is not None:
        _pass_on(context)
        return

    def once() -> None:
        with connected(dsn, autocommit=True) as conn:
            _archive_once(conn, location, (table, since, until), check_content=True, cleanup=cleanup)

    if not watch:
        once()
        return
    if table or since or until:
        raise typer.BadParameter("goes with what is due, and not with a range.", param_hint="--watch")
    _watch(dsn, location, poll, cleanup=cleanup)


def _pass_on(context: typer.Context) -> None:
    """Have options before the verb count as if they came after it; refuse those that it does not take."""
    assert context.invoked_subcommand is not None  # noqa: S101 - asked for by the caller
    verb = context.command.get_command(context, context.invoked_subcommand)  # type: ignore[attr-defined]
    taken = {parameter.name for parameter in verb.params}
    given = {
        option.name: option.opts[0]
        for option in context.command.params
        if option.name
        and (source := context.get_parameter_source(option.name))
        and source.name == "COMMANDLINE"
    }
    if refused := [option for name, option in given.items() if name not in taken]:
        raise typer.BadParameter(
            f"does not go with {context.invoked_subcommand}.", param_hint=" ".join(refused)
        )
    context.default_map = {context.invoked_subcommand: {name: context.params[name] for name in given}}


@app.command("list")
def list_(
    *,
    location: Annotated[
        str | None,
        typer.Option(help="Those there alone: a folder, or s3://bucket/prefix.", show_default=False),
    ] = None,
    table: Table = None,
    since: From = None,
    until: To = None,
    states: Annotated[
        list[State] | None,
        typer.Option(
            "--state", help="In this state; once for each. By default those proven.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", help="A table for people; JSON or CSV for programs.")
    ] = Format.table,
    spreadsheet: Spreadsheet = False,
    dsn: Dsn = None,
) -> None:
    """Show the manifest: which chunks are archived, where, and how many rows they have.

    \b
    bcp-analytics archive list
    bcp-analytics archive list --table tool_usage_logs --from 2026-01-01 --format json
    bcp-analytics archive list --state writing
    bcp-analytics archive list --format csv --spreadsheet > archives.csv
    """  # noqa: D301
    check_spreadsheet(output, spreadsheet=spreadsheet)
    where = _location_url(location) if location is not None else None
    with connected(dsn, autocommit=True) as conn:
        found = archives.archives(
            conn,
            table=table,
            since=_time(conn, "--from", since),
            until=_time(conn, "--to", until),
            states=[str(state) for state in states or archives.PROVEN],
        )
    listed = [
        Listed(
            archive_id=a.archive_id,
            table_name=a.table_name,
            range_start=a.range_start,
            range_end=a.range_end,
            state=a.state,
            row_count=a.row_count,
            size_bytes=a.bytes,
            checksum=a.checksum,
            verified_at=a.verified_at,
            keep_until=a.keep_until,
            location=a.location,
            files=" ".join(file["path"] for file in a.files),
        )
        for a in found
        if where in (None, a.location)
    ]
    if output is Format.json:
        sys.stdout.write(tables.to_json(listed))
    elif output is Format.csv:
        sys.stdout.write(tables.to_csv(listed, Listed, spreadsheet=spreadsheet))
    elif listed:
        shown = ("table_name", "range_start", "range_end", "state", "row_count", "size_bytes", "location")
        _console().print(tables.to_table(listed, shown)[0])
    else:
        say("No archives.")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query of DuckDB; - reads it from stdin.")],
    *,
    location: Annotated[
        str | None,
        typer.Option(
            help="Ask the archives there, without a database: a folder, or s3://bucket/prefix.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Format,
        typer.Option("--format", help="A table for people; JSON or CSV, with times in UTC, for programs."),
    ] = Format.table,
    spreadsheet: Spreadsheet = False,
    dsn: Dsn = None,
) -> None:
    """Ask the archives with DuckDB: a view for each table, over the files that the manifest says are proven.

    The views have a column day besides; a filter by it reads that day's files only. The query sees those
    files and nothing else, neither other files nor the network, and can change nothing.

    With --location, or where the database cannot be reached and BCP_ARCHIVE_LOCATION is set, the manifests
    beside the files say which those are, and no database is needed.

    \b
    bcp-analytics archive query "select day, count(*) from tool_usage_logs group by day order by day"
    bcp-analytics archive query "select * from error_logs where day = '2026-01-31'" --format csv
    bcp-analytics archive query "select * from error_logs" --format csv --spreadsheet > errors.csv
    bcp-analytics archive query "select count(*) from error_logs" --location /srv/bcp-archive
    """  # noqa: D301
    check_spreadsheet(output, spreadsheet=spreadsheet)
    asked = sys.stdin.read() if sql == "-" else sql
    with ExitStack() as kept:
        conn = None
        if location is None:
            try:
                conn = kept.enter_context(connected(dsn, autocommit=True))
            except BcpAnalyticsError as error:
                if not os.environ.get(LOCATION_VARIABLE):
                    raise BcpAnalyticsError(
                        f"{error}", hint=f"Or ask the files without it: --location, or {LOCATION_VARIABLE}."
                    ) from None
                say(f"{error} So the manifests beside the files say what is asked.")
        found = archives.query(conn, asked, location=location)
    names, rows = found.column_names, [tuple(row.values()) for row in _rows(found)]
    if output is Format.json:
        sys.stdout.write(tables.json_objects(dict(zip(names, map(_plain, row), strict=True)) for row in rows))
    elif output is Format.csv:
        cells = ([_plain(v) for v in row] for row in rows)
        sys.stdout.write(tables.csv_rows(names, cells, spreadsheet=spreadsheet))
    else:
        _console().print(_table(names, rows[:_MOST_ROWS]))
        if len(rows) > _MOST_ROWS:
            say(f"{len(rows) - _MOST_ROWS:,} more rows: --format csv or json has them all.")


def restore(
    *,
    table: Annotated[str, typer.Option(help="The table.")],
    since: Annotated[str, typer.Option("--from", help="Start of the range: 90d ago, or an ISO 8601 time.")],
    until: Annotated[str, typer.Option("--to", help="End of the range, exclusive.")],
    into_schema: Annotated[
        str | None,
        typer.Option(help="Put the rows into a table of this schema, beside the store.", show_default=False),
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days for which cleanup leaves restored rows in the table.")
    ] = 7,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another run to end.")] = 600,
    dsn: Dsn = None,
) -> None:
    """Put archived rows back: whole chunks, each as its manifest says or not at all.

    Without --into-schema, what was dropped goes back into its table. No alert or issue takes it for new.
    Doing it twice does it once.

    \b
    bcp-analytics restore --table tool_usage_logs --from 2026-01-01 --to 2026-02-01
    bcp-analytics restore --table error_logs --from 2026-01-01 --to 2026-02-01 --into-schema january
    """  # noqa: D301
    with connected(dsn, autocommit=True) as conn:
        first, last = _time(conn, "--from", since), _time(conn, "--to", until)
        assert first is not None  # noqa: S101 - both are given
        assert last is not None  # noqa: S101
        with bars() as show:
            done = archives.restore(
                conn,
                table,
                first,
                last,
                into_schema=into_schema,
                keep_days=keep_days,
                wait_seconds=wait,
                waiting=say,
                progress=show,
            )
    if not done:
        tell("Nothing to restore: no archive of a dropped chunk is in that range.")
        return
    rows = sum(a.row_count or 0 for a in done)
    where = f"{into_schema}.{table}" if into_schema else f"bcp.{table}"
    tell(f"Restored: {counted(len(done), 'archive')}, {rows:,} rows, in {where}.")


def _archive_once(
    conn: Connection[Any],
    location: str | None,
    asked: tuple[str | None, str | None, str | None],
    *,
    check_content: bool,
    cleanup: bool,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Archive what is due, or what is asked for by table, start and end; `step` is called at each step."""
    table, since, until = asked

    def seen(progress: archives.Progress) -> None:
        step()
        show(progress)

    def verified(one: archives.Archive) -> None:
        start = one.range_start.astimezone(UTC)
        tell(
            f"{one.table_name} {start:%Y-%m-%d %H:%M} UTC: {counted(one.row_count or 0, 'row')},"
            f" {tables.size(one.bytes or 0)}, checksum {one.checksum}"
        )
        if cleanup:
            cleanup_old_data(conn)

    with bars() as show:
        done = archives.archive(
            conn,
            location,
            table=table,
            since=_time(conn, "--from", since),
            until=_time(conn, "--to", until),
            check_content=check_content,
            progress=seen,
            verified=verified,
        )
    if cleanup and not done:
        # What was archived before and could not be dropped then, such as a chunk in use.
        cleanup_old_data(conn)
    tell(f"Done: {counted(len(done), 'archive')}." if done else "Nothing to archive.")
    sys.stdout.flush()


class _Stopper:
    """Turns a signal into KeyboardInterrupt: at once while nothing is done, else at the next step.

    In the middle of a statement it would leave the connection in use.
    """

    def __init__(self) -> None:
        self._asked = self._waiting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True
        if self._waiting:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt where one was asked for."""
        if self._asked:
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Have it come at once."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False


def _watch(dsn: str | None, location: str | None, poll: float, *, cleanup: bool) -> None:
    """Archive what is due, again and again; what fails is told and tried again."""
    stopper = _Stopper()
    try:
        while True:
            try:
                with connected(dsn, autocommit=True) as conn:
                    conn.execute(f"listen {_CHANNEL}")
                    asked = True
                    while True:
                        # To read all that waits for cleanup takes too long to do it each time.
                        _archive_once(
                            conn,
                            location,
                            (None, None, None),
                            check_content=asked,
                            cleanup=cleanup,
                            step=stopper.check,
                        )
                        # Cleanup asks for what it kept, and the one just done would ask us over and over.
                        list(conn.notifies(timeout=0))
                        with stopper.waiting():
                            asked = bool(list(conn.notifies(timeout=poll, stop_after=1)))
            except (BcpAnalyticsError, psycopg.Error) as error:
                wait = min(poll, _RETRY_S)
                say_error(str(error), then=f" Trying again in {wait:g} s.")
                with stopper.waiting():
                    time.sleep(wait)
    except KeyboardInterrupt:
        # What is not proven yet the next run takes away.
        say("stopped")


@contextmanager
def bars() -> Iterator[Callable[[archives.Progress], None]]:
    """Show a bar a chunk on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None)

        def show(step: archives.Progress) -> None:
            start = step.archive.range_start.astimezone(UTC)
            shown.update(
                task,
                description=visible_line(
                    f"{step.number}/{step.of} {step.archive.table_name} {start:%Y-%m-%d} {step.phase}"
                ),
                completed=step.rows,
                total=step.of_rows or None,
            )

        yield show


def _location_url(location: str) -> str:
    _extra.check()
    from bcp_analytics.archive import _store  # noqa: PLC0415 - an extra

    return _store.location_url(location)


def _time(conn: Connection[Any], option: str, value: str | None) -> datetime | None:
    return parse_time(option, value, UTC, lambda: server_time(conn)) if value is not None else None


def _rows(table: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> Any:  # noqa: ANN401 - rich's own
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table as Drawn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Drawn(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    numbers = [all(isinstance(row[n], int | float | None) for row in rows) for n in range(len(names))]
    for name, number in zip(names, numbers, strict=True):
        table.add_column(Text(visible(name)), justify="right" if number and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-", "dim") if v is None else Text(visible(str(_plain(v)))) for v in row))
    return table


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100_000)
