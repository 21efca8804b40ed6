"""The embedded database: a real TimescaleDB with no PostgreSQL, no Docker and no root.

from bcp_analytics.embedded import EmbeddedDatabase

with EmbeddedDatabase("/path/of/a/folder") as database:
    connection = psycopg.connect(database.dsn)

Clients share one backend and take turns. What a client of a PostgreSQL server would find different:

- A transaction, an unfinished pipeline and a COPY hold the turn, so all others wait: no two transactions
  overlap, and none may wait for another connection. `statement_timeout` leaves out the wait for a turn.
- A client that keeps its turn idle, or does not read its result, is disconnected after
  `idle_in_transaction_s`. The running statement of one that disconnects is cancelled, what it sent dropped.
- One database, UTF-8, UTC. Roles have no password of their own and `alter role ... set` has no effect;
  SET SESSION AUTHORIZATION is allowed to everybody.
- `pg_backend_pid()` is 0 and `pg_stat_activity` empty; `pg_cancel_backend` and `pg_terminate_backend` reach
  nobody, cancel requests do. `pg_locks` shows one's own advisory locks only, and a lock that would have to
  wait inside a transaction fails with 55P03.
- Temporary tables, cursors WITH HOLD and `currval`/`lastval` are common to all: two clients cannot use the
  same name at once, and DISCARD TEMP drops all. `pg_prepared_statements` shows every client's, with a prefix.
- LISTEN, UNLISTEN, PREPARE, EXECUTE, temporary tables and settings are noticed in the text that a client
  sends, not inside functions or DO: a setting made there is gone when another client has had a turn.
- A recursion without end stops the engine (57P02 for all clients) where PostgreSQL says 54001.
- No CREATE INDEX CONCURRENTLY, replication, two-phase commit, background workers, parallel queries or TLS.
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
