"""What a collector tells the database of itself, so that its ledger knows what has not come in yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from bcp_analytics.collector._delivery import examine

if TYPE_CHECKING:
    from bcp_analytics.collector._delivery import Delivery
    from bcp_analytics.collector._stats import CollectorStats
    from bcp_analytics.collector.pipeline._attempts import Attempts
    from bcp_analytics.collector.pipeline._buffer import Buffer
    from bcp_analytics.collector.pipeline._log import Log

_EVERY_S: Final = 60.0


class Reporter:
    """Knows when a report is due, and makes it; `send` without the core's lock, the rest with it."""

    def __init__(self, sender: Delivery, buffer: Buffer, attempts: Attempts, log: Log) -> None:
        """Begin with a new id."""
        self.instance = str(uuid4())
        self._started_at = datetime.now(UTC)
        self._sender = sender
        self._buffer = buffer
        self._attempts = attempts
        self._log = log
        self._sent_at: float | None = None
        self._sent: tuple[int, ...] = ()

    def due_at(self, now: float) -> float | None:
        """Return when the next report is due, None while there is nothing to tell, or nobody to tell it."""
        if self._attempts.away is not None or self._attempts.accepted == 0 or self._news() == self._sent:
            return None
        return now if self._sent_at is None else self._sent_at + _EVERY_S

    def begin(self, now: float) -> None:
        """Note that a report is made now."""
        self._sent_at = now
        self._sent = self._news()

    def send(self, stats: CollectorStats) -> str | None:
        """Report; returns the name of the error where that failed, which costs no event."""
        try:
            self._sender.report(self.instance, self._started_at, stats)
        except Exception as error:  # noqa: BLE001 - a report is worth no event
            problem = examine(error)
            self._log.warn(
                "report",
                "bcp_analytics: events arrive, but the collector cannot report itself (%s). %s",
                problem.name,
                problem.advice or "",
            )
            return problem.name
        return None

    def _news(self) -> tuple[int, ...]:
        buffer = self._buffer
        return (buffer.recorded, self._attempts.accepted, buffer.spool.events, buffer.dropped)
