"""Answers by OTLP/HTTP, to the letter of https://opentelemetry.io/docs/specs/otlp/#otlphttp."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bcp_analytics.serve._otlp import _intake
from tests.serve.otlp_client import ENCODINGS, JSON, PROTOBUF, post, span, spans, status_of

if TYPE_CHECKING:
    from tests.serve.conftest import Running

PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")
BOMB = gzip.compress(bytes(64 * 1024 * 1024))
DEEP = 10_000


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_request_succeeds(shared_server: Running, path: str) -> None:
    assert post(shared_server, path, b"", PROTOBUF).content == b""
    assert post(shared_server, path, b"{}").json() == {}
    assert (
        post(shared_server, path, b'{"resourceSpans": [], "resourceLogs": null, "later": {"x": [1]}}').json()
        == {}
    )


def test_deflate_and_many_members_are_read(shared_server: Running) -> None:
    assert (
        post(shared_server, "/v1/logs", zlib.compress(b"{}"), **{"content-encoding": "deflate"}).json() == {}
    )
    body = gzip.compress(b'{"resourceLogs"') + gzip.compress(b": []}")
    assert post(shared_server, "/v1/logs", body, **{"content-encoding": "gzip"}).json() == {}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_rejected_is_counted_with_the_reason(shared_server: Running, encoding: str) -> None:
    with psycopg.connect(shared_server.dsn) as conn:
        before = conn.execute("select count(*) from bcp.rejected_events").fetchone()
    body = spans(
        span(1 + 10 * ENCODINGS.index(encoding), **{"gen_ai.tool.name": "fine"}),
        span(2),
        span(3, **{"gen_ai.operation.name": "chat"}),
        **{"service.name": "shop"},
    )
    if encoding == PROTOBUF:
        message = ExportTraceServiceRequest()
        group = message.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        for given in json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            into = (group.scope_spans[0] if group.scope_spans else group.scope_spans.add()).spans.add()
            into.trace_id, into.span_id = bytes.fromhex(given["traceId"]), bytes.fromhex(given["spanId"])
            for pair in given["attributes"]:
                into.attributes.add(key=pair["key"]).value.string_value = pair["value"]["stringValue"]
        body = message.SerializeToString()
    answer = post(shared_server, "/v1/traces", body, encoding)
    assert answer.status_code == 200
    if encoding == JSON:
        partial = answer.json()["partialSuccess"]
        rejected, message_of_it = partial["rejectedSpans"], partial["errorMessage"]
        assert rejected == "1"
    else:
        found = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert found.rejected_spans == 1
        message_of_it = found.error_message
    assert message_of_it == (
        "1 of 2 tool calls were rejected: tool_name is missing (1)."
        " Ignored, and not counted as rejected: no tool call (1)."
    )
    with psycopg.connect(shared_server.dsn) as conn:
        assert conn.execute("select count(*) - %s from bcp.rejected_events", before).fetchone() == (1,)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_metrics_are_no_calls(shared_server: Running, encoding: str) -> None:
    points: dict[str, Any] = {"histogram": {"dataPoints": [{"count": "1"}, {"count": "2"}]}}
    body = json.dumps(
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", **points}]}]}]}
    ).encode()
    if encoding == PROTOBUF:
        message = ExportMetricsServiceRequest()
        metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
        for n in (1, 2):
            metric.histogram.data_points.add(count=n)
        body = message.SerializeToString()
    answer = post(shared_server, "/v1/metrics", body, encoding)
    assert answer.status_code == 200
    if encoding == JSON:
        partial = answer.json()["partialSuccess"]
        rejected, said = int(partial["rejectedDataPoints"]), partial["errorMessage"]
    else:
        found = ExportMetricsServiceResponse.FromString(answer.content).partial_success
        rejected, said = found.rejected_data_points, found.error_message
    assert rejected == 2
    assert "a histogram or a counter is no call" in said


def nested(depth: int) -> bytes:
    inner = b'{"arrayValue":{"values":[' * depth + b'{"intValue":"1"}' + b"]}}" * depth
    return b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + inner + b"}]}}]}"


BAD: dict[str, bytes] = {
    "no JSON": b"{",
    "a list": b"[]",
    "no UTF-8": b'{"a": "\xff"}',
    "NaN": b'{"resourceSpans": NaN}',
    "depth": b"[" * DEEP + b"]" * DEEP,
    "depth of values": nested(DEEP),
    "digits": b'{"resourceSpans": ' + b"1" * 5000 + b"}",
    "no list": b'{"resourceSpans": {}}',
    "no objects": b'{"resourceSpans": [1]}',
    "base64": spans(span(1) | {"traceId": "W47/95gDgQPSabYzgT/GDA=="}),
    "name of an enum": spans(span(1) | {"kind": "SPAN_KIND_SERVER"}),
    "time": spans(span(1) | {"startTimeUnixNano": "soon"}),
    "time of 70 bits": spans(span(1) | {"startTimeUnixNano": 2**70}),
    "value": spans(span(1) | {"attributes": [{"key": "k", "value": {"boolValue": "true"}}]}),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_json_that_cannot_be_decoded_is_a_bad_request(shared_server: Running, body: bytes) -> None:
    answer = post(shared_server, "/v1/traces", body)
    assert answer.status_code == 400
    assert "retry-after" not in answer.headers
    code, message = status_of(answer)
    assert code == 3
    assert message
    assert "W47" not in answer.text
    assert answer.json()["details"][0]["fieldViolations"][0]["description"] == message


def test_where_json_is_wrong_is_said(shared_server: Running) -> None:
    answer = post(shared_server, "/v1/traces", BAD["name of an enum"]).json()
    assert (
        answer["details"][0]["fieldViolations"][0]["field"] == "resourceSpans[0].scopeSpans[0].spans[0].kind"
    )


@pytest.mark.parametrize("path", PATHS)
def test_protobuf_that_cannot_be_decoded_is_a_bad_request(shared_server: Running, path: str) -> None:
    for body in (b"\x0a", b"\x0a\x05abc", b"\xff" * 20, b"\x0b" * DEEP, b"{}"):
        answer = post(shared_server, path, body, PROTOBUF)
        assert (answer.status_code, status_of(answer)[0]) == (400, 3)


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "too large": (413, {"content": bytes(4 * 1024 * 1024 + 1)}),
    "bomb": (413, {"content": BOMB, "headers": {"content-encoding": "gzip"}}),
    "no gzip": (400, {"content": b"{}", "headers": {"content-encoding": "gzip"}}),
    "half a gzip": (
        400,
        {"content": gzip.compress(b"{}" * 99)[:-9], "headers": {"content-encoding": "gzip"}},
    ),
    "brotli": (415, {"content": b"{}", "headers": {"content-encoding": "br"}}),
    "no token": (401, {"content": b"{}", "role": None}),
    "reader": (403, {"content": b"{}", "role": "reader"}),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("status", "options"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_a_status_in_the_encoding_of_the_request(
    shared_server: Running, status: int, options: dict[str, Any], encoding: str
) -> None:
    sent = {"role": "ingest"} | options
    sent["headers"] = {"content-type": encoding} | options.get("headers", {})
    answer = shared_server.send("POST", "/v1/traces", **sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == encoding
    code, message = status_of(answer)
    assert code == {400: 3, 401: 16, 403: 7, 413: 8, 415: 3}[status]
    assert message
    assert "retry-after" not in answer.headers


def test_more_parts_than_any_sender_has_are_not_made_objects(shared_server: Running) -> None:
    empty = {PROTOBUF: b"\x0a\x00" * 1_000_001, JSON: b'{"resourceSpans": [' + b"{}," * 2_000_000 + b"{}]}"}
    for encoding, body in empty.items():
        zipped = gzip.compress(body)
        answer = post(shared_server, "/v1/traces", zipped, encoding, **{"content-encoding": "gzip"})
        assert (answer.status_code, status_of(answer)[0]) == (413, 8)


def test_a_request_of_too_many_records_is_refused(
    shared_server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _intake._MOST_RECORDS == 50_000
    monkeypatch.setattr(_intake, "_MOST_RECORDS", 2)
    for number, status in ((2, 200), (3, 413)):
        answer = post(shared_server, "/v1/traces", spans(*(span(n + 1) for n in range(number))))
        assert answer.status_code == status


def test_other_types_and_methods_are_refused_and_nothing_redirects(shared_server: Running) -> None:
    for given in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert post(shared_server, "/v1/logs", b"{}", given).status_code == 415
    answer = shared_server.send("GET", "/v1/logs", role="ingest")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert status_of(answer)[0] == 12
    assert post(shared_server, "/v1/logs/", b"{}").status_code == 404
