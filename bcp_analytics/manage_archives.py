"""Which chunks want an archive. `bcp_analytics.archive` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the types are to be read

from bcp_analytics._function import question


@dataclass(frozen=True, slots=True)
class ArchiveWanted:
    """A chunk that wants an archive: its table, and its range, the end exclusive."""

    table_name: str
    range_start: datetime
    range_end: datetime


@question(ArchiveWanted)
def archives_wanted(*, check_content: bool = True) -> None:
    """Say which chunks past retention have rows that no proven archive holds, the latest of a table first.

    It reads each of them whole; without `check_content` it only counts rows, and misses those that were
    changed after they were archived.
    """
