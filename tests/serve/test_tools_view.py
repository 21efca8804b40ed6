"""The list of tools, page by page: it says of each tool what the questions say, however it is sorted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

if TYPE_CHECKING:
    from tests.serve.conftest import Running

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SINCE, UNTIL = NOW - timedelta(hours=24), NOW
SORTS = {
    "calls": "call_count",
    "change": "call_change",
    "errors": "error_count",
    "success": "success_rate",
    "p50": "p50_duration_ms",
    "p95": "p95_duration_ms",
    "p99": "p99_duration_ms",
    "slower": "p95_change",
    "answers": "response_bytes",
}


def fill(dsn: str) -> None:
    """Store calls of 30 tools in two periods; both bundles have the same names, and one tool is not timed."""
    calls = [
        usage(
            bcp_name=f"b{tool % 2}",
            tool_name=f"it's {{tool}} {tool // 2}",
            start_time=(NOW - timedelta(hours=hours, minutes=tool)).isoformat(),
            success=(tool + hours + n) % 4 > 0,
            client_name=("ide", "chat")[n % 2],
            response_bytes=10 * tool,
            **({} if tool == 7 else {"duration_ms": 5 + 17 * tool * hours % 400 + n}),
        )
        for tool in range(30)
        for hours in (1, 5, 30)
        for n in range(1 + tool % 3)
        # Some were called in one of the periods only.
        if not (tool % 5 == 1 and hours < 24) and not (tool % 5 == 2 and hours > 24)
    ]
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert ingest(conn, calls)[1] == len(calls)
        conn.execute("call bcp.refresh_analytics_views()")


def expected(dsn: str, **filters: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the public questions say of each tool."""
    named = "".join(f", p_{name} => %({name})s" for name in filters)
    given = {"since": SINCE, "until": UNTIL, **filters}
    with psycopg.connect(dsn) as conn:
        stats, trends = (
            {
                (row["bcp_name"], row["tool_name"]): row
                for row in rows(conn, f"select * from bcp.{name}(%(since)s, %(until)s{more}{named})", given)
            }
            for name, more in (("tool_usage_stats", ", null"), ("tool_trends", ""))
        )
    nothing = {"call_count": 0, "error_count": 0, "response_bytes": 0}
    return {key: trends[key] | stats.get(key, nothing) for key in trends}


def paged(server: Running, size: int, **asked: str) -> list[dict[str, Any]]:
    """Return all pages of the view, one after the other."""
    found: list[dict[str, Any]] = []
    given = {"since": SINCE.isoformat(), "until": UNTIL.isoformat(), "limit": str(size), **asked}
    while len(found) % size == 0:
        asked = {**given, "offset": str(len(found))}
        page = server.send("GET", "/v1/views/tools", role="reader", params=asked).json()
        if not page:
            break
        found += page
    return found


def test_a_page_says_of_each_tool_what_the_questions_say(server: Running) -> None:
    fill(server.dsn)
    filters: list[dict[str, str]] = [{}, {"client_name": "ide"}, {"bcp_name": "b1"}, {"release": "1.0"}]
    for given in filters:
        known = expected(server.dsn, **given)
        found = paged(server, 16, sort="slower" if "client_name" in given else "calls", **given)
        assert len(found) == len(known) == len({(r["bcp_name"], r["tool_name"]) for r in found}), given
        for row in found:
            told = known[row["bcp_name"], row["tool_name"]]
            own = {name: told[name] for name in row if name in told}
            assert {name: row[name] for name in own} == pytest.approx(own), given
            assert row["tool_count"] == len(known)


@pytest.mark.parametrize("ascending", ["true", "false"])
def test_pages_are_in_the_order_that_is_asked_for(server: Running, ascending: str) -> None:
    fill(server.dsn)
    up = ascending == "true"
    for sort, column in SORTS.items():
        found = paged(server, 40, sort=sort, ascending=ascending)
        values = [row[column] for row in found]
        some = [value for value in values if value is not None]
        assert some == sorted(some, reverse=not up), sort
        assert values[: len(some)] == some, sort
    listed = paged(server, 16, sort="name", ascending=ascending)
    names = [f"{row['bcp_name']}.{row['tool_name']}" for row in listed]
    assert names == sorted(names, reverse=not up)


def test_a_search_is_for_a_part_of_the_name_as_it_stands(server: Running) -> None:
    fill(server.dsn)
    found = paged(server, 50, search="B1.IT'S {tool} 1")
    assert {row["tool_name"] for row in found} == {f"it's {{tool}} {n}" for n in (1, 10, 11, 12, 13, 14)}
    assert paged(server, 50, search="nothing%") == []
