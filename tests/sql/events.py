"""Events and how to send and read them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
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


def something_to_answer(time: datetime) -> dict[str, list[dict[str, Any]]]:
    """Events of which every question has something to tell."""
    about = {"bcp_name": "files", "user_id": "u1", "session_id": "s1", "start_time": time.isoformat()}
    tools = {"tools": [{"name": "spare", "bytes": 120}]}
    definition = {
        "defines": "spare",
        "digest": f"of-{time:%j}",
        "response_data": {"description": f"Spare, as of day {time:%j}."},
        "response_bytes": 0,
    }
    return {
        "tool_usage": [
            about | {"tool_name": "tools/list", "operation": "tools/list", "response_data": tools},
            about
            | {
                "tool_name": "password",
                "operation": "login",
                "success": False,
                "duration_ms": 6000,
                "intent": "log in",
            },
            about | {"tool_name": "get_more_tools", "operation": "tools/call", "intent": "log out"},
            about | definition | {"tool_name": "tools/definition", "operation": "tools/list"},
        ],
        "errors": [KINDS["errors"] | {"timestamp": time.isoformat()}],
    }


def raw_calls_read(conn: psycopg.Connection[Any], query: str, before: str) -> int:
    """Count the raw calls that a query reads of chunks that end by `before`; the rest is from aggregates."""
    count = (
        "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int as n"
        " from pg_stat_xact_all_tables"
        " where relid in (select show_chunks('bcp.tool_usage_logs', older_than => %s::timestamptz))"
    )
    with conn.transaction():
        [already] = rows(conn, count, [before])
        conn.execute(query)  # type: ignore[arg-type]
        [then] = rows(conn, count, [before])
    return int(then["n"]) - int(already["n"])


def refresh(conn: psycopg.Connection[Any], name: str, since: Any, until: Any) -> None:
    """Refresh an aggregate in one go: in batches, years take TimescaleDB twenty times as long."""
    [batches] = rows(conn, "select bcp_internal.refreshes_in_batches() as are")
    once = """, options => '{"buckets_per_batch": 0}'""" if batches["are"] else ""
    conn.execute(
        f"call public.refresh_continuous_aggregate(%s::regclass, %s::timestamptz, %s::timestamptz{once})",  # type: ignore[arg-type]
        [f"bcp.{name}", since, until],
    )


def refresh_at_once(conn: psycopg.Connection[Any], *, added_later: bool = True) -> None:
    """Do as bcp.refresh_analytics_views, but have at once what that fills day by day, which takes seconds.

    Without `added_later` those aggregates stay empty, and what they are made from answers.
    """
    asked = rows(
        conn,
        "select a.name, bcp_internal.bucket_start(a.bucket, bcp_internal.now(), a.time_zone) as until,"
        " case when not a.all_time then bcp_internal.now() - bcp_internal.refresh_start(r.retention_days) end"
        " as since"
        " from bcp_internal.aggregates() a"
        " join bcp.data_retention_policies r on r.table_name = a.source_table"
        " where %s or not a.added_later order by a.ordinal",
        [added_later],
    )
    for one in asked:
        refresh(conn, one["name"], one["since"], one["until"])


def open_alert(conn: psycopg.Connection[Any]) -> None:
    """Open an alert that no rule asked for, and note that somebody was told."""
    conn.execute(
        "insert into bcp.alerts (rule_name, metric, severity, threshold, value, worst_value, calls,"
        " pending_since, opened_at, evaluated_at)"
        " values ('errors', 'error_rate', 'warning', 0.05, 0.2, 0.2, 50, now(), now(), now())"
    )
    conn.execute(
        "insert into bcp.notification_log (logged_at, channel_name, delivery_id, about, rule_name, attempt,"
        " status) values (now(), 'on-call', gen_random_uuid(), 'alerts', 'errors', 1, 'delivered')"
    )


def rows(conn: psycopg.Connection[Any], query: Any, params: Any = None) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cur:
        return cur.execute(query, params).fetchall()


def usage(**fields: Any) -> dict[str, Any]:
    return KINDS["tool_usage"] | fields


def reasons(conn: psycopg.Connection[Any]) -> list[str]:
    return [r["reason"] for r in rows(conn, "select reason from bcp.rejected_events")]


def loaded(conn: psycopg.Connection[Any], ago: timedelta = timedelta(0)) -> None:
    """Let the code have been loaded, and jobs be due, that long ago: the tests' own server may be older."""
    conn.execute("update bcp_migrations.loaded_sql set loaded_at = now() - %s", [ago])
    conn.execute("update _timescaledb_internal.bgw_job_stat set next_start = now() - %s", [ago])
