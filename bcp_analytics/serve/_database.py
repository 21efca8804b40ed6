"""The database behind the server: connections with the rights of each request, and whether it is away."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import AsyncConnection
from psycopg import errors as pg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bcp_analytics._core.connection import PINNED
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._errors import Busy, Refused, StoreAway
from bcp_analytics.serve._once import Once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bcp_analytics.serve._config import Config

Role = Literal["ingest", "reader", "admin"]
_ROLES: dict[Role, str] = {"ingest": "bcp_writer", "reader": "bcp_reader", "admin": "bcp_admin"}
# How often a database that is away is looked for, and how long a request waits for a connection: seconds.
_PROBE = 0.5
_PATIENCE = 2.0
# Of connections, of a server that stops or starts, and of one that has no room for another connection.
_AWAY = ("08", "57P", "53300")


def _is_away(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        error.sqlstate is None or error.sqlstate.startswith(_AWAY)
    )


def _too_slow() -> Refused:
    return Refused(
        504,
        "The database did not answer in time.",
        hint="Ask for a shorter range, or send fewer events in one request.",
        headers={"Retry-After": "1"},
    )


async def _pin(conn: AsyncConnection[Any]) -> None:
    await conn.execute(
        "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as s (name, value)",
        [list(PINNED), list(PINNED.values())],
    )
    await conn.commit()


class Database:
    """Connections to the store. While it is away, `connection` raises `StoreAway` at once."""

    def __init__(self, config: Config) -> None:
        """Take what is needed to connect, without connecting."""
        self._config = config
        self._pool: AsyncConnectionPool | None = None
        self._probing: asyncio.Task[None] | None = None
        self._once = Once[bool]()
        self._watchers: list[Callable[[], None]] = []
        # Those who ask slow questions leave some for those who send events, and for checks of tokens.
        kept = max(1, config.connections // 4)
        self._readers = asyncio.Semaphore(max(1, config.connections - kept))
        self._closing = False
        self._standby = (
            None if config.read_dsn is None else Database(replace(config, dsn=config.read_dsn, read_dsn=None))
        )

    @property
    def away(self) -> bool:
        """Whether the database could not be reached when it was last tried."""
        return self._pool is None

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called each time that the database goes away or returns."""
        self._watchers.append(call)

    async def open(self) -> None:
        """Connect; where this is not possible, go on trying, and be away meanwhile."""
        if self._standby is not None:
            await self._standby.open()
        if not await self._try_to_open():
            self._probing = asyncio.create_task(self._probe())

    async def close(self) -> None:
        """Close all connections."""
        self._closing = True
        if self._standby is not None:
            await self._standby.close()
        if self._probing is not None:
            self._probing.cancel()
        if self._pool is not None:
            await self._pool.close()

    @contextlib.asynccontextmanager
    async def _turn(self, role: Role) -> AsyncIterator[None]:
        """Hold one of the connections that readers may use at the same time; raises `PoolTimeout`."""
        if role != "reader":
            yield
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._readers.acquire()
        except TimeoutError:
            raise PoolTimeout from None
        try:
            yield
        finally:
            self._readers.release()

    def connection(
        self, role: Role, *, current: bool = False
    ) -> contextlib.AbstractAsyncContextManager[AsyncConnection[Any]]:
        """Give a connection in a transaction as the role of the database that `role` stands for.

        A reader's is one to the standby, if there is one, which lags behind by moments; not where `current`
        is true. It commits at the end, and rolls back where an exception ends it. Raises `StoreAway`; `Busy`
        where others use all connections; and `Refused` with 504 where a statement takes longer than
        `Config.statement_timeout`.
        """
        if self._standby is not None and role == "reader" and not current:
            return self._standby.connection(role)
        return self._connection(role)

    @contextlib.asynccontextmanager
    async def _connection(self, role: Role) -> AsyncIterator[AsyncConnection[Any]]:
        pool = self._pool
        if pool is None:
            raise StoreAway
        limit = self._config.statement_timeout
        begun = False
        try:
            # The database cannot end a statement where it hangs, or where nothing reaches it any more.
            async with (
                self._turn(role),
                asyncio.timeout(2 * _PATIENCE) as patience,
                pool.connection(timeout=_PATIENCE) as conn,
            ):
                await conn.execute(
                    "select set_config('role', %s, true), set_config('statement_timeout', %s, true)",
                    [_ROLES[role], f"{round(limit * 1000)}ms"],
                )
                begun = True
                patience.reschedule(asyncio.get_running_loop().time() + limit + _PATIENCE)
                yield conn
        except TimeoutError:
            if begun and await self._once.run("reachable", self._reachable):
                raise _too_slow() from None
            self._lose(pool)
            raise StoreAway from None
        except PoolTimeout:
            # All connections are in use, or none can be made: only a new one tells. One for all who wait, or
            # a burst of requests would take every connection that the database has.
            if await self._once.run("reachable", self._reachable):
                raise Busy from None
            self._lose(pool)
            raise StoreAway from None
        except (pg.QueryCanceled, pg.SerializationFailure):
            # With the second a standby ends whoever holds up what its primary has changed.
            raise _too_slow() from None
        except psycopg.Error as error:
            if _is_away(error):
                self._lose(pool)
                raise StoreAway from None
            raise

    async def check(self) -> None:
        """Raise what `connection` raises where the database does not answer now."""
        await self._once.run("answers", self._answers)

    async def _answers(self) -> bool:
        # Not as a reader: that many ask at the same time does not mean that it takes no events.
        async with self.connection("ingest") as conn:
            await conn.execute("select 1")
        return True

    async def listen(self, channel: str) -> AsyncConnection[Any]:
        """Return a connection that listens to a channel, which the caller closes; raises `StoreAway`."""
        try:
            conn = await self._connect()
            await conn.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))
        except psycopg.Error:
            raise StoreAway from None
        return conn

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(
            self._config.dsn, autocommit=True, connect_timeout=2, client_encoding="utf8"
        )

    async def _reachable(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE), await self._connect() as conn:
                await conn.execute("select 1")
        except (psycopg.Error, TimeoutError):
            return False
        return True

    async def _try_to_open(self) -> bool:
        if not await self._reachable():
            return False
        pool = AsyncConnectionPool(
            self._config.dsn,
            min_size=1,
            max_size=self._config.connections,
            open=False,
            configure=_pin,
            check=AsyncConnectionPool.check_connection,
            kwargs={"client_encoding": "utf8", "fallback_application_name": "bcp-analytics serve"},
        )
        await pool.open()
        self._pool = pool
        return True

    def _lose(self, pool: AsyncConnectionPool) -> None:
        """Give up a pool, whose own attempts to connect again come less and less often."""
        if self._pool is not pool or self._closing:
            return
        self._pool = None
        self._tell()
        self._probing = asyncio.create_task(self._probe(pool))

    async def _probe(self, old: AsyncConnectionPool | None = None) -> None:
        if old is not None:
            with contextlib.suppress(Exception):
                await old.close(timeout=0)
        while not await self._try_to_open():  # noqa: ASYNC110 - nothing tells when it is back
            await asyncio.sleep(_PROBE)
        self._tell()

    def _tell(self) -> None:
        for call in self._watchers:
            call()


