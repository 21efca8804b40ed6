"""An archive written anew with other rows, as the erasure of a person needs it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bcp_analytics.archive import _books, _columns, _steps
from bcp_analytics.archive._export import time_column_of
from bcp_analytics.archive._files import DayWriter, batches, fetch, prove, upload
from bcp_analytics.archive._lock import locked
from bcp_analytics.archive._store import Store
from bcp_analytics.archive._tidy import remove_files, tidy, write_manifest
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from psycopg import Connection

    from bcp_analytics.archive._model import Archive


def rewritten(
    conn: Connection[Any], archive_id: UUID, edit: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> Archive | None:
    """Write, prove and put in place what `edit` makes of the rows; see `bcp_analytics.archive.rewrite`."""
    with locked(conn):
        old = _books.one(conn, archive_id)
        store = Store(old.location)
        time_column = time_column_of(conn, old.table_name)
        prove(store, old, time_column)
        with DayWriter(old, time_column) as writer:
            rows, total = _edit(store, old, edit, writer)
            meant = replace(old, row_count=rows, checksum=_columns.checksum_text(total))
            return put_in_place(conn, store, (old, meant), writer)


def put_in_place(
    conn: Connection[Any],
    store: Store,
    change: tuple[Archive, Archive],
    writer: DayWriter,
    done: Callable[[], None] | None = None,
) -> Archive | None:
    """Upload, prove and mark what `writer` has written, which has the second archive's count and checksum.

    It takes the place of the first, unless it is the same. `done` is called in the transaction that marks it.
    """
    old, meant = change
    if (meant.row_count, meant.checksum) == (old.row_count, old.checksum):
        if done is not None:
            with conn.transaction():
                done()
        return old
    new = _books.begin_rewrite(conn, old)
    _steps.reached("begun")
    new = replace(upload(store, new, writer.written), row_count=meant.row_count, checksum=meant.checksum)
    prove(store, new, writer.time_column)
    if new.row_count:
        write_manifest(store, new)
    _steps.reached("manifest")
    with conn.transaction():
        if done is not None:
            done()
        marked = _books.finish_rewrite(conn, new, old)
    _steps.reached("marked")
    # At once, and not with the next run: a person may wait for it.
    remove_files(store, old)
    tidy(conn, only=old.location)
    return marked


def _edit(
    store: Store, old: Archive, edit: Callable[[pa.RecordBatch], pa.RecordBatch], writer: DayWriter
) -> tuple[int, int]:
    """Write the rows that `edit` makes of the old ones; return how many, and the sum of their hashes."""
    schema = _columns.schema(old.columns)
    rows = total = 0
    for file in old.files:
        with tempfile.TemporaryFile(prefix="bcp-archive-") as copy:
            fetch(store, old, file, copy)
            for batch in batches(copy):
                edited = edit(batch)
                if not edited.schema.equals(schema):
                    raise ArchiveError(
                        f"The rows of the archive {old.archive_id} were given other columns.",
                        hint="Change values and leave rows out, and keep the columns and their types.",
                    )
                if edited.num_rows:
                    rows += edited.num_rows
                    total += _columns.checksum(edited)
                    writer.write(pa.Table.from_batches([edited]))
    writer.close()
    return rows, total
