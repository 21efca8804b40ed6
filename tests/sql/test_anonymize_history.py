"""bcp.anonymize_history makes stored rows what ingest would make of them now, and forgets who it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bcp_analytics import upkeep
from bcp_analytics.errors import InvalidArgument
from tests.sql.erasing import RAW, from_raw, refresh_all
from tests.sql.events import ingest, rows, usage

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DAYS = [NOW - timedelta(days=days) for days in (60, 40, 10, 0)]
TABLES = (
    "tool_usage_logs",
    "error_logs",
    "performance_metrics",
    "rejected_events",
    "users",
    "user_sessions",
    "open_tool_calls",
    "error_issues",
    "issue_actions",
    "alerts",
    "ingest_batches",
    "collector_reports",
    "erasures",
)


def fill(conn: psycopg.Connection[Any]) -> None:
    calls, errors, metrics = [], [], []
    for n, day in enumerate(DAYS):
        at = (day - timedelta(hours=2)).isoformat()
        calls += [
            usage(
                start_time=at,
                user_id="TICKET-17",
                session_id=f"s-TICKET-17-{n}",
                parameters={"badge": f"b{n}", "about": f"TICKET-{n}", "nothing": None},
                response_data={"n": n},
                error_message=f"see TICKET-{n}",
                tool_name="TICKET-1 tool",
                ip_address="203.0.113.77",
                user_agent="agent",
                client_name="c",
                duration_ms=20,
                extra="TICKET-9",
            ),
            usage(
                start_time=at, user_id="bob", client_name="c", parameters={"to": "ada@example.com", "n": n}
            ),
            usage(start_time=at, user_id="TICKET-18", conversation_id="c-1", session_id="s-1"),
        ]
        errors.append(
            {
                "timestamp": at,
                "level": "error",
                "message": f"TICKET-{n} failed",
                "user_id": "bob",
                "context": {"n": 1},
            }
        )
        metrics.append({"timestamp": at, "metric_name": "m", "metric_value": 1, "labels": {"of": "TICKET-5"}})
    assert ingest(conn, calls)[3] == 0
    assert ingest(conn, errors, "errors")[3] == 0
    assert ingest(conn, metrics, "metrics")[3] == 0
    ingest(conn, [{"tool_name": "read", "badge": "x", "about": "TICKET-3"}])
    refresh_all(conn)
    for table in ("tool_usage_logs", "error_logs", "performance_metrics"):
        conn.execute(
            f"select public.compress_chunk(c) from public.show_chunks('bcp.{table}', older_than => %s) c",
            [NOW - timedelta(days=2)],
        )


def new_rules(conn: psycopg.Connection[Any]) -> None:
    conn.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('badge', 'exact')")
    conn.execute(
        "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, action)"
        " values ('ticket', 500, 'ticket', 'TICKET-[0-9]+', '{ticket-}', 'hash')"
    )
    conn.execute("update bcp.settings set value = '16' where name = 'ip_prefix_v4'")


def state(conn: psycopg.Connection[Any]) -> dict[str, list[str]]:
    return {
        table: sorted(repr(row["doc"]) for row in rows(conn, f"select to_jsonb(t) as doc from bcp.{table} t"))
        for table in (*TABLES, *RAW)
    }


def chunks(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    return rows(
        conn,
        "select hypertable_name, range_start, is_compressed from timescaledb_information.chunks"
        " where hypertable_schema = 'bcp' order by 1, 2",
    )


def test_rows_that_the_rules_have_masked_stay_as_they_are(clean_db: psycopg.Connection[Any]) -> None:
    fill(clean_db)
    before, compressed = state(clean_db), chunks(clean_db)
    upkeep.anonymize_history(clean_db)
    assert state(clean_db) == before
    assert chunks(clean_db) == compressed
    assert rows(clean_db, "select * from bcp_internal.pending_refreshes") == []


def test_new_rules_reach_stored_rows_and_aggregates(clean_db: psycopg.Connection[Any]) -> None:
    fill(clean_db)
    compressed = chunks(clean_db)
    new_rules(clean_db)
    upkeep.anonymize_history(clean_db)
    after = state(clean_db)
    assert "TICKET" not in repr(after)
    assert "'b1'" not in "".join(after["tool_usage_logs"])
    assert chunks(clean_db) == compressed
    found = rows(clean_db, "select * from bcp.tool_usage_logs where duration_ms = 20 order by start_time")
    assert len(found) == len(DAYS)
    for n, row in enumerate(found):
        assert row["parameters"]["badge"] == "[REDACTED]"
        assert row["parameters"]["about"].startswith("ticket#k1#")
        assert row["parameters"]["nothing"] is None
        assert row["response_data"] == {"n": n}
        assert str(row["ip_address"]) == "203.0.0.0/16"
        assert row["user_agent"] == "agent"
        assert row["lat_idx"] is not None
    # Every name of a user or session is one that is known.
    assert (
        rows(clean_db, "select from bcp.tool_usage_logs where user_id not in (select user_id from bcp.users)")
        == []
    )
    assert (
        rows(
            clean_db,
            "select from bcp.tool_usage_logs"
            " where session_id not in (select session_id from bcp.user_sessions)",
        )
        == []
    )
    for aggregate in RAW:
        materialized, raw = from_raw(clean_db, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate
        assert raw
    upkeep.anonymize_history(clean_db)
    assert state(clean_db) == after


def test_only_what_is_older_and_of_the_table_asked_for(clean_db: psycopg.Connection[Any]) -> None:
    fill(clean_db)
    before = state(clean_db)
    new_rules(clean_db)
    upkeep.anonymize_history(clean_db, older_than=timedelta(days=30), table="tool_usage_logs")
    after = state(clean_db)
    assert {table for table in TABLES if before[table] != after[table]} == {"tool_usage_logs"}
    times = rows(
        clean_db,
        "select start_time::date as day, count(*) filter (where t::text ~ 'TICKET') as open"
        " from bcp.tool_usage_logs t group by 1 order by 1",
    )
    assert [row["open"] for row in times] == [0, 0, 2, 2]
    for aggregate in RAW:
        materialized, raw = from_raw(clean_db, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate


def test_it_goes_on_where_it_was_interrupted(clean_db: psycopg.Connection[Any]) -> None:
    fill(clean_db)
    new_rules(clean_db)
    [(definition,)] = clean_db.execute(
        "select pg_get_functiondef('bcp_internal.mask_addresses'::regproc)"
    ).fetchall()
    clean_db.execute(
        "create or replace function bcp_internal.mask_addresses("
        "p_relation regclass, p_within text, p_write boolean)"
        " returns bigint language plpgsql as $$ begin"
        " if (select count(*) from bcp_internal.anonymize_progress) > 6"
        " then raise exception 'the power failed'; end if; return 0; end $$"
    )
    with pytest.raises(psycopg.Error, match="the power failed"):
        upkeep.anonymize_history(clean_db)
    done = rows(clean_db, "select * from bcp_internal.anonymize_progress order by 1, 2")
    assert len(done) == 7
    clean_db.execute(definition)
    upkeep.anonymize_history(clean_db)
    later = rows(clean_db, "select * from bcp_internal.anonymize_progress order by 1, 2")
    assert later[:7] == done
    assert len(later) == len(chunks(clean_db))
    assert "TICKET" not in repr(state(clean_db))
    for aggregate in RAW:
        materialized, raw = from_raw(clean_db, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate


@pytest.mark.native("the embedded database is one backend")
def test_who_is_deleted_meanwhile_stays_away(clean_db: psycopg.Connection[Any], dsn: str) -> None:
    fill(clean_db)
    new_rules(clean_db)
    blocked = "select cardinality(pg_blocking_pids(%s)) > 0 as blocked"
    with psycopg.connect(dsn) as cleanup, psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as thread:
        cleanup.execute("delete from bcp.users where user_id like 'TICKET%'")
        masking = thread.submit(clean_db.execute, "select bcp_internal.mask_table('users', 'infinity')")
        while not rows(other, blocked, [clean_db.info.backend_pid])[0]["blocked"]:
            assert not masking.done()
        cleanup.commit()
        assert masking.result(timeout=60).fetchall()
    assert rows(clean_db, "select user_id from bcp.users") == [{"user_id": "bob"}]


def test_who_it_was_is_forgotten_and_what_happened_stays(clean_db: psycopg.Connection[Any]) -> None:
    fill(clean_db)
    what = (
        "select to_jsonb(t) - '{user_id,session_id,ip_address,user_agent,attributes}'::text[] as doc"
        " from bcp.tool_usage_logs t order by start_time, event_id"
    )
    before, compressed = rows(clean_db, what), chunks(clean_db)
    young = rows(
        clean_db,
        "select to_jsonb(t) as doc from bcp.tool_usage_logs t where start_time > %s",
        [DAYS[2] - timedelta(days=1)],
    )
    totals = "select * from bcp.tool_usage_1d order by 1, 2, 3, 4"
    counted = rows(clean_db, totals)

    upkeep.anonymize_history(clean_db, older_than=timedelta(days=30), forget_users=True)

    assert rows(clean_db, what) == before
    assert rows(clean_db, totals) == counted
    assert chunks(clean_db) == compressed
    assert (
        rows(
            clean_db,
            "select to_jsonb(t) as doc from bcp.tool_usage_logs t where start_time > %s",
            [DAYS[2] - timedelta(days=1)],
        )
        == young
    )
    old = "from bcp.{} t where {} < now() - interval '30 days'"
    for table, time in (("tool_usage_logs", "start_time"), ("error_logs", '"timestamp"')):
        assert (
            rows(
                clean_db,
                f"select {old.format(table, time)} and (user_id, session_id) is distinct from (null, null)",
            )
            == []
        )
    assert (
        rows(
            clean_db,
            f"select {old.format('tool_usage_logs', 'start_time')}"
            " and (num_nonnulls(ip_address, user_agent) > 0 or attributes ? 'session_id')",
        )
        == []
    )
    assert (
        rows(clean_db, f"select {old.format('tool_usage_logs', 'start_time')} and attributes ? 'extra'") != []
    )
    assert rows(clean_db, f"select {old.format('users', 'last_seen')}") == []
    assert rows(clean_db, f"select {old.format('user_sessions', 'last_activity')}") == []
    assert rows(clean_db, "select from bcp.users") != []
    for aggregate in RAW:
        materialized, raw = from_raw(clean_db, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate
    assert rows(clean_db, "select min(bucket) as day from bcp.user_activity_1d") == [
        {"day": DAYS[2].replace(hour=0)}
    ]


@pytest.mark.parametrize(
    "arguments",
    [{"table": "settings"}, {"forget_users": True}, {"older_than": timedelta(days=-1)}],
)
def test_what_makes_no_sense_is_refused(clean_db: psycopg.Connection[Any], arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        upkeep.anonymize_history(clean_db, **arguments)
