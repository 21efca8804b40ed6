"""A clock, and a database that fails as it is told, for tests of the collector."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg

from bcp_analytics.collector import Collector
from bcp_analytics.collector.pipeline import _lifetime
from bcp_analytics.errors import InvalidBatch
from bcp_analytics.ingest import IngestResult

if TYPE_CHECKING:
    from pathlib import Path

    from bcp_analytics.collector.spool._batch import Batch


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Takes events in as bcp.ingest_* does: a batch id, or an event id, that comes again is a duplicate."""

    def __init__(self) -> None:
        self.batches: dict[str, int] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.copies: list[str] = []
        self.order: list[str] = []

    def take(self, batch: Batch) -> IngestResult:
        accepted = len(batch)
        self.order.append(batch.id)
        if batch.id in self.batches:
            assert self.batches[batch.id] == accepted, "a batch id stands for one batch"
            return IngestResult(accepted, 0, accepted, 0)
        self.batches[batch.id] = accepted
        stored = 0
        for payload in batch.payloads:
            event = json.loads(payload)
            key = event.get("event_id") or json.dumps(event, sort_keys=True)
            if key not in self.events:
                self.events[key] = event
                stored += 1
            else:
                self.copies.append(key)
        return IngestResult(accepted, stored, accepted - stored, 0)


class Sender:
    """`mode`: ok, away, lost (taken, but the answer never comes), failed, refused, broken."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database()
        self.mode = "ok"
        self.attempts = 0
        self.reports: list[Any] = []

    def send(self, batch: Batch) -> IngestResult:
        self.attempts += 1
        if self.mode == "away":
            raise psycopg.OperationalError("connection to server at 10.0.0.1 failed: password=hunter2")
        if self.mode == "failed":
            raise psycopg.errors.InvalidPassword("secret")
        if self.mode == "refused":
            raise InvalidBatch("no array", sqlstate="ZB001")
        if self.mode == "broken":
            raise RuntimeError("value=hunter2")
        result = self.database.take(batch)
        if self.mode == "lost":
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return result

    def report(self, instance: str, started_at: Any, stats: Any) -> None:
        del instance, started_at
        self.reports.append(stats)

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class Deadly(Sender):
    """Ends the thread that sends."""

    def send(self, batch: Batch) -> NoReturn:
        del batch
        raise SystemExit


def make(folder: Path, sender: Sender, clock: Clock | None = None, **settings: Any) -> Collector:
    """A collector without a thread: flush() and close() do its work."""
    return Collector(
        "", source="test", spool=folder, _sender=sender, _clock=clock or Clock(), _threaded=False, **settings
    )


def crash(collector: Collector) -> None:
    """As after kill -9: what is in memory is gone, and so is the lock."""
    collector._core._buffer.spool.abandon()
    collector._core._closed = True
    # If a fork told it, it would close descriptors in the child that reuse its numbers by now.
    _lifetime._all.discard(collector._core)


def balanced(collector: Collector) -> bool:
    s = collector.stats()
    known = s.stored + s.duplicates + s.rejected + s.spooled + s.buffered + s.dropped + s.corrupt
    return s.recorded + s.adopted == known


def stored(sender: Sender) -> list[dict[str, Any]]:
    """Return the events that the sender's database has."""
    return list(sender.database.events.values())
