"""A report as one HTML file: no scripts, nothing fetched, and the browser is told to allow neither."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics import __version__
from bcp_analytics._render.look import LOOK
from bcp_analytics._render.tables import to_cells
from bcp_analytics._render.visible import visible
from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from datetime import datetime

    from bcp_analytics.report._collect import Report, Section

_SHORT = 26
_UNITS = ((timedelta(days=7), "week"), (timedelta(days=1), "day"), (timedelta(hours=1), "hour"))


def check() -> None:
    """Raise `BcpAnalyticsError` where the extra is not installed."""
    try:
        import jinja2  # noqa: F401, PLC0415
        import pygal  # noqa: F401, PLC0415
    except ImportError as error:
        raise BcpAnalyticsError(
            f"A report in HTML needs {error.name}, which is not installed.",
            hint='Install the extra: pip install "bcp_analytics[report]". Without --html it needs none.',
        ) from None


def page(report: Report, *, made_at: datetime) -> str:
    """Return the whole page; everything from the database is escaped. Raises as `check` does."""
    check()
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415

    from bcp_analytics.report import _svg  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("bcp_analytics.report", "templates"),
        autoescape=True,
        # Escaped text could still reverse the text around it, or send commands to a terminal that shows it.
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = []
    if report.call_count:
        # Markup: pygal has escaped them, and their only texts are times and numbers.
        charts = [
            (title, note, *(Markup(draw(report, size)) for size in (_svg.WIDE, _svg.NARROW)))  # noqa: S704
            for title, note, draw in (
                ("Calls", "all, by how they ended", _svg.calls),
                ("Failed calls", "alone", _svg.failures),
                ("Latency", "all tools together, logarithmic scale", _svg.latency),
            )
        ]
    return environment.get_template("report.html.jinja").render(
        report=report,
        since=clock(report, report.since),
        until=clock(report, report.until),
        made_at=clock(report, made_at),
        zone=zone_name(report),
        step=length(report.interval),
        charts=charts,
        table=lambda section: _table(report, section),
        version=__version__,
        look=Markup(LOOK),  # noqa: S704 - a file of ours
    )


def clock(report: Report, time: datetime) -> str:
    """Return a time in the report's zone."""
    return f"{time.astimezone(report.zone):%Y-%m-%d %H:%M}"


def zone_name(report: Report) -> str:
    """Return the name of the report's time zone."""
    return str(getattr(report.zone, "key", None) or report.zone.tzname(None) or report.zone)


def length(interval: timedelta) -> str:
    """Return how long a bucket is: hour, 3 hours, 15 minutes."""
    for unit, name in (*_UNITS, (timedelta(minutes=1), "minute")):
        count, rest = divmod(interval, unit)
        if count and not rest:
            return name if count == 1 else f"{count} {name}s"
    return str(interval)


def _table(report: Report, section: Section) -> list[dict[str, Any]]:
    """Return the columns of a table, with how long the bar of each cell is, up to 1."""
    columns = []
    for column in to_cells(section.rows, section.columns, zone=report.zone):
        bars: list[float | None] = [None] * len(section.rows)
        if column.name == section.bar:
            values = [getattr(row, column.name) or 0 for row in section.rows]
            bars = [value / (max(values) or 1) for value in values]
        columns.append(
            {
                "name": column.name,
                "heading": column.heading,
                "is_text": column.is_text,
                # Names are easier to read on one line, unless they take the room of other columns.
                "is_short": max(map(len, column.cells)) <= _SHORT,
                "cells": list(zip(column.cells, bars, strict=True)),
            }
        )
    return columns
