"""The connection, and what an error on it means for the events."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bcp_analytics import ingest
from bcp_analytics.collector.capture import _events
from bcp_analytics.errors import BcpAnalyticsError, InvalidArgument, InvalidBatch, InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bcp_analytics.collector._stats import CollectorStats
    from bcp_analytics.collector.spool._batch import Batch
    from bcp_analytics.ingest import IngestResult

_INGEST: Final = {
    _events.CALLS: ingest.ingest_tool_usage,
    _events.ERRORS: ingest.ingest_errors,
    _events.METRICS: ingest.ingest_metrics,
    _events.SESSIONS: ingest.ingest_sessions,
}

# With these a dead peer is noticed in about 25 s instead of hours. The connection string overrides them.
_DEFAULTS: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

_ATTEMPTS: Final = 3
_random: Final = SystemRandom()

Verdict = Literal["away", "failed", "batch", "unknown"]
"""away: the database cannot take events now, and will again by itself. failed: somebody must mend something
first. batch: the database will never take this batch. unknown: try a few times, then treat it as batch."""

_ADVICE: Final = {
    "28": "Check user and password of the connection string, ~/.pgpass and pg_hba.conf.",
    "3D000": "The database does not exist: create it, then run bcp-analytics migrate.",
    "42501": "Grant the role bcp_writer to the user who connects.",
    "3F000": "The store is missing or of another version: run bcp-analytics migrate.",
    "42883": "The store is missing or of another version: run bcp-analytics migrate.",
    "42P01": "The store is missing or of another version: run bcp-analytics migrate.",
    "42703": "The store is missing or of another version: run bcp-analytics migrate.",
    "25006": "The database is read-only.",
    "ZB": "The store's settings or anonymisation rules cannot be used: see select * from bcp.health().",
}

# libpq gives no SQLSTATE where a connection fails to open, so look at its text. Translated messages match
# nothing; then the error counts as away (08001), which keeps the events just as safe and only lacks advice.
_REFUSED: Final = (
    (
        re.compile(
            'authentication failed|no password supplied|no pg_hba.conf entry|role ".*" does not exist'
        ),
        "28000",
    ),
    (re.compile('database ".*" does not exist'), "3D000"),
    (re.compile("permission denied for database"), "42501"),
    (re.compile("the database system is "), "57P03"),
    (re.compile("too many clients|too many connections|remaining connection slots"), "53300"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, without anything that might be secret: `name` is class and SQLSTATE, `advice` what to do."""

    verdict: Verdict
    name: str
    advice: str | None


def examine(error: BaseException) -> Problem:
    """Say what an error means."""
    code = getattr(error, "sqlstate", None) or ""
    if not code and isinstance(error, psycopg.OperationalError):
        # psycopg names the connection where an attempt to connect failed. The others broke while open.
        code = (
            next((found for pattern, found in _REFUSED if pattern.search(str(error))), "08001")
            if error.pgconn is not None
            else "08006"
        )
    advice = next((text for start, text in _ADVICE.items() if code.startswith(start)), None)
    if isinstance(error, OSError) and error.errno is not None:
        code = code or errno.errorcode.get(error.errno, "")
    name = f"{type(error).__name__} {code}".rstrip()
    return Problem(_verdict(error, code), name, advice)


def _verdict(error: BaseException, code: str) -> Verdict:  # noqa: PLR0911 - one line per case
    if isinstance(error, InvalidBatch | InvalidDocument | InvalidArgument):
        return "batch"
    if isinstance(error, BcpAnalyticsError):
        return "failed"
    if code[:2] == "28" or code in {"3D000", "3F000", "42883", "42P01", "42703", "42501"}:
        return "failed"
    # Conflicts, lack of resources, shutdown, standby, cancelled.
    if code[:2] in {"08", "25", "40", "53", "55", "57", "58"}:
        return "away"
    if not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError):
        return "away"
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return "batch"
    return "unknown"


def backoff(attempt: int, *, first: float, longest: float, shortest: float = 0.0) -> float:
    """Return how many seconds to wait after a failed attempt, counted from 1; the bounds are in seconds, too.

    Full jitter, so that a thousand collectors do not come back in the same second (Brooker, "Exponential
    Backoff And Jitter"). Its randomness is the system's, which no `random.seed` makes the same for all.
    """
    return _random.uniform(shortest, min(longest, first * 2 ** min(attempt - 1, 30)))


class Delivery(Protocol):
    """What the core needs of a sender; tests have another."""

    def send(self, batch: Batch) -> IngestResult: ...
    def report(self, instance: str, started_at: datetime, stats: CollectorStats) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


class Sender:
    """One connection, opened when needed and again after it broke. Used by one thread at a time."""

    def __init__(
        self,
        dsn: str,
        source: str,
        *,
        connect_timeout_s: float,
        sleep: Callable[[float], None],
        on_retry: Callable[[BaseException], None],
    ) -> None:
        """Keep what is needed to connect; raises `psycopg.ProgrammingError` where `dsn` is none."""
        given = conninfo_to_dict(dsn)
        self._options: dict[str, Any] = {
            **_DEFAULTS,
            "connect_timeout": max(2, round(connect_timeout_s)),
            **given,
            "application_name": source[:63],
        }
        self._source = source
        self._conn: psycopg.Connection[Any] | None = None
        self._used = False
        self._sleep = sleep
        self._on_retry = on_retry

    def send(self, batch: Batch) -> IngestResult:
        """Send a batch and return what became of it; raises what psycopg and `ingest` raise."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._send(batch)
            except Exception as error:
                if not self._is_passing(error):
                    raise
                self._on_retry(error)
                self._sleep(backoff(attempt, first=0.05, longest=1))
        return self._send(batch)

    def report(self, instance: str, started_at: datetime, stats: CollectorStats) -> None:
        """Tell the database what the collector did so far; raises as `send`."""
        ingest.report_collector(
            self._connection(),
            self._source,
            instance,
            recorded=stats.recorded,
            sent=stats.sent,
            spooled=stats.spooled,
            spooled_bytes=stats.spooled_bytes,
            dropped=stats.dropped,
            last_error=stats.last_error,
            last_error_at=stats.last_error_at,
            started_at=started_at,
        )

    def _send(self, batch: Batch) -> IngestResult:
        conn = self._connection()
        events = b"[" + b",".join(batch.payloads) + b"]"
        result = _INGEST[batch.kind](conn, events.decode("ascii"), batch_id=batch.id, source=self._source)
        self._used = True
        return result

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is not None and self._conn.closed:
            self._conn = None
        if self._conn is None:
            self._used = False
            # Prepared statements would gain nothing here, and some connection poolers cannot have them.
            self._conn = psycopg.connect(**self._options, autocommit=True, prepare_threshold=None)
        return self._conn

    def _is_passing(self, error: Exception) -> bool:
        """Whether it was a conflict with another sender, or a connection that broke after it was used."""
        code = getattr(error, "sqlstate", None) or ""
        broke = self._conn is not None and self._conn.closed
        return code in {"40001", "40P01", "55P03"} or (broke and self._used)

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def abandon(self) -> None:
        """Let go of the connection without a word to the server: after a fork it is the parent's."""
        if self._conn is not None and not self._conn.closed:
            # Only the descriptor, or the server would not notice when the parent goes. psycopg itself
            # leaves a connection alone that another process opened.
            with suppress(OSError, psycopg.Error):
                os.close(self._conn.fileno())