async def check_ready(config: Config) -> None:
    """Raise `BcpAnalyticsError` where the database cannot serve: absent, not migrated, too few rights.

    A server that others can reach must also have a token, or nobody could use it but who guesses one.
    """
    try:
        async with await AsyncConnection.connect(config.dsn, autocommit=True, connect_timeout=10) as conn:
            found = await (
                await conn.execute(
                    "select to_regprocedure('bcp.api_tokens()') is not null, "
                    "(select bool_or(pg_has_role(oid, 'member')) from pg_roles where rolname = 'bcp_admin')"
                )
            ).fetchone()
            assert found is not None  # noqa: S101 - for the type checker
            if not found[0]:
                raise BcpAnalyticsError(
                    "This database does not have the store as this version knows it.",
                    hint="Run bcp-analytics migrate.",
                )
            if not found[1]:
                raise BcpAnalyticsError(
                    "The role of the connection string does not have bcp_admin.",
                    hint="As the role that migrated the database: grant bcp_admin to your_server_role;",
                )
            valid = await (
                await conn.execute("select exists (select from bcp.api_tokens() where state = 'valid')")
            ).fetchone()
    except psycopg.Error as error:
        raise BcpAnalyticsError(
            f"The database cannot be reached: {str(error).strip()}.",
            hint="Check that it runs, and the connection string.",
        ) from error
    if config.public and valid == (False,):
        raise BcpAnalyticsError(
            f"{config.host} can be reached from elsewhere, and there is no token yet.",
            hint="Make one first: bcp-analytics token create NAME --role admin",
        )
