"""A bad value in a sound event: the event is stored without it, and says so."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.sql.events import KINDS, ingest, rows, usage

Db = psycopg.Connection[Any]
AT = "2026-06-15T11:00:00+00:00"
DEEP = "[" * 1000 + "]" * 1000
COLUMNS = {
    "tool_usage": ("tool_usage_logs", "start_time"),
    "errors": ("error_logs", '"timestamp"'),
    "metrics": ("performance_metrics", '"timestamp"'),
    "sessions": ("user_sessions", "started_at"),
}

# kind, fields as JSON, what is stored of them
REPAIRED: list[tuple[str, str, dict[str, Any]]] = [
    ("tool_usage", '"parameters": "a \\u0000\\u0000b"', {"parameters": "a \ufffd\ufffdb"}),
    # The pair is sound, and the first backslash of the second word stands for itself.
    (
        "tool_usage",
        r'"parameters": {"x": "h\u0000 \ud83d\ude00 \\ud83d \ud83d!"}',
        {"parameters": {"x": "h\ufffd \U0001f600 \\ud83d \ufffd!"}},
    ),
    ("tool_usage", '"parameters": 1e999999', {"parameters": {"_omitted": "8 bytes"}}),
    ("tool_usage", f'"parameters": {DEEP}', {"parameters": {"_omitted": "2000 bytes"}}),
    (
        "tool_usage",
        f'"own": {DEEP}',
        {"attributes": {"own": {"_omitted": "2000 bytes"}, "_repaired": ["own"]}},
    ),
    ("tool_usage", '"tool_name": "   "', {"tool_name": "(no name)"}),
    ("tool_usage", '"tool_name": "%s"' % ("x" * 600), {"tool_name": "x" * 499 + "…"}),
    ("tool_usage", '"tool_name": 7', {"tool_name": "7"}),
    ("tool_usage", '"operation": " "', {"operation": "call"}),
    *[
        ("tool_usage", f'"ip_address": "{none}"', {"ip_address": None})
        for none in ("", "unknown", "localhost")
    ],
    ("tool_usage", '"ip_address": "203.0.113.9, 10.0.0.1"', {"ip_address": "203.0.113.0/24"}),
    ("tool_usage", '"ip_address": "203.0.113.9:443"', {"ip_address": "203.0.113.0/24"}),
    ("tool_usage", '"ip_address": "[2001:db8::7]:443"', {"ip_address": "2001:db8::/48"}),
    ("tool_usage", '"release": 1.5', {"release": "1.5"}),
    ("tool_usage", '"trace_id": 17', {"trace_id": "17"}),
    ("tool_usage", '"client_version": 2', {"client_version": "2"}),
    ("tool_usage", '"error_message": {"code": 1}', {"error_message": '{"code": 1}'}),
    ("tool_usage", '"success": "false"', {"success": False, "outcome": "error"}),
    ("tool_usage", '"success": "perhaps"', {"success": None, "outcome": None}),
    ("tool_usage", '"outcome": "meh"', {"outcome": None}),
    ("tool_usage", '"start_time": 1781521200', {"start_time": AT}),
    ("tool_usage", '"start_time": "1781521200000"', {"start_time": AT}),
    ("tool_usage", '"start_time": 1781521200000000', {"start_time": AT}),
    ("tool_usage", '"start_time": 1781521200000000000', {"start_time": AT}),
    ("tool_usage", '"start_time": "2026-13-01T00:00:00Z"', {"start_time": "2026-06-15T12:00:00+00:00"}),
    ("tool_usage", '"duration_ms": -1', {"duration_ms": None}),
    ("tool_usage", '"duration_ms": "NaN"', {"duration_ms": None}),
    ("tool_usage", '"duration_ms": "12.5"', {"duration_ms": 12.5}),
    ("tool_usage", '"duration_ms": 1e-400', {"duration_ms": 0}),
    ("tool_usage", '"duration_ms": "\\u200312"', {"duration_ms": None}),
    ("tool_usage", '"request_bytes": "12"', {"request_bytes": 12}),
    ("tool_usage", '"user_id": "%s"' % ("u" * 501), {"user_id": None}),
    ("tool_usage", '"session_id": " "', {"session_id": None}),
    ("errors", '"level": "awful"', {"level": "error"}),
    ("errors", '"context": [1]', {"context": {"value": [1]}}),
    ("errors", f'"message": "a \\ud83d", "timestamp": "{AT}"', {"message": "a \ufffd", "timestamp": AT}),
    ("metrics", '"metric_value": "1.5"', {"metric_value": 1.5}),
    (
        "sessions",
        f'"ended_at": "2026-06-15T10:00:00Z", "started_at": "{AT}"',
        {"started_at": AT, "ended_at": None},
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields", "stored"), REPAIRED, ids=[f"{k}-{f[:40]}" for k, f, _ in REPAIRED]
)
def test_a_bad_value_costs_itself_alone(conn: Db, kind: str, fields: str, stored: dict[str, Any]) -> None:
    good = json.dumps(KINDS[kind] | ({"session_id": "good"} if kind == "sessions" else {}))
    bad = json.dumps(KINDS[kind])[:-1] + f", {fields}}}"
    assert ingest(conn, f"[{good}, {bad}, {good}]", kind) == (3, 3, 0, 0)
    table, _ = COLUMNS[kind]
    [row] = rows(
        conn,
        f"select to_jsonb(t) as found from bcp.{table} t where attributes ? '_repaired'",
    )
    assert {name: row["found"][name] for name in stored} == stored
    assert row["found"]["attributes"]["_repaired"] == [fields.split('"')[1]]
    assert rows(conn, "select repaired from bcp.ingest_ledger") == [{"repaired": 1}]
    [check] = rows(conn, "select status, value from bcp.health() where check_name = 'repaired'")
    assert check == {"status": "warn", "value": "1"}


def test_a_large_call_keeps_all_but_its_documents(conn: Db) -> None:
    text = "x y " * 1_500_000
    assert ingest(conn, [usage(parameters={"a": text}, success=True, response_data="fine")]) == (1, 1, 0, 0)
    [row] = rows(
        conn, "select parameters, request_bytes, response_data, success, attributes from bcp.tool_usage_logs"
    )
    assert (row["parameters"]["_truncated"], row["parameters"]["_bytes"]) == (True, 6_000_009)
    assert (row["request_bytes"], row["response_data"], row["success"]) == (6_000_009, "fine", True)
    assert row["attributes"] == {"_repaired": ["parameters"]}


def test_a_name_is_masked_before_it_is_cut(conn: Db) -> None:
    name = "x" * 480 + " ada.lovelace@example.com " + "y" * 100
    assert ingest(conn, [usage(tool_name=name)]) == (1, 1, 0, 0)
    [row] = rows(conn, "select tool_name from bcp.tool_usage_logs")
    assert "ada" not in row["tool_name"]
    assert len(row["tool_name"]) <= 500


def test_an_id_that_is_too_long_still_tells_duplicates(conn: Db) -> None:
    event = usage(event_id="e" * 600)
    assert ingest(conn, [event]) == (1, 1, 0, 0)
    assert ingest(conn, [event, event]) == (2, 0, 2, 0)


def test_of_two_answers_to_how_it_went_the_outcome_counts_and_is_marked(conn: Db) -> None:
    assert ingest(
        conn, [usage(success=True, outcome="error"), usage(success=False, outcome="cancelled")]
    ) == (
        *(2, 2),
        *(0, 0),
    )
    assert rows(conn, "select outcome, success, attributes from bcp.tool_usage_logs order by outcome") == [
        {"outcome": "cancelled", "success": None, "attributes": None},
        {"outcome": "error", "success": False, "attributes": {"_repaired": ["success"]}},
    ]


def test_rows_are_repaired_as_json_is(conn: Db) -> None:
    calls = [usage(), usage(tool_name=" ", response_bytes=-1, attributes={"a": 1})]
    answer = conn.execute(
        "select stored, rejected from bcp.ingest_tool_usage(null, array("
        " select jsonb_populate_record(null::bcp.tool_call, e) from jsonb_array_elements(%s) as e))",
        [Jsonb(calls)],
    ).fetchone()
    assert answer == (2, 0)
    assert rows(conn, "select attributes from bcp.tool_usage_logs where attributes is not null") == [
        {"attributes": {"a": 1, "_repaired": ["response_bytes", "tool_name"]}}
    ]


def test_a_call_that_is_logged_at_both_ends_is_repaired_too(conn: Db) -> None:
    conn.execute(
        "select bcp.end_tool_call(bcp.begin_tool_call('files', %s, p_parameters => %s::jsonb), true)",
        ["x" * 600, DEEP],
    )
    assert rows(conn, "select success, parameters, attributes from bcp.tool_usage_logs") == [
        {
            "success": True,
            "parameters": {"_omitted": "2000 bytes"},
            "attributes": {"_repaired": ["parameters", "tool_name"]},
        }
    ]
