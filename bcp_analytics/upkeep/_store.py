"""Upkeep of the store itself: refresh, policies, cleanup and what waits for the archive."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bcp_analytics._core.function import Arguments, procedure, question, scalar


@procedure
def refresh_analytics_views() -> Arguments:
    """Refreshes every continuous aggregate up to the last bucket that is over.

    Jobs do that every five minutes, and every hour for days of users and sessions; answers are up to date
    without it. But in views, rows that come late, for a time that is already aggregated, show only after it.
    Only the role that migrated the database may call it. It commits along the way, so the connection must be
    in autocommit mode: raises `InvalidArgument` where it is not.
    """
    return locals()


@scalar(int)
def apply_policies() -> Arguments:
    """Puts bcp.settings and bcp.data_retention_policies into effect, and returns how many things it changed;
    0 if everything was as they say.

    A change of bcp.data_retention_policies calls it by itself. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class CleanupStep:
    """What cleanup would do with a chunk past its retention, or with old sessions."""

    table_name: str
    range_start: datetime | None
    """Start of the chunk, inclusive; None for sessions, as the two after it."""
    range_end: datetime | None
    """End of the chunk, exclusive."""
    row_count: int
    bytes: int | None
    """Size of the chunk with its indexes, in bytes."""
    action: Literal["dropped", "deleted", "kept"]
    reason: str
    """Why."""


@question(CleanupStep)
def cleanup_plan() -> Arguments:
    """What would `cleanup_old_data` do now?

    One row per chunk past its retention: dropped or kept, with the reason, its rows and its bytes. One row
    each for the sessions, the calls that never ended and the days of users and of sessions that it would
    delete. Reads each chunk that has an archive, as cleanup does. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ArchiveWanted:
    """A chunk that wants an archive: its table, and its range, the end exclusive."""

    table_name: str
    range_start: datetime
    range_end: datetime


@question(ArchiveWanted)
def archives_wanted(*, check_content: bool = True) -> Arguments:
    """Which chunks need an archive?

    Chunks past their retention, of tables whose policy wants an archive first, whose rows as they are now are
    not all in proven archives; the latest of each table first. bcp-analytics archive makes the archives.
    Reads each chunk past its retention; with check_content=False it only counts rows, and misses rows that
    have changed. For bcp_reader.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class CleanupCount:
    """How many rows of a table cleanup has removed."""

    table_name: str
    deleted_count: int


@question(CleanupCount)
def cleanup_old_data() -> Arguments:
    """Drops the chunks past their retention (bcp.data_retention_policies) that may go, deletes old sessions
    and calls that never ended, and returns how many rows went, one row per table with cleanup.

    A chunk stays if it is not aggregated yet, or if its policy wants an archive and no proven one holds it;
    bcp.cleanup_log has the reason, and NOTIFY bcp_archive asks for the archive. Irreversible, except by
    bcp-analytics restore. `cleanup_plan` shows what it would do. A job does the same every day. Raises
    `InvalidArgument` in a transaction that is repeatable read or serializable. For bcp_admin.
    """
    return locals()


@procedure
def run_cleanup() -> Arguments:
    """Aggregates what is past its retention and not yet aggregated, then does the same as `cleanup_old_data`
    in many short transactions.

    A job calls it every day. Only the owner may call it by hand, in autocommit mode. It commits along the
    way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is not.
    """
    return locals()
