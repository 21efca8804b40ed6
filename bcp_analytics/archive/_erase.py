"""Archives without the people whom bcp.erase_user has erased."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from bcp_analytics.archive import _books
from bcp_analytics.archive._rewrite import rewritten

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from psycopg import Connection


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom to leave out, as bcp_internal.pending_erasures says."""

    erasures: tuple[UUID, ...]
    table: str
    forms: frozenset[str]
    sessions: frozenset[str]


def erased(conn: Connection[Any], progress: Callable[[int, int], None]) -> int:
    """Rewrite every archive that waits for an erasure; see `bcp_analytics.archive.erase`."""
    waiting = _waiting(conn)
    for done, (archive_id, person) in enumerate(waiting.items()):
        progress(done, len(waiting))
        edit = _Edit(conn, person)
        new = rewritten(conn, archive_id, edit)
        for erasure in person.erasures:
            _books.call(
                conn,
                "select bcp_internal.archive_erased(%s, %s)",
                [erasure, new.archive_id if new else archive_id],
            )
    progress(len(waiting), len(waiting))
    return len(waiting)


def _waiting(conn: Connection[Any]) -> dict[UUID, _Person]:
    """Return the archives to rewrite, each once, with all the people to leave out."""
    found: dict[UUID, _Person] = {}
    for erasure, archive_id, table, forms, sessions in _books.call(
        conn,
        "select erasure_id, archive_id, table_name, forms, session_ids from bcp_internal.pending_erasures()",
        [],
    ):
        other = found.get(archive_id, _Person((), table, frozenset(), frozenset()))
        found[archive_id] = _Person(
            (*other.erasures, erasure), table, other.forms | set(forms), other.sessions | set(sessions)
        )
    return found


class _Edit:
    """Leaves out the rows of the person, and replaces what names them in the rows of others."""

    def __init__(self, conn: Connection[Any], person: _Person) -> None:
        self._conn = conn
        self._person = person
        self._kinds: dict[str, str] = dict(
            _books.call(
                conn,
                "select column_name, kind"
                " from bcp_internal.written_columns(format('bcp.%%I', %s::text)::regclass)",
                [person.table],
            )
        )
        self._patterns = _books.call(
            conn,
            "select pattern, replacement, likes, is_long from bcp_internal.erasure_patterns(%s)",
            [sorted(person.forms)],
        )

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        kept = batch.filter(pc.invert(self._own(batch)))
        columns = [
            self._without_mentions(column, self._kinds[name]) if name in self._kinds else column
            for name, column in zip(kept.schema.names, kept.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _own(self, batch: pa.RecordBatch) -> pa.Array:
        """Which rows are theirs: as bcp_internal.erase_chunk says."""
        if "event" in batch.schema.names:
            events = [json.loads(text) for text in batch.column("event").to_pylist()]
            return pa.array([self._is_own(event) for event in events], pa.bool_())
        if "user_id" not in batch.schema.names:
            return pa.repeat(pa.scalar(value=False), batch.num_rows)
        users, sessions = batch.column("user_id"), batch.column("session_id")
        by_user = _is_in(users, self._person.forms)
        return pc.or_(by_user, pc.and_(pc.is_null(users), _is_in(sessions, self._person.sessions)))

    def _is_own(self, event: object) -> bool:
        if not isinstance(event, dict):
            return False
        user = event.get("user_id")
        if user is not None:
            return user in self._person.forms
        return (event.get("conversation_id") or event.get("session_id")) in self._person.sessions

    def _without_mentions(self, column: pa.Array, kind: str) -> pa.Array:
        patterns = [p for p in self._patterns if p[3] or kind != "name"]
        likes = [like for p in patterns for like in p[2]]
        if not likes or column.null_count == len(column):
            return column
        candidates = pc.match_like(column, likes[0])
        for like in likes[1:]:
            candidates = pc.or_(candidates, pc.match_like(column, like))
        places = pc.indices_nonzero(pc.fill_null(candidates, fill_value=False))
        if not len(places):
            return column
        # By the functions that erased the rows in the database, so that both are erased alike.
        erase = sql.SQL(
            "select bcp_internal.{}(t::{}, %s, %s)::text from unnest(%s::text[]) with ordinality as u (t, n)"
            " order by n"
        ).format(
            sql.Identifier("erased_json" if kind == "json" else "erased_text"),
            sql.SQL("jsonb" if kind == "json" else "text"),
        )
        values = column.to_pylist()
        with self._conn.transaction(), Cursor(self._conn, row_factory=tuple_row) as cur:
            cur.execute(
                erase,
                [[p[0] for p in patterns], [p[1] for p in patterns], column.take(places).to_pylist()],
            )
            for place, (text,) in zip(places.to_pylist(), cur.fetchall(), strict=True):
                values[place] = text
        return pa.array(values, column.type)


def _is_in(column: pa.Array, values: frozenset[str]) -> pa.Array:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))
