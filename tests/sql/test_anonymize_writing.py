"""Unusual writing hides nothing: the generated corpus of tests/sql/anonymizer_writing.py, counted by kind."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import psycopg
import pytest

from tests.sql.anonymizer_writing import STAYS, must_go
from tests.sql.masking import texts

Db = psycopg.Connection[Any]


def mask_each(db: Db, docs: list[Any]) -> list[Any]:
    """Mask each document as a batch of its own."""
    row = db.execute(
        "select jsonb_agg(bcp_internal.anonymize_json(d) order by n)"
        " from jsonb_array_elements(%s::jsonb) with ordinality as t (d, n)",
        [json.dumps(docs)],
    ).fetchone()
    assert row is not None
    masked: list[Any] = row[0]
    return masked


@pytest.mark.any_target("the rules are the same")
@pytest.mark.slow
def test_no_writing_hides_a_secret(db: Db) -> None:
    cases = list(must_go())
    total: Counter[str] = Counter()
    left: list[tuple[str, Any]] = []
    for (kind, doc, gone), masked in zip(cases, mask_each(db, [doc for _, doc, _ in cases]), strict=True):
        total[kind] += 1
        if gone in texts(masked):
            left.append((kind, doc))
    wrong = Counter(kind for kind, _ in left)
    print()  # noqa: T201
    for kind, count in total.items():
        print(f"| {kind} | {count - wrong[kind]} of {count} |")  # noqa: T201
    assert left == []


@pytest.mark.any_target("the rules are the same")
def test_what_only_reads_alike_stays(db: Db) -> None:
    docs = [doc if isinstance(doc, dict) else {"t": doc} for doc in STAYS]
    changed = [(doc, masked) for doc, masked in zip(docs, mask_each(db, docs), strict=True) if doc != masked]
    assert changed == []
