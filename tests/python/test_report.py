"""bcp-analytics report: what it says, that it needs nothing else, and that no name in it can run."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bcp_analytics.cli._app import app
from bcp_analytics.errors import InvalidArgument
from bcp_analytics.report import Report, _html, _svg, _terminal, collect
from bcp_analytics.report._collect import choose_interval
from tests.sql.events import ingest, open_alert, something_to_answer

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

pytestmark = pytest.mark.any_target("a report is made of answers that are tested on each")

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
WEEK = {"since": NOW - timedelta(days=7), "until": NOW}
SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


@pytest.fixture
def store(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Something of everything, some of it with names that would like to run."""
    db.execute("select set_config('bcp.now', %s, true)", [NOW.isoformat()])
    for kind, events in something_to_answer(NOW - timedelta(hours=1)).items():
        assert ingest(db, events, kind)[3] == 0
    about = {"bcp_name": BREAKOUT, "tool_name": SCRIPT, "user_id": BREAKOUT, "session_id": SCRIPT}
    about |= {"client_name": SCRIPT, "error_type": SCRIPT, "error_message": BREAKOUT}
    calls = [
        about
        | {
            "start_time": (NOW - timedelta(hours=hours)).isoformat(),
            "success": hours % 4 > 0,
            "duration_ms": 10 * hours,
            "response_bytes": 3_000,
        }
        for hours in range(1, 101)
    ]
    assert ingest(db, calls)[3] == 0
    error = {"level": "fatal", "message": BREAKOUT, "error_type": SCRIPT, "timestamp": NOW.isoformat()}
    assert ingest(db, [error | {"bcp_name": BREAKOUT, "tool_name": SCRIPT}], "errors")[3] == 0
    open_alert(db)
    db.execute("update bcp.alerts set tool_name = %s", [SCRIPT])
    return db


class Page(HTMLParser):
    """What a browser would make of a page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def says(self, text: str) -> bool:
        return any(text in part for part in self.text)


def page(report: Report) -> tuple[str, Page]:
    text = _html.page(report, made_at=NOW)
    return text, Page(text)


def printed(report: Report, width: int = 120, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    _terminal.show(report, Console(file=file, width=width, color_system=None))
    file.seek(0)
    return file.read()


def test_no_name_of_the_database_runs(store: psycopg.Connection[Any]) -> None:
    text, found = page(collect(store, **WEEK))
    assert not found.tags.keys() & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert [name for name, _ in found.attributes if name.startswith("on")] == []
    # They are there all the same, as text.
    assert found.says(SCRIPT)
    assert found.says(BREAKOUT)
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes


def test_a_page_needs_nothing_else(store: psycopg.Connection[Any]) -> None:
    text, found = page(collect(store, **WEEK))
    fetching = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}
    assert [(n, v) for n, v in found.attributes if n in fetching and not v.startswith("#")] == []
    assert re.findall(r"@import|url\((?!#)", text) == []
    # The rest are names of XML namespaces, which nobody fetches, and a comment.
    left = set(re.findall(r"https?://[\w.]+", re.sub(r"<!--.*?-->", "", text)))
    assert left <= {"http://www.w3.org"}


def test_a_page_says_what_the_questions_answer(store: psycopg.Connection[Any]) -> None:
    report = collect(store, **WEEK)
    assert report.call_count == 102
    totals = {total.name: total.value for total in report.totals}
    assert totals["calls"] == "102"
    # 25 of 100, and a log-in. A list of tools is no call, and one call does not say how it ended.
    assert totals["failed calls"] == "26"
    assert totals["success rate"] == "74.3 %"
    assert totals["answers"] == "300 kB"
    _, found = page(report)
    for section in report.sections:
        assert section.rows, section.title
        assert found.says(section.title)
    assert found.tags["svg"] == 6
    for text in ("75.0 %", "505 ms", "20.0 % fail", "300 kB", "2026-06-08 12:00"):
        assert found.says(text), text
    text = printed(report)
    for expected in ("102", "75.0 %", "300 kB", "█", "What causes the errors"):
        assert expected in text, expected


def test_on_a_telephone_labels_are_readable_and_no_table_is_cut(store: psycopg.Connection[Any]) -> None:
    """At 390 pixels the wide charts' labels were 3 pixels high, and tables ended after two columns."""
    text, found = page(collect(store, **WEEK))
    widths = [int(value.split()[2]) for name, value in found.attributes if name.lower() == "viewbox"]
    assert sorted(widths) == [330, 330, 330, 1100, 1100, 1100]
    assert re.findall(r"\.axis text\{[^}]*font-size:(\d+)px", text) == ["12"] * 6
    # A row is a block there, so each cell says what it is.
    headings = [value for name, value in found.attributes if name == "data-heading"]
    assert len(headings) == found.tags["td"] > 0
    assert all(headings)


