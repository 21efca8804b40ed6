"""One run at a time on a database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

# Any number will do that no other program takes: this one spells "bcp_arch".
_KEY = int.from_bytes(b"bcp_arch")


@contextmanager
def locked(conn: Connection[Any]) -> Iterator[None]:
    """Hold the advisory lock of archive runs, which goes with the connection; raises `ArchiveError`."""
    [(mine,)] = _books.call(conn, "select pg_try_advisory_lock(%s)", [_KEY])
    if not mine:
        raise ArchiveError(
            f"Another run archives or restores on this database{_holder(conn)}.",
            hint="Let it end and run this again; if it hangs, end it with pg_terminate_backend.",
        )
    try:
        yield
    finally:
        if not conn.closed:
            _books.call(conn, "select pg_advisory_unlock(%s)", [_KEY])


def _holder(conn: Connection[Any]) -> str:
    found = _books.call(
        conn,
        "select l.pid, to_char("
        "coalesce(a.backend_start, w.started_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        " from pg_locks l left join pg_stat_activity a on a.pid = l.pid"
        " cross join (select max(started_at) as started_at from bcp.archives where state = 'writing') w"
        " where l.locktype = 'advisory' and l.granted and l.objsubid = 1"
        " and (l.classid::bigint << 32) + l.objid::bigint = %s"
        " and l.database = (select oid from pg_database where datname = current_database())",
        [_KEY],
    )
    if not found:
        return ""
    pid, started = found[0]
    return f" (server process {pid}{f', since {started} UTC' if started else ''})"
