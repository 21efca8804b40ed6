"""In by HTTP: POST /v1/events/{kind} takes a batch of events and answers the receipt of the SQL function."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bcp_analytics import ingest
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import check_values, read_body, too_many
from bcp_analytics.serve._errors import Refused
from bcp_analytics.serve._storing import told_apart

if TYPE_CHECKING:
    from starlette.requests import Request

KINDS = {
    "tool_usage": ingest.ingest_tool_usage,
    "errors": ingest.ingest_errors,
    "metrics": ingest.ingest_metrics,
    "sessions": ingest.ingest_sessions,
}
_TYPES = {"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl"}
_MAX_KEY = 500
_MOST_LINES = 100_000


async def take_in(request: Request) -> Response:
    caller = await authorize(request, "ingest")
    kind = request.path_params["kind"]
    function = KINDS.get(kind)
    if function is None:
        raise Refused(404, "There is no such kind of events.", hint=f"Send {', '.join(KINDS)}.")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _TYPES:
        raise Refused(
            415, "The body is neither JSON nor lines of JSON.", hint=f"Send {' or '.join(sorted(_TYPES))}."
        )
    batch_id = batch_of(request.headers.get("idempotency-key"), caller.token_id)
    config = request.app.state.config
    body = await read_body(request, limit=config.max_body, decoded_limit=config.max_decoded_body)
    # In a thread, because many lines take a while, and no other request is answered meanwhile.
    events = await asyncio.to_thread(batch, body)
    with told_apart():
        async with request.app.state.database.connection("ingest") as conn:
            receipt = await function(conn, events, batch_id=batch_id, source=caller.name)
    for result in ("stored", "duplicates", "rejected"):
        request.app.state.metrics.events.labels(kind, result).inc(getattr(receipt, result))
    return JSONResponse(asdict(receipt))


def batch(body: bytes) -> str:
    """Return a JSON array as text: the body, or its lines where it does not begin like an array.

    What is no JSON among lines becomes text, which the store rejects alone. Raises `Refused` with 413 where
    there are too many values or lines.
    """
    check_values(body)
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if text.lstrip().startswith("["):
        return text
    if text.count("\n") > _MOST_LINES:
        raise too_many(_MOST_LINES, "lines")
    lines = [line for line in text.split("\n") if line.strip()]
    return f"[{','.join(line if _is_json(line) else json.dumps(line) for line in lines)}]"


def _no_json(name: str) -> None:
    # NaN and the infinities, which Python reads, and the database does not.
    raise ValueError(name)


def _is_json(line: str) -> bool:
    try:
        json.loads(line, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    return True


def batch_of(key: str | None, token_id: object) -> UUID | None:
    """Return the batch id that an Idempotency-Key stands for: itself, or one of this token alone."""
    key = (key or "").strip().strip('"')
    if not key:
        return None
    if len(key) > _MAX_KEY:
        raise Refused(400, f"The Idempotency-Key is longer than {_MAX_KEY} characters.")
    try:
        return UUID(key)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{token_id}/{key}")


routes = [Route("/v1/events/{kind}", take_in, methods=["POST"])]
