"""What names a person in an event: the twin of `bcp_internal.erasure_rule` and `bcp_internal.erased_json`.

The rule is SQL's (sql/64_erasure.sql). It is here a second time because a spool fills while the database is
away, and must then be erasable. tests/property/test_erasure.py holds the two to each other.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, Final

ERASED: Final = "[ERASED]"
MAX_DEPTH: Final = 100
"""Levels of JSON in a string; deeper is text. Ingest rejects it, by the setting max_json_depth."""

DOCUMENTS: Final = frozenset({"parameters", "response_data", "context", "tool_context", "labels"})
TEXTS: Final = frozenset({"error_message", "message", "stack_trace", "user_agent", "intent"})
NAMES: Final = frozenset(
    {
        "bcp_name", "tool_name", "operation", "outcome", "error_type", "error_code", "user_id", "session_id",
        "conversation_id", "request_id", "trace_id", "client_name", "client_version", "client_model",
        "release", "metric_name", "aggregation_period", "fingerprint",
    }
)  # fmt: skip
OTHERS: Final = frozenset(
    {
        "start_time", "end_time", "duration_ms", "success", "request_bytes", "response_bytes",
        "response_tokens", "ip_address", "event_id", "level", "timestamp", "metric_value", "started_at",
        "last_activity", "ended_at",
    }
)  # fmt: skip
"""Fields of no text, which name nobody. Fields in none of these sets are attributes, and so JSON."""

_LONG: Final = 16
_DELIMITED: Final = 8
_MAX_DIGITS: Final = 131_072
_WORD: Final = r"0-9A-Za-z\u00c0-\u052f_"
_ESCAPED: Final = (
    r"(?<=\\[bfnrt])|(?<=\\u(?:00[0-9A-Ba-b]|05[3-9A-Fa-f]|0[6-9A-Fa-f][0-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f]{2})"
    r"[0-9A-Fa-f])"
)
_IN_ADDRESSES: Final = {
    "@": r"(?:%(?:25)*40|\\+(?:u00|x)40|&#64;|&#x40;|&commat;|@)",
    ".": r"(?:%(?:25)*2[eE]|\\+u002[eE]|\.)",
}
_SHORT: Final = dict(zip("\b\f\n\r\t", "bfnrt", strict=True))
_SPACE: Final = " \t\r\n"
_NOT_IN_JSONB: Final = re.compile("[\0\ud800-\udfff]")


class Number(str):
    """A number as it is written, so that none is rounded."""

    __slots__ = ()

    def plain(self) -> str:
        """Return it as PostgreSQL writes it: without an exponent."""
        return format(Decimal(self), "f")


class Mentions:
    """What names one person."""

    def __init__(self, user_id: str) -> None:
        """Take the id as the application sends it."""
        is_number = re.fullmatch(r"[0-9.eE+-]+", user_id) is not None
        is_long = len(user_id) >= _LONG
        is_short = len(user_id) < _DELIMITED or (is_number and not is_long)
        spelled = _spelled(user_id)
        # Beside what is no part of a word anyway, anything may be.
        before = f"(?:{{}}|{_ESCAPED})" if re.match(f"[{_WORD}-]", user_id) else ""
        after = f"(?!{{}}[{_WORD}-])" if re.search(rf"[{_WORD}-]\Z", user_id) else ""
        if is_short:
            pattern = rf'(?<="){spelled}(?=\\*"(?![ \t\r\n]*:))'
        elif "@" in user_id:
            edge = rf"(?<![{_WORD}+-])(?<![{_WORD}+-]\.)"
            pattern = before.replace("{}", edge) + spelled + after.replace("{}", r"\.?")
        elif is_long:
            pattern = rf"(?<![0-9]){spelled}(?![0-9])" if is_number else spelled
        else:
            pattern = before.replace("{}", f"(?<![{_WORD}-])") + spelled + after.replace("{}", "")
        self._own = re.compile(spelled if "@" in user_id else re.escape(user_id))
        self._values = re.compile(rf"{pattern}|\A{spelled}\Z" if is_short else pattern)
        self._texts = re.compile(pattern)
        self._keys = None if is_short else self._texts
        self._names = self._texts if is_long else None
        self._numbers = self._texts if is_long and is_number else None

    def is_own(self, event: dict[str, Any]) -> bool:
        """Whether the event is the person's."""
        user_id = user_of(event)
        return user_id is not None and self._own.fullmatch(user_id) is not None

    def without(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return another's event without what names the person."""
        known = DOCUMENTS | TEXTS | NAMES | OTHERS
        attributes = self.document({name: value for name, value in event.items() if name not in known})
        changed = {name: self._field(name, value) for name, value in event.items() if name in known}
        without: dict[str, Any] = changed | attributes
        return without

    def document(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return JSON without what names the person: bcp_internal.erased_json."""
        if isinstance(value, Number):
            return Number("0") if self._numbers is not None and self._numbers.search(value.plain()) else value
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, list):
            return [self.document(one) for one in value]
        if isinstance(value, dict):
            values = {key: self.document(one) for key, one in value.items()}
            return values if self._keys is None else _renamed(values, self._keys)
        return value

    def text(self, value: str) -> str:
        """Return text without what names the person."""
        return self._texts.sub(ERASED, value)

    def is_in(self, text: str) -> bool:
        """Whether JSON text names the person, also of equal keys the first, which readers skip."""
        return self._values.search(text) is not None

    def _field(self, name: str, value: Any) -> Any:  # noqa: ANN401
        if name in OTHERS or value is None:
            return value
        if name in NAMES and isinstance(value, str):
            plain = value.plain() if isinstance(value, Number) else value
            erased = self._names.sub(ERASED, plain) if self._names is not None else plain
            return value if erased == plain else erased
        if name in TEXTS and isinstance(value, str) and not isinstance(value, Number):
            return self.text(value)
        return self.document(value)

    def _string(self, value: str) -> str:
        inner, wraps = read_nested(value)
        if wraps == 0:
            return self._values.sub(ERASED, value)
        erased = self._values.sub(ERASED, inner) if _is_text(inner) else self.document(inner)
        if erased == inner and not self.is_in(value):
            return value
        for _ in range(wraps):
            erased = write(erased, ascii_only=False, spaces=True)
        return str(erased)


def user_of(event: dict[str, Any]) -> str | None:
    """Return whose event it is, as ingest reads it."""
    return _id(event.get("user_id"))


def session_of(event: dict[str, Any]) -> str | None:
    """Return the session that an event names, as ingest reads it."""
    return _id(event.get("conversation_id")) or _id(event.get("session_id"))


def read(text: str) -> Any:  # noqa: ANN401
    """Read JSON, its numbers as `Number`. Raises `ValueError`, and `RecursionError` where it is deep."""
    return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_constant)


def read_nested(text: str) -> tuple[Any, int]:
    """Return what a string that is JSON holds, and how often it is; 0 where it is none.

    As bcp_internal.nested_json.
    """
    value: Any = text
    wraps = 0
    while True:
        bare = text.strip(_SPACE)
        ends = bare[:1] + bare[-1:]
        if ends not in {"{}", "[]", '""'} or len(text) < len(ends):
            break
        try:
            found = read(text)
        except RecursionError:
            return None, 0
        except ValueError:
            break
        if wraps > MAX_DEPTH or _is_deeper(found, MAX_DEPTH):
            return None, 0
        if not _is_storable(found):
            break
        value = found
        wraps += 1
        if ends != '""':
            break
        text = value
    return value, wraps


def write(value: Any, *, ascii_only: bool, spaces: bool) -> str:  # noqa: ANN401
    """Write what `read` has read."""
    comma, colon = (", ", ": ") if spaces else (",", ":")
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return f"[{comma.join(write(one, ascii_only=ascii_only, spaces=spaces) for one in value)}]"
    if isinstance(value, dict):
        pairs = (
            json.dumps(key, ensure_ascii=ascii_only)
            + colon
            + write(one, ascii_only=ascii_only, spaces=spaces)
            for key, one in value.items()
        )
        return f"{{{comma.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=ascii_only)


def _spelled(user_id: str) -> str:
    """Return a regular expression for an id, however it is escaped: bcp_internal.spelled."""
    return "".join(_spelled_character(one, is_address="@" in user_id) for one in user_id)


def _spelled_character(one: str, *, is_address: bool) -> str:
    if is_address and re.fullmatch("[A-Za-z]", one):
        return f"[{one.lower()}{one.upper()}]"
    if is_address and one in _IN_ADDRESSES:
        return _IN_ADDRESSES[one]
    if re.fullmatch("[A-Za-z0-9 _:#-]", one):
        return one
    if one == ".":
        return r"\."
    if one == "\\":
        return r"(?:\\+u005[cC]|\\+)"
    units = one.encode("utf-16-be", "surrogatepass").hex()
    lower = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    before = r"\\*" if one in {'"', "/"} else rf"\\+{_SHORT[one]}|" if one in _SHORT else ""
    return f"(?:{lower}|{lower.upper().replace('U', 'u')}|{before}{re.escape(one)})"


def _renamed(values: dict[str, Any], keys: re.Pattern[str]) -> dict[str, Any]:
    """Rename keys. Those that become equal all stay, with a number: bcp_internal.erased_keys."""
    names = {key: keys.sub(ERASED, key) for key in values}
    if all(key == name for key, name in names.items()):
        return values
    skip = 0
    while True:
        seen: Counter[str] = Counter()
        numbered = {}
        for key in sorted(values, key=lambda key: (names[key] != key, key)):
            seen[names[key]] += 1
            n = seen[names[key]]
            numbered[key] = names[key] if n == 1 else f"{names[key]}#{n + skip}"
        if len(set(numbered.values())) == len(values):
            return {numbered[key]: value for key, value in values.items()}
        skip += len(values)


def _number(text: str) -> Number:
    if len(text) > _MAX_DIGITS or Decimal(text).adjusted() >= _MAX_DIGITS:
        raise ValueError("a number that PostgreSQL does not take")
    return Number(text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _id(value: object) -> str | None:
    if isinstance(value, Number):
        return value.plain()
    return value if isinstance(value, str) and value else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _is_deeper(value: Any, levels: int) -> bool:  # noqa: ANN401
    """Whether JSON has more levels of objects and lists than that."""
    row = [value]
    for _ in range(levels):
        row = [one for one in row if isinstance(one, dict | list)]
        row = [child for one in row for child in (one.values() if isinstance(one, dict) else one)]
        if not row:
            return False
    return any(isinstance(one, dict | list) for one in row)


def _is_storable(value: Any) -> bool:  # noqa: ANN401
    """Whether jsonb can hold it: no NUL and no half of a surrogate pair."""
    if isinstance(value, list):
        return all(map(_is_storable, value))
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(one) for key, one in value.items())
    return not isinstance(value, str) or _NOT_IN_JSONB.search(value) is None
