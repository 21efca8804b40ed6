"""A store with a person in it, and what is left of them: for the tests of erasing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from bcp_analytics import ingest as send
from bcp_analytics import upkeep
from tests.sql.events import ingest, refresh, rows, usage

JANE = "Jane.Roe@example.com"
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
# The oldest first: before the range of refreshes, in it and compressed, in it and not compressed.
DAYS = [NOW - timedelta(days=days) for days in (95, 94, 40, 3, 0)]
# How each aggregate's answer is computed from the rows themselves.
RAW = {
    "tool_usage_1m": ("tool_usage_logs", "1 minute", "calls", "bcp_name, tool_name, operation"),
    "tool_usage_1h": ("tool_usage_logs", "1 hour", "calls", "bcp_name, tool_name, operation"),
    "tool_usage_1d": ("tool_usage_logs", "1 day", "calls", "bcp_name, tool_name, operation"),
    "tool_stats_1h": ("tool_usage_logs", "1 hour", "calls", "bcp_name, tool_name"),
    "tool_stats_1d": ("tool_usage_logs", "1 day", "calls", "bcp_name, tool_name"),
    "user_usage_1d": ("tool_usage_logs", "1 day", "calls", "user_id, tool_name, outcome"),
    "client_usage_1d": ("tool_usage_logs", "1 day", "calls", "operation, client_name, client_model"),
    "client_tool_usage_1d": ("tool_usage_logs", "1 day", "calls", "tool_name, client_name"),
    "user_activity_1d": ("tool_usage_logs", "1 day", "calls", "user_id"),
    "user_totals_1d": ("tool_usage_logs", "1 day", "calls", "user_id"),
    "session_activity_1d": ("tool_usage_logs", "1 day", "calls", "session_id"),
    "session_steps_1d": ("tool_usage_logs", "1 day", "calls", "session_id"),
    "errors_1h": ("error_logs", "1 hour", "errors", "level, error_type"),
    "errors_1d": ("error_logs", "1 day", "errors", "level, error_type"),
    # Their levels are numbers.
    "error_totals_1d": ("error_logs", "1 day", "errors", "error_type is null, error_type"),
    "errors_1d_packed": ("error_logs", "1 day", "errors", "error_type is null, error_type"),
    "metrics_1m": ("performance_metrics", "1 minute", "samples", "metric_name, labels"),
    "metrics_1d": ("performance_metrics", "1 day", "samples", "metric_name, labels"),
}


def stored_as(conn: psycopg.Connection[Any], user_id: str) -> str:
    [(stored,)] = conn.execute(
        "select bcp_internal.anonymize_json(jsonb_build_object('user_id', %s::text)) ->> 'user_id'", [user_id]
    ).fetchall()
    return str(stored)


def refresh_all(conn: psycopg.Connection[Any]) -> None:
    """Make every aggregate from all that there is, below the horizon of the policies too."""
    [(until,)] = conn.execute("select now()").fetchall()
    for (name,) in conn.execute("select name from bcp_internal.aggregates() order by ordinal").fetchall():
        refresh(conn, name, None, until)


def fill(conn: psycopg.Connection[Any], jane: str = JANE) -> None:
    """Calls, errors, metrics, sessions of Jane, of Bob, of both, and of Bob about Jane; in all states."""
    conn.execute("update bcp.settings set value = '4000 days' where name = 'max_event_age'")
    calls, errors, metrics = [], [], []
    for n, day in enumerate(DAYS):
        for minute in range(6):
            at = (day - timedelta(minutes=200 - 7 * minute)).isoformat()
            who = (jane, "bob", "carol")[minute % 3]
            calls.append(usage(start_time=at, user_id=who, session_id=f"s-{who}-{n}", duration_ms=100 * n))
        at = (day - timedelta(minutes=100)).isoformat()
        calls += [
            usage(start_time=at, user_id="bob", session_id=f"both-{n}"),
            usage(start_time=at, session_id=f"s-{jane}-{n}"),
            usage(
                start_time=at,
                user_id="bob",
                parameters={"to": [jane, "x"], "nested": f'{{"peer": "{jane}"}}', "note": f"ask {jane}!"},
                response_data={jane: 1, "n": 17},
                error_message=f"no such user: {jane}",
                extra={"owner": jane},
            ),
        ]
        for who, level in ((jane, "error"), ("bob", "warn"), ("bob", "error")):
            errors.append(
                {
                    "timestamp": at,
                    "level": level,
                    "message": f"failed for {jane if who == jane else 'bob'} in step {n}",
                    "error_type": "Timeout",
                    "user_id": who,
                    "session_id": f"s-{who}-{n}",
                    "context": {"for": jane if level == "warn" else "all"},
                }
            )
        errors.append({"timestamp": at, "level": "error", "message": "only hers", "user_id": jane})
        metrics += [
            {"timestamp": at, "metric_name": "m", "metric_value": 1, "labels": {"user": jane}},
            {"timestamp": at, "metric_name": "m", "metric_value": 2, "labels": {"user": "bob"}},
        ]
    # Her call comes first, so that the session is hers.
    ingest(
        conn,
        [
            usage(
                start_time=(day - timedelta(minutes=99)).isoformat(),
                user_id=jane,
                session_id=f"both-{n}",
                success=False,
            )
            for n, day in enumerate(DAYS)
        ],
    )
    assert ingest(conn, calls)[3] == 0
    assert ingest(conn, errors, "errors")[3] == 0
    assert ingest(conn, metrics, "metrics")[3] == 0
    ingest(conn, [{"tool_name": "read", "user_id": jane}, {"tool_name": "read", "about": jane}])
    send.begin_tool_call(conn, "files", "read", user_id=jane)
    send.begin_tool_call(conn, "files", "read", user_id="bob", parameters={"to": jane})
    [(fingerprint,)] = conn.execute(
        "select fingerprint from bcp.error_issues where message = 'only hers'"
    ).fetchall()
    upkeep.resolve_issue(conn, fingerprint, notes=f"told {jane}")
    refresh_all(conn)
    # Statistics outlive the rows: those of a chunk move to the columnstore, and nobody analyses it again.
    conn.execute("analyze")
    for table in ("tool_usage_logs", "error_logs", "performance_metrics"):
        conn.execute(
            f"select public.compress_chunk(c) from public.show_chunks('bcp.{table}', older_than => %s) c",
            [NOW - timedelta(days=2)],
        )
    conn.execute(
        "select public.compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
        " from timescaledb_information.chunks c join timescaledb_information.continuous_aggregates a"
        " on a.materialization_hypertable_name = c.hypertable_name"
        " where a.view_name = 'tool_usage_1m' and c.range_end < now()"
    )


def relations(conn: psycopg.Connection[Any]) -> list[sql.Identifier]:
    """Every table with rows of ours, chunks and what is compressed of them among them."""
    found = conn.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('bcp', 'bcp_internal', '_timescaledb_internal') and c.relkind = 'r'"
        # A relation of this kind cannot be read, and has no rows of its own.
        " and c.relname not like '\\_compressed\\_hypertable%'"
    ).fetchall()
    assert len(found) > 30
    return [sql.Identifier(*name) for name in found]


def mentions(conn: psycopg.Connection[Any], *needles: str) -> list[str]:
    """Rows, as COPY writes them, with one of the needles in it."""
    found = []
    views = [
        sql.Identifier("bcp", name)
        for (name,) in conn.execute(
            "select view_name from timescaledb_information.continuous_aggregates where view_schema = 'bcp'"
        ).fetchall()
    ]
    for relation in [*relations(conn), *views, sql.Identifier("pg_catalog", "pg_stats")]:
        # Copy from a select: a plain copy of a hypertable leaves out its chunks.
        query = sql.SQL("copy (select * from {}) to stdout").format(relation)
        with conn.cursor() as cur, cur.copy(query) as copy:
            for row in copy:
                text = bytes(row).decode()
                if any(needle.lower() in text.lower() for needle in needles):
                    found.append(f"{relation.as_string(None)}: {text}")
    return found


def from_raw(conn: psycopg.Connection[Any], aggregate: str, since: datetime) -> tuple[Any, Any]:
    table, width, count, columns = RAW[aggregate]
    time = "start_time" if table == "tool_usage_logs" else '"timestamp"'
    first = columns.split(",")[0]
    materialized = conn.execute(
        f"select bucket, {columns}, sum({count})::int from bcp.{aggregate} where bucket >= %s"  # type: ignore[arg-type]
        f" and bucket < public.time_bucket('{width}', now()) group by bucket, {columns} order by 1, 2, 3",
        [since],
    ).fetchall()
    raw = conn.execute(
        f"select public.time_bucket('{width}', {time}), {columns}, count(*)::int from bcp.{table}"  # type: ignore[arg-type]
        f" where {time} >= %s and {time} < public.time_bucket('{width}', now()) and {first} is not null"
        f" group by 1, {columns} order by 1, 2, 3",
        [since],
    ).fetchall()
    return materialized, raw


def others(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """All columns of the rows that are neither Jane's nor about her."""
    query = (
        "select to_jsonb(t) as row from bcp.tool_usage_logs t where user_id in ('bob', 'carol')"
        " and error_message is null union all"
        " select to_jsonb(e) from bcp.error_logs e where user_id = 'bob' and level = 'error' union all"
        " select to_jsonb(m) from bcp.performance_metrics m where labels ->> 'user' = 'bob' union all"
        " select to_jsonb(u) from bcp.users u where user_id in ('bob', 'carol') union all"
        " select to_jsonb(s) from bcp.user_sessions s where session_id like 's-bob-%'"
    )
    return sorted(rows(conn, query), key=repr)
