"""OTLP in JSON: a body becomes records.

By https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal, enums are numbers,
64-bit integers are numbers or decimal text, null is absent, and what is not known is ignored. The text is
walked by hand, because protobuf's own reader takes ids for base64 and costs ten times as much.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from bcp_analytics.serve._otlp import _record
from bcp_analytics.serve._otlp._record import Event, Malformed, Record, TooMany

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import UnionType

_HEX = re.compile("(?:[0-9a-fA-F]{2})*")
_INTEGER = re.compile("-?[0-9]{1,20}")
_NOT_FINITE = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}
_DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")

Json = Any


def spans(body: bytes) -> Iterator[Record]:
    for sent, resource, scope, span, where in _records(body, "resourceSpans", "scopeSpans", "spans"):
        yield _span(sent, resource, scope, span, where)


def logs(body: bytes) -> Iterator[Record]:
    for sent, resource, scope, log, where in _records(body, "resourceLogs", "scopeLogs", "logRecords"):
        yield _log(sent, resource, scope, log, where)


def count_points(body: bytes) -> int:
    return sum(
        len(_list(_object(metric.get(kind), where), "dataPoints", where))
        for *_, metric, where in _records(body, "resourceMetrics", "scopeMetrics", "metrics")
        for kind in _DATA
    )


def _records(
    body: bytes, groups: str, parts: str, records: str
) -> Iterator[tuple[Json, _record.Attributes, _record.Attributes, dict[str, Json], str]]:
    for g, group in enumerate(_objects(_parse(body), groups, "")):
        where = f"{groups}[{g}]"
        sent = _object(group.get("resource"), f"{where}.resource")
        resource = _record.resource_of(_attributes(sent, f"{where}.resource"))
        for p, part in enumerate(_objects(group, parts, where)):
            inner = f"{where}.{parts}[{p}]"
            given = _object(part.get("scope"), f"{inner}.scope")
            scope = _record.scope_of(
                _text(given, "name", inner), _text(given, "version", inner), _attributes(given, inner)
            )
            for n, record in enumerate(_objects(part, records, inner)):
                yield sent, resource, scope, record, f"{inner}.{records}[{n}]"


def _parse(body: bytes) -> dict[str, Json]:
    # Before anything is made of it. A text may hold brackets too, but not so many.
    if body.count(b"{") + body.count(b"[") > 2 * _record.MAX_PARTS:
        raise TooMany
    try:
        found = json.loads(body, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise Malformed("", "the body is not in UTF-8") from None
    except RecursionError:
        raise Malformed("", "the body is nested too deep") from None
    except ValueError:
        # It may be Python's bound on the digits of a number; its message repeats what was sent.
        raise Malformed("", "the body is not JSON, or a number has too many digits") from None
    return _object(found, "the body")


def _refuse(name: str) -> None:
    raise ValueError(name)


def _span(sent: Json, resource: _record.Attributes, scope: _record.Attributes, span: Json, at: str) -> Record:
    status = _object(span.get("status"), f"{at}.status")
    return Record(
        signal=_record.Span,
        resource=resource,
        scope=scope,
        attributes=_attributes(span, at),
        own={
            "name": _text(span, "name", at),
            "kind": _record.kind_of(_enum(span, "kind", at)),
            "status": _record.status_of(_enum(status, "code", f"{at}.status")),
        },
        trace_id=_record.valid_id(_hex(span, "traceId", at), 32),
        span_id=_record.valid_id(_hex(span, "spanId", at), 16),
        parent_span_id=_record.valid_id(_hex(span, "parentSpanId", at), 16),
        start_ns=_uint64(span, "startTimeUnixNano", at),
        end_ns=_uint64(span, "endTimeUnixNano", at),
        status_message=_text(status, "message", f"{at}.status") or None,
        events=_events(span, at),
        digest=lambda: _digest(sent, span),
    )


def _events(span: Json, at: str) -> Iterator[Event]:
    for n, event in enumerate(_objects(span, "events", at)):
        where = f"{at}.events[{n}]"
        yield Event(
            _text(event, "name", where), _uint64(event, "timeUnixNano", where), _attributes(event, where)
        )


def _log(sent: Json, resource: _record.Attributes, scope: _record.Attributes, log: Json, at: str) -> Record:
    attributes = _attributes(log, at)
    body = _value(log.get("body"), f"{at}.body")
    return Record(
        signal=_record.Log,
        resource=resource,
        scope=scope,
        attributes=attributes,
        own={
            "event": _record.event_names(_text(log, "eventName", at), attributes, body),
            "body": body,
            "severity": _text(log, "severityText", at),
        },
        trace_id=_record.valid_id(_hex(log, "traceId", at), 32),
        span_id=_record.valid_id(_hex(log, "spanId", at), 16),
        start_ns=_uint64(log, "timeUnixNano", at),
        end_ns=_uint64(log, "observedTimeUnixNano", at),
        status_message=None,
        events=(),
        digest=lambda: _digest(sent, log),
    )


def _digest(*parts: Json) -> bytes:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _attributes(holder: dict[str, Json], at: str) -> dict[str, Any]:
    return _pairs(holder, "attributes", at)


def _pairs(holder: dict[str, Json], name: str, at: str) -> dict[str, Any]:
    return {
        _text(pair, "key", at): _value(pair.get("value"), f"{at}.{name}[{n}].value")
        for n, pair in enumerate(_objects(holder, name, at))
    }


def _value(value: Json, at: str) -> Any:  # noqa: ANN401
    """Return an AnyValue as what it holds."""
    for kind, found in _object(value, at).items():
        if found is not None and (read := _READERS.get(kind)) is not None:
            return read(found, at)
    return None


def _bytes(value: Json, at: str) -> bytes:
    try:
        return base64.b64decode(_checked(value, str, at, "base64"))
    except (binascii.Error, ValueError):
        raise Malformed(at, "is not base64") from None


def _values(value: Json, at: str) -> list[Any]:
    return [_value(v, f"{at}.values[{n}]") for n, v in enumerate(_list(_object(value, at), "values", at))]


def _checked(value: Json, kind: type | UnionType, at: str, name: str) -> Any:  # noqa: ANN401
    if not isinstance(value, kind):
        raise Malformed(at, f"is not {name}")
    return value


def _object(value: Json, at: str) -> dict[str, Json]:
    if value is None:
        return {}
    return _checked(value, dict, at, "an object")  # type: ignore[no-any-return]


def _list(holder: dict[str, Json], name: str, at: str) -> list[Json]:
    value = holder.get(name)
    if value is None:
        return []
    return _checked(value, list, f"{at}.{name}".lstrip("."), "a list")  # type: ignore[no-any-return]


def _objects(holder: dict[str, Json], name: str, at: str) -> Iterator[dict[str, Json]]:
    for n, item in enumerate(_list(holder, name, at)):
        yield _checked(item, dict, f"{at}.{name}[{n}]".lstrip("."), "an object")


def _text(holder: dict[str, Json], name: str, at: str) -> str:
    value = holder.get(name)
    return "" if value is None else _checked(value, str, f"{at}.{name}", "text")


def _hex(holder: dict[str, Json], name: str, at: str) -> str:
    found = _text(holder, name, at)
    if not _HEX.fullmatch(found):
        raise Malformed(f"{at}.{name}", "is not hexadecimal, as OTLP in JSON has its ids")
    return found


def _uint64(holder: dict[str, Json], name: str, at: str) -> int:
    value = holder.get(name)
    return 0 if value is None else _integer(value, f"{at}.{name}", 0, _record.MAX_UINT64)


def _enum(holder: dict[str, Json], name: str, at: str) -> int:
    value = holder.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{at}.{name}", "is not a whole number, as OTLP in JSON has its enums")
    return value


def _integer(value: Json, at: str, least: int, most: int) -> int:
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Malformed(at, "is not a whole number of 64 bits")
    return value


def _double(value: Json, at: str) -> float | str:
    if isinstance(value, str) and value in _NOT_FINITE:
        return value
    try:
        return float(_checked(value, str | int | float, at, "a number"))
    except (ValueError, OverflowError):
        raise Malformed(at, "is not a number") from None


_READERS: dict[str, Callable[[Json, str], Any]] = {
    "stringValue": lambda value, at: _checked(value, str, at, "text"),
    "boolValue": lambda value, at: _checked(value, bool, at, "true or false"),
    "intValue": lambda value, at: _integer(value, at, -(2**63), 2**63 - 1),
    "doubleValue": _double,
    "arrayValue": _values,
    "kvlistValue": lambda value, at: _pairs(_object(value, at), "values", at),
    "bytesValue": _bytes,
}
