"""The server that a benchmark measures on: a native TimescaleDB of its own, with the store, and then gone."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from bcp_analytics.migrate import migrate
from tests.targets import NativeCluster, describe

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def server(**settings: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection in autocommit mode; `settings` are PostgreSQL's."""
    # As it is unless somebody says otherwise; tests have it off.
    cluster = NativeCluster(where=tempfile.gettempdir(), **{"jit": "on"} | settings)
    try:
        cluster.start()
        dsn = cluster.dsn("postgres")
        migrate(dsn)
        with psycopg.connect(dsn, autocommit=True) as conn:
            yield conn
    finally:
        cluster.stop()


def target(conn: psycopg.Connection[Any]) -> str:
    """Return what was measured on, as the result files say it."""
    return f"native ({describe(conn.info.dsn)}), {os.cpu_count()} cores"
