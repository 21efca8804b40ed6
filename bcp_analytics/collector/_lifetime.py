"""What happens to collectors when the process forks, and when it ends."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet


class Living(Protocol):
    """What is told of a fork and of the end."""

    def after_fork(self) -> None: ...
    def at_exit(self) -> None: ...
    def __hash__(self) -> int: ...


_all: WeakSet[Living] = WeakSet()
_running: set[Living] = set()


def made(one: Living) -> None:
    """Note a collector, to be told of forks."""
    _all.add(one)


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
