"""Rewrites archives without the people that bcp.erase_user has erased from the tables.

Rows go into a temporary table, where SQL does to them what it did to those of the tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books
from bcp_analytics.archive._lock import locked, place_of, tried
from bcp_analytics.archive._model import Progress
from bcp_analytics.archive._rewrite import put_in_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from psycopg import Connection

    from bcp_analytics.archive._lake import Lake
    from bcp_analytics.archive._lock import Place
    from bcp_analytics.archive._model import Watch


def erase_pending(conn: Connection[Any], lake: Lake, watch: Watch, *, all_of_them: bool = False) -> int:
    """Rewrite what waits for an erasure, and return how many archives that were.

    What another run is at work on is left to the next run; `all_of_them` raises `ArchiveError` instead. Where
    the role may not see what waits, nothing is done: erasures are the owner's.
    """
    may = _books.call(
        conn,
        "select has_function_privilege(p.oid, 'execute') from pg_proc p"
        " where p.pronamespace = 'bcp_internal'::regnamespace and p.proname = 'pending_erasures'",
    )
    if may != [(True,)]:
        return 0
    done: list[UUID] = []
    seen: set[UUID] = set()
    # Another run may have put an archive in the place of one that waits, and that waits then.
    while waiting := [archive_id for archive_id in _waiting(conn) if archive_id not in seen]:
        for number, archive_id in enumerate(waiting, 1):
            seen.add(archive_id)
            if (found := _books.now(conn, archive_id)) is None:
                continue
            place = place_of(found)
            with _held(conn, place) if all_of_them else tried(conn, place) as mine:
                if mine and archive_id in _waiting(conn):
                    _erase(conn, lake, archive_id, (number, len(waiting)), watch)
                    done.append(archive_id)
    # Archives that were never finished wait for nothing any more.
    _books.call(conn, "select bcp_internal.settle_erasures()")
    return len(done)


@contextmanager
def _held(conn: Connection[Any], place: Place) -> Iterator[bool]:
    with locked(conn, place):
        yield True


def _waiting(conn: Connection[Any]) -> list[UUID]:
    """Return each archive once, however many people it is to lose."""
    return list(
        dict.fromkeys(
            archive_id
            for (archive_id,) in _books.call(conn, "select archive_id from bcp_internal.pending_erasures()")
        )
    )


def _erase(conn: Connection[Any], lake: Lake, archive_id: UUID, place: tuple[int, int], watch: Watch) -> None:
    """Take all who wait for it out of an archive at once, and note it."""
    old = _books.one(conn, archive_id)
    erasures: list[UUID] = []

    def erase() -> None:
        [(done,)] = _books.call(conn, "select bcp_internal.erase_restored(%s)", [archive_id])
        erasures.extend(done)

    def note() -> None:
        # Only these: another erasure may have begun to wait since.
        _books.call(
            conn,
            "select bcp_internal.archive_erased(e, %s) from unnest(%s::uuid[]) as e",
            [archive_id, erasures],
        )

    put_in_place(conn, lake, old, erase, Progress(old, *place, "reading", 0, 0), watch=watch, done=note)
