"""Upkeep: each function calls the SQL function or procedure of its name.

All take a psycopg connection first, sync or async, and raise psycopg's own errors, such as
`InsufficientPrivilege` for a role that may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from bcp_analytics._core.encode import text
from bcp_analytics._core.function import Arguments, procedure, question, scalar


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


@dataclass(frozen=True, slots=True)
class ArchiveWanted:
    """A chunk that wants an archive: its table, and its range, the end exclusive."""

    table_name: str
    range_start: datetime
    range_end: datetime


@dataclass(frozen=True, slots=True)
class CleanupCount:
    """How many rows of a table cleanup has removed."""

    table_name: str
    deleted_count: int


@dataclass(frozen=True, slots=True)
class ErasureCount:
    """How many rows of a table are a user's own."""

    table_name: str
    row_count: int


@procedure
def refresh_analytics_views() -> Arguments:
    """Bring every continuous aggregate up to the last bucket that is over, now.

    A job does it every five minutes, and answers are exact without it; but in views rows that come late, for
    a time that is already aggregated, show only after it. Only the role that migrated the database may. It
    commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is
    not.
    """
    return {}


@scalar(int)
def apply_policies() -> Arguments:
    """Carry out bcp.settings and bcp.data_retention_policies; for bcp_admin.

    Returns how many things that changed: 0 where all was as they say.
    """
    return {}


@question(CleanupStep)
def cleanup_plan() -> None:
    """Tell what `cleanup_old_data` would do now, and why it would keep what it would keep; for bcp_admin."""


@question(ArchiveWanted)
def archives_wanted(*, check_content: bool = True) -> None:
    """Say which chunks past retention have rows that no proven archive holds, the latest of a table first.

    `bcp_analytics.archive` makes them. It reads each of them whole; without `check_content` it only counts
    rows, and misses those that were changed after they were archived.
    """


@question(CleanupCount)
def cleanup_old_data() -> None:
    """Drop the chunks past their retention that may go, and delete old sessions; for bcp_admin.

    A chunk that is not aggregated yet, or not in a proven archive though its policy wants one, stays:
    `cleanup_plan` has the reason, and bcp.cleanup_log keeps it. A job does this every day.

    Raises `InvalidArgument` in a transaction that is repeatable read or serializable.
    """


@procedure
def run_cleanup() -> Arguments:
    """Aggregate what is past its retention and not yet aggregated, then do as `cleanup_old_data`.

    Only the role that migrated the database may. It commits along the way, so the connection must be in
    autocommit mode: raises `InvalidArgument` where it is not.
    """
    return {}


@scalar(int)
def rotate_anonymization_key() -> Arguments:
    """Make a new key for the anonymiser and return its number; for bcp_admin.

    From then on the same person has another hash.
    """
    return {}


@scalar(bool)
def enable_anonymization_pack(name: str) -> Arguments:
    """Switch on a pack of the anonymiser, "names" or "national_ids", from the next event on; for bcp_admin.

    Returns whether it was off. What is stored stays as it is until `anonymize_history`.

    Raises `InvalidArgument` where there is no such pack; bcp.anonymization_packs lists them.
    """
    return {"name": text("name", name)}


@scalar(bool)
def disable_anonymization_pack(name: str) -> Arguments:
    """Switch off a pack of the anonymiser, from the next event on; for bcp_admin. Returns whether it was on.

    Raises `InvalidArgument` where there is no such pack.
    """
    return {"name": text("name", name)}


@scalar(datetime)
def resolve_issue(fingerprint: str, *, notes: str | None = None, release: str | None = None) -> Arguments:
    """Say that an issue of `error_issues` is dealt with; for bcp_admin. Returns when that was: now.

    `release` is the one with the fix: errors of earlier ones, and of none, do not make the issue regress;
    without it any later error does. `notes` are masked.

    Raises `InvalidArgument` where there is no such issue.
    """
    return {"fingerprint": fingerprint, "notes": text("notes", notes), "release": text("release", release)}


@scalar(datetime)
def reopen_issue(fingerprint: str, *, notes: str | None = None) -> Arguments:
    """Take `resolve_issue` back; for bcp_admin. Returns when that was: now.

    Raises `InvalidArgument` where there is no such issue.
    """
    return {"fingerprint": fingerprint, "notes": text("notes", notes)}


@scalar(datetime)
def acknowledge_alert(alert_id: int, *, notes: str | None = None) -> Arguments:
    """Say that somebody takes an open alert of `active_alerts` on; for bcp_admin. Returns when: now.

    It stays open until its metric is well. `notes` are masked.

    Raises `InvalidArgument` where there is no such alert.
    """
    return {"alert_id": alert_id, "notes": text("notes", notes)}


@procedure
def erase_user(user_id: str, *, note: str | None = None) -> Arguments:
    """Erase a user: their calls, errors, sessions and all else, and what names them in other people's rows.

    `user_id` is the id as the application sends it, or as it is stored. Called again it goes on where it was
    interrupted. `bcp.erasures` has the receipt, and `find_erasure` its id: `unreached` names tables restored
    beside that may still hold them. Archives are rewritten after it.

    Only the role that migrated the database may. It commits along the way, so the connection must be in
    autocommit mode: raises `InvalidArgument` where it is not, and for an empty id.
    """
    return {"user_id": text("user_id", user_id), "note": text("note", note)}


@question(ErasureCount)
def erasure_plan(user_id: str) -> None:
    """Tell which rows `erase_user` would delete now: one row per table.

    Rows of other people that name the user are not counted. Only the role that migrated the database may.
    Raises `InvalidArgument` for an empty id.
    """


@scalar(UUID)
def find_erasure(user_id: str) -> Arguments:
    """Return the id of the latest receipt of a user's erasure in `bcp.erasures`, None where there is none.

    For bcp_admin. Raises `InvalidArgument` for an empty id.
    """
    return {"user_id": text("user_id", user_id)}


@scalar(str)
def hash_of(value: str, *, key: str | None = None) -> Arguments:
    """Return what the anonymiser writes for a value, so that calls about it can be found; for bcp_admin.

    An e-mail address gives `email#k1#bdmgvtpkrslhcfnq`; what no rule knows is returned as it is. `key` is the
    key that the value stood under, such as "login": some values are hashed there only. It is the hash of the
    key in use: after `rotate_anonymization_key` what came before has another one.
    """
    return {"value": text("value", value), "key": text("key", key)}


@procedure
def anonymize_history(
    *, older_than: timedelta | None = None, table: str | None = None, forget_users: bool = False
) -> Arguments:
    """Mask stored rows again, by the rules as they are now, chunk by chunk.

    `older_than`: only chunks whose rows are all older. `table`: of schema bcp; by default all that ingest
    fills. `forget_users` also takes away who it was from what is older: user, session, address and user
    agent; it needs `older_than`. What was interrupted goes on when it is called again, and chunks that the
    same rules have masked already are left out. Tables that archives were restored into beside are masked
    too: raises `ArchiveError`, at the end, where one of these cannot be.

    Only the role that migrated the database may. It commits along the way, so the connection must be in
    autocommit mode: raises `InvalidArgument` where it is not.
    """
    return {"older_than": older_than, "table": table, "forget_users": forget_users}
