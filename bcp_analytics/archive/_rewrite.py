"""An archive written anew with what is left of its rows, as the erasure of a person needs it.

Rows go into a temporary table, where SQL proves, changes and counts them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _steps
from bcp_analytics.archive._export import dump, time_column_of
from bcp_analytics.archive._files import DayWriter, prove, upload
from bcp_analytics.archive._lake import lake_of
from bcp_analytics.archive._lock import locked, place_of
from bcp_analytics.archive._model import Progress, unwatched
from bcp_analytics.archive._restore import fill, read
from bcp_analytics.archive._store import Store
from bcp_analytics.archive._tidy import remove_files, tidy, write_manifest
from bcp_analytics.errors import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from psycopg import Connection

    from bcp_analytics.archive._lake import Lake
    from bcp_analytics.archive._model import Archive, Watch


def rewritten(conn: Connection[Any], archive_id: UUID, change: Callable[[], object]) -> Archive | None:
    """Write, prove and put in place what `change` leaves; see `bcp_analytics.archive.rewrite`."""
    with locked(conn, place_of(_books.one(conn, archive_id))), lake_of(conn) as lake:
        # As it is now that no other run is at it.
        old = _books.one(conn, archive_id)
        return put_in_place(conn, lake, old, change, Progress(old, 1, 1, "reading", 0, 0), watch=unwatched)


def put_in_place(
    conn: Connection[Any],
    lake: Lake,
    old: Archive,
    change: Callable[[], object],
    at: Progress,
    *,
    watch: Watch,
    done: Callable[[], None] | None = None,
) -> Archive | None:
    """Put an archive with what `change` leaves of the rows in bcp_restored in the place of one.

    Where that is all of them, the old one stays. `done` is called in the transaction that marks the new one.
    """
    store = Store(old.location)
    time_column = time_column_of(conn, old.table_name)
    with ExitStack() as kept, DayWriter(old, time_column) as writer:
        files = read(old, kept, at, watch)
        with translated(), conn.transaction():
            fill(conn, old, files, at, watch, to_erase=True)
            _books.call(conn, "select bcp_internal.check_restored(%s)", [old.archive_id])
            change()
            new = _books.begin_rewrite(conn, old)
            if new is not None:
                dump(conn, new, ("pg_temp.bcp_restored", time_column), writer, lambda _done, _of: None)
            elif done is not None:
                done()
        if new is None:
            return old
        _steps.reached("begun")
        new = upload(store, new, writer.written)
        prove(store, new, time_column)
        if new.row_count:
            write_manifest(store, new)
        _steps.reached("manifest")
        lake.replace(old, new)
        with conn.transaction():
            if done is not None:
                done()
            marked = _books.finish_rewrite(conn, new)
    _steps.reached("marked")
    # Remove the old files now and not with the next run: a person may wait for it.
    remove_files(store, old)
    tidy(conn, lake, only=old.location)
    return marked
