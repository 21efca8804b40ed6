"""The stream: what happens, on a socket, each second."""

from __future__ import annotations

from bcp_analytics.serve._stream._hub import Hub
from bcp_analytics.serve._stream._protocol import UVICORN
from bcp_analytics.serve._stream._socket import routes

__all__ = ["UVICORN", "Hub", "routes"]
