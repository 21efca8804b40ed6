"""Why agents called: kept masked and cut, whichever way it comes."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
WAYS = {
    "json": "select bcp.ingest_tool_usage(null, jsonb_build_array(%(event)s::jsonb))",
    "text": "select bcp.ingest_tool_usage(null, jsonb_build_array(%(event)s::jsonb)::text)",
    "row": "select bcp.ingest_tool_usage(null, array["
    "jsonb_populate_record(null::bcp.tool_call, %(event)s::jsonb)])",
    "function": "select bcp.log_tool_usage('files', 'read', p_intent => %(event)s::jsonb ->> 'intent')",
    "both ends": "select bcp.end_tool_call(bcp.begin_tool_call('files', 'read',"
    " p_intent => %(event)s::jsonb ->> 'intent'))",
}


def sent(conn: Db, way: str, intent: Any) -> Any:
    conn.execute(WAYS[way], {"event": json.dumps(usage(intent=intent))})
    [row] = rows(conn, "select intent, attributes from bcp.tool_usage_logs")
    assert row["attributes"] is None
    return row["intent"]


@pytest.mark.parametrize("way", WAYS)
def test_an_intent_is_masked_whichever_way_it_comes(conn: Db, way: str) -> None:
    stored = sent(conn, way, "Find the invoice of ada@example.com")
    assert stored.startswith("Find the invoice of email#")


@pytest.mark.parametrize("way", WAYS)
def test_a_long_intent_is_cut_between_words_and_says_so(conn: Db, way: str) -> None:
    stored = sent(conn, way, "word " * 1_000)
    assert stored.endswith("word  [TRUNCATED 5000 bytes]")
    assert 1_900 < len(stored) <= 2_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("intent", ["", None])
def test_no_intent_is_null(conn: Db, way: str, intent: str | None) -> None:
    assert sent(conn, way, intent) is None


def test_an_intent_that_is_no_text_is_kept_and_named_as_a_repair(conn: Db) -> None:
    assert ingest(conn, [usage(intent={"goal": "tidy up"})]) == (1, 1, 0, 0)
    [row] = rows(conn, "select intent, attributes from bcp.tool_usage_logs")
    assert json.loads(row["intent"]) == {"goal": "tidy up"}
    assert row["attributes"] == {"_repaired": ["intent"]}


def test_intents_of_the_same_words_are_one(conn: Db) -> None:
    said = ["Find the invoices of 2025", "finding an INVOICE of ada@example.com", "delete it", "的", None]
    events = [usage(intent=s, success=n != 1, start_time="2026-06-15T11:00:00Z") for n, s in enumerate(said)]
    ingest(conn, [*events, usage(tool_name="get_more_tools", intent="delete it")])
    found = rows(conn, "select * from bcp.intents()")
    first, *others = [(row["call_count"], row["success_rate"], row["tool_name"]) for row in found]
    assert first == (2, 0.5, "read")
    assert others == [(1, 1.0, "read")] * 2
    assert {row["intent"] for row in found[1:]} == {"delete it", "的"}
    assert "ada" not in str(found)
    assert rows(conn, "select intent from bcp.intents(p_tool_name => 'other')") == []
    assert len(rows(conn, "select intent from bcp.intents(p_limit => 1)")) == 1


def test_each_number_of_intents_opens_the_calls_that_it_counts(conn: Db) -> None:
    said = ["Find the invoices of 2025", "finding an INVOICE of ada@example.com", "delete it", "的", None]
    events = [usage(intent=s, start_time="2026-06-15T11:00:00Z") for s in said]
    wishes = [
        usage(tool_name="get_more_tools", intent=s, start_time="2026-06-15T11:00:00Z") for s in said[2:]
    ]
    ingest(conn, [*events, *wishes])
    for row in rows(conn, "select intent, call_count from bcp.intents()"):
        found = rows(conn, "select tool_name from bcp.find_calls(p_intent => %(intent)s)", row)
        assert [call["tool_name"] for call in found] == ["read"] * row["call_count"]
    for row in rows(conn, "select intent, bcp_name, request_count from bcp.missing_tools()"):
        found = rows(
            conn,
            "select tool_name from bcp.find_calls(p_tool_name => 'get_more_tools',"
            " p_bcp_name => %(bcp_name)s, p_intent => coalesce(%(intent)s, ''))",
            row,
        )
        assert [call["tool_name"] for call in found] == ["get_more_tools"] * row["request_count"]
    # A wish is found where its tool is named, and a call without an intent has none of its words.
    assert rows(conn, "select tool_name from bcp.find_calls(p_intent => '')") == [{"tool_name": "read"}]
    assert rows(conn, "select 1 from bcp.find_calls(p_intent => 'something else')") == []


def test_each_call_shows_its_intent(conn: Db) -> None:
    times = [f"2026-06-15T11:00:0{number}Z" for number in range(2)]
    said = ["Find the invoice of ada@example.com", None]
    ingest(conn, [usage(intent=i, start_time=t, session_id="s") for i, t in zip(said, times, strict=True)])
    ingest(
        conn, [{"level": "error", "message": "it broke", "session_id": "s", "timestamp": times[1]}], "errors"
    )
    silent, found = rows(conn, "select intent from bcp.find_calls()")
    assert silent["intent"] is None
    assert found["intent"].startswith("Find the invoice of email#")
    timeline = rows(conn, "select kind, intent from bcp.session_timeline('s')")
    assert [(row["kind"], row["intent"]) for row in timeline] == [
        ("start", None),
        ("call", found["intent"]),
        ("call", None),
        ("error", None),
    ]


def test_what_agents_miss_is_counted_by_bundle(conn: Db) -> None:
    about = {"tool_name": "get_more_tools", "start_time": "2026-06-15T11:00:00Z"}
    ingest(conn, [usage(intent=i, **about) for i in ("delete a mail", "Deleting mails", None)])
    ingest(
        conn,
        [
            usage(intent="send it", bcp_name="b", **about),
            usage(intent="no wish", start_time=about["start_time"]),
        ],
    )
    found = rows(conn, "select bcp_name, request_count, intent is null as silent from bcp.missing_tools()")
    assert [(row["bcp_name"], row["request_count"], row["silent"]) for row in found] == [
        ("files", 2, False),
        ("b", 1, False),
        ("files", 1, True),
    ]
    assert len(rows(conn, "select intent from bcp.missing_tools(p_bcp_name => 'b')")) == 1


def definition(digest: str, at: str, **data: Any) -> dict[str, Any]:
    return usage(
        tool_name="tools/definition", operation="tools/list", defines="read", digest=digest, start_time=at,
        response_data=data, response_bytes=0, success=True,
    )  # fmt: skip


def test_a_tool_that_changed_shows_what_its_figures_did(conn: Db) -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    ingest(
        conn,
        [
            definition("d1", "2026-06-12T10:00:00Z", description="Reads.", inputSchema=schema, bytes=50),
            definition("d1", "2026-06-14T10:00:00Z", description="Reads.", inputSchema=schema, bytes=50),
            definition(
                "d2", "2026-06-15T10:00:00Z", description="Ask ada@example.com", inputSchema=schema, bytes=70
            ),
        ],
    )
    for start, ok, took, size in (
        ("08:00", True, 10, 100),
        ("09:00", True, 20, 200),
        ("11:00", False, 90, 900),
    ):
        at = f"2026-06-15T{start}:00Z"
        ingest(conn, [usage(success=ok, duration_ms=took, response_bytes=size, start_time=at)])
    [row] = rows(conn, "select * from bcp.tool_changes()")
    assert (row["bcp_name"], row["tool_name"], row["change"]) == ("files", "read", "description")
    assert row["changed_at"].isoformat() == "2026-06-15T10:00:00+00:00"
    assert row["previous_description"] == "Reads."
    assert row["description"].startswith("Ask email#")
    assert row["input_schema"] == row["previous_input_schema"] == schema
    assert (row["context_bytes"], row["previous_context_bytes"]) == (70, 50)
    assert (row["call_count"], row["previous_call_count"]) == (1, 2)
    assert (row["success_rate"], row["previous_success_rate"]) == (0, 1)
    assert (row["p95_duration_ms"], row["previous_p95_duration_ms"]) == (90, 20)
    assert (row["avg_response_bytes"], row["previous_avg_response_bytes"]) == (900, 150)
    # A definition is neither a call nor a list.
    assert rows(conn, "select call_count from bcp.report_totals()") == [{"call_count": 3}]
    [first] = rows(conn, "select change from bcp.tool_changes('2026-06-12T00:00Z', '2026-06-13T00:00Z')")
    assert first == {"change": "added"}


def listing(at: str, *names: str, **more: Any) -> dict[str, Any]:
    tools = [{"name": name, "bytes": 9, "digest": f"d-{name}"} for name in names]
    return usage(
        **{"tool_name": "tools/list", "operation": "tools/list", "start_time": at, "success": True,
           "response_data": {"tools": tools}, "tool_count": len(tools), "more": False} | more
    )  # fmt: skip


def removed(conn: Db, **given: Any) -> list[tuple[str, str]]:
    found = rows(conn, "select * from bcp.tool_changes(p_bcp_name => %s)", [given.get("bcp_name")])
    return [
        (row["tool_name"], row["changed_at"].strftime("%H:%M")) for row in found if row["change"] == "removed"
    ]


def test_a_tool_that_lists_have_no_more_was_removed(conn: Db) -> None:
    ingest(conn, [definition("d-read", "2026-06-12T10:00:00Z", description="Reads.", bytes=50)])
    ingest(conn, [usage(start_time="2026-06-15T08:30:00Z"), usage(start_time="2026-06-15T10:30:00Z")])
    # As it was before the tool came: what is taken back was removed.
    ingest(conn, [listing("2026-06-11T10:00:00Z", "write")])
    ingest(conn, [listing(f"2026-06-{day}T10:00:00Z", "read", "write") for day in (12, 13, 14)])
    ingest(conn, [listing("2026-06-15T08:00:00Z", "write", bcp_name="other")])
    assert removed(conn) == []
    ingest(conn, [listing(f"2026-06-15T{hour}:00:00Z", "write") for hour in ("10", "11")])
    [row] = rows(conn, "select * from bcp.tool_changes() where change = 'removed'")
    assert (row["bcp_name"], row["tool_name"]) == ("files", "read")
    assert row["changed_at"].isoformat() == "2026-06-15T10:00:00+00:00"
    assert (row["previous_description"], row["previous_context_bytes"]) == ("Reads.", 50)
    assert (row["description"], row["context_bytes"], row["input_schema"]) == (None, None, None)
    assert (row["call_count"], row["previous_call_count"]) == (1, 1)
    assert removed(conn, bcp_name="other") == []
    # It came back.
    ingest(conn, [listing("2026-06-15T11:30:00Z", "read", "write")])
    assert removed(conn) == []


@pytest.mark.parametrize(
    "later",
    [
        {"more": True},
        {"parameters": {"cursor": "2"}},
        {"tool_count": 2},
        {"response_data": {"note": "cut"}},
        {"more": None},
        {"success": False, "response_data": None},
    ],
)
def test_a_list_that_did_not_come_whole_removes_no_tool(conn: Db, later: dict[str, Any]) -> None:
    ingest(conn, [listing("2026-06-15T08:00:00Z", "read", "write")])
    ingest(conn, [listing("2026-06-15T09:00:00Z", "write", **later)])
    assert removed(conn) == []
    ingest(conn, [listing("2026-06-15T10:00:00Z", "write")])
    assert removed(conn) == [("read", "10:00")]


def test_a_tool_that_only_some_may_see_was_not_removed(conn: Db) -> None:
    ingest(
        conn,
        [
            listing("2026-06-15T08:00:00Z", "read", "write"),
            listing("2026-06-15T08:30:00Z", "write"),
            listing("2026-06-15T09:00:00Z", "read", "write"),
            listing("2026-06-15T09:30:00Z", "write"),
        ],
    )
    assert removed(conn) == []


def test_a_window_out_of_bounds_is_refused(conn: Db) -> None:
    for window in ("0 seconds", "32 days", None):
        with pytest.raises(psycopg.Error, match="p_window") as raised, conn.transaction():
            conn.execute("select * from bcp.tool_changes(p_window => %s)", [window])
        assert raised.value.sqlstate == "ZB002"
