"""A FastMCP server for uvicorn. It records if the environment says where to."""

from __future__ import annotations

import asyncio
import os

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from starlette.responses import PlainTextResponse

from bcp_analytics.collector import Collector
from bcp_analytics.mcp import instrument

server = FastMCP("real-clients", version="1.5")


@server.tool
async def read(size: int) -> str:
    """Answer with so many characters."""
    await asyncio.sleep(0.01)
    return "x" * size


@server.tool
async def fail(message: str) -> str:
    """Fail."""
    raise ToolError(message)


@server.tool
async def count(steps: int, context: Context) -> int:
    """Tell of each step."""
    for step in range(steps):
        await asyncio.sleep(0.01)
        await context.report_progress(step, steps)
    return steps


@server.custom_route("/ready", methods=["GET"])
async def ready(_: object) -> PlainTextResponse:
    """Say that there is somebody to answer."""
    return PlainTextResponse("ready")


if "RECORD_TO" in os.environ:
    collector = Collector(os.environ["RECORD_TO"], source="real-clients", spool=os.environ["SPOOL"])
    instrument(server, collector, os.environ["BCP_NAME"])
app = server.http_app(json_response=os.environ["ANSWERS"] == "JSON")
