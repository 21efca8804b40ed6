"""Whether the server lives, and whether it can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def healthz(_: Request) -> Response:
    """Answer 200 as long as the process lives."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Answer 200 where the database answers, else 503."""
    await request.app.state.database.check()
    return JSONResponse({"status": "ready"})


routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
