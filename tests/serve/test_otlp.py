"""What is sent by OTLP is stored, once, and nothing is acknowledged that is not."""

from __future__ import annotations

import asyncio
import gzip

import psycopg

from tests.serve.conftest import Running, make_token
from tests.serve.otlp_client import ENCODINGS, JSON, PROTOBUF, post, span, spans, status_of
from tests.serve.otlp_samples import NAMES, load

DEEP = 10_000


def count(server: Running) -> int:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        row = conn.execute("select count(*) from bcp.tool_usage_logs").fetchone()
    assert row is not None
    return int(row[0])


def test_each_sender_is_stored_once_in_either_encoding(server: Running) -> None:
    samples = [load(name) for name in NAMES]
    expected = sum(len(s.calls) for s in samples)
    for sample in samples:
        answer = post(
            server, sample.path, gzip.compress(sample.in_protobuf), PROTOBUF, **{"content-encoding": "gzip"}
        )
        # Full success leaves partial_success unset, whatever was ignored.
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == PROTOBUF
    assert count(server) == expected
    for sample in samples:
        if sample.signal == "span":
            answer = post(server, sample.path, sample.in_json)
            assert (answer.status_code, answer.json()) == (200, {})
            assert answer.headers["content-type"] == JSON
    assert count(server) == expected
    with psycopg.connect(server.dsn) as conn:
        # The store notes the use of tokens itself.
        sources = "select distinct source from bcp.ingest_batches where source <> 'bcp_analytics'"
        assert conn.execute(sources).fetchall() == [("ingest",)]
        assert conn.execute("select count(*) from bcp.error_logs").fetchone() == (
            sum(len(s.errors) for s in samples),
        )


def test_the_vantage_of_the_token_decides_whose_span_counts(server: Running) -> None:
    server.tokens["ingest"] = make_token(server.dsn, "agent", "ingest", vantage="client")
    sample = load("fastmcp")
    assert post(server, sample.path, sample.in_json).json() == {}
    with psycopg.connect(server.dsn) as conn:
        found = conn.execute(
            "select tool_name, client_name from bcp.tool_usage_logs where client_name <> ''"
        ).fetchall()
    assert found == [(c["tool_name"], c["client_name"]) for c in sample.calls_of_client]


def test_what_is_odd_and_legal_is_stored(server: Running) -> None:
    odd = span(7, **{"gen_ai.tool.name": "a\ud800b\0", "gen_ai.tool.call.arguments": "[" * DEEP})
    odd["attributes"] += [{"key": f"k{n}", "value": {"intValue": n}} for n in range(10_000)]
    odd["startTimeUnixNano"] = odd["endTimeUnixNano"] = "0"
    # Ids of the wrong length are not valid: such a span is known by its content.
    odd |= {"traceId": "abcd", "spanId": ""}
    for _ in range(2):
        assert post(server, "/v1/traces", spans(odd, **{"service.name": "odd"})).json() == {}
    with psycopg.connect(server.dsn) as conn:
        found = conn.execute(
            "select bcp_name, tool_name, trace_id, success, request_bytes"
            " from bcp.tool_usage_logs where bcp_name = 'odd'"
        ).fetchall()
    assert found == [("odd", "a\ufffdb\ufffd", None, True, DEEP + 2)]


def test_a_store_that_is_away_is_told_at_once(server: Running) -> None:
    server.app.state.database._pool, pool = None, server.app.state.database._pool
    try:
        for encoding in ENCODINGS:
            answer = post(server, "/v1/traces", load("gen_ai").in_json if encoding == JSON else b"", encoding)
            # The token was believed a moment ago or not: either way nothing is acknowledged.
            assert answer.status_code == 503
            assert status_of(answer)[0] == 14
            assert int(answer.headers["retry-after"]) > 0
    finally:
        server.app.state.database._pool = pool
    assert count(server) == 0


def test_the_rows_are_read_again(server: Running) -> None:
    sample = load("gen_ai")
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("update bcp.otel_mappings set enabled = false")
    post(server, sample.path, sample.in_json)
    assert count(server) == 0
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("update bcp.otel_mappings set enabled = true")
    server.app.state.otlp._rules_at -= 61
    post(server, sample.path, sample.in_json)
    assert count(server) == len(sample.calls)
    counts = server.send("GET", "/metrics", role="reader").text
    assert 'bcp_http_events_total{kind="span",result="stored"} 2.0' in counts
    assert 'bcp_otlp_ignored_total{reason="no tool call",signal="span"} 5.0' in counts


def test_what_is_ignored_is_counted_in_the_store(server: Running) -> None:
    sample = load("gen_ai")
    post(server, sample.path, sample.in_json)
    asyncio.run(server.app.state.otlp.note_ignored())
    post(server, sample.path, sample.in_json)
    # The second time there is nothing new.
    for _ in range(2):
        asyncio.run(server.app.state.otlp.note_ignored())
    rows = server.send("GET", "/v1/views/otlp_ignored", role="reader").json()
    assert {row["signal"] for row in rows} == {"span"}
    assert "no tool call" in {row["reason"] for row in rows}
    counted = server.send("GET", "/metrics", role="reader").text
    for row in rows:
        assert f'reason="{row["reason"]}",signal="span"}} {row["record_count"]}.0' in counted
