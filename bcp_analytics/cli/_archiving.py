"""What the commands about archives share: options, times, and bars that show how far they are."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bcp_analytics._render.visible import visible_line
from bcp_analytics.cli._support import parse_time, server_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from bcp_analytics import archive as archives

Table = Annotated[str | None, typer.Option(help="This table alone.", show_default=False)]
From = Annotated[
    str | None,
    typer.Option(
        "--from", help="Start of the range: 24h, 7d or 2w ago, or an ISO 8601 time.", show_default=False
    ),
]
To = Annotated[str | None, typer.Option("--to", help="End of the range, exclusive.", show_default=False)]


def time_of(conn: Connection[Any], option: str, value: str | None) -> datetime | None:
    """Read an option that is a time; None stays None."""
    return parse_time(option, value, UTC, lambda: server_time(conn)) if value is not None else None


@contextmanager
def bars() -> Iterator[Callable[[archives.Progress], None]]:
    """Show one bar per chunk on a terminal, and nothing elsewhere."""
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
