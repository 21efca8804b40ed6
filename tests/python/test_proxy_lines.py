"""How the proxy reads what passes through it: lines, outlines of long ones, and a reader that is behind."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.mcp._proxy._conversation import Moment
from bcp_analytics.mcp._proxy._lines import Lines
from bcp_analytics.mcp._proxy._loop_tap import LoopTap
from bcp_analytics.mcp._proxy._outline import Outline
from bcp_analytics.mcp._proxy._pump import MAX_BEHIND, Tap
from bcp_analytics.mcp._proxy._record import received
from tests.python.proxy_connection import Connection


@given(st.binary(max_size=800), st.lists(st.integers(0, 800)), st.sampled_from([256, 300, 10_000]))
def test_lines_do_not_depend_on_how_they_were_cut(data: bytes, cuts: list[int], limit: int) -> None:
    lines = Lines(limit)
    edges = [0, *sorted(cuts), len(data)]
    found = [line for begin, end in pairwise(edges) for line in lines.feed(data[begin:end])]
    if (last := lines.end()) is not None:
        found.append(last)
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert [line.size for line in found] == [len(line) for line in expected]
    for line, whole in zip(found, expected, strict=True):
        assert (line.outline is None) == (len(whole) <= limit)
        assert line.data == (whole if line.outline is None else b"")


_members = st.dictionaries(
    st.sampled_from(["id", "method", "params", "result", 'i"d', "\\"]) | st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text('ab"\\{[:,é\n', max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "id", "x"]), inner)
        ),
        max_leaves=8,
    ),
)


@given(_members, st.booleans(), st.lists(st.integers(0, 400)))
def test_an_outline_has_what_reading_would_find(members: Any, spaced: Any, cuts: list[int]) -> None:
    data = json.dumps(members, indent=1 if spaced else None, ensure_ascii=spaced).encode()
    edges = [0, *sorted(cuts), len(data)]
    found = Outline(*(data[begin:end] for begin, end in pairwise(edges))).found
    params = members.get("params")
    wanted = {name: members.get(name) for name in ("id", "method")}
    wanted["name"] = params.get("name") if isinstance(params, dict) else None
    plain = str | int | bool
    assert found == {name: value for name, value in wanted.items() if isinstance(value, plain)}


@given(st.lists(st.text('"{}[]:,\\1 a').map(str.encode)))
def test_an_outline_raises_for_nothing(parts: list[bytes]) -> None:
    assert Outline(*parts).found == Outline(b"".join(parts)).found


def test_a_reader_that_is_behind_leaves_out_and_counts() -> None:
    connection = Connection()
    tap, chunk = Tap(), b"x" * (MAX_BEHIND // 4)
    tap.put(b'{"id": 1, "method": "tools/call", "params": {"name": "now"}}\n', connection.now, way=True)
    for _ in range(6):
        tap.put(chunk, connection.now, way=False)
    tap.put(b'\n{"id": 1, "result": {}}\n', connection.now, way=False)
    tap.put(None, connection.now, way=False)
    tap.stop()
    for item in tap:
        connection.observer.take(*item)
    assert connection.observer.counts.unread_bytes >= 2 * len(chunk)
    assert connection.only_call["success"] is True


def test_a_loop_sends_what_it_has_to_a_reader_that_is_slow() -> None:
    """And leaves the rest to whoever sends after it, in order."""
    out_of, into = os.pipe()
    tap = LoopTap()

    async def main() -> None:
        tap.attach(into)
        for number in range(60):
            tap.put(b"%d" % number * 20_000, Moment(number, 1.0), way=(number, False))
            tap.wake()
        await asyncio.sleep(0)
        read.append(os.read(out_of, 100_000))
        while len(read) < 4:
            await asyncio.sleep(0)
            read.append(os.read(out_of, 100_000))
        tap.detach()

    read: list[bytes] = []
    asyncio.run(main())
    tap.stop()
    rest = tap.unsent() + b"".join(pickle.dumps(item) for item in tap)
    os.set_blocking(out_of, False)
    with os.fdopen(out_of, "rb", buffering=0) as reader, os.fdopen(into, "wb"):
        read += iter(lambda: reader.read(100_000), None)
    items = list(received(io.BytesIO(b"".join(read) + rest)))
    assert [at.monotonic_ns for _, at, _ in items] == list(range(60))
    assert [len(chunk) for chunk, _, _ in items] == [len(b"%d" % n) * 20_000 for n in range(60)]


def test_a_loop_goes_on_when_the_recording_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    out_of, into = os.pipe()
    os.close(out_of)
    tap = LoopTap()

    async def main() -> None:
        tap.attach(into)
        for number in range(3):
            tap.put(b"x", Moment(number, 1.0), way=(number, False))
            tap.wake()
            await asyncio.sleep(0)
        tap.detach()

    asyncio.run(main())
    os.close(into)
    assert not tap.has_room(1)
    assert capsys.readouterr().err.count("is gone") == 1


def test_of_a_killed_proxy_all_is_read_that_came_whole() -> None:
    sent = [(b"a\n" * 50, Moment(1, 1.0), True), (17, Moment(2, 2.0), False), (None, Moment(3, 3.0), True)]
    parts = [pickle.dumps(item) for item in sent]
    whole = b"".join(parts)
    ends = [len(b"".join(parts[:n])) for n in range(4)]
    for size in range(len(whole) + 1):
        assert list(received(io.BytesIO(whole[:size]))) == sent[: sum(end <= size for end in ends) - 1]
