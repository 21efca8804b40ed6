"""The embedded database: a real TimescaleDB with no PostgreSQL, no Docker and no root.

from bcp_analytics.embedded import EmbeddedDatabase

with EmbeddedDatabase("/path/of/a/folder") as database:
    connection = psycopg.connect(database.dsn)

Its clients share one backend and take turns. A transaction, an unfinished pipeline or a COPY holds the turn,
so all others wait until it ends. A client that holds it idle for `idle_in_transaction_s` is disconnected.
It is for trying, testing and CI: docs/reference/embedded.md lists what it does as a PostgreSQL server does,
what it does otherwise, and what it will never do.
"""

from __future__ import annotations

from bcp_analytics.embedded._database import EmbeddedDatabase, Status, status, stop
from bcp_analytics.embedded._errors import EmbeddedError
from bcp_analytics.embedded._places import default_data_dir
from bcp_analytics.embedded._runtime import Runtime, cache_dir, ensure_runtime

__all__ = [
    "EmbeddedDatabase",
    "EmbeddedError",
    "Runtime",
    "Status",
    "cache_dir",
    "default_data_dir",
    "ensure_runtime",
    "status",
    "stop",
]
