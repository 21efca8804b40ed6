"""OTLP in protobuf: a body becomes records."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bcp_analytics.serve._otlp import _record
from bcp_analytics.serve._otlp._record import Budget, Event, Malformed, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def spans(body: bytes) -> Iterator[Record]:
    request, budget = _parse(ExportTraceServiceRequest(), body), Budget()
    for group in _counted(request.resource_spans, budget):
        resource = _record.resource_of(_attributes(group.resource.attributes, budget))
        for part in _counted(group.scope_spans, budget):
            scope = _scope(part.scope, budget)
            for span in _counted(part.spans, budget):
                yield _span(span, resource, scope, budget)


def logs(body: bytes) -> Iterator[Record]:
    request, budget = _parse(ExportLogsServiceRequest(), body), Budget()
    for group in _counted(request.resource_logs, budget):
        resource = _record.resource_of(_attributes(group.resource.attributes, budget))
        for part in _counted(group.scope_logs, budget):
            scope = _scope(part.scope, budget)
            for log in _counted(part.log_records, budget):
                yield _log(log, group.resource, resource, scope, budget)


def count_points(body: bytes) -> int:
    request, budget = _parse(ExportMetricsServiceRequest(), body), Budget()
    return sum(
        len(getattr(metric, kind).data_points)
        for group in _counted(request.resource_metrics, budget)
        for part in _counted(group.scope_metrics, budget)
        for metric in _counted(part.metrics, budget)
        for kind in _DATA
        if metric.HasField(kind)
    )


def _counted(parts: Any, budget: Budget) -> Any:  # noqa: ANN401 - generated classes
    budget.spend(parts)
    return parts


def _parse(message: Any, body: bytes) -> Any:  # noqa: ANN401 - generated classes
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise Malformed("", f"the body is no {type(message).__name__} in protobuf") from None
    return message


def _span(
    span: Any,  # noqa: ANN401
    resource: _record.Attributes,
    scope: _record.Attributes,
    budget: Budget,
) -> Record:
    return Record(
        signal=_record.Span,
        resource=resource,
        scope=scope,
        attributes=_attributes(span.attributes, budget),
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
        events=(
            Event(e.name, e.time_unix_nano, _attributes(e.attributes, budget))
            for e in _counted(span.events, budget)
        ),
        digest=lambda: _digest(span),
    )


def _log(
    log: Any,  # noqa: ANN401
    sent: Message,
    resource: _record.Attributes,
    scope: _record.Attributes,
    budget: Budget,
) -> Record:
    attributes = _attributes(log.attributes, budget)
    body = _plain(log.body, budget)
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


def _scope(scope: Any, budget: Budget) -> _record.Attributes:  # noqa: ANN401
    return _record.scope_of(scope.name, scope.version, _attributes(scope.attributes, budget))


def _attributes(pairs: Any, budget: Budget) -> dict[str, Any]:  # noqa: ANN401
    return {pair.key: _plain(pair.value, budget) for pair in _counted(pairs, budget)}


def _plain(value: Any, budget: Budget) -> Any:  # noqa: ANN401
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item, budget) for item in _counted(value.array_value.values, budget)]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values, budget)
    return None if kind is None else getattr(value, kind)
