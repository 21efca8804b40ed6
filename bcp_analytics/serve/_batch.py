"""POST /v1/batch: many questions and views in one request, each answered as soon as it is known.

A page of the dashboard has a dozen panels. A browser sends six requests at a time to a server, and each costs
a check of its session; so it sends one, and gets a line of JSON per answer, in the order in which they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import zlib
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bcp_analytics._render import tables
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused
from bcp_analytics.serve._query import ask, find

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

_LARGEST = 512 * 1024
_MOST = 40
# Of one request at a time: others want connections to the database too.
_TOGETHER = 4
# Nothing else may hold them any more.
_ENDING: set[asyncio.Task[str]] = set()


def _read(body: bytes) -> list[tuple[str, str, QueryParams]]:
    try:
        asked = [
            (str(one["of"]), str(one["name"]), [(str(k), str(v)) for k, v in one.get("takes", {}).items()])
            for one in json.loads(body)
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Refused(
            400,
            "The body is no list of questions.",
            hint='Send [{"of": "query", "name": "health", "takes": {}}]; of is query or views.',
        ) from None
    if not 0 < len(asked) <= _MOST:
        raise Refused(400, f"A batch has from 1 to {_MOST} questions.")
    return [(of, name, QueryParams(takes)) for of, name, takes in asked]


async def batch(request: Request) -> Response:
    """Answer all, each as {"at": its place, "rows": [...]} or {"at": ..., "status": ..., "error": {...}}."""
    await authorize(request, "reader")
    asked = _read(await read_body(request, limit=_LARGEST, decoded_limit=_LARGEST))
    lines = _answers(request, asked)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return StreamingResponse(lines, media_type="application/x-ndjson")
    headers = {"content-encoding": "gzip"}
    return StreamingResponse(_packed(lines), media_type="application/x-ndjson", headers=headers)


async def _packed(lines: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Compress each line so that it can be read at once: rows of a series shrink to a sixth."""
    stream = zlib.compressobj(6, wbits=31)
    async with contextlib.aclosing(lines):  # type: ignore[type-var]
        async for line in lines:
            yield stream.compress(line.encode()) + stream.flush(zlib.Z_SYNC_FLUSH)
    yield stream.flush()


async def _answers(request: Request, asked: list[tuple[str, str, QueryParams]]) -> AsyncIterator[str]:
    slots = asyncio.Semaphore(_TOGETHER)

    async def one(at: int) -> str:
        of, name, takes = asked[at]
        async with slots:
            return await _answer(request, at, of, name, takes)

    tasks = [asyncio.create_task(one(at)) for at in range(len(asked))]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        # Nobody reads them any more: their statements end too. Where a browser went away, this is cancelled
        # again and again, which must not reach a task that is ending its statement: its connection would be
        # closed, and the statement would run on.
        for task in tasks:
            task.cancel()
            _ENDING.add(task)
            task.add_done_callback(_ENDING.discard)
        await asyncio.shield(asyncio.gather(*tasks, return_exceptions=True))


async def _answer(request: Request, at: int, of: str, name: str, takes: QueryParams) -> str:
    try:
        rows = await ask(request, find(of, name), takes)
    except Refused as refused:
        said = {"message": refused.message} | ({"hint": refused.hint} if refused.hint else {})
        return json.dumps({"at": at, "status": refused.status, "error": said}) + "\n"
    except Exception:
        log.exception("A question of a batch failed.")
        said = {"message": "The server failed. Its log says why."}
        return json.dumps({"at": at, "status": 500, "error": said}) + "\n"
    return f'{{"at": {at}, "rows": {_one_line(rows)}}}\n'


def _one_line(rows: list[Any]) -> str:
    # JSON has no line break but between its parts.
    return tables.to_json(rows).replace("\n", "")


routes = [Route("/v1/batch", batch, methods=["POST"])]
