"""The application: its routes, what they share, and how it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from bcp_analytics.notify import Notifier
from bcp_analytics.serve import (
    _actions,
    _agents,
    _alerting,
    _batch,
    _dashboard,
    _events,
    _health,
    _metrics,
    _openapi,
    _otlp,
    _query,
    _sessions,
    _stream,
    _views,
)
from bcp_analytics.serve._auth import Tokens
from bcp_analytics.serve._database import Database
from bcp_analytics.serve._errors import Refused, refusal
from bcp_analytics.serve._hardening import AccessLog, Hardening
from bcp_analytics.serve._metrics import Counting, Metrics
from bcp_analytics.serve._noting import keep_noting, note_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from bcp_analytics.serve._config import Config


def create_app(config: Config) -> Starlette:
    """Return the application of a server, for uvicorn or another server of ASGI applications."""
    database = Database(config)
    tokens = Tokens(database)
    hub = _stream.Hub(config, database)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await database.open()
        notes = [tokens.note_failures, intake.note_ignored]
        noting = asyncio.create_task(keep_noting(notes))
        await hub.start()
        notifier = Notifier(config.dsn)
        notifying = asyncio.create_task(notifier.run()) if config.notify else None
        try:
            async with agents:
                yield
        finally:
            app.state.stopping.set()
            noting.cancel()
            notifier.stop()
            if notifying is not None:
                await asyncio.gather(notifying, return_exceptions=True)
            await hub.stop()
            await note_all(notes)
            await database.close()

    agents = _agents.Agents(config, database)
    metrics = Metrics()
    intake = _otlp.Intake(database, metrics)
    routes: list[BaseRoute] = [
        *_health.routes,
        *_sessions.routes,
        *_events.routes,
        *_otlp.routes,
        *_query.routes,
        *_views.routes,
        *_batch.routes,
        *_actions.routes,
        *_alerting.routes,
        *_metrics.routes,
        *_openapi.routes,
        *_stream.routes,
        *_agents.routes,
        *_dashboard.routes,
    ]
    log = [Middleware(AccessLog)] if config.access_log else []
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            *log,
            Middleware(Counting, metrics=metrics),
            Middleware(
                Hardening, config=config, refusals={route.path: _otlp.refusal for route in _otlp.routes}
            ),
        ],
        exception_handlers={
            Refused: refusal,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _unexpected,
        },
    )
    # A redirect to the path with or without a slash would have the client send its token twice.
    app.router.redirect_slashes = False
    app.state.config = config
    app.state.database = database
    app.state.tokens = tokens
    app.state.metrics = metrics
    app.state.otlp = intake
    app.state.stream = hub
    app.state.agents = agents
    app.state.stopping = asyncio.Event()
    return app


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    said = {404: "There is nothing at this path.", 405: "This path does not take this method."}
    message = said.get(error.status_code, error.detail)
    return JSONResponse({"error": {"message": message}}, error.status_code, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    # Nobody reads it. The log says it as other servers do, and has no traceback for each who leaves.
    return Response(status_code=499)


async def _unexpected(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": {"message": "The server failed. Its log says why."}}, 500)
