"""What the proxy records of the messages that pass through it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.mcp._proxy import _conversation as conversing
from tests.python.proxy_connection import Connection

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "claude", "version": "3"},
}


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_a_call_is_recorded_with_what_both_sides_said(connection: Connection) -> None:
    request = b'{"id": 7, "method": "tools/call", "params": {"name": "now", "arguments": {"a": 1}}}'
    response = (
        b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"noon"}],"isError":false}}'
    )
    connection.raw(request + b"\r\n", from_client=True)
    connection.raw(response + b"\n", from_client=False)
    assert connection.only_call == {
        "bcp_name": "time",
        "tool_name": "now",
        "operation": "tools/call",
        "session_id": "s",
        "user_id": "ada",
        "parameters": {"a": 1},
        "response_data": {"content": [{"type": "text", "text": "noon"}], "isError": False},
        "success": True,
        "request_id": "7",
        "request_bytes": len(request) + 1,
        "response_bytes": len("noon"),
        "wire_bytes": len(response),
        "start_time": datetime.fromtimestamp(1_800_000_000.001, UTC),
        "duration_ms": 1.0,
    }
    assert connection.sink.errors == []


def test_client_server_and_version_come_from_the_handshake(connection: Connection) -> None:
    connection.ask(
        0, "initialize", protocolVersion="2099-01-01", clientInfo={"name": "ide", "version": "1.2"}
    )
    connection.answer(0, protocolVersion="2025-06-18", serverInfo={"name": "clock", "version": "9"})
    connection.ask(1)
    connection.answer(1, content=[])
    call = connection.only_call
    assert (call["client_name"], call["client_version"], call["release"]) == ("ide", "1.2", "9")
    assert call["protocol_version"] == "2025-06-18"
    assert connection.sink.sessions == [
        {"session_id": "s", "user_id": "ada"},
        {"session_id": "s", "user_id": "ada", "client_name": "ide", "client_version": "1.2"},
    ]


def test_without_a_handshake_they_come_with_each_request(connection: Connection) -> None:
    """As in protocol version 2026-07-28."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    server = {"io.modelcontextprotocol/serverInfo": {"name": "clock", "version": "9"}}
    connection.ask(1, "server/discover", _meta=MODERN | {"traceparent": traceparent})
    connection.answer(1, supportedVersions=["2026-07-28"], _meta=server)
    connection.ask(2, _meta=MODERN | {"traceparent": traceparent, "bcp-analytics/intent": "plan a day"})
    connection.answer(2, content=[], resultType="complete")
    connection.ask(3)
    connection.answer(3, content=[])
    first, second = connection.sink.calls
    assert (first["client_name"], first["client_version"], first["release"]) == ("claude", "3", "9")
    assert first["protocol_version"] == "2026-07-28"
    assert first["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert first["parent_span_id"] == "b7ad6b7169203331"
    assert second["client_name"] == "claude"
    assert first["intent"] == "plan a day"
    assert not {"trace_id", "intent"} & set(second)


def test_a_list_of_tools_is_kept_as_names_and_what_they_cost(connection: Connection) -> None:
    schema = {"type": "object", "properties": {"zone": {"type": "string"}}}
    connection.ask("a", "tools/list", cursor="page2")
    connection.answer("a", tools=[{"name": "now", "description": "né", "inputSchema": schema}, {"name": "x"}])
    call = connection.only_call
    cost = len("now") + len("né".encode()) + len(json.dumps(schema, separators=(",", ":")))
    assert (call["tool_name"], call["operation"]) == ("tools/list", "tools/list")
    assert call["parameters"] == {"cursor": "page2"}
    listed = call["response_data"]["tools"]
    assert [(tool["name"], tool["bytes"]) for tool in listed] == [("now", cost), ("x", 1)]
    assert all(len(tool["digest"]) == 16 for tool in listed)
    assert (call["tool_count"], call["context_bytes"], call["more"]) == (2, cost + 1, False)
    assert call["response_bytes"] == cost + 1


def test_what_a_tool_is_is_recorded_once_a_day_and_when_it_changes(connection: Connection) -> None:
    schema = {"type": "object", "properties": {"zone": {"type": "string"}}}
    now = {"name": "now", "description": "The time.", "inputSchema": schema}
    turned = {"inputSchema": schema, "description": "The time.", "name": "now"}
    for number, tool in enumerate([now, turned, now | {"description": "The time, in a zone."}]):
        connection.ask(number, "tools/list")
        connection.answer(number, tools=[tool, "odd", {"name": 7}])
    first, second = connection.sink.definitions
    assert (first["tool_name"], first["operation"]) == ("tools/definition", "tools/list")
    assert (first["defines"], second["defines"]) == ("now", "now")
    assert first["response_data"]["description"] == "The time."
    assert first["response_data"]["inputSchema"] == schema
    assert first["digest"] != second["digest"]
    assert first["event_id"] != second["event_id"]
    assert first["response_bytes"] == 0


def test_failures_are_told_apart(connection: Connection) -> None:
    connection.ask(1)
    connection.answer(1, content=[{"type": "text", "text": "no such zone"}], isError=True)
    connection.ask(2)
    connection.server({"jsonrpc": "2.0", "id": 2, "error": {"code": -32602, "message": "Unknown tool"}})
    connection.ask(3)
    connection.server({"jsonrpc": "2.0", "id": 3, "error": {"code": -32001, "message": "too slow"}})
    outcomes = [
        (call["success"], call.get("error_type"), call["error_message"]) for call in connection.sink.calls
    ]
    assert outcomes == [
        (False, None, "no such zone"),
        (False, "-32602", "Unknown tool"),
        (False, "-32001", "too slow"),
    ]
    assert [(error["level"], error["message"]) for error in connection.sink.errors] == [
        ("warn", "no such zone"),
        ("error", "Unknown tool"),
        ("error", "too slow"),
    ]
    assert connection.sink.errors[0]["tool_context"] == {"tool": "now", "parameters": {}}


def test_a_question_back_is_neither_success_nor_failure(connection: Connection) -> None:
    connection.ask(1)
    connection.answer(1, resultType="input_required", inputRequests={})
    call = connection.only_call
    assert "success" not in call
    assert "outcome" not in call
    assert call["result_type"] == "input_required"


def test_a_cancelled_call(connection: Connection) -> None:
    connection.ask(1)
    connection.client(
        {"method": "notifications/cancelled", "params": {"requestId": 1, "reason": "user left"}}
    )
    connection.answer(1, content=[])
    call = connection.only_call
    assert (call["cancelled_by"], call["error_message"], "success" in call) == ("client", "user left", False)
    assert connection.sink.errors == []


def test_a_client_that_waited_long_enough_is_an_error(connection: Connection) -> None:
    reason = "McpError: MCP error -32001: Request timed out"
    connection.ask(1)
    connection.client({"method": "notifications/cancelled", "params": {"requestId": 1, "reason": reason}})
    assert connection.only_call["error_message"] == reason
    assert [(error["level"], error["message"]) for error in connection.sink.errors] == [("error", reason)]


def test_calls_that_nobody_answers(connection: Connection) -> None:
    connection.ask(1)
    connection.finish(exit_code=3)
    call = connection.only_call
    assert (call["success"], call["error_type"], call["duration_ms"]) == (False, "no_answer", 1.0)
    assert [error["error_type"] for error in connection.sink.errors] == ["no_answer", "server_ended"]
    assert connection.sink.errors[0]["message"].startswith("The server ended with exit code 3")
    assert connection.sink.ended == ["s"]


@pytest.mark.parametrize(("client_left", "exit_code"), [(True, 143), (True, 0), (False, 0)])
def test_the_end_of_a_run_makes_no_failure_of_what_is_open(
    connection: Connection,
    client_left: bool,  # noqa: FBT001
    exit_code: int,
) -> None:
    connection.ask(1)
    connection.finish(client_left=client_left, exit_code=exit_code)
    call = connection.only_call
    assert call["error_type"] == "no_answer"
    assert not {"outcome", "success", "duration_ms"} & set(call)
    assert connection.sink.errors == []


@pytest.mark.parametrize(("asked", "answered"), [(2, "2"), ("2", 2), (2, 2.0), ("2", 2.0), (-3, "-3")])
def test_an_id_may_come_back_in_another_form(connection: Connection, asked: Any, answered: Any) -> None:
    connection.ask(asked)
    connection.answer(answered, content=[])
    assert (connection.only_call["success"], connection.only_call["duration_ms"]) == (True, 1.0)
    connection.ask(asked, name="again")
    connection.client({"method": "notifications/cancelled", "params": {"requestId": answered}})
    assert connection.sink.calls[1]["cancelled_by"] == "client"


# Python 3.14 reads 50,000 levels, those before it fewer than 3,000.
DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "value",
    [b"1" * 5_000, DEEP, b'{"id": 1, "result": "\\""}, 01'],
    ids=["digits", "levels", "no JSON"],
)
def test_an_answer_that_cannot_be_read_is_an_answer(connection: Connection, value: bytes) -> None:
    connection.ask(1)
    connection.ask(2)
    line = b'{"result": {"id": 1, "content": [' + value + b'], "method": "x"}, "jsonrpc": "2.0", "id": 2}'
    connection.raw(line + b"\n", from_client=False)
    call = connection.only_call
    assert (call["request_id"], call["error_type"], call["duration_ms"]) == ("2", "answer_unread", 1.0)
    assert call["response_bytes"] == len(line)
    assert "outcome" not in call


