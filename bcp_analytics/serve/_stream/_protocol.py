"""How uvicorn speaks to who watches: who does not read is gone within 10 seconds."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from asyncio import BaseTransport

# Who has stopped reading answers no ping. Who has just answered one is found by the next.
PING_S = 4.0
# Bytes that the system keeps unsent: one message. Of a slow client, newer messages replace what does not fit.
_UNSENT = 262_144


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own, but it drops who does not answer pings, and keeps little of what is unsent."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what is kept."""
        super().connection_made(transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)

    def keepalive_timeout(self) -> None:
        """Drop the connection: closing it would wait until the client has read what is left."""
        super().keepalive_timeout()
        self.transport.abort()


UVICORN: dict[str, Any] = {
    "ws": StreamProtocol,
    "ws_ping_interval": PING_S,
    "ws_ping_timeout": PING_S,
    "ws_max_size": 4096,
    "ws_per_message_deflate": False,
}
