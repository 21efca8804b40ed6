"""Ingest: what comes in is stored, a duplicate, or rejected with a reason; never anything else."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import psycopg
import pytest

from tests.sql.events import KINDS, ingest, reasons, rows, usage

BATCH = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_with_only_the_required_fields_is_stored(conn: psycopg.Connection[Any], kind: str) -> None:
    assert ingest(conn, [KINDS[kind]], kind) == (1, 1, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_is_taken_in_and_booked(conn: psycopg.Connection[Any], kind: str) -> None:
    assert ingest(conn, [], kind) == (0, 0, 0, 0)
    assert rows(conn, "select kind, accepted from bcp.ingest_batches") == [{"kind": kind, "accepted": 0}]


def test_ids_that_the_store_gives_differ_and_tell_the_time_of_the_call(conn: psycopg.Connection[Any]) -> None:
    start = "2026-06-15T11:00:00.250Z"
    for _ in range(2):
        assert ingest(conn, [usage(start_time=start, user_id=n) for n in range(20)])[1] == 20
    ids = [row["event_id"] for row in rows(conn, "select event_id from bcp.tool_usage_logs")]
    assert len(set(ids)) == 40
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert {one.int >> 80 for one in ids} == {round(datetime.fromisoformat(start).timestamp() * 1000)}


def test_calls_are_stored_alike_beside_one_that_is_rejected(conn: psycopg.Connection[Any]) -> None:
    events = [
        usage(user_id=42, session_id="s", success=True, colour="blue", start_time="2026-06-15T11:00:00Z"),
        usage(client_name=None, parameters=None, response_data="yes", attributes={"a": 1}, duration_ms=5),
        usage(success=False, error_message="timed out", request_bytes=3, _repaired="colour"),
    ]
    query = """
        select to_jsonb(t) - '{event_id}'::text[] as call
        from bcp.tool_usage_logs t
        order by start_time, coalesce(success, true), response_data
    """
    found = []
    for batch, rejected in ((events, 0), ([*events, {"bcp_name": "files"}], 1)):
        assert ingest(conn, batch)[1::2] == (3, rejected)
        found.append(rows(conn, query))
        conn.execute("truncate bcp.tool_usage_logs")
    assert found[0] == found[1]
    assert [call["call"]["attributes"] for call in found[0]] == [
        {"colour": "blue"}, {"attributes": {"a": 1}}, {"_repaired": "colour"},
    ]  # fmt: skip
    assert rows(conn, "select repaired from bcp.ingest_batches") == [{"repaired": 1}, {"repaired": 1}]


def test_fields_come_out_as_they_went_in(conn: psycopg.Connection[Any]) -> None:
    event = usage(
        operation="tools/call",
        start_time="2026-06-15T11:00:00.250+02:00",
        end_time="2026-06-15T09:00:01.500Z",
        success=False,
        outcome="timeout",
        error_type="TimeoutError",
        error_message="took too long",
        parameters={"path": "/tmp/x", "depth": 3},
        response_data=["a", None],
        request_bytes=12,
        response_bytes=34,
        response_tokens=9,
        user_id=42,
        session_id="s-1",
        request_id="r-1",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        client_name="desktop",
        client_version="1.2",
        client_model="model-x",
        release="v7",
        ip_address="203.0.113.77",
        user_agent="agent/1",
        colour="blue",
    )
    assert ingest(conn, [event]) == (1, 1, 0, 0)
    [row] = rows(conn, "select * from bcp.tool_usage_logs")
    times = (row.pop("start_time"), row.pop("end_time"), row.pop("created_at"))
    assert [t.isoformat() for t in times] == [
        "2026-06-15T09:00:00.250000+00:00",
        "2026-06-15T09:00:01.500000+00:00",
        "2026-06-15T12:00:00+00:00",
    ]
    assert row.pop("event_id").version == 7
    assert str(row.pop("ip_address")) == "203.0.113.0/24"
    assert row["duration_ms"] == 1250.0
    assert row["lat_idx"] == 361  # ceil(ln(1250) / ln(1.02)) = ceil(360.1)
    assert row["attributes"] == {"colour": "blue"}
    assert row["user_id"] == "42"
    plain = set(event) - {"start_time", "end_time", "ip_address", "colour", "user_id"}
    assert {k: row[k] for k in plain} == {k: event[k] for k in plain}


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ({}, "12:00:00", None),
        ({"duration_ms": 1500}, "11:59:58.500000", "12:00:00"),
        ({"start_time": "2026-06-15T10:00:00Z"}, "10:00:00", None),
        ({"end_time": "2026-06-15T10:00:00Z"}, "10:00:00", None),
        ({"start_time": "2026-06-15T10:00:00Z", "duration_ms": 250.5}, "10:00:00", "10:00:00.250500"),
        ({"end_time": "2026-06-15T10:00:00Z", "duration_ms": 1000}, "09:59:59", "10:00:00"),
        ({"start_time": "2026-06-15 10:00:00"}, "10:00:00", None),
        ({"start_time": "2026-06-15T10:00:00Z", "end_time": "2026-06-15T10:00:00Z"}, "10:00:00", "10:00:00"),
    ],
)
def test_any_two_of_start_end_and_duration_will_do(
    conn: psycopg.Connection[Any], given: dict[str, Any], start: str, end: str | None
) -> None:
    conn.execute("set local timezone = 'Asia/Kolkata'")
    assert ingest(conn, [usage(**given)]) == (1, 1, 0, 0)
    conn.execute("set local timezone = 'UTC'")
    [row] = rows(conn, "select start_time, end_time from bcp.tool_usage_logs")
    assert row["start_time"].time().isoformat() == start
    assert (row["end_time"] and row["end_time"].time().isoformat()) == end


def test_a_duration_of_zero_and_an_unknown_one_are_different(conn: psycopg.Connection[Any]) -> None:
    ingest(conn, [usage(duration_ms=0), usage(), usage(duration_ms=0.001), usage(duration_ms=86_400_000)])
    found = rows(
        conn, "select duration_ms, lat_idx from bcp.tool_usage_logs order by duration_ms nulls first"
    )
    assert found == [
        {"duration_ms": None, "lat_idx": None},
        {"duration_ms": 0.0, "lat_idx": -32768},
        {"duration_ms": 0.001, "lat_idx": -348},
        {"duration_ms": 86_400_000.0, "lat_idx": 923},
    ]


def test_a_batch_id_that_comes_again_is_a_duplicate(conn: psycopg.Connection[Any]) -> None:
    events = [usage(), usage(), {"no": "name"}]
    assert ingest(conn, events, batch=BATCH) == (3, 2, 0, 1)
    assert ingest(conn, events, batch=BATCH) == (3, 0, 3, 0)
    assert ingest(conn, [KINDS["errors"]], "errors", batch=BATCH) == (1, 1, 0, 0)
    assert rows(conn, "select count(*) as n from bcp.tool_usage_logs") == [{"n": 2}]
    assert rows(conn, "select count(*) as n from bcp.rejected_events") == [{"n": 1}]


@pytest.mark.parametrize("kind", ["tool_usage", "errors", "metrics"])
@pytest.mark.parametrize(
    "event_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "toolu_01WB9efSTGv8euYbkpj5yRFj"]
)
def test_an_event_id_that_comes_again_is_a_duplicate(
    conn: psycopg.Connection[Any], kind: str, event_id: str
) -> None:
    event = KINDS[kind] | {"event_id": event_id}
    assert ingest(conn, [event, event, KINDS[kind]], kind) == (3, 2, 1, 0)
    assert ingest(conn, [event, KINDS[kind] | {"event_id": "another"}], kind) == (2, 1, 1, 0)


def test_an_id_is_forgotten_after_the_dedup_window(conn: psycopg.Connection[Any]) -> None:
    event = usage(event_id="once")
    assert ingest(conn, [event], batch=BATCH) == (1, 1, 0, 0)
    conn.execute("select set_config('bcp.now', '2026-06-22T11:59:59Z', true)")
    assert ingest(conn, [event]) == (1, 0, 1, 0)
    assert conn.execute("select bcp_internal.forget_keys()").fetchall() == [(0,)]
    conn.execute("select set_config('bcp.now', '2026-06-22T12:00:01Z', true)")
    assert ingest(conn, [event]) == (1, 1, 0, 0)
    assert ingest(conn, [event]) == (1, 0, 1, 0)
    assert ingest(conn, [event], batch=BATCH) == (1, 0, 1, 0)
    conn.execute("select set_config('bcp.now', '2026-07-15T00:00:00Z', true)")
    assert conn.execute("select bcp_internal.forget_keys()").fetchall() == [(2,)]


def test_a_rejected_event_may_come_again_corrected_under_its_id(conn: psycopg.Connection[Any]) -> None:
    assert ingest(conn, [usage(event_id="e", bcp_name="")]) == (1, 0, 0, 1)
    assert ingest(conn, [usage(event_id="e", duration_ms=1)]) == (1, 1, 0, 0)


def test_sessions_and_users_are_kept_once_a_batch(conn: psycopg.Connection[Any]) -> None:
    ingest(
        conn,
        [
            usage(
                session_id="s", user_id="u", start_time="2026-06-15T10:00:00Z", duration_ms=1000, success=True
            ),
            usage(session_id="s", start_time="2026-06-15T09:00:00Z", success=False, client_name="desktop"),
            usage(session_id="t", user_id="v", start_time="2026-06-15T08:00:00Z"),
        ],
    )
    ingest(conn, [usage(session_id="s", user_id="other", start_time="2026-06-15T11:00:00Z", success=False)])
    ingest(conn, [{"session_id": "s", "ended_at": "2026-06-15T11:30:00Z", "plan": "pro"}], "sessions")
    ingest(conn, [KINDS["errors"] | {"session_id": "s", "timestamp": "2026-06-15T11:31:00Z"}], "errors")
    found = rows(
        conn,
        "select session_id, user_id, client_name, started_at::time::text, last_activity::time::text,"
        " ended_at::time::text, tool_calls_count, errors_count, attributes from bcp.user_sessions order by 1",
    )
    assert found == [
        {
            "session_id": "s",
            "user_id": "u",
            "client_name": "desktop",
            "started_at": "09:00:00",
            "last_activity": "11:31:00",
            "ended_at": "11:30:00",
            "tool_calls_count": 3,
            "errors_count": 2,
            "attributes": {"plan": "pro"},
        },
        {
            "session_id": "t",
            "user_id": "v",
            "client_name": None,
            "started_at": "08:00:00",
            "last_activity": "08:00:00",
            "ended_at": None,
            "tool_calls_count": 1,
            "errors_count": 0,
            "attributes": None,
        },
    ]
    assert rows(conn, "select user_id from bcp.users order by 1") == [
        {"user_id": "other"},
        {"user_id": "u"},
        {"user_id": "v"},
    ]


def test_a_duplicate_counts_in_no_session(conn: psycopg.Connection[Any]) -> None:
    for _ in range(2):
        ingest(conn, [usage(session_id="s", event_id="e", success=False)])
    assert rows(conn, "select tool_calls_count, errors_count from bcp.user_sessions") == [
        {"tool_calls_count": 1, "errors_count": 1}
    ]


def test_a_user_and_an_event_without_one_never_hold_up_a_call(conn: psycopg.Connection[Any]) -> None:
    assert ingest(conn, [usage(user_id="nobody knows them"), usage(user_id=""), usage(session_id="")]) == (
        3,
        3,
        0,
        0,
    )


def test_an_empty_name_is_none(conn: psycopg.Connection[Any]) -> None:
    named = ("client_name", "client_version", "client_model", "release")
    ingest(conn, [usage(session_id="s1", **dict.fromkeys(named, ""))])
    assert rows(conn, f"select {', '.join(named)} from bcp.tool_usage_logs") == [dict.fromkeys(named)]
    # What a later event says of the session is not held up by it.
    ingest(conn, [{"session_id": "s1", "client_name": "ide", "client_version": ""}], "sessions")
    assert rows(conn, "select client_name, client_version from bcp.user_sessions") == [
        {"client_name": "ide", "client_version": None}
    ]
    named = ("bcp_name", "tool_name", "operation", "release")
    error = {"level": "error", "message": "it broke", "tool_context": {"tool": "read"}}
    ingest(conn, [error | dict.fromkeys(named, "")], "errors")
    assert rows(conn, f"select {', '.join(named)} from bcp.error_logs") == [
        dict.fromkeys(named) | {"tool_name": "read"}
    ]


def test_an_error_knows_its_tool_from_its_context(conn: psycopg.Connection[Any]) -> None:
    event = {"level": "CRITICAL", "message": "m", "tool_context": {"bcp": "b", "tool": "t", "operation": "o"}}
    assert ingest(conn, [event], "errors") == (1, 1, 0, 0)
    assert rows(conn, "select level::text, bcp_name, tool_name, operation from bcp.error_logs") == [
        {"level": "fatal", "bcp_name": "b", "tool_name": "t", "operation": "o"}
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"message": "no file 'a.txt' (id 17)"}, {"message": "no file 'b.txt' (id 18)"}, True),
        ({"message": "mail to a@b.org failed"}, {"message": "mail to c@d.org failed"}, True),
        ({"message": "from 10.0.0.1:80"}, {"message": "from 10.9.8.7:443"}, True),
        ({"message": "at 2026-01-01T00:00:00Z"}, {"message": "at 2027-02-03 04:05:06"}, True),
        ({"message": "object 5f3759df0a1b"}, {"message": "object 00ff00ff00ff"}, True),
        ({"message": "GET https://a.org/x"}, {"message": "GET http://b.org/y?z=1"}, True),
        ({"message": "no file"}, {"message": "no disk"}, False),
        ({"message": "a", "error_type": "KeyError"}, {"message": "b", "error_type": "KeyError"}, True),
        ({"message": "a", "error_type": "KeyError"}, {"message": "a", "error_type": "IOError"}, False),
        ({"message": "a", "fingerprint": "x"}, {"message": "b", "fingerprint": "x", "error_type": "y"}, True),
        (
            {"message": "a", "stack_trace": 'File "/app/m.py", line 3, in f'},
            {"message": "b", "stack_trace": 'File "/app/m.py", line 9, in f'},
            True,
        ),
        (
            {"message": "a", "stack_trace": 'File "/app/m.py", line 3, in f'},
            {"message": "a", "stack_trace": 'File "/app/m.py", line 3, in g'},
            False,
        ),
        (
            {"message": "a", "stack_trace": 'File "/app/m.py", line 3, in f'},
            {
                "message": "b",
                "stack_trace": 'File "/app/m.py", line 3, in f\n  File "/x/site-packages/y.py", line 1, in z',
            },
            True,
        ),
    ],
)
def test_errors_of_one_cause_are_one_issue(
    conn: psycopg.Connection[Any], one: dict[str, Any], other: dict[str, Any], *, same: bool
) -> None:
    ingest(conn, [{"level": "warn"} | one, {"level": "error"} | other], "errors")
    issues = rows(conn, "select events, level::text from bcp.error_issues")
    assert issues == ([{"events": 2, "level": "error"}] if same else issues)
    assert len(issues) == (1 if same else 2)


def test_begin_and_end_make_one_call(conn: psycopg.Connection[Any]) -> None:
    parameters = json.dumps({"to": "ada@example.com"})
    [[call]] = conn.execute(
        "select bcp.begin_tool_call('b', 't', 'send', %s, p_start_time => '2026-06-15T11:59:00Z')",
        [parameters],
    ).fetchall()
    [opened] = rows(conn, "select event::text from bcp.open_tool_calls where event_id = %s", [call])
    assert "ada@" not in opened["event"]
    end = "select accepted, stored, duplicates, rejected from bcp.end_tool_call(%s, true, '[1]')"
    assert conn.execute(end, [call]).fetchall() == [(1, 1, 0, 0)]
    assert conn.execute(end, [call]).fetchall() == [(1, 0, 1, 0)]
    assert conn.execute(end, ["00000000-0000-4000-8000-00000000dead"]).fetchall() == [(1, 0, 0, 1)]
    assert reasons(conn) == ["no call with this id is open"]
    [row] = rows(
        conn,
        "select event_id, duration_ms, success, parameters::text, request_bytes from bcp.tool_usage_logs",
    )
    assert row["event_id"] == call
    assert row["duration_ms"] == 60_000.0
    assert "ada@" not in row["parameters"]
    assert row["request_bytes"] == len(parameters)
    assert rows(conn, "select 1 from bcp.open_tool_calls") == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("'b', null", "tool_name is missing"),
        ("'b', 't', p_start_time => '-infinity'", "start_time is not an ISO 8601 time"),
        ("'b', 't', p_start_time => '0044-03-15 BC'", "start_time is longer ago than the setting"),
        ("'b', 't', p_start_time => '2026-06-17'", "start_time is later than the setting"),
    ],
)
def test_a_call_that_cannot_begin_says_why(conn: psycopg.Connection[Any], arguments: str, why: str) -> None:
    conn.execute("set local datestyle = 'German'")
    with pytest.raises(psycopg.Error, match=why) as caught, conn.transaction():
        conn.execute(f"select bcp.begin_tool_call({arguments})")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB005"


def test_the_single_functions_store_one_event_each(conn: psycopg.Connection[Any]) -> None:
    for call in (
        "bcp.log_tool_usage('b', 't', p_duration_ms => 5, p_success => true, p_ip_address => '10.1.2.3')",
        "bcp.log_error('error', 'boom', p_context => '{\"a\": 1}')",
        "bcp.record_metric('queue_ms', 1.5, '{\"q\": \"x\"}', '5m')",
        "bcp.touch_session('s', 'u', p_ip_address => '2001:db8:1:2::3')",
        "bcp.end_session('s')",
    ):
        found = conn.execute(f"select accepted, stored, duplicates, rejected from {call}").fetchall()  # type: ignore[arg-type]
        assert found == [(1, 1, 0, 0)], call
    assert rows(
        conn, "select host(ip_address) as ip, ended_at is not null as ended from bcp.user_sessions"
    ) == [{"ip": "2001:db8:1::", "ended": True}]
    assert rows(conn, "select count(*) as n from bcp.ingest_batches") == [{"n": 5}]


def test_a_source_that_was_clean_is_masked_when_a_rule_finds_it(conn: psycopg.Connection[Any]) -> None:
    """That a name has nothing to mask is kept, but only for the rules that found so."""
    statement = "select * from bcp.ingest_tool_usage(gen_random_uuid(), '[]'::jsonb, 'ticket-4711')"
    conn.execute(statement)
    assert conn.execute("select count(*) from bcp_internal.clean_sources").fetchone() == (1,)
    conn.execute(statement)
    conn.execute(
        "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, action)"
        " values ('ticket', 500, 'ticket', 'ticket-[0-9]+', '{ticket-}', 'redact')"
    )
    conn.execute(statement)
    sources = [r["source"] for r in rows(conn, "select source from bcp.ingest_batches")]
    assert sorted(sources) == ["[REDACTED]", "ticket-4711", "ticket-4711"]


def test_only_some_names_of_sources_are_kept_as_clean(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "select bcp_internal.source_name('sender-' || translate(n::text, '0123456789', 'abcdefghij'))"
        " from generate_series(1, 1005) as n"
    )
    assert conn.execute("select count(*) from bcp_internal.clean_sources").fetchone() == (1000,)


def test_the_source_is_the_application_unless_it_is_said(conn: psycopg.Connection[Any]) -> None:
    conn.execute("set local application_name = 'my-app'")
    ingest(conn, [usage()])
    conn.execute("select bcp.ingest_tool_usage(null, '[]'::jsonb, 'collector-7')")
    assert [
        r["source"] for r in rows(conn, "select source from bcp.ingest_batches order by accepted desc")
    ] == [
        "my-app",
        "collector-7",
    ]
