"""The server: events in and answers out by HTTP, and what happens on a socket.

It needs the extra `bcp_analytics[server]`.
"""

from __future__ import annotations

from bcp_analytics.serve._app import create_app
from bcp_analytics.serve._config import Config
from bcp_analytics.serve._run import background, run

__all__ = ["Config", "background", "create_app", "run"]
