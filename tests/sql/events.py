"""Events and how to send and read them."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

NOW = "2026-06-15T12:00:00Z"
KINDS = {
    "tool_usage": {"bcp_name": "files", "tool_name": "read"},
    "errors": {"level": "error", "message": "it broke"},
    "metrics": {"metric_name": "queue_ms", "metric_value": 1.5},
    "sessions": {"session_id": "s1"},
}


def ingest(
    conn: psycopg.Connection[Any], events: Any, kind: str = "tool_usage", batch: str | None = None
) -> tuple[int, int, int, int]:
    text = events if isinstance(events, str) else json.dumps(events)
    with conn.cursor(row_factory=tuple_row) as cur:
        row = cur.execute(
            sql.SQL("select accepted, stored, duplicates, rejected from bcp.{}(%s, %s::text)").format(
                sql.Identifier(f"ingest_{kind}")
            ),
            [batch, text],
        ).fetchone()
    assert row is not None
    assert row[0] == row[1] + row[2] + row[3]
    return row


def rows(conn: psycopg.Connection[Any], query: Any, params: Any = None) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cur:
        return cur.execute(query, params).fetchall()


def usage(**fields: Any) -> dict[str, Any]:
    return KINDS["tool_usage"] | fields


def reasons(conn: psycopg.Connection[Any]) -> list[str]:
    return [r["reason"] for r in rows(conn, "select reason from bcp.rejected_events")]
