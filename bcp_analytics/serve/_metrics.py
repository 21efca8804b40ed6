"""GET /metrics: how the server and the store are, for Prometheus.

Labels are bounded: the names of routes and of the store's own checks, and the busiest tools; never a user, a
session or what a client sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.responses import Response
from starlette.routing import Route

from bcp_analytics.queries import health, tool_usage_stats
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._once import Once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from psycopg import AsyncConnection
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of the store, so that many who ask cost no more than one: seconds.
_FRESH = 10.0
_TOOLS = 100
_STATUS = {"ok": 0, "warn": 1, "fail": 2}


class Metrics:
    """The server's own counters, and what was last read of the store."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bcp_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "bcp_http_request_seconds", "Until a request was answered.", ["route"], registry=self.registry
        )
        self.events = Counter(
            "bcp_http_events",
            "Events taken in by HTTP, by kind and by what became of them.",
            ["kind", "result"],
            registry=self.registry,
        )
        self._once = Once[tuple[float, list[Metric]]]()
        self._read: tuple[float, list[Metric]] = (-_FRESH, [])
        self.registry.register(_Stored(lambda: self._read[1]))

    async def text(self, read: Callable[[], Any]) -> bytes:
        """Return all metrics as text; `read` reads those of the store, where they are not fresh."""
        if self._read[0] + _FRESH < time.monotonic():
            self._read = await self._once.run("read", lambda: self._fresh(read))
        return generate_latest(self.registry)

    @staticmethod
    async def _fresh(read: Callable[[], Any]) -> tuple[float, list[Metric]]:
        return time.monotonic(), await read()


class _Stored:
    """What was read of the store, as prometheus_client collects."""

    def __init__(self, metrics: Callable[[], list[Metric]]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics()

    @staticmethod
    def describe() -> Iterator[Metric]:
        return iter(())


async def read_store(conn: AsyncConnection[Any]) -> list[Metric]:
    """Read how the store is, and the calls of the last five minutes, of the busiest tools each."""
    checks = GaugeMetricFamily("bcp_health", "0 is ok, 1 is warn, 2 is fail.", labels=["check"])
    for check in await health(conn):
        checks.add_metric([check.check_name], _STATUS[check.status])
    row = await (await conn.execute("select bcp_internal.now() - interval '5 minutes'")).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    usage = await tool_usage_stats(conn, since=row[0], interval=None)
    families = {
        "calls": GaugeMetricFamily(
            "bcp_calls_5m", "Calls that began in the last 5 minutes.", labels=["bcp", "tool"]
        ),
        "failed": GaugeMetricFamily("bcp_failed_calls_5m", "Those that failed.", labels=["bcp", "tool"]),
        "p95": GaugeMetricFamily(
            "bcp_p95_duration_seconds_5m", "95th percentile of their durations.", labels=["bcp", "tool"]
        ),
    }
    for one in sorted(usage, key=lambda one: -one.call_count)[:_TOOLS]:
        labels = [one.bcp_name, one.tool_name]
        families["calls"].add_metric(labels, one.call_count)
        families["failed"].add_metric(labels, one.error_count)
        if one.p95_duration_ms is not None:
            families["p95"].add_metric(labels, one.p95_duration_ms / 1000)
    return [checks, *families.values()]


class Counting:
    """Counts requests by the route that answers them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "DELETE"} else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begun)


async def metrics(request: Request) -> Response:
    """Answer what Prometheus reads."""
    await authorize(request, "reader")
    state = request.app.state

    async def read() -> list[Metric]:
        async with state.database.connection("reader") as conn:
            return await read_store(conn)

    return Response(await state.metrics.text(read), headers={"content-type": CONTENT_TYPE_LATEST})


routes = [Route("/metrics", metrics)]