def test_a_call_that_cannot_be_read_is_a_call(connection: Connection) -> None:
    line = b'{"params": {"arguments": {"a": ' + DEEP + b'}, "name": "now"}, "method": "tools/call", "id": 1}'
    connection.raw(line + b"\n", from_client=True)
    connection.answer(1, content=[])
    call = connection.only_call
    assert (call["tool_name"], call["success"], call["request_bytes"]) == ("now", True, len(line))
    assert call["parameters"] == {"_omitted": f"{len(line)} bytes"}


def test_bytes_that_are_no_utf_8_are_read_as_clients_read_them(connection: Connection) -> None:
    connection.ask(1)
    connection.raw(b'{"id": 1, "result": {"content": [{"text": "caf\xe9"}]}}\n', from_client=False)
    call = connection.only_call
    assert (call["success"], call["response_data"]) == (True, {"content": [{"text": "caf\ufffd"}]})


def test_ids_are_told_apart_by_direction_and_type(connection: Connection) -> None:
    connection.ask(1, name="number")
    connection.ask("1", name="string")
    connection.server({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}})
    connection.client({"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}})
    assert connection.sink.calls == []
    connection.answer("1", content=[])
    connection.answer(1, content=[])
    assert [call["tool_name"] for call in connection.sink.calls] == ["string", "number"]


def elicit(connection: Connection, request_id: Any) -> None:
    connection.server({"jsonrpc": "2.0", "id": request_id, "method": "elicitation/create", "params": {}})


def answered(connection: Connection, request_id: Any, after_ms: int = 0) -> None:
    connection.ms += after_ms
    connection.client({"jsonrpc": "2.0", "id": request_id, "result": {"action": "accept"}})


def test_waiting_for_a_person_is_no_time_of_the_tool(connection: Connection) -> None:
    """Of 302,003 ms a person took two times 150,000 and one for each message."""
    connection.ask(1)
    for question in ("a", "b"):
        elicit(connection, question)
        answered(connection, question, 150_000)
    connection.answer(1, content=[])
    call = connection.only_call
    assert (call["duration_ms"], call["waited_ms"]) == (3.0, 300_002.0)


def test_two_questions_at_once_are_one_wait_and_one_without_an_answer_is_one(connection: Connection) -> None:
    connection.ask(1)
    elicit(connection, 7)
    elicit(connection, 8)
    answered(connection, 7, 1_000)
    connection.client({"method": "notifications/cancelled", "params": {"requestId": 1}})
    call = connection.only_call
    assert (call["duration_ms"], call["waited_ms"]) == (1.0, 1_003.0)


def test_a_question_is_of_the_call_that_is_open_to_its_end_or_of_none(connection: Connection) -> None:
    connection.ask(1)
    connection.ask(2)
    elicit(connection, "a")
    connection.answer(1, content=[])
    answered(connection, "a", 1_000)
    connection.ask(3)
    elicit(connection, "b")
    answered(connection, "b", 1_000)
    connection.answer(2, content=[])
    connection.answer(3, content=[])
    waited = {call["request_id"]: call.get("waited_ms") for call in connection.sink.calls}
    assert waited == {"1": None, "2": 1_002.0, "3": None}


def test_batches(connection: Connection) -> None:
    connection.client(
        [{"id": n, "method": "tools/call", "params": {"name": f"t{n}", "arguments": {}}} for n in range(3)]
        + [{"method": "notifications/initialized"}]
    )
    connection.server([{"id": 2, "result": {"content": []}}, {"id": 0, "result": {"content": []}}])
    assert [call["tool_name"] for call in connection.sink.calls] == ["t2", "t0"]


def test_an_answer_too_long_to_be_read_still_ends_its_call(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lines in connection.observer._lines.values():
        monkeypatch.setattr(lines._parts, "_limit", 1_000)
    text = "x" * 2_000
    connection.ask(1)
    connection.answer(1, content=[{"type": "text", "text": text}])
    connection.ask(2)
    connection.server({"result": {"content": [{"type": "text", "text": text}]}, "jsonrpc": "2.0", "id": 2})
    connection.ask(3)
    connection.server({"jsonrpc": "2.0", "result": {"content": [{"type": "text", "text": text}]}, "id": 3})
    connection.ask(4, arguments={"text": text})
    connection.server({"result": {"id": 9, "text": text}, "id": "4", "jsonrpc": "2.0"})
    connection.finish()
    assert [call["request_id"] for call in connection.sink.calls] == ["1", "2", "3", "4"]
    assert {call["tool_name"] for call in connection.sink.calls} == {"now"}
    assert {call["error_type"] for call in connection.sink.calls} == {"answer_unread"}
    assert all("outcome" not in call for call in connection.sink.calls)
    assert connection.observer.counts.unread_lines == 5


def test_open_calls_are_bounded(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "_MAX_OPEN", 2)
    for number in range(3):
        connection.ask(number)
    assert (connection.only_call["request_id"], connection.only_call["error_type"]) == ("0", "no_answer")


def test_recording_that_raises_is_counted_and_said_once(connection: Connection) -> None:
    connection.sink.broken = RuntimeError("no more room")
    for number in range(3):
        connection.ask(number)
        connection.answer(number, content=[])
    connection.finish()
    assert connection.observer.counts.calls == 3
    assert connection.observer.counts.unrecorded == 4
    [said] = connection.said
    assert "no more room" in said


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "method", "params", "result", "error", "name", "_meta", "content", "tools", "code"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_messages = st.lists(
    st.tuples(st.booleans(), _json | st.builds(
        lambda method, number, params: {"method": method, "id": number, "params": params},
        st.sampled_from(["tools/call", "tools/list", "initialize", "notifications/cancelled"]),
        st.integers(0, 2),
        _json,
    ) | st.builds(lambda number, result: {"id": number, "result": result}, st.integers(0, 2), _json)),
    max_size=8,
)  # fmt: skip


@given(_messages)
def test_no_message_can_make_it_fail(messages: list[tuple[bool, Any]]) -> None:
    connection = Connection()
    for from_client, message in messages:
        connection.raw(json.dumps(message).encode() + b"\n", from_client=from_client)
    connection.finish()
    assert connection.said == []
