"""The proxy in front of an MCP server over stdio, which is recorded unchanged.

python proxy_stdio.py             finds the database of bcp-analytics up; BCP_ANALYTICS_DSN names another
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from fastmcp.client.transports import StdioTransport
from shop import shop_at

# In the configuration of a client: the proxy, two dashes, and the command that was there before.
command = ["proxy", "--bcp", "shop-stdio", "--", sys.executable, str(Path(__file__).with_name("shop.py"))]
asyncio.run(shop_at(StdioTransport("bcp-analytics", command, env=dict(os.environ), keep_alive=False)))

subprocess.run(["bcp-analytics", "query", "tool_usage_stats", "--bcp", "shop-stdio"], check=True)
