"""Upkeep of what is masked: keys, packs, erasure, history."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from bcp_analytics._core.arguments import Id
from bcp_analytics._core.function import Arguments, procedure, question, scalar, scalar_or_none


@scalar(int)
def rotate_anonymization_key() -> Arguments:
    """Makes a new key for the keyed hashes and returns its number, which every hash made with it shows.

    From then on the same person has another hash. For bcp_admin.
    """
    return locals()


@scalar(bool)
def enable_anonymization_pack(name: str) -> Arguments:
    """Puts the keys and rules of a pack of bcp.anonymization_packs in force, from the next event on, and
    returns whether they were not in force before.

    Stored rows stay as they are until `anonymize_history`. For bcp_admin. Raises `InvalidArgument` where
    there is no such pack.
    """
    return locals()


@scalar(bool)
def disable_anonymization_pack(name: str) -> Arguments:
    """Takes the keys and rules of a pack of bcp.anonymization_packs out of force, from the next event on, and
    returns whether they were in force.

    For bcp_admin. Raises `InvalidArgument` where there is no such pack.
    """
    return locals()


@procedure
def erase_user(user_id: Id, *, note: str | None = None) -> Arguments:
    """Erases a user: deletes the calls, errors, sessions and everything else that is theirs, and writes
    [ERASED] where rows of other people name them, chunk by chunk.

    `user_id` is the id as the application sends it, or as it is stored. `erasure_plan` says beforehand what
    it would delete. Called again, it continues where it was interrupted. `find_erasure` returns the id of the
    receipt in bcp.erasures, which names restored tables that it could not reach. Archives are rewritten after
    it. Only the role that migrated the database may call it. Raises `InvalidArgument` for an empty id. It
    commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is
    not.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ErasureCount:
    """How many rows of a table are a user's own."""

    table_name: str
    row_count: int


@question(ErasureCount)
def erasure_plan(user_id: Id) -> Arguments:
    """What would erase_user(`user_id`) delete now?

    One row per table with rows of users, and how many of them are the user's own; those of sessions in which
    nobody else was count too. Rows of other people that name the user change as well, as do aggregates and
    archives, but these are not counted. Reads all calls and errors. Only the role that migrated the database
    may call it. Raises `InvalidArgument` as `erase_user`.
    """
    return locals()


@scalar_or_none(UUID)
def find_erasure(user_id: Id) -> Arguments:
    """The latest erasure of a user, by the id as an application sends it or as it was stored; None if there
    was none.

    bcp.erasures has its receipt. Raises `InvalidArgument` for an empty id. For bcp_admin.
    """
    return locals()


@scalar(str)
def hash_of(value: str, *, key: str | None = None) -> Arguments:
    """What the anonymiser writes in place of a value, such as email#k1#bdmgvtpkrslhcfnq for an e-mail
    address, so that calls about it can be found; the value itself where no rule knows it.

    `key` is the key that the value stood under, such as login, because some values are hashed only there.
    Only bcp_admin may call it, as it tells whether somebody is in the store. The hash is of the key in use:
    values stored before `rotate_anonymization_key` have another one.
    """
    return locals()


@procedure
def anonymize_history(
    *, older_than: timedelta | str | None = None, table: str | None = None, forget_users: bool = False
) -> Arguments:
    """Masks stored rows again by the present rules, chunk by chunk: all rows, or those older than
    `older_than`, of one table or of all.

    With `forget_users`, older rows also lose user, session, address and user agent. Called again, it
    continues where it was interrupted, and leaves out chunks that the same rules have masked. Restored tables
    are masked too; `ArchiveError`, at the end, if one cannot be. Only the role that migrated the database may
    call it. It commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument`
    where it is not.
    """
    return locals()
