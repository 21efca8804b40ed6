"""The command `bcp-analytics proxy`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bcp_analytics.cli._support import DSN_VARIABLE, counted, readable_dsn, say_error
from bcp_analytics.mcp._proxy import NotStarted, run_proxy
from bcp_analytics.mcp._proxy import say as tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bcp_analytics.mcp._proxy import Outcome


def run(
    bcp_name: str,
    command: Sequence[str],
    *,
    dsn: str | None,
    user_id: str | None,
    durable: bool,
    verbose: bool,
) -> int:
    """Run a server behind the proxy, and return its exit code, or a shell's where it cannot be started."""

    def connect() -> Any:  # noqa: ANN401 - the collector's class is not imported before it is needed
        from bcp_analytics.collector import Collector  # noqa: PLC0415 - the server starts meanwhile

        return Collector(readable_dsn(dsn), source=f"proxy-{bcp_name}", durable=durable)

    try:
        # The server may be anybody's code, and the string may hold a password.
        outcome = run_proxy(bcp_name, command, connect, user_id=user_id, hide=[DSN_VARIABLE])
    except NotStarted as error:
        say_error(str(error))
        return error.exit_code
    if verbose or sys.stderr.isatty():
        tell(_summary(outcome))
    return outcome.exit_code


def _summary(outcome: Outcome) -> str:
    counts, stats = outcome.counts, outcome.stats
    if counts is None:
        return "how much was recorded is not known yet"
    seen = f"{counted(counts.calls, 'call')} ({counts.failed_calls} failed)"
    seen += f", {counted(counts.listings, 'list')} of tools"
    if counts.unread_lines:
        seen += f", {counted(counts.unread_lines, 'line')} not read"
    if counts.unrecorded:
        seen += f", {counted(counts.unrecorded, 'event')} failed to be recorded"
    if stats is None:
        return f"{seen}; nothing was recorded"
    events = ("stored", "duplicates", "rejected", "spooled", "buffered", "dropped")
    kept = ", ".join(f"{number} {name}" for name in events if (number := getattr(stats, name)))
    return f"{seen}; events: {kept or 'none'}"
