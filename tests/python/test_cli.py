"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics import __version__, embedded, ingest_errors, ingest_tool_usage, log_error
from bcp_analytics._render import tables
from bcp_analytics.cli._app import app
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.queries._questions import QUESTIONS
from tests.sql.events import open_alert, something_to_answer

if TYPE_CHECKING:
    from typer.testing import Result

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in (
        "BCP_ANALYTICS_DSN",
        "BCP_ANALYTICS_READ_DSN",
        "BCP_ANALYTICS_DEBUG",
        "COLUMNS",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BCP_ANALYTICS_DATA", str(tmp_path / "data"))


@pytest.fixture
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three calls and an error, by a clock of the test's own; the environment names the database."""
    # Embedded and native alike take settings of a session in the connection string.
    dsn = psycopg.conninfo.make_conninfo(dsn, options=f"-c bcp.now={NOW.isoformat()}")
    with psycopg.connect(dsn) as conn:
        events = [
            {
                "bcp_name": "files",
                "tool_name": tool,
                "start_time": NOW - timedelta(hours=hours),
                "duration_ms": 100 * hours,
                "success": tool == "read",
            }
            for tool, hours in (("read", 1), ("read", 30), ("write", 1))
        ]
        ingest_tool_usage(conn, events)
        log_error(conn, "error", 'it broke, "badly"', timestamp=NOW - timedelta(hours=2))
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    return dsn


def run(*args: str) -> Result:
    result = CliRunner().invoke(app, list(args))
    assert "Traceback" not in result.output
    return result


def ok(*args: str) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def process(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bcp_analytics", *args],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def one_line_error(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def usage_error(*args: str) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


def test_version() -> None:
    assert ok("--version") == f"bcp-analytics {__version__}\n"


def test_every_command_has_help_with_an_example() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    assert set(names) == {
        "anonymize-history",
        "cleanup",
        "compose",
        "restore",
        "erase-user",
        "explain",
        "migrate",
        "status",
        "rollback",
        "up",
        "down",
        "demo",
        "notify",
        "proxy",
        "refresh",
        "query",
        "report",
        "serve",
        "mcp",
    }
    for name in names:
        text = ok(name, "--help")
        assert f"bcp-analytics {name}" in text.split("Usage:")[1].split("\n", 1)[1], name


def test_the_list_of_questions_says_what_each_takes() -> None:
    text = ok("query", "--list")
    for name in QUESTIONS:
        assert f"{name}\n" in text
    assert "--since --until --percentiles" in text


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_in_every_format(store: str, name: str) -> None:
    with psycopg.connect(store) as conn:
        events = something_to_answer(NOW - timedelta(hours=1))
        ingest_tool_usage(conn, events["tool_usage"])
        ingest_errors(conn, events["errors"])
        open_alert(conn)
    found = json.loads(ok("query", name, "--format", "json"))
    assert found
    rows = list(csv.DictReader(io.StringIO(ok("query", name, "--format", "csv"), newline="")))
    assert [list(row) for row in rows] == [list(row) for row in found]
    assert len(ok("query", name).splitlines()) >= len(found) + 2


@pytest.mark.usefixtures("store")
def test_json_has_numbers_and_iso_times() -> None:
    [row] = json.loads(ok("query", "tool_usage_stats", "--tool", "read", "--format", "json"))
    assert row["call_count"] == 1
    assert row["avg_duration_ms"] == 100.0
    assert row["time_bucket"] == "2026-06-15T11:00:00+00:00"
    assert row["success_rate"] == 1.0


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ([], 2),
        (["--since", "2d"], 3),
        (["--since", "1800m"], 3),
        (["--since", "1w", "--until", "3h"], 1),
        (["--since", "2026-06-14"], 3),
        (["--since", "2026-06-15"], 2),
        (["--since", "2026-06-15T20:30+09:00"], 0),
        (["--since", "2026-06-15T11:00Z", "--until", "now"], 2),
        # 00:00 of the 15th in Tokyo is 15:00 of the 14th.
        (["--since", "2026-06-15T20:00", "--time-zone", "Asia/Tokyo"], 2),
        (["--since", "today"], 2),
        (["--since", "yesterday"], 3),
        (["--since", "yesterday", "--until", "today"], 1),
        (["--since", "2026-06-14..2026-06-15"], 1),
        (["--since", "yesterday..now"], 3),
        (["--since", "2026-06-14T00:00+02:00..2h"], 1),
        # The 15th is from 10:00 of the 14th to 10:00 of the 15th there, and over.
        (["--since", "today", "--time-zone", "Pacific/Kiritimati"], 2),
        (["--since", "yesterday..today", "--time-zone", "Pacific/Kiritimati"], 0),
        (["--failed"], 1),
        (["--not-failed", "--since", "2d"], 2),
        (["--client-version", "none such"], 0),
        (["--model", "none such"], 0),
        (["--release", "none such"], 0),
        (["--bcp", "files", "--tool", "write"], 1),
        (["--operation", "none such"], 0),
        (["--user", "none such"], 0),
        (["--session", "none such"], 0),
        (["--client", "none such"], 0),
        (["--outcome", "success"], 1),
        (["--outcome", "timeout"], 0),
        (["--since", "2w", "--interval", "1mo"], 3),
        (["--since", "2w", "--interval", "none"], 3),
    ],
)
@pytest.mark.usefixtures("store")
def test_ranges_and_filters(options: list[str], calls: int) -> None:
    found = json.loads(ok("query", "tool_usage_stats", "--format", "json", *options))
    assert sum(row["call_count"] for row in found) == calls


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("question", "settings", "count"),
    [
        ("search_errors", ["query=broke -repair"], 1),
        ("search_errors", ["query=404"], 0),
        ("slow_calls", ["min_duration_ms=100", "limit=1"], 1),
        ("search_parameters", ['contains={"a": 1}'], 0),
        ("search_parameters", ['contains={"a": 1}', "limit=1"], 0),
    ],
)
def test_parameters_without_an_option_are_set(question: str, settings: list[str], count: int) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    assert len(json.loads(ok("query", question, *given, "--format", "json"))) == count


