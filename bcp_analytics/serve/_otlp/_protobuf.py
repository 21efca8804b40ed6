"""OTLP in protobuf: a body becomes records."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bcp_analytics.serve._otlp import _record
from bcp_analytics.serve._otlp._record import Event, Malformed, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def spans(body: bytes) -> Iterator[Record]:
    request = _parse(ExportTraceServiceRequest(), body)
    for group in request.resource_spans:
        resource = _record.resource_of(_attributes(group.resource.attributes))
        for part in group.scope_spans:
            scope = _scope(part.scope)
            for span in part.spans:
                yield _span(span, resource, scope)


def logs(body: bytes) -> Iterator[Record]:
    request = _parse(ExportLogsServiceRequest(), body)
    for group in request.resource_logs:
        resource = _record.resource_of(_attributes(group.resource.attributes))
        for part in group.scope_logs:
            scope = _scope(part.scope)
            for log in part.log_records:
                yield _log(log, group.resource, resource, scope)


def count_points(body: bytes) -> int:
    request = _parse(ExportMetricsServiceRequest(), body)
    return sum(
        len(getattr(metric, kind).data_points)
        for group in request.resource_metrics
        for part in group.scope_metrics
        for metric in part.metrics
        for kind in _DATA
        if metric.HasField(kind)
    )


def _parse(message: Any, body: bytes) -> Any:  # noqa: ANN401 - generated classes
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise Malformed("", f"the body is no {type(message).__name__} in protobuf") from None
    return message


def _span(span: Any, resource: _record.Attributes, scope: _record.Attributes) -> Record:  # noqa: ANN401
    return Record(
        signal=_record.Span,
        resource=resource,
        scope=scope,
        attributes=_attributes(span.attributes),
        own={
            "name": span.name,
            "kind": _record.kind_of(span.kind),
            "status": _record.status_of(span.status.code),
        },
        trace_id=_record.valid_id(span.trace_id.hex(), 32),
        span_id=_record.valid_id(span.span_id.hex(), 16),
        parent_span_id=_record.valid_id(span.parent_span_id.hex(), 16),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status_message=span.status.message or None,
        events=(Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        digest=lambda: _digest(span),
    )


def _log(log: Any, sent: Message, resource: _record.Attributes, scope: _record.Attributes) -> Record:  # noqa: ANN401
    attributes = _attributes(log.attributes)
    body = _plain(log.body)
    return Record(
        signal=_record.Log,
        resource=resource,
        scope=scope,
        attributes=attributes,
        own={
            "event": _record.event_names(log.event_name, attributes, body),
            "body": body,
            "severity": log.severity_text,
        },
        trace_id=_record.valid_id(log.trace_id.hex(), 32),
        span_id=_record.valid_id(log.span_id.hex(), 16),
        start_ns=log.time_unix_nano,
        end_ns=log.observed_time_unix_nano,
        status_message=None,
        events=(),
        digest=lambda: _digest(sent, log),
    )


def _digest(*messages: Message) -> bytes:
    return hashlib.sha256(b"\0".join(m.SerializeToString(deterministic=True) for m in messages)).digest()


def _scope(scope: Any) -> _record.Attributes:  # noqa: ANN401
    return _record.scope_of(scope.name, scope.version, _attributes(scope.attributes))


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:  # noqa: ANN401
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
