"""Sessions, users and tools: every answer adds up to the raw rows, from whatever it was made."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.sql.events import refresh_at_once
from tests.targets import Target

NOW = datetime(2026, 4, 2, 13, 37, 21, 123456, tzinfo=UTC)
FIRST = NOW - timedelta(days=12)
Range = tuple[datetime, datetime]


def floor(time: datetime, grain: timedelta) -> datetime:
    return time - (time - datetime(2000, 1, 1, tzinfo=UTC)) % grain


# Ends that often lie on whole minutes, hours or days; ranges that are empty, and that reach beyond the calls.
edges = st.builds(
    floor,
    st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 4), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]),
)
ranges = st.tuples(edges, edges).map(lambda two: (min(two), max(two)))


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    rng = random.Random(11)  # noqa: S311
    return [
        {
            "bcp_name": rng.choice(["files", "mail"]),
            "tool_name": rng.choice(["read", "write", "'; drop table --"]),
            "start_time": (FIRST + rng.random() * (NOW - FIRST)).isoformat(),
            "duration_ms": rng.choice([None, 0, round(rng.lognormvariate(3, 2), 3)]),
            "success": rng.choice([True, True, False, None]),
            "user_id": rng.choice([None, *(f"u{n}" for n in range(8))]),
            "session_id": rng.choice([None, *(f"s{n}" for n in range(40))]),
            "client_name": rng.choice([None, "", "cli", "ide"]),
            "response_bytes": rng.choice([None, 0, rng.randrange(5000)]),
            "response_tokens": rng.choice([None, None, 0, rng.randrange(2000)]),
        }
        for _ in range(1500)
    ]


# Tests only read it, so those of one worker share it.
@pytest.fixture(scope="module")
def conn(_server: Target, sent: list[dict[str, Any]]) -> Iterator[psycopg.Connection[Any]]:
    """Calls below, at and above the watermarks, and some that came late."""
    with _server.clean() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
        conn.execute("select bcp.ingest_tool_usage(null, %s::text)", [json.dumps(sent[30:])])
        refresh_at_once(conn)
        conn.execute(
            "select compress_chunk(c)"
            " from show_chunks('bcp.user_totals_1d', older_than => %s::timestamptz) as c",
            [NOW - timedelta(days=1)],
        )
        conn.execute("select bcp.ingest_tool_usage(null, %s::text)", [json.dumps(sent[:30])])
        [(mark,)] = conn.execute("select bcp_internal.watermark('user_activity_1d')").fetchall()
        assert FIRST < mark < NOW  # both sides are there, else this tests nothing
        yield conn


def stored(conn: psycopg.Connection[Any], since: datetime, until: datetime) -> list[dict[str, Any]]:
    return ask(
        conn, "select * from bcp.tool_usage_logs where start_time >= %s and start_time < %s", since, until
    )


def ask(conn: psycopg.Connection[Any], query: str, *arguments: Any) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cur:
        return cur.execute(query, arguments).fetchall()  # type: ignore[arg-type]


of_tools = {"bcp_name": st.just("mail"), "tool_name": st.sampled_from(["read", "'; drop table --"])}
tool_filters = st.fixed_dictionaries({}, optional=of_tools)
filters = st.fixed_dictionaries(
    {},
    optional=of_tools
    | {
        "user_id": st.sampled_from(["u3", ""]),
        "session_id": st.sampled_from(["s7", ""]),
        "client_name": st.sampled_from(["cli", ""]),
    },
)


def passing(calls: list[dict[str, Any]], where: dict[str, str]) -> list[dict[str, Any]]:
    # An empty text asks for what has none.
    return [c for c in calls if all((c[name] or "") == value for name, value in where.items())]


def named(where: dict[str, str]) -> str:
    return "".join(f", p_{name} => %s" for name in where)


@given(drawn=ranges, where=filters)
def test_top_users_and_context_cost_equal_the_raw_rows(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    since, until = drawn
    calls = passing(stored(conn, since, until), where)

    def counted(key: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for c in calls:
            if c[key] is not None:
                found[c[key]][0] += 1
                found[c[key]][1] += c["success"] is False
                found[c[key]][2] += c["response_bytes"] or 0
        return found

    users = ask(conn, f"select * from bcp.top_users(%s, %s{named(where)})", since, until, *where.values())
    assert {u["user_id"]: [u["call_count"], u["error_count"], u["response_bytes"]] for u in users} == counted(
        "user_id"
    )
    assert not users or sum(u["share"] for u in users) == pytest.approx(1)
    tokens: defaultdict[tuple[str, str], float] = defaultdict(float)
    for c in calls:
        given = c["response_tokens"]
        cost = (c["response_bytes"] or 0) / 4 if given is None else given
        for key in ("tool_name", "session_id"):
            tokens[key, c[key]] += cost
    for by, key in (("tool", "tool_name"), ("session", "session_id")):
        costs = ask(
            conn,
            f"select {key} as key, sum(call_count)::int as calls, sum(response_bytes)::int as bytes,"
            " sum(tokens)::int as tokens, count(*) as rows"
            f" from bcp.context_cost(%s, %s, %s, p_limit => 10000{named(where)}) group by 1",
            since, until, by, *where.values(),
        )  # fmt: skip
        expected = {name: (calls_, bytes_) for name, (calls_, _, bytes_) in counted(key).items()}
        assert {c["key"]: (c["calls"], c["bytes"]) for c in costs} == expected
        for cost in costs:
            # Each row is rounded.
            assert abs(cost["tokens"] - tokens[key, cost["key"]]) <= 0.5 * cost["rows"]


@given(drawn=ranges, zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin"]), where=filters)
def test_active_users_equal_the_raw_rows(
    conn: psycopg.Connection[Any], drawn: Range, zone: str, where: dict[str, str]
) -> None:
    since, until = drawn
    where = {name: value for name, value in where.items() if name not in {"user_id", "session_id"}}
    days = {
        (c["user_id"], c["start_time"].astimezone(ZoneInfo(zone)).date())
        for c in passing(stored(conn, FIRST, NOW), where)
        if c["user_id"] is not None
    }
    found = ask(
        conn,
        "select *, (day at time zone %s)::date as local"
        f" from bcp.active_users(%s, %s, p_time_zone => %s{named(where)})",
        zone, since, until, zone, *where.values(),
    )  # fmt: skip
    for row in found:
        for name, width in (("daily_users", 1), ("weekly_users", 7), ("monthly_users", 30)):
            window = {user for user, day in days if 0 <= (row["local"] - day).days < width}
            assert row[name] == len(window), (row, name)
    # A day of the range with a call has a row.
    in_range = [c for c in passing(stored(conn, since, until), where) if c["user_id"] is not None]
    assert {c["start_time"].astimezone(ZoneInfo(zone)).date() for c in in_range} <= {
        r["local"] for r in found
    }


@given(drawn=ranges)
def test_every_call_of_a_session_begins_one_pair(conn: psycopg.Connection[Any], drawn: Range) -> None:
    since, until = drawn
    calls = [c for c in stored(conn, since, until) if c["session_id"] is not None]
    pairs = ask(conn, "select * from bcp.tool_sequences(%s, %s)", since, until)
    begun: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        begun[pair["bcp_name"], pair["tool_name"]] += pair["pair_count"]
    assert begun == Counter((c["bcp_name"], c["tool_name"]) for c in calls)
    ended = sum(p["pair_count"] for p in pairs if p["next_tool_name"] is None)
    assert ended == len({c["session_id"] for c in calls})


@given(drawn=ranges, where=filters)
def test_pairs_are_those_of_the_raw_rows_in_their_order(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    since, until = drawn
    first = {name: where.pop(name) for name in ("bcp_name", "tool_name") if name in where}
    steps: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in sorted(
        passing(stored(conn, since, until), where), key=lambda c: (c["start_time"], c["event_id"])
    ):
        if call["session_id"] is not None and call["operation"] != "tools/list":
            steps[call["session_id"]].append(call)
    gaps: dict[tuple[str | None, ...], list[float]] = defaultdict(list)
    for calls in steps.values():
        for call, after in zip(calls, [*calls[1:], None], strict=True):
            key = (call["bcp_name"], call["tool_name"])
            if all(call[name] == value for name, value in first.items()):
                gaps[*key, after and after["bcp_name"], after and after["tool_name"]].append(
                    (after["start_time"] - (call["end_time"] or call["start_time"])).total_seconds() * 1000
                    if after
                    else 0
                )
    found = ask(
        conn,
        f"select * from bcp.tool_sequences(%s, %s, p_limit => 10000{named(first | where)})",
        since, until, *first.values(), *where.values(),
    )  # fmt: skip
    assert {
        (r["bcp_name"], r["tool_name"], r["next_bcp_name"], r["next_tool_name"]): r["pair_count"]
        for r in found
    } == {key: len(values) for key, values in gaps.items()}
    for row in found:
        key = row["bcp_name"], row["tool_name"], row["next_bcp_name"], row["next_tool_name"]
        assert row["avg_gap_ms"] == (
            pytest.approx(sum(gaps[key]) / len(gaps[key]), abs=0.01) if key[3] is not None else None
        )


@given(
    drawn=ranges,
    interval=st.sampled_from(["1 hour", "1 day", None]),
    bands=st.lists(st.floats(0.1, 1e5), min_size=1, max_size=6, unique=True).map(sorted),
    where=tool_filters,
)
def test_a_heatmap_has_every_timed_call_within_one_percent_of_its_band(
    conn: psycopg.Connection[Any],
    drawn: Range,
    interval: str | None,
    bands: list[float],
    where: dict[str, str],
) -> None:
    since, until = drawn
    durations = [
        c["duration_ms"] for c in passing(stored(conn, since, until), where) if c["duration_ms"] is not None
    ]
    found = ask(
        conn,
        f"select * from bcp.latency_heatmap(%s, %s, %s::interval, %s::double precision[]{named(where)})",
        since, until, interval, bands, *where.values(),
    )  # fmt: skip
    assert sum(r["call_count"] for r in found) == len(durations)
    for bucket in {r["time_bucket"] for r in found}:
        assert sum(r["share"] for r in found if r["time_bucket"] == bucket) == pytest.approx(1)
    for bound in bands:
        below = sum(r["call_count"] for r in found if r["to_ms"] is not None and r["to_ms"] <= bound)
        assert sum(d < bound / 1.01 for d in durations) <= below <= sum(d < bound * 1.01 for d in durations)


@given(drawn=ranges, where=tool_filters)
def test_trends_equal_the_raw_rows_of_both_periods(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    since, until = drawn

    def counted(begin: datetime, end: datetime) -> Counter[tuple[str, str]]:
        return Counter((c["bcp_name"], c["tool_name"]) for c in passing(stored(conn, begin, end), where))

    now, before = counted(since, until), counted(since - (until - since), since)
    found = ask(conn, f"select * from bcp.tool_trends(%s, %s{named(where)})", since, until, *where.values())
    assert {(r["bcp_name"], r["tool_name"]) for r in found} == set(now | before)
    for row in found:
        key = row["bcp_name"], row["tool_name"]
        assert (row["call_count"], row["previous_call_count"]) == (now[key], before[key])


@given(drawn=ranges, where=tool_filters)
def test_retries_are_the_calls_that_begin_after_a_failed_one_ends(
    conn: psycopg.Connection[Any], drawn: Range, where: dict[str, str]
) -> None:
    since, until = drawn
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for call in passing(stored(conn, since, until), where):
        if call["session_id"] is not None:
            groups[call["bcp_name"], call["tool_name"], call["session_id"]].append(call)
    counts: Counter[tuple[str, str, str]] = Counter()
    gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (bcp, tool, _), calls in groups.items():
        for call in calls:
            if call["success"] is not False:
                continue
            ended = call["end_time"] or call["start_time"]
            later = [c for c in calls if c["start_time"] >= ended and c is not call]
            after = min(later, key=lambda c: c["start_time"], default=None)
            counts[bcp, tool, "failed"] += 1
            if after is not None:
                counts[bcp, tool, "retried"] += 1
                counts[bcp, tool, "success"] += after["success"] is True
                gaps[bcp, tool].append((after["start_time"] - ended).total_seconds() * 1000)
    found = ask(conn, f"select * from bcp.tool_retries(%s, %s{named(where)})", since, until, *where.values())
    assert {(r["bcp_name"], r["tool_name"]) for r in found} == {(b, t) for b, t, _ in counts}
    for row in found:
        key = row["bcp_name"], row["tool_name"]
        numbers = [counts[*key, what] for what in ("failed", "retried", "success")]
        assert [row["failed_count"], row["retried_count"], row["retry_success_count"]] == numbers
        assert row["retry_rate"] == pytest.approx(numbers[1] / numbers[0])
        assert row["retry_success_rate"] == (pytest.approx(numbers[2] / numbers[1]) if numbers[1] else None)
        assert row["avg_gap_ms"] == (
            pytest.approx(sum(gaps[key]) / len(gaps[key]), abs=0.01) if gaps[key] else None
        )
