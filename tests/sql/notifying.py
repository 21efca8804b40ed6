"""What tests of alerts that reach people share: channels, and a notifier's two calls."""

from __future__ import annotations

from typing import Any

import psycopg

from bcp_analytics import create_notification_channel
from tests.sql.events import rows
from tests.sql.test_alerts import send

Db = psycopg.Connection[Any]
MONDAY = "2026-06-15"


def at(conn: Db, time: str, day: str = MONDAY) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [f"{day}T{time}:00Z"])


def channel(conn: Db, name: str = "hook", **options: Any) -> str | None:
    given = {"kind": "webhook", "config": {"url": "https://example.com/x"}, "digest": False} | options
    return create_notification_channel(conn, name, given.pop("kind"), **given)


def claim(conn: Db, most: int = 100, lease: str = "1 minute") -> list[dict[str, Any]]:
    return rows(conn, "select * from bcp_internal.claim_notifications(%s, %s)", [most, lease])


def record(conn: Db, claimed: dict[str, Any], error: str | None = None, **more: Any) -> str | None:
    row = conn.execute(
        "select bcp_internal.record_notification(%s, %s, %s, %s, %s)",
        [claimed["delivery_id"], claimed["claim"], error, more.get("final", False), more.get("after")],
    ).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def events(claimed: dict[str, Any]) -> list[tuple[str, str]]:
    return [(alert["event"], alert["tool_name"]) for alert in claimed["payload"]["alerts"]]


def break_tools(conn: Db, time: str, *tools: str) -> None:
    """Let calls of these tools have failed in the minute before, and all else be well."""
    for tool in tools:
        send(conn, time, bad=3, tool_name=tool)


def watch_bundles(conn: Db) -> None:
    conn.execute(
        "update bcp.alert_rules set enabled = true, lookback = '1 minute', min_calls = 1,"
        " severity = 'critical' where rule_name = 'errors'"
    )
