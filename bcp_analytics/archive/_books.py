"""The manifest in the database: calls of the functions of sql/62_*.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import Cursor
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb

from bcp_analytics._core.arguments import utc
from bcp_analytics.archive._model import Archive
from bcp_analytics.errors import ArchiveError, InvalidArgument, translated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import Connection


PROVEN = ("verified", "dropped", "restored")
"""The states of an archive whose files are known to hold its rows: as bcp_internal.proven_states()."""

_SELECT: LiteralString = (
    "select archive_id, table_name, range_start, range_end, state, location, files, columns, schema_version,"
    " row_count, checksum, digest, bytes, started_at, verified_at, dropped_at, keep_until"
)


def archives(
    conn: Connection[Any],
    *,
    table: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    states: Sequence[str] = PROVEN,
) -> list[Archive]:
    """Return the archives of a table, or all, whose range meets that from `since` to `until`, oldest first.

    By default those that are proven: verified, dropped or restored.
    """
    return _archives(
        conn,
        _SELECT + " from bcp_internal.find_archives(null, %s, %s, %s, %s)",
        [table, utc(since), utc(until), list(states)],
    )


def one(conn: Connection[Any], archive_id: UUID) -> Archive:
    """Return a proven archive; raises `ArchiveError` where there is none."""
    found = _archives(
        conn,
        _SELECT + " from bcp_internal.find_archives(%s)",
        [archive_id],
    )
    if not found:
        raise ArchiveError(
            f"There is no proven archive {archive_id}.",
            hint="bcp-analytics archive list shows those there are.",
        )
    return found[0]


def now(conn: Connection[Any], archive_id: UUID, states: Sequence[str] = PROVEN) -> Archive | None:
    """Return an archive as it is now, or None where it is in none of these states (any more)."""
    found = _archives(
        conn,
        _SELECT + " from bcp_internal.find_archives(%s, null, null, null, %s)",
        [archive_id, list(states)],
    )
    return found[0] if found else None


def ids(conn: Connection[Any], table: str, start: datetime, end: datetime) -> set[UUID]:
    """Return the proven archives of a chunk."""
    return {
        archive_id
        for (archive_id,) in call(
            conn, "select archive_id from bcp_internal.find_archives(null, %s, %s, %s)", [table, start, end]
        )
    }


def begin(conn: Connection[Any], table: str, start: datetime, end: datetime, location: str) -> Archive | None:
    """Note that an archive is being written; None where the chunk has been dropped."""
    found = _archives(
        conn,
        _SELECT + " from bcp_internal.begin_archive(%s, %s, %s, %s)",
        [table, start, end, location],
    )
    return found[0] if found else None


def count(conn: Connection[Any], archive: Archive) -> Archive | None:
    """Have the database count the rows of its chunk, and note that; None where it has been dropped."""
    found = _archives(conn, _SELECT + " from bcp_internal.count_archive(%s)", [archive.archive_id])
    return found[0] if found else None


def finish(conn: Connection[Any], archive: Archive) -> Archive:
    """Note that its files were read back, with the count and checksum of `archive`."""
    return _archives(
        conn,
        _SELECT + " from bcp_internal.finish_archive(%s, %s, %s, %s, %s)",
        [archive.archive_id, Jsonb(archive.files), archive.row_count, archive.checksum, archive.bytes],
    )[0]


def discard(conn: Connection[Any], archive: Archive) -> None:
    """Forget an archive whose files are gone."""
    call(conn, "select bcp_internal.discard_archive(%s)", [archive.archive_id])


def begin_rewrite(conn: Connection[Any], archive: Archive) -> Archive | None:
    """Note that what is left of its rows in bcp_restored is being written; None where that is all."""
    found = _archives(conn, _SELECT + " from bcp_internal.begin_rewrite(%s)", [archive.archive_id])
    return found[0] if found else None


def finish_rewrite(conn: Connection[Any], archive: Archive) -> Archive | None:
    """Note that it has taken the place of the other; None where no row is left."""
    found = _archives(
        conn,
        _SELECT + " from bcp_internal.finish_rewrite(%s, %s, %s, %s, %s)",
        [archive.archive_id, Jsonb(archive.files), archive.row_count, archive.checksum, archive.bytes],
    )
    return found[0] if found else None


def chunks(
    conn: Connection[Any],
    table: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    check_content: bool,
) -> list[tuple[str, datetime, datetime]]:
    """Return table, start and end of what to archive.

    That is what is due, or with a table or a range the whole chunks in it that are over and not archived as
    they are now.
    """
    if table is None and since is None and until is None:
        return call(
            conn, "select table_name, range_start, range_end from bcp.archives_wanted(%s)", [check_content]
        )
    if table is not None:
        call(conn, "select bcp_internal.archive_time_column(%s)", [table])
    return call(
        conn,
        "select table_name, range_start, range_end from bcp_internal.chunks_to_archive(%s, %s, %s)",
        [table, utc(since), utc(until)],
    )


def call(conn: Connection[Any], query: LiteralString, params: Any = None) -> list[Any]:  # noqa: ANN401
    """Run a query and return its rows as tuples, whatever row factory the connection has."""
    with translated(), Cursor(conn, row_factory=tuple_row) as cur:
        return cur.execute(query, params, binary=True).fetchall()


def check_autocommit(conn: Connection[Any], name: str) -> None:
    """Raise `InvalidArgument` where the connection is not in autocommit mode."""
    if not conn.autocommit:
        raise InvalidArgument(
            f"{name}() commits along the way, so the connection must be in autocommit mode.",
            hint="Commit or roll back, then set conn.autocommit = True.",
        )


def _archives(conn: Connection[Any], query: LiteralString, params: list[Any]) -> list[Archive]:
    with translated(), Cursor(conn, row_factory=class_row(Archive)) as cur:
        return cur.execute(query, params, binary=True).fetchall()
