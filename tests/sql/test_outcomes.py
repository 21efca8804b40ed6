"""How a call ended, as SQL classifies it from what the sender said."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
LATELY = "2026-06-15T11:59:00Z"
SOFT = {"isError": True, "content": [{"type": "text", "text": "no such file"}]}


@pytest.mark.parametrize(
    ("fields", "outcome", "error_type"),
    [
        ({}, None, None),
        ({"success": True}, "success", None),
        ({"success": False}, "error", None),
        ({"success": False, "error_message": "it broke"}, "error", None),
        ({"success": False, "error_message": "ValueError: bad value"}, "error", "ValueError"),
        (
            {"success": False, "error_message": "json.decoder.JSONDecodeError: x"},
            "error",
            "json.decoder.JSONDecodeError",
        ),
        ({"success": False, "error_message": "Error executing tool t: KeyError: 'a'"}, "error", "KeyError"),
        ({"success": False, "error_message": "McpError"}, "error", "McpError"),
        ({"success": False, "error_message": "HTTP 503"}, "error", "503"),
        ({"success": False, "error_message": "503 Service Unavailable"}, "error", "503"),
        ({"success": False, "error_message": "Request failed with status code 429"}, "rejected", "429"),
        ({"success": False, "error_message": "Client error '404 Not Found' for url"}, "error", "404"),
        ({"success": False, "error_message": "line 503 is bad"}, "error", None),
        ({"success": False, "error_message": "MCP error -32602: Invalid params"}, "rejected", "-32602"),
        ({"success": False, "error_message": "MCP error -32001: Request timed out"}, "timeout", "-32001"),
        ({"success": False, "error_message": "connect ETIMEDOUT"}, "timeout", "ETIMEDOUT"),
        ({"success": False, "error_message": "connect ECONNREFUSED"}, "error", "ECONNREFUSED"),
        ({"success": False, "error_type": "TimeoutError"}, "timeout", "TimeoutError"),
        ({"success": False, "error_message": "the request timed out"}, "timeout", None),
        ({"success": False, "error_message": "Deadline exceeded"}, "timeout", None),
        ({"success": False, "error_type": "asyncio.CancelledError"}, "cancelled", "asyncio.CancelledError"),
        ({"success": False, "error_message": "aborted by the user"}, "cancelled", None),
        ({"success": False, "error_message": "Connection aborted."}, "error", None),
        ({"success": False, "error_type": "PermissionError"}, "rejected", "PermissionError"),
        (
            {"success": False, "error_message": "ValidationError: timeout is negative"},
            "rejected",
            "ValidationError",
        ),
        ({"success": False, "error_message": "Too many requests"}, "rejected", None),
        ({"success": False, "error_message": "the call was rejected"}, "rejected", None),
        ({"success": False, "response_data": SOFT}, "soft_fail", "tool_error"),
        ({"success": False, "response_data": {"is_error": True}}, "soft_fail", "tool_error"),
        (
            {"success": False, "response_data": {"error": {"code": -32601, "message": "x"}}},
            "rejected",
            "-32601",
        ),
        ({"success": False, "response_data": {"error": "timed out"}}, "timeout", None),
        ({"response_data": SOFT}, "soft_fail", "tool_error"),
        # The tool's own words, about its subject.
        (
            {"success": False, "error_message": "the order was cancelled", "response_data": SOFT},
            "soft_fail",
            "tool_error",
        ),
        ({"success": False, "error_type": "TimeoutError", "response_data": SOFT}, "timeout", "TimeoutError"),
        # As a server of the Python SDK refuses arguments.
        (
            {
                "success": False,
                "error_message": "Error executing tool fetch: 1 validation error for fetchArguments\nurl\n"
                "  Field required [type=missing, input_value={}, input_type=dict]",
                "response_data": SOFT,
            },
            "rejected",
            "ValidationError",
        ),
        (
            {
                "success": False,
                "error_message": "Input validation error: 'url' is a required property",
                "response_data": SOFT,
            },
            "rejected",
            "ValidationError",
        ),
        # The result was wrong, not what was asked.
        (
            {
                "success": False,
                "error_message": "Output validation error: 'url' is a required property",
                "response_data": SOFT,
            },
            "soft_fail",
            "tool_error",
        ),
        ({"cancelled_by": "user"}, "cancelled", None),
        ({"success": False, "cancelled_by": "client", "error_type": "no_answer"}, "cancelled", "no_answer"),
        ({"cancelled_by": "client", "error_message": "access denied"}, "cancelled", None),
        (
            {"cancelled_by": "client", "error_message": "McpError: MCP error -32001: Request timed out"},
            "timeout",
            "McpError",
        ),
        ({"success": True, "cancelled_by": "client"}, "success", None),
        ({"success": True, "outcome": "error"}, "error", None),
        ({"success": False, "outcome": "success"}, "success", None),
        ({"response_data": {"isError": "true"}}, None, None),
        ({"error_type": "answer_unread"}, None, "answer_unread"),
        ({"success": False, "outcome": "error", "error_message": "timed out"}, "error", None),
        ({"outcome": "timeout", "error_message": "ReadTimeout: x"}, "timeout", "ReadTimeout"),
        ({"success": True, "error_message": "ValueError: x"}, "success", None),
    ],
)
def test_outcome_and_class(
    conn: Db, fields: dict[str, Any], outcome: str | None, error_type: str | None
) -> None:
    assert ingest(conn, [usage(**fields)]) == (1, 1, 0, 0)
    [row] = rows(conn, "select success, outcome, error_type from bcp.tool_usage_logs")
    assert (row["outcome"], row["error_type"]) == (outcome, error_type)
    assert row["success"] is (None if outcome in {None, "cancelled"} else outcome == "success")


def test_who_gives_up_is_no_failure(conn: Db) -> None:
    """50 of 200 calls were stopped by their users: that opened two alerts."""
    about = {"start_time": LATELY, "session_id": "s"}
    calls = [usage(success=True, **about)] * 150 + [usage(cancelled_by="user", **about)] * 50
    assert ingest(conn, calls) == (200, 200, 0, 0)
    [row] = rows(
        conn, "select call_count, success_rate, error_count from bcp.tool_usage_stats(p_interval => null)"
    )
    assert row == {"call_count": 200, "success_rate": 1, "error_count": 0}
    assert rows(conn, "select * from bcp.failed_calls()") == []
    assert rows(conn, "select errors_count from bcp.user_sessions") == [{"errors_count": 0}]
    conn.execute("select bcp_internal.evaluate_alerts()")
    assert rows(conn, "select rule_name from bcp.active_alerts()") == []


def test_a_rate_is_of_the_calls_that_say_how_they_went(conn: Db) -> None:
    """Two failures among 40 calls are too few to judge by, whatever became of the others."""
    failed, cancelled = usage(success=False, start_time=LATELY), usage(cancelled_by="user", start_time=LATELY)
    ingest(conn, [cancelled] * 38 + [failed] * 2)
    conn.execute("select bcp_internal.evaluate_alerts()")
    assert rows(conn, "select rule_name from bcp.active_alerts()") == []
    ingest(conn, [failed] * 18)
    conn.execute("select bcp_internal.evaluate_alerts()")
    assert rows(
        conn, "select distinct value, call_count from bcp.active_alerts('files') where metric = 'error_rate'"
    ) == [{"value": 1, "call_count": 20}]


def test_an_error_has_the_class_that_its_message_names(conn: Db) -> None:
    ingest(conn, [{"level": "warn", "message": "Error executing tool t: KeyError: 'a'"}], "errors")
    assert rows(conn, "select error_type from bcp.error_logs") == [{"error_type": "KeyError"}]


@pytest.mark.parametrize(
    ("success", "response", "suspect"),
    [
        (True, {"isError": True}, True),
        (True, {"is_error": True}, True),
        (True, {"error": "x"}, True),
        (True, {"error": {"code": 1}}, True),
        (True, {"error": True}, True),
        (True, {"content": [{"type": "text", "text": "Error: no such file"}]}, True),
        (True, [{"type": "text", "text": "Error executing tool"}], True),
        (True, "Error", True),
        (True, {"error": None}, False),
        (True, {"error": False}, False),
        (True, {"errors": 3, "isError": False}, False),
        (True, {"nested": {"error": "x"}}, False),
        (True, {"content": [{"type": "text", "text": "Errors: 0"}]}, False),
        (True, [], False),
        (True, 7, False),
        (True, "fine", False),
        (True, None, None),
        (False, {"isError": True}, None),
    ],
)
def test_an_answer_that_says_error_while_claiming_success(
    conn: Db, *, success: bool | None, response: Any, suspect: bool | None
) -> None:
    ingest(conn, [usage(success=success, response_data=response)])
    [row] = rows(conn, "select success, suspect_success from bcp.tool_usage_logs")
    assert (row["success"], row["suspect_success"]) == (success, suspect)


def test_a_rule_is_told_the_whole_answer_not_what_was_kept_of_it(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '100' where name = 'max_document_bytes'")
    ingest(conn, [usage(success=True, response_data={"a": "x " * 500, "isError": True})])
    assert rows(conn, "select suspect_success from bcp.tool_usage_logs") == [{"suspect_success": True}]


def test_null_arguments_are_no_error(conn: Db) -> None:
    query = "select bcp_internal.classify_outcome(false, null, null, %s)"
    assert conn.execute(query, [Jsonb(None)]).fetchall() == [("error",)]
