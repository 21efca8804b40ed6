"""Makes the calls of a plan by the Python SDK, and writes down what the client was told: drive.py PLAN.

drive.mjs does the same by the TypeScript SDK. A plan has `command` or `url`; `steps`, each a list of calls
that are made at the same time; `stalled_s`, after which a call gets no answer any more; and `transcript`, the
file that gets one line per call, as soon as it is over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import IO, Any

from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT, Implementation

Call = dict[str, Any]


async def make(client: Client, call: Call, stalled_s: float) -> dict[str, Any]:
    """Make a call, and return what the caller learns of it."""
    progress = 0

    async def on_progress(*_: object) -> None:
        nonlocal progress
        progress += 1

    coroutine = client.call_tool(
        call["tool"],
        call["arguments"],
        read_timeout_seconds=call.get("timeout_s", stalled_s),
        progress_callback=on_progress if call.get("progress") else None,
        meta={"traceparent": call["traceparent"]},
    )
    task = asyncio.ensure_future(coroutine)
    if "cancel_s" in call:
        asyncio.get_running_loop().call_later(call["cancel_s"], task.cancel)
    try:
        result = await task
    except asyncio.CancelledError:
        # By itself the SDK does so where the connection is gone.
        return {"saw": "cancelled" if "cancel_s" in call else "no answer"}
    except MCPError as error:
        if error.code == REQUEST_TIMEOUT:
            return {"saw": "timeout" if "timeout_s" in call else "no answer"}
        if error.code == CONNECTION_CLOSED:
            return {"saw": "no answer"}
        return {"saw": "error", "code": error.code, "text": error.message[:500]}
    text = " ".join(part.text for part in result.content if part.type == "text")
    return {
        "saw": "tool error" if result.is_error else "result",
        "text": text[:500],
        "progress": progress,
    }


async def follow(client: Client, plan: dict[str, Any], transcript: IO[str]) -> None:
    """Make the calls of a plan until its end, or the server's."""

    async def one(call: Call) -> bool:
        told = await make(client, call, plan["stalled_s"])
        transcript.write(json.dumps({"traceparent": call["traceparent"]} | told) + "\n")
        return told["saw"] != "no answer"

    await client.list_tools()
    for step in plan["steps"]:
        if not all(await asyncio.gather(*map(one, step))):
            return


async def main(plan: dict[str, Any], transcript: IO[str]) -> None:
    """Connect, and follow the plan."""
    where: Any = plan.get("url")
    if where is None:
        command, *arguments = plan["command"]
        where = stdio_client(StdioServerParameters(command=command, args=arguments, env=plan["environment"]))
    me = Implementation(name="mcp-python", version="1.5")
    async with Client(where, client_info=me) as client:
        await follow(client, plan, transcript)


if __name__ == "__main__":
    _plan = json.loads(Path(sys.argv[1]).read_text())
    with Path(_plan["transcript"]).open("w", buffering=1) as _transcript:
        asyncio.run(main(_plan, _transcript))
