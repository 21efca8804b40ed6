"""From a decoded request to the store, and the counts of what came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from prometheus_client import Counter as Counted

from bcp_analytics import ingest
from bcp_analytics._core.encode import encode_batch
from bcp_analytics.serve._body import too_many
from bcp_analytics.serve._errors import StoreAway
from bcp_analytics.serve._otlp import _mapping
from bcp_analytics.serve._otlp._calls import Found, find
from bcp_analytics.serve._otlp._record import Malformed
from bcp_analytics.serve._storing import told_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bcp_analytics.serve._auth import Caller
    from bcp_analytics.serve._database import Database
    from bcp_analytics.serve._metrics import Metrics
    from bcp_analytics.serve._otlp._record import Record

_RULES_LAST = 60.0
_REMEMBERED = 1_000
# A body of so many bytes may become twenty times as many, so such are decoded one after the other.
_LARGE = 1024 * 1024
_MOST_RECORDS = 50_000

log = logging.getLogger(__name__)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request: why so many of its calls were rejected, 0 and nothing where none was."""

    rejected: int
    message: str


class Intake:
    """What the OTLP routes of an application share."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        """Take the database, which is asked for rules at the first request, and what counts."""
        self._database = database
        self._events = metrics.events
        self._ignored = Counted(
            "bcp_otlp_ignored",
            "Records of OTLP that are no calls, or those of another's view, by signal and reason.",
            ["signal", "reason"],
            registry=metrics.registry,
        )
        self._rules: _mapping.Rules | None = None
        self._rules_at = 0.0
        self._noted: Counter[tuple[str, str]] = Counter()
        self._said: set[tuple[str, str, str]] = set()
        self._large = asyncio.Lock()

    async def take(
        self, signal: str, records: Callable[[], Iterator[Record]], size: int, caller: Caller
    ) -> Receipt:
        """Store the calls among records; raises `Malformed`, `TooMany`, and `Refused` where it cannot."""
        rules = await self._current_rules()
        found, calls, errors = await self.decode(lambda: _find(records, rules, caller.vantage), size)
        receipt, reasons = await self._store(calls, errors, caller)
        self._count(signal, found, receipt, caller)
        return Receipt(
            receipt.rejected, _explained(receipt.rejected, reasons, found) if receipt.rejected else ""
        )

    async def note_ignored(self) -> None:
        """Store how many records were ignored for each reason since the last time."""
        noted, self._noted = self._noted, Counter()
        if not noted:
            return
        counts = [
            {"signal": signal, "reason": reason, "records": records}
            for (signal, reason), records in noted.most_common()
        ]
        try:
            async with self._database.connection("admin") as conn:
                await conn.execute("select bcp_internal.note_otlp_ignored(%s)", [json.dumps(counts)])
        except StoreAway:
            self._noted.update(noted)

    async def decode(self, work: Callable[[], Value], size: int) -> Value:
        """Do what a body of this size takes in a thread, so that it does not keep others waiting."""
        async with self._large if size > _LARGE else contextlib.nullcontext():
            return await asyncio.to_thread(work)

    async def _current_rules(self) -> _mapping.Rules:
        rules = self._rules
        if rules is None or time.monotonic() - self._rules_at > _RULES_LAST:
            # Not of a standby: events come in whether it is there or not.
            async with self._database.connection("reader", current=True) as conn:
                rows = await (await conn.execute(_mapping.QUERY)).fetchall()
            rules = self._rules = _mapping.compile_rules(rows)
            self._rules_at = time.monotonic()
        return rules

    async def _store(
        self, calls: str | None, errors: str | None, caller: Caller
    ) -> tuple[ingest.IngestResult, list[ingest.RejectionReason]]:
        if calls is None:
            return ingest.IngestResult(0, 0, 0, 0), []
        # Not the client's, and never sent again: only to ask why events of it were rejected.
        batch_id = uuid4()
        with told_apart():
            async with self._database.connection("ingest") as conn:
                receipt = await ingest.ingest_tool_usage(conn, calls, batch_id=batch_id, source=caller.name)
                reasons = await ingest.rejection_reasons(conn, batch_id=batch_id) if receipt.rejected else []
            # One transaction for each batch, because two in one may deadlock with other senders. Where the
            # second fails, the request is sent again, and the calls are then duplicates.
            if errors is not None:
                async with self._database.connection("ingest") as conn:
                    await ingest.ingest_errors(conn, errors, source=caller.name)
        return receipt, reasons

    def _count(self, signal: str, found: Found, receipt: ingest.IngestResult, caller: Caller) -> None:
        for result in ("stored", "duplicates", "rejected"):
            self._events.labels(signal, result).inc(getattr(receipt, result))
        for reason, number in found.ignored.items():
            self._ignored.labels(signal, reason).inc(number)
            self._noted[signal, reason] += number
            said = (caller.name, signal, reason)
            # Each once, so that whoever misses calls finds out why, and the log stays short.
            if said not in self._said and len(self._said) < _REMEMBERED:
                self._said.add(said)
                log.warning("from %r, a %s is ignored, and all like it: %s", *said)


def _find(
    records: Callable[[], Iterator[Record]], rules: _mapping.Rules, vantage: str | None
) -> tuple[Found, str | None, str | None]:
    """Return what a request holds, and its calls and errors as the store takes them."""
    try:
        found = find(_bounded(records()), rules, vantage)
    except RecursionError:
        raise Malformed("", "a value is nested too deep") from None
    calls, errors = (encode_batch(events) if events else None for events in (found.calls, found.errors))
    return found, calls, errors


def _bounded(records: Iterator[Record]) -> Iterator[Record]:
    """Give records; raises `Refused` with 413 where there are too many, since a thread cannot be ended."""
    for number, record in enumerate(records):
        if number >= _MOST_RECORDS:
            raise too_many(_MOST_RECORDS, "records")
        yield record


def _explained(rejected: int, reasons: list[ingest.RejectionReason], found: Found) -> str:
    """Return which calls were rejected and why, and what else was ignored."""
    said = f"{rejected} of {len(found.calls)} tool calls were rejected: "
    said += "; ".join(f"{r.reason} ({r.rejected})" for r in reasons) or "see bcp.rejected_events"
    if found.ignored:
        others = "; ".join(f"{reason} ({number})" for reason, number in found.ignored.most_common())
        said += f". Ignored, and not counted as rejected: {others}"
    return said + "."
