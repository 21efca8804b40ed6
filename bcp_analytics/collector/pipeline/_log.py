"""What went wrong last, and log lines that do not flood and are written while no lock is held.

A handler of the application may do anything, such as record the line with this same collector, and may hold a
lock of its own meanwhile.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger("bcp_analytics")
_PERIOD_S: Final = 60.0


class Log:
    """Keeps the latest error; writes to the logger `bcp_analytics`, at most once a minute for each key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the clock, in seconds."""
        self.last_error: str | None = None
        self.last_error_at: datetime | None = None
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}
        self._waiting: deque[tuple[str, tuple[object, ...]]] = deque()

    def note(self, error: str) -> None:
        """Keep class and code of an error as the latest."""
        self.last_error, self.last_error_at = error, datetime.now(UTC)

    def warn(self, key: str, message: str, *args: object) -> None:
        """Keep a warning for `write`, or only count it where the same key came less than a minute ago."""
        now = self._clock()
        last = self._last.get(key)
        if last is not None and now - last < _PERIOD_S:
            self._held[key] = self._held.get(key, 0) + 1
            return
        self._last[key] = now
        held = self._held.pop(key, 0)
        if held:
            message, args = f"{message} (and %d times more before)", (*args, held)
        self._waiting.append((message, args))

    def write(self) -> None:
        """Write what is kept."""
        while self._waiting:
            try:
                message, args = self._waiting.popleft()
            except IndexError:
                # Another thread was faster.
                return
            logger.warning(message, *args)
