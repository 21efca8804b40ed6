"""A name of its own for every call: questions answer in seconds, from raw rows as from aggregates."""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg
import pytest

TOOLS = int(os.environ.get("BCP_TEST_TOOLS", "100000"))
WEEK = "'2026-06-01', '2026-06-08'"
QUESTIONS = {
    # Three calls of a tool take 5, 50 and 500 ms.
    "tool_usage_stats": (
        "select count(*), sum(call_count), min(p50_duration_ms), max(p50_duration_ms), min(p95_duration_ms),"
        f" max(p95_duration_ms), sum(success_count) from bcp.tool_usage_stats({WEEK}, null)"
    ),
    "tool_usage_stats by day": (
        "select count(*), sum(call_count), min(p50_duration_ms), max(p95_duration_ms)"
        f" from bcp.tool_usage_stats({WEEK}, '1 day')"
    ),
    "latency_percentiles": (
        f"select count(*), sum(call_count), max(duration_ms) from bcp.latency_percentiles({WEEK})"
    ),
    "success_and_error_rates": (
        f"select count(*), sum(call_count), sum(success_count) from bcp.success_and_error_rates({WEEK}, null)"
    ),
    "tool_trends": f"select count(*), sum(call_count) from bcp.tool_trends({WEEK})",
    "unused_tools": (
        f"select count(*), bool_and(starts_with(tool_name, 'never')) from bcp.unused_tools({WEEK})"
    ),
    "unknown_tools": f"select count(*), sum(call_count) from bcp.unknown_tools({WEEK})",
    "context_cost": f"select count(*), sum(call_count) from bcp.context_cost({WEEK})",
    "hourly_tool_usage": f"select count(*), sum(total_calls) from bcp.hourly_tool_usage({WEEK})",
}


@pytest.mark.timeout(300 + TOOLS // 1000)
@pytest.mark.parametrize(("calls", "tools"), [(1, TOOLS), (3, TOOLS // 5)])
def test_many_tools_have_names_of_their_own(
    clean_db: psycopg.Connection[Any], target: str, calls: int, tools: int
) -> None:
    tools = tools if target == "native" else 2_000
    listed = min(1_000, tools // 2)

    def answers(state: str) -> dict[str, tuple[Any, ...]]:
        found = {}
        for name, question in QUESTIONS.items():
            start = time.perf_counter()
            [found[name]] = clean_db.execute(question).fetchall()  # type: ignore[arg-type]
            took = time.perf_counter() - start
            print(f"\n{tools} tools, {calls} calls each, {state}, {name}: {took:.1f} s")  # noqa: T201
        return found

    clean_db.execute("select set_config('bcp.now', '2026-06-15T12:34:56Z', false)")
    clean_db.execute("select set_config('statement_timeout', %s, false)", [f"{30 + tools // 10_000}s"])
    clean_db.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success)"
        " select t, t + 5 * power(10, i / n) * interval '1 ms', t, gen_random_uuid(), 'many',"
        "  'tool ' || i %% n, 'call', true"
        " from (select %s::bigint as n, %s::bigint as calls) p, generate_series(0, n * calls - 1) i,"
        "  lateral (select timestamptz '2026-06-01Z' + i * interval '7 days' / (n * calls) as t) x",
        [tools, calls],
    )
    clean_db.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, created_at, event_id, bcp_name, tool_name, operation, success, response_data)"
        " select timestamptz '2026-06-03Z', '2026-06-03Z', gen_random_uuid(), 'many', 'tools/list',"
        "  'tools/list', true, jsonb_build_object('tools', jsonb_agg(jsonb_build_object('name', name || n)))"
        " from generate_series(0, %s - 1) n, unnest(array['tool ', 'never ']) as name",
        [listed],
    )
    raw = answers("raw rows")
    total = tools * calls
    p50, p95 = (5, 5) if calls == 1 else (50, 500)
    stats = raw["tool_usage_stats"]
    assert stats[:2] == (tools, total)
    assert stats[2:6] == pytest.approx((p50, p50, p95, p95), rel=0.01)
    assert stats[6] == total
    assert raw["tool_usage_stats by day"][:3] == (total, total, pytest.approx(5))
    assert raw["latency_percentiles"] == (4 * tools, 4 * total, pytest.approx(p95, rel=0.01))
    assert raw["success_and_error_rates"] == (tools, total, total)
    assert raw["tool_trends"] == (tools, total)
    assert raw["unused_tools"] == (listed, True)
    assert raw["unknown_tools"] == (tools - listed, total - listed * calls)
    assert raw["context_cost"] == (50, 50 * calls)
    assert raw["hourly_tool_usage"] == (total, total)
    start = time.perf_counter()
    clean_db.execute("set statement_timeout = 0")
    clean_db.execute("call bcp.refresh_analytics_views()")
    print(f"\n{tools} tools, {calls} calls each, refresh: {time.perf_counter() - start:.1f} s")  # noqa: T201
    clean_db.execute("select set_config('statement_timeout', %s, false)", [f"{30 + tools // 10_000}s"])
    assert answers("aggregates") == raw
