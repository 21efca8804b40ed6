"""POST /mcp: what `bcp_analytics.agents` answers, by the Model Context Protocol's Streamable HTTP.

Without sessions: each request has its token, and each call of a tool one transaction with the token's rights.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from starlette.responses import Response
from starlette.routing import Route

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType
    from uuid import UUID

    from psycopg import AsyncConnection
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from bcp_analytics.agents import Asked
    from bcp_analytics.serve._auth import Caller
    from bcp_analytics.serve._config import Config
    from bcp_analytics.serve._database import Database, Role

PATH = "/mcp"
MAX_BODY = 256 * 1024
PER_MINUTE = 120
"""Requests of one token in a minute; as many may come at once."""
_CALLERS = 1_000
_WHO = "bcp.asked"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks by a request."""

    database: Database
    may_change: bool
    base_url: str | None

    @contextlib.asynccontextmanager
    async def connection(self, role: Role) -> AsyncIterator[AsyncConnection[Any]]:
        """Give a connection as the server does; its refusals become what the agent is told."""
        try:
            async with self.database.connection(role) as conn:
                yield conn
        except Refused as refused:
            raise BcpAnalyticsError(refused.message, hint=refused.hint) from None


class _Pace:
    """How often each token may ask."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: OrderedDict[UUID, tuple[float, float]] = OrderedDict()

    def take(self, token_id: UUID) -> None:
        """Count a request; raises `Refused` with 429 where there were too many."""
        now = self._clock()
        left, since = self._left.pop(token_id, (float(PER_MINUTE), now))
        left = min(PER_MINUTE, left + (now - since) * PER_MINUTE / 60)
        self._left[token_id] = (max(left - 1, 0.0), now)
        while len(self._left) > _CALLERS:
            self._left.popitem(last=False)
        if left < 1:
            raise Refused(
                429,
                f"This token asks more than {PER_MINUTE} times a minute.",
                hint="Ask again in a second.",
                headers={"Retry-After": "1"},
            )


class Agents:
    """The MCP server, while the application runs. Without the package mcp every request is refused."""

    def __init__(
        self, config: Config, database: Database, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what calls need."""
        self._config = config
        self._database = database
        self._pace = _Pace(clock)
        self._stack = AsyncExitStack()
        self._manager: Any = None

    async def __aenter__(self) -> Self:
        """Start."""
        try:
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415 - an extra

            from bcp_analytics.agents import make_server  # noqa: PLC0415
        except ImportError:
            return self
        # It would log what clients send.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        self._manager = StreamableHTTPSessionManager(
            make_server(lambda context: _asked_of(context.request.scope)),
            json_response=True,
            stateless=True,
            max_request_body_size=MAX_BODY,
        )
        await self._stack.enter_async_context(self._manager.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self._stack.aclose()

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Return the answer to a request whose caller is known; raises `Refused`."""
        if self._manager is None:
            raise Refused(
                501,
                "This server cannot answer agents: the package mcp is not installed beside it.",
                hint='pip install "bcp_analytics[mcp,server]"',
            )
        self._pace.take(caller.token_id)
        body = await read_body(request, limit=MAX_BODY, decoded_limit=MAX_BODY)
        url = f"{request.url.scheme}://{request.url.netloc}"
        asked = _Asked(self._database, caller.role == "admin" and self._config.allow_resolve, url)
        return _Answer(self._manager, asked, body)


class _Answer(Response):
    """What the SDK sends; of it Starlette only needs that it can be called."""

    def __init__(self, manager: Any, asked: Asked, body: bytes) -> None:  # noqa: ANN401 - the SDK's
        super().__init__()
        self._manager = manager
        self._asked = asked
        self._taken = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the body on, which was read within our bounds."""
        given = False

        async def replayed() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": self._taken, "more_body": False}

        # The body is no longer encoded.
        headers = [
            pair for pair in scope["headers"] if pair[0] not in {b"content-encoding", b"content-length"}
        ]
        await self._manager.handle_request({**scope, "headers": headers, _WHO: self._asked}, replayed, send)


def _asked_of(scope: Scope) -> Asked:
    asked: Asked = scope[_WHO]
    return asked


async def mcp(request: Request) -> Response:
    """Answer an agent."""
    caller = await authorize(request, "reader")
    agents: Agents = request.app.state.agents
    return await agents.answer(request, caller)


routes = [Route(PATH, mcp, methods=["POST"])]
