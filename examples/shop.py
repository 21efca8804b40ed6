"""A small MCP server, for the other examples: one tool, which knows a price and fails for unicorns.

python shop.py            over stdio
python shop.py 9001       over HTTP, at http://127.0.0.1:9001/mcp
"""

import sys

from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError

server = FastMCP("shop")


@server.tool
def price(item: str) -> int:
    """Look up what an item costs."""
    if item == "unicorn":
        raise ToolError("sold out")
    return 7


async def shop_at(place: object) -> None:
    """Call the tool twice, as a client of the server at a place: the server itself, a command or a URL."""
    async with Client(place) as client:
        print("tea:", (await client.call_tool("price", {"item": "tea"})).data, flush=True)
        refused = await client.call_tool("price", {"item": "unicorn"}, raise_on_error=False)
        print("unicorn:", refused.content[0].text, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="error")
    else:
        server.run(show_banner=False, log_level="error")
