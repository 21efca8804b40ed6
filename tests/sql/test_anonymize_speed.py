"""How long masking takes: by the size of what is masked, whatever it is."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import pytest

from tests.sql.anonymizer_corpus import EMAIL

Db = psycopg.Connection[Any]


@pytest.mark.parametrize(
    "unit",
    [
        "a@",
        "4111 1111 1111 1112 ",
        "1",
        "1 ",
        "555-",
        "a",
        "a=",
        "a a ",
        "a:",
        "{",
        '{"a":',
        '"',
        "\\",
        "<a>",
        "é@",
        "-----BEGIN ",
        "born ",
        "eyJ",
        "password=",
    ],
)
def test_a_megabyte_of_anything_takes_seconds_not_minutes(db: Db, unit: str) -> None:
    """Ten times the text may take thirty times as long, no more: the expressions do not backtrack."""
    took = []
    for size in (100_000, 1_000_000):
        text = (unit * (size // len(unit) + 1))[:size]
        start = time.perf_counter()
        try:
            db.execute("select length(bcp_internal.anonymize_text(%s))", [text])
        except psycopg.Error as error:
            assert error.sqlstate == "ZB005"  # noqa: PT017
            return
        took.append(time.perf_counter() - start)
    print(f"\n{unit!r}: {took[0] * 1000:.0f} ms for 100 kB, {took[1] * 1000:.0f} ms for 1 MB")  # noqa: T201
    assert took[1] < max(30 * took[0], 1.0)


@pytest.mark.parametrize(
    "unit",
    [
        '"flight 12"',
        '"jane@example.com"',
        '{"id": 1, "email": "x", "a": {"b": "c"}}',
        '"{\\"dob\\": 1, \\"n\\": 2}"',
        "4111111111111111",
        "[]",
    ],
)
@pytest.mark.parametrize("form", ["array", "keys"])
def test_a_wide_document_takes_time_by_its_size(db: Db, unit: str, form: str) -> None:
    """Ten times the elements may take thirty times as long, no more."""
    took = []
    for count in (400, 4000):
        values = [json.loads(unit)] * count
        doc = values if form == "array" else {f"user{n}@example.com": value for n, value in enumerate(values)}
        start = time.perf_counter()
        db.execute("select length(bcp_internal.anonymize_json(%s::jsonb)::text)", [json.dumps([doc, EMAIL])])
        took.append(time.perf_counter() - start)
    assert took[1] < max(30 * took[0], 1.0)
