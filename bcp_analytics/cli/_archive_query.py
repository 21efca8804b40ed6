"""The command `bcp-analytics archive query`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bcp_analytics import archive as archives
from bcp_analytics._render import tables
from bcp_analytics._render.visible import visible
from bcp_analytics.archive._model import LOCATION_VARIABLE
from bcp_analytics.cli._output import Format, Output, Spreadsheet, check_spreadsheet, wide_console, write
from bcp_analytics.cli._support import ReadDsn, connected, say
from bcp_analytics.errors import BcpAnalyticsError

_MOST_ROWS = 200


def query_archives(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A query of DuckDB; - reads it from stdin.")],
    *,
    location: Annotated[
        str | None,
        typer.Option(
            help="Ask the archives there, without a database: a folder, or s3://bucket/prefix.",
            show_default=False,
        ),
    ] = None,
    output: Output = Format.table,
    spreadsheet: Spreadsheet = False,
    dsn: ReadDsn = None,
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
                conn = kept.enter_context(connected(dsn, autocommit=True, reads=True))
            except BcpAnalyticsError as error:
                if not os.environ.get(LOCATION_VARIABLE):
                    raise BcpAnalyticsError(
                        f"{error}", hint=f"Or ask the files without it: --location, or {LOCATION_VARIABLE}."
                    ) from None
                say(f"{error} So the manifests beside the files say what is asked.")
        found = archives.query(conn, asked, location=location)
    names, rows = found.column_names, [tuple(row.values()) for row in _rows(found)]
    if output is Format.json:
        write(tables.json_objects(dict(zip(names, map(_plain, row), strict=True)) for row in rows))
    elif output is Format.csv:
        cells = ([_plain(v) for v in row] for row in rows)
        write(tables.csv_rows(names, cells, spreadsheet=spreadsheet))
    else:
        wide_console().print(_table(names, rows[:_MOST_ROWS]))
        if len(rows) > _MOST_ROWS:
            say(f"{len(rows) - _MOST_ROWS:,} more rows: --format csv or json has them all.")


def _rows(table: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    numbers = [all(isinstance(row[n], int | float | None) for row in rows) for n in range(len(names))]
    for name, number in zip(names, numbers, strict=True):
        table.add_column(Text(visible(name)), justify="right" if number and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-", "dim") if v is None else Text(visible(str(_plain(v)))) for v in row))
    return table
