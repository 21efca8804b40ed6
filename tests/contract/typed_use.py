"""Not run: mypy reads it, and fails where a call of ours has another type than it says here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow

from bcp_analytics import (
    IngestResult,
    ToolUsageStats,
    begin_tool_call,
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


async def asynchronous(conn: AsyncConnection[Any]) -> None:
    task = asyncio.create_task(assert_type(tool_usage_stats(conn), Coroutine[Any, Any, list[ToolUsageStats]]))
    assert_type(await task, list[ToolUsageStats])
    assert_type(await ingest_tool_usage(conn, "[]"), IngestResult)
    await refresh_analytics_views(conn)


def wrong(conn: Connection[Any]) -> None:
    tool_usage_stats(conn, sinse=None)  # type: ignore[call-overload]
    tool_usage_stats(conn, None)  # type: ignore[call-overload]
    tool_usage_stats("dsn")  # type: ignore[call-overload]
    log_error(conn, "loud", "message")  # type: ignore[call-overload]
    ingest_tool_usage(conn)  # type: ignore[call-overload]
