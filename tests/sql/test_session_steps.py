"""Steps of a session, as its page shows them: what the context came to, and which calls go in circles."""

from __future__ import annotations

import random
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tests.sql.events import ingest, rows, usage

if TYPE_CHECKING:
    import psycopg

STEPS = "select * from bcp_internal.session_steps('s', 1000) order by step"


def call(second: int, tool: str = "read", **fields: Any) -> dict[str, Any]:
    return usage(start_time=f"2026-06-15T10:00:{second:02}Z", session_id="s", tool_name=tool) | fields


def error(second: int) -> dict[str, Any]:
    at = f"2026-06-15T10:00:{second:02}.5Z"
    return {"level": "error", "message": "x", "session_id": "s", "timestamp": at}


def test_the_context_grows_by_each_answer(conn: psycopg.Connection[Any]) -> None:
    ingest(conn, [call(0, response_bytes=100), call(1), call(2, response_bytes=20)])
    ingest(conn, [error(1)], "errors")
    assert [(r["kind"], r["response_bytes"], r["context_bytes"]) for r in rows(conn, STEPS)] == [
        ("start", None, 0),
        ("call", 100, 100),
        ("call", None, 100),
        ("error", None, 100),
        ("call", 20, 120),
    ]


def test_three_of_the_same_call_are_a_loop_whatever_else_happens_between(
    conn: psycopg.Connection[Any],
) -> None:
    same = {"parameters": {"path": "/x"}}
    ingest(conn, [
        call(0, **same), call(1, "tools/list", operation="tools/list"), call(2, **same), call(3, **same),
        call(4, "write", **same), call(5, **same), call(6, **same), call(7, parameters={"path": "/y"}),
    ])  # fmt: skip
    ingest(conn, [error(2)], "errors")
    looping = [r["happened_at"].second for r in rows(conn, STEPS) if r["in_loop"]]
    assert looping == [0, 2, 3]


def test_a_loop_is_three_or_more_in_a_row(conn: psycopg.Connection[Any]) -> None:
    rng = random.Random(19)  # noqa: S311 - the same calls each time
    sessions = {
        f"s{n}": [(rng.choice("ab"), rng.choice([None, 1])) for _ in range(rng.randrange(20))]
        for n in range(50)
    }
    ingest(
        conn,
        [
            call(n, tool, parameters={"x": x}, session_id=session)
            for session, calls in sessions.items()
            for n, (tool, x) in enumerate(calls)
        ],
    )
    loops = 0
    for session, calls in sessions.items():
        expected: list[bool] = []
        for _, run in groupby(calls):
            length = len(list(run))
            expected += [length >= 3] * length
        loops += sum(expected)
        found = conn.execute(
            "select in_loop from bcp_internal.session_steps(%s, 1000) where kind = 'call' order by step",
            [session],
        ).fetchall()
        assert [row[0] for row in found] == expected, calls
    assert loops > 50


def test_a_call_comes_before_an_error_of_the_same_moment(conn: psycopg.Connection[Any]) -> None:
    same = {"error_message": "x", "success": False}
    for n in range(1, 5):
        ingest(conn, [call(n, event_id=f"call {n}", **same)])
        at = f"2026-06-15T10:00:{n:02}Z"
        ingest(
            conn,
            [{"level": "error", "message": "x", "session_id": "s", "timestamp": at, "event_id": f"e{n}"}],
            "errors",
        )
    steps = [(r["happened_at"], r["kind"], r["event_id"]) for r in rows(conn, STEPS)]
    assert [kind for _, kind, _ in steps] == ["start"] + ["call", "error"] * 4
    told = rows(conn, "select happened_at, kind, event_id from bcp.session_timeline('s')")
    assert steps == [(r["happened_at"], r["kind"], r["event_id"]) for r in told]
