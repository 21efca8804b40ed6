"""Not run: mypy reads it, and fails where a call of ours has another type than it says here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow

import bcp_analytics
from bcp_analytics import (
    AsyncCollector,
    Collector,
    CollectorStats,
    IngestResult,
    ToolUsageStats,
    begin_tool_call,
    find_erasure,
    ingest_tool_usage,
    log_error,
    refresh_analytics_views,
    tool_usage_stats,
)


def sync(conn: Connection[DictRow]) -> None:
    assert_type(tool_usage_stats(conn), list[ToolUsageStats])
    rows = tool_usage_stats(conn, since=datetime.now(UTC), interval=timedelta(hours=1))
    assert_type(rows[0].success_rate, float | None)
    assert_type(ingest_tool_usage(conn, [{"bcp_name": "a"}], batch_id="x"), IngestResult)
    assert_type(begin_tool_call(conn, "files", "read", parameters=[1]), UUID)
    assert_type(find_erasure(conn, "somebody"), UUID | None)


async def asynchronous(conn: AsyncConnection[Any]) -> None:
    task = asyncio.create_task(assert_type(tool_usage_stats(conn), Coroutine[Any, Any, list[ToolUsageStats]]))
    assert_type(await task, list[ToolUsageStats])
    assert_type(await ingest_tool_usage(conn, "[]"), IngestResult)
    await refresh_analytics_views(conn)


def recording(collector: Collector) -> None:
    assert_type(collector.record("files", "read", parameters=[1], colour="red"), str)
    assert_type(collector.stats(), CollectorStats)
    assert_type(collector.flush(1), bool)

    @collector.tracked("files")
    def read(path: str) -> bytes:
        return path.encode()

    @collector.tracked()
    async def write(path: str) -> int:
        return len(path)

    assert_type(read("a"), bytes)
    read(1)  # type: ignore[arg-type]
    task = assert_type(write("a"), Coroutine[Any, Any, int])
    task.close()
    collector.record("files", "read", success="yes")  # type: ignore[arg-type]
    collector.record_error("loud")  # type: ignore[arg-type]


async def recording_later(collector: AsyncCollector) -> None:
    assert_type(await collector.flush(), bool)
    assert_type(collector.metric("queue_ms", 1), str)


def wrong(conn: Connection[Any]) -> None:
    tool_usage_stats(conn, sinse=None)  # type: ignore[call-overload]
    tool_usage_stats(conn, None)  # type: ignore[call-overload]
    tool_usage_stats("dsn")  # type: ignore[call-overload]
    log_error(conn, "loud", "message")  # type: ignore[call-overload]
    ingest_tool_usage(conn)  # type: ignore[call-overload]
    bcp_analytics.tool_usage_stat(conn)  # type: ignore[attr-defined]
