"""Reads the lines of a connection over stdio, and records the calls among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._proxy._conversation import MAX_LINE, UNKNOWN, Conversation, Journal
from bcp_analytics.mcp._proxy._lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.mcp._events import Fields, Sink
    from bcp_analytics.mcp._proxy._conversation import Moment


class Observer:
    """Reads both directions of a connection, and sends what it understands to a sink; never raises."""

    def __init__(
        self,
        bcp_name: str,
        sink: Sink,
        *,
        session_id: str,
        user_id: str | None = None,
        say: Callable[[str], None],
    ) -> None:
        """`say` is called once, should recording fail."""
        self._journal = Journal(bcp_name, sink, say)
        self.counts = self._journal.counts
        who: Fields = {"session_id": session_id} | ({"user_id": user_id} if user_id else {})
        self._conversation = Conversation(self._journal, who)
        self._lines = {True: Lines(MAX_LINE), False: Lines(MAX_LINE)}

    def take(self, item: bytes | int | None, at: Moment, from_client: bool) -> bool:  # noqa: FBT001
        """Take what a `Tap` yields, and say whether the client has left.

        The server may then take its time to end, in which the calls so far can be sent.
        """
        if item is None:
            self.end(at, from_client=from_client)
        elif isinstance(item, int):
            self.gap(item, from_client=from_client)
        else:
            self.feed(item, at, from_client=from_client)
        return item is None and from_client

    def feed(self, chunk: bytes, at: Moment, *, from_client: bool) -> None:
        """Take bytes that were passed on."""
        for line in self._lines[from_client].feed(chunk):
            self._conversation.read(line, at, from_client=from_client)

    def gap(self, size: int, *, from_client: bool) -> None:
        """Note that bytes were passed on without being given to `feed`."""
        self._lines[from_client].gap(size)
        self.counts.unread_bytes += size

    def end(self, at: Moment, *, from_client: bool) -> None:
        """Note that a direction ended; what came after its last newline is read as a line."""
        line = self._lines[from_client].end()
        if line is not None:
            self._conversation.read(line, at, from_client=from_client)

    def finish(self, at: Moment, *, client_left: bool, exit_code: int) -> None:
        """Record calls that nobody will answer any more, why the server ended, and the end of the session."""
        why = f"The server ended with exit code {exit_code}"
        if exit_code and not client_left:
            fields = events.failed("no_answer", f"{why} before the call was answered.")
            self._conversation.give_up_all(fields, at)
            about = {"error_type": "server_ended", "bcp_name": self._journal.bcp_name}
            self._journal.error("error", f"{why}.", about | self._conversation.who)
        else:
            self._conversation.give_up_all(UNKNOWN, None)
        self._conversation.end_session(at)
