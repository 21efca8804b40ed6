"""Filters that questions share: an answer about some calls is that of a store which has no others."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
RANGE = "p_since => '2026-06-15', p_until => '2026-06-15 12:00'"
QUESTIONS = (
    "tool_usage_stats",
    "latency_percentiles",
    "success_and_error_rates",
    "throughput",
    "peak_usage_hours",
    "usage_breakdown",
    "slow_calls",
    "failed_calls",
    "find_calls",
    "search_parameters",
    "top_users",
    "active_users",
    "authentication_stats",
    "tool_sequences",
    "tool_retries",
    "tool_trends",
    "context_cost",
    "latency_heatmap",
    "latency_over_time",
    "usage_over_time",
    "session_stats",
    "error_analysis",
    "daily_error_summary",
    "error_issues",
    "search_errors",
    "intents",
    "missing_tools",
)
# What an answer says beside the calls that it is about.
BESIDE = {"total_count", "event_id"}
FILTERS: dict[str, Any] = {
    "client_version": "2.1",
    "client_model": "large",
    "release": "'; drop table --",
    "failed": True,
}

_PARAMETERS = """
select p.proname as name, p.proargnames[:p.pronargs] as parameters
from pg_proc p
where p.pronamespace = 'bcp'::regnamespace and p.proargnames @> '{p_since,p_until}'
"""


def events(**about: Any) -> list[dict[str, Any]]:
    """Calls of two sessions, of which `about` says the rest."""
    session = {"user_id": f"u-{about}", "session_id": f"s-{about}", "client_name": "ide"} | about
    return [
        usage(
            start_time=f"2026-06-15T10:0{n}:00Z",
            tool_name=tool,
            duration_ms=6000 + n,
            response_bytes=10,
            parameters={"n": n},
            intent=f"to {tool}",
        )
        | session
        | ({"success": tool != "login"} if "success" not in about else {})
        for n, tool in enumerate(["login", "login", "read", "write", "get_more_tools"])
    ]


def errors(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken = ("bcp_name", "tool_name", "user_id", "session_id", "release")
    return [
        {"level": "error", "message": f"broke {n}", "timestamp": c["start_time"]}
        | {name: c[name] for name in taken if name in c}
        for n, c in enumerate(c for c in calls if c["tool_name"] != "get_more_tools")
    ]


def send(conn: Db, calls: list[dict[str, Any]]) -> None:
    assert ingest(conn, calls)[1] == len(calls)
    ingest(conn, errors(calls), "errors")


def ask(conn: Db, question: str, **filters: Any) -> list[dict[str, Any]]:
    given = "".join(f", p_{name} => %s" for name in filters)
    with conn.cursor(row_factory=dict_row) as cur:
        found = cur.execute(
            f"select * from bcp.{question}({RANGE}{given})",  # type: ignore[arg-type]
            list(filters.values()),
        ).fetchall()
    return [{n: v for n, v in row.items() if n not in BESIDE} for row in found]


def taken(conn: Db) -> dict[str, set[str]]:
    return {r["name"]: set(r["parameters"]) for r in rows(conn, _PARAMETERS)}


def test_who_takes_one_of_the_filters_takes_all(db: Db) -> None:
    found = taken(db)
    for name, parameters in found.items():
        if "p_client_name" in parameters and name != "session_stats":  # sessions know no model and no release
            assert {"p_client_version", "p_client_model", "p_release"} <= parameters, name
        if "p_outcome" in parameters and name != "failed_calls":
            assert "p_failed" in parameters, name
    assert {n for n, p in found.items() if p & {f"p_{f}" for f in FILTERS}} == set(QUESTIONS)


@pytest.mark.parametrize("name", ["client_name", "client_version", "client_model", "release"])
def test_an_empty_text_asks_for_what_names_none(conn: Db, name: str) -> None:
    # Senders that have none send either.
    some = [call | {name: (None, "")[n % 2]} for n, call in enumerate(events(**{name: None}))]
    asked = [question for question, parameters in taken(conn).items() if f"p_{name}" in parameters]
    assert len(asked) > 10
    with conn.transaction(force_rollback=True):
        send(conn, some)
        alone = {question: ask(conn, question) for question in asked}
    # An issue has its latest message, and those of both are the same.
    send(conn, events(**{name: "some"}))
    send(conn, some)
    for question in asked:
        assert ask(conn, question, **{name: ""}) == alone[question] != [], question


def test_an_empty_text_asks_for_calls_of_nobody_and_of_no_session(conn: Db) -> None:
    nobody = events() + events(user_id=None)
    for call in nobody[-5:]:
        del call["user_id"]
    ingest(conn, nobody)
    conn.execute("update bcp.tool_usage_logs set session_id = null where user_id is null")
    for name in ("user_id", "session_id"):
        for question in ("tool_usage_stats", "usage_breakdown"):
            [*found] = ask(conn, question, **{name: ""})
            assert sum(row["call_count"] for row in found) == 5, question
        assert len(ask(conn, "find_calls", **{name: ""})) == 5


@pytest.mark.parametrize("name", FILTERS)
def test_an_answer_about_some_calls_is_that_of_a_store_without_the_others(conn: Db, name: str) -> None:
    wanted = FILTERS[name]
    if name == "failed":
        some, others = events(success=False), events(success=True)
        # Neither of these failed.
        others += [c | {"outcome": "cancelled", "success": None} for c in events(success=None, n=1)]
        others += events(success=None, n=2)
    else:
        some, others = events(**{name: wanted}), events(**{name: "other"}) + events()
    asked = [question for question, parameters in taken(conn).items() if f"p_{name}" in parameters]
    assert len(asked) > 10
    with conn.transaction(force_rollback=True):
        send(conn, some)
        alone = {question: ask(conn, question) for question in asked}
    send(conn, some + others)
    for question in asked:
        assert ask(conn, question, **{name: wanted}) == alone[question] != [], question
        # These have rows for hours without calls.
        if name != "failed" and question not in ("peak_usage_hours", "usage_over_time"):
            assert ask(conn, question, **{name: "none such"}) == [], question
    if name == "failed":
        [row] = ask(conn, "usage_breakdown", failed=False, by="{bcp_name}")
        assert row["call_count"] == len(others)


def test_a_breakdown_has_a_row_for_each_value(conn: Db) -> None:
    durations = {"large": [10, 20, 400], "small": [1], None: [5, 5]}
    ingest(
        conn,
        [
            usage(
                start_time=f"2026-06-15T{9 + n:02}:30:00Z",
                duration_ms=ms,
                success=ms < 100,
                client_model=model,
                client_name="ide",
                client_version=str(n),
                release="1.0",
            )
            for model, times in durations.items()
            for n, ms in enumerate(times)
        ],
    )
    found = rows(conn, f"select * from bcp.usage_breakdown({RANGE})")
    assert [(r["client_model"], r["call_count"], r["success_rate"]) for r in found] == [
        ("large", 3, 2 / 3),
        (None, 2, 1),
        ("small", 1, 1),
    ]
    large = found[0]
    assert (large["avg_duration_ms"], large["max_duration_ms"]) == (430 / 3, 400)
    assert [large[f"p{p}_duration_ms"] for p in (50, 95, 99)] == pytest.approx([20, 400, 400], rel=0.01)
    assert {r["release"] for r in found} == {None}
    both = rows(
        conn,
        f"select * from bcp.usage_breakdown({RANGE}, p_by => '{{client_version,client_name}}',"
        " p_interval => '1 day', p_time_zone => 'Asia/Tokyo')",
    )
    assert [(r["client_name"], r["client_version"], r["call_count"]) for r in both] == [
        ("ide", "0", 3),
        ("ide", "1", 2),
        ("ide", "2", 1),
    ]
    assert {r["time_bucket"].isoformat() for r in both} == {"2026-06-14T15:00:00+00:00"}
    assert rows(conn, "select from bcp.usage_breakdown('2026-01-01', '2026-01-01')") == []


@pytest.mark.parametrize(
    "by", ["null", "'{}'", "'{user_id}'", "'{client_model,x}'", "'{null}'", "'{\"release; --\"}'"]
)
def test_a_breakdown_by_something_else_is_refused(db: Db, by: str) -> None:
    with pytest.raises(psycopg.Error, match="p_by is none of bcp_name, ") as caught:
        db.execute(f"select from bcp.usage_breakdown(p_by => {by})")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
