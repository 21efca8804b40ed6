"""Sessions of events that name none: by conversation, by a given id, else by user, client and time."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from tests.sql.events import KINDS, ingest, rows, usage

Db = psycopg.Connection[Any]


def call(time: str, **fields: Any) -> dict[str, Any]:
    return usage(start_time=f"2026-06-15T{time}Z", user_id="u", client_name="c", event_id=time) | fields


def sessions_of(conn: Db, table: str = "tool_usage_logs", time: str = "start_time") -> list[str | None]:
    found = rows(conn, f"select session_id from bcp.{table} order by {time}, event_id")
    return [row["session_id"] for row in found]


def groups(conn: Db) -> list[int]:
    """Return which calls, in order of time, are of one session: 0 for those of the first, and so on."""
    found = sessions_of(conn)
    return [list(dict.fromkeys(found)).index(session) for session in found]


def test_a_conversation_goes_before_a_session_and_both_before_the_gap(conn: Db) -> None:
    ingest(
        conn,
        [
            call("10:00:00", conversation_id="conv", session_id="s"),
            call("10:01:00", session_id="s"),
            call("10:02:00", user_id="v"),
            call("10:03:00", user_id=None, client_name=None),
        ],
    )
    conversation, given, made, none = sessions_of(conn)
    assert (conversation, given, none) == ("conv", "s", None)
    assert made is not None
    assert made.startswith("gap-")
    assert {r["session_id"]: r["resolved_by"] for r in rows(conn, "select * from bcp.user_sessions")} == {
        "conv": "conversation",
        "s": "given",
        made: "gap",
    }
    [row] = rows(conn, "select attributes from bcp.tool_usage_logs where session_id = 'conv'")
    assert row["attributes"] == {"session_id": "s"}


@pytest.mark.parametrize("batches", [1, 2, 6])
def test_a_gap_parts_sessions_in_one_batch_and_over_batches(conn: Db, batches: int) -> None:
    times = ["09:00:00", "09:30:00", "10:00:01", "10:20:00", "10:50:00", "11:20:01"]
    size = len(times) // batches
    for i in range(0, len(times), size):
        batch = times[i : i + size]
        ingest(conn, [call(time, success=time != "10:20:00") for time in reversed(batch)])
    assert groups(conn) == [0, 0, 1, 1, 1, 2]
    found = rows(conn, "select * from bcp.user_sessions order by started_at")
    assert [(r["tool_calls_count"], r["errors_count"]) for r in found] == [(2, 0), (3, 1), (1, 0)]


def test_a_batch_makes_the_sessions_that_one_call_at_a_time_makes(conn: Db) -> None:
    chance = random.Random(7)  # noqa: S311
    seconds = sorted(chance.sample(range(8 * 3600), 60))
    calls = [
        call(f"{s // 3600 + 3:02}:{s // 60 % 60:02}:{s % 60:02}", user_id=chance.choice("uvw"))
        | ({"session_id": f"s{s}"} if chance.random() < 0.1 else {})
        for s in seconds
    ]
    with conn.transaction(force_rollback=True):
        for event in calls:
            ingest(conn, [event])
        one_at_a_time = sessions_of(conn)
    chance.shuffle(calls)
    ingest(conn, calls)
    assert sessions_of(conn) == one_at_a_time
    assert len(set(one_at_a_time)) > 10


def test_a_replay_changes_nothing_and_one_without_the_past_makes_the_same_ids(conn: Db) -> None:
    calls = [call("10:00:00"), call("10:10:00"), call("11:00:00")]
    with conn.transaction(force_rollback=True):
        ingest(conn, calls)
        before = sessions_of(conn)
        counted = rows(conn, "select * from bcp.user_sessions order by 1")
        assert ingest(conn, calls) == (3, 0, 3, 0)
        assert ingest(conn, [calls[0], call("10:20:00")]) == (2, 1, 1, 0)
        assert sessions_of(conn)[2] == before[0]
        after = rows(conn, "select * from bcp.user_sessions order by 1")
        assert sum(r["tool_calls_count"] for r in after) == sum(r["tool_calls_count"] for r in counted) + 1
    ingest(conn, calls)
    assert sessions_of(conn) == before


def test_a_late_call_joins_the_session_around_or_after_it(conn: Db) -> None:
    ingest(conn, [call("10:00:00"), call("10:30:00"), call("11:00:00")])
    ingest(conn, [call("10:15:00"), call("09:40:00"), call("08:00:00")])
    assert groups(conn) == [0, 1, 1, 1, 1, 1]


def test_users_and_clients_are_apart_and_a_known_session_is_gone_on_with(conn: Db) -> None:
    ingest(conn, [call("10:00:00", session_id="s")])
    others = [{"user_id": "v"}, {"client_name": "d"}, {"user_id": None}, {"client_name": None}]
    ingest(conn, [call("10:05:00"), *(call(f"10:05:0{i}", **o) for i, o in enumerate(others, 1))])
    assert sessions_of(conn)[1] == "s"
    assert len(set(sessions_of(conn))) == 5
    assert rows(conn, "select resolved_by from bcp.user_sessions where session_id = 's'") == [
        {"resolved_by": "given"}
    ]


def test_an_ended_session_is_not_gone_on_with(conn: Db) -> None:
    ingest(conn, [call("10:00:00", session_id="s")])
    ingest(conn, [{"session_id": "s", "ended_at": "2026-06-15T10:10:00Z"}], "sessions")
    ingest(conn, [call("10:05:00"), call("10:15:00"), call("10:20:00")])
    found = sessions_of(conn)
    assert found[:2] == ["s", "s"]
    assert found[2] == found[3] != "s"


def test_the_gap_is_a_setting(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '5 minutes' where name = 'session_gap'")
    ingest(conn, [call("10:00:00"), call("10:05:00"), call("10:10:01")])
    assert groups(conn) == [0, 0, 1]


def test_errors_belong_to_the_session_of_the_calls(conn: Db) -> None:
    ingest(conn, [call("10:00:00", success=False)])
    error = KINDS["errors"] | {"user_id": "u", "client_name": "c"}
    ingest(conn, [error | {"timestamp": "2026-06-15T10:00:01Z"}], "errors")
    ingest(
        conn,
        [error | {"timestamp": "2026-06-15T10:00:02Z", "session_id": "s", "conversation_id": "conv"}],
        "errors",
    )
    assert sessions_of(conn, "error_logs", '"timestamp"') == [sessions_of(conn)[0], "conv"]
    found = rows(conn, "select attributes from bcp.error_logs order by timestamp")
    assert [r["attributes"] for r in found] == [{"client_name": "c"}, {"client_name": "c", "session_id": "s"}]
    found = rows(conn, "select * from bcp.user_sessions where resolved_by = 'gap'")
    assert [(r["tool_calls_count"], r["errors_count"]) for r in found] == [(1, 1)]


def test_a_name_of_a_client_may_be_long(conn: Db) -> None:
    name = "".join(chr(0x4E00 + i % 20000) for i in range(0, 60000, 7))
    event = usage(user_id="u", client_name=name)
    assert ingest(conn, [event]) == (1, 1, 0, 0)
    assert ingest(conn, [event]) == (1, 1, 0, 0)
    assert rows(conn, "select count(*) as n from bcp.user_sessions") == [{"n": 1}]


def test_a_client_with_a_session_a_call_is_shown(conn: Db) -> None:
    def health() -> tuple[str, str]:
        [row] = rows(conn, "select status, detail from bcp.health() where check_name = 'sessions'")
        return row["status"], row["detail"]

    ingest(conn, [call(f"10:00:{i:02}", session_id=f"s{i}") for i in range(19)])
    ingest(conn, [call(f"1{i % 10}:{i:02}:00", user_id=f"v{i}", client_name="calm") for i in range(30)])
    assert health() == ("ok", "no client sends a new session with each call")
    ingest(conn, [call("10:00:59", session_id="s19")])
    assert rows(conn, "select * from bcp.degenerate_sessions") == [
        {"client_name": "c", "sessions": 20, "calls": 20, "ratio": 1.0}
    ]
    assert health() == ("warn", "clients with a new session per call, in bcp.degenerate_sessions: c")
    ingest(conn, [call(f"10:01:{i:02}", session_id="s1") for i in range(10)])
    assert health()[0] == "ok"


def test_without_a_user_there_is_no_session_and_health_says_so(conn: Db) -> None:
    """As over HTTP by the protocol of 2026-07-28: the client's name is all there is, and many have it."""
    conn.execute("set local bcp.now = '2026-06-15 10:30:00Z'")
    anonymous = [call(f"10:0{i}:00", user_id=None, bcp_name=f"bundle{i % 2}") for i in range(4)]
    ingest(conn, [*anonymous, call("10:05:00"), call("09:00:00", user_id=None)])
    assert [session is None for session in sessions_of(conn)] == [True] * 5 + [False]
    [row] = rows(conn, "select status, value, detail from bcp.health() where check_name = 'no session'")
    assert (row["status"], row["value"]) == ("ok", "4")
    assert row["detail"].startswith("of 5 calls within the last hour")
