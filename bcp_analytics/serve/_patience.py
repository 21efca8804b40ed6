"""How long a client may take: who opens connections and says little would use up all that there can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

# Until the headers of a request are there, its body, and the next request: seconds.
HEADERS_S = 10.0
BODY_S = 60.0
NEXT_S = 5


class PatientProtocol(H11Protocol):
    """uvicorn's own, which waits for headers for ever, but it does not."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Begin without a connection."""
        super().__init__(*args, **options)
        self.timeout_keep_alive = NEXT_S
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADERS_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Wait no longer once the headers are there."""
        super().data_received(data)
        if not self._awaits_headers():
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(HEADERS_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _awaits_headers(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if self._awaits_headers():
            self.transport.close()