@pytest.mark.usefixtures("store")
def test_percentiles_and_levels() -> None:
    found = json.loads(ok("query", "latency_percentiles", "--percentiles", "0.5,0.99", "--format", "json"))
    assert {row["percentile"] for row in found} == {0.5, 0.99}
    assert json.loads(ok("query", "error_analysis", "--level", "warn", "--format", "json")) == []
    assert len(json.loads(ok("query", "error_analysis", "--level", "error", "--format", "json"))) == 1


@pytest.mark.usefixtures("store")
def test_buckets_are_shown_in_the_time_zone_asked_for() -> None:
    assert "2026-06-15 20:00" in ok("query", "tool_usage_stats", "--time-zone", "Asia/Tokyo")


@pytest.mark.usefixtures("store")
def test_nothing_found_is_said_on_stderr_and_no_error() -> None:
    result = run("query", "tool_usage_stats", "--tool", "none such")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing was found" in result.stderr
    assert ok("query", "tool_usage_stats", "--tool", "none such", "--format", "json") == "[]\n"
    assert ok("query", "tool_usage_stats", "--tool", "none such", "--format", "csv").count("\n") == 1


@pytest.mark.usefixtures("store")
def test_a_mistyped_bundle_or_tool_is_told_what_is_like_it() -> None:
    [called, *_] = json.loads(ok("query", "tool_usage_stats", "--format", "json"))
    for option, name in (("--bcp", called["bcp_name"]), ("--tool", called["tool_name"])):
        said = run("query", "tool_usage_stats", option, f"{name}x").stderr
        assert f"{name + 'x'!r} was called: did you mean {name!r}?" in " ".join(said.split())


