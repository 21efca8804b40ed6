"""The demo from end to end: everything stored once, nothing personal stored, a real server called."""

from __future__ import annotations

import io
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from rich.console import Console

from bcp_analytics import embedded
from bcp_analytics._render import charts
from bcp_analytics.demo import _real_calls as real_calls
from bcp_analytics.demo import run_demo
from bcp_analytics.demo._generate import Traffic, batches
from bcp_analytics.demo._present import Answers
from bcp_analytics.demo._send import SOURCE, look, send
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.queries import tool_usage_stats

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 400
SIZE = 100

# The demo leaves its server running, for whoever goes on with it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def silent() -> Console:
    return Console(file=io.StringIO(), width=80, color_system=None)


def everything(conn: psycopg.Connection[Any]) -> str:
    """Return all rows of all tables of ours, as text."""
    tables = conn.execute(
        "select schemaname, tablename from pg_tables where schemaname in ('bcp', 'bcp_internal')"
        " and tablename !~ 'anonymiz|sensitive'"
    ).fetchall()
    assert len(tables) > 5
    parts: list[str] = []
    for name in tables:
        parts += [
            row[0] for row in conn.execute(sql.SQL("select t::text from {} t").format(sql.Identifier(*name)))
        ]
    return "\n".join(parts)


def test_all_of_it_is_stored_and_nothing_personal(db: psycopg.Connection[Any]) -> None:
    end = datetime.now(UTC)
    sent, example = send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=end)
    events = [event for batch in batches(5, CALLS, end, SIZE) for event in batch.events]
    assert (sent.accepted, sent.stored, sent.duplicates, sent.rejected) == (len(events), len(events), 0, 0)
    assert db.execute("select count(*) from bcp.tool_usage_logs").fetchone() == (CALLS,)
    assert example["tool_name"] == "charge"

    given, stored = repr(events), everything(db)
    planted = {
        s for person in Traffic(5, CALLS, end).people for s in (*person.secrets, person.born) if s in given
    }
    assert len(planted) > 100
    assert sorted(secret for secret in planted if secret in stored) == []

    harmless = set(re.findall(r"INV-\d{6}|ch_\d{7}|shop\.example\.com/\w+/\d+|reports/2026/\w+\.md", given))
    assert len(harmless) > 10
    assert sorted(value for value in harmless if value not in stored) == []


def test_sent_again_it_is_all_duplicates(db: psycopg.Connection[Any]) -> None:
    end = datetime.now(UTC)
    first, _ = send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=end)
    before = look(db, 5, CALLS)
    assert before.end == end
    again, _ = send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=before.end)
    assert (again.accepted, again.stored, again.duplicates) == (first.accepted, 0, first.accepted)
    # After a run that was cut short, batches are new and events are not.
    db.execute("delete from bcp_internal.batch_keys")
    send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=end)
    assert db.execute("select count(*) from bcp.tool_usage_logs").fetchone() == (CALLS,)


def test_it_sees_what_a_database_holds(db: psycopg.Connection[Any]) -> None:
    empty = look(db, 5, CALLS)
    assert (empty.first_sent, empty.forgotten, empty.foreign) == (None, False, False)

    db.execute("select bcp.log_tool_usage('files', 'read', p_success => true)")
    assert look(db, 5, CALLS).foreign

    send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=datetime.now(UTC))
    sent = look(db, 5, CALLS)
    assert sent.first_sent is not None
    assert not sent.forgotten
    assert not sent.foreign  # once the demo has been there, its user may add to it
    assert look(db, 6, CALLS).first_sent is None

    db.execute("update bcp.performance_metrics set created_at = created_at - interval '8 days'")
    assert look(db, 5, CALLS).forgotten


def test_how_busy_is_no_question_of_latency(db: psycopg.Connection[Any]) -> None:
    """Percentiles an hour and tool, which it does not show, were 700 of the 800 ms that it took."""
    end = datetime.now(UTC)
    send(db, silent(), seed=5, calls=CALLS, size=SIZE, end=end)
    screen = io.StringIO()
    db.execute("set local track_functions = 'pl'")
    Answers(db, Console(file=screen, width=120, color_system=None), end).busy()
    assert db.execute(
        "select sum(pg_stat_get_xact_function_calls(oid)) from pg_proc where proname = 'latency_quantiles'"
    ).fetchone() == (None,)
    most = db.execute(
        "select max(calls), max(failed) from (select count(*) as calls, count(*) filter (where not success)"
        " as failed from bcp.tool_usage_logs group by date_trunc('day', start_time, 'UTC')) d"
    ).fetchone()
    assert most is not None
    assert (
        f"calls a day, up to {most[0]}" in screen.getvalue(),
        f"failed a day, up to {most[1]}" in screen.getvalue(),
    ) == (True, True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("demo")
    yield path
    embedded.stop(path)


def demo(folder: Path, **options: Any) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=options.pop("width", 120), color_system=None)
    assert run_demo(calls=500, seed=3, data=folder, console=console, **options) == 0
    return screen.getvalue()


def books(screen: str) -> tuple[int, ...]:
    found = re.search(
        r"accepted ([\d,]+) = stored ([\d,]+) \+ duplicates ([\d,]+) \+ rejected ([\d,]+)", screen
    )
    assert found is not None
    return tuple(int(number.replace(",", "")) for number in found.groups())


