"""What was stored just now: each call counts once, however late its commit, and old rows are not read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

SECONDS = "2026-06-15T12:00:"


def store(conn: psycopg.Connection[Any], second: float, *calls: dict[str, Any]) -> None:
    """Store calls at a second, that began then unless they say otherwise."""
    conn.execute("select set_config('bcp.now', %s, false)", [f"{SECONDS}{second:09.6f}Z"])
    sent = [usage(start_time=f"{SECONDS}{second:09.6f}Z") | call for call in calls]
    assert ingest(conn, sent)[1] == len(calls)


def live(
    conn: psycopg.Connection[Any], since: int, known: list[int] | None = None
) -> dict[tuple[int, str], int]:
    """Return calls by second and tool."""
    found: Counter[tuple[int, str]] = Counter()
    for row in rows(
        conn,
        "select * from bcp.live_metrics(%s, p_known_calls => %s::bigint[])",
        [f"{SECONDS}{since:02d}Z", known or []],
    ):
        found[row["stored_at"].second, row["tool_name"]] += row["call_count"]
    return dict(found)


def test_calls_are_counted_by_the_second_of_storing(db: psycopg.Connection[Any]) -> None:
    store(db, 1.2, {"tool_name": "read"}, {"tool_name": "read"}, {"tool_name": "write"})
    store(db, 3.999999, {"tool_name": "read", "start_time": "2026-06-15T11:00:00Z"})
    assert live(db, 1) == {(1, "read"): 2, (1, "write"): 1, (3, "read"): 1}
    assert live(db, 2) == {(3, "read"): 1}
    found = rows(db, f"select * from bcp.live_metrics('{SECONDS}01Z', p_until => '{SECONDS}03Z')")
    assert {row["stored_at"].second for row in found} == {1}


def test_a_second_of_which_the_caller_has_all_calls_is_left_out(db: psycopg.Connection[Any]) -> None:
    store(db, 1, {"tool_name": "read"})
    store(db, 2, {"tool_name": "read"}, {"tool_name": "write"})
    assert live(db, 1, [1]) == {(2, "read"): 1, (2, "write"): 1}
    assert live(db, 1, [1, 2]) == {}
    # A commit that came late makes the second come again, whole.
    store(db, 1.5, {"tool_name": "late"})
    store(db, 3, {"tool_name": "next"})
    assert live(db, 1, [1, 2]) == {(1, "read"): 1, (1, "late"): 1, (3, "next"): 1}


def test_lists_of_tools_and_calls_of_days_ago_are_not_counted(db: psycopg.Connection[Any]) -> None:
    store(
        db,
        1,
        {"operation": "tools/list"},
        {"start_time": "2026-06-14T11:00:00Z"},
        {"tool_name": "counted", "start_time": "2026-06-14T13:00:00Z"},
    )
    assert live(db, 0) == {(1, "counted"): 1}
    [row] = rows(db, "select * from bcp.live_metrics(%s)", [f"{SECONDS}00Z"])
    assert row["start_day"].isoformat() == "2026-06-14T00:00:00+00:00"
    assert [row["tool_name"] for row in rows(db, "select * from bcp.recent_calls()")] == ["counted"]


def test_durations_add_up_to_the_percentiles_of_the_statistics(db: psycopg.Connection[Any]) -> None:
    store(db, 1, *[{"duration_ms": 1.5**n, "success": n % 3 > 0} for n in range(20)], {"duration_ms": None})
    store(db, 2, *[{"duration_ms": 30.0 + n, "success": True} for n in range(20)])
    found = rows(db, "select * from bcp.live_metrics(%s)", [f"{SECONDS}00Z"])
    durations = sorted(r["duration_ms"] for r in found for _ in range(r["call_count"]) if r["duration_ms"])
    [told] = rows(db, "select * from bcp.tool_usage_stats(%s, %s, null)", [f"{SECONDS}00Z", f"{SECONDS}59Z"])
    assert durations[len(durations) * 95 // 100 - 1] == told["p95_duration_ms"]
    assert durations[len(durations) // 2 - 1] == told["p50_duration_ms"]
    assert sum(r["sum_duration_ms"] or 0 for r in found) == pytest.approx(told["avg_duration_ms"] * 40)
    assert sum(r["call_count"] for r in found if r["success"] is False) == told["error_count"]
    assert sum(r["request_bytes"] for r in found) == told["request_bytes"]


def test_the_latest_stored_call_comes_first(db: psycopg.Connection[Any]) -> None:
    store(db, 2, {"tool_name": "second", "start_time": f"{SECONDS}01Z", "success": False})
    store(db, 3, {"tool_name": "third", "start_time": f"{SECONDS}00Z", "success": True})
    store(db, 4, {"tool_name": "fourth", "bcp_name": "mail", "outcome": "cancelled"})

    def tools(arguments: str) -> list[str]:
        return [row["tool_name"] for row in rows(db, f"select * from bcp.recent_calls({arguments})")]

    assert tools("") == ["fourth", "third", "second"]
    assert tools("p_limit => 1") == ["fourth"]
    assert tools("p_failed => true") == ["second"]
    assert tools("p_failed => false") == ["fourth", "third"]
    assert tools("p_bcp_name => 'files'") == ["third", "second"]
    assert tools("p_tool_name => 'third'") == ["third"]
    assert tools(f"p_since => '{SECONDS}03Z'") == ["fourth", "third"]


@pytest.mark.parametrize("question", ["live_metrics", "recent_calls"])
def test_more_than_a_day_back_is_refused(db: psycopg.Connection[Any], question: str) -> None:
    store(db, 1)
    for since in ("2026-06-14T11:59:00Z", "-infinity"):
        with pytest.raises(psycopg.Error) as refused, db.transaction():
            db.execute(f"select bcp.{question}('{since}')")
        assert refused.value.diag.sqlstate == "ZB002"
    assert rows(db, f"select * from bcp.{question}('infinity')") == []


def test_a_tick_reads_what_is_new_and_not_what_has_gathered(db: psycopg.Connection[Any]) -> None:
    for second in range(40):
        store(db, second, *[{}] * 50)
    db.execute("analyze bcp.tool_usage_logs")

    def calls_read(query: str) -> int:
        count = (
            "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int as n"
            " from pg_stat_xact_all_tables where relid in (select show_chunks('bcp.tool_usage_logs'))"
        )
        [before] = rows(db, count)
        db.execute(query)
        [after] = rows(db, count)
        return int(after["n"]) - int(before["n"])

    # The calls of ten seconds are counted, and those of two are read again.
    assert (
        calls_read(f"select bcp.live_metrics('{SECONDS}30Z', null, array_fill(50, '{{8}}'))")
        <= 10 * 50 + 2 * 50
    )
    assert calls_read("select bcp.recent_calls(p_limit => 10)") <= 100
