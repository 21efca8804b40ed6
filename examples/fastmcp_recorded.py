"""A FastMCP server that records its calls from inside, with one line.

export BCP_ANALYTICS_DSN=...      as bcp-analytics up says
python fastmcp_recorded.py
"""

import asyncio
import os

from shop import server, shop_at

from bcp_analytics.collector import Collector
from bcp_analytics.mcp import instrument

with Collector(os.environ["BCP_ANALYTICS_DSN"], source="shop-recorded") as collector:
    instrument(server, collector, bcp_name="shop-recorded")
    # Yours does server.run() here. This one is called by a client in the same process.
    asyncio.run(shop_at(server))

stats = collector.stats()
print(f"recorded: {stats.recorded}, stored: {stats.stored}, rejected: {stats.rejected}")
