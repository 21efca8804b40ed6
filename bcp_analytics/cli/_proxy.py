"""The command `bcp-analytics proxy`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bcp_analytics.cli._support import DSN_VARIABLE, counted, readable_dsn, say_error
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp._proxy import NotStarted, run_proxy
from bcp_analytics.mcp._proxy import say as tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bcp_analytics.mcp._asking import Asking
    from bcp_analytics.mcp._proxy import Outcome

_LISTEN = "127.0.0.1:9000"
_OF_THE_EXTRA = {"aiohttp", "uvicorn", "yarl"}


@dataclass(frozen=True, slots=True)
class How:
    """How calls are recorded, over either transport."""

    bcp_name: str
    dsn: str | None
    user_id: str | None
    durable: bool
    verbose: bool
    asking: Asking

    def connect(self) -> Any:  # noqa: ANN401 - the collector's class is not imported before it is needed
        """Return a collector."""
        from bcp_analytics.collector import Collector  # noqa: PLC0415 - the server starts meanwhile

        return Collector(readable_dsn(self.dsn), source=f"proxy-{self.bcp_name}", durable=self.durable)

    def tell(self, outcome: Outcome) -> None:
        """Say at the end what was recorded."""
        if self.verbose or sys.stderr.isatty():
            tell(_summary(outcome))


def run(how: How, command: Sequence[str]) -> int:
    """Run a server behind the proxy, and return its exit code, or a shell's where it cannot be started."""
    try:
        # The server may be anybody's code, and the string may hold a password.
        hide = [DSN_VARIABLE]
        outcome = run_proxy(
            how.bcp_name, command, how.connect, user_id=how.user_id, hide=hide, asking=how.asking
        )
    except NotStarted as error:
        say_error(str(error))
        return error.exit_code
    how.tell(outcome)
    return outcome.exit_code


def serve(how: How, upstream: str, listen: str | None, allow_hosts: Sequence[str], *, public: bool) -> int:
    """Stand in front of a server over HTTP until a signal ends it, and return the exit code."""
    try:
        from bcp_analytics.mcp._proxy._serve import serve_proxy  # noqa: PLC0415 - may not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise BcpAnalyticsError(
            "A proxy over HTTP needs an extra.", hint='pip install "bcp_analytics[server]"'
        ) from None
    outcome = serve_proxy(
        how.bcp_name,
        upstream,
        listen or _LISTEN,
        how.connect,
        user_id=how.user_id,
        allow_hosts=allow_hosts,
        public=public,
        asking=how.asking,
    )
    how.tell(outcome)
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
