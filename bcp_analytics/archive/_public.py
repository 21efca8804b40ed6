"""The functions of the package. What needs the extra is imported when one of them is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _extra
from bcp_analytics.archive._model import unwatched
from bcp_analytics.errors import InvalidArgument

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    import pyarrow as pa
    from psycopg import Connection

    from bcp_analytics.archive._model import Archive, Watch


def archive(
    conn: Connection[Any],
    location: str | os.PathLike[str] | None = None,
    *,
    table: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    check_content: bool = True,
    iceberg: str | None = None,
    progress: Watch = unwatched,
    verified: Callable[[Archive], None] | None = None,
) -> list[Archive]:
    """Archive the chunks of `bcp.archives_wanted`, in its order, and return their archives, all proven.

    With `table`, `since` or `until`: whatever whole chunks there are in that range that are over, due or not.

    `location`: a folder, file:///folder or s3://bucket/prefix, by default that of BCP_ARCHIVE_LOCATION;
    credentials come from AWS_*. Without `check_content` the search for what is due counts rows only: it is
    quick, and misses rows that were changed after they were archived. `iceberg` publishes the archives of the
    store as tables of Apache Iceberg, those of before too, and so does each later run without it: "store" for
    a catalogue in the database itself, or the URL of a REST catalogue. `progress` is called with each step,
    `verified` with each archive once it is marked.

    What a run that dies leaves behind, the next one removes or uses. A run that raises leaves what it had
    proven.

    Runs at the same time share what is due: each leaves alone the chunk that another is at.

    Raises `ArchiveError` where a chunk cannot be written or does not come back equal, and `InvalidArgument`.
    """
    _extra.check()
    from bcp_analytics.archive import _run, _store  # noqa: PLC0415 - an extra

    _books.check_autocommit(conn, "archive")
    url = _store.location_url(location)
    if iceberg is not None:
        _extra.check_iceberg()
        _books.call(conn, "select bcp_internal.use_lake(%s)", [iceberg])
    return _run.run(
        conn,
        url,
        (table, since, until),
        check_content=check_content,
        watch=progress,
        verified=verified,
    )


def restore(
    conn: Connection[Any],
    table: str,
    since: datetime,
    until: datetime,
    *,
    into_schema: str | None = None,
    keep_days: float = 7,
    wait_seconds: float = 600,
    waiting: Callable[[str], None] = lambda _: None,
    progress: Watch = unwatched,
) -> list[Archive]:
    """Put back what archives have of a table from `since` to `until`, whole chunks, and return the archives.

    Rows go back into the table where their chunk was dropped, and cleanup leaves them there for `keep_days`.
    What is there already is left alone, so doing it twice does it once. With `into_schema` they go into a
    table of the same name in that schema, made where it is missing, and take the place of what it has of
    those chunks. The table is the owner's of the store, so that erasures and late masking reach it; one that
    no restore has made is left alone.

    Where another run is at one of the chunks, this waits for it, at most `wait_seconds`, and calls `waiting`
    with a sentence that says so.

    Each archive comes back as its manifest says, to the row, or not at all: raises `ArchiveError`, also while
    a person is being erased, or where the other run takes longer.
    """
    _extra.check()
    from bcp_analytics.archive import _lock, _restore  # noqa: PLC0415 - an extra

    _books.check_autocommit(conn, "restore")

    def hold(archive: Archive) -> AbstractContextManager[None]:
        return _lock.locked(conn, _lock.place_of(archive), wait_seconds, waiting)

    if into_schema is None:
        return _restore.into_table(conn, table, since, until, keep_days=keep_days, hold=hold, watch=progress)
    return _restore.beside(conn, table, since, until, schema=into_schema, hold=hold, watch=progress)


def rewrite(conn: Connection[Any], archive_id: UUID, change: Callable[[], object]) -> Archive | None:
    """Put an archive with fewer or other rows in the place of one, and return it; None where no row is left.

    `change` is called in a transaction of `conn` in which the archive's rows are in the temporary table
    pg_temp.bcp_restored, and does with them what is to be done, such as a delete. Where it changes nothing,
    the archive stays and is returned. The rows are proven before, the new files after, and the old ones are
    removed last. For the role that migrated the database: what it leaves is what `restore` will believe.

    Raises `ArchiveError` where either is not as it should be, or another run is at the same chunk.
    """
    _extra.check()
    from bcp_analytics.archive import _rewrite  # noqa: PLC0415 - an extra

    _books.check_autocommit(conn, "rewrite")
    return _rewrite.rewritten(conn, archive_id, change)


def erase(conn: Connection[Any], *, progress: Watch = unwatched) -> int:
    """Rewrite the archives that wait for an erasure, without the person, and return how many those were.

    `erase_user` says which those are; `archive` begins with this. For the role that migrated the database:
    for another none waits. What is interrupted goes on when it is called again.

    Raises `ArchiveError` as `rewrite` does.
    """
    _extra.check()
    from bcp_analytics.archive import _erase, _lake  # noqa: PLC0415 - an extra

    _books.check_autocommit(conn, "erase")
    with _lake.lake_of(conn) as lake:
        return _erase.erase_pending(conn, lake, progress, all_of_them=True)


def forget_lake(conn: Connection[Any]) -> None:
    """Publish the archives of a store no longer: take its tables out of the catalogue; the files stay.

    Raises `ArchiveError` where the catalogue cannot be used.
    """
    _extra.check()
    from bcp_analytics.archive import _lake  # noqa: PLC0415 - an extra

    _books.check_autocommit(conn, "forget_lake")
    with _lake.lake_of(conn) as lake:
        lake.forget()
        _books.call(conn, "select bcp_internal.use_lake(null)")


def query(
    conn: Connection[Any] | None, sql: str, *, location: str | os.PathLike[str] | None = None
) -> pa.Table:
    """Run a query of DuckDB over the files of all proven archives: one view per table, with its name.

    The views have the columns of the files, and `day`, which it is quick to filter by. The query is one
    SELECT and reads those files: nothing else on this machine or the network, and it writes nothing.

    `conn` tells which archives are proven. Without it, None, the manifests beside the files do: those of
    `location`, by default that of BCP_ARCHIVE_LOCATION. They say the same but while a run puts an archive in
    the place of another, or after one that died in that.

    Raises `ArchiveError` where the query fails, and `InvalidArgument` where both are given.
    """
    _extra.check()
    from bcp_analytics.archive import _query  # noqa: PLC0415 - an extra

    if conn is None:
        return _query.run(_query.of_location(location), sql)
    if location is not None:
        raise InvalidArgument(
            "query() has both a connection and a location.",
            hint="Give None for the connection to ask the files of a location.",
        )
    return _query.run(_query.of_archives(_books.archives(conn)), sql)
