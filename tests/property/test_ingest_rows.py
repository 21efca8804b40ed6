"""Calls as rows are taken in as the same calls as JSON are."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.property.test_anonymize import PIECES, documents
from tests.sql.events import NOW

Db = psycopg.Connection[Any]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

names = st.lists(st.sampled_from([*PIECES, "files"]), min_size=1, max_size=3).map("".join)
ids = st.one_of(st.none(), st.sampled_from(["", " ", "s1", "u1", "jane@example.com", "x" * 501]))
times = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "2026-06-15T11:00:00+00:00",
            "2026-06-15T11:00:01+00:00",
            "1990-01-01T00:00:00+00:00",
            "2090-01-01T00:00:00+00:00",
        ]
    ),
)
calls = st.fixed_dictionaries(
    {"bcp_name": st.one_of(names, st.just("b")), "tool_name": st.just("t")},
    optional={
        "event_id": st.one_of(ids, st.uuids().map(str)),
        "operation": ids,
        "start_time": times,
        "end_time": times,
        "duration_ms": st.sampled_from([None, -1, 0, 0.25, 1250, 10**6]),
        "success": st.one_of(st.none(), st.booleans()),
        "outcome": st.sampled_from(["success", "timeout", "great", None]),
        "error_message": names,
        "parameters": documents,
        "response_data": documents,
        "request_bytes": st.integers(0, 10**6),
        "response_tokens": st.integers(-1, 10**6),
        "user_id": ids,
        "session_id": ids,
        "conversation_id": ids,
        "client_name": st.sampled_from(["c1", "password: hunter2", None]),
        "ip_address": st.sampled_from(["203.0.113.9", "2001:db8::7", "::ffff:10.0.0.9", "10.1.0.0/8", None]),
        "attributes": st.dictionaries(st.sampled_from(["colour", "email", "k", "v"]), documents, max_size=2),
    },
)  # fmt: skip


def outcome(db: Db, batch: list[dict[str, Any]], send: str) -> dict[str, Any]:
    """What a way of sending answers, and all that it leaves; ids and positions are made anew each time."""
    with db.transaction(force_rollback=True), db.cursor(row_factory=dict_row) as cur:
        cur.execute("select set_config('bcp.now', %s, true)", [NOW])
        answer = cur.execute(send, [json.dumps(batch)]).fetchone()
        left = cur.execute(
            "select array(select (to_jsonb(t) - case when event_id::text like '________-____-7%'"
            " then 'event_id' else '' end)::text from bcp.tool_usage_logs t order by 1) as stored,"
            " array(select reason || jsonb_strip_nulls(event)::text from bcp.rejected_events order by 1)"
            " as rejected,"
            " array(select t::text from bcp.user_sessions t order by 1) as sessions,"
            " array(select t::text from bcp.users t order by 1) as users,"
            " (select array_agg(row(accepted, stored, duplicates, rejected, source)::text)"
            " from bcp.ingest_batches) as books"
        ).fetchone()
    assert answer is not None
    assert left is not None
    return answer | left


AS_ROWS = (
    "select * from bcp.ingest_tool_usage(null, array(select jsonb_populate_record(null::bcp.tool_call, e)"
    " from jsonb_array_elements(%s::jsonb) with ordinality as a (e, n) order by n), 'test')"
)
AS_JSON = (
    "select * from bcp.ingest_tool_usage(null, (select coalesce(jsonb_agg(e - 'attributes' ||"
    " coalesce(e -> 'attributes', '{}') order by n), '[]')"
    " from jsonb_array_elements(%s::jsonb) with ordinality as a (e, n)), 'test')"
)


@given(batch=st.lists(calls, max_size=5))
@example(batch=[{"bcp_name": "b", "tool_name": "t", "event_id": "e"}] * 3)
@example(
    batch=[{"bcp_name": "b", "tool_name": "t", "conversation_id": "c", "session_id": "jane@example.com"}]
)
@shared
def test_rows_are_taken_in_as_json_is(db: Db, batch: list[dict[str, Any]]) -> None:
    # A row does not tell what is null from what is not there.
    batch = [{field: value for field, value in call.items() if value is not None} for call in batch]
    rows, events = outcome(db, batch, AS_ROWS), outcome(db, batch, AS_JSON)
    assert rows == events
    assert rows["accepted"] == len(batch)


def test_a_batch_of_rows_comes_once(db: Db) -> None:
    send = (
        "select stored, duplicates from bcp.ingest_tool_usage('00000000-0000-4000-8000-000000000001', array["
        'jsonb_populate_record(null::bcp.tool_call, \'{"bcp_name": "b", "tool_name": "t"}\')])'
    )
    assert db.execute(send).fetchall() == [(1, 0)]
    assert db.execute(send).fetchall() == [(0, 1)]


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ("'{}'", (0, 0, 0, 0)),
        ("array[null]", (1, 0, 0, 1)),
        ('array[jsonb_populate_record(null::bcp.tool_call, \'{"bcp_name": "b"}\')]', (1, 0, 0, 1)),
    ],
)
def test_rows_without_what_is_required_are_rejected(db: Db, rows: str, answer: tuple[int, ...]) -> None:
    found = db.execute(f"select * from bcp.ingest_tool_usage(null, ({rows})::bcp.tool_call[])").fetchall()  # type: ignore[call-overload]
    assert found == [answer]


def test_no_rows_at_all_are_an_error_with_a_hint(db: Db) -> None:
    with pytest.raises(psycopg.Error) as caught, db.transaction():
        db.execute("select bcp.ingest_tool_usage(null, null::bcp.tool_call[])")
    assert caught.value.sqlstate == "ZB001"


def test_the_writer_may_send_rows_and_read_none(db: Db) -> None:
    with db.transaction(force_rollback=True):
        db.execute("set local role bcp_writer")
        [(stored,)] = db.execute(
            "select stored from bcp.ingest_tool_usage(null, array[jsonb_populate_record("
            'null::bcp.tool_call, \'{"bcp_name": "b", "tool_name": "t"}\')])'
        ).fetchall()
        assert stored == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            db.execute("select from bcp.tool_usage_logs")


@pytest.mark.parametrize("send", [AS_ROWS, AS_JSON], ids=["rows", "json"])
def test_the_name_of_a_field_is_no_key(db: Db, send: str) -> None:
    """A sensitive key may have the name of a field: it counts in documents, and the field stays."""
    call = {"bcp_name": "b", "tool_name": "t", "client_name": "c", "session_id": "s", "response_data": [1]}
    call |= {"parameters": {"sessionId": "x", "a": 1}, "error_message": "to ada@example.com"}
    with db.transaction(force_rollback=True):
        db.execute(
            "insert into bcp.sensitive_keys (key_pattern, match_mode)"
            " select key, 'exact' from unnest('{clientname,sessionid,parameters,responsedata}'::text[]) key"
            " on conflict do nothing"
        )
        db.execute(send, [json.dumps([call])])
        with db.cursor(row_factory=dict_row) as cur:
            row = cur.execute("select * from bcp.tool_usage_logs").fetchone()
    assert row is not None
    assert row["parameters"] == {"sessionId": "[REDACTED]", "a": 1}
    assert row["error_message"].startswith("to email#k1#")
    for field in ("client_name", "session_id", "response_data"):
        assert row[field] == call[field]
