"""The command `bcp-analytics archive`, once or --watch."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer

from bcp_analytics import archive as archives
from bcp_analytics import cleanup_old_data
from bcp_analytics._render import tables
from bcp_analytics.cli._archive_list import list_archives
from bcp_analytics.cli._archive_query import query_archives
from bcp_analytics.cli._archiving import From, Table, To, bars, time_of
from bcp_analytics.cli._support import Dsn, connected, counted, say, say_error, tell
from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

_CHANNEL = "bcp_archive"
_RETRY_S = 30.0

app = typer.Typer(no_args_is_help=False)
app.command("list")(list_archives)
app.command("query")(query_archives)

Location = Annotated[
    str | None,
    typer.Option(
        help="A folder, or s3://bucket/prefix. By default BCP_ARCHIVE_LOCATION. Credentials come from AWS_*.",
        show_default=False,
    ),
]


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
    iceberg: Annotated[
        bool | None,
        typer.Option(
            "--iceberg/--no-iceberg",
            help="Publish the archives as tables of Apache Iceberg, from now on; or no longer.",
            show_default=False,
        ),
    ] = None,
    catalog: Annotated[
        str,
        typer.Option(
            help="With --iceberg: store, for one in the database itself, or the URL of a REST catalogue."
        ),
    ] = "store",
    dsn: Dsn = None,
) -> None:
    """Write chunks past retention to Parquet files, read them back, and mark them as proven.

    Without options, what is due. With --table, --from or --to, all whole chunks of that range that are over.
    Only cleanup drops chunks, and only those whose archive is proven.

    \b
    bcp-analytics archive --location /srv/bcp-archive
    BCP_ARCHIVE_LOCATION=s3://analytics/bcp bcp-analytics archive --watch --cleanup
    bcp-analytics archive --location ./old --table error_logs --from 2026-01-01 --to 2026-02-01
    bcp-analytics archive --iceberg
    bcp-analytics archive list
    bcp-analytics archive query "select tool_name, count(*) from tool_usage_logs group by 1"
    """  # noqa: D301
    if context.invoked_subcommand is not None:
        _pass_on(context)
        return

    if watch and (table or since or until):
        raise typer.BadParameter("goes with what is due, and not with a range.", param_hint="--watch")
    if iceberg is False:
        with connected(dsn, autocommit=True) as conn:
            archives.forget_lake(conn)
        tell("The archives are published no longer; their files are as they were.")
        return
    published = catalog if iceberg else None
    if watch:
        _watch(dsn, location, poll, cleanup=cleanup, iceberg=published)
        return
    with connected(dsn, autocommit=True) as conn:
        _archive_once(
            conn, location, (table, since, until), iceberg=published, check_content=True, cleanup=cleanup
        )


def _pass_on(context: typer.Context) -> None:
    """Pass options before the subcommand on to it, and refuse those that it does not take."""
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


def _archive_once(
    conn: Connection[Any],
    location: str | None,
    asked: tuple[str | None, str | None, str | None],
    *,
    iceberg: str | None,
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
            drop()

    def drop() -> None:
        # Another run that archives may be at it: what it does not drop, the last one to end does.
        with suppress(psycopg.errors.LockNotAvailable):
            cleanup_old_data(conn)

    with bars() as show:
        done = archives.archive(
            conn,
            location,
            table=table,
            since=time_of(conn, "--from", since),
            until=time_of(conn, "--to", until),
            check_content=check_content,
            iceberg=iceberg,
            progress=seen,
            verified=verified,
        )
    if cleanup and not done:
        # Drop what an earlier run archived and could not drop, such as a chunk in use.
        drop()
    tell(f"Done: {counted(len(done), 'archive')}." if done else "Nothing to archive.")
    sys.stdout.flush()


class _Stopper:
    """Turns a signal into KeyboardInterrupt: at once while it only waits, else at the next step.

    An interrupt in the middle of a statement would leave the connection in use.
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
        """Raise KeyboardInterrupt where a signal has come."""
        if self._asked:
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt the block at once."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False


def _watch(
    dsn: str | None, location: str | None, poll: float, *, cleanup: bool, iceberg: str | None = None
) -> None:
    """Archive what is due, again and again; what fails is told and tried again."""
    stopper = _Stopper()
    try:
        while True:
            try:
                with connected(dsn, autocommit=True) as conn:
                    conn.execute(f"listen {_CHANNEL}")
                    asked = True
                    while True:
                        # Reading all that waits for cleanup is slow, so do it only where cleanup asks.
                        _archive_once(
                            conn,
                            location,
                            (None, None, None),
                            iceberg=iceberg,
                            check_content=asked,
                            cleanup=cleanup,
                            step=stopper.check,
                        )
                        # Our own cleanup notifies of what it kept, too: heeded, it would never rest.
                        list(conn.notifies(timeout=0))
                        with stopper.waiting():
                            asked = bool(list(conn.notifies(timeout=poll, stop_after=1)))
            except (BcpAnalyticsError, psycopg.Error) as error:
                wait = min(poll, _RETRY_S)
                say_error(str(error), then=f" Trying again in {wait:g} s.")
                with stopper.waiting():
                    time.sleep(wait)
    except KeyboardInterrupt:
        # The next run removes what is not proven yet.
        say("stopped")
