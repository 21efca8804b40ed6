"""The command query: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bcp_analytics._render import tables
from tests.python.cli_runs import filled, forget_the_user, ok, one_line_error, process, run, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.targets import Target


@pytest.fixture(scope="module")
def store(_server: Target) -> Iterator[str]:
    """No test here writes, so one store serves them all."""
    with filled(_server) as dsn:
        yield dsn


@pytest.fixture(autouse=True)
def _asked(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_the_user(monkeypatch, tmp_path)
    monkeypatch.setenv("BCP_ANALYTICS_DSN", store)


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
        (["--client", "", "--release", "", "--since", "2w"], 3),
        (["--user", "", "--since", "2w"], 3),
        (["--outcome", "success"], 1),
        (["--outcome", "timeout"], 0),
        (["--since", "2w", "--interval", "1mo"], 3),
        (["--since", "2w", "--interval", "none"], 3),
    ],
)
def test_ranges_and_filters(options: list[str], calls: int) -> None:
    found = json.loads(ok("query", "tool_usage_stats", "--format", "json", *options))
    assert sum(row["call_count"] for row in found) == calls


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


def test_percentiles_and_levels() -> None:
    found = json.loads(ok("query", "latency_percentiles", "--percentiles", "0.5,0.99", "--format", "json"))
    assert {row["percentile"] for row in found} == {0.5, 0.99}
    assert json.loads(ok("query", "error_analysis", "--level", "warn", "--format", "json")) == []
    assert len(json.loads(ok("query", "error_analysis", "--level", "error", "--format", "json"))) == 1


def test_buckets_are_shown_in_the_time_zone_asked_for() -> None:
    assert "2026-06-15 20:00" in ok("query", "tool_usage_stats", "--time-zone", "Asia/Tokyo")


def test_nothing_found_is_said_on_stderr_and_no_error() -> None:
    result = run("query", "tool_usage_stats", "--tool", "none such")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing was found" in result.stderr
    assert ok("query", "tool_usage_stats", "--tool", "none such", "--format", "json") == "[]\n"
    assert ok("query", "tool_usage_stats", "--tool", "none such", "--format", "csv").count("\n") == 1


def test_a_mistyped_bundle_or_tool_is_told_what_is_like_it() -> None:
    [called, *_] = json.loads(ok("query", "tool_usage_stats", "--format", "json"))
    for option, name in (("--bcp", called["bcp_name"]), ("--tool", called["tool_name"])):
        said = run("query", "tool_usage_stats", option, f"{name}x").stderr
        assert f"{name + 'x'!r} was called: did you mean {name!r}?" in " ".join(said.split())


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
def test_wrong_usage_is_exit_code_2(args: list[str], says: str) -> None:
    assert says in usage_error("query", *args)


def test_what_the_database_refuses_is_one_line_and_exit_code_1() -> None:
    assert "is after p_until" in one_line_error(
        run("query", "tool_usage_stats", "--since", "1h", "--until", "2h")
    )
    assert "outside of 0 to 1" in one_line_error(run("query", "latency_percentiles", "--percentiles", "95"))
    assert "p_interval is not positive" in one_line_error(
        run("query", "tool_usage_stats", "--interval", "0h")
    )


def test_what_is_wrong_and_what_to_do_are_sentences() -> None:
    refused = run("query", "top_users", "--set", "order=nope")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: p_order is none of calls, errors, cost. Use one of ")


def test_into_a_pipe_a_table_is_whole_and_plain() -> None:
    result = process("query", "tool_usage_stats")
    assert result.returncode == 0
    assert "response" in result.stdout.splitlines()[0]
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_no_color_is_obeyed() -> None:
    environment = os.environ | {"FORCE_COLOR": "1"}
    assert "\x1b[3" in process("query", "health", env=environment).stdout
    assert "\x1b[3" not in process("query", "health", env=environment | {"NO_COLOR": "1"}).stdout


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


def test_formats_of_the_command_are_those_of_render() -> None:
    # What a program reads is not rounded as the table is.
    [row] = json.loads(ok("query", "tool_usage_stats", "--tool", "write", "--format", "json"))
    assert tables.duration(row["max_duration_ms"]) == "100 ms"
