"""What happens to collectors when the process forks, and when it ends, also by a signal.

`atexit` does not run where a signal ends the process by default, and some servers end so after a graceful
stop: uvicorn, and FastMCP with it, restores the handler that it found, SIG_DFL, and raises the signal again.
So wherever SIG_DFL is set for one of these signals, now or later, a handler of ours replaces it: it sends
what is left, and then ends the process by the same signal. A handler of the program's own stays as it is.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from types import FrameType


class Living(Protocol):
    """What is told of a fork and of the end."""

    def after_fork(self) -> None: ...
    def at_exit(self) -> None: ...
    def drain(self) -> object: ...
    def is_held(self) -> bool: ...
    def __hash__(self) -> int: ...


_all: WeakSet[Living] = WeakSet()
_running: set[Living] = set()
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AGAIN_S = 0.01
_FIRST_PROCESS = 1
_set_handler = signal.signal


def made(one: Living) -> None:
    """Note a collector, to be told of forks, and of signals from now on."""
    _all.add(one)
    _stand_in_later()
    # Only the main thread may set handlers. In another one, those that are set later still count.
    with suppress(ValueError):
        for number in _ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                _set_handler(number, _end)


def started(one: Living) -> None:
    """Note a collector that has something to lose, to be told of the end."""
    _running.add(one)
    # A child of multiprocessing leaves without atexit, by finalizers of its own.
    module = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if module is not None and process is not None and process.parent_process() is not None:
        module.Finalize(None, one.at_exit, exitpriority=0)


def ended(one: Living) -> None:
    """Note that a collector has nothing to lose any more."""
    _running.discard(one)


@functools.cache
def _stand_in_later() -> None:
    signal.signal = _set_standing_in


@functools.wraps(_set_handler)
def _set_standing_in(signalnum: int, handler: Any) -> Any:  # noqa: ANN401 - as signal.signal
    return _set_handler(signalnum, _end if handler == signal.SIG_DFL and signalnum in _ENDING else handler)


def _end(number: int, _: FrameType | None) -> None:
    """Send what there is, and end by the signal; it came in the main thread, between any two steps of it."""
    if any(one.is_held() for one in list(_running)):
        # The main thread is inside record() and holds its lock, for which the thread that sends would wait.
        again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    # The first process of a container is not ended by a signal that it does not handle, so it goes on.
    first = os.getpid() == _FIRST_PROCESS
    for one in list(_running):
        with suppress(Exception):
            one.drain() if first else one.at_exit()
    if not first:
        _set_handler(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _at_exit() -> None:
    for one in list(_running):
        with suppress(Exception):
            one.at_exit()


def _after_fork() -> None:
    _running.clear()
    for one in list(_all):
        with suppress(Exception):
            one.after_fork()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
