"""Puts archives back into their tables, or into tables beside them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

from psycopg import sql

from bcp_analytics.archive import _books, _columns, _steps
from bcp_analytics.archive._export import time_column_of
from bcp_analytics.archive._files import batches, fetch
from bcp_analytics.archive._model import Progress
from bcp_analytics.archive._store import Store
from bcp_analytics.errors import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from psycopg import Connection

    from bcp_analytics.archive._model import Archive, Watch

    Hold = Callable[[Archive], AbstractContextManager[None]]


def into_table(
    conn: Connection[Any],
    table: str,
    since: datetime,
    until: datetime,
    *,
    keep_days: float,
    hold: Hold,
    watch: Watch,
) -> list[Archive]:
    """Restore what has been dropped, each archive under its lock; see `bcp_analytics.archive.restore`."""
    done: list[Archive] = []

    def left() -> list[Archive]:
        there = _books.archives(conn, table=table, since=since, until=until, states=("dropped",))
        restored = {archive.archive_id for archive in done}
        return [archive for archive in there if archive.archive_id not in restored]

    # Looked for anew each time: another run that this waits for may put an archive in the place of one.
    while found := left():
        with hold(found[0]):
            archive = _books.now(conn, found[0].archive_id, ("dropped",))
            if archive is not None:
                _restore(conn, archive, (len(done) + 1, len(done) + len(found)), keep_days, watch)
                done.append(archive)
    return done


def _restore(
    conn: Connection[Any], archive: Archive, place: tuple[int, int], keep_days: float, watch: Watch
) -> None:
    with ExitStack() as kept:
        files = read(archive, kept, Progress(archive, *place, "reading", 0, 0), watch)
        _steps.reached("read")
        with translated(), conn.transaction():
            fill(conn, archive, files, Progress(archive, *place, "restoring", 0, 0), watch)
            _steps.reached("filled")
            _books.call(
                conn,
                "select bcp_internal.finish_restore(%s, bcp_internal.now() + %s)",
                [archive.archive_id, timedelta(days=keep_days)],
            )
            _steps.reached("restoring")
    _steps.reached("restored")
    watch(_at(Progress(archive, *place, "restored", 0, 0), archive.row_count or 0))


def beside(
    conn: Connection[Any],
    table: str,
    since: datetime,
    until: datetime,
    *,
    schema: str,
    hold: Hold,
    watch: Watch,
) -> list[Archive]:
    """Put all rows that archives have of a range into a table of another schema, in one transaction."""
    with translated(), ExitStack() as kept:
        time_column_of(conn, table)
        found: list[Archive] = []
        # Until all are held as they are: another run may put an archive in the place of one meanwhile.
        with ExitStack() as held:
            while (there := _books.archives(conn, table=table, since=since, until=until)) != found:
                held.close()
                found = there
                for archive in found:
                    held.enter_context(hold(archive))
            kept.push(held.pop_all())
        fetched = [
            read(archive, kept, Progress(archive, number, len(found), "reading", 0, 0), watch)
            for number, archive in enumerate(found, 1)
        ]
        with conn.transaction():
            _make_schema(conn, schema)
            # The table belongs to the owner and is recorded, so that erasures and late masking reach it.
            [(relation,)] = _books.call(
                conn,
                "select bcp_internal.begin_beside(%s, %s, %s::uuid[])::oid",
                [schema, table, [archive.archive_id for archive in found]],
            )
            for number, (archive, files) in enumerate(zip(found, fetched, strict=True), 1):
                fill(conn, archive, files, Progress(archive, number, len(found), "restoring", 0, 0), watch)
                _books.call(
                    conn,
                    "select bcp_internal.finish_beside(%s::oid::regclass, %s)",
                    [relation, archive.archive_id],
                )
                watch(_at(Progress(archive, number, len(found), "restored", 0, 0), archive.row_count or 0))
        return found


def read(archive: Archive, kept: ExitStack, at: Progress, watch: Watch) -> list[IO[bytes]]:
    """Fetch its files, each as it was written."""
    watch(_at(at, 0))
    store = Store(archive.location)
    files: list[IO[bytes]] = []
    for file in archive.files:
        copy = kept.enter_context(tempfile.TemporaryFile(prefix="bcp-archive-"))  # noqa: SIM115
        fetch(store, archive, file, copy)
        files.append(copy)
    return files


def fill(
    conn: Connection[Any],
    archive: Archive,
    files: list[IO[bytes]],
    at: Progress,
    watch: Watch,
    *,
    to_erase: bool = False,
) -> None:
    """Put its rows into the temporary table bcp_restored."""
    _books.call(conn, "select bcp_internal.begin_restore(%s, %s)", [archive.archive_id, to_erase])
    columns = sql.SQL(", ").join(sql.Identifier(column["name"]) for column in archive.columns)
    rows = 0
    with (
        conn.cursor() as cur,
        cur.copy(sql.SQL("copy pg_temp.bcp_restored ({}) from stdin (format csv)").format(columns)) as copy,
    ):
        for file in files:
            for batch in batches(file):
                copy.write(_columns.to_csv(batch))
                rows += batch.num_rows
                watch(_at(at, rows))


def _make_schema(conn: Connection[Any], schema: str) -> None:
    """Make the schema where it is missing, and let the owner of the store make a table in it."""
    name = sql.Identifier(schema)
    if not _books.call(conn, "select 1 from pg_namespace where nspname = %s", [schema]):
        conn.execute(sql.SQL("create schema {}").format(name))
    may_not = _books.call(
        conn,
        "select proowner::regrole::text from pg_proc"
        " where oid = 'bcp_internal.begin_beside(text, text, uuid[])'::regprocedure"
        " and not has_schema_privilege(proowner, %s, 'create')",
        [schema],
    )
    for (owner,) in may_not:
        # The text of a role is quoted where it has to be.
        conn.execute(sql.SQL("grant usage, create on schema {} to ").format(name) + sql.SQL(owner))


def _at(progress: Progress, rows: int) -> Progress:
    return Progress(
        progress.archive,
        progress.number,
        progress.of,
        progress.phase,
        rows,
        progress.archive.row_count or 0,
    )
