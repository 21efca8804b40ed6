"""The queue between an event loop and the recording, which the loop empties itself.

A thread that did so would take the interpreter from the loop while a request waits to be passed on.
"""

from __future__ import annotations

import asyncio
import os
import pickle

from bcp_analytics.mcp._proxy._conversation import say
from bcp_analytics.mcp._proxy._pump import CHUNK, Tap, widen


class LoopTap(Tap):
    """A `Tap` that writes what was put into it to a pipe, as soon as the loop has nothing else to do."""

    def __init__(self) -> None:
        """Start empty, and apart from any loop."""
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipe = -1
        self._unsent = b""
        self._waits = False
        self._gone = False

    def attach(self, pipe: int) -> None:
        """From now on, send to this pipe by the loop that runs."""
        widen(pipe)
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()

    def detach(self) -> None:
        """Leave what is left, and what comes, to somebody else."""
        if self._loop is not None:
            self._loop.remove_writer(self._pipe)
            os.set_blocking(self._pipe, True)
            self._loop = None

    def unsent(self) -> bytes:
        """Return what was taken out of the queue and not sent."""
        return self._unsent

    def has_room(self, size: int) -> bool:
        """Say whether a chunk of this size would be kept."""
        return not self._gone and super().has_room(size)

    def wake(self) -> None:
        """Have what is there sent."""
        if self._loop is None:
            super().wake()
        elif not (self._waits or self._gone):
            self._waits = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        loop = self._loop
        if loop is None:
            return
        self._waits = False
        try:
            while self._unsent or self._pickle():
                self._unsent = self._unsent[os.write(self._pipe, self._unsent) :]
            loop.remove_writer(self._pipe)
        except BlockingIOError:
            self._waits = True
            loop.add_writer(self._pipe, self._send)
        except OSError:
            loop.remove_writer(self._pipe)
            self._gone = True
            say("the process that records is gone; the connections go on")

    def _pickle(self) -> bool:
        """Take a good load out of the queue, and say whether there was any."""
        parts = []
        size = 0
        while size < CHUNK and (item := self._take()) is not None:
            parts.append(pickle.dumps(item))
            size += len(parts[-1])
        self._unsent = b"".join(parts)
        return bool(parts)