@pytest.mark.usefixtures("store")
def test_a_narrow_terminal_hides_columns_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("query", "tool_usage_stats")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "No room for" in result.stderr
    assert "response_bytes" in result.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nope"], "there is no question 'nope': one of tool_usage_stats, "),
        ([], "name a question"),
        (["health", "--since", "24h"], "health does not take --since: it takes no option"),
        (
            ["hourly_tool_usage", "--interval", "1h", "--level", "warn"],
            "hourly_tool_usage does not take --interval or --level: it takes --since, --until, --bcp, --tool",
        ),
        (["tool_usage_stats", "--since", "tomorrow"], "'tomorrow' is not a time: write 30m, 24h, 7d or 2w"),
        (["tool_usage_stats", "--since", "today..later"], "'later' is not a time"),
        (["tool_usage_stats", "--since", "today.."], "'' is not a time"),
        (["tool_usage_stats", "--until", "yesterday..today"], "'yesterday..today' is not a time"),
        (
            ["tool_usage_stats", "--since", "2d..1d", "--until", "now"],
            "'2d..1d' has an end: give that or --until",
        ),
        (["usage_breakdown", "--failed", "--event-id", "7"], "usage_breakdown does not take --event-id"),
        (["tool_usage_stats", "--since", "999999w"], "'999999w' is not a time"),
        (["tool_usage_stats", "--interval", "1 fortnight"], "'1 fortnight' is not an interval"),
        (["tool_usage_stats", "--time-zone", "Mars/Olympus"], "there is no time zone 'Mars/Olympus'"),
        (["tool_usage_stats", "--time-zone", "../../etc/passwd"], "there is no time zone"),
        (["latency_percentiles", "--percentiles", "high"], "'high' is not a list of numbers"),
        (["error_analysis", "--level", "loud"], "'loud' is not one of"),
        (["tool_usage_stats", "--outcome", "fine"], "'fine' is not one of"),
        (["error_analysis", "--outcome", "timeout"], "error_analysis does not take --outcome"),
        (["health", "--format", "xml"], "'xml' is not one of"),
        (["health", "--colour"], "--colour"),
        (["slow_calls", "--set", "colour=red"], "with one of min_duration_ms, limit"),
        (["slow_calls", "--set", "limit"], "names no parameter"),
        (["slow_calls", "--set", "since=2h"], "names no parameter"),
        (["slow_calls", "--set", "limit=many"], "limit is not a number"),
        (["search_parameters", "--set", "contains={"], "contains is not JSON"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_usage_is_exit_code_2(args: list[str], says: str) -> None:
    assert says in usage_error("query", *args)


@pytest.mark.usefixtures("store")
def test_what_the_database_refuses_is_one_line_and_exit_code_1() -> None:
    assert "is after p_until" in one_line_error(
        run("query", "tool_usage_stats", "--since", "1h", "--until", "2h")
    )
    assert "outside of 0 to 1" in one_line_error(run("query", "latency_percentiles", "--percentiles", "95"))
    assert "p_interval is not positive" in one_line_error(
        run("query", "tool_usage_stats", "--interval", "0h")
    )


def test_no_database_says_how_to_get_one() -> None:
    line = one_line_error(run("query", "health"))
    for part in ("BCP_ANALYTICS_DSN", "--dsn", "bcp-analytics up"):
        assert part in line


def test_the_database_is_the_option_else_the_environment_else_the_running_embedded_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bcp_analytics.cli._support import find_dsn  # noqa: PLC0415

    class Running:
        dsn = "from the embedded one"

    with pytest.raises(BcpAnalyticsError):
        find_dsn(None)
    monkeypatch.setattr(embedded, "status", Running)
    assert find_dsn(None) == "from the embedded one"
    monkeypatch.setenv("BCP_ANALYTICS_DSN", "from the environment")
    assert find_dsn(None) == "from the environment"
    assert find_dsn("from the option") == "from the option"
    assert find_dsn("") == ""  # libpq's own environment
    monkeypatch.setenv("BCP_ANALYTICS_DSN", "")
    assert find_dsn(None) == "from the embedded one"


def test_what_reads_may_have_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from bcp_analytics.cli._support import find_dsn  # noqa: PLC0415

    monkeypatch.setenv("BCP_ANALYTICS_DSN", "primary")
    assert find_dsn(None, reads=True) == "primary"
    monkeypatch.setenv("BCP_ANALYTICS_READ_DSN", "standby")
    assert find_dsn(None, reads=True) == "standby"
    assert find_dsn(None) == "primary"
    assert find_dsn("from the option", reads=True) == "from the option"


@pytest.mark.parametrize(
    ("dsn", "command"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["migrate"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["status"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["rollback"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["refresh"]),
        ("postgresql://u:hunter2@127.0.0.1:1/x", ["--debug", "query", "health"]),
        ("host=127.0.0.1 port=1 user=u password=hunter2", ["query", "health"]),
        ("host=127.0.0.1 port='1 password=hunter2", ["query", "health"]),
        ("host=127.0.0.1 port='1 password=hunter2", ["--debug", "status"]),
        ("postgresql://u:hunter2@[::1", ["--debug", "query", "health"]),
    ],
)
def test_no_error_shows_a_password(dsn: str, command: list[str]) -> None:
    result = process(*command, "--dsn", dsn)
    assert result.returncode == 1
    assert "hunter2" not in result.stdout + result.stderr
    assert "The database cannot be reached" in result.stderr or "string cannot be read" in result.stderr


def test_a_database_without_the_store_says_to_migrate(blank_db: str) -> None:
    assert "bcp-analytics migrate" in one_line_error(run("query", "health", "--dsn", blank_db))
    since = run("query", "error_analysis", "--since", "24h", "--dsn", blank_db)
    assert "bcp-analytics migrate" in one_line_error(since)
    assert "bcp-analytics migrate" in one_line_error(run("refresh", "--dsn", blank_db))


def test_migrate_status_and_rollback(blank_db: str) -> None:
    assert "Not up to date: run bcp-analytics migrate." in ok("status", "--dsn", blank_db)
    first = run("migrate", "--dsn", blank_db)
    assert first.exit_code == 0
    assert "migrations applied, sql/ loaded." in first.stdout
    assert "applying migration 0001" in first.stderr
    assert ok("migrate", "--dsn", blank_db) == "Up to date, nothing to do.\n"
    assert "Up to date." in ok("status", "--dsn", blank_db)
    status = json.loads(ok("status", "--format", "json", "--dsn", blank_db))
    assert status["current"] is True
    assert status["pending"] == []
    assert datetime.fromisoformat(status["applied"][0]["applied_at"])

    refused = run("rollback", "--all", "--dsn", blank_db)
    assert refused.exit_code == 1
    assert "lost: table bcp.tool_usage_logs" in refused.stderr
    assert "--yes" in refused.stderr.splitlines()[-1]
    assert "Up to date." in ok("status", "--dsn", blank_db)

    with psycopg.connect(blank_db) as conn:
        conn.execute("update bcp_migrations.loaded_sql set package_version = '9.1'")
        conn.execute(
            "insert into bcp_migrations._yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " values ('9', '9000_newer', now())"
        )
    newer = ok("status", "--dsn", blank_db)
    assert "9000_newer  not known to this version" in newer
    assert newer.endswith(f"Newer than version {__version__}: install 9.1, or a later one.\n")
    assert "Install 9.1" in run("migrate", "--dsn", blank_db).stderr
    with psycopg.connect(blank_db) as conn:
        conn.execute("delete from bcp_migrations._yoyo_migration where migration_hash = '9'")

    assert "taken back" in ok("rollback", "--all", "--yes", "--dsn", blank_db)
    assert ok("rollback", "--dsn", blank_db) == "No migration is applied, nothing to take back.\n"


def test_refresh(store: str) -> None:
    assert ok("refresh") == "The aggregates are up to date.\n"
    with psycopg.connect(store) as conn:
        assert conn.execute("select sum(calls) from bcp.tool_usage_1h").fetchall() == [(3,)]


def test_a_role_that_may_not_is_told_whom_to_ask(store: str) -> None:
    with psycopg.connect(store, autocommit=True) as conn:
        conn.execute("create role bcp_test_stranger login")
    try:
        stranger = psycopg.conninfo.make_conninfo(store, options="-c role=bcp_test_stranger")
        assert "bcp_reader" in one_line_error(run("query", "tool_usage_stats", "--dsn", stranger))
    finally:
        with psycopg.connect(store, autocommit=True) as conn:
            conn.execute("drop role bcp_test_stranger")


@pytest.mark.usefixtures("store")
def test_what_is_wrong_and_what_to_do_are_sentences() -> None:
    refused = run("query", "top_users", "--set", "order=nope")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: p_order is none of calls, errors, cost. Use one of ")


def test_debug_shows_the_traceback() -> None:
    shown = process("--debug", "query", "health")
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert "Traceback" in process("query", "health", env=os.environ | {"BCP_ANALYTICS_DEBUG": "1"}).stderr
    assert "Traceback" not in process("query", "health").stderr


def test_down_with_nothing_running() -> None:
    assert ok("down").startswith("No embedded database runs on ")


@pytest.mark.usefixtures("store")
def test_into_a_pipe_a_table_is_whole_and_plain() -> None:
    result = process("query", "tool_usage_stats")
    assert result.returncode == 0
    assert "response" in result.stdout.splitlines()[0]
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("store")
def test_no_color_is_obeyed() -> None:
    environment = os.environ | {"FORCE_COLOR": "1"}
    assert "\x1b[3" in process("query", "health", env=environment).stdout
    assert "\x1b[3" not in process("query", "health", env=environment | {"NO_COLOR": "1"}).stdout


@pytest.mark.usefixtures("store")
def test_a_closed_pipe_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed:
        for output in ("table", "json", "csv"):
            result = subprocess.run(
                [sys.executable, "-m", "bcp_analytics", "query", "health", "--format", output],
                stdout=closed,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert result.stderr == "", output
            assert result.returncode == 1


@pytest.mark.usefixtures("store")
def test_formats_of_the_command_are_those_of_render() -> None:
    # What a program reads is not rounded as the table is.
    [row] = json.loads(ok("query", "tool_usage_stats", "--tool", "write", "--format", "json"))
    assert tables.duration(row["max_duration_ms"]) == "100 ms"
