"""Exports a chunk, with the count and checksum that the database itself makes of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import Cursor, sql
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from bcp_analytics.archive import _books, _columns, _steps
from bcp_analytics.errors import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection

    from bcp_analytics.archive._files import DayWriter
    from bcp_analytics.archive._model import Archive

# So much text becomes Arrow's at a time, which takes several times its memory.
_BLOCK_BYTES = 8 * 1024 * 1024


def export(
    conn: Connection[Any],
    archive: Archive,
    time_column: str,
    writer: DayWriter,
    seen: Callable[[int, int], None],
) -> Archive | None:
    """Write the rows of its range; return the archive with the count and checksum that SQL noted of them.

    None where its chunk has been dropped. Count and checksum are of one snapshot. `seen` is called with rows
    done, of how many.
    """
    with translated(), conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        counted = _books.count(conn, archive)
        if counted is None:
            return None
        dump(
            conn,
            counted,
            (sql.Identifier("bcp", counted.table_name).as_string(conn), time_column),
            writer,
            seen,
            within=(counted.range_start, counted.range_end),
        )
    _steps.reached("exported")
    return counted


def dump(
    conn: Connection[Any],
    archive: Archive,
    source: tuple[str, str],
    writer: DayWriter,
    seen: Callable[[int, int], None],
    *,
    within: tuple[datetime, datetime] | None = None,
) -> None:
    """Write the rows of a relation, given with its time column, all or those of a range."""
    relation, time_column = source
    place = [relation, Jsonb(archive.columns), *((time_column, *within) if within else (None, None, None))]
    with Cursor(conn, row_factory=tuple_row) as cur:
        of = archive.row_count or 0
        seen(0, of)
        [(query,)] = cur.execute(
            "select bcp_internal.archive_rows(%s::regclass, %s, %s, %s, %s)", place
        ).fetchall()
        copy_out = sql.SQL("copy ({} order by {}) to stdout (format csv)").format(
            sql.SQL(query), _order(archive, time_column)
        )
        done, size = 0, 0
        block: list[bytes] = []
        with cur.copy(copy_out) as copy:
            # COPY sends one row at a time, even one that contains newlines.
            for row in copy:
                block.append(bytes(row))
                size += len(block[-1])
                if size >= _BLOCK_BYTES:
                    done += len(block)
                    writer.write(_columns.from_csv(b"".join(block), archive.columns))
                    block.clear()
                    size = 0
                    _steps.reached("exporting")
                    seen(done, of)
        if block:
            writer.write(_columns.from_csv(b"".join(block), archive.columns))
        writer.close()


def _order(archive: Archive, time_column: str) -> sql.Composed:
    """Return the order of rows: by day, as each day has its file, and within it as files are sorted."""
    *texts, time = (sql.Identifier(name) for name in _columns.sort_order(archive.columns, time_column))
    return sql.SQL(", ").join(
        [
            sql.SQL("date_trunc('day', {}, 'UTC')").format(time),
            *(sql.SQL('{} collate "C"').format(text) for text in texts),
            time,
        ]
    )


def time_column_of(conn: Connection[Any], table: str) -> str:
    """Return the column that chunks are ranges of; raises `InvalidArgument` where the table has no chunks."""
    [(name,)] = _books.call(conn, "select bcp_internal.archive_time_column(%s)", [table])
    return str(name)
