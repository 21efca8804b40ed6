"""A report for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from bcp_analytics._render import charts
from bcp_analytics._render.tables import duration, to_table
from bcp_analytics._render.visible import visible_line
from bcp_analytics.report._html import clock, length, zone_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bcp_analytics.report._collect import Report

_HEIGHT = 5


def show(report: Report, console: Console) -> None:
    """Print a report, as wide as the console is."""
    console.print(Text("Tool calls", "bold"))
    about = visible_line(
        "".join(f", {name.removesuffix('_name')} {value}" for name, value in report.filters.items())
    )
    console.print(
        Text(f"{clock(report, report.since)} to {clock(report, report.until)} ({zone_name(report)}){about}")
    )
    console.print()
    for total in report.totals:
        console.print(
            Text.assemble(
                (f"{total.name:>14}  ", "dim"),
                (f"{visible_line(total.value):<10}", "bold"),
                (f"  {visible_line(total.note)}", "dim"),
            )
        )
    if report.call_count:
        for title, values, most, style in _series(report):
            _chart(report, console, f"{title} by {length(report.interval)}, up to {most}", values, style)
    for section in report.sections:
        console.print()
        console.print(Text.assemble((section.title, "bold"), (f"  {visible_line(section.note)}", "dim")))
        if not section.rows:
            console.print(Text(section.empty, "dim"))
            continue
        table, hidden = to_table(section.rows, section.columns, zone=report.zone, width=console.width)
        console.print(table)
        if hidden:
            console.print(Text(f"No room for {', '.join(hidden)}.", "dim"))


def _series(report: Report) -> list[tuple[str, list[float], str, str]]:
    calls: list[float] = [b.call_count for b in report.buckets]
    failed: list[float] = [b.error_count for b in report.buckets]
    p95 = [b.p95_duration_ms or 0 for b in report.buckets]
    return [
        ("calls", calls, f"{max(calls):,}", "cyan"),
        ("failed calls", failed, f"{max(failed):,}", "red"),
        ("p95 of their durations", p95, duration(max(p95)), "yellow"),
    ]


def _chart(report: Report, console: Console, title: str, values: Sequence[float], style: str) -> None:
    # Where the terminal is too narrow for all buckets, show the latest.
    shown = list(values)[-console.width :]
    buckets = report.buckets[-len(shown) :]
    wide = max(1, console.width // max(len(shown), 1)) if len(shown) * 2 <= console.width else 1
    wide = min(wide, 3)
    stretched = [value for value in shown for _ in range(wide)]
    ends = {
        0: clock(report, buckets[0].time_bucket),
        len(stretched) - 1: clock(report, buckets[-1].time_bucket),
    }
    console.print()
    console.print(
        Group(
            Text(title),
            charts.columns(stretched, _HEIGHT, plain=console.options.ascii_only, style=style),
            charts.scale(ends, len(stretched)),
        )
    )
