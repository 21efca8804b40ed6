"""Masks with a pack of the anonymiser switched on, for the tests of what the packs find."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from bcp_analytics import upkeep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target

Db = psycopg.Connection[Any]
HASH = re.compile(r"[a-z]+#k\d+#[b-v]{16}")


@contextmanager
def switched_on(server: Target, pack: str) -> Iterator[Db]:
    """Give a store with this pack, which takes longer to switch on than all that a test masks."""
    with server.clean() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        assert upkeep.enable_anonymization_pack(conn, pack)
        yield conn


def mask(db: Db, doc: Any) -> Any:
    row = db.execute("select bcp_internal.anonymize_json(%s::jsonb)", [json.dumps(doc)]).fetchone()
    assert row is not None
    return row[0]


def left(masked: Any, values: list[str]) -> list[str]:
    return [value for value in values if value in json.dumps(masked, ensure_ascii=False)]
