"""A collector that keeps what it is given, for the tests of proxy and middleware."""

from __future__ import annotations

from typing import Any


class Kept:
    """Calls, errors and sessions as they were recorded; with `broken` set, every method raises it."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.definitions: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.broken: Exception | None = None

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def record(self, bcp_name: str, tool_name: str, operation: str = "call", **fields: Any) -> str:
        self._check()
        kept = self.definitions if tool_name == "tools/definition" else self.calls
        kept.append({"bcp_name": bcp_name, "tool_name": tool_name, "operation": operation} | fields)
        return "id"

    def record_error(self, level: str, message: str | None = None, **fields: Any) -> str:
        self._check()
        self.errors.append({"level": level, "message": message} | fields)
        return "id"

    def touch_session(self, session_id: str, **fields: Any) -> None:
        self._check()
        self.sessions.append({"session_id": session_id} | fields)

    def end_session(self, session_id: str, **_: Any) -> None:
        self._check()
        self.ended.append(session_id)
