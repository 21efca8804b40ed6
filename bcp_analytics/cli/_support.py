"""What the commands share: which database, how errors are told, how times on the command line are read."""

from __future__ import annotations

import json
import os
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from psycopg import errors as pg
from typer.core import TyperGroup

from bcp_analytics import embedded
from bcp_analytics._core import reading
from bcp_analytics._core.connection import check_readable, reach
from bcp_analytics._render.visible import visible, visible_line
from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo

    from psycopg import Connection

DSN_VARIABLE = "BCP_ANALYTICS_DSN"
READ_DSN_VARIABLE = "BCP_ANALYTICS_READ_DSN"
DEBUG_VARIABLE = "BCP_ANALYTICS_DEBUG"

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="Connection string. By default BCP_ANALYTICS_DSN, else the embedded database that runs. Other "
        "users of this machine can read a password given here: keep it in ~/.pgpass, a service file, or "
        "PGPASSWORD.",
        show_default=False,
    ),
]
ReadDsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="Connection string. By default BCP_ANALYTICS_READ_DSN, which may name a standby, else "
        "BCP_ANALYTICS_DSN, else the embedded database that runs. Other users of this machine can read a "
        "password given here: keep it in ~/.pgpass, a service file, or PGPASSWORD.",
        show_default=False,
    ),
]


class Commands(TyperGroup):
    """Commands whose errors are one line on stderr and exit code 1; the traceback only when asked for."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - typer's own
        """Read the command line."""
        with _visible_usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own context
        """Run the command."""
        try:
            with _visible_usage():
                return super().invoke(ctx)
        except (BcpAnalyticsError, embedded.EmbeddedError, psycopg.Error) as error:
            if ctx.params.get("debug") or os.environ.get(DEBUG_VARIABLE):
                typer.echo(visible(traceback.format_exc()), err=True, nl=False)
            say_error(_explain(error))
            raise typer.Exit(1) from None


@contextmanager
def _visible_usage() -> Iterator[None]:
    """Have typer's own errors, which repeat what was typed, show what is in it."""
    try:
        yield
    except Exception as error:
        # The class of such errors is in a module that typer keeps to itself.
        if isinstance(message := getattr(error, "message", None), str) and hasattr(error, "format_message"):
            error.message = visible(message)  # type: ignore[attr-defined]
        raise


def _explain(error: Exception) -> str:
    """Say what happened, why, and what to do."""
    if not isinstance(error, psycopg.Error):
        return _sentences(error)
    said = (error.diag.message_primary or str(error)).strip()
    match error:
        case pg.UndefinedFunction() | pg.InvalidSchemaName() | pg.UndefinedTable() | pg.UndefinedColumn():
            return (
                f"This database does not have the store as this version knows it ({said}): "
                "run bcp-analytics migrate."
            )
        case pg.InsufficientPrivilege():
            return (
                f"The role may not do this ({said}): connect as the role that migrated the database, or have "
                "that one grant it bcp_reader for questions."
            )
        case pg.QueryCanceled():
            return f"The database gave up ({said}): ask for a shorter range, or raise statement_timeout."
        case psycopg.OperationalError() if error.sqlstate is None:
            return f"The connection failed ({said}): check that the database runs, and run it again."
        case _:
            return f"The database refused with SQLSTATE {error.sqlstate}: {said}."


def _sentences(error: Exception) -> str:
    """Return the parts of an error one after another; what SQL raises ends without a full stop."""
    parts = [line.strip() for line in str(error).splitlines() if line.strip()]
    ended = [part if part.endswith((".", "?", "!", ":")) else f"{part}." for part in parts[:-1]]
    return " ".join(ended + parts[-1:])


def tell(text: str) -> None:
    """Write a part of the output."""
    typer.echo(visible(text))


def say(sentence: str) -> None:
    """Tell the user, on stderr: stdout is for whoever reads the output."""
    typer.echo(visible_line(sentence), err=True)


def say_error(text: str, *, then: str = "") -> None:
    """Tell the user of an error, in one line, and what happens `then`."""
    say(f"Error: {' '.join(text.split())}{then}")


def find_dsn(given: str | None, *, reads: bool = False) -> str:
    """Return the database to use: as given, else the environment's, else the embedded one that runs.

    For a command that only reads, the environment may name another, such as a standby. Raises
    `BcpAnalyticsError` where there is none.
    """
    named = (reads and os.environ.get(READ_DSN_VARIABLE)) or os.environ.get(DSN_VARIABLE)
    dsn = given if given is not None else named
    if dsn or given is not None:
        return dsn or ""
    running = embedded.status()
    if running is None:
        raise BcpAnalyticsError(
            f"No database is named, and no embedded one runs on {embedded.default_data_dir()}.",
            hint=f"Set {DSN_VARIABLE} or give --dsn, or start one with bcp-analytics up.",
        )
    return running.dsn


