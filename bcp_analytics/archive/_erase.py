"""Archives rewritten without the people that bcp.erase_user has erased from the tables.

Rows go into a temporary table, where the functions that erase from tables do the same to them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from bcp_analytics.archive import _books
from bcp_analytics.archive._export import dump, time_column_of
from bcp_analytics.archive._files import DayWriter
from bcp_analytics.archive._model import Progress
from bcp_analytics.archive._restore import fill, read
from bcp_analytics.archive._rewrite import put_in_place
from bcp_analytics.archive._store import Store
from bcp_analytics.errors import translated

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import Connection

    from bcp_analytics.archive._model import Watch

_RELATION = "pg_temp.bcp_restored"
# In a session of nobody else, a row without a user is the person's too.
_OWN: dict[str, LiteralString] = {
    "rejected_events": "delete from pg_temp.bcp_restored where event ->> 'user_id' = any(%s)"
    " or event ->> 'user_id' is null"
    " and coalesce(event ->> 'conversation_id', event ->> 'session_id') = any(%s)",
} | dict.fromkeys(
    ("tool_usage_logs", "error_logs"),
    "delete from pg_temp.bcp_restored where user_id = any(%s) or user_id is null and session_id = any(%s)",
)


def erase_pending(conn: Connection[Any], watch: Watch) -> int:
    """Rewrite what waits for an erasure, and return how many archives that were. The lock is the caller's.

    Where the role may not see what waits, nothing is done: erasures are the owner's.
    """
    may = _books.call(
        conn,
        "select has_function_privilege(p.oid, 'execute') from pg_proc p"
        " where p.pronamespace = 'bcp_internal'::regnamespace and p.proname = 'pending_erasures'",
    )
    if may != [(True,)]:
        return 0
    waiting: dict[UUID, list[tuple[UUID, list[str], list[str]]]] = {}
    for archive_id, *erasure in _books.call(
        conn, "select archive_id, erasure_id, forms, session_ids from bcp_internal.pending_erasures()"
    ):
        waiting.setdefault(archive_id, []).append(tuple(erasure))
    for number, (archive_id, erasures) in enumerate(waiting.items(), 1):
        _erase(conn, archive_id, erasures, (number, len(waiting)), watch)
    # Archives that were never finished wait for nothing any more.
    _books.call(
        conn,
        "select bcp_internal.settle_erasure(erasure_id) from bcp.erasures"
        " where erased_at is not null and completed_at is null",
    )
    return len(waiting)


def _erase(
    conn: Connection[Any],
    archive_id: UUID,
    erasures: list[tuple[UUID, list[str], list[str]]],
    place: tuple[int, int],
    watch: Watch,
) -> None:
    """Take all of them out of an archive at once, and note it."""
    old = _books.one(conn, archive_id)
    time_column = time_column_of(conn, old.table_name)

    def note() -> None:
        for erasure_id, _, _ in erasures:
            _books.call(conn, "select bcp_internal.archive_erased(%s, %s)", [erasure_id, archive_id])

    at = Progress(old, *place, "reading", 0, 0)
    with ExitStack() as kept, DayWriter(old, time_column) as writer:
        files = read(old, kept, at, watch)
        with translated(), conn.transaction():
            fill(conn, old, files, at, watch, to_erase=True)
            _books.call(conn, "select bcp_internal.check_restored(%s)", [archive_id])
            for _, forms, session_ids in erasures:
                if old.table_name in _OWN:
                    conn.execute(_OWN[old.table_name], [forms, session_ids])
                [(mention, without)] = _books.call(
                    conn,
                    "select bcp_internal.mention_of(r, f), bcp_internal.without_mentions(r, f)"
                    " from (values (%s::regclass, %s::text[])) as v (r, f)",
                    [_RELATION, forms],
                )
                if without:
                    conn.execute(
                        sql.SQL("update pg_temp.bcp_restored set {} where {}").format(
                            sql.SQL(without), sql.SQL(mention)
                        )
                    )
            meant = dump(conn, old, (_RELATION, time_column), writer, lambda _done, _of: None)
        put_in_place(conn, Store(old.location), (old, meant), writer, note)
