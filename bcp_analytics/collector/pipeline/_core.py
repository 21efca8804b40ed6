"""The core of a collector: the thread that sends what record() buffered, and the books.

One lock guards buffer, books and spool. A thread holds it only to append to a list or to write to the spool,
never while it encodes, sends or waits for the database.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bcp_analytics.collector._delivery import examine
from bcp_analytics.collector._stats import CollectorStats
from bcp_analytics.collector.capture import _events
from bcp_analytics.collector.pipeline import _lifetime
from bcp_analytics.collector.pipeline._attempts import Attempts
from bcp_analytics.collector.pipeline._buffer import Buffer
from bcp_analytics.collector.pipeline._log import Log
from bcp_analytics.collector.pipeline._report import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.collector._delivery import Delivery
    from bcp_analytics.collector._stats import State
    from bcp_analytics.collector.pipeline._buffer import Settings
    from bcp_analytics.collector.spool._batch import Batch
    from bcp_analytics.collector.spool._spool import Spool

_IDLE_S: Final = 3600.0


class Core:
    """Thread and books of one collector."""

    def __init__(
        self,
        make_sender: Callable[[Callable[[BaseException], None]], Delivery],
        make_spool: Callable[[], Spool],
        settings: Settings,
        clock: Callable[[], float],
        *,
        leftovers: bool,
    ) -> None:
        """Begin with nothing; `leftovers`: there may be a spool to take over, so the thread starts now."""
        self._make_sender = make_sender
        self._make_spool = make_spool
        self._settings = settings
        self._clock = clock
        self._closed = False
        self._begin()
        _lifetime.made(self)
        if leftovers and not settings.threaded:
            self._buffer.adopt()
        elif leftovers:
            with self._lock:
                self._adopting = True
                self._start()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._log = Log(self._clock)
        self._attempts = Attempts()
        self._sender = self._make_sender(self._note_retry)
        self._buffer = Buffer(self._make_spool(), self._settings, self._lock, self._clock, self._log)
        self._thread: threading.Thread | None = None
        self._dead = False
        self._died_of: str | None = None
        self._urgent = False
        self._closing = False
        self._adopting = False
        self._deadline: float | None = None
        # Flushes that were asked for, and that were carried out.
        self._asked = 0
        self._answered = 0
        self._reporter = Reporter(self._sender, self._buffer, self._attempts, self._log)

    # From the caller's threads

    def put(self, kind: int, event: dict[str, Any], *, urgent: bool = False) -> None:
        """Take an event, and keep a copy of it."""
        snapshot = _events.snapshot(kind, event, as_json=self._settings.durable)
        with self._lock:
            if self._closed:
                self._buffer.recorded += 1
                self._buffer.lose(1)
            else:
                count = self._buffer.add(kind, snapshot)
                if urgent:
                    self._urgent = True
                if count == 1 or urgent or self._buffer.is_due:
                    self._work.notify()
                if self._thread is None:
                    self._start()
        self._log.write()

    def lost(self, error: Exception) -> None:
        """Count an event that could not even be taken."""
        with suppress(Exception):
            with self._lock:
                self._log.note(examine(error).name)
                self._buffer.recorded += 1
                self._buffer.lose(1)
            self._log.write()

    def _start(self) -> None:
        if self._closing or self._closed or not self._settings.threaded:
            return
        self._thread = threading.Thread(target=self._run, name="bcp-analytics-collector", daemon=True)
        _lifetime.started(self)
        # At the very end of a program no thread can be started: close() then spools what there is.
        try:
            self._thread.start()
        except RuntimeError as error:
            self._dead = True
            self._died_of = examine(error).name
            self._log.note(self._died_of)

    def flush(self, timeout: float | None) -> bool:
        """Have everything recorded so far sent or spooled; see Collector.flush."""
        buffer = self._buffer
        with self._lock:
            target, dropped = buffer.recorded, buffer.dropped
            waits = buffer.settled < target or buffer.spool.has_cold or self._adopting
            if waits and self._thread is None:
                self._start()
            thread = self._thread
            if waits and thread is not None and thread.is_alive():
                self._asked += 1
                mine = self._asked
                self._work.notify()
                buffer.changed.wait_for(
                    lambda: (
                        (buffer.settled >= target and not self._adopting)
                        or self._answered >= mine
                        or self._closed
                    ),
                    timeout,
                )
            elif waits and self._settings.threaded and not self._closed:
                # The thread died, or could not be started at the end of the program.
                buffer.seal()
                buffer.spill()
                buffer.settle()
        if waits and not self._settings.threaded:
            self.run_pass()
        with self._lock:
            return buffer.settled >= target and buffer.dropped == dropped

    def close(self, timeout: float) -> None:
        """Send what remains for up to `timeout` seconds, spool the rest, and take nothing more."""
        with self._lock:
            if self._closed:
                return
            self._closing = True
            self._deadline = self._clock() + timeout
            self._work.notify()
            thread = self._thread
        if not self._settings.threaded:
            self.run_pass()
            self._report(last=True)
        elif thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(timeout)
        with self._lock:
            if not self._closed:
                self._closed = True
                self._buffer.end()
        self._log.write()
        if thread is None or not thread.is_alive():
            self._sender.close()
        _lifetime.ended(self)

    def at_exit(self) -> None:
        """Close within drain_timeout_s."""
        self.close(self._settings.drain_timeout_s)

    def drain(self) -> None:
        """Send or spool what there is, within drain_timeout_s, and go on."""
        self.flush(self._settings.drain_timeout_s)

    def is_held(self) -> bool:
        """Whether the calling thread has the lock."""
        return bool(self._lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001 - no other way to ask

    def after_fork(self) -> None:
        """Begin anew in the child: what the parent had is the parent's to send."""
        self._buffer.spool.abandon()
        self._sender.abandon()
        # Keep it: freed here, it would close the connection, which is the parent's.
        self._of_parent = self._sender
        self._begin()

    # In the thread

    def _run(self) -> None:
        try:
            self._buffer.adopt()
            self._adopting = False
            closing = False
            while not closing:
                with self._lock:
                    while not self._closing and (wait := self._idle_for()) > 0:
                        self._work.wait(wait)
                    closing, asked = self._closing, self._asked
                self.run_pass()
                with self._lock:
                    self._answered = asked
                    self._buffer.changed.notify_all()
            self._report(last=True)
            self._sender.close()
        except BaseException as error:  # noqa: BLE001 - nobody would see it; close() spools what it leaves
            with self._lock:
                self._dead = True
                self._died_of = examine(error).name
                self._log.note(self._died_of)
                self._log.warn("thread", "bcp_analytics: the collector's thread died: %s", self._died_of)
                self._adopting = False
                self._answered = self._asked
                self._buffer.changed.notify_all()
            with suppress(Exception):
                self._log.write()

    def _idle_for(self) -> float:
        """Return for how many seconds there is nothing to do."""
        buffer = self._buffer
        if self._urgent or self._asked > self._answered or buffer.is_due:
            return 0.0
        now = self._clock()
        due = [now + _IDLE_S]
        if buffer.has_pending:
            due.append(buffer.pending_since + self._settings.flush_interval_s)
        if buffer.queue or buffer.spool.has_cold:
            due.append(self._attempts.try_at)
        report = self._reporter.due_at(now)
        if report is not None:
            due.append(report)
        return min(due) - now

    def run_pass(self) -> None:
        """Send what there is or, where the database is known to be away, spool it."""
        with self._lock:
            self._urgent = False
            self._buffer.seal()
            attempts = self._attempts
            waits = attempts.away is not None and self._clock() < attempts.try_at and not self._closing
        if waits:
            self._buffer.spill()
        else:
            self._deliver()
        with self._lock:
            self._buffer.settle()
        self._report()
        self._log.write()

    def _deliver(self) -> None:
        while not self._closed:
            with self._lock:
                if self._deadline is not None and self._clock() > self._deadline:
                    return
                someone_waits = self._asked > self._answered and self._buffer.spool.has_cold
            if someone_waits:
                # A caller of flush() must not wait until all of the spool is sent.
                self._buffer.spill()
                with self._lock:
                    self._buffer.settle()
                    self._buffer.changed.notify_all()
            batch = self._buffer.take()
            if batch is None or not self._attempt(batch):
                return

    def _attempt(self, batch: Batch) -> bool:
        """Send a batch; False where the database is away."""
        try:
            result = self._sender.send(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the events must stay
            return self._failed(batch, error)
        with self._lock:
            if not self._closed:
                self._buffer.finish(batch)
                self._attempts.delivered(batch, result)
        return True

    def _failed(self, batch: Batch, error: Exception) -> bool:
        problem = examine(error)
        with self._lock:
            if self._closed:
                return False
            self._log.note(problem.name)
            if self._attempts.is_hopeless(batch, problem) and self._buffer.set_aside(batch):
                self._attempts.gave_up(batch)
                self._log.warn(
                    "rejected",
                    "bcp_analytics: the database refuses a batch for good (%s); it is kept as %s.rejected",
                    problem.name,
                    batch.id,
                )
                return True
            self._attempts.failed(problem, self._clock())
            self._buffer.give_back(batch)
            self._log.warn(
                problem.name,
                "bcp_analytics: the database does not take events (%s); they are kept on disk. %s",
                problem.name,
                problem.advice or "Trying again.",
            )
        self._log.write()
        self._buffer.spill()
        return False

    def _note_retry(self, error: BaseException) -> None:
        problem = examine(error)
        with self._lock:
            self._log.note(problem.name)
            self._attempts.repeated(problem)

    # The books

    def stats(self) -> CollectorStats:
        """Return the counts as they are now."""
        with self._lock:
            buffer, spool, attempts = self._buffer, self._buffer.spool, self._attempts
            return CollectorStats(
                recorded=buffer.recorded,
                sent=attempts.accepted,
                stored=attempts.stored,
                duplicates=attempts.duplicates,
                rejected=attempts.rejected,
                spooled=spool.events,
                dropped=buffer.dropped,
                buffered=buffer.unwritten,
                adopted=spool.adopted,
                corrupt=spool.corrupt,
                batches=attempts.batches,
                retries=attempts.retries,
                spooled_bytes=spool.bytes,
                damaged=spool.damaged,
                state=self._state(),
                error=self._error(),
                last_error=self._log.last_error,
                last_error_at=self._log.last_error_at,
            )

    def _state(self) -> State:
        away = self._attempts.away
        if self._closed:
            return "closed"
        if self._dead:
            return "dead"
        if self._is_blocked():
            return "blocked"
        if away is not None:
            return "failed" if away.verdict == "failed" else "spooling"
        return "retrying" if self._attempts.retrying is not None else "ok"

    def _error(self) -> str | None:
        problem = self._attempts.away or self._attempts.retrying
        if self._dead:
            return self._died_of
        if self._is_blocked():
            return self._buffer.disk_error
        return problem.name if problem is not None else None

    def _is_blocked(self) -> bool:
        return self._buffer.disk_error is not None and (
            self._attempts.away is not None or self._settings.durable
        )

    def _report(self, *, last: bool = False) -> None:
        """Tell the database, at most once a minute and at the end, and only where it answered before."""
        with self._lock:
            now = self._clock()
            due = self._reporter.due_at(now)
            if self._closed or due is None or (due > now and not last):
                return
            self._reporter.begin(now)
            stats = self.stats()
        error = self._reporter.send(stats)
        self._log.write()
        if error is not None:
            with self._lock:
                self._log.note(error)
                self._buffer.changed.notify_all()
