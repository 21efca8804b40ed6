"""Errors: every answer adds up to the raw rows, from months, days, hours or the rows themselves."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.sql.events import refresh_at_once
from tests.targets import Target

NOW = datetime(2026, 4, 2, 13, 37, 21, 123456, tzinfo=UTC)
# Two whole months lie between, and days on both sides of them.
FIRST = NOW - timedelta(days=75)
Range = tuple[datetime, datetime]
Row = dict[str, Any]
LEVELS = ["debug", "info", "warn", "error", "fatal"]


def floor(time: datetime, grain: timedelta) -> datetime:
    return time - (time - datetime(2000, 1, 1, tzinfo=UTC)) % grain


# Ends that often lie on whole hours or days; ranges that are empty, and that reach beyond the errors.
edges = st.builds(
    floor,
    st.datetimes(datetime(2026, 1, 10), datetime(2026, 4, 4), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)]),
) | st.sampled_from([datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)])
ranges = st.tuples(edges, edges).map(lambda two: (min(two), max(two)))
filters = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from(["warn", "fatal"]),
        "bcp_name": st.sampled_from(["mail", ""]),
        "tool_name": st.sampled_from(["read", "'; drop table --", ""]),
        "release": st.sampled_from(["1.1", ""]),
    },
)


def some(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)  # noqa: S311
    return [
        {
            "bcp_name": rng.choice([None, "files", "mail"]),
            "tool_name": rng.choice([None, "", "read", "'; drop table --"]),
            "timestamp": (FIRST + rng.random() * (NOW - FIRST)).isoformat(),
            "level": rng.choice(LEVELS),
            "error_type": rng.choice([None, "Timeout", "Full"]),
            "message": "it failed",
            # Few, so that issues have many errors, of several levels, types and tools.
            "fingerprint": f"cause {min(rng.randrange(30), rng.randrange(30))}",
            "release": rng.choice([None, "", "1.0", "1.1"]),
        }
        for _ in range(count)
    ]


# Tests only read it, so those of one worker share each.
@pytest.fixture(scope="module", params=["refreshed", "late"])
def conn(request: pytest.FixtureRequest, _server: Target) -> Iterator[psycopg.Connection[Any]]:
    """Errors in rows and in the columnstore, some of which may be later than the last refresh."""
    with _server.clean() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
        conn.execute("select bcp.ingest_errors(null, %s::text)", [json.dumps(some(1500, 3))])
        refresh_at_once(conn)
        for name in ("error_totals_1d", "errors_1d_packed"):
            conn.execute(
                "select count(compress_chunk(c))"
                " from show_chunks(%s::regclass, older_than => %s::timestamptz) c",
                [f"bcp.{name}", NOW - timedelta(days=3)],
            )
            # Else this tests nothing.
            assert conn.execute(f"select count(*) > 50 from bcp.{name}").fetchall() == [(True,)]
        if request.param == "late":
            late = [e for e in some(60, 5) if "2026-03-05" < e["timestamp"] < "2026-03-09"]
            assert late
            conn.execute("select bcp.ingest_errors(null, %s::text)", [json.dumps(late)])
        yield conn


def ask(conn: psycopg.Connection[Any], query: str, *arguments: Any) -> list[Row]:
    with conn.cursor(row_factory=dict_row) as cur:
        return cur.execute(query, arguments).fetchall()  # type: ignore[arg-type]


def stored(
    conn: psycopg.Connection[Any], since: datetime, until: datetime, where: dict[str, str]
) -> list[Row]:
    found = ask(
        conn, 'select * from bcp.error_logs where "timestamp" >= %s and "timestamp" < %s', since, until
    )
    # An empty text asks for what has none.
    return [row for row in found if all((row[name] or "") == value for name, value in where.items())]


def question(conn: psycopg.Connection[Any], name: str, drawn: Range, where: dict[str, str]) -> list[Row]:
    given_ = "".join(f", p_{column} => %s" for column in where)
    more = ", p_limit => 10000" if name == "error_issues" else ""
    return ask(conn, f"select * from bcp.{name}(%s, %s{given_}{more})", *drawn, *where.values())


def summed(errors: list[Row], *, day: bool) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for e in errors:
        first = (floor(e["timestamp"], timedelta(days=1)),) if day else ()
        groups[(*first, e["level"], e["bcp_name"], e["tool_name"], e["error_type"])].append(e)
    return {
        key: (
            len(group),
            len({e["fingerprint"] for e in group}),
            min(e["timestamp"] for e in group),
            max(e["timestamp"] for e in group),
        )
        for key, group in groups.items()
    }


@given(drawn=ranges, where=filters)
def test_error_analysis_equals_the_raw_rows(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    found = question(conn, "error_analysis", drawn, where)
    expected = summed(stored(conn, *drawn, where), day=False)
    assert {
        (r["level"], r["bcp_name"], r["tool_name"], r["error_type"]): (
            r["error_count"],
            r["issue_count"],
            r["first_seen"],
            r["last_seen"],
        )
        for r in found
    } == expected
    assert len(found) == len(expected)
    assert not found or sum(r["share"] for r in found) == pytest.approx(1)


@given(drawn=ranges, where=filters)
def test_the_daily_summary_equals_the_raw_rows_and_has_its_order(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    since, until = drawn
    found = question(conn, "daily_error_summary", drawn, where)
    day = timedelta(days=1)
    last = floor(until - timedelta(microseconds=1), day) + day
    expected = summed(stored(conn, floor(since, day), last, where), day=True) if since < until else {}
    assert {
        (r["day"], r["level"], r["bcp_name"], r["tool_name"], r["error_type"]): (
            r["total_errors"],
            r["issues"],
            r["first_seen"],
            r["last_seen"],
        )
        for r in found
    } == expected
    assert len(found) == len(expected)
    order = [(-r["day"].timestamp(), -r["total_errors"], -LEVELS.index(r["level"])) for r in found]
    assert order == sorted(order)


@given(drawn=ranges, where=filters, limit=st.sampled_from([1, 5, 25]))
def test_error_issues_equal_the_raw_rows(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str], limit: int
) -> None:
    since, until = drawn
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for e in stored(conn, since - (until - since), until, where):
        counts[e["fingerprint"]][e["timestamp"] < since] += 1
    found = question(conn, "error_issues", drawn, where)
    assert {r["fingerprint"]: [r["error_count"], r["previous_count"]] for r in found} == {
        fingerprint: count for fingerprint, count in counts.items() if count[0]
    }
    assert [r["error_count"] for r in found] == sorted((r["error_count"] for r in found), reverse=True)
    # A shorter list is the beginning of the longer one.
    filtered = "".join(f", p_{column} => %s" for column in where)
    first = ask(
        conn,
        f"select * from bcp.error_issues(%s, %s, p_limit => %s{filtered})",
        *drawn,
        limit,
        *where.values(),
    )
    assert first == found[:limit]
