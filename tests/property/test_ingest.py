"""Whatever comes in: the ledger balances, nothing raises, and no secret is stored."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

NOW = "2026-06-15T12:00:00Z"
SECRET = "zaphod.beeblebrox@example.org"
CARD = "4111 1111 1111 1111"
TABLES = {
    "tool_usage": "tool_usage_logs",
    "errors": "error_logs",
    "metrics": "performance_metrics",
    "sessions": "user_sessions",
}
REQUIRED = {
    "tool_usage": {"bcp_name": "files", "tool_name": "read"},
    "errors": {"level": "error", "message": "it broke"},
    "metrics": {"metric_name": "queue_ms", "metric_value": 1.5},
    "sessions": {"session_id": "s"},
}

# Each example runs in a savepoint of its own, so that the examples of one test do not see each other.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from([SECRET, f"write to {SECRET}!", CARD, "", " ", "\0", "a\0b", "\ud800", "x" * 600]),
    st.sampled_from(
        ["error", "warn", "success", "timeout", "5m", "203.0.113.9", "2001:db8::1", "10.0.0.0/8"]
    ),
    st.sampled_from(
        [
            "2026-06-15T11:00:00Z",
            "2026-06-15 11:00",
            "2026-02-30T00:00:00Z",
            "20000-01-01T00:00:00Z",
            "infinity",
        ]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e300, -1, 0, 4111111111111111]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3), inner.map(json.dumps)
    ),
    max_leaves=8,
)


@st.composite
def events(draw: st.DrawFn, kind: str) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    fields = FIELDS[kind]
    event: dict[str, Any] = dict(REQUIRED[kind]) if draw(st.integers(0, 4)) else {}
    event |= draw(st.dictionaries(st.one_of(st.sampled_from(fields), texts), values, max_size=4))
    return event


FIELDS = {
    "tool_usage": [
        *(
            "bcp_name",
            "tool_name",
            "operation",
            "start_time",
            "end_time",
            "duration_ms",
            "success",
            "outcome",
        ),
        *(
            "error_type",
            "error_message",
            "parameters",
            "response_data",
            "request_bytes",
            "user_id",
            "session_id",
            "conversation_id",
        ),
        *("request_id", "trace_id", "client_name", "release", "ip_address", "user_agent", "event_id"),
    ],
    "errors": [
        *(
            "level",
            "message",
            "timestamp",
            "error_type",
            "error_code",
            "stack_trace",
            "fingerprint",
            "bcp_name",
        ),
        *("tool_name", "context", "tool_context", "user_id", "session_id", "request_id", "event_id"),
        *("conversation_id", "client_name"),
    ],
    "metrics": ["metric_name", "metric_value", "timestamp", "labels", "aggregation_period", "event_id"],
    "sessions": [
        *("session_id", "user_id", "client_name", "ip_address", "user_agent", "started_at", "last_activity"),
        "ended_at",
    ],
}


BATCHES = {kind: st.lists(events(kind), max_size=6) for kind in TABLES}


@pytest.mark.parametrize("kind", TABLES)
def test_fields_are_those_that_sql_knows(db: psycopg.Connection[Any], kind: str) -> None:
    with db.cursor(row_factory=tuple_row) as cur:
        known = cur.execute("select field from bcp_internal.event_fields(%s)", [kind]).fetchall()
    assert set(FIELDS[kind]) <= {field for (field,) in known}


@pytest.mark.parametrize("kind", TABLES)
@shared
@given(data=st.data())
def test_any_batch_balances_and_keeps_no_secret(
    db: psycopg.Connection[Any], kind: str, data: st.DataObject
) -> None:
    batch = data.draw(BATCHES[kind])
    with db.transaction(force_rollback=True), db.cursor(row_factory=dict_row) as cur:
        cur.execute("select set_config('bcp.now', %s, true)", [NOW])
        call = sql.SQL("select * from bcp.{}(null, %s::text)").format(sql.Identifier(f"ingest_{kind}"))
        row = cur.execute(call, [json.dumps(batch)]).fetchone()
        assert row is not None
        assert row["accepted"] == len(batch)
        assert row["accepted"] == row["stored"] + row["duplicates"] + row["rejected"]
        assert min(row.values()) >= 0

        stored = cur.execute(
            sql.SQL("select t::text as row from bcp.{} t").format(sql.Identifier(TABLES[kind]))
        ).fetchall()
        if kind != "sessions":  # one session may be touched more than once
            assert len(stored) == row["stored"]
        rejected = cur.execute("select t::text as row, reason from bcp.rejected_events t").fetchall()
        assert len(rejected) == row["rejected"]
        assert all(r["reason"] for r in rejected)
        booked = cur.execute(
            "select accepted, stored, duplicates, rejected from bcp.ingest_batches"
        ).fetchall()
        assert booked == [row]
        rest = cur.execute(
            "select t::text as row from bcp.users t union all select t::text from bcp.user_sessions t"
            " union all select t::text from bcp.error_issues t"
        ).fetchall()
        everything = "\n".join(r["row"] for r in [*stored, *rejected, *rest])
        assert "zaphod" not in everything.lower()
        assert CARD.replace(" ", "") not in everything.replace(" ", "")


@pytest.mark.parametrize("kind", TABLES)
@shared
@given(data=st.data())
def test_the_same_batch_again_changes_nothing(
    db: psycopg.Connection[Any], kind: str, data: st.DataObject
) -> None:
    batch = data.draw(BATCHES[kind])
    with db.transaction(force_rollback=True), db.cursor(row_factory=dict_row) as cur:
        cur.execute("select set_config('bcp.now', %s, true)", [NOW])
        call = sql.SQL("select * from bcp.{}(%s, %s::text)").format(sql.Identifier(f"ingest_{kind}"))
        id_and_events = ["00000000-0000-4000-8000-000000000001", json.dumps(batch)]
        cur.execute(call, id_and_events)
        rows = sql.SQL("select t::text as row from bcp.{} t order by 1").format(sql.Identifier(TABLES[kind]))
        before = cur.execute(rows).fetchall()
        again = cur.execute(call, id_and_events).fetchone()
        assert again == {"accepted": len(batch), "stored": 0, "duplicates": len(batch), "rejected": 0}
        assert cur.execute(rows).fetchall() == before
