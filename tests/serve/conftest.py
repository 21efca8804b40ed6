"""A server that runs, with a token for each role."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
import uvicorn

from bcp_analytics.serve import Config
from bcp_analytics.serve._run import uvicorn_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

ROLES = ("ingest", "reader", "admin")


@dataclass
class Running:
    """A server, and how to reach it."""

    dsn: str
    port: int
    app: Starlette
    tokens: dict[str, str] = field(default_factory=dict)
    """One per role."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, method: str, path: str, *, role: str | None = None, **options: Any) -> httpx2.Response:
        """Send a request, with the token of a role."""
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["authorization"] = f"Bearer {self.tokens[role]}"
        return httpx2.request(method, self.url + path, headers=headers, timeout=30, **options)


def make_token(dsn: str, name: str, role: str, **options: Any) -> str:
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(
            "select bcp.create_api_token(%s, %s, %s, %s)",
            [name, role, options.get("vantage"), options.get("expires_at")],
        ).fetchone()
    assert row is not None
    return str(row[0])


@contextmanager
def serving(dsn: str, **changes: Any) -> Iterator[Running]:
    """Run a server in a thread."""
    config = Config(dsn=dsn, port=0, **{"access_log": False} | changes)
    settings = uvicorn_config(config)
    listener = socket.create_server((config.host, 0))
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    started = threading.Event()
    while thread.is_alive() and not server.started:
        started.wait(0.01)
    assert server.started
    try:
        yield Running(dsn, listener.getsockname()[1], settings.app)  # type: ignore[arg-type]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture
def server(dsn: str) -> Iterator[Running]:
    """Give a server on an empty store, with a token for each role."""
    tokens = {role: make_token(dsn, role, role) for role in ROLES}
    with serving(dsn) as running:
        running.tokens = tokens
        yield running
