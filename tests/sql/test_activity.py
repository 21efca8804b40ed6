"""Answers about sessions and users. That they add up to the raw rows: tests/property."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.sql.events import NOW, ingest, raw_calls_read, rows, usage

WEEK = "p_since => '2026-06-08', p_until => '2026-06-16'"


def call(time: str, session: str | None = None, tool: str = "read", **fields: Any) -> dict[str, Any]:
    return usage(start_time=f"2026-06-{time}Z", session_id=session, tool_name=tool) | fields


def send(conn: psycopg.Connection[Any], *calls: dict[str, Any]) -> None:
    assert ingest(conn, list(calls))[1] == len(calls)


def test_a_timeline_has_everything_in_order(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        call("15T10:00:02", "s1", "write", success=False, outcome="timeout", error_message="too slow"),
        call("15T10:00:00", "s1", duration_ms=500),
        call("15T10:00:01", "s2"),
    )
    ingest(conn, [{"level": "error", "message": "it broke", "session_id": "s1"}
                  | {"timestamp": "2026-06-15T10:00:02.5Z", "error_type": "OSError"}], "errors")  # fmt: skip
    ingest(conn, [{"session_id": "s1", "ended_at": "2026-06-15T10:01:00Z"}], "sessions")
    found = rows(conn, "select * from bcp.session_timeline('s1')")
    assert [(r["kind"], r["tool_name"], r["since_previous_ms"]) for r in found] == [
        ("start", None, None),
        ("call", "read", 0),
        ("call", "write", 2000),
        ("error", None, 500),
        ("end", None, 57500),
    ]
    assert {r["session_id"] for r in found} == {"s1"}
    assert (found[2]["outcome"], found[2]["message"], found[1]["duration_ms"]) == ("timeout", "too slow", 500)
    assert (found[3]["level"], found[3]["message"], found[3]["error_type"]) == (
        "error",
        "it broke",
        "OSError",
    )
    assert [r["kind"] for r in rows(conn, "select kind from bcp.session_timeline('s1', p_limit => 2)")] == [
        "start",
        "call",
    ]
    part = rows(
        conn, "select kind from bcp.session_timeline('s1', '2026-06-15 10:00:01', '2026-06-15 10:01')"
    )
    assert [r["kind"] for r in part] == ["call", "error"]
    # Without an id: the one that was active last.
    assert rows(conn, "select distinct session_id from bcp.session_timeline()") == [{"session_id": "s1"}]


@pytest.mark.parametrize("arguments", ["", "'none'", "'''; drop table --'", "'s1', '2030-01-01', 'infinity'"])
def test_a_timeline_of_nothing(conn: psycopg.Connection[Any], arguments: str) -> None:
    if arguments.startswith("'s1'"):
        send(conn, call("15T10:00:00", "s1"))
    assert rows(conn, f"select * from bcp.session_timeline({arguments})") == []


def test_session_stats(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        call("14T10:00:00", "s1", client_name="cli", user_id="u1"),
        call("14T10:00:10", "s1", client_name="cli", user_id="u1", success=False),
        call("14T11:00:00", "s2", client_name="cli", user_id="u1"),
        call("14T23:30:00", "s3", user_id="u2"),
        call("15T10:00:00", "s4", client_name="cli"),
        call("10T10:00:00", "s5", client_name="cli"),
    )
    ingest(conn, [{"session_id": "s2", "ended_at": "2026-06-14T11:00:20Z"}], "sessions")
    found = rows(conn, "select * from bcp.session_stats('2026-06-14', '2026-06-16')")
    assert [(r["time_bucket"].day, r["client_name"], r["session_count"]) for r in found] == [
        (15, "cli", 1),
        (14, "cli", 2),
        (14, None, 1),
    ]
    cli = found[1]
    assert (cli["user_count"], cli["ended_count"], cli["call_count"], cli["error_count"]) == (1, 1, 3, 1)
    assert (cli["calls_per_session"], cli["single_call_count"]) == (1.5, 1)
    assert (cli["avg_duration_ms"], cli["max_duration_ms"]) == (15_000, 20_000)
    assert (cli["p50_duration_ms"], cli["p95_duration_ms"]) == (10_000, 20_000)
    whole = "p_interval => null, p_client_name => 'cli')"
    [row] = rows(conn, f"select * from bcp.session_stats('2026-06-01', '2026-06-16', {whole}")
    assert (row["time_bucket"], row["session_count"]) == (datetime(2026, 6, 1, tzinfo=UTC), 4)
    # 23:30 of the 14th is the 15th in Berlin.
    local = rows(conn, "select * from bcp.session_stats('2026-06-14', '2026-06-16', p_user_id => 'u2',"
                       " p_time_zone => 'Europe/Berlin')")  # fmt: skip
    assert [r["time_bucket"] for r in local] == [datetime(2026, 6, 14, 22, tzinfo=UTC)]


def test_top_users(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call("14T10:00:00", user_id="u1", success=n > 0, response_bytes=10) for n in range(3)],
        call("15T10:00:00", user_id="u1", bcp_name="mail"),
        call("15T10:00:00", user_id="u2", client_name="cli", outcome="timeout"),
        call("15T10:00:00"),
    )
    found = rows(conn, f"select * from bcp.top_users({WEEK})")
    assert [(r["user_id"], r["call_count"], r["share"]) for r in found] == [("u1", 4, 0.8), ("u2", 1, 0.2)]
    first = found[0]
    assert (first["success_count"], first["error_count"], first["success_rate"]) == (2, 1, 2 / 3)
    assert first["response_bytes"] == 30
    for filters, users in (
        ("p_limit => 1", ["u1"]),
        ("p_bcp_name => 'mail'", ["u1"]),
        ("p_user_id => 'u2'", ["u2"]),
        ("p_client_name => 'cli'", ["u2"]),
        ("p_outcome => 'timeout'", ["u2"]),
        ("p_tool_name => 'read', p_operation => 'call'", ["u1", "u2"]),
        ("p_tool_name => '''; drop table --'", []),
        ("p_session_id => 'none'", []),
    ):
        asked = rows(conn, f"select user_id from bcp.top_users({WEEK}, {filters})")
        assert [r["user_id"] for r in asked] == users, filters


def test_top_users_in_the_order_asked_for(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call("14T10:00:00", user_id="busy", success=True, response_bytes=1) for _ in range(3)],
        *[call("14T10:00:00", user_id="unlucky", success=False) for _ in range(2)],
        call("14T10:00:00", user_id="costly", success=True, response_bytes=1000),
    )
    for order, users in (
        ("calls", ["busy", "unlucky", "costly"]),
        ("errors", ["unlucky", "busy", "costly"]),
        ("cost", ["costly", "busy", "unlucky"]),
    ):
        found = rows(conn, f"select user_id from bcp.top_users({WEEK}, p_order => '{order}')")
        assert [r["user_id"] for r in found] == users, order


def test_active_users(conn: psycopg.Connection[Any]) -> None:
    conn.execute("select set_config('bcp.now', '2026-06-30T12:00:00Z', true)")
    send(
        conn,
        call("01T10:00:00", user_id="u1"),
        call("02T10:00:00", user_id="u2"),
        call("03T22:30:00", user_id="u1"),
        call("09T10:00:00", user_id="u3", bcp_name="mail"),
        call("09T11:00:00", user_id="u3", bcp_name="mail"),
        call("09T12:00:00"),
    )

    def counts(arguments: str) -> dict[int, tuple[int, ...]]:
        found = rows(conn, f"select * from bcp.active_users({arguments})")
        kinds = ("daily_users", "weekly_users", "monthly_users", "new_users")
        return {r["day"].day: tuple(r[kind] for kind in kinds) for r in found}

    assert counts("'2026-06-02 15:00', '2026-06-11'") == {
        2: (1, 2, 2, 1),
        3: (1, 2, 2, 0),
        4: (0, 2, 2, 0),
        5: (0, 2, 2, 0),
        6: (0, 2, 2, 0),
        7: (0, 2, 2, 0),
        8: (0, 2, 2, 0),
        9: (1, 2, 3, 1),
        10: (0, 1, 3, 0),
    }
    [row] = rows(conn, "select * from bcp.active_users('2026-06-09', '2026-06-10')")
    assert (row["stickiness"], row["day"]) == (1 / 3, datetime(2026, 6, 9, tzinfo=UTC))
    assert counts("'2026-06-09', '2026-06-10', p_bcp_name => 'mail'") == {9: (1, 1, 1, 1)}
    assert counts("'2026-06-09', '2026-06-10', p_tool_name => '''; drop table --'") == {}
    # The third day's call was on the fourth in Berlin, which began at 22:00 UTC.
    [berlin] = rows(conn, "select * from bcp.active_users('2026-06-03 22:10', '2026-06-03 22:20',"
                          " p_time_zone => 'Europe/Berlin')")  # fmt: skip
    assert (berlin["day"], berlin["daily_users"]) == (datetime(2026, 6, 3, 22, tzinfo=UTC), 1)
    # A month after the last call nobody is left to count.
    assert max(counts("'2026-06-02', '2030-01-01'")) == 30
    assert len(counts("'-infinity', 'infinity'")) == 30


def test_authentication(conn: psycopg.Connection[Any]) -> None:
    def login(day: str, method: str, *, success: bool | None, **fields: Any) -> dict[str, Any]:
        about = {"bcp_name": "accounts", "tool_name": method, "operation": "login"}
        return call(f"{day}T10:00:00", success=success) | about | fields

    send(
        conn,
        login("14", "password", success=True, user_id="u1"),
        login("14", "password", success=False, user_id="u1", error_type="wrong_password"),
        login("14", "password", success=False, user_id="u2", error_type="wrong_password"),
        login("15", "password", success=False, user_id="u2", error_type="locked"),
        login("15", "password", success=None),
        login("15", "oauth", success=True, user_id="u3"),
        login("15", "Sign_In", success=True, operation="tools/call", bcp_name="crm"),
        login("15", "log_ins_today", success=True, operation="tools/call"),
        call("15T10:00:00"),
    )
    found = rows(conn, f"select * from bcp.authentication_stats({WEEK})")
    assert [(r["bcp_name"], r["method"], r["attempt_count"]) for r in found] == [
        ("accounts", "password", 5),
        ("accounts", "oauth", 1),
        ("crm", "Sign_In", 1),
    ]
    first = found[0]
    assert (first["success_count"], first["failure_count"], first["success_rate"]) == (1, 3, 0.25)
    assert (first["user_count"], first["failed_user_count"], first["top_failure"]) == (1, 2, "wrong_password")
    assert (found[1]["top_failure"], found[1]["success_rate"]) == (None, 1)
    days = rows(
        conn, f"select * from bcp.authentication_stats({WEEK}, p_interval => '1 day', p_user_id => 'u2')"
    )
    assert [(r["time_bucket"].day, r["top_failure"]) for r in days] == [
        (15, "locked"),
        (14, "wrong_password"),
    ]
    conn.execute("update bcp.settings set value = 'log_ins_today , X' where name = 'login_names'")
    assert [r["method"] for r in rows(conn, f"select * from bcp.authentication_stats({WEEK})")] == [
        "log_ins_today"
    ]


def test_log_ins_by_token_are_no_calls_and_are_counted(conn: psycopg.Connection[Any]) -> None:
    send(conn, call("15T10:00:00", tool_name="password", operation="login", bcp_name="accounts"))
    uses = [
        {"success": True, "caller": "laptop of ada@example.com"},
        {"success": False, "error_type": "unknown", "ip_address": "203.0.113.7", "attempts": 5},
        {"success": False, "error_type": "expired", "ip_address": "no address"},
        {"success": False, "error_type": "expired"},
    ]
    conn.execute("select bcp_internal.note_token_use(%s)", [json.dumps(uses)])
    # Who may write can send a metric of the same name.
    for value, labels in (
        (1e100, {"method": "api_token", "success": "yes"}),
        (-5, {"method": ["api_token"]}),
    ):
        conn.execute("select bcp.record_metric('bcp_log_ins', %s, %s)", [value, json.dumps(labels)])
    asked = "select * from bcp.authentication_stats(p_until => '2026-06-16', p_since => '2026-06-15'"
    forged = 10**9
    [token, password] = rows(conn, f"{asked})")
    assert (token["bcp_name"], token["method"]) == ("bcp_analytics", "api_token")
    assert (token["success_count"], token["failure_count"], token["top_failure"]) == (1, 7 + forged, None)
    assert password["method"] == "password"
    assert [r["method"] for r in rows(conn, f"{asked}, p_bcp_name => 'bcp_analytics')")] == ["api_token"]
    assert rows(conn, f"{asked}, p_user_id => 'u1')") == []
    kept = rows(conn, "select * from bcp_internal.token_log_ins('-infinity', 'infinity')")
    assert {r["network"] for r in kept} == {"203.0.113.0/24", None}
    assert "ada@" not in str(kept)
    assert rows(conn, "select count(*) as n from bcp.tool_usage_logs") == [{"n": 1}]


def test_tool_sequences(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        call("15T10:00:00", "s1", "tools/list", operation="tools/list"),
        call("15T10:00:01", "s1", "list", duration_ms=500, user_id="u1"),
        call("15T10:00:02", "s1", "read"),
        call("15T10:00:02", "s2", "list"),
        call("15T10:00:03", "s2", "send", bcp_name="mail"),
        call("15T10:00:04", "s3", "list"),
        call("15T10:00:05", "s3", "read"),
        call("15T10:00:06", None, "list"),
    )
    found = rows(conn, f"select * from bcp.tool_sequences({WEEK})")
    assert [(r["tool_name"], r["next_bcp_name"], r["next_tool_name"], r["pair_count"]) for r in found] == [
        ("list", "files", "read", 2),
        ("read", None, None, 2),
        ("list", "mail", "send", 1),
        ("send", None, None, 1),
    ]
    assert [r["share"] for r in found] == [2 / 3, 1, 1 / 3, 1]
    assert [r["avg_gap_ms"] for r in found] == [750, None, 1000, None]
    for filters, count in (
        ("p_tool_name => 'list'", 2),
        ("p_bcp_name => 'mail'", 1),
        ("p_limit => 1", 1),
        ("p_user_id => 'u1'", 1),
        ("p_session_id => 's2'", 2),
        ("p_client_name => '''; drop table --'", 0),
    ):
        assert len(rows(conn, f"select from bcp.tool_sequences({WEEK}, {filters})")) == count, filters


QUESTIONS = ("session_stats", "top_users", "active_users", "authentication_stats", "tool_sequences")


@pytest.mark.parametrize("question", QUESTIONS)
def test_ranges_without_anything(conn: psycopg.Connection[Any], question: str) -> None:
    send(conn, call("15T10:00:00", "s1", "login", user_id="u1"))
    assert rows(conn, f"select from bcp.{question}('2026-06-15', '2026-06-16')")
    for since, until in (
        ("2026-06-15 10:00", "2026-06-15 10:00"),
        ("2030-01-01", "2031-01-01"),
        ("2026-05-01", "2026-06-15"),
    ):
        assert rows(conn, f"select from bcp.{question}('{since}', '{until}')") == [], (since, until)


@pytest.mark.parametrize("question", [*QUESTIONS, "session_timeline"])
def test_a_reversed_range_is_an_error_with_a_hint(db: psycopg.Connection[Any], question: str) -> None:
    with pytest.raises(psycopg.Error, match="is after") as caught:
        db.execute(f"select * from bcp.{question}(p_since => '2026-02-01', p_until => '2026-01-01')")
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("session_stats(p_interval => '0')", "p_interval is not positive"),
        ("session_stats(p_time_zone => 'Mars/Olympus')", "p_time_zone"),
        ("active_users(p_time_zone => null)", "p_time_zone"),
        ("active_users(p_outcome => 'failed')", "p_outcome is none of"),
        ("top_users(p_outcome => 'failed')", "p_outcome is none of"),
        ("top_users(p_limit => 0)", "p_limit is not"),
        ("top_users(p_order => 'name')", "p_order is none of calls, errors, cost"),
        ("tool_sequences(p_limit => null)", "p_limit is not"),
        ("session_timeline(p_limit => -1)", "p_limit is not"),
        ("authentication_stats(p_interval => '1 month 1 day')", "mixes months"),
    ],
)
def test_a_wrong_argument_is_named(db: psycopg.Connection[Any], question: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        db.execute(f"select * from bcp.{question}")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


def test_answers_are_the_same_when_aggregates_have_them(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    send(clean_db, *[call(f"{day}T10:00:00", f"s{day % 2}", user_id=f"u{day % 3}") for day in range(10, 16)])
    asked = [f"select * from bcp.top_users({WEEK})", f"select * from bcp.active_users({WEEK})"]
    before = [rows(clean_db, query) for query in asked]
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert [rows(clean_db, query) for query in asked] == before
    assert [raw_calls_read(clean_db, query, "2026-06-15") for query in asked] == [0, 0]
    # With a filter that they do not know it is otherwise, else this would count nothing.
    filtered = f"select * from bcp.top_users({WEEK}, p_tool_name => 'read')"
    assert raw_calls_read(clean_db, filtered, "2026-06-15") > 0


def test_a_retry_begins_after_the_failed_call_ended_in_the_same_session(
    conn: psycopg.Connection[Any],
) -> None:
    send(
        conn,
        # Three at once, of which two fail, and then one again: that is the next of both.
        *[call("15T10:00:00", "s1", duration_ms=1000, success=n == 0, event_id=f"p{n}") for n in range(3)],
        call("15T10:00:03", "s1", success=True),
        # Each the next of the one before; without an end, and two at the same moment.
        *[call("15T11:00:00", "s2", success=n == 1, event_id=f"q{n}") for n in range(2)],
        call("15T11:00:05", "s2", success=False),
        # Other sessions, tools and bundles, and none at all.
        call("15T11:00:06", "s3", success=True),
        call("15T11:00:06", "s2", "write", success=True),
        call("15T11:00:06", "s2", bcp_name="mail", success=True),
        call("15T11:00:06", success=False),
        call("15T10:00:00", "s4", "write", success=False, outcome="cancelled"),
        call("15T10:00:00", "s5", "write", outcome="timeout"),
        call("15T10:00:01", "s5", "write"),
    )
    [read, write] = rows(conn, f"select * from bcp.tool_retries({WEEK})")
    assert (read["tool_name"], read["failed_count"], read["retried_count"]) == ("read", 4, 3)
    assert (read["retry_success_count"], read["retry_rate"], read["retry_success_rate"]) == (3, 0.75, 1)
    # 2 s, 2 s, 0 s.
    assert read["avg_gap_ms"] == pytest.approx(4000 / 3)
    # Nobody says how the retry went.
    assert (write["failed_count"], write["retried_count"], write["retry_success_rate"]) == (1, 1, 0)
    [one] = rows(conn, f"select * from bcp.tool_retries({WEEK}, p_session_id => 's5')")
    assert one["tool_name"] == "write"
    early = "p_since => '2026-06-15', p_until => '2026-06-15 10:00:03'"
    [read, _] = rows(conn, f"select * from bcp.tool_retries({early})")
    assert (read["retried_count"], read["retry_success_rate"], read["avg_gap_ms"]) == (0, None, None)
