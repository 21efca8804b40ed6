"""What the attempts to send came to, and when the next one is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bcp_analytics.collector._delivery import backoff

if TYPE_CHECKING:
    from bcp_analytics.collector._delivery import Problem
    from bcp_analytics.collector.spool._batch import Batch
    from bcp_analytics.ingest import IngestResult

_UNKNOWN_ATTEMPTS: Final = 5

_SOON: Final = {"first": 0.5, "longest": 30.0}
_LATER: Final = {"first": 30.0, "longest": 30.0, "shortest": 15.0}


class Attempts:
    """How the database answered so far; used under the core's lock."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.accepted = 0
        self.stored = 0
        self.duplicates = 0
        self.rejected = 0
        self.batches = 0
        self.retries = 0
        self.away: Problem | None = None
        """Why the database does not take events; None while it does."""
        self.retrying: Problem | None = None
        """Why an attempt is repeated right now."""
        self.try_at = 0.0
        """When the next attempt is due while it is away, by the core's clock."""
        self._failures = 0
        self._unknown: dict[str, int] = {}

    def delivered(self, batch: Batch, result: IngestResult) -> None:
        """Count an answer."""
        self.batches += 1
        self.accepted += result.accepted
        self.stored += result.stored
        self.duplicates += result.duplicates
        self.rejected += result.rejected
        self.away = None
        self.retrying = None
        self._failures = 0
        self._unknown.pop(batch.id, None)

    def repeated(self, problem: Problem) -> None:
        """Count an attempt that the sender is about to repeat by itself."""
        self.retries += 1
        self.retrying = problem

    def is_hopeless(self, batch: Batch, problem: Problem) -> bool:
        """Whether to give up a batch for what happened to it now."""
        if problem.verdict == "unknown":
            self._unknown[batch.id] = self._unknown.get(batch.id, 0) + 1
            return self._unknown[batch.id] >= _UNKNOWN_ATTEMPTS
        return problem.verdict == "batch"

    def gave_up(self, batch: Batch) -> None:
        """Count a batch that was kept aside."""
        self.rejected += len(batch)
        self._unknown.pop(batch.id, None)

    def failed(self, problem: Problem, now: float) -> None:
        """Note that the database is away, and set the time of the next attempt."""
        self.retries += 1
        self.away = problem
        self.retrying = None
        self._failures += 1
        bounds = _LATER if problem.verdict == "failed" else _SOON
        self.try_at = now + backoff(self._failures, **bounds)
