"""What agents ask by the Model Context Protocol: `bcp-analytics mcp`, and /mcp of `bcp-analytics serve`.

About ten tools rather than all questions, because a model pays for the description of each with every
request. Answers are small, and say what they leave out. What events say is untrusted: it comes inside a fence
that no event can know (`_fence`).

The server is the `mcp` package's, the extra `mcp`.
"""

from __future__ import annotations

from bcp_analytics.agents._server import Asked, make_server, serve_stdio

__all__ = ["Asked", "make_server", "serve_stdio"]
