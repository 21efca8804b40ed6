"""Who plays which role: as one who logged in with it, so that `session_user` is the role too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.errors import InsufficientPrivilege

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@contextmanager
def logged_in_as(conn: psycopg.Connection[Any], role: str, **settings: str) -> Iterator[None]:
    """Act as the role, in a session that has these settings; both end with the block."""
    conn.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
    names = [name.replace("__", ".") for name in settings]
    for name, value in zip(names, settings.values(), strict=True):
        conn.execute("select set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        for name in names:
            conn.execute("select set_config(%s, null, false)", [name])
        conn.execute("reset session authorization")


@contextmanager
def acting_as(conn: psycopg.Connection[Any], role: str | None) -> Iterator[None]:
    """Act as a role that was granted `role`, or nothing."""
    conn.execute("create role bcp_test_user")
    if role is not None:
        conn.execute(sql.SQL("grant {} to bcp_test_user").format(sql.Identifier(role)))
    conn.execute("set role bcp_test_user")
    try:
        yield
    finally:
        conn.execute("reset role")
        conn.execute("drop owned by bcp_test_user; drop role bcp_test_user")


def refused(conn: psycopg.Connection[Any], query: str) -> bool:
    """Whether a statement is not allowed; what it does is taken back where it is."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(query)  # type: ignore[arg-type]
    except InsufficientPrivilege:
        return True
    return False
