"""Sessions by day: figures that are kept ready equal those of the sessions, whatever has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.targets import Target

NOW = datetime(2026, 4, 2, 13, 37, 21, tzinfo=UTC)
FIRST = NOW - timedelta(days=6)
# What bcp.session_stats answers, from the sessions alone.
PLAIN = """
    select
        case when %(width)s::interval is null then %(since)s::timestamptz
            else public.time_bucket(%(width)s::interval, started_at, %(zone)s::text) end as time_bucket,
        client_name, count(*) as session_count, count(distinct user_id) as user_count,
        count(ended_at) as ended_count, sum(tool_calls_count)::bigint as call_count,
        sum(errors_count)::bigint as error_count,
        avg(tool_calls_count)::double precision as calls_per_session,
        count(*) filter (where tool_calls_count = 1) as single_call_count, avg(ms) as avg_duration_ms,
        percentile_disc(0.5) within group (order by ms) as p50_duration_ms,
        percentile_disc(0.95) within group (order by ms) as p95_duration_ms, max(ms) as max_duration_ms
    from (
        select *,
            extract(epoch from greatest(last_activity, ended_at) - started_at)::double precision * 1000 as ms
        from bcp.user_sessions
        where started_at >= %(since)s and started_at < %(until)s
          and (%(client)s::text is null or coalesce(client_name, '') = %(client)s)
          and (%(user)s::text is null or coalesce(user_id, '') = %(user)s)
    ) s
    group by 1, 2
    order by 1 desc, 3 desc, 2
"""
times = st.integers(0, 6 * 24 * 4).map(lambda quarters: FIRST + quarters * timedelta(minutes=15))
calls = st.fixed_dictionaries(
    {
        "session_id": st.sampled_from([f"s{n}" for n in range(9)]),
        "start_time": times.map(datetime.isoformat),
        "client_name": st.sampled_from([None, "", "cli", "ide"]),
        "user_id": st.sampled_from([None, "u1", "u2", "u3"]),
        "success": st.sampled_from([True, False, None]),
    }
).map(lambda call: {"bcp_name": "files", "tool_name": "read", "duration_ms": 5} | call)
sessions = st.sampled_from([f"s{n}" for n in range(9)])
steps = st.one_of(
    st.tuples(st.just("ingest"), st.lists(calls, min_size=1, max_size=6)),
    st.tuples(st.just("end"), sessions),
    st.tuples(st.just("erase"), st.sampled_from(["u1", "u2"])),
    st.tuples(st.just("delete"), sessions),
    st.tuples(st.just("refresh"), st.none()),
)
# Most ends are at midnight, as days that are ready are.
edges = times | times.map(lambda at: at.replace(hour=0, minute=0, second=0))


@pytest.fixture(scope="module")
def conn(_server: Target) -> Iterator[psycopg.Connection[Any]]:
    with _server.clean() as dsn, psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as conn:
        conn.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
        yield conn


def do(conn: psycopg.Connection[Any], what: str, value: Any) -> None:
    if what == "ingest":
        conn.execute("select bcp.ingest_tool_usage(null, %s::text)", [json.dumps(value)])
    elif what == "end":
        conn.execute("select bcp.end_session(%s)", [value])
    elif what == "erase":
        # As bcp_internal.erase_tables does it.
        conn.execute("update bcp.user_sessions set user_id = null where user_id = %s", [value])
    elif what == "delete":
        conn.execute("delete from bcp.user_sessions where session_id = %s", [value])
    else:
        conn.execute("select bcp_internal.refresh_session_days()")


@given(
    done=st.lists(steps, max_size=12),
    since=edges,
    until=edges,
    width=st.sampled_from(["1 day", "1 day", "1 day", "24 hours", "6 hours", "7 days", "1 month", None]),
    zone=st.sampled_from(["UTC", "UTC", "Europe/Berlin", "Asia/Kolkata"]),
    client=st.sampled_from([None, None, "cli", ""]),
    user=st.sampled_from([None, None, None, "u1", ""]),
)
def test_stats_of_sessions_equal_those_of_the_rows(
    conn: psycopg.Connection[Any], done: list[tuple[str, Any]], since: datetime, until: datetime,
    width: str | None, zone: str, client: str | None, user: str | None,
) -> None:  # fmt: skip
    given_ = {
        "since": min(since, until), "until": max(since, until), "width": width, "zone": zone,
        "client": client, "user": user,
    }  # fmt: skip
    with conn.transaction(force_rollback=True):
        # The last refresh may come before or after the last change.
        for what, value in done:
            do(conn, what, value)
        expected = conn.execute(PLAIN, given_).fetchall()
        found = conn.execute(
            "select * from bcp.session_stats(%(since)s, %(until)s, %(width)s, p_time_zone => %(zone)s,"
            " p_client_name => %(client)s, p_user_id => %(user)s)",
            given_,
        ).fetchall()
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            # Sums of floating point numbers depend on their order.
            assert one == other | {"avg_duration_ms": pytest.approx(other["avg_duration_ms"])}
