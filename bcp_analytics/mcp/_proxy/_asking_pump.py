"""Passes bytes on line by line, where agents are asked, and answers in the server's place."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from bcp_analytics.mcp._proxy._asks import LINE, Frames
from bcp_analytics.mcp._proxy._pump import Pump

if TYPE_CHECKING:
    from bcp_analytics.mcp._proxy._asks import Said, Talk
    from bcp_analytics.mcp._proxy._pump import Tap


class ToClient(Pump):
    """Copies what the server says, with what is asked, and the proxy's own answers between its lines."""

    def __init__(self, source: int, target: int, tap: Tap, talk: Talk) -> None:
        """As a `Pump`."""
        super().__init__(source, target, tap, from_client=False)
        self._frames = Frames(LINE, talk.of_server)
        self._answers: deque[bytes] = deque()
        self._writing = threading.Lock()

    def answer(self, line: bytes) -> None:
        """Answer now, or after the line of which the client has a part."""
        with self._writing:
            self._answers.append(line)
            if not self._frames.torn:
                self._put_answers()

    def _pass(self, chunk: bytes) -> bool:
        # A client that does not read holds up both who write to it, as a server would.
        with self._writing:
            for part in self._frames.feed(chunk):
                if not self._put(part, part):
                    return False
            return self._frames.torn or self._put_answers()

    def _end(self) -> None:
        with self._writing:
            rest = self._frames.end()
            self._put(rest, rest)

    def _put_answers(self) -> bool:
        written = True
        while self._answers and written:
            line = self._answers.popleft()
            written = self._put(line, line)
        return written


class ToServer(Pump):
    """Copies what the client says, without what the server is not to see."""

    def __init__(self, source: int, target: int, tap: Tap, talk: Talk, back: ToClient) -> None:
        """As a `Pump`; answers go by `back`."""
        super().__init__(source, target, tap, from_client=True)
        self._talk = talk
        self._back = back
        self._said: Said | None = None
        self._frames = Frames(LINE, self._change)

    def _pass(self, chunk: bytes) -> bool:
        return all(self._put_part(part) for part in self._frames.feed(chunk))

    def _end(self) -> None:
        self._put_part(self._frames.end())

    def _change(self, line: bytes) -> bytes:
        self._said = self._talk.of_client(line)
        return self._said.passed

    def _put_part(self, part: bytes) -> bool:
        said, self._said = self._said, None
        if said is None:
            return self._put(part, part)
        written = self._put(said.passed, said.recorded)
        if said.answer:
            self._back.answer(said.answer + b"\n")
        return written
