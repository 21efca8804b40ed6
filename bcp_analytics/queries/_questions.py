"""All questions, in the order in which they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics.queries import (
    _alerts,
    _calls,
    _errors,
    _intents,
    _live,
    _report,
    _sessions,
    _tools,
    _usage,
)

if TYPE_CHECKING:
    from bcp_analytics._core.function import SqlFunction

QUESTIONS: dict[str, tuple[SqlFunction[..., list[Any]], type[Any]]] = {
    name: (found, found.__row__)
    for module in (_usage, _report, _errors, _calls, _live, _sessions, _tools, _intents, _alerts)
    for name, found in vars(module).items()
    if hasattr(found, "__row__")
}
"""By their names, with the dataclass of their rows."""
