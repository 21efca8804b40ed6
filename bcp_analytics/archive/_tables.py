"""The archive as tables of Apache Iceberg, which always have the files that the database says are proven.

A file is in its table before its chunk is dropped. What takes the place of another does so in one snapshot,
before the other is removed. Then no snapshot but the present one is left, and no file that only such
snapshots knew: nothing that was erased can be read by going back in time.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _iceberg, _steps
from bcp_analytics.archive._export import time_column_of
from bcp_analytics.archive._lake import Lake
from bcp_analytics.archive._lock import Place, locked, place_of, tried
from bcp_analytics.archive._store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from bcp_analytics.archive._model import Archive

# Each change of a table takes a second or less.
_WAIT_S = 120.0
_BATCH = 200
# Until then a reader may go back to what a table was: only to what it has less of, as nothing was removed.
_KEPT = timedelta(days=1)
_ID = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.parquet$")


class Tables(Lake):
    """The tables of a store's archives in a catalogue."""

    def __init__(self, conn: Connection[Any], catalog: _iceberg.Catalog) -> None:
        """`conn` is the run's own, whose locks keep runs apart."""
        self._conn = conn
        self._catalog = catalog

    def publish(self, archive: Archive) -> None:
        """Do so in one snapshot."""
        # As bcp_internal.finish_archive: what was dropped stays beside an archive of late rows.
        replaced = [a for a in self._of_chunk(archive) if a.state in {"verified", "restored"}]
        self._change(archive.table_name, [archive] if archive.row_count else [], replaced)
        _steps.reached("published")

    def replace(self, old: Archive, new: Archive) -> None:
        """Do so in one snapshot."""
        self._change(old.table_name, [new] if new.row_count else [], [old])
        _steps.reached("published")

    def withdraw(self, archive: Archive) -> None:
        """Do so in one snapshot."""
        self._change(archive.table_name, self._of_chunk(archive), [archive])

    def complete(self) -> None:
        """Do so some hundreds at a time; what another run is at work on is that run's."""
        of_table: dict[str, list[Archive]] = {}
        for archive in _books.archives(self._conn):
            if archive.files:
                of_table.setdefault(archive.table_name, []).append(archive)
        for name, archives in of_table.items():
            with _iceberg.told():
                table = self._catalog.table(name)
                there = _ids(_iceberg.files(table)) if table is not None else set()
            missing = [archive for archive in archives if str(archive.archive_id) not in there]
            for start in range(0, len(missing), _BATCH):
                with ExitStack() as held:
                    places = [(a, tried(self._conn, place_of(a))) for a in missing[start : start + _BATCH]]
                    mine = [archive for archive, place in places if held.enter_context(place)]
                    # Another run may have put another archive in the place of one since.
                    now = [found for a in mine if (found := _books.now(self._conn, a.archive_id))]
                    self._change(name, now, [])
                _steps.reached("completed")

    def forget(self) -> None:
        """Do so, with what Iceberg has written of them; the files of the archive stay."""
        with _iceberg.told():
            names = self._catalog.names()
        for name in names:
            with locked(self._conn, Place(name), _WAIT_S), _iceberg.told():
                if (table := self._catalog.table(name)) is not None:
                    self._catalog.drop(name)
                    _remove_but(table, set())

    def _of_chunk(self, archive: Archive) -> list[Archive]:
        """Return the other proven archives within the chunk of one."""
        start, end = archive.range_start, archive.range_end
        return [
            other
            for other in _books.archives(self._conn, table=archive.table_name, since=start, until=end)
            if other.range_start >= start
            and other.range_end <= end
            and other.archive_id != archive.archive_id
            and other.files
        ]

    def _change(self, name: str, add: Sequence[Archive], remove: Sequence[Archive]) -> None:
        """Add and remove archives in one snapshot, and leave no trace of what is removed."""
        if not add and not remove:
            return
        with locked(self._conn, Place(name), _WAIT_S), _iceberg.told():
            table = self._catalog.table(name)
            if table is None:
                if not add:
                    return
                table = self._catalog.create(add[0], time_column_of(self._conn, name))
            _iceberg.widen(table, add)
            there = _iceberg.files(table, _range([*add, *remove]))
            removed = {str(archive.archive_id) for archive in remove}
            known = {file.file_path for file in there}
            new = [uri for archive in add for uri in _iceberg.uris(archive) if uri not in known]
            gone = [file for file in there if _ids([file]) & removed]
            if new or gone:
                _iceberg.commit(table, new, gone)
                _steps.reached("swapped")
            if remove:
                _forget_past(self._catalog, name)
            elif new:
                _forget_old(self._catalog, name)


def _range(archives: Sequence[Archive]) -> tuple[datetime, datetime]:
    return min(a.range_start for a in archives), max(a.range_end for a in archives)


def _ids(files: Sequence[DataFile]) -> set[str]:
    return {found[1] for file in files if (found := _ID.search(file.file_path))}


def _forget_past(catalog: _iceberg.Catalog, name: str) -> None:
    """Leave the present snapshot, and nothing that only others knew."""
    table = catalog.table(name)
    assert table is not None  # noqa: S101 - it was changed just now
    _iceberg.expire(table, [s for s in table.snapshots() if s.snapshot_id != _present(table)], refs=True)
    _steps.reached("expired")
    table = catalog.table(name)
    assert table is not None  # noqa: S101
    _remove_but(table, _iceberg.reachable(table))
    _steps.reached("swept")


def _forget_old(catalog: _iceberg.Catalog, name: str) -> None:
    """Let snapshots go that are old; nothing was removed, so younger ones have what they had."""
    table = catalog.table(name)
    assert table is not None  # noqa: S101
    before = (datetime.now(UTC) - _KEPT).timestamp() * 1000
    old = [s for s in table.snapshots() if s.timestamp_ms < before and s.snapshot_id != _present(table)]
    if not old:
        return
    _iceberg.expire(table, old, refs=False)
    table = catalog.table(name)
    assert table is not None  # noqa: S101
    _remove_but(table, _iceberg.reachable(table, with_log=True))


def _present(table: Table) -> int | None:
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot is not None else None


def _remove_but(table: Table, kept: set[str]) -> None:
    """Remove what Iceberg has written of a table, but for some files; nobody else writes there."""
    store = Store(_iceberg.as_url(table.location()))
    store.remove_but({path.removeprefix(f"{table.location()}/") for path in kept})
