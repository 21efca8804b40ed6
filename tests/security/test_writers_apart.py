"""Writers who share a store: none changes another one's report, or says whose another one's session is."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.sql.events import NOW, ingest, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    Db = psycopg.Connection[Any]


@pytest.fixture
def conn(db: Db) -> Db:
    db.execute("create role bcp_test_first; create role bcp_test_second")
    db.execute("grant bcp_writer to bcp_test_first, bcp_test_second")
    return db


@contextmanager
def login(conn: Db, role: str) -> Iterator[None]:
    conn.execute(sql.SQL("set local session authorization {}").format(sql.Identifier(f"bcp_test_{role}")))
    try:
        yield
    finally:
        conn.execute("reset session authorization")


def test_the_books_say_who_was_logged_in(conn: Db) -> None:
    for role in ("first", "second"):
        with login(conn, role):
            conn.execute("select bcp.report_collector('mail', %s, p_dropped => 3)", [uuid.uuid4()])
            conn.execute("select bcp.ingest_metrics(null, '[{}]'::jsonb, 'mail')")
    query = "select source, sent_by, rejected, dropped from bcp.ingest_ledger order by sent_by"
    assert rows(conn, query) == [
        {"source": "mail", "sent_by": f"bcp_test_{role}", "rejected": 1, "dropped": 3}
        for role in ("first", "second")
    ]
    assert {r["sent_by"] for r in rows(conn, "select sent_by from bcp.rejected_events")} == {
        "bcp_test_first",
        "bcp_test_second",
    }


def test_a_report_is_changed_by_who_made_it(conn: Db) -> None:
    instance = uuid.uuid4()
    report = "select bcp.report_collector('mail', %s, p_dropped => %s)"
    with login(conn, "first"):
        conn.execute(report, [instance, 1])
        conn.execute(report, [instance, 2])
    conn.execute("update bcp.collector_reports set reported_at = now() - interval '91 days'")
    with login(conn, "second"):
        with pytest.raises(psycopg.Error, match="of another role") as raised, conn.transaction():
            conn.execute(report, [instance, 3])
        # Nor is it removed, old as it is.
        conn.execute(report, [uuid.uuid4(), 4])
    assert raised.value.sqlstate == "ZB002"
    assert rows(conn, "select dropped from bcp.collector_reports order by 1") == [
        {"dropped": 2},
        {"dropped": 4},
    ]


def test_whose_session_it_is_says_the_role_that_began_it(conn: Db) -> None:
    call = {"bcp_name": "files", "tool_name": "read", "session_id": "s"}
    with login(conn, "first"):
        ingest(conn, [call])
    with login(conn, "second"):
        ingest(conn, [call | {"user_id": "mallory", "client_name": "evil"}])
        ingest(
            conn,
            [{"session_id": "s", "user_id": "mallory", "ended_at": "2020-01-01T00:00:00Z", "x": 1}],
            "sessions",
        )
    query = (
        "select user_id, client_name, ended_at, attributes, tool_calls_count as calls from bcp.user_sessions"
    )
    nobody = {"user_id": None, "client_name": None, "ended_at": None, "attributes": None, "calls": 2}
    assert rows(conn, query) == [nobody]
    with login(conn, "first"):
        ingest(conn, [call | {"user_id": "ada", "client_name": "desk"}])
    assert rows(conn, query) == [nobody | {"user_id": "ada", "client_name": "desk", "calls": 3}]


def test_a_session_and_a_begun_call_stay_small(conn: Db) -> None:
    for n in range(20):
        ingest(conn, [{"session_id": "s", f"a{n}": "x" * 60_000, f"b{n}": n}], "sessions")
    [session] = rows(conn, "select octet_length(attributes::text) as bytes from bcp.user_sessions")
    assert session["bytes"] <= 65536
    parameters = json.dumps({f"a{n}": "x" * 60_000 for n in range(20)})
    conn.execute(
        "select bcp.begin_tool_call('b', 't', p_parameters => %s, p_request_id => repeat('r', 100000),"
        " p_client_name => repeat('c', 100000), p_client_model => repeat('m', 100000))",
        [parameters],
    )
    [begun] = rows(conn, "select octet_length(event::text) as bytes from bcp.open_tool_calls")
    assert begun["bytes"] <= 4 * 65536 + 2000


def test_calls_that_never_end_go_by_retention(conn: Db) -> None:
    conn.execute("select set_config('bcp.now', %s, true)", [NOW])
    begin = "select bcp.begin_tool_call('files', 'read', p_start_time => %s::timestamptz - %s::interval)"
    for age in ("29 days", "31 days"):
        conn.execute(begin, [NOW, age])
    plan = rows(conn, "select table_name, row_count, action from bcp.cleanup_plan()")
    assert plan == [{"table_name": "open_tool_calls", "row_count": 1, "action": "deleted"}]
    gone = rows(conn, "select * from bcp.cleanup_old_data() where deleted_count > 0")
    assert gone == [{"table_name": "open_tool_calls", "deleted_count": 1}]
    assert rows(conn, "select count(*) as n from bcp.open_tool_calls") == [{"n": 1}]