@pytest.mark.slow
def test_from_an_empty_folder_to_answers_and_again(folder: Path) -> None:
    end = datetime.now(UTC)
    screen = demo(folder, real_calls=False)
    assert "[REDACTED]" in screen
    assert "email#k1#" in screen
    for heading in (
        "How busy?",
        "Which tools are slow",
        "What fails?",
        "Was anything lost?",
        "Is the store well?",
    ):
        assert heading in screen

    status = embedded.status(folder)
    assert status is not None, "the database goes on after the demo"
    assert status.dsn in screen.replace("\n", "")
    with psycopg.connect(status.dsn, autocommit=True) as conn:
        # How many metrics there are depends on when the demo began.
        sent_until = look(conn, 3, 500).end
        assert sent_until is not None
        events = sum(len(batch.events) for batch in batches(3, 500, sent_until))
        assert books(screen) == (events, events, 0, 0)
        # From the aggregates too, although the jobs may have refreshed them before there was anything.
        stats = tool_usage_stats(
            conn, since=end - timedelta(days=31), until=end + timedelta(hours=1), interval=None
        )
        assert sum(row.call_count for row in stats) == 500
        by_day = conn.execute("select sum(calls) from bcp.tool_usage_1d").fetchone()
        assert by_day is not None
        assert by_day[0] > 400
        assert conn.execute("select distinct source from bcp.ingest_batches").fetchall() == [(SOURCE,)]

    again = demo(folder, real_calls=False, width=80, stop=True)
    assert "used as" in again
    assert "sent before" in again
    assert books(again) == (events, 0, events, 0)
    assert max(len(line) for line in again.splitlines() if str(folder) not in line) <= 80
    assert embedded.status(folder) is None


def test_it_prints_to_a_terminal_without_unicode(folder: Path) -> None:
    raw = io.BytesIO()
    screen = io.TextIOWrapper(raw, encoding="ascii")
    run_demo(
        calls=500, seed=3, data=folder, real_calls=False, stop=True, console=Console(file=screen, width=80)
    )
    screen.flush()
    assert b"Was anything lost?" in raw.getvalue()


@pytest.mark.slow
def test_a_folder_of_somebody_elses_is_left_alone(folder: Path, tmp_path: Path) -> None:
    # A copy of what there is takes less than a store from nothing, and a demo may have run there before.
    embedded.stop(folder)
    theirs = tmp_path / "theirs"
    shutil.copytree(folder, theirs, ignore=shutil.ignore_patterns("*.s.PGSQL.*"))
    demo(theirs, real_calls=False)
    status = embedded.status(theirs)
    assert status is not None
    try:
        with psycopg.connect(status.dsn, autocommit=True) as conn:
            conn.execute("update bcp.ingest_batches set source = 'the application'")
        with pytest.raises(BcpAnalyticsError, match="--data"):
            demo(theirs, real_calls=False)
        assert embedded.status(theirs) is not None, "a database that ran before goes on"
    finally:
        embedded.stop(theirs)


needs_server = pytest.mark.skipif(
    real_calls.why_unavailable() is not None, reason=real_calls.why_unavailable() or ""
)


@needs_server
def test_real_calls_are_real(folder: Path) -> None:
    screen = demo(folder, stop=False)
    assert "mcp-time" in screen
    status = embedded.status(folder)
    assert status is not None
    with psycopg.connect(status.dsn, autocommit=True) as conn:
        rows = conn.execute(
            "select tool_name, outcome, success, duration_ms, error_message, client_name, request_bytes,"
            " response_bytes, extract(epoch from now() - start_time)"
            " from bcp.tool_usage_logs where bcp_name = 'mcp-time'"
        ).fetchall()
        errors = conn.execute("select count(*) from bcp.error_logs where bcp_name = 'mcp-time'").fetchone()
    outcomes = {(tool, outcome) for tool, outcome, *_ in rows}
    assert {
        ("get_current_time", "success"),
        ("convert_time", "success"),
        ("get_current_time", "soft_fail"),
        ("convert_time", "soft_fail"),
        ("tell_fortune", "rejected"),
    } <= outcomes
    failed = [row for row in rows if not row[2]]
    assert errors == (len(failed),)
    assert all(0 < row[3] < 60_000 and row[5] == "bcp-analytics-demo" and row[6] and row[7] for row in rows)
    assert all(0 <= row[8] < 300 for row in rows)
    messages = " ".join(row[4] for row in failed)
    assert "Mars/Olympus_Mons" in messages
    assert "grace.hopper" not in messages
    assert "email#k1#" in messages


@needs_server
def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A module that runs, prints what is no protocol, and ends.
    monkeypatch.setattr(real_calls, "_MODULE", "this")
    with pytest.raises(BcpAnalyticsError, match="--no-real-calls"):
        real_calls.make_calls()


def test_without_a_server_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_calls, "_MODULE", "no_such_module")
    with pytest.raises(BcpAnalyticsError, match="mcp-server-time") as raised:
        run_demo(calls=1, data=tmp_path / "demo", console=silent())
    assert "--no-real-calls" in str(raised.value)
    assert not (tmp_path / "demo").exists()


def test_columns_fill_up_to_the_largest() -> None:
    assert charts.columns([0, 4, 8, 0.01], 1, plain=False).plain == " ▄█▁"
    assert charts.columns([8, 16], 2, plain=False).plain == " █\n██"
    assert charts.columns([0, 0], 1, plain=False).plain == "  "
    assert charts.columns([1, 2, 3], 2, plain=True).plain.isascii()


def test_bars_are_as_long_as_their_share() -> None:
    assert charts.bar(1, 4, plain=False).plain == "████"
    assert charts.bar(0.5, 4, plain=False).plain == "██"
    assert charts.bar(0.0001, 4, plain=False).plain == "▏"
    assert charts.bar(0, 4, plain=False).plain == ""
    assert charts.bar(0.5, 4, plain=True).plain == "##"


def test_labels_that_would_touch_are_left_out() -> None:
    assert charts.scale({0: "ab", 1: "cd", 6: "ef"}, 8).plain == "ab    ef"