def readable_dsn(given: str | None, *, reads: bool = False) -> str:
    """Return what `find_dsn` does; raises `BcpAnalyticsError` where libpq cannot read it."""
    dsn = find_dsn(given, reads=reads)
    check_readable(dsn)
    return dsn


@contextmanager
def connected(
    given: str | None, *, autocommit: bool = False, reads: bool = False
) -> Iterator[Connection[Any]]:
    """Connect to the database of `find_dsn`."""
    dsn = find_dsn(given, reads=reads)
    with reach(dsn, autocommit=autocommit, fallback_application_name="bcp-analytics") as conn:
        yield conn


def server_time(conn: Connection[Any]) -> datetime:
    """Return what the store takes for now."""
    row = conn.execute("select bcp_internal.now()").fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    time: datetime = row[0]
    return time


@contextmanager
def _as_parameter(option: str) -> Iterator[None]:
    """Raise `typer.BadParameter` for what reading an argument raises."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def parse_zone(name: str) -> tzinfo:
    """Return a time zone by its name; raises `typer.BadParameter`."""
    with _as_parameter("--time-zone"):
        return reading.read_zone(name)


def parse_time(option: str, value: str, zone: tzinfo, now: Callable[[], datetime]) -> datetime:
    """Read a time as `reading.read_time` does. Raises `typer.BadParameter`."""
    with _as_parameter(option):
        return reading.read_time(value, zone, now)


def parse_ahead(option: str, value: str, now: Callable[[], datetime]) -> datetime:
    """Read 12h (that long after now), or an ISO 8601 time, in UTC where it names no zone.

    Raises `typer.BadParameter`.
    """
    try:
        if length := reading.read_length(value):
            return now() + length
        time = datetime.fromisoformat(value)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{value!r} is not a time: write 12h, 90d or 4w for that long from now, or ISO 8601 such as "
            "2027-01-31 or 2027-01-31T18:00Z.",
            param_hint=option,
        ) from None


def parse_range(
    since: str | None, until: str | None, zone: tzinfo, now: Callable[[], datetime]
) -> tuple[datetime | None, datetime | None]:
    """Read --since and --until, or 2026-11-01..2026-11-08 as --since, up to but not including the second.

    Raises `typer.BadParameter`.
    """
    ends_in = "--until"
    if since is not None and ".." in since:
        if until is not None:
            raise typer.BadParameter(
                f"{since!r} has an end: give that or --until, not both.", param_hint="--since"
            )
        since, _, until = since.partition("..")
        ends_in = "--since"
    return (
        None if since is None else parse_time("--since", since, zone, now),
        None if until is None else parse_time(ends_in, until, zone, now),
    )


def parse_interval(value: str) -> str | None:
    """Read a length as `reading.read_interval` does. Raises `typer.BadParameter`."""
    with _as_parameter("--interval"):
        return reading.read_interval(value)


def parse_shares(option: str, value: str) -> list[float]:
    """Read numbers with commas between them. Raises `typer.BadParameter`."""
    with _as_parameter(option):
        return reading.read_numbers(value)


def parse_setting(setting: str, takes: dict[str, str]) -> dict[str, Any]:
    """Read NAME=VALUE, where `takes` has the names and their types. Raises `typer.BadParameter`."""
    name, equals, value = setting.partition("=")
    if not equals or name not in takes:
        names = ", ".join(takes) or "none"
        raise typer.BadParameter(
            f"{setting!r} names no parameter: write NAME=VALUE, with one of {names}.", param_hint="--set"
        )
    readers: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": float,
        "Any": json.loads,
        "Sequence[int]": lambda text: [int(number) for number in text.split(",")],
    }
    if takes[name].startswith("Sequence[float]"):
        return {name: parse_shares("--set", value)}
    if takes[name].startswith("Sequence") and takes[name] not in readers:
        return {name: value.split(",")}
    try:
        return {name: readers.get(takes[name], str)(value)}
    except ValueError:
        kind = {"Any": "JSON"}.get(takes[name], "a number")
        raise typer.BadParameter(
            f"the value of {name} is not {kind}: {value!r}.", param_hint="--set"
        ) from None


def counted(number: int, what: str) -> str:
    """Return 1 event, or 2 events."""
    return f"{number} {what}{'' if number == 1 else 's'}"
