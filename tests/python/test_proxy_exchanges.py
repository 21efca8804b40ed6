"""What the proxy records of exchanges over HTTP."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.mcp._proxy import _bodies as bodies
from bcp_analytics.mcp._proxy._conversation import Moment
from bcp_analytics.mcp._proxy._exchanges import Answered, Ended, HttpObserver, Opened
from tests.python.mcp_sink import Kept

JSON = "application/json"
SSE = "text/event-stream"
MODERN = "2026-07-28"


class Wire:
    """Exchanges, in which everything takes a millisecond."""

    def __init__(self) -> None:
        self.sink = Kept()
        self.said: list[str] = []
        self.ms = 0
        self.exchanges = 0
        self.observer = HttpObserver("shop", self.sink, say=self.said.append)

    @property
    def now(self) -> Moment:
        self.ms += 1
        return Moment(self.ms * 1_000_000, 1_800_000_000 + self.ms / 1000)

    def put(self, number: int, item: Any, *, from_client: bool) -> None:
        self.observer.take(item, self.now, (number, from_client))

    def post(self, message: Any, **headers: str) -> int:
        number = self.open("POST", **headers)
        self.put(number, json.dumps(message).encode(), from_client=True)
        self.put(number, None, from_client=True)
        return number

    def call(self, request_id: Any, **headers: str) -> int:
        params = {"name": "now", "arguments": {}}
        message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
        return self.post(message, **headers)

    def open(self, method: str, **headers: str) -> int:
        self.exchanges += 1
        given = {"session": "", "version": "", "user_agent": "", "address": "", "encoding": ""} | headers
        self.put(self.exchanges, Opened(method, **given), from_client=True)
        return self.exchanges

    def begin(self, number: int, status: int = 200, kind: str = SSE, **headers: str) -> None:
        given = {"session": "", "encoding": ""} | headers
        self.put(number, Answered(status, given["session"], kind, given["encoding"]), from_client=False)

    def bytes(self, number: int, data: bytes) -> None:
        self.put(number, data, from_client=False)

    def event(self, number: int, message: Any, event_id: str = "") -> None:
        named = f"id: {event_id}\n" if event_id else ""
        self.bytes(number, f"event: message\n{named}data: {json.dumps(message)}\n\n".encode())

    def end(self, number: int, how: Ended = Ended.WHOLE) -> None:
        self.put(number, how, from_client=False)

    def answer(self, number: int, message: Any, status: int = 200, kind: str = JSON, **headers: str) -> None:
        self.begin(number, status, kind, **headers)
        self.bytes(number, message if isinstance(message, bytes) else json.dumps(message).encode())
        self.end(number)

    def initialize(self, session: str, name: str = "ide") -> None:
        params = {"protocolVersion": "2025-06-18", "clientInfo": {"name": name, "version": "1"}}
        result = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "s", "version": "9"}}
        number = self.post({"id": 0, "method": "initialize", "params": params})
        self.answer(number, {"id": 0, "result": result}, session=session)

    def finish(self) -> None:
        self.observer.finish(self.now, client_left=True, exit_code=0)

    @property
    def only_call(self) -> dict[str, Any]:
        [call] = self.sink.calls
        return call


def result(request_id: Any, text: str = "noon") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "result": {"content": [{"type": "text", "text": text}]}}


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_call_is_recorded_with_who_made_it(wire: Wire) -> None:
    number = wire.call(
        7, version=MODERN, session="one-for-each-call", user_agent="ide/1", address="192.0.2.7"
    )
    wire.answer(number, result(7))
    size = len(json.dumps(result(7)))
    request = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "now", "arguments": {}}}
    assert wire.only_call == {
        "bcp_name": "shop",
        "tool_name": "now",
        "operation": "tools/call",
        "user_agent": "ide/1",
        "ip_address": "192.0.2.7",
        "protocol_version": MODERN,
        "parameters": {},
        "response_data": {"content": [{"type": "text", "text": "noon"}]},
        "success": True,
        "request_id": "7",
        "request_bytes": len(json.dumps(request)),
        "response_bytes": 4,
        "wire_bytes": size,
        "start_time": datetime.fromtimestamp(1_800_000_000.003, UTC),
        "duration_ms": 3.0,
    }
    assert wire.sink.sessions == wire.sink.errors == []


def test_each_session_has_calls_and_a_client_of_its_own(wire: Wire) -> None:
    """Both count their calls from 1; the id of the protocol, by which one could act in it, is not stored."""
    wire.initialize("secret-a", "ada")
    wire.initialize("secret-b", "bob")
    first, second = wire.call(1, session="secret-a"), wire.call(1, session="secret-b")
    wire.answer(second, result(1, "b"))
    wire.answer(first, result(1, "a"))
    assert [
        (call["client_name"], call["response_data"]["content"][0]["text"]) for call in wire.sink.calls
    ] == [
        ("bob", "b"),
        ("ada", "a"),
    ]
    bob, ada = (call["session_id"] for call in wire.sink.calls)
    named = {one["session_id"]: one.get("client_name") for one in wire.sink.sessions}
    assert named == {ada: "ada", bob: "bob"}
    assert "secret" not in repr(vars(wire.sink))
    wire.answer(wire.open("DELETE", session="secret-a"), b"", status=405)
    assert wire.sink.ended == []
    wire.answer(wire.open("DELETE", session="secret-a"), b"", status=204)
    assert wire.sink.ended == [ada]


def test_calls_without_a_session_do_not_meet(wire: Wire) -> None:
    first, second = wire.call(1), wire.call(1)
    wire.answer(second, result(1, "second"))
    wire.answer(first, result(1, "first"))
    assert [call["response_data"]["content"][0]["text"] for call in wire.sink.calls] == ["second", "first"]
    assert "session_id" not in wire.sink.calls[0]


STREAM = (
    b": a comment\n\nid: 1\ndata:\n\n"
    b'event: message\r\ndata: {"method": "notifications/progress",\r\ndata: "params": {}}\r\n\r\n'
    b'data:{"jsonrpc":"2.0","id":1,\rdata: "result":{"content":[{"type":"text","text":"noon"}]}}\r\r'
    b'retry: 5\ndata: {"id": 2, "half": '
)


@given(st.lists(st.integers(0, len(STREAM))), st.booleans())
def test_events_are_read_however_they_are_cut(cuts: list[int], compressed: Any) -> None:
    wire = Wire()
    number = wire.call(1)
    wire.begin(number, encoding="gzip" if compressed else "")
    data = gzip.compress(STREAM) if compressed else STREAM
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in pairwise(edges):
        wire.bytes(number, data[begin:end])
    assert wire.only_call["success"] is True
    assert wire.only_call["wire_bytes"] == len(STREAM.split(b"data:")[4].split(b"\r")[0]) + 1 + len(
        STREAM.split(b"data: ")[3].split(b"\r")[0]
    )
    wire.end(number)
    assert wire.observer.counts.unread_lines == 0


def test_an_answer_may_come_on_a_stream_that_resumes(wire: Wire) -> None:
    wire.initialize("s")
    number = wire.call(1, session="s")
    wire.begin(number)
    wire.event(number, {"method": "notifications/progress"}, "1-1")
    wire.end(number, Ended.BROKEN)
    assert wire.sink.calls == []
    resumed = wire.open("GET", session="s")
    wire.begin(resumed)
    wire.event(resumed, result(1), "1-2")
    assert wire.only_call["success"] is True
    # Sent once more, as the client may not have got it: it is one call.
    again = wire.open("GET", session="s")
    wire.begin(again)
    wire.event(again, result(1), "1-2")
    assert len(wire.sink.calls) == 1


def test_a_call_that_nobody_resumed_is_recorded_at_the_end(wire: Wire) -> None:
    wire.initialize("s")
    number = wire.call(1, session="s")
    wire.begin(number)
    wire.event(number, {"method": "notifications/progress"}, "1-1")
    wire.end(number, Ended.BROKEN)
    wire.call(2, session="s")
    wire.finish()
    assert [(call["request_id"], call["error_type"]) for call in wire.sink.calls] == [
        ("2", "no_answer"),
        ("1", "no_answer"),
    ]
    assert wire.sink.ended == []


@pytest.mark.parametrize(
    ("status", "version", "how", "saw"),
    [
        (200, "", Ended.BROKEN, (False, "no_answer", "The server broke off before the call was answered.")),
        (200, "", Ended.WHOLE, (False, "no_answer", "The server ended before the call was answered.")),
        (401, "", Ended.WHOLE, (False, "401", "HTTP 401 Unauthorized")),
        (599, "", Ended.WHOLE, (False, "599", "HTTP 599")),
        (200, "2025-11-25", Ended.LEFT, (None, "no_answer", None)),
        (200, MODERN, Ended.LEFT, (None, None, "The client closed the stream.")),
        (200, "", Ended.STOPPED, (None, "no_answer", None)),
    ],
)
def test_calls_without_an_answer(
    wire: Wire, status: int, version: str, how: Ended, saw: tuple[Any, ...]
) -> None:
    number = wire.call(1, version=version)
    wire.begin(number, status, SSE if status == 200 else "text/html")
    wire.bytes(number, b'data: {"half":')
    wire.end(number, how)
    call = wire.only_call
    assert (call.get("success"), call.get("error_type"), call.get("error_message")) == saw
    assert call.get("cancelled_by") == ("client" if version == MODERN else None)


def test_an_error_without_an_id_answers_what_was_posted(wire: Wire) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}}
    wire.answer(wire.call(1, session="old"), error, status=404)
    call = wire.only_call
    assert (call["success"], call["error_type"], call["error_message"]) == (
        False,
        "-32600",
        "Session not found",
    )
    assert [one["tool_name"] for one in wire.sink.errors] == ["now"]


def test_a_question_belongs_to_the_call_on_whose_stream_it_is(wire: Wire) -> None:
    wire.initialize("s")
    first, second = wire.call(1, session="s"), wire.call(2, session="s")
    for number in (first, second):
        wire.begin(number)
    wire.event(first, {"id": 5, "method": "elicitation/create", "params": {}})
    wire.answer(wire.post({"id": 5, "result": {"action": "accept"}}, session="s"), b"", status=202)
    wire.event(first, result(1))
    wire.event(second, result(2))
    waited, plain = wire.sink.calls
    assert waited["waited_ms"] == 3.0
    assert "waited_ms" not in plain


def test_a_batch_and_a_cancellation_by_a_request_of_its_own(wire: Wire) -> None:
    wire.initialize("s")
    calls = [{"id": n, "method": "tools/call", "params": {"name": f"t{n}"}} for n in (1, 2, 3)]
    number = wire.post(calls, session="s")
    wire.begin(number)
    wire.event(number, [result(3), result(1)])
    cancel = {"method": "notifications/cancelled", "params": {"requestId": 2, "reason": "enough"}}
    wire.answer(wire.post(cancel, session="s"), b"", status=202)
    wire.end(number, Ended.LEFT)
    assert [(call["tool_name"], call.get("cancelled_by")) for call in wire.sink.calls] == [
        ("t3", None),
        ("t1", None),
        ("t2", "client"),
    ]


@pytest.mark.parametrize("kind", [JSON, SSE])
def test_what_is_too_long_to_be_read_ends_its_call(
    wire: Wire, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_LINE", 1_000)
    message = json.dumps(result(1, "x" * 5_000)).encode()
    wire.answer(wire.call(1), message if kind == JSON else b"data: " + message + b"\n\n", kind=kind)
    call = wire.only_call
    assert (call["error_type"], call["wire_bytes"], call["response_bytes"]) == (
        "answer_unread",
        len(message),
        len(message),
    )


@pytest.mark.parametrize("kind", [JSON, SSE])
def test_what_was_left_out_tears_its_message_alone(wire: Wire, kind: str) -> None:
    number = wire.call(1)
    wire.begin(number, kind=kind)
    if kind == SSE:
        wire.bytes(number, b"data: ")
    wire.bytes(number, b'{"id": 1, "result": {"text": "')
    wire.put(number, 9_000, from_client=False)
    wire.bytes(number, b'more"}}\n\n')
    if kind == SSE:
        wire.event(number, {"method": "notifications/message"})
    wire.end(number)
    assert wire.only_call["error_type"] == "answer_unread"
    assert wire.observer.counts.unread_lines == 1


def test_an_answer_that_was_left_out_to_its_end_is_no_failure(wire: Wire) -> None:
    number = wire.call(1)
    wire.begin(number)
    wire.bytes(number, b'data: {"id": 1,')
    wire.put(number, 9_000, from_client=False)
    wire.end(number)
    assert (wire.only_call.get("success"), wire.only_call["error_type"]) == (None, "answer_unread")


def test_compressed_answers_are_read_in_bounded_memory(wire: Wire) -> None:
    wire.answer(wire.call(1), gzip.compress(json.dumps(result(1)).encode()), encoding="gzip")
    wire.answer(wire.call(2), zlib.compress(json.dumps(result(2)).encode()), encoding="deflate")
    wire.answer(wire.call(3), b"\x8b\x02 brotli", encoding="br")
    bomb = zlib.compressobj(wbits=31)
    data = b"".join(
        [bomb.compress(b'{"id": 4, "text": "'), *(bomb.compress(bytes(1 << 20)) for _ in range(64))]
    )
    wire.answer(wire.call(4), data + bomb.flush(), encoding="gzip")
    assert [call.get("error_type") for call in wire.sink.calls] == [
        None,
        None,
        "answer_unread",
        "answer_unread",
    ]
    assert wire.sink.calls[3]["wire_bytes"] < 20 << 20


def test_sessions_are_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcp_analytics.mcp._proxy._exchanges._MAX_SESSIONS", 2)
    for session in "abc":
        wire.initialize(session)
        number = wire.call(session, session=session)
        wire.begin(number)
        wire.event(number, {"method": "notifications/progress"}, "1")
        wire.end(number, Ended.BROKEN)
    assert (wire.only_call["request_id"], wire.only_call["error_type"]) == ("a", "no_answer")


_items = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"data: ", b"\n\n", b'{"id":1,"method":"tools/call"}', b'{"id":1,"result":', b"[", b"id: 1\n"]
    ),
    st.integers(1, 100),
    st.none(),
    st.builds(
        Opened,
        st.sampled_from(["POST", "GET", "DELETE"]),
        st.sampled_from(["", "a", "é"]),
        st.sampled_from(["", MODERN]),
        st.just(""),
        st.just(""),
        st.sampled_from(["", "gzip", "x"]),
    ),
    st.builds(
        Answered,
        st.integers(100, 999),
        st.sampled_from(["", "a"]),
        st.sampled_from([JSON, SSE, ""]),
        st.sampled_from(["", "gzip"]),
    ),
    st.sampled_from(list(Ended)),
)


@given(st.lists(st.tuples(_items, st.integers(0, 2), st.booleans()), max_size=40))
def test_nothing_that_passes_raises(items: list[Any]) -> None:
    wire = Wire()
    for item, number, from_client in items:
        wire.put(number, item, from_client=from_client)
    wire.finish()
    assert wire.observer.counts.unrecorded == 0
    assert not wire.observer._journal.open
    assert wire.observer._journal.open_bytes == 0
