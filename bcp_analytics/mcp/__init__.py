"""Recording the tool calls of an MCP server in Python, from inside, with one line.

    from bcp_analytics.collector import Collector
    from bcp_analytics.mcp import instrument

    collector = Collector("postgresql://...")
    instrument(server, collector)          # an mcp MCPServer or Server, or a FastMCP

FastMCP's own way is `FastMCP("mail", middleware=[AnalyticsMiddleware(collector)])`. Both record every call of
a tool and every list of tools as `bcp-analytics proxy` does, and break neither: what fails in the recording
is swallowed, counted in `failures`, and logged once.

The server's package is not needed to import this one. `mcp` 2.0 or later is the extra `mcp`; of FastMCP, the
package `fastmcp`, 2.14, 3.4 and 4.2 were tried.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._asking import more_answer
from bcp_analytics.mcp._calls import CallRecorder, Request, fields_of_http, fields_of_server, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeVar

    from bcp_analytics.mcp._calls import UserId
    from bcp_analytics.mcp._events import Sink
    from bcp_analytics.mcp._fastmcp import AnalyticsMiddleware as AnalyticsMiddleware

    Server = TypeVar("Server")

__all__ = ["AnalyticsMiddleware", "ServerAnalyticsMiddleware", "instrument"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import FastMCP, which takes a second, only for those who use it."""
    if name == "AnalyticsMiddleware":
        from bcp_analytics.mcp._fastmcp import AnalyticsMiddleware  # noqa: PLC0415

        return AnalyticsMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def instrument(
    server: Server,
    collector: Sink,
    bcp_name: str | None = None,
    *,
    user_id: UserId = None,
    ask_context: bool = False,
    get_more_tools: bool = False,
) -> Server:
    """Record the calls of a server: an `mcp` MCPServer or low-level Server, or a FastMCP. Returns the server.

    `collector` is a `Collector` or an `AsyncCollector`. `bcp_name` is the server's name by default; `user_id`
    says whose calls they are, or is called for each call to say it; by default it is the user whom the server
    authenticated. `ask_context` gives every tool an optional argument, context, in which the agent says why
    it calls, and `get_more_tools` adds a tool of this name, by which it says what is missing. The server's
    own tools get to see neither. A server that records already stays as it is. Raises `TypeError` for any
    other server.
    """
    name = bcp_name or str(getattr(server, "name", None) or "mcp")
    asks = {"ask_context": ask_context, "get_more_tools": get_more_tools}
    middleware = getattr(server, "middleware", None)
    if isinstance(middleware, list) and records(middleware):
        return server
    if hasattr(server, "add_middleware"):
        from bcp_analytics.mcp._fastmcp import AnalyticsMiddleware  # noqa: PLC0415 - takes a second

        server.add_middleware(AnalyticsMiddleware(collector, name, user_id=user_id, **asks))
        return server
    if not isinstance(middleware, list):
        raise TypeError(
            f"{type(server).__name__} takes no middleware: this needs an MCPServer or Server of mcp 2.0 or "
            "later, or a FastMCP. For any other server there is bcp-analytics proxy."
        )
    release = fields_of_server(server).get("release")
    middleware.append(ServerAnalyticsMiddleware(collector, name, user_id=user_id, release=release, **asks))
    return server


class ServerAnalyticsMiddleware(CallRecorder):
    """Middleware of the official SDK: `MCPServer("mail", middleware=[ServerAnalyticsMiddleware(...)])`."""

    def __init__(
        self,
        collector: Sink,
        bcp_name: str,
        *,
        user_id: UserId = None,
        release: str | None = None,
        ask_context: bool = False,
        get_more_tools: bool = False,
    ) -> None:
        """As for `instrument`; `release` is the server's version."""
        super().__init__(collector, user_id=user_id, ask_context=ask_context, get_more_tools=get_more_tools)
        self._bcp_name = bcp_name
        self._release = release

    async def __call__(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:  # noqa: ANN401
        """Pass a message on, and record it where it is a call or a list of tools."""
        if ctx.method not in {events.CALL, events.LIST} or ctx.request_id is None:
            return await call_next(ctx)
        params, intent = events.mapping(ctx.params), None
        if self.asking.wanted and ctx.method == events.CALL:
            arguments, intent = self.asking.take(params.get("name"), params.get("arguments"))
            params = {**params, "arguments": arguments}
            ctx = replace(ctx, params=params)
        with self.watch(ctx, lambda: self._request(ctx, params, intent)) as watched:
            if ctx.method == events.CALL and self.asking.answers(params.get("name")):
                result: Any = more_answer(ctx.protocol_version)
            else:
                result = await call_next(ctx)
            if self.asking.wanted and ctx.method == events.LIST:
                result = self.asking.list(result)
            watched.answer(lambda: result)
        return result

    def _request(self, ctx: Any, params: Mapping[str, Any], intent: str | None) -> Request:  # noqa: ANN401
        initialized = ctx.session.client_params
        who: dict[str, Any] = {"session_id": self.process_session}
        if ctx.request is not None:
            who = fields_of_http(ctx.request, ctx.protocol_version)
        fields = who | {"protocol_version": ctx.protocol_version, "release": self._release}
        if initialized is not None:
            client = initialized.client_info
            fields |= {"client_name": client.name, "client_version": client.version}
        return Request(
            self._bcp_name,
            ctx.method,
            params,
            fields | events.fields_of_meta(params.get("_meta")) | events.fields_of_intent(intent),
            request_id=ctx.request_id,
        )
