"""Charts as SVG for a page: colours by the page's CSS variables, no scripts, nothing fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pygal
from pygal.style import Style

from bcp_analytics._render.tables import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bcp_analytics.report._collect import Report

_FONT = "system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Size:
    """How large a chart is, in pixels of the page, and how many labels fit below it."""

    width: int
    height: int
    margin_right: int
    labels: int


WIDE = Size(1100, 260, 40, 8)
NARROW = Size(330, 240, 20, 3)
"""For a telephone: WIDE would be shown at 0.3 of its size there, and its labels 3 pixels high."""


def calls(report: Report, size: Size = WIDE) -> str:
    """Return stacked bars of the calls of each bucket, by how they ended."""
    buckets = report.buckets
    unknown = [b.call_count - b.success_count - b.error_count for b in buckets]
    series: dict[str, tuple[str, list[float | None]]] = {
        "succeeded": ("var(--good)", [b.success_count for b in buckets]),
        "failed": ("var(--bad)", [b.error_count for b in buckets]),
    }
    if any(unknown):
        series["not known"] = ("var(--muted)", list(unknown))
    most = max(bucket.call_count for bucket in buckets)
    return _chart(
        pygal.StackedBar, report, series, _count, "Calls over time", size=size, y_labels=_counts(most)
    )


def failures(report: Report, size: Size = WIDE) -> str:
    """Return bars of the failed calls of each bucket alone, which are too few to be seen among all."""
    series: dict[str, tuple[str, list[float | None]]] = {
        "failed": ("var(--bad)", [b.error_count for b in report.buckets])
    }
    most = max(bucket.error_count for bucket in report.buckets)
    return _chart(
        pygal.Bar, report, series, _count, "Failed calls over time", size=size, y_labels=_counts(most)
    )


def latency(report: Report, size: Size = WIDE) -> str:
    """Return lines of the percentiles, on a logarithmic scale."""
    series: dict[str, tuple[str, list[float | None]]] = {}
    for name in ("p50", "p95", "p99"):
        # A logarithm of 0 is none: what is below is drawn at a microsecond.
        known_ms = [getattr(b, f"{name}_duration_ms") for b in report.buckets]
        values = [None if value is None else max(value, 0.001) for value in known_ms]
        series[name] = (f"var(--{name})", values)
    known = [v for _, values in series.values() for v in values if v is not None]
    return _chart(
        pygal.Line,
        report,
        series,
        duration,
        "Latency over time",
        size=size,
        logarithmic=True,
        y_labels=_ticks(min(known, default=1), max(known, default=1)),
        show_dots=len(report.buckets) <= 2,  # noqa: PLR2004 - a line of fewer points is no line
        allow_interruptions=True,
    )


def _counts(most: int) -> list[int]:
    """Return round whole numbers from 0 to `most` or above."""
    power = 10 ** int(math.log10(max(most, 1)))
    step = next(s for s in (power // 5, power // 2, power, 2 * power) if s and most <= 5 * s)
    return list(range(0, max(most, 1) + step, step))


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` or below to `high` or above: powers of 10, or with 2 and 5 if few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)  # noqa: PLR2004 - more could not be read
    ticks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    begin = max((i for i, tick in enumerate(ticks) if tick <= low), default=0)
    end = next((i for i, tick in enumerate(ticks) if tick >= high), len(ticks) - 1)
    return ticks[begin : max(end, begin + 1) + 1]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _chart(
    kind: Callable[..., Any],
    report: Report,
    series: dict[str, tuple[str, list[float | None]]],
    show: Callable[[float], str],
    title: str,
    *,
    size: Size,
    **options: Any,  # noqa: ANN401 - pygal's own
) -> str:
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--ink)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        colors=tuple(colour for colour, _ in series.values()),
        font_family=_FONT,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        opacity="1",
        transition="none",
    )
    labels, major = _labels(
        [b.time_bucket.astimezone(report.zone) for b in report.buckets], report.interval, size.labels
    )
    chart = kind(
        style=style,
        width=size.width,
        height=size.height,
        js=[],
        disable_xml_declaration=True,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(series),
        legend_box_size=10,
        margin=8,
        margin_right=size.margin_right,
        spacing=8,
        x_labels=labels,
        x_labels_major=major,
        show_minor_x_labels=False,
        truncate_label=-1,
        truncate_legend=-1,
        value_formatter=lambda v: "" if v is None else show(v),
        **options,
    )
    for name, (_, values) in series.items():
        chart.add(name, values)
    chart.add_xml_filter(lambda root: _quiet(root, title))
    return str(chart.render(is_unicode=True))


def _labels(times: Sequence[datetime], interval: timedelta, most: int) -> tuple[list[str], list[str]]:
    """Return one label per bucket, and those that fit beside each other: round hours where there are some."""
    whole_days = interval >= timedelta(days=1)
    labels = [f"{t:%d %b}" if whole_days or t.hour == t.minute == 0 else f"{t:%d %b %H:%M}" for t in times]
    by_hours = [
        [label for label, t in zip(labels, times, strict=True) if t.minute == 0 and t.hour % hours == 0]
        for hours in (1, 3, 6, 12, 24)
    ]
    enough = 3  # fewer are no scale
    days = by_hours[-1] if len(by_hours[-1]) >= enough else labels
    chosen = next((found for found in by_hours if enough <= len(found) <= most), days)
    return labels, chosen[:: -(-len(chosen) // most) or 1]


def _quiet(root: Any, title: str) -> Any:  # noqa: ANN401 - an element of the library that pygal found
    """Take out the script and what it reads; give values to the browser's tool tip and to screen readers."""
    root.set("role", "img")
    root.set("aria-label", title)
    for group in root.iter("g"):
        found = {d.get("class"): d.text for d in group.findall("desc")}
        if "value" in found:
            tip = group.makeelement("title", {})
            tip.text = " ".join(filter(None, (found.get("x_label"), found["value"])))
            group.insert(0, tip)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {"script", "desc"}:
                parent.remove(child)
    return root
