"""What OTLP answers, in the encoding of the request: a response of the signal, or a google.rpc.Status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto names the HTTP status of each.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 499: 1, 503: 14, 504: 4}
_INTERNAL = 13
_MAX_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class Signal:
    """What differs between traces, logs and metrics."""

    response: Any
    rejected: str
    """The field that counts what was rejected."""
    in_json: str


TRACES = Signal(ExportTraceServiceResponse, "rejected_spans", "rejectedSpans")
LOGS = Signal(ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords")
METRICS = Signal(ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints")


def success(signal: Signal, encoding: str, rejected: int = 0, message: str = "") -> Response:
    """Return a response whose partial_success is set only where something was rejected."""
    message = message[:_MAX_MESSAGE]
    if encoding == JSON:
        partial = {"partialSuccess": {signal.in_json: str(rejected), "errorMessage": message}}
        return Response(json.dumps(partial if rejected else {}), media_type=JSON)
    response = signal.response()
    if rejected:
        setattr(response.partial_success, signal.rejected, rejected)
        response.partial_success.error_message = message
    return Response(response.SerializeToString(), media_type=PROTOBUF)


def failure(
    status: int, encoding: str, message: str, headers: Mapping[str, str] | None = None, where: str = ""
) -> Response:
    """Return a google.rpc.Status; `where` names the place in a body that cannot be decoded."""
    code = _CODES.get(status, _INTERNAL)
    message = message[:_MAX_MESSAGE]
    if encoding == JSON:
        found: dict[str, Any] = {"code": code, "message": message}
        if status == 400:  # noqa: PLR2004 - Bad Request
            violation = {"field": where, "description": message}
            found["details"] = [{"@type": _BAD_REQUEST, "fieldViolations": [violation]}]
        body = json.dumps(found).encode()
    else:
        body = b"\x08" + bytes([code]) + _field(2, message)
        if status == 400:  # noqa: PLR2004
            violated = _field(1, _field(1, where) + _field(2, message))
            body += _field(3, _field(1, _BAD_REQUEST) + _field(2, violated))
    return Response(body, status, dict(headers or {}), media_type=encoding)


_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def _field(number: int, value: str | bytes) -> bytes:
    """Return a field of a protobuf message that holds text or a message.

    The classes of google.rpc are in a package that nothing else here needs.
    """
    found = value.encode(errors="replace") if isinstance(value, str) else value
    length, size = len(found), b""
    while length >> 7:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + found
