"""Shards that stop, are killed or hang, on clusters of their own. BCP_TEST_FEDERATION_EVENTS=100000 and
BCP_TEST_FEDERATION_KILLS=20 look harder."""

from __future__ import annotations

import os
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics import federation
from tests.faults.servers import KillableCluster, killable
from tests.federation.heads import BUNDLES, EVERY_BUNDLE, send

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.any_target("starts servers of its own"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

EVENTS = int(os.environ.get("BCP_TEST_FEDERATION_EVENTS", "6000"))
KILLS = int(os.environ.get("BCP_TEST_FEDERATION_KILLS", "4"))
BATCH = 500
QUESTION = (
    "select call_count from bcp.usage_over_time(p_interval => null, p_since => now() - interval '30 days')"
)


@dataclass
class Clusters:
    head: KillableCluster
    shards: dict[str, KillableCluster]

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.head.dsn("bcp"), autocommit=True, **options)


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    with ExitStack() as stack:
        head = stack.enter_context(killable())
        shards = {name: stack.enter_context(killable()) for name in BUNDLES}
        for name, bundles in BUNDLES.items():
            federation.add(head.dsn("bcp"), name, shards[name].dsn("bcp"), bundles)
        yield Clusters(head, shards)


def some_calls(number_of_calls: int) -> list[dict[str, Any]]:
    rng = random.Random(number_of_calls)  # noqa: S311
    now = datetime.now(UTC)
    return [
        {
            "bcp_name": rng.choice(EVERY_BUNDLE),
            "tool_name": f"tool-{rng.randrange(20)}",
            "start_time": (now - timedelta(seconds=rng.randrange(1, 10**6))).isoformat(),
            "duration_ms": rng.randrange(1000),
            "success": True,
            "request_id": str(number),
        }
        for number in range(number_of_calls)
    ]


@contextmanager
def hanging(shard: KillableCluster) -> Iterator[None]:
    """Have questions about calls wait on a shard."""
    with psycopg.connect(shard.dsn("bcp")) as conn:
        conn.execute("lock table bcp.tool_usage_logs in access exclusive mode")
        yield


def until_waiting(shard: KillableCluster) -> None:
    """Return once the head's question waits on the shard."""
    with psycopg.connect(shard.dsn("bcp"), autocommit=True) as conn:
        while not conn.execute(
            "select 1 from pg_stat_activity where application_name = 'bcp head' and wait_event_type = 'Lock'"
        ).fetchone():
            threading.Event().wait(0.02)


def test_a_shard_that_stops_in_mid_question_is_an_error_that_names_it(clusters: Clusters) -> None:
    with clusters.connect() as head, ThreadPoolExecutor(1) as pool:
        [before] = head.execute(QUESTION).fetchall()
        # Closed, not left by a context manager: that would commit, on a server that is dead.
        with closing(psycopg.connect(clusters.shards["b"].dsn("bcp"))) as lock:
            lock.execute("lock table bcp.tool_usage_logs in access exclusive mode")
            asked = pool.submit(lambda: head.execute(QUESTION).fetchall())
            until_waiting(clusters.shards["b"])
            clusters.shards["b"].kill()
            with pytest.raises(psycopg.OperationalError, match="the shard b does not answer"):
                asked.result(60)
        with pytest.raises(psycopg.OperationalError, match="the shard b does not answer"):
            head.execute(QUESTION)
        clusters.shards["b"].restart()
        # The same session has connections of before.
        assert head.execute(QUESTION).fetchall() == [before]


def test_a_question_that_is_cancelled_ends_at_once_and_leaves_nothing_for_the_next(
    clusters: Clusters,
) -> None:
    with clusters.connect() as head, ThreadPoolExecutor(1) as pool:
        [before] = head.execute(QUESTION).fetchall()
        with hanging(clusters.shards["c"]):
            asked = pool.submit(lambda: head.execute(QUESTION).fetchall())
            until_waiting(clusters.shards["c"])
            head.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled) as error:
                asked.result(30)
            # On a busy machine the head may not have taken in yet what the two others say.
            assert error.value.diag.message_detail in [f"The shard {s} had not answered yet." for s in "abc"]
            with psycopg.connect(clusters.shards["c"].dsn("bcp"), autocommit=True) as conn:
                waiting = (
                    "select count(*) from pg_stat_activity"
                    " where application_name = 'bcp head' and state = 'active'"
                )
                while conn.execute(waiting).fetchone() != (0,):
                    threading.Event().wait(0.02)
        assert head.execute("select count(*) from bcp.find_calls()").fetchone() is not None
        assert head.execute(QUESTION).fetchall() == [before]


