"""One run at a time on a chunk: several runs share what is due, and none takes what another holds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bcp_analytics.archive import _books
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from psycopg import Connection

    from bcp_analytics.archive._model import Archive

_TRY_AGAIN_S = 0.5


class Place(NamedTuple):
    """What a run holds: a chunk, or without its range what all archives of the table share."""

    table: str
    start: datetime | None = None
    end: datetime | None = None


def place_of(archive: Archive) -> Place:
    """Return the chunk of an archive."""
    return Place(archive.table_name, archive.range_start, archive.range_end)


@contextmanager
def locked(
    conn: Connection[Any],
    place: Place,
    wait_seconds: float = 0,
    waiting: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lock of a place, which goes with the connection.

    Waits for another run for so many seconds, and calls `waiting` once, with a sentence, before it does.
    Raises `ArchiveError` where the other run still has the lock after that.
    """
    holder = _taken_by(conn, place)
    if holder is not None and wait_seconds > 0:
        waiting(f"waiting for another run that archives or restores the same chunk of {place.table}{holder}")
        give_up = time.monotonic() + wait_seconds
        # Not by pg_advisory_lock: the key is drawn anew where a stranger holds it.
        while (holder := _taken_by(conn, place)) is not None and time.monotonic() < give_up:
            time.sleep(_TRY_AGAIN_S)
    if holder is not None:
        raise ArchiveError(
            f"Another run archives or restores the same chunk of {place.table}{holder}.",
            hint="Let it end and run this again; if it hangs, end it with pg_terminate_backend.",
        )
    try:
        yield
    finally:
        _release(conn, place)


@contextmanager
def tried(conn: Connection[Any], place: Place) -> Iterator[bool]:
    """Hold the lock of a place, or say False where another run has it."""
    mine = _taken_by(conn, place) is None
    try:
        yield mine
    finally:
        if mine:
            _release(conn, place)


def _release(conn: Connection[Any], place: Place) -> None:
    if not conn.closed:
        _books.call(conn, "select bcp_internal.unlock_archive(%s, %s, %s)", list(place))


def _taken_by(conn: Connection[Any], place: Place) -> str | None:
    """Take the lock; else say by whom it is taken, as far as that is known."""
    [(mine, holder)] = _books.call(
        conn, "select is_mine, holder from bcp_internal.lock_archive(%s, %s, %s)", list(place)
    )
    if mine:
        return None
    return f" ({holder})" if holder else ""
