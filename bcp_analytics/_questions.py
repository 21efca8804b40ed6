"""All questions, in the order in which they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics import (
    queries,
    queries_alerts,
    queries_calls,
    queries_errors,
    queries_sessions,
    queries_tools,
)

if TYPE_CHECKING:
    from bcp_analytics._function import SqlFunction

QUESTIONS: dict[str, tuple[SqlFunction[..., list[Any]], type[Any]]] = {
    name: (found, found.__row__)
    for module in (queries, queries_errors, queries_calls, queries_sessions, queries_tools, queries_alerts)
    for name, found in vars(module).items()
    if hasattr(found, "__row__")
}
"""By their names, with the dataclass of their rows."""
