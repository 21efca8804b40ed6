"""A list of tools is no call: it raises no count, no rate and no load, unless somebody asks for it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
RANGE = "'2026-06-15', '2026-06-16'"
FAILED = usage(
    start_time="2026-06-15T11:59:00Z", success=False, duration_ms=100, user_id="caller", session_id="s"
)
LISTED = usage(
    start_time="2026-06-15T11:59:00Z", success=True, duration_ms=1, user_id="lister", session_id="s",
    tool_name="tools/list", operation="tools/list", response_bytes=7,
)  # fmt: skip
QUESTIONS = {
    f"tool_usage_stats({RANGE}, null)": [("tool_name", "read"), ("call_count", 20), ("success_rate", 0)],
    f"tool_usage_stats({RANGE}, '1 day')": [("tool_name", "read"), ("call_count", 20), ("error_count", 20)],
    f"success_and_error_rates({RANGE}, null)": [("call_count", 20), ("error_rate", 1)],
    f"throughput({RANGE}, null)": [("call_count", 20), ("peak_calls_per_minute", 20)],
    f"latency_over_time({RANGE}, null)": [("call_count", 20)],
    f"usage_over_time({RANGE}, null)": [("call_count", 20), ("error_count", 20)],
    f"report_totals({RANGE})": [("call_count", 20), ("error_share", 1), ("tool_count", 1)],
    f"latency_percentiles({RANGE}, '{{0.5}}')": [("tool_name", "read"), ("call_count", 20)],
    f"latency_heatmap({RANGE}, null)": [("call_count", 20), ("from_ms", 50)],
    f"top_users({RANGE})": [("user_id", "caller"), ("share", 1)],
    f"active_users({RANGE})": [("daily_users", 1)],
    f"hourly_tool_usage({RANGE})": [("total_calls", 20), ("successful_calls", 0)],
    "hourly_tool_usage": [("total_calls", 20), ("successful_calls", 0)],
    f"tool_trends({RANGE})": [("tool_name", "read"), ("call_count", 20)],
    f"session_stats({RANGE})": [("call_count", 20), ("error_count", 20)],
    f"slow_calls({RANGE}, 0, p_limit => 1)": [("tool_name", "read")],
    f"tool_usage_stats({RANGE}, null, p_operation => 'tools/list')": [
        ("tool_name", "tools/list"),
        ("call_count", 380),
        ("max_duration_ms", 1),
        ("p95_duration_ms", 1),
    ],
    f"latency_over_time({RANGE}, null, p_operation => 'tools/list')": [("call_count", 380)],
    f"top_users({RANGE}, p_operation => 'tools/list')": [("user_id", "lister"), ("call_count", 380)],
    f"context_cost({RANGE}, 'session')": [("call_count", 20), ("response_bytes", 380 * 7)],
}


@pytest.mark.parametrize("aggregated", [False, True], ids=["raw", "aggregated"])
def test_380_lists_beside_20_calls_that_fail(clean_db: Db, aggregated: bool) -> None:  # noqa: FBT001
    clean_db.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', false)")
    try:
        assert ingest(clean_db, [LISTED] * 380 + [FAILED] * 20) == (400, 400, 0, 0)
        if aggregated:
            clean_db.execute("call bcp.refresh_analytics_views()")
        for question, expected in QUESTIONS.items():
            found = rows(clean_db, f"select * from bcp.{question}")  # type: ignore[arg-type]
            assert len(found) == 1, question
            assert [(name, found[0][name]) for name, _ in expected] == expected, question
        clean_db.execute("select bcp_internal.evaluate_alerts()")
        alerts = rows(clean_db, "select rule_name from bcp.active_alerts() order by 1")
        assert [row["rule_name"] for row in alerts] == ["budget_fast", "errors", "low_success"]
    finally:
        clean_db.execute("select set_config('bcp.now', '', false)")
