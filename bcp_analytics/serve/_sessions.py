"""A browser's session, which stands for a token: the token itself is nowhere that a page can read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bcp_analytics.serve._auth import COOKIE, Tokens, address_of, authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

# A token is 77 characters.
_LARGEST = 1024


async def open_session(request: Request) -> Response:
    """Take {"token": ...}, and answer whose it is with the cookie of a new session."""
    body = await read_body(request, limit=_LARGEST, decoded_limit=_LARGEST)
    try:
        token = json.loads(body)["token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        token = None
    if not isinstance(token, str):
        raise Refused(400, "The body is not a token as JSON.", hint='Send {"token": "..."}.')
    tokens: Tokens = request.app.state.tokens
    session, caller = await tokens.open_session(token, address_of(request), "reader")
    response = JSONResponse({"name": caller.name, "role": caller.role})
    response.set_cookie(
        COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )
    return response


async def whose_session(request: Request) -> Response:
    """Answer whose session or token this is."""
    caller = await authorize(request, "reader")
    return JSONResponse({"name": caller.name, "role": caller.role})


async def close_session(request: Request) -> Response:
    """Forget the session, and have the browser forget its cookie."""
    if (session := request.cookies.get(COOKIE)) is not None:
        request.app.state.tokens.close_session(session)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


routes = [
    Route("/v1/session", open_session, methods=["POST"]),
    Route("/v1/session", whose_session, methods=["GET"]),
    Route("/v1/session", close_session, methods=["DELETE"]),
]
