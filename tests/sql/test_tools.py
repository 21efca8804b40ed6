"""Answers about tools beside one another. That they add up to the raw rows: tests/property."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.sql.events import NOW, ingest, raw_calls_read, rows, usage

DAY = "'2026-06-15', '2026-06-16'"


def call(tool: str, time: str = "15T10:00:00", **fields: Any) -> dict[str, Any]:
    return usage(start_time=f"2026-06-{time}Z", tool_name=tool) | fields


def listing(*tools: Any, time: str = "15T09:00:00", bcp: str = "files") -> dict[str, Any]:
    about = {"bcp_name": bcp, "operation": "tools/list", "response_bytes": 400, "success": True}
    return call("tools/list", time, response_data={"tools": list(tools)}) | about


def send(conn: psycopg.Connection[Any], *calls: dict[str, Any]) -> None:
    assert ingest(conn, list(calls))[1] == len(calls)


def test_trends(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call("read", duration_ms=100, success=n > 0) for n in range(3)],
        *[call("read", "14T10:00:00", duration_ms=50, success=True) for _ in range(2)],
        call("write", "14T10:00:00"),
        call("list"),
        call("read", "13T23:59:59"),
    )
    found = rows(conn, f"select * from bcp.tool_trends({DAY})")
    assert [(r["tool_name"], r["call_count"], r["previous_call_count"], r["call_change"]) for r in found] == [
        ("read", 3, 2, 0.5),
        ("list", 1, 0, None),
        ("write", 0, 1, -1),
    ]
    read = found[0]
    assert (read["success_rate"], read["previous_success_rate"]) == (2 / 3, 1)
    assert (read["avg_duration_ms"], read["previous_avg_duration_ms"]) == (100, 50)
    assert (read["p95_duration_ms"], read["previous_p95_duration_ms"], read["p95_change"]) == (100, 50, 1)
    assert (found[1]["previous_p95_duration_ms"], found[2]["success_rate"]) == (None, None)
    assert len(rows(conn, f"select from bcp.tool_trends({DAY}, p_tool_name => 'list')")) == 1
    assert rows(conn, f"select from bcp.tool_trends({DAY}, p_tool_name => '''; drop table --')") == []


def test_trends_in_another_order(conn: psycopg.Connection[Any]) -> None:
    before, now = "14T10:00:00", "15T10:00:00"
    for tool, durations, failures in (
        ("slower", ([100, 100, 100], [300, 300, 100]), (0, 1)),
        ("tail", ([100] * 40, [100] * 39 + [900]), (0, 0)),
        ("worse", ([50] * 2, [50] * 2), (0, 2)),
        ("new", ([], [7]), (0, 0)),
    ):
        for time, some, failed in zip((before, now), durations, failures, strict=True):
            send(conn, *[call(tool, time, duration_ms=ms, success=n >= failed) for n, ms in enumerate(some)])

    def first(order: str) -> list[str]:
        return [
            r["tool_name"] for r in rows(conn, f"select * from bcp.tool_trends({DAY}, p_order => '{order}')")
        ]

    assert first("calls") == ["tail", "slower", "worse", "new"]
    assert first("p50_change") == ["slower", "tail", "worse", "new"]
    assert first("p95_change") == ["slower", "tail", "worse", "new"]
    assert first("p99_change") == ["tail", "slower", "worse", "new"]
    assert first("success_rate") == ["worse", "slower", "tail", "new"]
    send(conn, call("worse", now), call("worse", now))
    assert first("call_change") == ["worse", "tail", "slower", "new"]
    [tail] = rows(conn, f"select * from bcp.tool_trends({DAY}, p_tool_name => 'tail')")
    for name, now_ms, before_ms in (("p50", 100, 100), ("p95", 100, 100), ("p99", 900, 100)):
        found = [tail[f"{name}_duration_ms"], tail[f"previous_{name}_duration_ms"]]
        assert found == pytest.approx([now_ms, before_ms], rel=0.01)
        assert tail[f"{name}_change"] == pytest.approx(found[0] / found[1] - 1)


def test_trends_across_a_change_of_the_clocks(conn: psycopg.Connection[Any]) -> None:
    # In the session's zone the day before is 23 hours long; the period before the range has 24 all the same.
    conn.execute("set local timezone = 'Europe/Berlin'")
    send(conn, usage(start_time="2026-03-28T12:30:00Z"), usage(start_time="2026-03-29T12:30:00Z"))
    [row] = rows(conn, "select * from bcp.tool_trends('2026-03-29 12:00Z', '2026-03-30 12:00Z')")
    assert (row["call_count"], row["previous_call_count"]) == (1, 1)


def test_unused_and_unknown_tools(conn: psycopg.Connection[Any]) -> None:
    spare = {"name": "spare", "bytes": 300}
    send(
        conn,
        listing(
            {"name": "read", "bytes": 100}, {"name": "spare", "bytes": 200}, {"name": "'; drop table --"}
        ),
        listing(spare, {"name": "big", "bytes": 5000}, time="15T11:00:00"),
        listing({"name": "old"}, time="14T11:00:00"),
        # What a peer sends may be anything.
        listing({"name": 1}, "text", None, {"bytes": 1}, {"name": "odd", "bytes": "many"}),
        call("tools/list", operation="tools/list", response_data=["no", "list"]),
        call("tools/list", operation="tools/list"),
        call("read", success=True),
        call("made_up", success=False),
        call("made_up"),
        call("big", bcp_name="mail"),
        call("send", bcp_name="mail"),
        call("spare", "14T10:00:00"),
    )
    found = rows(conn, f"select * from bcp.unused_tools({DAY})")
    assert [(r["bcp_name"], r["tool_name"], r["listing_count"], r["context_bytes"]) for r in found] == [
        ("files", "big", 1, 5000),
        ("files", "spare", 2, 300),
        ("files", "'; drop table --", 1, None),
        ("files", "odd", 1, None),
    ]
    assert found[1]["last_listed"] == datetime(2026, 6, 15, 11, tzinfo=UTC)
    # Of mail, which listed nothing, nobody can say what is unknown.
    assert rows(conn, f"select * from bcp.unknown_tools({DAY})") == [
        {"bcp_name": "files", "tool_name": "made_up", "call_count": 2, "success_count": 0, "error_count": 1}
    ]
    for question in ("unused_tools", "unknown_tools"):
        assert rows(conn, f"select from bcp.{question}({DAY}, p_bcp_name => 'mail')") == []
        assert rows(conn, f"select from bcp.{question}({DAY}, p_bcp_name => 'files')")


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        ({"content": [{"type": "text", "text": "né\n"}], "structuredContent": {"result": "né\n"}}, 4),
        ({"content": [], "structuredContent": {"a": 1}}, len('{"a": 1}')),
        ({"content": [{"type": "image", "data": "A" * 400}, {"type": "text", "text": "a"}]}, 1),
        ({"content": [{"type": "resource", "resource": {"text": "four"}}]}, 4),
        ({"content": [{"type": "resource", "resource": {"blob": "AAAA"}}]}, 0),
        ({"content": [{"type": "else"}, None]}, len('{"type": "else"}null')),
        ({"content": "what another application returned"}, 48),
        ("content", len('"content"')),
        (["content"], len('["content"]')),
    ],
)
def test_what_reaches_the_model_is_counted(conn: psycopg.Connection[Any], answer: Any, size: int) -> None:
    send(conn, call("read", response_data=answer))
    [cost] = rows(conn, f"select response_bytes from bcp.context_cost({DAY})")
    assert cost["response_bytes"] == size


def test_context_cost(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        listing({"name": "read"}),
        call("read", response_bytes=600, session_id="s1", user_id="u1"),
        call("read", response_bytes=200, session_id="s2", client_name="cli"),
        call("read"),
        call("write", response_bytes=400, session_id="s1", outcome="timeout"),
        call("send", response_bytes=0, bcp_name="mail"),
    )
    found = rows(conn, f"select * from bcp.context_cost({DAY})")
    columns = ("tool_name", "call_count", "response_bytes", "avg_response_bytes", "share", "tokens")
    assert [tuple(r[c] for c in columns) for r in found] == [
        ("read", 3, 800, 800 / 3, 0.5, 200),
        ("tools/list", 1, 400, 400, 0.25, 100),
        ("write", 1, 400, 400, 0.25, 100),
        ("send", 1, 0, 0, 0, 0),
    ]
    sessions = rows(conn, f"select * from bcp.context_cost({DAY}, 'session')")
    assert [(r["session_id"], r["call_count"], r["response_bytes"], r["tool_name"]) for r in sessions] == [
        ("s1", 2, 1000, None),
        ("s2", 1, 200, None),
    ]
    for filters, total in (
        ("p_session_id => 's1'", 1000),
        ("p_by => 'session', p_session_id => 's1'", 1000),
        ("p_by => 'session', p_tool_name => 'read'", 800),
        ("p_user_id => 'u1'", 600),
        ("p_client_name => 'cli'", 200),
        ("p_outcome => 'timeout'", 400),
        ("p_bcp_name => 'files', p_operation => 'call'", 1200),
        ("p_limit => 1", 800),
        ("p_tool_name => '''; drop table --'", 0),
    ):
        query = f"select coalesce(sum(response_bytes), 0)::int as n from bcp.context_cost({DAY}, {filters})"
        assert rows(conn, query) == [{"n": total}], filters
    [nothing] = rows(conn, f"select * from bcp.context_cost({DAY}, p_bcp_name => 'mail')")
    assert (nothing["share"], nothing["tokens"]) == (None, 0)
    conn.execute("update bcp.settings set value = '3.2' where name = 'bytes_per_token'")
    assert rows(conn, f"select * from bcp.context_cost({DAY})")[0]["tokens"] == 250
    [measured, *_] = rows(conn, f"select * from bcp.context_cost({DAY}, p_bytes_per_token => 2.5)")
    assert measured["tokens"] == 320


def test_heatmap(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call("read", duration_ms=ms) for ms in (0, 5, 9, 60, 20_000)],
        call("read", "15T11:30:00", duration_ms=300),
        call("read"),
    )
    found = rows(conn, f"select * from bcp.latency_heatmap({DAY})")
    columns = ("from_ms", "to_ms", "call_count", "share")
    assert [(r["time_bucket"].hour, *(r[c] for c in columns)) for r in found] == [
        (11, 250, 500, 1, 1),
        (10, 0, 10, 3, 0.6),
        (10, 50, 100, 1, 0.2),
        (10, 10_000, None, 1, 0.2),
    ]
    [low, high] = rows(conn, f"select * from bcp.latency_heatmap({DAY}, null, '{{100}}')")
    assert (low["call_count"], low["to_ms"]) == (4, 100)
    assert (high["call_count"], high["from_ms"], high["time_bucket"].hour) == (2, 100, 0)
    local = f"{DAY}, p_interval => '1 day', p_time_zone => 'Asia/Kolkata'"
    assert {r["time_bucket"] for r in rows(conn, f"select * from bcp.latency_heatmap({local})")} == {
        datetime(2026, 6, 14, 18, 30, tzinfo=UTC)
    }


def test_latency_over_time_is_within_1_percent(conn: psycopg.Connection[Any]) -> None:
    durations = [*range(1, 100), 5_000]
    send(
        conn,
        *[call(("read", "write")[ms % 2], duration_ms=ms) for ms in durations],
        *[call("read", "15T11:30:00", duration_ms=0)] * 3,
        call("read"),
    )
    [later, first] = rows(conn, f"select * from bcp.latency_over_time({DAY})")
    assert (later["time_bucket"].hour, later["call_count"], later["p99_duration_ms"]) == (11, 3, 0)
    assert (first["time_bucket"].hour, first["call_count"]) == (10, 100)
    assert [first[f"p{p}_duration_ms"] for p in (50, 95, 99)] == pytest.approx([50, 95, 99], rel=0.01)
    [whole] = rows(conn, f"select * from bcp.latency_over_time({DAY}, null)")
    assert (whole["time_bucket"].hour, whole["call_count"]) == (0, 103)
    [write] = rows(conn, f"select * from bcp.latency_over_time({DAY}, p_tool_name => 'write')")
    assert write["call_count"] == 50


def test_usage_over_time_has_every_bucket(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call(tool, success=tool == "read", duration_ms=10) for tool in ("read", "read", "write")],
        call("read", "15T12:30:00", success=None),
    )
    found = rows(conn, "select * from bcp.usage_over_time('2026-06-15 09:30', '2026-06-15 13:00')")
    assert [
        (r["time_bucket"].hour, r["call_count"], r["success_count"], r["error_count"]) for r in found
    ] == [
        (12, 1, 0, 0),
        (11, 0, 0, 0),
        (10, 3, 2, 1),
        (9, 0, 0, 0),
    ]
    assert [r["p99_duration_ms"] for r in found] == [None, None, pytest.approx(10, rel=0.01), None]
    [whole] = rows(conn, f"select * from bcp.usage_over_time({DAY}, null, p_tool_name => 'read')")
    assert (whole["time_bucket"].hour, whole["call_count"]) == (0, 3)
    assert rows(conn, "select from bcp.usage_over_time('2026-06-15', '2026-06-15')") == []


@pytest.mark.parametrize(
    ("interval", "number"),
    [("15 minutes", 25 * 4), ("1 hour", 25), ("1 day", 1), ("7 days", 1), ("1 month", 1)],
)
def test_a_day_of_25_hours_has_all_its_buckets(
    conn: psycopg.Connection[Any], interval: str, number: int
) -> None:
    # The clock goes back on the 25th of October.
    day = "'2026-10-25 00:00+02', '2026-10-26 00:00+01'"
    found = rows(
        conn, f"select * from bcp.usage_over_time({day}, '{interval}', p_time_zone => 'Europe/Berlin')"
    )
    assert len({r["time_bucket"] for r in found}) == len(found) == number


def test_totals_of_a_report(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        *[call("read", "14T10:00:00")] * 2,
        call("read", success=True, duration_ms=10, response_bytes=7, session_id="s"),
        call("write", success=False, duration_ms=10, session_id="s") | {"bcp_name": "mail"},
        call("read", success=None, session_id="t"),
    )
    [found] = rows(conn, f"select * from bcp.report_totals({DAY})")
    assert [found[f"p{p}_duration_ms"] for p in (50, 95, 99)] == pytest.approx([10] * 3, rel=0.01)
    assert {name: value for name, value in found.items() if not name.endswith("_ms")} == {
        "call_count": 3,
        "success_count": 1,
        "error_count": 1,
        "unknown_count": 1,
        "success_rate": 0.5,
        "error_share": 1 / 3,
        "previous_call_count": 2,
        "call_change": 0.5,
        "bcp_count": 2,
        "tool_count": 2,
        "session_count": 2,
        "response_bytes": found["response_bytes"],
    }
    assert found["response_bytes"] >= 7
    [found] = rows(conn, f"select * from bcp.report_totals({DAY}, p_bcp_name => 'mail')")
    assert (found["call_count"], found["tool_count"], found["session_count"]) == (1, 1, None)
    [found] = rows(conn, "select * from bcp.report_totals('2030-01-01', '2030-01-02')")
    assert {value for value in found.values() if value} == set()


QUESTIONS = (
    "tool_trends",
    "unused_tools",
    "unknown_tools",
    "context_cost",
    "latency_heatmap",
    "latency_over_time",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_ranges(conn: psycopg.Connection[Any], question: str) -> None:
    send(conn, listing({"name": "spare"}), call("login", duration_ms=5))
    assert rows(conn, f"select from bcp.{question}('2026-06-15', '2026-06-16')")
    for since, until in (("2026-06-15 10:00", "2026-06-15 10:00"), ("2030-01-01", "2031-01-01")):
        assert rows(conn, f"select from bcp.{question}('{since}', '{until}')") == [], (since, until)
    with pytest.raises(psycopg.Error, match="is after") as caught:
        conn.execute(f"select * from bcp.{question}('2026-02-01', '2026-01-01')")
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("tool_trends(p_until => 'infinity')", "the range has no end"),
        ("tool_trends(p_order => 'p95')", "p_order is none of calls, call_change, "),
        ("context_cost(p_by => 'user')", "p_by is none of tool, session"),
        ("context_cost(p_by => null)", "p_by is none of"),
        ("context_cost(p_outcome => 'failed')", "p_outcome is none of"),
        ("context_cost(p_limit => 0)", "p_limit is not"),
        ("context_cost(p_bytes_per_token => 0)", "p_bytes_per_token is not"),
        ("context_cost(p_bytes_per_token => 'NaN')", "p_bytes_per_token is not"),
        ("latency_heatmap(p_interval => '0')", "p_interval is not positive"),
        ("latency_heatmap(p_time_zone => 'Mars/Olympus')", "p_time_zone"),
        ("latency_over_time(p_interval => '0')", "p_interval is not positive"),
        ("usage_over_time(p_interval => '0')", "p_interval is not positive"),
        ("usage_over_time('2026-01-01', '2027-01-01', '1 minute')", "more than 10000 buckets"),
        ("usage_over_time('-infinity')", "more than 10000 buckets"),
        ("report_totals('-infinity')", "the range has no end"),
        ("latency_heatmap(p_bands => '{}')", "p_bands does not rise"),
        *[
            (f"latency_heatmap(p_bands => {bands})", "p_bands does not rise")
            for bands in (
                "null",
                "'{}'",
                "'{0,1}'",
                "'{2,1}'",
                "'{1,1}'",
                "'{null}'",
                "'{{1},{2}}'",
                "'{NaN}'",
            )
        ],
    ],
)
def test_a_wrong_argument_is_named(db: psycopg.Connection[Any], question: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        db.execute(f"select * from bcp.{question}")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


@pytest.mark.parametrize("aggregated", [False, True], ids=["raw", "aggregated"])
def test_tokens_that_the_sender_gives_count_and_the_rest_is_estimated(
    clean_db: psycopg.Connection[Any],
    aggregated: bool,  # noqa: FBT001
) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    send(
        clean_db,
        call("read", response_bytes=400, session_id="s"),
        call("read", response_bytes=400, response_tokens=250, session_id="s"),
        # A picture has no text, and costs what only the sender knows.
        call("draw", response_bytes=0, response_tokens=1_000, session_id="s"),
        call("list", response_bytes=600, session_id="t"),
    )
    if aggregated:
        clean_db.execute("call bcp.refresh_analytics_views()")
        clean_db.execute("select set_config('bcp.now', '2026-06-17', false)")

    def tokens(arguments: str) -> list[tuple[Any, ...]]:
        asked = rows(clean_db, f"select * from bcp.context_cost({DAY}, {arguments})")
        return [(r["tool_name"] or r["session_id"], r["tokens"], r["given_tokens"]) for r in asked]

    assert tokens("p_limit => 9") == [("draw", 1_000, 1_000), ("read", 350, 250), ("list", 150, 0)]
    # What was measured is for what nobody gave.
    assert tokens("p_bytes_per_token => 2") == [("draw", 1_000, 1_000), ("read", 450, 250), ("list", 300, 0)]
    assert tokens("'session'") == [("s", 1_350, 1_250), ("t", 150, 0)]
    assert tokens("p_session_id => 's'") == [("draw", 1_000, 1_000), ("read", 350, 250)]
    [share, *_] = rows(clean_db, f"select share from bcp.context_cost({DAY})")
    assert share["share"] == pytest.approx(1_000 / 1_500)


def test_what_is_aggregated_is_asked_of_the_aggregates(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    days = range(8, 16)
    send(
        clean_db,
        *[call("read", f"{d:02}T10:00:00", session_id="s", response_bytes=d, duration_ms=d) for d in days],
    )
    week = "'2026-06-12', '2026-06-16'"
    asked = [
        f"select * from bcp.{question}"
        for question in (
            f"tool_trends({week})",
            f"context_cost({week})",
            f"context_cost({week}, 'session')",
            f"latency_heatmap({week}, '1 day')",
            f"latency_over_time({week}, '1 day')",
        )
    ]
    before = [rows(clean_db, query) for query in asked]
    assert all(before)
    clean_db.execute("call bcp.refresh_analytics_views()")
    assert [rows(clean_db, query) for query in asked] == before
    assert [raw_calls_read(clean_db, query, "2026-06-15") for query in asked] == [0] * len(asked)
    # With a filter that they do not know it is otherwise, else this would count nothing.
    filtered = f"select * from bcp.context_cost({week}, p_session_id => 's')"
    assert raw_calls_read(clean_db, filtered, "2026-06-15") > 0


def test_the_score_of_a_change_needs_calls_and_weighs_all_of_it(
    conn: psycopg.Connection[Any],
) -> None:
    def score(*given: float | None) -> float | None:
        [row] = rows(
            conn,
            "select bcp_internal.tool_change_score("
            "%s::bigint, %s::bigint, %s::float8, %s::float8, %s::float8, %s::float8) as score",
            list(given),
        )
        return row["score"]  # type: ignore[no-any-return]

    assert score(19, 1000, 1, 1, 1, 1) is None
    assert score(1000, 19, 1, 1, 1, 1) is None
    assert score(20, None, 1, 1, 1, 1) is None
    assert score(50, 50, 7, 7, 0.9, 0.9) == 0
    assert score(50, 50, None, 7, None, 0.9) == 0
    assert score(20, 100, 1, 1, 1, 1) == score(100, 20, 1, 1, 1, 1) == pytest.approx(1.609, abs=1e-3)
    assert score(50, 50, 99, 9, 1, 1) == pytest.approx(4.605, abs=1e-3)
    assert score(50, 50, 1, 1, 0.8, 0.9) == pytest.approx(1)
