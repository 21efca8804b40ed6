"""The rows of bcp.otel_mappings, made ready: which records are calls, and where their fields come from."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bcp_analytics.serve._otlp._record import Record

Test = Callable[[Any], bool]
Source = Callable[[Record], Any]

QUERY = """
select mapping, signal, matches, action, vantage, fills, reason
from bcp.otel_mappings where enabled order by ordinal, mapping
"""
"""The table's comments say what its columns mean; its trigger keeps out what is not of that form."""

_PARTS = ("attributes", "resource", "scope")
_DOCUMENTS = {"parameters", "response_data"}
_NUMBERS = {"duration_ms", "request_bytes", "response_bytes", "response_tokens"}
_SWITCHES = {"success", "is_error"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row."""

    name: str
    conditions: list[tuple[str, str, Test]]
    vantage: str | None
    fills: list[tuple[str, list[Source]]]
    reason: str | None
    """Of a row that ignores what it matches, why."""

    def matches(self, record: Record) -> bool:
        return all(test(getattr(record, part).get(key)) for part, key, test in self.conditions)

    def fill(self, record: Record) -> dict[str, Any]:
        """Return the fields that have a value."""
        found: dict[str, Any] = {}
        for field, sources in self.fills:
            for source in sources:
                value = source(record)
                if value is not None and value != "":
                    found[field] = _as_field(field, value)
                    break
        return found


Rules = Mapping[str, list[Rule]]
"""The rules for each signal, in their order."""


def compile_rules(rows: Iterable[tuple[str, str, Any, str, str | None, Any, str | None]]) -> Rules:
    """Make rules of rows; one that cannot be read is left out, and the log says so."""
    rules: dict[str, list[Rule]] = {"span": [], "log": []}
    for name, signal, matches, action, vantage, fills, reason in rows:
        try:
            rules[signal].append(
                Rule(
                    name,
                    [(*_place(field), _test(condition)) for field, condition in matches.items()],
                    vantage,
                    [
                        (f, [_source(s) for s in (v if isinstance(v, list) else [v])])
                        for f, v in fills.items()
                    ],
                    reason if action == "ignore" else None,
                )
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            log.exception("the row %s of bcp.otel_mappings cannot be read, and is left out", name)
    return rules


def time_of(nanoseconds: int) -> str | None:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat() if nanoseconds else None


def _place(field: str) -> tuple[str, str]:
    """Return which part of a record has a field, and under which key."""
    part, _, key = field.partition(".")
    return (part, key) if key and part in _PARTS else ("own", field)


def _test(condition: Any) -> Test:  # noqa: ANN401
    match condition:
        case {"present": _}:
            return lambda value: value is not None and value != ""
        case {"prefix": str(prefix)}:
            return lambda value: any(isinstance(v, str) and v.startswith(prefix) for v in _each(value))
        case {"from": str(least)}:
            return lambda value: any(isinstance(v, str) and v >= least for v in _each(value))
        case dict():
            raise ValueError(condition)
        case None:
            return lambda value: value is None
        case list():
            return lambda value: any(_same(v, c) for v in _each(value) for c in condition)
        case _:
            return lambda value: any(_same(v, condition) for v in _each(value))


def _each(value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    # The field event may have several values, of which any may be meant.
    return value if isinstance(value, tuple) else (value,)


def _same(value: Any, condition: Any) -> bool:  # noqa: ANN401
    return type(value) is type(condition) and bool(value == condition)


def _source(source: Any) -> Source:  # noqa: ANN401
    match source:
        case str():
            return _field(source)
        case {"literal": value}:
            return lambda _: value
        case {"under": str(prefix)}:
            under = prefix.removeprefix("attributes.")
            return lambda record: (
                {
                    key.removeprefix(under): value
                    for key, value in record.attributes.items()
                    if key.startswith(under)
                }
                or None
            )
        case {"from": str(field), "member": str(member)}:
            read = _field(field)
            return lambda record: _member(read(record), member)
        case {"from": str(field), "after": str(prefix)}:
            read = _field(field)
            return lambda record: _after(read(record), prefix)
        case {"from": str(field)}:
            return _field(field)
    raise ValueError(source)


def _field(name: str) -> Source:
    if name == "time":
        return lambda record: time_of(record.start_ns)
    if name == "observed_time":
        return lambda record: time_of(record.end_ns)
    part, key = _place(name)
    if part == "attributes":
        return lambda record: record.attributes.get(key)
    return lambda record: getattr(record, part).get(key)


def _member(value: Any, name: str) -> Any:  # noqa: ANN401
    found = _document(value)
    return found.get(name) if isinstance(found, dict) else None


def _after(value: Any, prefix: str) -> str | None:  # noqa: ANN401
    return value.removeprefix(prefix) if isinstance(value, str) and value.startswith(prefix) else None


def _as_field(field: str, value: Any) -> Any:  # noqa: ANN401
    """Return a value as its field wants it, where it can be read so; else the store says what is wrong."""
    if field in _DOCUMENTS:
        return _document(value)
    if field in _NUMBERS:
        return _number(value)
    if field in _SWITCHES:
        return {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower(), value)
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def _document(value: Any) -> Any:  # noqa: ANN401
    """Return what JSON in text says; attributes of spans are text where the sender's SDK knows no objects."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _number(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return value
    return int(number) if number.is_integer() else number if math.isfinite(number) else value
