"""The proxy in front of an MCP server over HTTP, which is recorded unchanged.

python proxy_http.py              finds the database of bcp-analytics up; BCP_ANALYTICS_DSN names another
"""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

from shop import shop_at


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start(*command: str, port: int) -> subprocess.Popen[bytes]:
    """Start a program, and wait until it listens."""
    process = subprocess.Popen(command)
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process
    sys.exit(f"{command[0]} has ended at once")


behind, before = free_port(), free_port()
shop = start(sys.executable, str(Path(__file__).with_name("shop.py")), str(behind), port=behind)
upstream = f"http://127.0.0.1:{behind}/mcp"
listen = f"127.0.0.1:{before}"
proxy = start(
    "bcp-analytics", "proxy", "--bcp", "shop-http", "--listen", listen, "--upstream", upstream, port=before
)
try:
    # Clients get the proxy's address in place of the server's.
    asyncio.run(shop_at(f"http://{listen}/mcp"))
finally:
    for process in (proxy, shop):
        process.terminate()
        process.wait()

subprocess.run(["bcp-analytics", "query", "tool_usage_stats", "--bcp", "shop-http"], check=True)
