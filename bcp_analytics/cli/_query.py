"""The command query."""

from __future__ import annotations

import os
import sys
from datetime import UTC
from difflib import get_close_matches
from enum import StrEnum
from inspect import getdoc, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bcp_analytics._render import tables
from bcp_analytics.cli._support import (
    Dsn,
    connected,
    parse_interval,
    parse_range,
    parse_setting,
    parse_shares,
    parse_zone,
    say,
    server_time,
    tell,
)
from bcp_analytics.queries import tool_usage_stats
from bcp_analytics.queries._questions import QUESTIONS

if TYPE_CHECKING:
    from psycopg import Connection


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    json = "json"
    csv = "csv"


Spreadsheet = Annotated[
    bool,
    typer.Option(
        "--spreadsheet",
        help="With --format csv: for Excel and the like. Text that begins with = + - @, a tab or an end of "
        "line gets an apostrophe before it, or it would run there as a formula.",
    ),
]


def check_spreadsheet(output: Format, *, spreadsheet: bool) -> None:
    """Raise `typer.BadParameter` where it goes with another format."""
    if spreadsheet and output is not Format.csv:
        raise typer.BadParameter("goes with --format csv.", param_hint="--spreadsheet")


class Level(StrEnum):
    """Severity of an error."""

    debug = "debug"
    info = "info"
    warn = "warn"
    error = "error"
    fatal = "fatal"


class Outcome(StrEnum):
    """How a call ended."""

    success = "success"
    soft_fail = "soft_fail"
    error = "error"
    timeout = "timeout"
    cancelled = "cancelled"
    rejected = "rejected"


# The option that gives each parameter of a question.
_OPTIONS = {
    "since": "--since",
    "until": "--until",
    "interval": "--interval",
    "percentiles": "--percentiles",
    "level": "--level",
    "bcp_name": "--bcp",
    "tool_name": "--tool",
    "operation": "--operation",
    "user_id": "--user",
    "session_id": "--session",
    "client_name": "--client",
    "client_version": "--client-version",
    "client_model": "--model",
    "release": "--release",
    "outcome": "--outcome",
    "failed": "--failed",
    "event_id": "--event-id",
    "time_zone": "--time-zone",
}


