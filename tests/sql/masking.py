"""Masks many texts at once, for the tests of what looks like a secret."""

from __future__ import annotations

import json
from typing import Any

import psycopg


def mask_all(db: psycopg.Connection[Any], texts: list[str]) -> list[str]:
    """Return each text as the anonymiser makes it, all of them one batch."""
    row = db.execute(
        "select array(select d #>> '{}' from unnest(bcp_internal.anonymize_documents("
        "array(select to_jsonb(t) from unnest(%s::text[]) with ordinality as u (t, n) order by n)))"
        " with ordinality as m (d, n) order by n)",
        [texts],
    ).fetchone()
    assert row is not None
    return list(row[0])


def texts(value: Any) -> str:
    """Every key and scalar of JSON, also of JSON inside of strings, a line each."""
    if isinstance(value, dict):
        return "\n".join(f"{k}\n{texts(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "\n".join(texts(v) for v in value)
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        return value + "\n" + texts(inner) if isinstance(inner, (dict, list, str)) else value
    return json.dumps(value)
