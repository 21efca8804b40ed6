"""A connection whose clock the test owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sql.events import NOW

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def conn(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    db.execute("select set_config('bcp.now', %s, true)", [NOW])
    return db
