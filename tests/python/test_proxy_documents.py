"""What the proxy keeps of large documents, and what it counts of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._events import MAX_DOCUMENT, encoded_size
from tests.python.proxy_connection import Connection


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_of_large_documents_the_beginning_is_kept(connection: Connection) -> None:
    connection.ask(1, arguments={"path": "a.txt", "text": "some words " * MAX_DOCUMENT, "after": 1})
    image = {"type": "image", "mimeType": "image/png", "data": "A" * MAX_DOCUMENT}
    connection.answer(1, content=[image, {"type": "text", "text": "a picture"}])
    call = connection.only_call
    assert list(call["parameters"]) == ["path", "text"]
    head, _, mark = call["parameters"]["text"].rpartition(" [TRUNCATED ")
    assert mark == f"{11 * MAX_DOCUMENT} bytes]"
    assert MAX_DOCUMENT - 100 < len(head) <= MAX_DOCUMENT
    assert head.split() == ["some", "words"] * (len(head.split()) // 2) + ["some"] * (len(head.split()) % 2)
    assert call["response_data"]["content"] == [
        image | {"data": f"<{MAX_DOCUMENT} characters of base64>"},
        {"type": "text", "text": "a picture"},
    ]
    assert call["wire_bytes"] > MAX_DOCUMENT


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=200).map(lambda text: text * 9),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    room=st.integers(0, 3_000),
)
@example(value=["x" * 5_000], room=2_000)
@example(value={"a": ["\U0001f600" * 900]}, room=2_001)
def test_the_beginning_of_a_document_is_one(value: Any, room: int) -> None:
    kept, left = events._beginning(value, room, 100)
    if encoded_size(value) <= room // 2:
        assert kept == value
    if left > 0:
        assert kept == value
    assert is_beginning(kept, value)


def is_beginning(kept: Any, whole: Any) -> bool:
    if isinstance(kept, str) and kept != whole:
        return isinstance(whole, str) and whole.startswith(kept.rpartition(" [TRUNCATED ")[0])
    if isinstance(kept, list):
        return all(map(is_beginning, kept, whole))
    if isinstance(kept, dict):
        return list(kept) == list(whole)[: len(kept)] and all(is_beginning(kept[k], whole[k]) for k in kept)
    return bool(kept == whole)


def test_what_is_nested_too_deep_for_the_store_costs_no_call(connection: Connection) -> None:
    deep: Any = "x" * MAX_DOCUMENT
    for _ in range(900):
        deep = [deep]
    connection.ask(1, arguments={"a": deep})
    connection.answer(1, content=[])
    assert "_omitted" in json.dumps(connection.only_call["parameters"])


@pytest.mark.parametrize(
    ("result", "size"),
    [
        ({"content": [{"type": "text", "text": "né\n"}], "structuredContent": {"result": "né\n"}}, 4),
        ({"content": [], "structuredContent": {"a": 1}}, len('{"a":1}')),
        ({"structuredContent": {"a": 1}}, len('{"a":1}')),
        ({"content": []}, 0),
        ({"content": [{"type": "image", "data": "A" * 400}, {"type": "audio", "data": "A"}]}, 0),
        ({"content": [{"type": "resource", "resource": {"text": "four"}}]}, 4),
        ({"content": [{"type": "resource", "resource": {"blob": "AAAA"}}]}, 0),
        ({"content": [{"type": "resource_link", "uri": "a:b"}]}, len('{"type":"resource_link","uri":"a:b"}')),
        ({"content": [{"type": "text", "text": "broke"}], "isError": True}, 5),
        ({"toolResult": 7}, len('{"toolResult":7}')),
    ],
)
def test_what_reaches_the_model_is_counted(connection: Connection, result: Any, size: int) -> None:
    connection.ask(1)
    connection.answer(1, **result)
    assert connection.only_call["response_bytes"] == size


def test_an_error_costs_its_message(connection: Connection) -> None:
    connection.ask(1)
    connection.server({"id": 1, "error": {"code": -32602, "message": "Unknown tool"}})
    assert connection.only_call["response_bytes"] == len("Unknown tool")
