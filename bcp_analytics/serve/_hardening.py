"""What holds for every request: which hosts and origins are answered, headers, and the access log."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from bcp_analytics.serve._errors import Refused, in_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bcp_analytics.serve._config import Config

_SAFE = {"GET", "HEAD", "OPTIONS"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def host_name(header: str) -> str:
    """Return the name in a header Host, in lower case and without its port."""
    name = header.rsplit(":", 1)[0] if header.rpartition(":")[2].isdigit() else header
    return name.lower()


def same_origin(headers: Headers) -> bool:
    """Return whether a request comes from a page of this server's own, or from no page at all."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


class Hardening:
    """Refuses requests for hosts that are not ours and from pages of others, and puts headers on answers.

    A page that has its own name resolve to this machine would otherwise reach the server from the user's
    browser.
    """

    def __init__(
        self, app: ASGIApp, config: Config, refusals: Mapping[str, Callable[[Headers, Refused], Response]]
    ) -> None:
        """Wrap `app`; `refusals` has the paths that do not refuse in JSON, and what does it there."""
        self._app = app
        self._hosts = config.hosts
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            # One that is closed before it is accepted is answered 403 by uvicorn.
            await send({"type": "websocket.close", "code": 1008})
        else:
            special = self._refusals.get(scope["path"])
            answer = in_json(refused) if special is None else special(headers, refused)
            await answer(scope, receive, send_with_headers)

    def _refused(self, scope: Scope, headers: Headers) -> Refused | None:
        if host_name(headers.get("host", "")) not in self._hosts:
            return Refused(
                421,
                "This server does not answer for that host.",
                hint="bcp-analytics serve --allow-host NAME lets it answer for more names.",
            )
        unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if unsafe and not same_origin(headers):
            return Refused(403, "This request comes from a page of another origin.")
        return None


class AccessLog:
    """Writes one line of JSON per request, without anything that a client chose but its method.

    The path is the route's, so that nothing that a client makes up gets into the log.
    """

    def __init__(self, app: ASGIApp, write: Callable[[str], object] | None = None) -> None:
        """Wrap `app`; `write` takes a line, and is by default that of stderr."""
        self._app = app
        self._write = write or sys.stderr.write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status, size = 0, 0

        async def send_counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            size += len(message.get("body", b"") or message.get("bytes") or message.get("text") or b"")
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "method": scope.get("method", "WEBSOCKET"),
                "route": getattr(scope.get("route"), "path", None),
                "status": status or (500 if scope["type"] == "http" else 1006),
                "ms": round((time.perf_counter() - begun) * 1000, 1),
                "bytes": size,
                "caller": scope.get("bcp.caller"),
            }
            self._write(json.dumps(line) + "\n")
