"""How answers are written: tables with units for people, exact JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from bcp_analytics._render import tables
from bcp_analytics.queries import DailyErrorSummary, LatencyPercentile, ToolUsageStats

T = datetime(2026, 6, 15, 11, tzinfo=UTC)
STATS = ToolUsageStats(
    T, "mail", "send", 1234567, 1, 1, 0.5, 1240.4, 840.2, None, 61_000, 7_300_000, 999, 2_500_000
)


@dataclass(frozen=True, slots=True)
class Odd:
    name: str | None
    at: datetime | None
    ratio: float


def shown(
    rows: list[Any], kind: type[Any], width: int | None = None, zone: Any = UTC
) -> tuple[str, list[str]]:
    table, hidden = tables.to_table(rows, kind, width=width, zone=zone)
    console = Console(width=width or 1000, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue(), hidden  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (0, "0 ms"),
        (0.0421, "0.042 ms"),
        (0.5, "0.500 ms"),
        (12.34, "12.3 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1240.4, "1.24 s"),
        (59_949, "59.9 s"),
        (59_960, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (7_300_000, "2 h 01 min"),
    ],
)
def test_durations(ms: float, expected: str) -> None:
    assert tables.duration(ms) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.50 kB"),
        (999_600, "1.00 MB"),
        (24_000_000, "24.0 MB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    assert tables.size(count) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.9876, "98.8 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %")],
)
def test_shares_are_100_or_0_only_where_they_are(share: float, expected: str) -> None:
    assert tables.percent(share) == expected


def test_a_table_has_units_and_aligns_numbers_right() -> None:
    text, hidden = shown([STATS, STATS], ToolUsageStats)
    assert hidden == []
    for part in (
        "time bucket (UTC)",
        "2026-06-15 11:00",
        "1,234,567",
        "50.0 %",
        "1.24 s",
        "840 ms",
        "2.50 MB",
    ):
        assert part in text
    heading, _, first, _ = text.splitlines()
    assert heading.index("call count") + len("call count") == first.index("1,234,567") + len("1,234,567")


def test_times_are_in_the_zone_asked_for() -> None:
    text, _ = shown([STATS], ToolUsageStats, zone=ZoneInfo("Asia/Kolkata"))
    assert "time bucket (Asia/Kolkata)" in text
    assert "2026-06-15 16:30" in text


def test_days_are_shown_without_a_time() -> None:
    row = DailyErrorSummary(T.replace(hour=0), "error", None, None, None, 1, 1, T, T + timedelta(seconds=1))
    text, _ = shown([row], DailyErrorSummary)
    assert "2026-06-15  " in text
    assert "2026-06-15 11:00:01" in text
    assert " - " in text


def test_a_percentile_is_named_as_people_name_it() -> None:
    text, _ = shown([LatencyPercentile("a", "b", 0.999, 1.5, 3)], LatencyPercentile)
    assert "p99.9" in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_table_fits_and_says_what_it_left_out(width: int) -> None:
    text, hidden = shown([STATS], ToolUsageStats, width=width)
    assert max(map(len, text.splitlines())) <= width
    # What is shown is whole: a number in one piece, a name too long for its column in several.
    assert {"1,234,567", "mail"} <= set(text.split())
    assert ("1.24 s" in text) == ("avg_duration_ms" not in hidden)
    names = [field.name for field in fields(ToolUsageStats)]
    assert hidden == names[len(names) - len(hidden) :]
    assert (hidden == []) == (width >= 200)


def test_rich_markup_in_data_is_only_text() -> None:
    text, _ = shown([Odd("[red]x[/red]", None, 1.0)], Odd)
    assert "[red]x[/red]" in text


def test_a_terminal_is_told_nothing_by_data() -> None:
    text, _ = shown([Odd("\x1b]0;title\x07\x9b2Jreal\nname", None, 1.0)], Odd)
    assert r"\x1b]0;title\x07\x9b2Jreal" in text
    assert [c for c in text if c != "\n" and not c.isprintable()] == []


def test_some_columns_of_a_row() -> None:
    table, _ = tables.to_table([STATS], ("tool_name", "call_count"))
    assert [column.header for column in table.columns] == ["tool name", "call count"]
    name, p50, calls = tables.to_cells([STATS], ("tool_name", "p50_duration_ms", "call_count"))
    assert (name.heading, name.cells, name.is_text) == ("tool name", ["send"], True)
    assert (p50.heading, p50.cells, p50.is_text) == ("p50", ["840 ms"], False)
    assert calls.cells == ["1,234,567"]


def test_what_is_true_or_not_is_a_word() -> None:
    @dataclass(frozen=True, slots=True)
    class Call:
        success: bool | None

    [cells] = tables.to_cells([Call(success=value) for value in (True, False, None)], ("success",))
    assert cells.cells == ["yes", "no", "-"]


def test_json_is_exact_and_in_utc() -> None:
    row = Odd('é"\n', T.astimezone(ZoneInfo("Asia/Kolkata")), 0.1)
    assert (
        json.loads(tables.to_json([row, row]))
        == [{"name": 'é"\n', "at": "2026-06-15T11:00:00+00:00", "ratio": 0.1}] * 2
    )
    assert json.loads(tables.to_json([])) == []


def test_csv_is_rfc_4180() -> None:
    rows = [Odd('a,"b"\nc', T, 0.1), Odd(None, None, 2.0)]
    text = tables.to_csv(rows, Odd)
    assert text == 'name,at,ratio\r\n"a,""b""\nc",2026-06-15T11:00:00+00:00,0.1\r\n,,2.0\r\n'
    assert list(csv.reader(io.StringIO(text, newline="")))[1][0] == 'a,"b"\nc'
    assert tables.to_csv([], Odd) == "name,at,ratio\r\n"
