"""The command query."""

from __future__ import annotations

import os
import sys
from datetime import UTC
from difflib import get_close_matches
from enum import StrEnum
from inspect import getdoc, signature
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console

from bcp_analytics._core import arguments
from bcp_analytics._render import tables
from bcp_analytics.cli._output import Format, Output, Spreadsheet, check_spreadsheet, write
from bcp_analytics.cli._support import (
    ReadDsn,
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
    from datetime import tzinfo

    from psycopg import Connection


# The values stand once, in the types that the questions take.
Level = StrEnum("Level", get_args(arguments.ErrorLevel))  # type: ignore[misc]
Outcome = StrEnum("Outcome", get_args(arguments.Outcome))  # type: ignore[misc]


def _option(*names: str, text: str) -> Any:  # noqa: ANN401 - typer's own
    return typer.Option(*names, help=text, show_default=False)


Since = Annotated[
    str | None,
    _option(
        "--since",
        text="Start of the range: 30m, 24h, 7d or 2w ago, today, yesterday, or an ISO 8601 time; or the "
        "range itself: 2026-11-01..2026-11-08. By default 24 hours before its end.",
    ),
]
Until = Annotated[str | None, _option("--until", text="End of the range, exclusive. By default now.")]
Interval = Annotated[
    str | None, _option("--interval", text="Length of a row: 15m, 1h, 1d, 1w, 1mo, or none. By default 1h.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other parameter of the question, such as limit=10; once for each.",
        show_default=False,
    ),
]
Percentiles = Annotated[str | None, _option("--percentiles", text="Shares, such as 0.5,0.95,0.99.")]
OfLevel = Annotated[Level | None, _option("--level", text="Errors of this level.")]
Bcp = Annotated[str | None, _option("--bcp", text="Calls of this bundle of tools.")]
Tool = Annotated[str | None, _option("--tool", text="Calls of this tool.")]
Operation = Annotated[str | None, _option("--operation", text="Calls with this operation.")]
User = Annotated[str | None, _option("--user", text="What this user did; '' for what names no user.")]
Session = Annotated[
    str | None, _option("--session", text="What happened in this session; '' for what names none.")
]
Client = Annotated[
    str | None, _option("--client", text="Calls from this client; '' for those that name none.")
]
ClientVersion = Annotated[
    str | None,
    _option("--client-version", text="Calls from this version of a client; '' for those that name none."),
]
Model = Annotated[
    str | None, _option("--model", text="Calls that this model decided on; '' for those that name none.")
]
Release = Annotated[
    str | None,
    _option("--release", text="Calls or errors of this release of the tools; '' for those that name none."),
]
WithOutcome = Annotated[Outcome | None, _option("--outcome", text="Calls that ended like this.")]
Failed = Annotated[
    bool | None,
    _option("--failed/--not-failed", text="Calls that failed, or all others: succeeded, cancelled, unknown."),
]
EventId = Annotated[
    str | None,
    _option(
        "--event-id",
        text="What was sent with this event_id. Without --since it is looked for in all time.",
    ),
]
TimeZone = Annotated[
    str | None, _option("--time-zone", text="Where days begin, such as Europe/Berlin. By default UTC.")
]


def query(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Name of a question.", show_default=False)] = None,
    *,
    list_questions: Annotated[
        bool, typer.Option("--list", help="Say which questions there are, and what each takes.")
    ] = False,
    since: Since = None,
    until: Until = None,
    interval: Interval = None,
    percentiles: Percentiles = None,
    level: OfLevel = None,
    bcp_name: Bcp = None,
    tool_name: Tool = None,
    operation: Operation = None,
    user_id: User = None,
    session_id: Session = None,
    client_name: Client = None,
    client_version: ClientVersion = None,
    client_model: Model = None,
    release: Release = None,
    outcome: WithOutcome = None,
    failed: Failed = None,
    event_id: EventId = None,
    time_zone: TimeZone = None,
    settings: Settings = None,
    output: Output = Format.table,
    spreadsheet: Spreadsheet = False,
    dsn: ReadDsn = None,
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
    typed = locals()
    options = options_of(context)
    if list_questions:
        _list_questions(options)
        return
    check_spreadsheet(output, spreadsheet=spreadsheet)
    name, zone, given = read_question(name, options, typed)
    with connected(dsn, reads=True) as conn:
        given |= read_times(conn, typed, zone)
        ask, kind = QUESTIONS[name]
        rows = ask(conn, **given)
        meant = _meant(conn, given) if not rows and output is Format.table else ""
    if output is Format.json:
        write(tables.to_json(rows))
    elif output is Format.csv:
        write(tables.to_csv(rows, kind, spreadsheet=spreadsheet))
    else:
        _print_table(rows, kind, zone, meant)


def read_question(
    name: str | None, options: dict[str, str], typed: dict[str, Any]
) -> tuple[str, tzinfo, dict[str, Any]]:
    """Return the question, its time zone and its arguments, all but the range."""
    if name not in QUESTIONS:
        problem = "name a question" if name is None else f"there is no question {name!r}"
        raise typer.BadParameter(f"{problem}: one of {', '.join(QUESTIONS)}.", param_hint="NAME")
    _check_options(name, options, typed)
    zone = parse_zone(typed["time_zone"]) if typed["time_zone"] is not None else UTC
    given = _arguments(options, typed)
    for setting in typed["settings"] or []:
        given |= parse_setting(setting, _others(name, options))
    return name, zone, given


def read_times(conn: Connection[Any], typed: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Return the arguments that are the range."""
    times = parse_range(typed["since"], typed["until"], zone, lambda: server_time(conn))
    return {name: time for name, time in zip(("since", "until"), times, strict=True) if time}


def _arguments(options: dict[str, str], typed: dict[str, Any]) -> dict[str, Any]:
    """Return what the options say, as the question takes it."""
    given = {name: typed[name] for name in options if typed[name] is not None}
    if "interval" in given:
        given["interval"] = parse_interval(given["interval"])
    if "percentiles" in given:
        given["percentiles"] = parse_shares("--percentiles", given["percentiles"])
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in given.items()}


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


def options_of(context: typer.Context) -> dict[str, str]:
    """Return the option that gives each parameter of a question: those of the command with its name."""
    asked = {parameter for name in QUESTIONS for parameter in _parameters(name)}
    return {o.name: o.opts[0] for o in context.command.params if o.name in asked}


def _check_options(name: str, options: dict[str, str], typed: dict[str, Any]) -> None:
    takes = _parameters(name)
    wrong = [option for p, option in options.items() if typed[p] is not None and p not in takes]
    if wrong:
        right = [option for p, option in options.items() if p in takes]
        raise typer.BadParameter(
            f"{name} does not take {' or '.join(wrong)}: it takes {', '.join(right) or 'no option'}.",
            param_hint=wrong[0],
        )


def _parameters(name: str) -> set[str]:
    return set(signature(QUESTIONS[name][0]).parameters)


def _others(name: str, options: dict[str, str]) -> dict[str, str]:
    """Return the parameters that have no option of their own, with their types."""
    return {
        parameter.name: str(parameter.annotation)
        for parameter in signature(QUESTIONS[name][0]).parameters.values()
        if parameter.name not in options and parameter.name != "conn"
    }


def _list_questions(options: dict[str, str]) -> None:
    for name, (ask, _) in QUESTIONS.items():
        takes = _parameters(name)
        tell(name)
        tell(f"    {(getdoc(ask) or '').splitlines()[0]}")
        if taken := [option for parameter, option in options.items() if parameter in takes]:
            tell(f"    {' '.join(taken)}")
        if others := _others(name, options):
            tell(f"    --set {' '.join(f'{parameter}=' for parameter in others)}")


def _print_table(rows: list[Any], kind: type[Any], zone: Any, meant: str) -> None:  # noqa: ANN401
    if not rows:
        say(f"Nothing was found.{meant or ' Try a longer range, such as --since 7d, or fewer filters.'}")
        return
    terminal = Console()
    # A file or a pipe gets all columns, however wide they are together.
    width = terminal.width if terminal.is_terminal or "COLUMNS" in os.environ else None
    table, hidden = tables.to_table(rows, kind, zone=zone, width=width)
    Console(width=width or 100_000, highlight=False).print(table)
    sys.stdout.flush()
    if hidden:
        say(f"No room for {', '.join(hidden)}: widen the terminal, or use --format json or csv.")
