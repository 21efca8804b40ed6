"""`AnalyticsMiddleware` for FastMCP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastmcp.server.middleware import Middleware

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._asking import MORE, MORE_ABOUT, MORE_ANSWER, MORE_SCHEMA
from bcp_analytics.mcp._calls import CallRecorder, Request, fields_of_http, fields_of_server

if TYPE_CHECKING:
    from fastmcp.server.middleware import CallNext, MiddlewareContext

    from bcp_analytics.mcp._calls import UserId
    from bcp_analytics.mcp._events import Json, Sink


class AnalyticsMiddleware(CallRecorder, Middleware):
    """Records calls and lists of tools: `FastMCP("mail", middleware=[AnalyticsMiddleware(collector)])`.

    Put it first in the list, so that what other middleware answers or refuses is recorded too.
    """

    def __init__(
        self,
        collector: Sink,
        bcp_name: str | None = None,
        *,
        user_id: UserId = None,
        ask_context: bool = False,
        get_more_tools: bool = False,
    ) -> None:
        """As for `bcp_analytics.mcp.instrument`."""
        super().__init__(collector, user_id=user_id, ask_context=ask_context, get_more_tools=get_more_tools)
        self._bcp_name = bcp_name

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:  # noqa: ANN401
        """Record a call."""
        message, intent = context.message, None
        if self.asking.wanted:
            arguments, intent = self.asking.take(message.name, message.arguments)
            context = context.copy(message=message.model_copy(update={"arguments": arguments}))
        with self.watch(_about(context), lambda: self._request(context, events.CALL, intent)) as watched:
            if self.asking.answers(message.name):
                result: Any = _more_answer()
            else:
                result = await call_next(context)
            watched.answer(lambda: _wire_result(result))
        return result

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:  # noqa: ANN401
        """Record a list of tools."""
        with self.watch(_about(context), lambda: self._request(context, events.LIST)) as watched:
            tools = await call_next(context)
            if self.asking.wanted:
                tools = self._with_questions(tools)
            watched.answer(lambda: {"tools": [_wire(tool.to_mcp_tool(name=tool.name)) for tool in tools]})
        return tools

    def _with_questions(self, tools: Any) -> list[Any]:  # noqa: ANN401 - FastMCP's tools
        asked = [
            tool.model_copy(update={"parameters": self.asking.schema(tool.name, tool.parameters)})
            for tool in tools
        ]
        if self.asking.offers:
            asked.append(_more_tool())
        return asked

    def _request(self, context: MiddlewareContext[Any], method: str, intent: str | None = None) -> Request:
        around = context.fastmcp_context
        bcp_name = self._bcp_name or (around.fastmcp.name if around is not None else "mcp")
        message = context.message
        params = {}
        if method == events.CALL:
            params = {"name": message.name, "arguments": message.arguments}
        fields = {} if around is None else fields_of_server(around.fastmcp)
        said = events.fields_of_intent(intent)
        request = _about(context)
        if request is None:
            return Request(bcp_name, method, params, fields | said)
        version = getattr(request, "protocol_version", None)
        http = getattr(request, "request", None)
        who = {"session_id": self.process_session} if http is None else fields_of_http(http, version)
        fields |= who | {"protocol_version": version}
        initialized = getattr(request.session, "client_params", None)
        if initialized is not None:
            client = getattr(initialized, "client_info", None) or initialized.clientInfo
            fields |= {"client_name": client.name, "client_version": client.version}
        meta = request.meta
        fields |= (
            events.fields_of_meta(meta if isinstance(meta, dict) or meta is None else _wire(meta)) | said
        )
        return Request(bcp_name, method, params, fields, request_id=request.request_id)


def _more_tool() -> Any:  # noqa: ANN401 - FastMCP's Tool
    from fastmcp.tools import Tool  # noqa: PLC0415 - only whoever wants it depends on where it stands

    return Tool(name=MORE, description=MORE_ABOUT, parameters=MORE_SCHEMA)


def _more_answer() -> Any:  # noqa: ANN401 - FastMCP's ToolResult
    from fastmcp import tools  # noqa: PLC0415

    # FastMCP 2 and 3 have it in a module of its own.
    holder = tools if hasattr(tools, "ToolResult") else import_module("fastmcp.tools.tool")
    return holder.ToolResult(content=MORE_ANSWER)


def _about(context: MiddlewareContext[Any]) -> Any:  # noqa: ANN401 - the SDK's own object for a request
    """Return the request, None where Python code called the server's methods, and no client."""
    around = context.fastmcp_context
    return None if around is None else around.request_context


def _wire(model: Any) -> Json:  # noqa: ANN401 - a pydantic model
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _wire_result(result: Any) -> Json:  # noqa: ANN401 - FastMCP's ToolResult, or an extension's own
    asked = getattr(result, "input_required", None)
    if asked is not None:
        return _wire(asked)
    if not hasattr(result, "structured_content"):
        return _wire(result)
    wire: dict[str, Any] = {"content": [_wire(part) for part in result.content]}
    if result.structured_content is not None:
        wire["structuredContent"] = result.structured_content
    return wire | {"isError": bool(getattr(result, "is_error", False))}
