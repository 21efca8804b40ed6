"""One run at a time on a database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection


@contextmanager
def locked(conn: Connection[Any]) -> Iterator[None]:
    """Hold the lock of archive runs, which goes with the connection; raises `ArchiveError`."""
    [(mine, holder)] = _books.call(conn, "select is_mine, holder from bcp_internal.lock_archive()")
    if not mine:
        raise ArchiveError(
            f"Another run archives or restores on this database{f' ({holder})' if holder else ''}.",
            hint="Let it end and run this again; if it hangs, end it with pg_terminate_backend.",
        )
    try:
        yield
    finally:
        if not conn.closed:
            _books.call(conn, "select bcp_internal.unlock_archive()")