def query(
    name: Annotated[str | None, typer.Argument(help="Name of a question.", show_default=False)] = None,
    *,
    list_questions: Annotated[
        bool, typer.Option("--list", help="Say which questions there are, and what each takes.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="Start of the range: 30m, 24h, 7d or 2w ago, today, yesterday, or an ISO 8601 time; or the "
            "range itself: 2026-11-01..2026-11-08. By default 24 hours before its end.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="End of the range, exclusive. By default now.", show_default=False)
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            help="Length of a row: 15m, 1h, 1d, 1w, 1mo, or none. By default 1h.", show_default=False
        ),
    ] = None,
    percentiles: Annotated[
        str | None, typer.Option(help="Shares, such as 0.5,0.95,0.99.", show_default=False)
    ] = None,
    level: Annotated[Level | None, typer.Option(help="Errors of this level.", show_default=False)] = None,
    bcp: Annotated[
        str | None, typer.Option(help="Calls of this bundle of tools.", show_default=False)
    ] = None,
    tool: Annotated[str | None, typer.Option(help="Calls of this tool.", show_default=False)] = None,
    operation: Annotated[
        str | None, typer.Option(help="Calls with this operation.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="What this user did.", show_default=False)] = None,
    session: Annotated[
        str | None, typer.Option(help="What happened in this session.", show_default=False)
    ] = None,
    client: Annotated[str | None, typer.Option(help="Calls from this client.", show_default=False)] = None,
    client_version: Annotated[
        str | None, typer.Option(help="Calls from this version of a client.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Calls that this model decided on.", show_default=False)
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Calls or errors of this release of the tools.", show_default=False)
    ] = None,
    outcome: Annotated[
        Outcome | None, typer.Option(help="Calls that ended like this.", show_default=False)
    ] = None,
    failed: Annotated[
        bool | None,
        typer.Option(
            "--failed/--not-failed",
            help="Calls that failed, or all others: succeeded, cancelled, unknown.",
            show_default=False,
        ),
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            help="What was sent with this event_id. Without --since it is looked for in all time.",
            show_default=False,
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Where days begin, such as Europe/Berlin. By default UTC.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter of the question, such as limit=10; once for each.",
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
    """Ask a question. Answers are fresh: what is newer than the aggregates is added from the raw rows.

    \b
    bcp-analytics query --list
    bcp-analytics query tool_usage_stats --since 7d --interval 1d --time-zone Europe/Berlin
    bcp-analytics query latency_percentiles --bcp mail --percentiles 0.5,0.99
    bcp-analytics query find_calls --since yesterday --user 42 --failed
    bcp-analytics query usage_breakdown --since 2026-11-01..2026-11-08 --set by=client_model,release
    bcp-analytics query error_analysis --since 2026-01-31T18:00Z --format json
    bcp-analytics query search_errors --set query='"connection refused"' --set limit=10
    bcp-analytics query error_analysis --since 7d --format csv --spreadsheet > errors.csv
    """  # noqa: D301
    if list_questions:
        _list_questions()
        return
    check_spreadsheet(output, spreadsheet=spreadsheet)
    if name not in QUESTIONS:
        problem = "name a question" if name is None else f"there is no question {name!r}"
        raise typer.BadParameter(f"{problem}: one of {', '.join(QUESTIONS)}.", param_hint="NAME")
    given: dict[str, Any] = {
        "since": since,
        "until": until,
        "interval": interval,
        "percentiles": percentiles,
        "level": level and level.value,
        "bcp_name": bcp,
        "tool_name": tool,
        "operation": operation,
        "user_id": user,
        "session_id": session,
        "client_name": client,
        "client_version": client_version,
        "client_model": model,
        "release": release,
        "outcome": outcome and outcome.value,
        "failed": failed,
        "event_id": event_id,
        "time_zone": time_zone,
    }
    given = {parameter: value for parameter, value in given.items() if value is not None}
    _check_options(name, given)
    zone = parse_zone(time_zone) if time_zone is not None else UTC
    if interval is not None:
        given["interval"] = parse_interval(interval)
    if percentiles is not None:
        given["percentiles"] = parse_shares("--percentiles", percentiles)
    for setting in settings or ():
        given |= parse_setting(setting, _others(name))
    ask, kind = QUESTIONS[name]
    with connected(dsn) as conn:
        times = parse_range(given.get("since"), given.get("until"), zone, lambda: server_time(conn))
        given |= {name: time for name, time in zip(("since", "until"), times, strict=True) if time}
        rows = ask(conn, **given)
        meant = _meant(conn, given) if not rows and output is Format.table else ""
    if output is Format.json:
        _write(tables.to_json(rows))
    elif output is Format.csv:
        _write(tables.to_csv(rows, kind, spreadsheet=spreadsheet))
    else:
        _print_table(rows, kind, zone, meant)


def _meant(conn: Connection[Any], given: dict[str, Any]) -> str:
    """Say which bundle or tool may have been meant, of those that were called in the range."""
    called = tool_usage_stats(conn, **{name: given[name] for name in ("since", "until") if name in given})
    for parameter, what in (("bcp_name", "bundle"), ("tool_name", "tool")):
        names = {getattr(row, parameter) for row in called}
        if parameter not in given or given[parameter] in names:
            continue
        if near := get_close_matches(given[parameter], names, n=1):
            return f" In that range no {what} {given[parameter]!r} was called: did you mean {near[0]!r}?"
    return ""


def _check_options(name: str, given: dict[str, Any]) -> None:
    takes = _parameters(name)
    wrong = [
        option for parameter, option in _OPTIONS.items() if parameter in given and parameter not in takes
    ]
    if wrong:
        options = [option for parameter, option in _OPTIONS.items() if parameter in takes]
        raise typer.BadParameter(
            f"{name} does not take {' or '.join(wrong)}: it takes {', '.join(options) or 'no option'}.",
            param_hint=wrong[0],
        )


def _parameters(name: str) -> set[str]:
    return set(signature(QUESTIONS[name][0]).parameters)


def _others(name: str) -> dict[str, str]:
    """Return the parameters that have no option of their own, with their types."""
    return {
        parameter.name: str(parameter.annotation)
        for parameter in signature(QUESTIONS[name][0]).parameters.values()
        if parameter.name not in _OPTIONS and parameter.name != "conn"
    }


def _list_questions() -> None:
    for name, (ask, _) in QUESTIONS.items():
        takes = _parameters(name)
        tell(name)
        tell(f"    {(getdoc(ask) or '').splitlines()[0]}")
        if options := [option for parameter, option in _OPTIONS.items() if parameter in takes]:
            tell(f"    {' '.join(options)}")
        if others := _others(name):
            tell(f"    --set {' '.join(f'{parameter}=' for parameter in others)}")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _print_table(rows: list[Any], kind: type[Any], zone: Any, meant: str) -> None:  # noqa: ANN401
    if not rows:
        say(f"Nothing was found.{meant or ' Try a longer range, such as --since 7d, or fewer filters.'}")
        return
    terminal = Console()
    # Into a file or a pipe everything goes, however wide it is.
    width = terminal.width if terminal.is_terminal or "COLUMNS" in os.environ else None
    table, hidden = tables.to_table(rows, kind, zone=zone, width=width)
    Console(width=width or 100_000, highlight=False).print(table)
    sys.stdout.flush()
    if hidden:
        say(f"No room for {', '.join(hidden)}: widen the terminal, or use --format json or csv.")
