"""What the proxy changes where agents are asked why they call, and that it is nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.mcp._asking import Asking
from bcp_analytics.mcp._proxy import _asks
from bcp_analytics.mcp._proxy._asks import EVENT, LINE, WHOLE, Frames, Talk

OBJECT: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "number"}}}
TOOLS: list[Any] = [
    {"name": "add", "inputSchema": OBJECT},
    {"name": "bare", "inputSchema": {"type": "object"}},
    {"name": "own", "inputSchema": {"type": "object", "properties": {"context": {"type": "number"}}}},
]


def listing(tools: list[Any], **result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools} | result}).encode()


def call(name: str, arguments: str, more: str = "") -> bytes:
    params = f'{{"name": "{name}", "arguments": {arguments}{more}}}'
    return f'{{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {params}}}'.encode()


def tools_of(message: bytes) -> dict[str, Any]:
    return {tool["name"]: tool["inputSchema"] for tool in json.loads(message)["result"]["tools"]}


@pytest.fixture
def talk() -> Talk:
    """Return one that has seen the list of tools."""
    talk = Talk(Asking(context=True, more=True))
    talk.of_server(listing(TOOLS))
    return talk


def test_a_list_gets_the_argument_and_on_its_last_page_the_tool() -> None:
    talk = Talk(Asking(context=True, more=True))
    first = tools_of(talk.of_server(listing(TOOLS[:1], nextCursor="2")))
    last = tools_of(talk.of_server(listing(TOOLS[1:])))
    assert list(first) == ["add"]
    assert list(last) == ["bare", "own", "get_more_tools"]
    assert list(first["add"]["properties"]) == ["n", "context"]
    assert "required" not in first["add"]
    assert last["bare"]["properties"].keys() == {"context"}
    assert last["own"] == TOOLS[2]["inputSchema"]


def test_a_tool_of_the_servers_own_by_that_name_is_left_alone() -> None:
    talk = Talk(Asking(context=True, more=True))
    own = {"name": "get_more_tools", "inputSchema": OBJECT}
    assert list(tools_of(talk.of_server(listing([own])))) == ["get_more_tools"]
    message = call("get_more_tools", '{"n": 1}')
    assert talk.of_client(message).passed == message


def test_every_other_byte_of_a_call_stays(talk: Talk) -> None:
    said = talk.of_client(
        call("add", '{ "n":1.50e0,  "context": "to \\u0073um", "z":"\\/\xe9"}', " ") + b"\r\n"
    )
    assert said.passed == call("add", '{"n":1.50e0,"z":"\\/\xe9"}', " ") + b"\r\n"
    assert not said.answer
    meta = json.loads(said.recorded)["params"]["_meta"]
    assert meta == {"bcp-analytics/intent": "to sum"}


def test_what_the_client_says_besides_is_kept_for_the_recording(talk: Talk) -> None:
    said = talk.of_client(call("add", '{"context": "why"}', ', "_meta": {"traceparent": "x"}'))
    assert json.loads(said.passed)["params"] == {
        "name": "add",
        "arguments": {},
        "_meta": {"traceparent": "x"},
    }
    meta = json.loads(said.recorded)["params"]["_meta"]
    assert meta == {"traceparent": "x", "bcp-analytics/intent": "why"}


UNTOUCHED = {
    "its own argument": call("own", '{"context": 5}'),
    "a tool that no list has named": call("later", '{"context": "why"}'),
    "without the argument": call("add", '{"n": 1}'),
    "arguments that are none": call("add", '"context"'),
    "another method": b'{"id": 1, "method": "prompts/get", "params": {"arguments": {"context": "x"}}}',
    "a notification": b'{"method": "tools/call", "params": {"name": "get_more_tools", "arguments": {}}}',
    "no JSON": b'{"method": "tools/call", "params": {"name": "add", "arguments": {"context": ',
    "two values": call("add", '{"context": "why"}') * 2,
    "too deep": call("add", '{"context": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "too many digits": call("add", '{"context": "why", "n": ' + "1" * 5_000 + "}"),
    "params that are none": b'{"id": 1, "method": "tools/call", "params": ["context"]}',
    "a batch of oddities": b'[1, null, "context", {"id": 1}, {"method": "tools/list"}]',
}


@pytest.mark.parametrize("message", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_passes_as_it_is(talk: Talk, message: bytes) -> None:
    said = talk.of_client(message)
    assert (said.passed, said.recorded, said.answer) == (message, message, b"")


@pytest.mark.parametrize(
    "message",
    [
        b'{"id": 1, "result": {"tools": [{"name": "add"}]}}',
        b'{"id": 1, "result": {"tools": [7]}}',
        b'{"id": 1, "result": {"content": [{"type": "text", "text": "\\"tools\\""}]}}',
        b'{"id": 1, "method": "sampling/createMessage", "params": {"tools": []}, "result": {"tools": []}}',
        b'{"id": 1, "result": {"tools": [',
    ],
)
def test_what_is_no_list_of_tools_passes_as_it_is(talk: Talk, message: bytes) -> None:
    assert talk.of_server(message) == message


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_the_tool_is_answered_and_does_not_reach_the_server(version: str) -> None:
    talk = Talk(Asking(context=False, more=True), version)
    said = talk.of_client(call("get_more_tools", '{"context": "delete a mail"}'))
    assert said.passed == b""
    answer = json.loads(said.answer)
    assert answer["id"] == 2
    assert answer["result"]["isError"] is False
    assert ("resultType" in answer["result"]) == (version == "2026-07-28")
    recorded = json.loads(said.recorded)["params"]
    assert recorded["arguments"] == {}
    assert recorded["_meta"] == {"bcp-analytics/intent": "delete a mail"}


def test_in_a_batch_the_server_gets_a_ping_in_its_place(talk: Talk) -> None:
    """So the answer comes where the server's answers come, however it sends them."""
    batch = b"[%s, %s]" % (
        call("add", '{"n": 1, "context": "why"}'),
        call("get_more_tools", '{"context": "wish"}').replace(b'"id": 2', b'"id": "a"'),
    )
    said = talk.of_client(batch)
    assert said.lists
    assert not said.answer
    first, second = json.loads(said.passed)
    assert first["params"]["arguments"] == {"n": 1}
    assert second == {"jsonrpc": "2.0", "id": "a", "method": "ping"}
    assert [message["params"]["_meta"]["bcp-analytics/intent"] for message in json.loads(said.recorded)] == [
        "why",
        "wish",
    ]
    answers = b'[{"jsonrpc":"2.0","id":2,"result":{"content":[]}}, {"jsonrpc":"2.0","id":"a","result":{}}]'
    kept, given = json.loads(talk.of_server(answers))
    assert kept == {"jsonrpc": "2.0", "id": 2, "result": {"content": []}}
    assert given["id"] == "a"
    assert given["result"]["content"][0]["text"].startswith("Noted.")
    assert talk.of_server(answers) == answers


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_event_keeps_all_but_its_data(talk: Talk, end: str) -> None:
    message = listing(TOOLS)
    cut = message.index(b"[") + 1
    event = b"id: 7\n: note\ndata: %s\ndata:%s\nretry: 5\n\n" % (message[:cut], message[cut:])
    event = event.replace(b"\n", end.encode())
    changed = talk.of_event(event)
    lines = changed.decode().split(end)
    assert [line for line in lines if not line.startswith("data")] == ["id: 7", ": note", "retry: 5", "", ""]
    [data] = [line.removeprefix("data: ") for line in lines if line.startswith("data")]
    assert "context" in tools_of(data.encode())["add"]["properties"]


