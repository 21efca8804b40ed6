"""What later aggregates say of calls whose chunks are gone, and what cleanup leaves of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.sql.events import ingest, refresh_at_once, rows, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.targets import Filled

Db = psycopg.Connection[Any]
RANGE = "'2026-06-01', '2026-10-02'"


def at(conn: Db, now: str) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [now])


def asked(conn: Db, chosen: str) -> dict[int, int]:
    """Return the calls of each day of the year that has some."""
    found = rows(conn, f"select * from bcp.tool_usage_stats({RANGE}, '1 day', {chosen})")
    return {row["time_bucket"].timetuple().tm_yday: row["call_count"] for row in found}


def fill(conn: Db) -> None:
    """Store two weeks with four calls a day, of which three failed; nine days are past retention."""
    at(conn, "2026-06-15T12:00:00Z")
    ingest(
        conn,
        [
            usage(
                start_time=f"2026-06-{day:02}T{hour}:00:00Z",
                user_id="ann",
                session_id="hers",
                success=hour == 10,
            )
            for day in range(1, 15)
            for hour in (10, 13, 16, 19)
        ],
    )
    refresh_at_once(conn)
    conn.execute("call bcp_internal.columnstore_aggregates()")
    conn.execute("update bcp.data_retention_policies set archive_before_delete = false")


@pytest.fixture(scope="module")
def filled(filled_by: Callable[..., Filled]) -> Filled:
    return filled_by(fill, little=True)


@pytest.fixture
def store(filled: Filled) -> Iterator[Db]:
    with filled.copy() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        at(conn, "2026-09-08T12:00:00Z")
        yield conn


def test_failed_calls_stay_counted_when_their_chunks_are_gone(store: Db) -> None:
    expected = asked(store, "p_failed => true")
    assert list(expected.values()) == [3] * 14
    store.execute("call bcp.run_cleanup()")
    assert rows(store, "select min(start_time)::date::text as first from bcp.tool_usage_logs") == [
        {"first": "2026-06-10"}
    ]
    assert asked(store, "p_failed => true") == expected
    # A call that comes for a day whose chunk is gone makes that anew, and is in no answer.
    ingest(store, [usage(start_time="2026-06-03T10:00:00Z", success=False)])
    assert asked(store, "p_failed => true") == expected
    # Where the chunk exists it is in each.
    ingest(store, [usage(start_time="2026-06-12T10:00:00Z", success=False)])
    assert asked(store, "p_failed => true") == {**expected, 163: 4}


@pytest.mark.parametrize("cleanup", ["call bcp.run_cleanup()", "select bcp.cleanup_old_data()"])
def test_the_calls_of_a_user_go_with_retention(store: Db, cleanup: str) -> None:
    every_day = asked(store, "p_user_id => 'ann'")
    assert list(every_day.values()) == [4] * 14
    store.execute("call bcp.refresh_analytics_views()")
    store.execute(cleanup)
    days = "select min(bucket)::date::text as first, count(*) as n from bcp.user_usage_1d"
    assert rows(store, days) == [{"first": "2026-06-10", "n": 10}]
    assert asked(store, "p_user_id => 'ann'") == {day: n for day, n in every_day.items() if day >= 161}
    logged = "select row_count, action, reason from bcp.cleanup_log where table_name = 'user_usage_1d'"
    assert rows(store, logged) == [
        {"row_count": 18, "action": "deleted", "reason": "past the retention of tool_usage_logs"}
    ]
    steps = "select min(bucket)::date::text as first, count(*) as n from bcp.session_steps_1d"
    assert rows(store, steps) == [{"first": "2026-06-10", "n": 5}]
    # Pairs stay known, and what followed from one day to the next does where the calls are there.
    pairs = rows(store, f"select next_tool_name, pair_count from bcp.tool_sequences({RANGE})")
    assert [(p["next_tool_name"] is None, p["pair_count"]) for p in pairs] == [(False, 46), (True, 10)]
    # How many users there were on a day stays known.
    assert rows(store, "select count(*) as n from bcp.user_activity_1d") == [{"n": 14}]
    # All tools together have what they had.
    assert [r["call_count"] for r in rows(store, f"select * from bcp.tool_usage_stats({RANGE}, null)")] == [
        56
    ]
    store.execute(cleanup)
    assert len(rows(store, logged)) == 1


def test_the_days_of_a_user_wait_for_the_chunks_of_calls(store: Db) -> None:
    before = asked(store, "p_user_id => 'ann'")
    store.execute(
        "update bcp.data_retention_policies set archive_before_delete = true"
        " where table_name = 'tool_usage_logs'"
    )
    store.execute("call bcp.run_cleanup()")
    assert asked(store, "p_user_id => 'ann'") == before
    plan = "select row_count, action from bcp.cleanup_plan() where table_name = 'user_usage_1d'"
    assert rows(store, plan) == []
    store.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-06-10')")
    assert rows(store, plan) == [{"row_count": 18, "action": "deleted"}]
    store.execute("update bcp.data_retention_policies set cleanup_enabled = false")
    assert rows(store, plan) == []
    store.execute("call bcp.run_cleanup()")
    assert rows(store, "select count(*) as n from bcp.user_usage_1d") == [{"n": 28}]


@pytest.mark.parametrize(("kept", "first"), [("0", 1), ("95 days", 5), ("10 days", 10)])
def test_days_of_activity_go_if_a_setting_says_so_once_their_calls_are_gone(
    store: Db, kept: str, first: int
) -> None:
    def users() -> dict[str, int]:
        found = rows(store, f"select * from bcp.active_users({RANGE})")
        return {f"{row['day']:%m-%d}": row["daily_users"] for row in found if row["daily_users"]}

    before = users()
    assert len(before) == 14
    store.execute("update bcp.settings set value = %s where name = 'activity_retention'", [kept])
    store.execute("call bcp.run_cleanup()")
    # Retention of 90 days has dropped the calls of nine days.
    assert users() == {day: n for day, n in before.items() if int(day[3:]) >= first}
    for relation in ("user_activity_1d", "user_totals_1d", "session_activity_1d"):
        [left] = rows(store, f"select count(*) as n, min(bucket) as first from bcp.{relation}")
        assert (left["n"] > 0, left["first"].day) == (True, first)
        [logged] = rows(
            store,
            "select coalesce(sum(row_count), 0)::int as n from bcp.cleanup_log where table_name = %s",
            [relation],
        )
        assert (logged["n"] > 0) == (first > 1)
    # A later refresh and a late call for a day that is left find it as it was.
    ingest(store, [usage(start_time="2026-06-13T20:00:00Z", user_id="bob")])
    store.execute("call bcp.refresh_analytics_views()")
    assert users()["06-13"] == before["06-13"] + 1
