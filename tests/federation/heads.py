"""A head and its shards beside one store: the same events go through the head and into the store."""

from __future__ import annotations

import json
import random
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from bcp_analytics import federation
from bcp_analytics.migrate import migrate
from tests.targets import NativeCluster, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 3, 13, 37, 21, 123456, tzinfo=UTC)
# The clocks of Europe change within the days before.
BUNDLES = {"a": ["files"], "b": ["search", "mail"], "c": ["*"]}
EVERY_BUNDLE = ["files", "search", "mail", "maps", "chat"]
Events = dict[str, list[dict[str, Any]]]


@dataclass
class Federation:
    """Connections that have the tests' clock, all of the owner."""

    one: psycopg.Connection[Any]
    head: psycopg.Connection[Any]
    shards: dict[str, psycopg.Connection[Any]]
    dsns: dict[str, str]
    log: Path

    @property
    def stores(self) -> list[psycopg.Connection[Any]]:
        return [self.one, *self.shards.values()]

    def refresh(self) -> None:
        for store in self.stores:
            store.execute("call bcp.refresh_analytics_views()")


def connect(dsn: str) -> psycopg.Connection[Any]:
    conn = psycopg.connect(dsn, autocommit=True)
    conn.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
    return conn


@contextmanager
def federated(bundles: dict[str, list[str]] | None = None) -> Iterator[Federation]:
    """Give one store, and a head with three shards, as databases of one server."""
    reason = why_unavailable("native")
    if reason is not None:
        pytest.skip(f"native only, because it needs several databases: {reason}")
    cluster = NativeCluster()
    cluster.start()
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database bcp_template")
            migrate(cluster.dsn("bcp_template"))
            names = ["one", "head", *BUNDLES]
            for name in names:
                conn.execute(sql.SQL("create database {} template bcp_template").format(sql.Identifier(name)))
        dsns = {name: cluster.dsn(name) for name in names}
        for name, taken in (bundles or BUNDLES).items():
            federation.add(dsns["head"], name, dsns[name], taken)
        federation.share_keys(dsns["head"])
        opened = {name: stack.enter_context(connect(dsn)) for name, dsn in dsns.items()}
        made = Federation(
            opened["one"], opened["head"], {n: opened[n] for n in BUNDLES}, dsns, cluster.folder / "log"
        )
        try:
            yield made
        finally:
            # A test may have connected anew.
            for shard in made.shards.values():
                shard.close()


def send(conn: psycopg.Connection[Any], events: Events, batch: uuid.UUID | None = None) -> list[Any]:
    """Send events as a batch of each kind, and return the counts."""
    return [
        conn.execute(
            sql.SQL("select * from bcp.{}(%s, %s::jsonb)").format(sql.Identifier(f"ingest_{kind}")),
            [batch, json.dumps(some)],
        ).fetchone()
        for kind, some in events.items()
    ]


def some_events(seed: int, calls: int, errors: int, days: float) -> Events:
    """Make events of every kind. A session has one user and client, and uses bundles of several shards."""
    rng = random.Random(seed)  # noqa: S311
    taken: set[datetime] = set()

    def moment() -> datetime:
        while True:
            at = NOW - timedelta(microseconds=rng.randrange(2, int(days * 86400e6)))
            if at not in taken:
                taken.add(at)
                return at

    def about() -> dict[str, Any]:
        session = rng.randrange(12)
        return {
            "bcp_name": rng.choice(EVERY_BUNDLE),
            "user_id": f"user-{session % 5}",
            "session_id": f"session-{session}",
            "client_name": f"client-{session % 2}",
            "release": rng.choice(["1.0", "1.1", "deadbeef", None]),
            "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        }

    return {
        "tool_usage": [_call(rng, about(), moment()) for _ in range(calls)],
        "errors": [_error(rng, about(), moment()) for _ in range(errors)],
        "sessions": [
            {"session_id": f"session-{n}", "ended_at": (NOW - timedelta(hours=n)).isoformat()}
            for n in range(0, 12, 4)
        ],
    }


def _call(rng: random.Random, about: dict[str, Any], at: datetime) -> dict[str, Any]:
    call = about | {"start_time": at.isoformat(), "client_version": "2.0", "intent": None}
    kind = rng.randrange(12)
    if kind == 0:
        tools = [{"name": name, "bytes": rng.randrange(50, 900)} for name in ("read", "spare", "move")]
        return call | {
            "tool_name": "tools/list",
            "operation": "tools/list",
            "response_data": {"tools": tools},
            "response_bytes": 4000,
        }
    if kind == 1:
        digest = rng.choice("def")
        return call | {
            "tool_name": "tools/definition",
            "operation": "tools/list",
            "defines": rng.choice(["read", "spare"]),
            "digest": digest,
            "response_data": {"description": f"It does {digest}.", "bytes": 120, "inputSchema": {"x": 1}},
        }
    if kind == 2:
        return call | {"tool_name": "get_more_tools", "intent": rng.choice(["find invoices", "book a room"])}
    tool = "password" if kind == 3 else rng.choice(["read", "write", "'; drop table --"])
    return call | {
        "tool_name": tool,
        "operation": "login" if kind == 3 else rng.choice(["tools/call", "retry"]),
        "success": rng.choice([True, True, True, False, None]),
        "duration_ms": rng.choice([None, 0, round(rng.lognormvariate(4, 2), 3)]),
        "client_model": rng.choice(["large", "small", None]),
        "request_bytes": rng.randrange(1000),
        "response_bytes": rng.randrange(100000),
        "response_tokens": rng.choice([None, 17]),
        "parameters": {"path": f"/tmp/{rng.randrange(9)}", "n": rng.randrange(5)},
        "error_message": "connection refused" if rng.random() < 0.1 else None,
        "intent": rng.choice([None, "finding an invoice", "find the invoices", f"see {rng.randrange(3)}"]),
    }


def _error(rng: random.Random, about: dict[str, Any], at: datetime) -> dict[str, Any]:
    return about | {
        "bcp_name": rng.choice([*EVERY_BUNDLE, None]),
        "timestamp": at.isoformat(),
        "level": rng.choice(["warn", "error", "fatal"]),
        # Of one type are one issue, whatever the bundle.
        "error_type": rng.choice(["TimeoutError", "ValueError", None]),
        "message": rng.choice(["connection refused", "timeout after 3 s", f"no file {rng.randrange(3)}"]),
        "tool_name": rng.choice(["read", "write", None]),
    }
