"""Asking agents why they call: an optional argument of every tool, and a tool for what is missing.

Both are off unless somebody wants them, since they change what a model is told. The server notices neither:
the argument is taken out of a call before the server gets it, and the tool is answered in its place. A tool
that has an argument of this name of its own keeps it, and is not asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bcp_analytics.mcp._events import has_sessions, mapping, string

ARGUMENT: Final = "context"
MORE: Final = "get_more_tools"
SCHEMA: Final = {
    "type": "string",
    "description": "Why you call this tool: what you want to reach with it, in one sentence, without names, "
    "addresses or secrets.",
}
MORE_ABOUT: Final = (
    "Call this when no tool here does what you need. Say in context what is missing, in one sentence, "
    "without names, addresses or secrets. It tells those who make the tools."
)
MORE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string", "description": "What you want to do, and cannot."}},
    "required": [ARGUMENT],
}
MORE_TOOL: Final = {"name": MORE, "description": MORE_ABOUT, "inputSchema": MORE_SCHEMA}
MORE_ANSWER: Final = "Noted. There are no more tools at present: go on with those that are listed."
_MAX_TOOLS: Final = 10_000


def more_answer(protocol_version: str | None) -> dict[str, Any]:
    """Return the answer to a call of the tool for what is missing, as on the wire."""
    answer = {"content": [{"type": "text", "text": MORE_ANSWER}], "isError": False}
    return answer if has_sessions(protocol_version) else answer | {"resultType": "complete"}


class Asking:
    """What a server's tools are asked about, as far as its lists were seen."""

    def __init__(self, *, context: bool, more: bool) -> None:
        """Say which of the two are wanted."""
        self._context = context
        self._more = more
        self._asked: set[str] = set()
        self._own_more = False

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return self._context or self._more

    def schema(self, name: str, schema: Any) -> Any:  # noqa: ANN401 - a JSON Schema
        """Return a tool's input schema with the argument, or as it is, and remember which it is."""
        self._own_more |= name == MORE
        given = mapping(schema)
        properties = given.get("properties", {})
        kept = given.get("type") != "object" or not isinstance(properties, Mapping) or ARGUMENT in properties
        if not self._context or kept or len(self._asked) >= _MAX_TOOLS:
            self._asked.discard(name)
            return schema
        self._asked.add(name)
        return {**given, "properties": {**properties, ARGUMENT: SCHEMA}}

    @property
    def offers(self) -> bool:
        """Whether the tool for what is missing is to be listed: the server has none of this name."""
        return self._more and not self._own_more

    def list(self, result: Any) -> Any:  # noqa: ANN401 - as on the wire
        """Return the result of tools/list with what is asked; the tool is on the last page alone."""
        tools = mapping(result).get("tools")
        if not isinstance(tools, list):
            return result
        asked = [
            {**tool, "inputSchema": self.schema(str(tool.get("name")), tool.get("inputSchema"))}
            if isinstance(tool, Mapping)
            else tool
            for tool in tools
        ]
        if self.offers and not result.get("nextCursor"):
            asked.append(MORE_TOOL)
        return {**result, "tools": asked}

    def take(self, name: Any, arguments: Any) -> tuple[Any, str | None]:  # noqa: ANN401 - as a client sent them
        """Return the arguments as the server gets them, and why the agent calls."""
        given = mapping(arguments)
        if ARGUMENT not in given or not (name in self._asked or self.answers(name)):
            return arguments, None
        return {key: value for key, value in given.items() if key != ARGUMENT}, string(given[ARGUMENT])

    def answers(self, name: Any) -> bool:  # noqa: ANN401
        """Whether a call of this tool is answered here, and not by the server."""
        return name == MORE and self.offers