def test_an_empty_store_says_so(db: psycopg.Connection[Any]) -> None:
    report = collect(db, **WEEK)
    assert (report.call_count, len(report.buckets)) == (0, 56)
    _, found = page(report)
    assert found.says("there is nothing to draw")
    text = printed(report)
    for section in report.sections:
        if section.title == "Is the store well":
            assert section.rows
            continue
        assert section.rows == []
        assert section.empty
        assert found.says(section.empty)
        assert section.empty in text
    assert "nan" not in text.lower()


def test_a_range_without_length(store: psycopg.Connection[Any]) -> None:
    report = collect(store, since=NOW, until=NOW)
    assert (report.call_count, report.buckets) == (0, [])
    assert page(report)[1].says("there is nothing to draw")
    assert printed(report)


def test_a_filter_holds_for_all_that_knows_it(store: psycopg.Connection[Any]) -> None:
    report = collect(store, **WEEK, bcp_name="files", tool_name="password")
    assert report.call_count == 1
    _, found = page(report)
    assert found.says("password")
    assert not found.says(SCRIPT)
    assert "Sessions by client" not in {section.title for section in report.sections}
    assert collect(store, **WEEK, bcp_name=BREAKOUT).call_count == 100
    assert page(collect(store, **WEEK, bcp_name=BREAKOUT))[1].says(BREAKOUT)


def test_calls_of_a_day_of_25_hours_are_in_its_bucket(db: psycopg.Connection[Any]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    until = datetime(2026, 12, 1, tzinfo=zone)
    db.execute("select set_config('bcp.now', %s, true)", [until.isoformat()])
    # The clock goes back on the 25th of October.
    times = [datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(50)]
    ingest(db, [{"tool_name": "read", "bcp_name": "files", "start_time": t.isoformat()} for t in times])
    report = collect(
        db, since=datetime(2026, 9, 1, tzinfo=zone), until=until, time_zone="Europe/Berlin", zone=zone
    )
    assert report.interval == timedelta(days=1)
    assert len(report.buckets) == 91
    [busy] = [bucket for bucket in report.buckets if bucket.call_count]
    assert (busy.call_count, busy.time_bucket) == (50, datetime(2026, 10, 25, tzinfo=zone))
    assert {bucket.time_bucket.astimezone(zone).hour for bucket in report.buckets} == {0}
    assert page(report)[1].tags["svg"] == 6


def test_a_reader_may_ask_it(store: psycopg.Connection[Any]) -> None:
    store.execute("set local role bcp_reader")
    assert collect(store, **WEEK).call_count == 102


def test_a_reversed_range_is_an_error(db: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidArgument, match="is after"):
        collect(db, since=NOW, until=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("length", "interval"),
    [
        (timedelta(minutes=5), timedelta(minutes=1)),
        (timedelta(days=1), timedelta(minutes=15)),
        (timedelta(days=7), timedelta(hours=3)),
        (timedelta(days=90), timedelta(days=1)),
        (timedelta(days=3650), timedelta(days=7)),
    ],
)
def test_a_bucket_is_long_enough_for_a_chart(length: timedelta, interval: timedelta) -> None:
    assert choose_interval(length) == interval


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (12, 29_900, [10, 100, 1000, 10_000, 100_000]),
        (50, 50, [50, 100]),
        (100, 100, [100, 200]),
        (0.001, 0.5, [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]),
    ],
)
def test_ticks_of_a_logarithmic_scale_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert _svg._ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("hours", "count", "chosen"),
    [
        (0.25, 96, ["15 Jun 12:00", "15 Jun 15:00", "15 Jun 18:00", "15 Jun 21:00", "16 Jun"]),
        (3, 56, ["16 Jun", "17 Jun", "18 Jun", "19 Jun", "20 Jun"]),
        (24, 90, ["15 Jun", "27 Jun", "09 Jul", "21 Jul", "02 Aug"]),
        (1 / 60, 5, ["15 Jun 12:00", "15 Jun 12:01", "15 Jun 12:02", "15 Jun 12:03", "15 Jun 12:04"]),
    ],
)
def test_labels_are_at_round_times(hours: float, count: int, chosen: list[str]) -> None:
    times = [NOW + timedelta(hours=hours) * n for n in range(count)]
    labels, major = _svg._labels(times, timedelta(hours=hours), 8)
    assert len(labels) == count
    assert major[:5] == chosen
    assert len(major) <= 8
    assert 1 <= len(_svg._labels(times, timedelta(hours=hours), 3)[1]) <= 3


