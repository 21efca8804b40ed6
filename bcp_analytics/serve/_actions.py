"""What an administrator can do by HTTP: close issues, make and revoke tokens. Alerts are in `_alerting`.

Each is one call of an SQL function. All need a token of the role admin; the database refuses others too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bcp_analytics._render import tables
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused
from bcp_analytics.upkeep import (
    api_tokens,
    create_api_token,
    reopen_issue,
    resolve_issue,
    revoke_api_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

_LARGEST = 64 * 1024
_LONGEST = 10_000


async def _members(request: Request, known: dict[str, Any]) -> dict[str, Any]:
    """Return the members of the body, a JSON object or nothing, that are `known` with their types."""
    body = await read_body(request, limit=_LARGEST, decoded_limit=_LARGEST)
    try:
        found = json.loads(body or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "The body is no JSON object.", hint=f"It may have {', '.join(known)}.")
    for name, value in found.items():
        kind = known.get(name)
        if kind is None:
            raise Refused(
                400, "The body has a member that is not known.", hint=f"It may have {', '.join(known)}."
            )
        # bool is an int to Python, and no number to anybody else.
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if value is not None and (wrong or (isinstance(value, str) and len(value) > _LONGEST)):
            raise Refused(400, f"{name} is of the wrong type, or too long.")
    return found


async def _act(request: Request, call: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    try:
        async with request.app.state.database.connection("admin") as conn:
            return await call(conn)
    except BcpAnalyticsError as error:
        raise Refused(400, error.message, hint=error.hint) from None
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # psycopg's own, of a text with a null character, has no diagnosis.
        said = error.diag.constraint_name or error.diag.message_primary or "a value cannot be read"
        raise Refused(400, f"The store does not take this: {said}.") from None


async def act_on_issue(request: Request) -> Response:
    """Resolve an issue, in a release or in general, or reopen it, with a note."""
    await authorize(request, "admin")
    resolves = request.path_params["action"] == "resolve"
    if not resolves and request.path_params["action"] != "reopen":
        raise Refused(404, "There is nothing at this path.")
    known = {"notes": str, "release": str} if resolves else {"notes": str}
    given = await _members(request, known)
    act: Any = resolve_issue if resolves else reopen_issue
    at = await _act(request, lambda conn: act(conn, request.path_params["fingerprint"], **given))
    return JSONResponse({"at": at.isoformat()})


async def list_tokens(request: Request) -> Response:
    """Say which tokens there are; the tokens themselves are not stored."""
    await authorize(request, "admin")
    found = await _act(request, api_tokens)
    return Response(tables.to_json(found), media_type="application/json")


async def make_token(request: Request) -> Response:
    """Make a token, and show it, once."""
    await authorize(request, "admin")
    given = await _members(request, {"name": str, "role": str, "vantage": str})
    name, role = given.get("name") or "", given.get("role") or "ingest"
    vantage = given.get("vantage")
    # The function says which roles there are.
    make: Any = create_api_token
    token: str = await _act(request, lambda conn: make(conn, name, role, vantage=vantage))
    return JSONResponse({"token": token}, 201)


async def revoke_token(request: Request) -> Response:
    """Revoke the token of a name."""
    await authorize(request, "admin")
    if not await _act(request, lambda conn: revoke_api_token(conn, request.path_params["name"])):
        raise Refused(404, "There is no token of that name that is valid.")
    return Response(status_code=204)


# A name may have a slash in it.
routes = [
    Route("/v1/issues/{fingerprint:path}/{action}", act_on_issue, methods=["POST"]),
    Route("/v1/tokens", list_tokens, methods=["GET"]),
    Route("/v1/tokens", make_token, methods=["POST"]),
    Route("/v1/tokens/{name:path}", revoke_token, methods=["DELETE"]),
]
