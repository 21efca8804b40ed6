"""A run: removes what a killed one left, then exports, uploads, reads back, proves and marks each chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _steps
from bcp_analytics.archive._erase import erase_pending
from bcp_analytics.archive._export import export, time_column_of
from bcp_analytics.archive._files import DayWriter, prove, upload
from bcp_analytics.archive._lake import lake_of
from bcp_analytics.archive._lock import Place, tried
from bcp_analytics.archive._model import Progress
from bcp_analytics.archive._store import Store
from bcp_analytics.archive._tidy import tidy, write_manifest
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection

    from bcp_analytics.archive._lake import Lake
    from bcp_analytics.archive._model import Archive, Phase, Watch

# Readers that look into folders take these from the names of the folders.
_HIVE = {"table", "day"}


def run(
    conn: Connection[Any],
    url: str,
    asked: tuple[str | None, datetime | None, datetime | None],
    *,
    check_content: bool,
    watch: Watch,
    verified: Callable[[Archive], None] | None,
) -> list[Archive]:
    """Archive what is due, or what is asked for by table, start and end.

    Other runs may do the same: each holds the chunk that it is at, and leaves alone what another holds or has
    done.
    """
    store = Store(url, make=True)
    with lake_of(conn) as lake:
        tidy(conn, lake)
        erase_pending(conn, lake, watch)
        lake.complete()
        wanted = _books.chunks(conn, *asked, check_content=check_content)
        known = [_books.ids(conn, *chunk) for chunk in wanted]
        made = []
        for number, (chunk, archived) in enumerate(zip(wanted, known, strict=True), 1):
            with tried(conn, Place(*chunk)) as mine:
                if not mine or _books.ids(conn, *chunk) != archived:
                    continue
                archive = _archive_chunk(conn, store, lake, chunk, (number, len(wanted)), watch=watch)
            if archive is None:
                continue
            made.append(archive)
            if verified is not None:
                verified(archive)
        return made


def _archive_chunk(
    conn: Connection[Any],
    store: Store,
    lake: Lake,
    chunk: tuple[str, datetime, datetime],
    place: tuple[int, int],
    *,
    watch: Watch,
) -> Archive | None:
    """Archive a chunk; None where it has been dropped since it was looked for."""
    table, start, end = chunk
    begun = _books.begin(conn, table, start, end, store.url)
    if begun is None:
        return None
    archive = begun
    _steps.reached("begun")
    if taken := _HIVE & {column["name"] for column in archive.columns}:
        raise ArchiveError(
            f"bcp.{table} has a column {taken.pop()}, which is the name of a folder of archives.",
            hint="Give the column another name.",
        )
    time_column = time_column_of(conn, table)

    def tell(phase: Phase, rows: int, of_rows: int | None) -> None:
        watch(Progress(archive, place[0], place[1], phase, rows, of_rows or 0))

    with DayWriter(archive, time_column) as writer:
        exported = export(conn, archive, time_column, writer, lambda done, of: tell("exporting", done, of))
        if exported is None:
            return None
        archive = exported
        tell("uploading", 0, archive.row_count)
        archive = upload(store, archive, writer.written)
    tell("verifying", 0, archive.row_count)
    prove(store, archive, time_column, lambda rows: tell("verifying", rows, archive.row_count))
    _steps.reached("proven")
    write_manifest(store, archive)
    _steps.reached("manifest")
    lake.publish(archive)
    archive = _books.finish(conn, archive)
    _steps.reached("marked")
    tell("verified", archive.row_count or 0, archive.row_count)
    # What it has taken the place of.
    tidy(conn, lake, only=store.url)
    return archive