@pytest.mark.parametrize("most", [0, 1, 2, 7, 10, 11, 49, 50, 99, 100, 355, 999_999, 1_000_000])
def test_ticks_of_counts_are_few_whole_numbers(most: int) -> None:
    ticks = _svg._counts(most)
    assert ticks[0] == 0
    assert most <= ticks[-1]
    assert 2 <= len(ticks) <= 7


def test_a_narrow_terminal_of_ascii(store: psycopg.Connection[Any]) -> None:
    text = printed(collect(store, **WEEK), width=40, encoding="ascii")
    assert "#" in text
    assert max(map(len, text.splitlines())) <= 40


# ---- the command


@pytest.fixture
def command(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls, by a clock of the test's own; the environment names the database."""
    monkeypatch.delenv("COLUMNS", raising=False)
    dsn = psycopg.conninfo.make_conninfo(dsn, options=f"-c bcp.now={NOW.isoformat()}")
    with psycopg.connect(dsn) as conn:
        ingest(conn, [{"tool_name": "read", "bcp_name": "files", "start_time": NOW.isoformat()}] * 2)
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["report", *arguments])
    assert "Traceback" not in result.output
    return result


@pytest.mark.usefixtures("command")
def test_it_is_written_or_printed(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    result = run("--since", "1d", "--until", "2026-06-16", "--html", str(file))
    assert (result.exit_code, result.stdout) == (0, f"Written: {file}, 2 calls.\n"), result.output
    assert Page(file.read_text(encoding="utf-8")).says("read")
    result = run("--until", "2026-06-16", "--time-zone", "Asia/Tokyo", "--tool", "read")
    assert result.exit_code == 0, result.output
    assert "2026-06-08 21:00 to 2026-06-16 00:00 (Asia/Tokyo), tool read" in result.stdout


@pytest.mark.usefixtures("command")
def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    for file in (tmp_path / "missing" / "report.html", tmp_path):
        result = run("--html", str(file))
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {file} cannot be written: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("command")
def test_without_the_extra_it_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pygal", None)
    result = run("--html", str(tmp_path / "report.html"))
    assert result.exit_code == 1
    assert 'pip install "bcp_analytics[report]"' in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert run().exit_code == 0


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--since", "tomorrow"], 2, "is not a time"),
        (["--since", "2d..1d", "--until", "now"], 2, "has an end"),
        (["--time-zone", "Mars/Olympus"], 2, "no time zone 'Mars/Olympus'"),
        (["--since", "1d", "--until", "2d"], 1, "is after"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], code: int, says: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert says in " ".join(result.stderr.split())