def fed(frames: Frames, chunks: list[bytes]) -> bytes:
    return b"".join(part for chunk in chunks for part in frames.feed(chunk)) + frames.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(stream) + 1) for place in places})
    return [stream[begin:end] for begin, end in zip([0, *at], [*at, len(stream)], strict=True)]


STREAMS = {
    LINE: (b"first\r\n\n" + listing(TOOLS) + b"\nlast", Talk.of_server),
    EVENT: (
        b": a\r\n\r\nid: 1\r\ndata: " + listing(TOOLS) + b"\r\n\r\ndata: x\n\ndata: y\r\rdata",
        Talk.of_event,
    ),
    WHOLE: (listing(TOOLS) + b"\n\n", Talk.of_server),
}


@pytest.mark.parametrize("end", STREAMS)
@given(places=st.lists(st.integers(0, 2_000), max_size=12))
def test_where_a_stream_is_cut_does_not_matter(end: Any, places: list[int]) -> None:
    stream, change = STREAMS[end]

    def frames() -> Frames:
        talk = Talk(Asking(context=True, more=True))
        return Frames(end, lambda message: change(talk, message))

    whole = fed(frames(), [stream])
    assert whole.count(b"get_more_tools") == 1
    assert fed(frames(), cut(stream, places)) == whole
    # Without the questions it is the stream as it was.
    assert fed(Frames(end, lambda message: message), cut(stream, places)) == stream


def test_what_is_too_long_passes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asks, "MAX_LINE", 100)
    seen: list[bytes] = []
    frames = Frames(LINE, lambda message: seen.append(message) or message)
    passed = list(frames.feed(b"x" * 90))
    assert passed == []
    passed += frames.feed(b"x" * 90)
    assert len(b"".join(passed)) >= 170
    assert frames.torn
    passed += frames.feed(b"x\nshort\n")
    assert b"".join(passed) == b"x" * 181 + b"\nshort\n"
    assert seen == [b"short\n"]
    assert not frames.torn


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    arguments=st.dictionaries(st.text() | st.just("context"), json_values),
    indent=st.none() | st.integers(0, 2),
    ascii_only=st.booleans(),
)
def test_the_server_gets_the_arguments_but_one(
    arguments: dict[str, Any],
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001
) -> None:
    talk = Talk(Asking(context=True, more=False))
    talk.of_server(listing(TOOLS))
    message = {"id": 1, "method": "tools/call", "params": {"name": "add", "arguments": arguments}}
    said = talk.of_client(json.dumps(message, indent=indent, ensure_ascii=ascii_only).encode())
    rest = {name: value for name, value in arguments.items() if name != "context"}
    assert json.loads(said.passed) == message | {"params": {"name": "add", "arguments": rest}}
    params = json.loads(said.recorded)["params"]
    assert params["arguments"] == rest
    if "context" in arguments:
        assert params["_meta"] == {"bcp-analytics/intent": arguments["context"]}
