"""The server while its database is killed: who watches is told, and nothing that was acknowledged is lost.

BCP_TEST_WATCHERS=200 has so many watch, and BCP_TEST_KILLS=5 kills so often.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.servers import KillableCluster, killable
from tests.faults.test_collector_kills import note
from tests.serve.conftest import ROLES, Running, make_token, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

WATCHERS = int(os.environ.get("BCP_TEST_WATCHERS", "10"))
KILLS = int(os.environ.get("BCP_TEST_KILLS", "1"))
SENDERS = 3


@pytest.fixture
def running() -> Iterator[tuple[Running, KillableCluster]]:
    with killable() as cluster:
        dsn = cluster.dsn("bcp")
        tokens = {role: make_token(dsn, role, role) for role in ROLES}
        with serving(dsn) as server:
            server.tokens = tokens
            yield server, cluster


class Sender:
    """Sends batches until told to stop, and keeps the ids of what was answered 200."""

    def __init__(self, server: Running, name: str) -> None:
        self.server = server
        self.name = name
        self.acknowledged: list[str] = []
        self.refused = 0
        self.stopping = False

    async def run(self) -> None:
        headers = {"authorization": f"Bearer {self.server.tokens['ingest']}"}
        async with httpx2.AsyncClient(base_url=self.server.url, headers=headers, timeout=30) as client:
            n = 0
            while not self.stopping:
                ids = [f"{self.name}-{n}-{k}" for k in range(20)]
                n += 1
                calls = [{"bcp_name": "mail", "tool_name": "send", "event_id": one} for one in ids]
                answer = await client.post("/v1/events/tool_usage", json=calls)
                assert answer.status_code in {200, 503}, answer.text
                if answer.status_code == 200:
                    assert answer.json()["stored"] == 20
                    self.acknowledged += ids
                else:
                    assert answer.headers["retry-after"]
                    self.refused += 1
                    await asyncio.sleep(0.05)


async def until(ws: ClientConnection, kind: str, **wanted: Any) -> float:
    """Return when a message of that type, with such members, has come."""
    while True:
        told = json.loads(await asyncio.wait_for(ws.recv(), 20))
        if told["type"] == kind and wanted.items() <= told["data"].items():
            return time.monotonic()


async def killed(server: Running, cluster: KillableCluster) -> tuple[list[Sender], list[float], list[float]]:
    senders = [Sender(server, f"s{n}") for n in range(SENDERS)]
    headers = {"Authorization": f"Bearer {server.tokens['admin']}"}
    url = f"ws://127.0.0.1:{server.port}/analytics-stream"
    told: list[float] = []
    back: list[float] = []
    async with AsyncExitStack() as stack:
        watching = [
            await stack.enter_async_context(connect(url, additional_headers=headers, proxy=None))
            for _ in range(WATCHERS)
        ]
        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        for _ in range(KILLS):
            for _ in range(3):
                await asyncio.gather(*(until(ws, "metric") for ws in watching))
            gone = time.monotonic()
            await asyncio.to_thread(cluster.kill)
            told += [
                at - gone
                for at in await asyncio.gather(*(until(ws, "status", database="away") for ws in watching))
            ]
            await asyncio.to_thread(cluster.restart)
            returned = time.monotonic()
            back += [at - returned for at in await asyncio.gather(*(until(ws, "metric") for ws in watching))]
        for sender in senders:
            sender.stopping = True
        await asyncio.gather(*tasks)
    return senders, told, back


@pytest.mark.timeout(600)
def test_kills_of_the_database_under_the_server(
    running: tuple[Running, KillableCluster], record_property: Any
) -> None:
    server, cluster = running
    senders, told, back = asyncio.run(killed(server, cluster))
    wanted = {one for sender in senders for one in sender.acknowledged}
    with psycopg.connect(server.dsn) as conn:
        rows = conn.execute(
            "select count(*), count(distinct event_id) from bcp.tool_usage_logs where bcp_name = 'mail'"
        ).fetchone()
        found = conn.execute(
            "select count(*) from unnest(%s::text[]) as sent (id) "
            "where not exists (select from bcp.find_calls(p_event_id => sent.id))",
            [list(wanted)[:: max(1, len(wanted) // 200)]],
        ).fetchone()
    assert rows is not None
    # Beside what was answered, batches may be stored whose answer the kill took away.
    assert rows[0] == rows[1]
    assert len(wanted) <= rows[0] <= len(wanted) + 20 * SENDERS * KILLS
    assert found == (0,)
    # On the sockets that they had.
    assert len(told) == len(back) == WATCHERS * KILLS
    assert max(told) < 2
    assert max(back) < 5
    note(record_property, watchers=WATCHERS, kills=KILLS, acknowledged=len(wanted), rows=rows[0],
         refused=sum(sender.refused for sender in senders), told_s=round(max(told), 2),
         back_s=round(max(back), 2))  # fmt: skip
