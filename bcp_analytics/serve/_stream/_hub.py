"""Reads once per tick for all who watch, and hands each of them what is new.

With nobody watching there is no connection, and no statement. After a tick that takes longer than the time
between two, those that were due meanwhile are skipped: none are stacked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import psycopg

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._errors import Refused, StoreAway
from bcp_analytics.serve._stream._frames import as_json, message
from bcp_analytics.serve._stream._reader import Reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bcp_analytics.serve._config import Config
    from bcp_analytics.serve._database import Database

log = logging.getLogger(__name__)

# Seconds that a tick may take before the database counts as away.
_LIMIT = 2.0
# The first one also reads the totals of the day.
_FIRST_LIMIT = 10.0
_RECHECK = 60.0
log = logging.getLogger(__name__)

_FAILURES = (psycopg.Error, BcpAnalyticsError, StoreAway, OSError)


class Watcher:
    """One who watches: the latest message of each type that was not sent yet, and no queue."""

    def __init__(self, check: Callable[[], Awaitable[object]]) -> None:
        """Take what raises `Refused` once the token is not valid any more."""
        self.check = check
        self.closing: tuple[int, str] | None = None
        self._slots: dict[str, str] = {}
        self._filled = asyncio.Event()

    def put(self, kind: str, text: str) -> None:
        """Leave a message, in place of one of its type that was not taken."""
        self._slots[kind] = text
        self._filled.set()

    def close(self, code: int, reason: str) -> None:
        """Have the socket closed."""
        self.closing = code, reason
        self._filled.set()

    async def take(self) -> list[str]:
        """Wait for messages, and return them; none where the socket is to be closed."""
        await self._filled.wait()
        self._filled.clear()
        texts = list(self._slots.values())
        self._slots.clear()
        return [] if self.closing else texts


class Hub:
    """All who watch, and the one who reads for them."""

    def __init__(self, config: Config, database: Database) -> None:
        """Take how often to read, and from where."""
        self._config = config
        self._database = database
        self._watchers: set[Watcher] = set()
        self._watched = asyncio.Event()
        self._latest: dict[str, str] = {}
        self._away = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to read, as soon as somebody watches."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._keep_checking())]

    async def stop(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def join(self, check: Callable[[], Awaitable[object]]) -> Watcher | None:
        """Return one more who watches, with the current messages; None where there are too many."""
        if len(self._watchers) >= self._config.max_watchers:
            return None
        watcher = Watcher(check)
        for kind, text in self._latest.items():
            watcher.put(kind, text)
        self._watchers.add(watcher)
        self._watched.set()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget one who watched."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._watched.clear()

    async def _run(self) -> None:
        while True:
            await self._watched.wait()
            try:
                reader = await Reader.open(self._database)
                try:
                    await self._keep_reading(reader)
                finally:
                    await reader.close()
            except Exception as error:
                # Whatever it is, the next attempt may go well.
                if not self._away:
                    # The text of an error of the database may hold values.
                    ours = not isinstance(error, _FAILURES)
                    log.warning("The stream cannot read: %s", type(error).__name__, exc_info=ours)
                self._set_away(away=True)
                await asyncio.sleep(self._config.tick)
            else:
                # Who comes next gets no message of before.
                self._latest.clear()

    async def _keep_reading(self, reader: Reader) -> None:
        loop = asyncio.get_running_loop()
        limit = _FIRST_LIMIT
        began = loop.time()
        while self._watchers:
            messages = await self._within(limit, reader.read())
            limit = max(_LIMIT, self._config.tick)
            self._set_away(away=False)
            for kind, text in messages.items():
                self._tell(kind, text)
            if (alerts := reader.current_alerts()) is not None:
                self._latest["alert"] = alerts
            else:
                self._latest.pop("alert", None)
            await asyncio.sleep(self._config.tick - (loop.time() - began) % self._config.tick)

    async def _within(self, limit: float, reading: Awaitable[dict[str, str]]) -> dict[str, str]:
        task = asyncio.ensure_future(reading)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
            if done:
                return task.result()
            # Told at once: to cancel the statement can take some seconds more.
            log.warning("The stream waits too long for the database.")
            self._set_away(away=True)
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, *_FAILURES):
                    await task
        raise StoreAway

    def _set_away(self, *, away: bool) -> None:
        if away == self._away:
            return
        self._away = away
        self._latest.clear()
        self._tell("status", message("status", as_json({"database": "away" if away else "available"})))
        if not away:
            del self._latest["status"]

    def _tell(self, kind: str, text: str) -> None:
        self._latest[kind] = text
        for watcher in self._watchers:
            watcher.put(kind, text)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(_RECHECK)
            await self.check_tokens()

    async def check_tokens(self) -> None:
        """Close the sockets of tokens that are not valid any more."""
        for watcher in list(self._watchers):
            try:
                await watcher.check()
            except Refused as refused:
                # Any other status says that nobody could tell.
                if refused.status in {401, 403}:
                    watcher.close(1008, "Unauthorized")
            except _FAILURES as error:
                # The next time must come, or a revoked token would watch for ever.
                log.error("tokens of the stream are not checked: %s", type(error).__name__)  # noqa: TRY400
