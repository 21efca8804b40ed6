"""One run at a time on a database."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

_TRY_AGAIN_S = 0.5


@contextmanager
def locked(
    conn: Connection[Any], wait_seconds: float = 0, waiting: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the lock of archive runs, which goes with the connection.

    Waits for another run for so many seconds, and calls `waiting` once, with a sentence, before it does.
    Raises `ArchiveError` where the other run still has the lock after that.
    """
    holder = _taken_by(conn)
    if holder is not None and wait_seconds > 0:
        waiting(f"waiting for another run that archives or restores on this database{holder}")
        give_up = time.monotonic() + wait_seconds
        # Not by pg_advisory_lock: the key is drawn anew where a stranger holds it.
        while (holder := _taken_by(conn)) is not None and time.monotonic() < give_up:
            time.sleep(_TRY_AGAIN_S)
    if holder is not None:
        raise ArchiveError(
            f"Another run archives or restores on this database{holder}.",
            hint="Let it end and run this again; if it hangs, end it with pg_terminate_backend.",
        )
    try:
        yield
    finally:
        if not conn.closed:
            _books.call(conn, "select bcp_internal.unlock_archive()")


def _taken_by(conn: Connection[Any]) -> str | None:
    """Take the lock; else say by whom it is taken, as far as that is known."""
    [(mine, holder)] = _books.call(conn, "select is_mine, holder from bcp_internal.lock_archive()")
    if mine:
        return None
    return f" ({holder})" if holder else ""
