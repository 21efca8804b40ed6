"""The command explain: what it says an answer was read from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from bcp_analytics import refresh_analytics_views
from bcp_analytics.cli import _explain
from bcp_analytics.cli._app import app
from bcp_analytics.ingest import ingest_tool_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from tests.targets import Target

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
DAYS = 5


@pytest.fixture(scope="module")
def filled(_server: Target) -> Iterator[str]:
    """Give a store for all tests, which leave it as it was.

    Two calls in each hour of five days and of this one, aggregated up to the last hour that is over.
    """
    with _server.clean() as found:
        dsn = make_conninfo(found, options=f"-c bcp.now={NOW.isoformat()}")
        _fill(dsn)
        yield dsn


@pytest.fixture
def store(filled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", filled)
    return filled


def _fill(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        events = [
            {
                "bcp_name": "files",
                "tool_name": "read",
                "start_time": NOW - timedelta(hours=hours, minutes=minute),
                "duration_ms": 10,
                "success": True,
                "user_id": f"u{hours % 3}",
            }
            for hours in range(24 * DAYS)
            for minute in (5, 6)
        ]
        ingest_tool_usage(conn, events)
        refresh_analytics_views(conn)


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["explain", *args])


def explained(*args: str) -> dict[str, Any]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def relations(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["relation"]: row for row in answer["read"]}


@pytest.mark.usefixtures("store")
def test_whole_days_come_from_aggregates_and_the_last_hour_from_raw_rows() -> None:
    answer = explained("usage_over_time", "--since", "2026-06-11", "--interval", "1d")
    assert answer["answer_rows"] == 5
    read = relations(answer)
    assert read["bcp.total_usage_1h"]["kind"] == "aggregate"
    # The calls of the hour that is not over, and no others.
    assert read["bcp.tool_usage_logs"]["kind"] == "raw rows"
    assert read["bcp.tool_usage_logs"]["chunk_count"] == 1
    assert 0 < read["bcp.tool_usage_logs"]["row_count"] <= 48


@pytest.mark.usefixtures("store")
def test_a_filter_that_aggregates_do_not_know_is_seen_to_read_raw_rows() -> None:
    # A client and a user together are known to no aggregate.
    who = ("--client", "none", "--user", "u1")
    answer = explained("tool_usage_stats", "--since", "2026-06-11", "--interval", "none", *who)
    [raw] = [row for row in answer["read"] if row["kind"] == "raw rows"]
    assert raw["relation"] == "bcp.tool_usage_logs"
    assert raw["row_count"] >= 2 * 24 * 4
    assert raw["chunk_count"] == 5


@pytest.mark.usefixtures("store")
def test_chunks_are_told_apart() -> None:
    arguments = ("find_calls", "--since", "2026-06-12", "--set", "limit=10000")
    together = relations(explained(*arguments))["bcp.tool_usage_logs"]
    apart = [row for row in explained(*arguments, "--chunks")["read"] if row["kind"] == "raw rows"]
    assert len(apart) == together["chunk_count"] == 4
    assert sum(row["row_count"] for row in apart) == together["row_count"]
    assert {row["range_from"] for row in apart} >= {"2026-06-12T00:00:00+00:00", "2026-06-15T00:00:00+00:00"}


def test_rows_of_the_columnstore_are_counted_by_batches(store: str) -> None:
    chunks = "show_chunks('bcp.tool_usage_logs', older_than => %s)"
    every_call = ("--since", "2026-06-11", "--user", "u1", "--set", "limit=10000")
    with psycopg.connect(store, autocommit=True) as conn:
        conn.execute(f"select compress_chunk({chunks})", [NOW])
        try:
            read = relations(explained("find_calls", *every_call))
        finally:
            conn.execute(f"select decompress_chunk({chunks})", [NOW])
    raw = read["bcp.tool_usage_logs"]
    # A chunk has one tool, so one batch each.
    assert raw["batch_count"] == 4


def test_a_reader_without_other_rights_sees_what_is_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a server does that has no auto_explain, or does not let this role load it.
    monkeypatch.setattr(_explain, "_NESTED", ("load 'there_is_no_such_library'",))
    monkeypatch.setenv("BCP_ANALYTICS_DSN", store + " options='-c role=bcp_reader'")
    result = run("tool_usage_stats", "--since", "2026-06-11..2026-06-14", "--interval", "1d")
    assert result.exit_code == 0, result.output
    assert "bcp.tool_stats_1d" in result.stdout
    assert "3 rows in " in result.stdout
    assert "superuser" in result.stderr


@pytest.mark.usefixtures("store")
def test_nothing_stays_of_an_explanation() -> None:
    first = explained("usage_over_time", "--since", "2026-06-11", "--interval", "1d")
    again = explained("usage_over_time", "--since", "2026-06-11", "--interval", "1d")
    assert {k: v["row_count"] for k, v in relations(first).items()} == {
        k: v["row_count"] for k, v in relations(again).items()
    }


def test_errors_say_what_to_do() -> None:
    result = run("tool_usage_stat")
    assert result.exit_code == 2
    assert "there is no question 'tool_usage_stat'" in result.stderr
    result = run("slow_calls", "--interval", "1d")
    assert result.exit_code == 2
    assert "slow_calls does not take --interval" in " ".join(result.stderr.split())


def test_the_time_of_vectorised_scans_is_found_above_them() -> None:
    scans = _explain._Scans()
    plan = {
        "Plan": {
            "Node Type": "Append",
            "Plans": [
                {
                    "Custom Plan Provider": "VectorAgg",
                    "Actual Total Time": 2.0,
                    "Actual Loops": 1,
                    "Shared Hit Blocks": 7,
                    "Plans": [
                        {"Relation Name": "chunk", "Actual Total Time": 0.0, "Actual Loops": 1, "Plans": []}
                    ],
                },
                {
                    "Relation Name": "chunk",
                    "Actual Total Time": 0.5,
                    "Actual Loops": 3,
                    "Shared Read Blocks": 1,
                },
            ],
        }
    }
    scans.add("duration: 1.0 ms  plan:\n" + json.dumps(plan))
    scans.add("another notice")
    assert scans.seen
    assert scans.spent == {"chunk": [3.5, 8]}
