"""The archive as a lake, for runs of all kinds. A store without one does nothing here, and needs no extra."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcp_analytics.archive import _books, _extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from bcp_analytics.archive._model import Archive


class Lake:
    """No lake; and what there is to be done for one. The chunk of each archive is the caller's."""

    def publish(self, archive: Archive) -> None:
        """Put an archive that is read back in the place of those of its chunk."""

    def replace(self, old: Archive, new: Archive) -> None:
        """Put an archive in the place of another."""

    def withdraw(self, archive: Archive) -> None:
        """Take out an archive whose files are about to go, and put back what it should not have replaced."""

    def complete(self) -> None:
        """Publish all that is proven and not there."""

    def forget(self) -> None:
        """Take all tables out of the catalogue."""


@contextmanager
def lake_of(conn: Connection[Any]) -> Iterator[Lake]:
    """Open the lake of a store."""
    [(catalog,)] = _books.call(conn, "select bcp_internal.lake()")
    if catalog is None:
        yield Lake()
        return
    _extra.check_iceberg()
    from bcp_analytics.archive import _iceberg, _tables  # noqa: PLC0415 - an extra

    with _iceberg.opened(conn, catalog) as opened:
        yield _tables.Tables(conn, opened)
