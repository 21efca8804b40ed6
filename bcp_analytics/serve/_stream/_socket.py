"""The WebSocket /analytics-stream, of admins."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bcp_analytics.serve._auth import COOKIE, address_of, bearer
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bcp_analytics.serve._auth import Caller, Tokens
    from bcp_analytics.serve._stream._hub import Hub, Watcher

PROTOCOL = "bcp.v1"
# A page cannot set headers of a WebSocket, but it can ask for subprotocols. This one is never echoed.
_TOKEN = "bcp.token."  # noqa: S105 - the prefix of one
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


def _check(websocket: WebSocket) -> Callable[[], Awaitable[Caller]]:
    """Return what says whose token it is, by the header, the browser's session or a subprotocol."""
    tokens: Tokens = websocket.app.state.tokens
    address = address_of(websocket)
    token = bearer(websocket)
    session = websocket.cookies.get(COOKIE)
    if token is None:
        offered = (name for name in websocket.scope["subprotocols"] if name.startswith(_TOKEN))
        token = next(offered, "").removeprefix(_TOKEN) or None
    if token is None and session is not None:
        return partial(tokens.check_session, session, address, "admin")
    return partial(tokens.check, token, address, "admin")


async def stream(websocket: WebSocket) -> None:
    """Send what happens, until the client or the server leaves."""
    with contextlib.suppress(WebSocketDisconnect):
        await _serve(websocket)


async def _serve(websocket: WebSocket) -> None:
    hub: Hub = websocket.app.state.stream
    # Accepted first: a WebSocket that is closed before gets the status 403, and no code.
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None)
    check = _check(websocket)
    try:
        caller = await check()
    except Refused as refused:
        if refused.status in {401, 403}:
            await websocket.close(_POLICY_VIOLATION, "Unauthorized")
        else:
            await websocket.close(_TRY_AGAIN_LATER, refused.message)
        return
    websocket.scope["bcp.caller"] = caller.name
    watcher = hub.join(check)
    if watcher is None:
        await websocket.close(_TRY_AGAIN_LATER, "Too many watch.")
        return
    both = [asyncio.create_task(_send(websocket, watcher)), asyncio.create_task(_receive(websocket))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(watcher)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _send(websocket: WebSocket, watcher: Watcher) -> None:
    # uvicorn's send waits until the client has read enough. Meanwhile newer messages replace older ones.
    while texts := await watcher.take():
        for text in texts:
            await websocket.send_text(text)
    if watcher.closing is not None:
        await websocket.close(*watcher.closing)


async def _receive(websocket: WebSocket) -> None:
    """Read until the client leaves. What it says is of no interest, but answers to pings are among it."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


routes = [WebSocketRoute("/analytics-stream", stream)]
