"""The command `bcp-analytics report`."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import IsolationLevel
from rich.console import Console

from bcp_analytics.cli._support import connected, parse_range, parse_zone, server_time
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.report import _html, _terminal, collect

if TYPE_CHECKING:
    from pathlib import Path


def run(
    *,
    since: str | None,
    until: str | None,
    time_zone: str,
    bcp: str | None,
    tool: str | None,
    file: Path | None,
    dsn: str | None,
) -> str | None:
    """Write the file and return what to say of it, or print the report where there is none."""
    zone = parse_zone(time_zone)
    if file is not None:
        _html.check()  # before anything is asked
    with connected(dsn, reads=True) as conn:
        # So all answers show one state of the store, and none changes it.
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        now = server_time(conn)
        first, last = parse_range(since, until, zone, lambda: now)
        report = collect(
            conn,
            since=first or now - timedelta(days=7),
            until=last or now,
            time_zone=time_zone,
            zone=zone,
            bcp_name=bcp,
            tool_name=tool,
        )
    if file is None:
        _terminal.show(report, _console())
        return None
    try:
        file.write_text(_html.page(report, made_at=now), encoding="utf-8")
    except OSError as error:
        raise BcpAnalyticsError(
            f"{file} cannot be written: {error.strerror}.", hint="Name a file in a folder that is yours."
        ) from error
    return f"Written: {file}, {report.call_count:,} calls."


def _console() -> Console:
    found = Console(highlight=False)
    # A file or a pipe has no width of its own: use that of a page, unless COLUMNS names one.
    told = found.is_terminal or "COLUMNS" in os.environ
    return found if told else Console(highlight=False, width=120)
