"""Rows of a statement, up to so many bytes.

A server answers anybody who may read, and 10,000 rows can have any size.
"""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, LiteralString, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import AsyncCursor, sql
    from psycopg.abc import Params
    from psycopg.pq.abc import PGresult

Row = TypeVar("Row")

_most: ContextVar[int | None] = ContextVar("most", default=None)


class TooLarge(Exception):  # noqa: N818 - an answer that is not given, no fault
    """The rows have more bytes than `bounded` allows. The statement was cancelled."""


@contextmanager
def bounded(most: int) -> Iterator[None]:
    """Have `fetch_all` raise `TooLarge` where the values of its rows are more than so many bytes together."""
    token = _most.set(most)
    try:
        yield
    finally:
        _most.reset(token)


async def fetch_all(
    cur: AsyncCursor[Row], query: LiteralString | sql.Composed, params: Params, *, binary: bool = False
) -> list[Row]:
    """Execute a statement and return its rows."""
    most = _most.get()
    if most is None:
        await cur.execute(query, params, binary=binary)
        return await cur.fetchall()
    found: list[Row] = []
    size = 0
    # Row by row, or libpq would hold all of them before the first is counted.
    async with aclosing(cur.stream(query, params, binary=binary)) as rows:  # type: ignore[type-var]
        async for row in rows:
            size += _size(cur.pgresult)
            if size > most:
                raise TooLarge
            found.append(row)
    return found


def _size(result: PGresult | None) -> int:
    if result is None:
        return 0
    return sum(
        len(value)
        for row in range(result.ntuples)
        for column in range(result.nfields)
        if (value := result.get_value(row, column)) is not None
    )
