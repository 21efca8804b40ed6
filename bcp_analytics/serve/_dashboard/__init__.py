"""The dashboard: its page at every path that it has, and its files."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from bcp_analytics.serve._auth import COOKIE, Tokens, address_of
from bcp_analytics.serve._dashboard._assets import Asset, asset, assets, page_text
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

# One page draws them all: what is shown is in the path and the query, so every view is a link.
PAGES = (
    *("/", "/live", "/calls", "/tools", "/tool", "/errors", "/issue", "/sessions", "/session", "/people"),
    *("/context", "/alerts", "/health", "/setup"),
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # No text can become markup: the browser refuses to.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# A file's name has its digest in it, so it never changes.
_FOR_EVER = "public, max-age=31536000, immutable"


def _answer(request: Request, found: Asset, **headers: str) -> Response:
    headers |= {"etag": f'"{found.digest}"', "vary": "Accept-Encoding"}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(found.packed if packed else found.plain, headers=headers, media_type=found.kind)


async def page(request: Request) -> Response:
    """Answer the page. All that it has of the store is whose session this is, so that it need not ask."""
    session = request.cookies.get(COOKIE)
    who = ""
    if session is not None:
        tokens: Tokens = request.app.state.tokens
        try:
            caller = await tokens.check_session(session, address_of(request), "reader")
        except Refused as refused:
            # While the database is away nobody can tell; the page then asks until it is back.
            who = "" if refused.status in {401, 403} else ' data-role="unknown"'
        else:
            who = f' data-name="{escape(caller.name)}" data-role="{caller.role}"'
    return _answer(
        request,
        asset("text/html; charset=utf-8", page_text().replace("{{session}}", who)),
        **{"content-security-policy": _POLICY, "cache-control": "private, no-cache"},
    )


async def file(request: Request) -> Response:
    """Answer a file by its name with the digest."""
    found = assets().get(request.url.path)
    if found is None:
        raise HTTPException(404)
    return _answer(request, found, **{"cache-control": _FOR_EVER})


routes = [*(Route(path, page) for path in PAGES), Route("/assets/{name}", file)]
