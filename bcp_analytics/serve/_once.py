"""One call for all who want its result at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


class Once(Generic[Result]):
    """Calls that run, by key. Many requests at once would otherwise each ask the database the same."""

    def __init__(self) -> None:
        """Begin with none."""
        self._running: dict[object, asyncio.Task[Result]] = {}

    async def run(self, key: object, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return the result of the call of this key that runs already, else of `call`; raises what it raises.

        It goes on where one who waits for it is cancelled, since others may wait.
        """
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(call())
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: object, task: asyncio.Task[Result]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Nobody may wait any more, and then asyncio would complain.
            task.exception()
