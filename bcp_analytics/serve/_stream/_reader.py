"""What is asked of the database for the stream, on one connection of its own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics._core.connection import PINNED
from bcp_analytics.queries import active_alerts, live_metrics, recent_calls, success_and_error_rates
from bcp_analytics.serve._stream._frames import AlertFrames, MetricFrames
from bcp_analytics.serve._stream._sums import RunningSums, midnight

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncConnection

    from bcp_analytics.queries import RecentCall
    from bcp_analytics.serve._database import Database

# Seconds: what the figures are of, and how long after its created_at a call may be committed.
WINDOW = 60
OVERLAP = 10
_RECENT_CALLS = 50
_RECENT = timedelta(hours=1)
_STATEMENT_TIMEOUT = "10s"


class Reader:
    """Reads what is new, in two statements a tick, and says it as messages."""

    def __init__(self, conn: AsyncConnection[Any], clock: Callable[[], float] = time.monotonic) -> None:
        """Take a connection in autocommit mode that listens to bcp_alerts."""
        self._conn = conn
        self._clock = clock
        self._running = RunningSums(window=WINDOW, overlap=OVERLAP)
        self._metrics = MetricFrames(self._running, window=WINDOW)
        self._alerts = AlertFrames()
        self._alerts_changed = False
        self._calls: list[RecentCall] = []
        # The time of the database at 0 of our clock, and the hour in which the totals of the day were read.
        self._epoch: datetime | None = None
        self._hour = -1
        conn.add_notify_handler(self._notified)

    @classmethod
    async def open(cls, database: Database) -> Reader:
        """Connect; raises what `Database.listen` raises."""
        conn = await database.listen("bcp_alerts")
        settings = PINNED | {"role": "bcp_reader", "statement_timeout": _STATEMENT_TIMEOUT}
        await conn.execute(
            "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as s (name, value)",
            [list(settings), list(settings.values())],
        )
        return cls(conn)

    async def close(self) -> None:
        """Close the connection."""
        await self._conn.close()

    def _notified(self, _: object) -> None:
        # Anybody may send a NOTIFY. So it only has the alerts read, and nothing of what it says goes on.
        self._alerts_changed = True

    async def read(self) -> dict[str, str]:
        """Return the messages of a tick, by their type."""
        now = self._now()
        # With the hour begins a day, and what was committed after the overlap, or erased, gets right.
        if now is None or now.hour != self._hour:
            return await self._start()
        since, known = self._running.asks()
        self._running.take(now, await live_metrics(self._conn, since=since, known_calls=known))
        messages = {}
        if self._alerts_changed:
            self._alerts_changed = False
            alert = self._alerts.take(await active_alerts(self._conn), now)
            messages = {"alert": alert} if alert else {}
        else:
            self._calls = await self._recent_calls(now)
        return {"metric": self._metrics.frame(now, self._calls)} | messages

    def current_alerts(self) -> str | None:
        """Return the message about open alerts for who begins to watch; None where none is open."""
        return self._alerts.current(self._now() or datetime.now(UTC))

    async def _start(self) -> dict[str, str]:
        # All of one snapshot, so that no call is in the totals of the day and counted again.
        async with self._conn.transaction():
            await self._conn.execute("set transaction isolation level repeatable read, read only")
            row = await (await self._conn.execute("select now()")).fetchone()
            assert row is not None  # noqa: S101 - for the type checker
            now = row[0].astimezone(UTC)
            self._epoch = now - timedelta(seconds=self._clock())
            self._hour = now.hour
            day = midnight(now)
            totals = await success_and_error_rates(
                self._conn, since=day, until=day + timedelta(days=1), interval=None
            )
            self._running.start(now, totals)
            for since, until in self._running.window():
                self._running.add_window(await live_metrics(self._conn, since=since, until=until))
            self._calls = await self._recent_calls(now)
            alerts = await active_alerts(self._conn)
        self._metrics.start()
        alert = self._alerts.take(alerts, now)
        return {"metric": self._metrics.frame(now, self._calls)} | ({"alert": alert} if alert else {})

    async def _recent_calls(self, now: datetime) -> list[RecentCall]:
        return await recent_calls(self._conn, since=now - _RECENT, limit=_RECENT_CALLS)

    def _now(self) -> datetime | None:
        return None if self._epoch is None else self._epoch + timedelta(seconds=self._clock())
