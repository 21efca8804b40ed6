"""What can go wrong, and the SQLSTATEs that stand for it.

All SQLSTATEs of our own are of class `ZB`; this is their one list:

| SQLSTATE | exception | raised where |
|---|---|---|
| ZB001 | `InvalidBatch` | a batch is not a JSON array |
| ZB002 | `InvalidArgument` | an argument of a question or of an ingest function is out of its bounds |
| ZB003 | `InvalidSetting` | `bcp.settings` has no such row, or a value that cannot be used |
| ZB004 | `UnsupportedServer` | the server cannot hold the store (raised before anything is changed) |
| ZB005 | `InvalidDocument` | an event, or JSON in it, is of the wrong shape, too deep or too large |
| ZB006 | `AnonymizerFailed` | a rule cannot be used or none is left, or there is no key: nothing was stored |
| ZB007 | `ArchiveError` | an archive is not what its manifest says, or is not to be touched |
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


class BcpAnalyticsError(Exception):
    """Base of every error of this package.

    `message` says what happened and why, `detail` adds to it, `hint` says what to do; `str()` joins them.
    `sqlstate` is the SQLSTATE that stands for the error, None where it did not come from the database.
    """

    sqlstate: str | None = None

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, sqlstate: str | None = None
    ) -> None:
        """Keep the parts; `detail` and `hint` may be None."""
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        if sqlstate is not None:
            self.sqlstate = sqlstate

    def __str__(self) -> str:
        """Join the parts that are there, one per line."""
        return "\n".join(part for part in (self.message, self.detail, self.hint) if part)


# The names are the SQLSTATE list's, so that one can be found from the other.
class InvalidBatch(BcpAnalyticsError):  # noqa: N818
    """A batch is not a JSON array."""

    sqlstate = "ZB001"


class InvalidArgument(BcpAnalyticsError):  # noqa: N818
    """An argument is out of its bounds."""

    sqlstate = "ZB002"


class InvalidSetting(BcpAnalyticsError):  # noqa: N818
    """A setting is missing or has a value that cannot be used."""

    sqlstate = "ZB003"


class UnsupportedServer(BcpAnalyticsError):  # noqa: N818
    """The server cannot hold the store; nothing was changed."""

    sqlstate = "ZB004"


class InvalidDocument(BcpAnalyticsError):  # noqa: N818
    """An event, or JSON in it, is of the wrong shape, too deep or too large."""

    sqlstate = "ZB005"


class AnonymizerFailed(BcpAnalyticsError):  # noqa: N818
    """The anonymiser could not work, so nothing was stored."""

    sqlstate = "ZB006"


class ArchiveError(BcpAnalyticsError):
    """An archive could not be written, or is not what its manifest says; what was proven before still is."""

    sqlstate = "ZB007"


class MigrationError(BcpAnalyticsError):
    """A migration or a file of `sql/` failed, or the files do not fit what the database has."""


BY_SQLSTATE: dict[str | None, type[BcpAnalyticsError]] = {
    kind.sqlstate: kind
    for kind in (
        *(InvalidBatch, InvalidArgument, InvalidSetting, UnsupportedServer),
        *(InvalidDocument, AnonymizerFailed, ArchiveError),
    )
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own exception in place of a psycopg error with a SQLSTATE of class ZB; others pass unchanged.

    The exception keeps the server's message, detail and hint, and has psycopg's as its cause.
    """
    try:
        yield
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith("ZB"):
            raise
        kind = BY_SQLSTATE.get(error.sqlstate, BcpAnalyticsError)
        diag = error.diag
        raise kind(
            diag.message_primary or str(error),
            detail=diag.message_detail,
            hint=diag.message_hint,
            sqlstate=error.sqlstate,
        ) from error
