"""A server that runs, with a token for each role."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest

from bcp_analytics.serve import Config, background, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from tests.targets import Target

ROLES = ("ingest", "reader", "admin")


@dataclass
class Running:
    """A server, and how to reach it."""

    dsn: str
    url: str
    app: Starlette
    tokens: dict[str, str] = field(default_factory=dict)
    """One per role."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

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
    app = create_app(config)
    with background(config, app) as url:
        yield Running(dsn, url, app)


@pytest.fixture
def server(dsn: str) -> Iterator[Running]:
    """Give a server on an empty store, with a token for each role."""
    tokens = {role: make_token(dsn, role, role) for role in ROLES}
    with serving(dsn) as running:
        running.tokens = tokens
        yield running


@pytest.fixture(scope="module")
def shared_server(_server: Target) -> Iterator[Running]:
    """Give what `server` gives, once for a module none of whose tests writes or takes `dsn` or `server`."""
    with _server.clean() as dsn:
        tokens = {role: make_token(dsn, role, role) for role in ROLES}
        with serving(dsn) as running:
            running.tokens = tokens
            yield running
