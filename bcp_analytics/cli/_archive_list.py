"""The command `bcp-analytics archive list`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - render reads the types
from enum import StrEnum
from typing import Annotated
from uuid import UUID  # noqa: TC003 - render reads the types

import typer

from bcp_analytics import archive as archives
from bcp_analytics._render import tables
from bcp_analytics.archive import _extra
from bcp_analytics.cli._archiving import From, Table, To, time_of
from bcp_analytics.cli._output import Format, Output, Spreadsheet, check_spreadsheet, wide_console, write
from bcp_analytics.cli._support import ReadDsn, connected, say


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


def list_archives(
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
    output: Output = Format.table,
    spreadsheet: Spreadsheet = False,
    dsn: ReadDsn = None,
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
    with connected(dsn, autocommit=True, reads=True) as conn:
        found = archives.archives(
            conn,
            table=table,
            since=time_of(conn, "--from", since),
            until=time_of(conn, "--to", until),
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
        write(tables.to_json(listed))
    elif output is Format.csv:
        write(tables.to_csv(listed, Listed, spreadsheet=spreadsheet))
    elif listed:
        shown = ("table_name", "range_start", "range_end", "state", "row_count", "size_bytes", "location")
        wide_console().print(tables.to_table(listed, shown)[0])
    else:
        say("No archives.")


def _location_url(location: str) -> str:
    _extra.check()
    from bcp_analytics.archive import _store  # noqa: PLC0415 - an extra

    return _store.location_url(location)
