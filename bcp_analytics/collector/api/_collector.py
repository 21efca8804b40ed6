"""Collector, and AsyncCollector."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bcp_analytics.collector._delivery import Delivery, Sender
from bcp_analytics.collector.api._recorder import Recorder
from bcp_analytics.collector.pipeline._buffer import Settings
from bcp_analytics.collector.pipeline._core import Core
from bcp_analytics.collector.spool import _folders
from bcp_analytics.collector.spool._spool import Spool
from bcp_analytics.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from os import PathLike
    from typing import Any, Self

    AtSpoolLimit = Literal["drop_oldest", "block"]

_BLOCK_S: Final = 5.0


class _Base(Recorder):
    _may_block = True

    def __init__(
        self,
        dsn: str,
        *,
        source: str | None = None,
        buffer_size: int = 100,
        flush_interval_s: float = 5.0,
        durable: bool = False,
        spool: str | PathLike[str] | None = None,
        spool_limit_bytes: int = 256 * 2**20,
        at_spool_limit: AtSpoolLimit = "drop_oldest",
        max_batch_bytes: int = 4 * 2**20,
        connect_timeout_s: float = 5,
        drain_timeout_s: float = 5,
        fsync: bool = False,
        _sender: Delivery | None = None,
        _clock: Callable[[], float] = time.monotonic,
        _threaded: bool = True,
    ) -> None:
        """Make a collector; nothing is connected yet.

        `dsn`: any connection string of libpq; "" takes the environment's PG* variables. `source`: who
        records, in bcp.ingest_batches and as application_name; the program's name by default.
        `buffer_size`: events that make a flush due; `flush_interval_s`: seconds an event waits at most for
        it. `durable`: record() returns when the event is in the spool, which outlives a kill of the
        process. `spool`: folder for events while the database is away; below it each process has its own;
        by default one per source, in $XDG_STATE_HOME/bcp-analytics/spool or
        ~/.local/state/bcp-analytics/spool. It holds events as they were recorded, not yet masked.
        `spool_limit_bytes`, `at_spool_limit`: how large it may be, and what then: "drop_oldest" loses the
        oldest events, "block" lets record() wait for room for up to 5 seconds and then loses the new one
        (an AsyncCollector does not wait). `max_batch_bytes`: of one batch. `connect_timeout_s`: seconds,
        whole ones, at least 2. `drain_timeout_s`: seconds for sending what remains at close() and at exit;
        what is not sent then is spooled. `fsync`: waits for the disk at each write of the spool, so that a
        power cut loses nothing either.

        Raises `InvalidArgument` for a value out of bounds, `psycopg.ProgrammingError` for a `dsn` that libpq
        cannot read.
        """
        self.source = source or Path(sys.argv[0] if sys.argv else "").name or "python"
        _check(
            buffer_size=buffer_size,
            flush_interval_s=flush_interval_s,
            spool_limit_bytes=spool_limit_bytes,
            max_batch_bytes=max_batch_bytes,
            connect_timeout_s=connect_timeout_s,
        )
        if at_spool_limit not in {"drop_oldest", "block"}:
            raise InvalidArgument("at_spool_limit is neither drop_oldest nor block")
        blocks = at_spool_limit == "block"
        base = _folders.of_source(Path(spool) if spool is not None else _folders.default_root(), self.source)

        def make_sender(on_retry: Callable[[BaseException], None]) -> Delivery:
            return _sender or Sender(
                dsn, self.source, connect_timeout_s=connect_timeout_s, sleep=time.sleep, on_retry=on_retry
            )

        def make_spool() -> Spool:
            return Spool(
                base,
                limit_bytes=spool_limit_bytes,
                drop_oldest=not blocks,
                max_batch_bytes=max_batch_bytes,
                fsync=fsync,
            )

        self._drain_timeout_s = drain_timeout_s
        self._core = Core(
            make_sender,
            make_spool,
            Settings(
                buffer_size=buffer_size,
                flush_interval_s=flush_interval_s,
                durable=durable,
                max_batch_bytes=max_batch_bytes,
                drain_timeout_s=drain_timeout_s,
                block_s=_BLOCK_S if blocks and self._may_block else 0.0,
                drop_oldest=not blocks,
                threaded=_threaded,
            ),
            _clock,
            leftovers=_folders.exist_below(base),
        )

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[dict[str, Any]]:  # noqa: ARG002 - theirs
        """Send what there is when a server stops: a lifespan for Starlette, FastAPI, MCPServer or FastMCP.

        `FastAPI(lifespan=collector.lifespan)`, or in a lifespan of your own
        `async with collector.lifespan(): yield`. The collector stays open, since a server may start again.
        """
        try:
            yield {}
        finally:
            await asyncio.to_thread(self._core.drain)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InvalidArgument(f"{name} is not above 0")


class Collector(_Base):
    """Records events in the background: record() and the like return at once and raise nothing.

    A context manager; leaving it, close(), and the end of the program send what remains.
    """

    def flush(self, timeout: float | None = None) -> bool:
        """Send what is buffered; wait for it up to `timeout` seconds, None: as long as one attempt takes.

        Returns True where everything recorded before is in the database or, when that is away, in the spool.
        """
        return self._core.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Send what remains, for `timeout` seconds at most (drain_timeout_s), and spool the rest."""
        self._core.close(self._drain_timeout_s if timeout is None else timeout)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class AsyncCollector(_Base):
    """Collector for asyncio programs: recording awaits nothing; flushing and closing are awaited.

    It has the same core with the same thread. A task of the caller's event loop would stop sending whenever a
    tool blocks the loop, would end with the loop while events remain, and would be a second implementation of
    all that must not lose anything; and nothing is gained, since record() never waits for the network anyway.
    """

    _may_block = False

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as Collector.flush
        """Send what is buffered, as `Collector.flush` does."""
        return await asyncio.to_thread(self._core.flush, timeout)

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send what remains, as `Collector.close` does."""
        await asyncio.to_thread(self._core.close, self._drain_timeout_s if timeout is None else timeout)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()
