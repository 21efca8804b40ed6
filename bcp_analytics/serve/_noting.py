"""What a server counts goes into the store once a minute, so that neither a flood nor a restart matters."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Note = Callable[[], Awaitable[None]]

_EVERY = 60.0


async def note_all(notes: Sequence[Note]) -> None:
    """Have each store what it has counted since the last time; one that fails keeps no other from it."""
    for note in notes:
        with contextlib.suppress(Exception):
            await note()


async def keep_noting(notes: Sequence[Note]) -> None:
    """Do so every minute, until cancelled."""
    while True:
        await asyncio.sleep(_EVERY)
        await note_all(notes)
