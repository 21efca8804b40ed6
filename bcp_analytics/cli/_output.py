"""How commands write rows: the options --format and --spreadsheet, and what they stand for."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bcp_analytics._render import tables
from bcp_analytics.cli._support import say

if TYPE_CHECKING:
    from collections.abc import Sequence


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    json = "json"
    csv = "csv"


Output = Annotated[
    Format, typer.Option("--format", help="A table for people; JSON or CSV, with times in UTC, for programs.")
]
Spreadsheet = Annotated[
    bool,
    typer.Option(
        "--spreadsheet",
        help="With --format csv: for Excel and the like. Text that begins with = + - @, a tab or an end of "
        "line gets an apostrophe before it; without one it would run there as a formula.",
    ),
]


def check_spreadsheet(output: Format, *, spreadsheet: bool) -> None:
    """Raise `typer.BadParameter` where --spreadsheet is given with another format than CSV."""
    if spreadsheet and output is not Format.csv:
        raise typer.BadParameter("goes with --format csv.", param_hint="--spreadsheet")


def write(text: str) -> None:
    """Write JSON or CSV as it is: a program reads it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def wide_console() -> Console:
    """Return a console that cuts lines to the width of a terminal only: a file or a pipe gets all of them."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100_000)


def write_rows(rows: Sequence[Any], kind: type[Any], output: Format, *, none: str) -> None:
    """Write rows of the dataclass `kind`; `none` is what people are told where there are none."""
    if output is Format.json:
        write(tables.to_json(rows))
    elif output is Format.csv:
        write(tables.to_csv(rows, kind))
    elif not rows:
        say(none)
    else:
        wide_console().print(tables.to_table(rows, kind)[0])
