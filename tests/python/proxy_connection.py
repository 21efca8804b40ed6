"""A conversation of a client and a server, for the tests of what the proxy records of it."""

from __future__ import annotations

import json
from typing import Any

from bcp_analytics.mcp._proxy._conversation import Moment
from bcp_analytics.mcp._proxy._observer import Observer
from tests.python.mcp_sink import Kept


class Connection:
    """A conversation, in which each message takes a millisecond."""

    def __init__(self) -> None:
        self.sink = Kept()
        self.said: list[str] = []
        self.ms = 0
        self.observer = Observer("time", self.sink, session_id="s", user_id="ada", say=self.said.append)

    @property
    def now(self) -> Moment:
        self.ms += 1
        return Moment(self.ms * 1_000_000, 1_800_000_000 + self.ms / 1000)

    def raw(self, data: bytes, *, from_client: bool) -> None:
        self.observer.feed(data, self.now, from_client=from_client)

    def client(self, message: Any) -> None:
        self.raw(json.dumps(message).encode() + b"\n", from_client=True)

    def server(self, message: Any) -> None:
        self.raw(json.dumps(message).encode() + b"\n", from_client=False)

    def ask(self, request_id: Any, method: str = "tools/call", **params: Any) -> None:
        if method == "tools/call":
            params = {"name": "now", "arguments": {}} | params
        self.client({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def answer(self, request_id: Any, **result: Any) -> None:
        self.server({"jsonrpc": "2.0", "id": request_id, "result": result})

    def finish(self, *, client_left: bool = False, exit_code: int = 0) -> None:
        self.observer.finish(self.now, client_left=client_left, exit_code=exit_code)

    @property
    def only_call(self) -> dict[str, Any]:
        [call] = self.sink.calls
        return call
