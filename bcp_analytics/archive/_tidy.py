"""Keeps a store tidy: writes manifests beside the files, and removes files that nobody needs any more."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _steps
from bcp_analytics.archive._lock import place_of, tried
from bcp_analytics.archive._model import as_json
from bcp_analytics.archive._store import Store
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from psycopg import Connection

    from bcp_analytics.archive._lake import Lake
    from bcp_analytics.archive._model import Archive

_NEEDLESS = ("writing", "replaced")


def tidy(conn: Connection[Any], lake: Lake, *, only: str | None = None) -> None:
    """Remove the files of archives that were never proven or have been replaced, and then their rows.

    What another run is at work on is that run's. Where a location cannot be reached its rows stay, and the
    next run tries again. `only` is a location.
    """
    for found in _books.archives(conn, states=_NEEDLESS):
        if only is not None and found.location != only:
            continue
        with tried(conn, place_of(found)) as mine, suppress(ArchiveError):
            # Another run may have proven it, or removed it, since.
            archive = _books.now(conn, found.archive_id, _NEEDLESS) if mine else None
            if archive is not None:
                lake.withdraw(archive)
                remove_files(Store(archive.location), archive)
                _steps.reached("removed")
                _books.discard(conn, archive)


def remove_files(store: Store, archive: Archive) -> None:
    """Remove all files of an archive, also those that no manifest knows yet."""
    day = archive.first_day
    while day <= archive.range_end.date():
        store.remove(archive.folder(day), str(archive.archive_id))
        day += timedelta(days=1)


def write_manifest(store: Store, archive: Archive) -> None:
    """Write the manifest beside the files."""
    store.put(archive.manifest_path, json.dumps(as_json(archive), indent=2).encode())
