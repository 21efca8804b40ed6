"""Events as JSON text, whatever is in them: one that JSON cannot hold must not take others with it.

What JSON has no form for:

| value | becomes |
|---|---|
| NaN, an infinity | the text "NaN", "Infinity", "-Infinity": null in a field that must be a number |
| time, date, UUID, path, IP address | its usual text, of times ISO 8601; without a zone they are UTC |
| Decimal, Fraction, another library's number | an integer where it is whole, else the nearest double |
| integer of more digits than Python prints | its hexadecimal text |
| bytes | their text where they are UTF-8, else how many there were: what cannot be read cannot be masked |
| set, deque | a list |
| dataclass, mapping, pydantic model | an object |
| enum, exception | its value; its type and message |
| anything else | its repr(), cut at 2,000 characters |
| key that is no text | its text |
| cycle, nesting beyond 200 levels, what raises when looked at | a mark in its place |

Lone surrogates and NULs stay, escaped: the store puts U+FFFD in their place, and says so.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

from bcp_analytics.errors import InvalidDocument

Events = Iterable[Mapping[str, Any]] | str | bytes
"""A batch: mappings, or a JSON array as text."""

_MAX_DEPTH = 200  # above the store's own limit, so that it leaves the field out; below Python's
_TOO_DEEP = 1_000  # PostgreSQL refuses a batch with some 6,000 levels; Python before 3.14 makes no 1,000
_MAX_REPR = 2_000
_MAX_DIGITS = 300  # a whole number is at most this long; a double reaches no further
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_NO_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[^"\[\]{}]+')
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def encode_batch(events: Events) -> str:
    """Return a batch as JSON text that PostgreSQL takes as a text value; raises for no event's sake."""
    if isinstance(events, bytes | bytearray | memoryview):
        # Bytes that are no UTF-8 become lone surrogates, and these U+FFFD.
        events = bytes(events).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if isinstance(events, str):
        # In a string both stand for themselves; elsewhere they are no JSON, escaped or not.
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", events).replace("\0", "\\u0000")
    if isinstance(events, Mapping):
        # One event that is not in a list: the store says so.
        return encode_event(events)
    return f"[{','.join(map(encode_event, events))}]"


def document(name: str, value: object) -> str | None:
    """Return an argument that is any JSON as text, None for None; raises `InvalidDocument`."""
    if value is None:
        return None
    encoded = encode_event(value, _READABLE)
    if _NUL_ESCAPE.search(encoded) or _SURROGATE.search(encoded):
        raise _unstorable(name)
    return encoded


def text(name: str, value: object) -> str | None:
    """Return an argument as text, such as an id that is a number, None for None; raises `InvalidDocument`."""
    if value is None:
        return None
    found = str(value.value if isinstance(value, Enum) else value)
    if "\0" in found or _SURROGATE.search(found):
        raise _unstorable(name)
    return found


def _unstorable(name: str) -> InvalidDocument:
    return InvalidDocument(
        f"{name} holds a NUL or half a surrogate pair, which PostgreSQL cannot store",
        hint="Replace it, or send the event by an ingest function, which puts U+FFFD in its place.",
    )


def encode_event(event: object, encoder: json.JSONEncoder | None = None) -> str:
    encoder = encoder or _ESCAPED
    try:
        encoded = encoder.encode(event)
    except Exception:  # noqa: BLE001 - of its own objects, an event may raise anything
        return _encode_plain(event, encoder)
    return _encode_plain(event, encoder) if _is_too_deep(encoded) else encoded


def _encode_plain(event: object, encoder: json.JSONEncoder) -> str:
    try:
        return encoder.encode(_plain(event, 0, set()))
    except Exception as error:  # noqa: BLE001
        return encoder.encode({"_unencodable": type(error).__name__})


def _is_too_deep(encoded: str) -> bool:
    # Counting is quick, and says no of nearly every event.
    if len(encoded) < 2 * _TOO_DEEP or encoded.count("[") + encoded.count("{") < _TOO_DEEP:
        return False
    brackets = _NO_BRACKET.sub("", encoded)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) >= _TOO_DEEP


def _plain(value: Any, depth: int, above: set[int]) -> Any:  # noqa: ANN401, PLR0911
    """Return the value with everything replaced that the encoder raises for."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return _plain_int(int(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if depth >= _MAX_DEPTH:
        return f"<nested deeper than {_MAX_DEPTH} levels>"
    if id(value) in above:
        return "<contains itself>"
    above.add(id(value))
    try:
        return _plain_container(value, depth + 1, above)
    except Exception:  # noqa: BLE001 - of its own objects, an event may raise anything
        return f"<{type(value).__name__} that cannot be encoded>"
    finally:
        above.discard(id(value))


def _plain_container(value: Any, depth: int, above: set[int]) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {_plain_key(k): _plain(v, depth, above) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth, above) for v in value]
    return _plain(_simpler(value), depth, above)


def _plain_int(value: int) -> int | str:
    try:
        str(value)
    except ValueError:
        return hex(value)
    return value


def _plain_key(key: Any) -> str:  # noqa: ANN401
    plain = _plain(key, 0, set())
    return plain if isinstance(plain, str) else json.dumps(plain)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _simpler(value: Any) -> Any:  # noqa: ANN401, C901, PLR0911 - one line per type
    """Return something nearer to JSON in place of a value that is none."""
    match value:
        case date() | time():
            return value.isoformat()
        case UUID() | PurePath() | IPv4Address() | IPv6Address():
            return str(value)
        case Enum():
            return value.value
        case Decimal():
            return _simpler_decimal(value)
        case Integral():
            return int(value)
        case Real():
            number = float(value)
            return number if math.isfinite(number) else _not_finite(number)
        case bytes() | bytearray() | memoryview():
            return _simpler_bytes(bytes(value))
        case AbstractSet() | deque():
            return list(value)
        case Mapping():
            return dict(value)
        case BaseException():
            return _short(f"{type(value).__name__}: {value}")
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        case _ if callable(getattr(value, "model_dump", None)) and not isinstance(value, type):
            return value.model_dump()
    return _short(repr(value))


def _simpler_decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity"
    if value.adjusted() > _MAX_DIGITS:
        return str(value)
    return int(value) if value == value.to_integral_value() else float(value)


def _simpler_bytes(value: bytes) -> str:
    try:
        found = value.decode()
    except UnicodeDecodeError:
        found = "\0"
    return f"<{len(value)} bytes>" if "\0" in found else found


def _short(found: str) -> str:
    return found if len(found) <= _MAX_REPR else f"{found[:_MAX_REPR]}..."


_ESCAPED = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_simpler)
_READABLE = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_simpler, ensure_ascii=False)
