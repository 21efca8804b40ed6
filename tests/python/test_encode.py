"""Events as JSON: whatever is in one, it is encoded, and nothing that could be kept is lost."""

from __future__ import annotations

import enum
import json
import math
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics import InvalidDocument
from bcp_analytics._core.encode import document, encode_batch, text


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    when: date


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"a": Decimal("1.5")}


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class HostileMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


def encoded(value: Any) -> Any:
    [event] = json.loads(encode_batch([{"v": value}]))
    return event["v"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T00:00:00+02:00"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001 - the store reads it as UTC
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (PurePosixPath("/etc/hosts"), "/etc/hosts"),
        (ip_address("203.0.113.7"), "203.0.113.7"),
        (Decimal("1.5"), 1.5),
        (Decimal(12345678901234567890), 12345678901234567890),
        (Decimal("1E+999999"), "1E+999999"),
        (Decimal("NaN"), "NaN"),
        (Decimal("-Infinity"), "-Infinity"),
        (Fraction(1, 4), 0.25),
        (10**4000, 10**4000),
        (b"text", "text"),
        (bytearray(b"text"), "text"),
        (b"\xff\xfe", "<2 bytes>"),
        (b"a\x00b", "<3 bytes>"),
        ({3}, [3]),
        (deque([1, 2]), [1, 2]),
        ((1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Point(1, date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Model(), {"a": 1.5}),
        (ValueError("bad"), "ValueError: bad"),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
        ({(1, 2): "a", UUID(int=5): "b"}, {"[1, 2]": "a", "00000000-0000-0000-0000-000000000005": "b"}),
        (Hostile(), "<Hostile that cannot be encoded>"),
        ({"good": 1, "bad": Hostile()}, {"good": 1, "bad": "<Hostile that cannot be encoded>"}),
        ("é😀\u2028", "é😀\u2028"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_json_has_no_form_for_becomes_one_it_has(value: Any, expected: Any) -> None:
    assert encoded(value) == expected


def test_an_integer_too_long_to_print_becomes_hexadecimal() -> None:
    assert int(encoded(10**5000), 16) == 10**5000


def test_an_unknown_object_becomes_its_repr_cut() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 10_000

    assert encoded(Long()) == "x" * 2_000 + "..."


def test_what_contains_itself_is_marked_and_what_is_there_twice_is_kept() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    assert encoded(loop) == {"a": 1, "self": "<contains itself>"}
    twice = [math.nan]
    assert encoded([twice, twice]) == [["NaN"], ["NaN"]]


# Python 3.14 encodes the first two.
@pytest.mark.parametrize("levels", [1_000, 20_000, 100_000])
def test_nesting_without_end_is_cut_below_the_stores_own_limit(levels: int) -> None:
    deep: Any = "bottom"
    for _ in range(levels):
        deep = [deep]
    text = encode_batch([{"v": deep}])
    assert 150 < text.count("[") < 300
    assert "nested deeper" in text


def test_many_lists_beside_one_another_are_not_deep() -> None:
    many = [{"[": [n]} for n in range(2_000)]
    assert encoded(many) == many


def test_one_bad_event_leaves_the_others_as_they_are() -> None:
    good = {"bcp_name": "files", "n": 1}
    first, bad, last = json.loads(encode_batch([good, HostileMapping(a=1), good]))
    assert first == last == good
    assert bad != good


def test_surrogates_and_nuls_stay_escaped() -> None:
    assert encode_batch([{"v": "a\ud800\0"}]) == '[{"v":"a\\ud800\\u0000"}]'


def test_events_that_are_no_objects_are_sent_for_the_store_to_reject() -> None:
    assert encode_batch([1, None, "x", []]) == '[1,null,"x",[]]'  # type: ignore[list-item]


def test_an_iterator_is_taken() -> None:
    assert encode_batch({"n": n} for n in range(2)) == '[{"n":0},{"n":1}]'


def test_text_goes_as_it_is() -> None:
    given_text = ' [ {"a": 1.10, "b": "é"} ] '
    assert encode_batch(given_text) == given_text
    assert encode_batch(given_text.encode()) == given_text
    assert encode_batch(b"\xef\xbb\xbf[]") == "[]"


def test_text_that_postgresql_would_not_take_is_escaped() -> None:
    assert encode_batch('["a\0\udfff"]') == '["a\\u0000\\udfff"]'
    assert encode_batch(b'["\xff"]') == '["\\udcff"]'


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.uuids()
    | st.builds(Hostile),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(), anything, max_size=4), max_size=4))
def test_any_batch_is_an_array_of_as_many_objects(events: list[dict[str, Any]]) -> None:
    found = json.loads(encode_batch(events), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert len(found) == len(events)
    assert [set(event) for event in found] == [set(event) for event in events]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_what_json_has_a_form_for_is_unchanged(value: Any) -> None:
    assert encoded(value) == value


def test_a_document_keeps_its_characters_and_refuses_what_cannot_be_stored() -> None:
    assert document("parameters", None) is None
    assert document("parameters", {"a": "é"}) == '{"a":"é"}'
    assert document("parameters", r"\u0000 in letters, \\u0000") == r'"\\u0000 in letters, \\\\u0000"'
    for bad in ("a\0", "\ud800", {"\0": 1}, ["\\\0"]):
        with pytest.raises(InvalidDocument, match=re.escape("parameters holds a NUL or half a surrogate")):
            document("parameters", bad)


def test_a_text_is_text_and_refuses_what_cannot_be_stored() -> None:
    assert text("user_id", 42) == "42"
    assert text("outcome", enum.Enum("Outcome", {"TIMEOUT": "timeout"}).TIMEOUT) == "timeout"
    assert text("user_id", None) is None
    for bad in ("a\0", "\udc00"):
        with pytest.raises(InvalidDocument, match="user_id holds a NUL or half a surrogate"):
            text("user_id", bad)
