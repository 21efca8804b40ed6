"""The stdio proxy: runs an MCP server as a child, passes every byte on, and records the calls beside it.

    bcp-analytics proxy --bcp files -- npx -y @modelcontextprotocol/server-filesystem /data

The bytes of client and server reach each other unchanged, whatever they are, and before anything of ours
looks at them. The child inherits stderr and the environment, except for the variable that names the analytics
database; its end is ours, with its exit code, or 128 and the number of the signal that ended it. Signals are
passed on to it. Recording is the work of a second process of ours, which nothing here waits for; should it
fail, that is counted and said once on stderr, and nobody else notices.
"""

from __future__ import annotations

from bcp_analytics.mcp._proxy._conversation import MAX_LINE, Counts, say
from bcp_analytics.mcp._proxy._run import NotStarted, Outcome, run_proxy

__all__ = ["MAX_LINE", "Counts", "NotStarted", "Outcome", "run_proxy", "say"]
