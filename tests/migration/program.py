"""What a program written for 0.1.0 does with the package. Tests run it with releases, and with this version:

    PYTHONPATH=FOLDER_OF_THE_RELEASE python program.py begin|ask|go_on DSN FOLDER

It uses what 0.1.0 has in public, so what fails here fails in programs of users, too: do not adapt it to a
change, make the change in another way. Its clock is `bcp.now` of the connection string; collectors read the
machine's clock, which must not be far off.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from mcp import Client
from mcp.server.mcpserver import MCPServer

import bcp_analytics as bcp
from bcp_analytics.archive import archive
from bcp_analytics.collector import AsyncCollector, Collector
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp import instrument
from bcp_analytics.migrate import migrate, rollback_plan, status

SECRET = "hunter2"
HOURS = range(1, 24, 3)
FAILED = 30
# Calls, errors and metrics that one `log` stores.
STORED = {
    "tool_usage_logs": 3 * len(HOURS) + FAILED + 9,
    "error_logs": len(HOURS) + 5,
    "performance_metrics": 11,
}
# What each question is asked that cannot be asked without an argument.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "erasure_plan": {"user_id": "u-a"},
    "search_errors": {"query": "disk"},
    "search_parameters": {"contains": {"path": "/a"}},
    "session_timeline": {"session_id": "s-a"},
}
OLD = timedelta(days=100)


def connect(dsn: str) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn, autocommit=True)


def now(conn: psycopg.Connection[Any]) -> datetime:
    [(found,)] = conn.execute("select current_setting('bcp.now')").fetchall()
    return datetime.fromisoformat(found)


def log(dsn: str, mark: str, folder: Path) -> None:
    """Send events of all kinds by all ways, each of them once."""
    with connect(dsn) as conn:
        by_functions(conn, mark)
        by_batches(conn, mark)
    by_collector(dsn, mark, folder / f"spool-{mark}")
    asyncio.run(by_server(dsn, mark, folder / f"spool-{mark}"))


def by_functions(conn: psycopg.Connection[Any], mark: str) -> None:
    whose: dict[str, Any] = {"user_id": f"u-{mark}", "session_id": f"s-{mark}", "client_name": "cli"}
    for hours in HOURS:
        at = now(conn) - timedelta(hours=hours)
        call: dict[str, Any] = {
            **whose,
            "start_time": at,
            "duration_ms": hours * 1000,
            "client_version": "1.2",
        }
        read = bcp.log_tool_usage(
            conn, "files", "read", parameters={"path": "/a", "password": SECRET}, success=True, **call
        )
        assert (read.stored, read.rejected) == (1, 0)
        failed = f"refused: password={SECRET}"
        bcp.log_tool_usage(conn, "files", "open", "login", success=False, error_message=failed, **call)
        tools = {"tools": [{"name": "spare", "bytes": 120}]}
        bcp.log_tool_usage(conn, "files", "tools/list", "tools/list", response_data=tools, **call)
        bcp.log_error(
            conn,
            "error",
            "disk is full",
            error_type="OSError",
            context={"token": SECRET},
            timestamp=at,
            **whose,
        )
        bcp.record_metric(conn, "queue_ms", hours / 7, labels={"queue": "a", "token": SECRET}, timestamp=at)
    bcp.log_error(conn, "warn", "past retention and in no archive", timestamp=now(conn) - 4 * OLD)
    begun = bcp.begin_tool_call(conn, "files", "write", start_time=now(conn) - timedelta(minutes=9))
    bcp.end_tool_call(conn, begun, success=True, response_data="done", end_time=now(conn))
    bcp.touch_session(conn, f"t-{mark}", ip_address="203.0.113.9", time=now(conn))
    bcp.end_session(conn, f"t-{mark}", time=now(conn))
    bcp.report_collector(conn, "elsewhere", "0190c2ee-0000-7000-8000-000000000001", recorded=5, sent=5)


def by_batches(conn: psycopg.Connection[Any], mark: str) -> None:
    at = (now(conn) - timedelta(minutes=5)).isoformat()
    failed = {"bcp_name": "mail", "tool_name": "send", "start_time": at, "success": False, "duration_ms": 7}
    calls = [failed | {"event_id": f"{mark}-{n}"} for n in range(FAILED)]
    sent = bcp.ingest_tool_usage(conn, [*calls, calls[0], {"bcp_name": "without a tool"}])
    assert (sent.accepted, sent.stored, sent.duplicates, sent.rejected) == (FAILED + 2, FAILED, 1, 1)
    bcp.ingest_errors(conn, [{"level": "warn", "message": "slow disk", "timestamp": at}])
    bcp.ingest_metrics(conn, [{"metric_name": "depth", "metric_value": 2, "timestamp": at}])
    bcp.ingest_sessions(conn, [{"session_id": f"v-{mark}", "time": at, "secret": SECRET}])


def by_collector(dsn: str, mark: str, spool: Path) -> None:
    with Collector(dsn, source="program", spool=spool) as collector:
        collector.record(
            "mail", "send", parameters={"api_key": SECRET}, duration_ms=3, conversation_id=f"c-{mark}"
        )
        # Without a session: it goes by user and client.
        collector.record("mail", "list", success=True, duration_ms=4, user_id=f"w-{mark}", client_name="app")
        collector.metric("depth", 3)
        collector.touch_session(f"x-{mark}", user_id=f"w-{mark}", note=f"password: {SECRET}")
        with collector.call("mail", "delete") as call:
            call.response_data = {"ok": True}
        try:
            json.loads(f"token={SECRET}")
        except ValueError as error:
            collector.record_error("fatal", exception=error, bcp_name="mail")
    assert collector.stats().dropped == 0


async def by_server(dsn: str, mark: str, spool: Path) -> None:
    async with AsyncCollector(dsn, source="server", spool=spool) as collector:
        server = instrument(MCPServer("calc", version="3.1"), collector, user_id=f"u-{mark}")

        @server.tool()
        def divide(a: int, b: int, token: str) -> float:  # noqa: ARG001
            return a / b

        async with Client(server) as client:
            await client.list_tools()
            await client.call_tool("divide", {"a": 4, "b": 2, "token": SECRET})
            await client.call_tool("divide", {"a": 4, "b": 0, "token": SECRET})
        collector.metric("depth", 4)
        collector.record_error("info", "done")
        collector.record("mail", "list")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await bcp.log_tool_usage(conn, "mail", "list", session_id=f"s-{mark}")


def settle(conn: psycopg.Connection[Any]) -> None:
    """Do what jobs do after a day, and what people do about what they see."""
    bcp.refresh_analytics_views(conn)
    conn.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') c")
    conn.execute("select bcp_internal.evaluate_alerts()")
    for issue in bcp.error_issues(conn):
        if issue.error_type == "OSError":
            bcp.resolve_issue(conn, issue.fingerprint, notes="bigger disk", release="1.3")


def store_away(conn: psycopg.Connection[Any], folder: Path) -> None:
    """Let a call past retention be in an archive only."""
    bcp.log_tool_usage(conn, "files", "old", start_time=now(conn) - OLD, duration_ms=1)
    [made] = archive(conn, folder / "archive")
    assert made.row_count == 1
    bcp.run_cleanup(conn)


def ask(conn: psycopg.Connection[Any], names: list[str]) -> dict[str, Any]:
    return {
        name: [plain(row) for row in getattr(bcp, name)(conn, **ARGUMENTS.get(name, {}))] for name in names
    }


def plain(row: Any) -> dict[str, str]:
    """Return the fields as text; an aggregate of floats may add them up in another order another time."""
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {name: f"{v:.9g}" if isinstance(v, float) else repr(v) for name, v in values.items()}


def questions() -> list[str]:
    """Every question of this version but `health`, which tells of the machine, and one that acts."""
    found = [name for name in bcp.__all__ if getattr(getattr(bcp, name), "__row__", None)]
    return [name for name in found if name not in {"health", "cleanup_old_data"}]


def checks(conn: psycopg.Connection[Any]) -> dict[str, str]:
    return {row.check_name: row.status for row in bcp.health(conn)}


def begin(dsn: str, folder: Path) -> dict[str, Any]:
    migrate(dsn)
    with connect(dsn) as conn:
        store_away(conn, folder)
    log(dsn, "a", folder)
    with connect(dsn) as conn:
        settle(conn)
    return look(dsn, folder)


def look(dsn: str, _: Path) -> dict[str, Any]:
    with connect(dsn) as conn:
        return {"answers": ask(conn, questions()), "checks": checks(conn)}


def go_on(dsn: str, folder: Path) -> dict[str, Any]:
    """Use a store that a newer version has migrated since."""
    log(dsn, "b", folder)
    with connect(dsn) as conn:
        bcp.refresh_analytics_views(conn)
        bcp.apply_policies(conn)
        bcp.cleanup_old_data(conn)
        [alert, *_] = bcp.active_alerts(conn)
        bcp.acknowledge_alert(conn, alert.alert_id, notes="seen")
        [issue, *_] = bcp.error_issues(conn)
        bcp.resolve_issue(conn, issue.fingerprint)
        bcp.reopen_issue(conn, issue.fingerprint)
        bcp.enable_anonymization_pack(conn, "names")
        bcp.disable_anonymization_pack(conn, "names")
        bcp.hash_of(conn, "jane@example.com")
    refused = []
    for newer in (migrate, rollback_plan):
        try:
            newer(dsn)
        except BcpAnalyticsError as error:
            refused.append(str(error))
    return {"version": bcp.__version__, "refused": refused, "unknown": status(dsn).unknown}


if __name__ == "__main__":
    step, given, into = sys.argv[1:]
    answer = {"begin": begin, "ask": look, "go_on": go_on}[step](given, Path(into))
    sys.stdout.write(json.dumps(answer))