def test_a_question_that_a_shard_cancels_is_an_error_that_names_it(clusters: Clusters) -> None:
    with clusters.connect() as head, hanging(clusters.shards["c"]), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: head.execute(QUESTION).fetchall())
        until_waiting(clusters.shards["c"])
        with psycopg.connect(clusters.shards["c"].dsn("bcp"), autocommit=True) as conn:
            conn.execute(
                "select pg_cancel_backend(pid) from pg_stat_activity where application_name = 'bcp head'"
            )
        with pytest.raises(psycopg.errors.QueryCanceled, match="the shard c: cancel"):
            asked.result(30)


def test_a_question_to_a_shard_that_hangs_ends_when_it_is_cancelled(clusters: Clusters) -> None:
    with clusters.connect() as head, ThreadPoolExecutor(1) as pool:
        head.execute("alter server bcp_shard_b options (set connect_timeout '2')")
        [before] = head.execute(QUESTION).fetchall()
        with clusters.shards["b"].frozen():
            head.execute("set statement_timeout = '200 ms'")
            # What a broken head waits for is that the shard goes on, so this does not wait for it itself.
            asked = pool.submit(lambda: head.execute(QUESTION).fetchall())
            with pytest.raises(psycopg.errors.QueryCanceled):
                asked.result(60)
        head.execute("set statement_timeout = 0")
        assert head.execute(QUESTION).fetchall() == [before]


def test_kills_during_routed_ingest_lose_and_double_nothing(clusters: Clusters) -> None:  # noqa: C901
    events = some_calls(EVENTS)
    batches = [(uuid.uuid4(), events[n : n + BATCH]) for n in range(0, EVENTS, BATCH)]
    counted = (
        "select count(*), count(distinct request_id) from bcp.tool_usage_logs where request_id is not null"
    )
    began = threading.Semaphore(0)
    over = threading.Event()
    rng = random.Random(5)  # noqa: S311

    def kill() -> int:
        killed = 0
        while killed < KILLS and not over.is_set():
            if not began.acquire(timeout=1):
                continue
            # Somewhere in the batch.
            threading.Event().wait(rng.random() * 0.1)
            shard = clusters.shards[rng.choice(sorted(clusters.shards))]
            shard.kill()
            shard.restart()
            killed += 1
            while began.acquire(blocking=False):
                pass
        return killed

    refused = 0
    with clusters.connect() as head, ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill)
        for number, (batch, some) in enumerate(batches):
            for attempt in count(1):
                assert attempt < 1000, "a batch is never stored"
                began.release()
                try:
                    [(accepted, stored, duplicates, rejected)] = send(head, {"tool_usage": some}, batch)
                except psycopg.Error as error:
                    assert error.sqlstate in ("08006", "57P03"), error  # noqa: PT017
                    refused += 1
                else:
                    assert accepted == stored + duplicates + rejected == len(some)
                    # A sender that lost the answer sends the batch again.
                    if number + 1 < len(batches) or killer.done():
                        break
        over.set()
        assert killer.result(120) == KILLS
        assert refused > 0
        assert head.execute(QUESTION.replace("call_count", "count(*)")).fetchone() == (1,)
    found, distinct, ledger = 0, 0, 0
    for shard in clusters.shards.values():
        with psycopg.connect(shard.dsn("bcp")) as conn:
            row = conn.execute(counted).fetchone()
            assert row is not None
            found, distinct = found + row[0], distinct + row[1]
            books = conn.execute(
                "select sum(stored), bool_and(accepted = stored + duplicates + rejected), sum(rejected)"
                " from bcp.ingest_batches where kind = 'tool_usage'"
            ).fetchone()
            assert books is not None
            assert books[1:] == (True, 0)
            ledger += books[0]
    assert (found, distinct, ledger) == (EVENTS, EVENTS, EVENTS)
