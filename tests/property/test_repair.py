"""A call with a name is stored, whatever is in its other fields but in its times."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.property.test_ingest import shared

anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**25), 10**25),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(
            ["x" * 501, " ", "true", "1e5", "12", "10.0.0.1:80", "success", "a@example.com", "\0"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = [
    *("operation", "duration_ms", "success", "outcome", "error_type", "error_message", "parameters"),
    *(
        "response_data",
        "request_bytes",
        "response_bytes",
        "response_tokens",
        "user_id",
        "session_id",
        "conversation_id",
    ),
    *("request_id", "trace_id", "client_name", "client_version", "client_model", "release", "ip_address"),
    *("user_agent", "event_id", "own"),
]


@shared
@given(fields=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=6), name=st.text(max_size=600))
def test_a_call_with_a_name_is_stored(db: psycopg.Connection[Any], fields: dict[str, Any], name: str) -> None:
    event = json.dumps(fields | {"bcp_name": "files", "tool_name": name})
    # What JSON has no form for, a sender of other than Python would not send.
    event = event.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null")
    with db.transaction(force_rollback=True):
        answer = db.execute("select * from bcp.ingest_tool_usage(null, %s::text)", [f"[{event}]"]).fetchone()
        assert answer == (1, 1, 0, 0)
        [(attributes, repaired)] = db.execute(
            "select attributes, (select repaired from bcp.ingest_batches) from bcp.tool_usage_logs"
        ).fetchall()
        marks = (attributes or {}).get("_repaired", [])
        assert repaired == (1 if marks else 0)
        assert set(marks) <= {"tool_name", *fields}


@shared
@given(fields=st.dictionaries(st.sampled_from([*FIELDS, "start_time", "end_time"]), anything, max_size=6))
def test_what_is_repaired_needs_no_repair(db: psycopg.Connection[Any], fields: dict[str, Any]) -> None:
    event = json.loads(
        json.dumps(fields | {"bcp_name": "files", "tool_name": "read"}).replace("\\u0000", ""),
        parse_constant=lambda _: None,
    )
    [(once, twice)] = db.execute(
        "select r.e, bcp_internal.repaired_event('tool_usage', r.e)"
        " from bcp_internal.repaired_event('tool_usage', %s) as r (e)",
        [Jsonb(event)],
    ).fetchall()
    assert once == twice
