"""Who plays which role: as one who logged in with it, so that `session_user` is the role too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

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
