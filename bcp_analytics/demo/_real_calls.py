"""Calls to a real MCP server, started over stdio and called with the MCP SDK's own client.

A monotonic clock measures each call. No model decided on these calls, so the events name none.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from typing import TextIO

    from bcp_analytics.demo._generate import Event

PACKAGE = "mcp-server-time"
_MODULE = "mcp_server_time"
_INSTALL = (
    "Install it with pip install 'bcp_analytics[demo]', or leave the real calls out with --no-real-calls."
)
_ANSWER_S = 20.0
_TOGETHER_S = 60.0
_ROUNDS = 3

_RIGHT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("get_current_time", {"timezone": "Europe/Berlin"}),
    ("get_current_time", {"timezone": "Asia/Tokyo"}),
    ("get_current_time", {"timezone": "America/Sao_Paulo"}),
    ("convert_time", {"source_timezone": "Europe/Paris", "time": "09:30", "target_timezone": "Asia/Tokyo"}),
    ("convert_time", {"source_timezone": "UTC", "time": "23:59", "target_timezone": "America/New_York"}),
    ("convert_time", {"source_timezone": "Asia/Seoul", "time": "18:00", "target_timezone": "Africa/Lagos"}),
)  # fmt: skip
_WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    ("get_current_time", {"timezone": "Mars/Olympus_Mons"}),
    # Somebody pasted the wrong thing, and the server repeats it in its message.
    ("get_current_time", {"timezone": "grace.hopper@example.com"}),
    ("get_current_time", {}),
    ("convert_time", {"source_timezone": "UTC", "time": "25:99", "target_timezone": "Asia/Tokyo"}),
    ("convert_time", {"source_timezone": "UTC", "time": "12:00"}),
    ("tell_fortune", {"question": "will it scale?"}),
)


@dataclass(frozen=True, slots=True)
class RealCalls:
    """What a server was asked and did."""

    server: str
    """Its name and version, as it says."""
    protocol: str
    """Version of the protocol spoken."""
    tools: tuple[str, ...]
    """Tools that it lists."""
    session_id: str
    calls: list[Event]
    """Events for `ingest_tool_usage`."""
    errors: list[Event]
    """Events for `ingest_errors`, one per failed call."""


def why_unavailable() -> str | None:
    """Return why no real calls can be made, None where they can."""
    missing = [name for name, module in (("mcp", "mcp"), (PACKAGE, _MODULE)) if find_spec(module) is None]
    if not missing:
        return None
    return f"The real calls need {' and '.join(missing)}, not found in {sys.prefix}."


def check() -> None:
    """Raise `BcpAnalyticsError` where no real calls can be made."""
    reason = why_unavailable()
    if reason is not None:
        raise BcpAnalyticsError(reason, hint=_INSTALL)


def make_calls() -> RealCalls:
    """Start the server, call its tools, some with wrong arguments, and stop it.

    Raises `BcpAnalyticsError` where the server does not start or does not answer in time.
    """
    check()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            return asyncio.run(_in_time(log))
        except Exception as error:
            log.seek(0)
            said = [line.strip() for line in log.read().splitlines() if line.strip()]
            raise BcpAnalyticsError(
                f"The MCP server {PACKAGE} cannot be called: {_cause(error)}.",
                detail=f"It said last: {said[-1]}" if said else None,
                hint="Leave the real calls out with --no-real-calls.",
            ) from error


def _cause(error: BaseException) -> str:
    """Name the errors inside of exception groups, which say nothing themselves."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return f"no answer within {_TOGETHER_S:.0f} s"
    return f"{type(error).__name__}: {error}"


async def _in_time(log: TextIO) -> RealCalls:
    async with asyncio.timeout(_TOGETHER_S):
        return await _call_tools(log)


async def _call_tools(log: TextIO) -> RealCalls:
    from mcp import Client, StdioServerParameters, stdio_client  # noqa: PLC0415 - an extra, and slow to import
    from mcp.types import Implementation  # noqa: PLC0415

    me = Implementation(name="bcp-analytics-demo", version=_own_version())
    parameters = StdioServerParameters(command=sys.executable, args=["-m", _MODULE])
    async with Client(
        stdio_client(parameters, errlog=log), client_info=me, read_timeout_seconds=_ANSWER_S
    ) as client:
        info = client.server_info or Implementation(name=PACKAGE, version=version(PACKAGE))
        common = {
            "bcp_name": info.name,
            "operation": "tools/call",
            "session_id": f"demo-{uuid4()}",
            "user_id": "demo",
            "client_name": me.name,
            "client_version": me.version,
            "release": info.version,
        }
        tools = tuple(tool.name for tool in (await client.list_tools()).tools)
        calls = [await _call(client, common, *asked) for asked in _RIGHT * _ROUNDS + _WRONG]
        return RealCalls(
            server=f"{info.name} {info.version}",
            protocol=client.protocol_version,
            tools=tools,
            session_id=str(common["session_id"]),
            calls=calls,
            errors=[_error(call) for call in calls if not call["success"]],
        )


async def _call(client: Any, common: Event, tool: str, arguments: dict[str, Any]) -> Event:  # noqa: ANN401 - mcp's Client
    from mcp import MCPError  # noqa: PLC0415

    call = common | {
        "event_id": str(uuid4()),
        "tool_name": tool,
        "parameters": arguments,
        "start_time": datetime.now(UTC).isoformat(),
        "request_bytes": len(json.dumps(arguments).encode()),
    }
    begin = time.perf_counter()
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:
        # The protocol's own errors: https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/ has the code as
        # error.type.
        call["duration_ms"] = (time.perf_counter() - begin) * 1000
        return call | {
            "success": False,
            "error_type": str(error.code),
            "error_message": error.message,
            "response_bytes": len(error.message.encode()),
        }
    call["duration_ms"] = (time.perf_counter() - begin) * 1000
    answer = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    call["response_data"] = answer
    if not result.is_error:
        return call | {"success": True}
    message = "\n".join(part.text for part in result.content if part.type == "text")
    return call | {"success": False, "error_message": message}


def _error(call: Event) -> Event:
    names = ("bcp_name", "tool_name", "operation", "error_type", "session_id", "user_id", "release")
    return {name: call[name] for name in names if name in call} | {
        "level": "warn" if "response_data" in call else "error",
        "message": call["error_message"],
        "timestamp": call["start_time"],
        "tool_context": {"tool": call["tool_name"], "parameters": call["parameters"]},
    }


def _own_version() -> str:
    try:
        return version("bcp_analytics")
    except PackageNotFoundError:
        return "0"
