"""The recording: a process of its own, so that no work on a message keeps the GIL from bytes to be passed on.

Reading an answer of 1 MB takes 1 to 10 ms, in which no other thread of its process runs. And it outlives a
proxy that is killed for as long as it takes to record and send, or spool, what was passed on by then.
"""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from bcp_analytics.mcp._proxy._conversation import say
from bcp_analytics.mcp._proxy._pump import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bcp_analytics.mcp._events import Sink
    from bcp_analytics.mcp._proxy._conversation import Counts, Moment
    from bcp_analytics.mcp._proxy._pump import Passed, Tap

_NICE = 10
"""How far it stands back where processors are scarce. What the proxy adds to an answer of 1 MB, ten in a row,
on 2 processors that five others want, too: 1.2 to 2.5 ms with a thread, 1.5 to 1.9 with a process, 0.4 to 1.2
with one that stands back."""


@dataclass(frozen=True, slots=True)
class _End:
    """How it ended: by default as where nobody could say so, because the proxy was killed."""

    exit_code: int = 0
    client_left: bool = True


class Reader(Protocol):
    """Reads what a `Tap` yields, and records it: `Observer` over stdio, `HttpObserver` over HTTP."""

    counts: Counts

    def take(self, item: Any, at: Moment, way: Any, /) -> bool:  # noqa: ANN401
        """Take an item, and say whether now is the time to send what was recorded."""

    def finish(self, at: Moment, *, client_left: bool, exit_code: int) -> None:
        """Record what has no end yet."""


class Unrecorded:
    """Stands in for a collector that could not be made: only the observer counts what comes."""

    def record(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Forget a call."""

    record_error = touch_session = end_session = record


class Recording(threading.Thread):
    """The thread that sends to the process what was passed on, and at last hears what became of it."""

    def __init__(
        self, tap: Tap, connect: Callable[[], Any], read: Callable[[Sink], Reader], close_s: float
    ) -> None:
        """Fork the process, which waits for `start`; to be called while there is no other thread.

        `connect` makes the collector, and `read` what reads for it. `close_s` is how long sending may take at
        the end; what is not sent by then stays on disk.
        """
        super().__init__(name="bcp-proxy-record", daemon=True)
        self._tap = tap
        self._close_s = close_s
        self._end = _End()
        self._begun = False
        self.counts: Counts | None = None
        self.stats: Any = None
        (passed, to_process), (results, of_process) = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(to_process)
            os.close(results)
            _run(passed, of_process, connect, read, close_s)
        os.close(passed)
        os.close(of_process)
        self._to_process = os.fdopen(to_process, "wb")
        self._results = os.fdopen(results, "rb")

    @property
    def pipe(self) -> int:
        """The descriptor by which the process hears what was passed on."""
        return self._to_process.fileno()

    def begin(self) -> None:
        """Have the process make the collector."""
        self._begun = True
        self._send(None)

    def finish(self, exit_code: int, *, client_left: bool) -> None:
        """Have recorded and sent what is left, as far as that goes in the time there is."""
        self._end = _End(exit_code, client_left)
        self._tap.stop()
        self.join(2 * self._close_s)

    def run(self) -> None:
        """Send until `finish`."""
        try:
            if not self._begun:
                self.begin()
            self._to_process.write(self._tap.unsent())
            for item in self._tap:
                # Together, where there are more: each time takes the processor from bytes to be passed on.
                self._send(item, flush=self._tap.is_empty())
            self._send(self._end)
            self.counts, self.stats = pickle.load(self._results)  # noqa: S301 - our own
        except (OSError, EOFError):
            say("the process that records is gone; the connection goes on")
            # Python 3.14 would say that what is left in the buffer cannot be written.
            with suppress(OSError):
                self._to_process.close()
            for _ in self._tap:
                pass

    def _send(self, item: Any, *, flush: bool = True) -> None:  # noqa: ANN401
        pickle.dump(item, self._to_process)
        if flush:
            self._to_process.flush()


def _run(passed: int, results: int, *about: Any) -> None:  # noqa: ANN401
    """Be the process."""
    try:
        os.nice(_NICE)
        # Otherwise neither side would learn that the other has left while this process runs.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        with os.fdopen(passed, "rb") as items:
            # Nothing comes where the server cannot be started.
            pickle.load(items)  # noqa: S301 - our own
            recorded = _record(items, *about)
        # Everything is sent by now, even if nobody waits to hear so any more.
        with suppress(BrokenPipeError), os.fdopen(results, "wb") as file:
            pickle.dump(recorded, file)
    except EOFError:
        pass
    except Exception as error:  # noqa: BLE001 - nobody else would say so
        say(f"recording failed: {type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _record(
    items: IO[bytes], connect: Callable[[], Any], read: Callable[[Sink], Reader], close_s: float
) -> tuple[Counts, Any]:
    try:
        collector = connect()
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        say(f"the calls are not recorded: {' '.join(str(error).split())}")
        collector = None
    reader = read(collector or Unrecorded())
    end = _End()
    for item in received(items):
        if isinstance(item, _End):
            end = item
            break
        if reader.take(*item) and collector is not None:
            _quietly(collector.flush, close_s)
    reader.finish(now(), client_left=end.client_left, exit_code=end.exit_code)
    if collector is None:
        return reader.counts, None
    _quietly(collector.close, close_s)
    return reader.counts, _quietly(collector.stats)


def received(items: IO[bytes]) -> Iterator[Passed | _End]:
    """Yield what was sent; a proxy that is killed may leave a part of the last one."""
    with suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(items)  # noqa: S301 - our own


def _quietly(call: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001 - the server's end is not held up by ours
        say(f"{type(error).__name__}: {error}")
        return None
