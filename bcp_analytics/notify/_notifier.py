"""Takes what is due from the store, sends it, and writes down how it went, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row

from bcp_analytics._core.connection import PINNED
from bcp_analytics.notify import _apprise, _email, _http
from bcp_analytics.notify._claims import Claim, NotDelivered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from uuid import UUID

log = logging.getLogger(__name__)

# How many messages are under way at the same time: so many can be sent twice if it is killed.
_AT_ONCE = 4
# Seconds: to look for work where nobody has said that there is some, and after the database was lost.
_POLL = 5.0
_PATIENCE = 1.0
# Longer than any attempt takes; after it, a message whose notifier was killed is due again.
_LEASE = 60.0
_GRACE = 20.0
# How long another notifier may take that has the message already, and how often it is looked for.
_OTHERS = 45.0
_LOOK = 0.25
# A digest asks many questions about two weeks.
_STATEMENT_TIMEOUT = "5min"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    delivery_id: UUID
    channel_name: str
    status: str
    """delivered, retry or failed."""
    error: str | None


async def attempt(claim: Claim) -> NotDelivered | None:
    """Send a message once, and return how that failed, None where it did not."""
    senders = {"email": _email.send, "apprise": _apprise.send}
    try:
        await senders.get(claim.kind, _http.send)(claim)
    except NotDelivered as failed:
        return failed
    except Exception as error:  # noqa: BLE001 - the others go on
        # Its text may hold a secret.
        log.warning("A notification failed: %s", type(error).__name__)
        return NotDelivered(f"the notifier failed: {type(error).__name__}")
    return None


class _Store:
    """The database, on one connection of its own, which is in no transaction while it waits."""

    def __init__(self, conn: AsyncConnection[Any], lease: float) -> None:
        self._conn = conn
        self._lease = timedelta(seconds=lease)
        self._turn = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, dsn: str, lease: float) -> AsyncIterator[_Store]:
        conn = await AsyncConnection.connect(
            dsn,
            autocommit=True,
            connect_timeout=10,
            client_encoding="utf8",
            fallback_application_name="bcp-analytics notify",
        )
        try:
            settings = PINNED | {"role": "bcp_admin", "statement_timeout": _STATEMENT_TIMEOUT}
            await conn.execute(
                "select set_config(name, value, false) "
                "from unnest(%s::text[], %s::text[]) as s (name, value)",
                [list(settings), list(settings.values())],
            )
            await conn.execute("listen bcp_notifications")
            yield cls(conn, lease)
        finally:
            await conn.close()

    async def claim(
        self, most: int, busy: Iterable[str] = (), delivery_id: UUID | None = None
    ) -> list[Claim]:
        """Take messages, one of each channel that is not busy, or the one that is named."""
        async with self._turn, self._conn.cursor(row_factory=class_row(Claim)) as cur:
            await cur.execute(
                "select * from bcp_internal.claim_notifications(%s, %s, %s, %s)",
                [most, self._lease, delivery_id, list(busy) if delivery_id is None else None],
            )
            return await cur.fetchall()

    async def record(self, claim: Claim, failed: NotDelivered | None) -> Outcome:
        error, final, after = None, False, None
        if failed is not None:
            error, final = failed.error, failed.final
            after = None if failed.retry_after is None else timedelta(seconds=failed.retry_after)
        async with self._turn:
            cur = await self._conn.execute(
                "select bcp_internal.record_notification(%s, %s, %s, %s, %s)",
                [claim.delivery_id, claim.claim, error, final, after],
            )
            row = await cur.fetchone()
        status = (row[0] if row else None) or ("delivered" if failed is None else "retry")
        return Outcome(claim.delivery_id, claim.channel_name, status, error)

    async def outcome(self, delivery_id: UUID) -> Outcome | None:
        """Return how the latest attempt ended, whoever made it."""
        async with self._turn, self._conn.cursor(row_factory=class_row(Outcome)) as cur:
            await cur.execute(
                "select delivery_id, channel_name, status, error from bcp.notification_log "
                "where delivery_id = %s order by attempt desc limit 1",
                [delivery_id],
            )
            return await cur.fetchone()

    async def wait(self, seconds: float) -> None:
        """Return when somebody says that there is work, or after that long."""
        async with self._turn:
            async for _ in self._conn.notifies(timeout=seconds, stop_after=1):
                pass


class Notifier:
    """Sends what is in the outbox of a store. Any number of them may run beside one another."""

    def __init__(self, dsn: str, *, lease: float = _LEASE, poll: float = _POLL) -> None:
        """Take the connection string of a role that has bcp_admin; times are in seconds."""
        self._dsn = dsn
        self._lease = lease
        self._poll = poll
        # How attempts ended that could not be written down, because the database was lost meanwhile.
        self._unrecorded: list[tuple[Claim, NotDelivered | None]] = []
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have `run` end, once what is under way has been sent."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until `stop`. While the database is away, look for it."""
        away = False
        while not self._stopping.is_set():
            try:
                async with _Store.connected(self._dsn, self._lease) as store:
                    away = False
                    await self._catch_up(store)
                    await self._work(store)
            except Exception as error:
                # Whatever it is, the next attempt may go well. The text of an error of the database may hold
                # values.
                if not isinstance(error, psycopg.Error | OSError):
                    log.exception("The notifier failed")
                elif not away:
                    log.warning("The notifier has no database: %s", type(error).__name__)
                away = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _PATIENCE)

    async def _catch_up(self, store: _Store) -> None:
        """Write down what was sent before the database was lost, or it would be sent again."""
        while self._unrecorded:
            await store.record(*self._unrecorded[0])
            self._unrecorded.pop(0)

    async def _deliver(self, store: _Store, claim: Claim) -> Outcome:
        failed = await attempt(claim)
        try:
            return await store.record(claim, failed)
        except psycopg.Error:
            self._unrecorded.append((claim, failed))
            raise

    async def _work(self, store: _Store) -> None:
        # By the channel: one that is slow holds one of the places, and leaves the others to the others.
        running: dict[asyncio.Task[Outcome], str] = {}
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not self._stopping.is_set():
                free = _AT_ONCE - len(running)
                claimed = await store.claim(free, running.values()) if free else []
                running |= {
                    asyncio.create_task(self._deliver(store, one)): one.channel_name for one in claimed
                }
                if running:
                    done, _ = await asyncio.wait(
                        {*running, stopping}, timeout=self._poll, return_when=asyncio.FIRST_COMPLETED
                    )
                    ended = [task for task in running if task in done]
                    for task in ended:
                        del running[task]
                    for task in ended:
                        task.result()
                    continue
                waiting = asyncio.create_task(store.wait(self._poll))
                await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
        finally:
            stopping.cancel()
            # What is sent and not written down would be sent again.
            if running:
                _, late = await asyncio.wait(running, timeout=_GRACE)
                for task in late:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def once(self) -> Counter[str]:
        """Send all that is due now, once each, and return how many attempts ended in which status."""
        counts: Counter[str] = Counter()
        seen: set[UUID] = set()
        async with _Store.connected(self._dsn, self._lease) as store:
            # One that failed may be due again while others are sent.
            claimed = await store.claim(_AT_ONCE)
            while new := {one.delivery_id for one in claimed} - seen:
                seen |= new
                outcomes = await asyncio.gather(*(self._deliver(store, one) for one in claimed))
                counts.update(outcome.status for outcome in outcomes)
                claimed = await store.claim(_AT_ONCE)
        return counts

    async def one(self, delivery_id: UUID) -> Outcome | None:
        """Send one message now, or wait until another notifier has; None where neither came to be in time."""
        async with _Store.connected(self._dsn, self._lease) as store:
            for claim in await store.claim(1, delivery_id=delivery_id):
                return await self._deliver(store, claim)
            for _ in range(round(_OTHERS / _LOOK)):
                if found := await store.outcome(delivery_id):
                    return found
                await asyncio.sleep(_LOOK)
        return None
