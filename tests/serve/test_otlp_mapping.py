"""What of OpenTelemetry becomes a call: records of each sender, in both encodings, and rows that decide."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from bcp_analytics import InvalidSetting, ingest_errors, ingest_tool_usage
from bcp_analytics.errors import translated
from bcp_analytics.serve._otlp import _json, _protobuf
from bcp_analytics.serve._otlp._calls import Found, find
from bcp_analytics.serve._otlp._mapping import QUERY, Rules, compile_rules
from tests.serve.otlp_samples import NAMES, Sample, load

Db = psycopg.Connection[Any]
DECODERS = {"json": _json, "protobuf": _protobuf}


def rules_of(db: Db) -> Rules:
    return compile_rules(db.execute(QUERY).fetchall())


def found_in(db: Db, sample: Sample, encoding: str, vantage: str | None = None) -> Found:
    body = sample.in_json if encoding == "json" else sample.in_protobuf
    decoder = DECODERS[encoding]
    return find((decoder.logs if sample.signal == "log" else decoder.spans)(body), rules_of(db), vantage)


def stored(db: Db, found: Found) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of calls and of errors, after both were sent twice."""
    for _ in range(2):
        calls = ingest_tool_usage(db, found.calls)
        errors = ingest_errors(db, found.errors)
        assert (calls.rejected, errors.rejected) == (0, 0)
    assert (calls.duplicates, errors.duplicates) == (len(found.calls), len(found.errors))
    with db.cursor(row_factory=dict_row) as cur:
        return (
            cur.execute("select * from bcp.tool_usage_logs order by created_at, event_id").fetchall(),
            cur.execute("select * from bcp.error_logs order by timestamp").fetchall(),
        )


def says(row: dict[str, Any], expected: dict[str, Any], sample: Sample) -> bool:
    wanted = dict(expected)
    started = wanted.pop("started", None)
    return all(row[name] == value for name, value in wanted.items()) and (
        started is None or row["start_time"] == sample.now + timedelta(milliseconds=started)
    )


def assert_same(rows: list[dict[str, Any]], expected: list[dict[str, Any]], sample: Sample) -> None:
    left = list(rows)
    for one in expected:
        matching = [row for row in left if says(row, one, sample)]
        assert matching, (one, [{k: row[k] for k in one if k in row} for row in left])
        left.remove(matching[0])
    assert left == []


@pytest.mark.parametrize("name", NAMES)
def test_a_call_becomes_one_row_and_the_same_export_none(db: Db, name: str) -> None:
    sample = load(name)
    found = found_in(db, sample, "protobuf")
    assert dict(found.ignored) == sample.ignored
    calls, errors = stored(db, found)
    assert_same(calls, sample.calls, sample)
    assert_same(errors, sample.errors, sample)
    assert all(row["stack_trace"] for row in errors)
    assert not any("_repaired" in (row["attributes"] or {}) for row in calls)


def test_both_encodings_say_the_same(db: Db) -> None:
    for sample in map(load, NAMES):
        by_json, by_protobuf = (found_in(db, sample, encoding) for encoding in DECODERS)
        # Only where a record has no id of its own is its id that of its bytes.
        for found in (by_json, by_protobuf):
            for event in found.calls + found.errors:
                if "request_id" not in event and sample.signal == "log":
                    del event["event_id"]
        assert by_json == by_protobuf


def test_a_span_of_the_client_counts_where_the_token_is_of_the_client(db: Db) -> None:
    sample = load("fastmcp")
    found = found_in(db, sample, "json", "client")
    assert_same(stored(db, found)[0], sample.calls_of_client, sample)
    assert found.ignored["a call as the server saw it, from a token of vantage client"] == 3


def test_rows_decide(db: Db) -> None:
    sample = load("tool_invoke")
    db.execute("update bcp.otel_mappings set enabled = false where mapping = 'gateway_tool_invoke'")
    assert found_in(db, sample, "json").ignored == {"no tool call": 3}
    db.execute(
        "insert into bcp.otel_mappings (mapping, signal, ordinal, matches, action, fills) values"
        " ('ours', 'span', 1, %s, 'call', %s)",
        [
            json.dumps({"resource.service.name": "gateway", "attributes.tool.id": ["t-1", "t-2"]}),
            json.dumps({"bcp_name": {"literal": "ours"}, "tool_name": "attributes.tool.id"}),
        ],
    )
    found = found_in(db, sample, "json")
    assert [(c["bcp_name"], c["tool_name"], c["otel_mapping"]) for c in found.calls] == [
        ("ours", "t-1", "ours"),
        ("ours", "t-1", "ours"),
    ]


@pytest.mark.parametrize(
    ("matches", "fills"),
    [
        ({}, {}),
        ({"nam": "x"}, {}),
        ({"body": "x"}, {}),
        ({"name": {"prefix": 1}}, {}),
        ({"name": {"prefix": "a", "from": "b"}}, {}),
        ({"name": ["x", {"prefix": "y"}]}, {}),
        ({"name": "x"}, {"bcp_name": "name"}),
        ({"name": "x"}, {"bcp_name": [], "tool_name": "name"}),
        ({"name": "x"}, {"bcp_name": "name", "tool_name": "nam"}),
        ({"name": "x"}, {"bcp_name": "name", "tool_name": {"from": "body"}}),
        ({"name": "x"}, {"bcp_name": "name", "tool_name": {"from": "name", "after": "a", "member": "b"}}),
        ({"name": "x"}, {"bcp_name": "name", "tool_name": "name", "tool": "name"}),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(db: Db, matches: Any, fills: Any) -> None:
    with pytest.raises(InvalidSetting), translated():
        db.execute(
            "insert into bcp.otel_mappings (mapping, signal, ordinal, matches, action, fills)"
            " values ('bad', 'span', 1, %s, 'call', %s)",
            [json.dumps(matches), json.dumps(fills)],
        )


def test_the_rows_of_the_start_can_be_read(db: Db) -> None:
    db.execute("update bcp.otel_mappings set note = note")
    rows = db.execute(QUERY).fetchall()
    assert sum(map(len, compile_rules(rows).values())) == len(rows) > 20
