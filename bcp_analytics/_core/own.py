"""What tells the store's own MCP server from those that it records."""

from __future__ import annotations

from typing import Final

OWN_SERVER: Final = "bcp-analytics"
"""By which it names itself, and what the documentation has clients call it. Whoever records calls leaves
those of a server of this name out: a store that counts who looks at it shows its own use."""
