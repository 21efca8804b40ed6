"""The Python functions against a database: sync, async, from a pool, on connections of any make."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row
from psycopg_pool import ConnectionPool

import bcp_analytics
from bcp_analytics import (
    IngestResult,
    InvalidArgument,
    InvalidBatch,
    InvalidDocument,
    begin_tool_call,
    daily_error_summary,
    end_session,
    end_tool_call,
    error_analysis,
    health,
    hourly_tool_usage,
    ingest_errors,
    ingest_metrics,
    ingest_sessions,
    ingest_tool_usage,
    latency_percentiles,
    log_error,
    log_tool_usage,
    record_metric,
    refresh_analytics_views,
    rotate_anonymization_key,
    tool_usage_stats,
    touch_session,
)
from bcp_analytics.queries._questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ONE = IngestResult(accepted=1, stored=1, duplicates=0, rejected=0)
REJECTED = IngestResult(accepted=1, stored=0, duplicates=0, rejected=1)
CALL = {"bcp_name": "files", "tool_name": "read"}


def call(minutes_ago: float, **fields: Any) -> dict[str, Any]:
    return CALL | {"start_time": NOW - timedelta(minutes=minutes_ago)} | fields


@pytest.fixture
def conn(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    db.execute("select set_config('bcp.now', %s, true)", [NOW.isoformat()])
    return db


def stored(conn: psycopg.Connection[Any], columns: str, table: str = "tool_usage_logs") -> list[Any]:
    return conn.execute(f"select {columns} from bcp.{table}").fetchall()


def test_stats_are_rows_with_names(conn: psycopg.Connection[Any]) -> None:
    events = [call(10, duration_ms=ms, success=ms < 300) for ms in (100, 200, 300)]
    assert ingest_tool_usage(conn, events).stored == 3
    [row] = tool_usage_stats(conn)
    assert (row.bcp_name, row.tool_name, row.call_count) == ("files", "read", 3)
    assert (row.success_count, row.error_count, row.success_rate) == (2, 1, pytest.approx(2 / 3))
    assert row.avg_duration_ms == pytest.approx(200)
    assert row.time_bucket == datetime(2026, 6, 15, 11, tzinfo=UTC)
    with pytest.raises(FrozenInstanceError):
        row.call_count = 4  # type: ignore[misc]


def test_arguments_reach_the_database(conn: psycopg.Connection[Any]) -> None:
    ingest_tool_usage(
        conn,
        [
            call(90, operation="a"),
            call(10, operation="b"),
            call(10, tool_name="write"),
            call(10, bcp_name="mail", duration_ms=7),
        ],
    )
    assert sum(r.call_count for r in tool_usage_stats(conn)) == 4
    assert [r.tool_name for r in tool_usage_stats(conn, tool_name="write")] == ["write"]
    assert [r.bcp_name for r in tool_usage_stats(conn, bcp_name="mail")] == ["mail"]
    assert [r.call_count for r in tool_usage_stats(conn, operation="b")] == [1]
    assert sum(r.call_count for r in tool_usage_stats(conn, since=NOW - timedelta(hours=1))) == 3
    assert sum(r.call_count for r in tool_usage_stats(conn, until=NOW - timedelta(hours=1))) == 1
    assert len({r.time_bucket for r in tool_usage_stats(conn, interval=timedelta(minutes=30))}) == 2
    assert {r.time_bucket for r in tool_usage_stats(conn, interval="1 month")} == {
        datetime(2026, 6, 1, tzinfo=UTC)
    }
    assert {r.time_bucket for r in tool_usage_stats(conn, interval=None)} == {NOW - timedelta(hours=24)}
    [day] = {r.time_bucket for r in tool_usage_stats(conn, interval="1 day", time_zone="Asia/Kolkata")}
    assert day == datetime(2026, 6, 14, 18, 30, tzinfo=UTC)
    found = latency_percentiles(conn, percentiles=[0, 1])
    assert [r.percentile for r in found] == [0, 1]
    assert [r.duration_ms for r in found] == pytest.approx([7, 7], rel=0.01)
    assert [r.tool_name for r in hourly_tool_usage(conn, bcp_name="mail")] == ["read"]


def test_errors_by_level_and_tool(conn: psycopg.Connection[Any]) -> None:
    at = NOW - timedelta(minutes=5)
    assert log_error(conn, "error", "it broke", tool_name="read", error_type="OSError", timestamp=at) == ONE
    assert log_error(conn, "warn", "slow", timestamp=at) == ONE
    [row] = error_analysis(conn, level="error")
    assert (row.level, row.tool_name, row.error_type, row.error_count) == ("error", "read", "OSError", 1)
    assert (row.share, row.sample_message, row.first_seen) == (1.0, "it broke", at)
    assert [(r.level, r.total_errors) for r in daily_error_summary(conn, level="warn")] == [("warn", 1)]
    assert daily_error_summary(conn, bcp_name="none such") == []


@pytest.fixture
def _in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_new_york")
def test_a_time_without_a_zone_is_utc_here_and_in_the_database(conn: psycopg.Connection[Any]) -> None:
    conn.execute("set local timezone = 'Asia/Tokyo'")
    naive = (NOW - timedelta(minutes=30)).replace(tzinfo=None)
    ingest_tool_usage(conn, [CALL | {"start_time": naive}])
    log_tool_usage(conn, "files", "read", start_time=naive)
    assert {t for (t,) in stored(conn, "start_time")} == {naive.replace(tzinfo=UTC)}
    assert [r.call_count for r in tool_usage_stats(conn, since=naive)] == [2]
    assert tool_usage_stats(conn, until=naive) == []


def test_wrong_arguments_raise_ours_with_a_hint(conn: psycopg.Connection[Any]) -> None:
    for ask in (
        lambda: tool_usage_stats(conn, interval=timedelta(0)),
        lambda: tool_usage_stats(conn, time_zone="Mars/Olympus"),
        lambda: error_analysis(conn, since=NOW, until=NOW - timedelta(hours=1)),
        lambda: latency_percentiles(conn, percentiles=[95]),
    ):
        with pytest.raises(InvalidArgument) as caught, conn.transaction():
            ask()
        assert caught.value.sqlstate == "ZB002"
        assert caught.value.hint
        assert isinstance(caught.value.__cause__, psycopg.Error)


def test_other_database_errors_pass_unchanged(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.InvalidDatetimeFormat):
        tool_usage_stats(conn, interval="a while")


@pytest.mark.parametrize("factory", [dict_row, namedtuple_row])
def test_the_connections_own_factories_do_not_matter(dsn: str, factory: Any) -> None:
    with psycopg.connect(dsn, row_factory=factory, cursor_factory=psycopg.RawCursor) as conn:
        assert log_tool_usage(conn, "files", "read") == ONE
        assert tool_usage_stats(conn, until=datetime.now(UTC) + timedelta(hours=1))[0].call_count == 1
        assert isinstance(begin_tool_call(conn, "files", "read"), UUID)
        assert health(conn)[0].check_name == "database"
        assert conn.row_factory is factory


def test_nothing_is_committed_for_the_caller(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        log_tool_usage(conn, "files", "read")
        assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        conn.rollback()
        assert stored(conn, "count(*)") == [(0,)]
        conn.rollback()
        conn.autocommit = True
        log_tool_usage(conn, "files", "read")
        assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    with psycopg.connect(dsn) as conn:
        assert stored(conn, "count(*)") == [(1,)]


def test_async_gives_the_same(dsn: str) -> None:
    async def go() -> None:
        async with await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, row_factory=dict_row, options="-c bcp.now=2026-06-15T12:00:00Z"
        ) as conn:
            assert await ingest_tool_usage(conn, [call(10, duration_ms=5)]) == ONE
            [row] = await tool_usage_stats(conn)
            assert row.call_count == 1
            for ask, _ in QUESTIONS.values():
                assert isinstance(await ask(conn), list)
            call_id = await begin_tool_call(conn, "files", "read")
            assert await end_tool_call(conn, call_id, success=True) == ONE
            assert await refresh_analytics_views(conn) is None
            with pytest.raises(InvalidArgument):
                await tool_usage_stats(conn, interval="0 s")
            with pytest.raises(InvalidBatch):
                await ingest_tool_usage(conn, "{}")
            # It is a coroutine, and can be a task.
            assert await asyncio.create_task(health(conn))

    asyncio.run(go())


def test_a_pools_connection_serves_and_the_pool_itself_is_refused(dsn: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool:
        with pool.connection() as conn:
            log_tool_usage(conn, "files", "read")
        with pool.connection() as conn:
            assert stored(conn, "count(*)") == [(1,)]
        with pytest.raises(TypeError, match="of a pool, take"):
            health(pool)  # type: ignore[call-overload]


def test_in_a_pipeline(dsn: str) -> None:
    with psycopg.connect(dsn) as conn, conn.pipeline():
        assert [log_tool_usage(conn, "files", "read") for _ in range(3)] == [ONE] * 3


def test_a_batch_of_everything(conn: psycopg.Connection[Any]) -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    bad = {
        "the event is of type null, not object": None,
        "the event is of type array, not object": [],
        "bcp_name is missing": {},
    }
    repaired = [
        CALL | {"duration_ms": math.nan},
        CALL | {"parameters": "\ud800"},
        CALL | {"parameters": deep},
    ]
    good = CALL | {"parameters": {"ratio": math.inf, "id": uuid4(), "what": object()}}
    result = ingest_tool_usage(conn, [good, *bad.values(), *repaired, good])  # type: ignore[list-item]
    assert result == IngestResult(accepted=8, stored=5, duplicates=0, rejected=3)
    assert {r for (r,) in stored(conn, "reason", "rejected_events")} == set(bad)
    marks = stored(conn, "attributes ->> '_repaired'", "tool_usage_logs where attributes is not null")
    assert sorted(marks) == [('["duration_ms"]',), ('["parameters"]',), ('["parameters"]',)]


def test_a_batch_again_is_all_duplicates(conn: psycopg.Connection[Any]) -> None:
    batch = uuid4()
    for kind, event in (
        (ingest_tool_usage, CALL),
        (ingest_errors, {"level": "error", "message": "m"}),
        (ingest_metrics, {"metric_name": "m", "metric_value": 1}),
        (ingest_sessions, {"session_id": "s"}),
    ):
        assert kind(conn, [event], batch_id=batch, source="test") == ONE
        assert kind(conn, [event], batch_id=str(batch)).duplicates == 1
    assert {s for (s,) in stored(conn, "source", "ingest_batches")} >= {"test"}


@pytest.mark.parametrize("batch", ["", "{}", "[", "null", CALL, '[{"a": NaN}]'])
def test_what_is_no_batch_raises_and_stores_nothing(conn: psycopg.Connection[Any], batch: Any) -> None:
    with pytest.raises(InvalidBatch) as caught, conn.transaction():
        ingest_tool_usage(conn, batch)
    assert caught.value.hint
    assert stored(conn, "count(*)", "ingest_batches") == [(0,)]


def test_single_events(conn: psycopg.Connection[Any]) -> None:
    event = uuid4()
    assert log_tool_usage(conn, "files", "read", parameters={"to": "ada@example.com"}, event_id=event) == ONE
    assert log_tool_usage(conn, "files", "read", event_id=event).duplicates == 1
    [(parameters,)] = stored(conn, "parameters")
    assert "ada" not in str(parameters)
    assert log_tool_usage(conn, "", "read") == REJECTED
    assert record_metric(conn, "queue_ms", 1.5, labels={"queue": "a"}) == ONE
    assert record_metric(conn, "queue_ms", math.nan) == REJECTED
    assert touch_session(conn, 17, user_id=42, ip_address="203.0.113.7") == ONE
    assert end_session(conn, 17, time=NOW) == ONE
    assert stored(conn, "session_id, user_id, ended_at", "user_sessions") == [("17", "42", NOW)]


def test_a_call_in_two_parts(conn: psycopg.Connection[Any]) -> None:
    call_id = begin_tool_call(conn, "files", "read", parameters=[1], start_time=NOW - timedelta(seconds=2))
    assert stored(conn, "event_id", "open_tool_calls") == [(call_id,)]
    assert end_tool_call(conn, call_id, success=False, error_message="no such file") == ONE
    assert end_tool_call(conn, call_id, success=False).duplicates == 1
    assert end_tool_call(conn, uuid4()) == REJECTED
    assert stored(conn, "duration_ms, success, error_message") == [(2000.0, False, "no such file")]


def test_what_cannot_be_stored_raises_before_it_harms_the_transaction(conn: psycopg.Connection[Any]) -> None:
    for fields in ({"parameters": {"a": "\0"}}, {"error_message": "\ud800"}, {"user_id": "a\0"}):
        with pytest.raises(InvalidDocument):
            log_tool_usage(conn, "files", "read", **fields)  # type: ignore[arg-type]
    assert log_tool_usage(conn, "files", "read") == ONE


def test_a_procedure_that_commits_says_that_it_wants_autocommit(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidArgument, match="autocommit"):
        refresh_analytics_views(conn)
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS


def test_a_new_key_changes_hashes(conn: psycopg.Connection[Any]) -> None:
    event = {"parameters": "ada@example.com"}
    ingest_tool_usage(conn, [CALL | event])
    number = rotate_anonymization_key(conn)
    ingest_tool_usage(conn, [CALL | event])
    hashes = {p for (p,) in stored(conn, "parameters")}
    assert len(hashes) == 2
    assert any(f"#k{number}#" in h for h in hashes)


def test_help_shows_the_connection_and_the_arguments() -> None:
    assert str(bcp_analytics.health.__signature__).startswith("(conn:")  # type: ignore[attr-defined]
    assert tool_usage_stats.__name__ == "tool_usage_stats"
