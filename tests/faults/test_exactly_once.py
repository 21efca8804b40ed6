"""Each event once, whoever sends it, in whatever order, however often, and whoever hears the answer."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from bcp_analytics import ingest_tool_usage
from tests.faults.relay import LossyRelay
from tests.sql.events import KINDS, NOW, ingest, rows, usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    Counts = tuple[int, int, int, int]
    Db = psycopg.Connection[Any]

BATCH = "00000000-0000-4000-8000-000000000001"
TABLES = {"tool_usage": "tool_usage_logs", "errors": "error_logs", "metrics": "performance_metrics"}
two_writers = pytest.mark.native("the embedded engine runs one transaction at a time")


def books(conn: Db) -> Counts:
    """Return what the ledger says, which must balance and be what is there."""
    ledger = rows(
        conn,
        "select sum(accepted)::int as accepted, sum(stored)::int as stored,"
        " sum(duplicates)::int as duplicates, sum(rejected)::int as rejected from bcp.ingest_ledger",
    )
    [(accepted, stored, duplicates, rejected)] = [tuple(row.values()) for row in ledger]
    assert accepted == stored + duplicates + rejected
    there = " + ".join(f"(select count(*) from bcp.{table})" for table in TABLES.values())
    found = rows(conn, f"select {there} as stored, (select count(*) from bcp.rejected_events) as rejected")
    assert found == [{"stored": stored, "rejected": rejected}]
    return accepted, stored, duplicates, rejected


def calls(ids: str, **fields: Any) -> list[dict[str, Any]]:
    return [usage(event_id=one, **fields) for one in ids]


@contextmanager
def writers(dsn: str, number: int) -> Iterator[list[Db]]:
    """Connections with a transaction each."""
    made = [psycopg.connect(dsn) for _ in range(number)]
    try:
        yield made
    finally:
        for conn in made:
            conn.close()


def wait_until_blocked(conn: Db, by: Db, *blocked: Db) -> None:
    """Wait until all of the connections wait for locks, at least one of them for one of `by`."""
    pids = [one.info.backend_pid for one in blocked]
    for attempt in count():
        found = rows(conn, "select pg_blocking_pids(pid) as by from unnest(%s::int[]) as pid", [pids])
        if all(row["by"] for row in found) and any(by.info.backend_pid in row["by"] for row in found):
            return
        assert attempt < 50_000, found


@two_writers
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("commits", [True, False])
def test_a_batch_that_two_send_at_once_is_stored_once(
    dsn: str,
    clean_db: Db,
    kind: str,
    commits: bool,  # noqa: FBT001
) -> None:
    events = [KINDS[kind], KINDS[kind]]
    with writers(dsn, 2) as (first, second), ThreadPoolExecutor() as pool:
        assert ingest(first, events, kind, BATCH) == (2, 2, 0, 0)
        waiting: Future[Counts] = pool.submit(ingest, second, events, kind, BATCH)
        wait_until_blocked(clean_db, first, second)
        if commits:
            first.commit()
        else:
            first.rollback()
        assert waiting.result(30) == ((2, 0, 2, 0) if commits else (2, 2, 0, 0))
        second.commit()
    if kind != "sessions":
        assert books(clean_db) == ((4, 2, 2, 0) if commits else (2, 2, 0, 0))
    else:
        assert rows(clean_db, "select session_id from bcp.user_sessions") == [{"session_id": "s1"}]


@two_writers
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("tool_usage", "event_id"),
        ("errors", "event_id"),
        ("metrics", "event_id"),
        # Rows that events of different senders have in common.
        ("tool_usage", "user_id"),
        ("tool_usage", "session_id"),
        ("errors", "fingerprint"),
        ("sessions", "session_id"),
    ],
)
def test_two_who_send_in_another_order_wait_and_do_not_deadlock(
    dsn: str, clean_db: Db, kind: str, key: str
) -> None:
    """A third holds what is in the middle, so that each of the two has taken hold of what it takes before."""

    def batch(names: str) -> list[dict[str, Any]]:
        return [KINDS[kind] | {key: name} for name in names]

    with writers(dsn, 3) as (holder, one, other), ThreadPoolExecutor() as pool:
        ingest(holder, batch("m"), kind)
        ahead: Future[Counts] = pool.submit(ingest, one, batch("abcmxy"), kind)
        back: Future[Counts] = pool.submit(ingest, other, batch("zyxmcb"), kind)
        wait_until_blocked(clean_db, holder, one, other)
        holder.rollback()
        # Whoever goes first, the other waits for its commit.
        first, second = (one, other) if ahead in _done(ahead, back) else (other, one)
        first.commit()
        results = sorted([ahead.result(30), back.result(30)])
        second.commit()
    if key == "event_id":
        assert results == [(6, 1, 5, 0), (6, 6, 0, 0)]
        assert books(clean_db) == (12, 7, 5, 0)
        assert rows(clean_db, f"select count(distinct event_id) as n from bcp.{TABLES[kind]}") == [{"n": 7}]
    else:
        assert results == [(6, 6, 0, 0), (6, 6, 0, 0)]
        common = {"user_id": "users", "session_id": "user_sessions", "fingerprint": "error_issues"}[key]
        assert rows(clean_db, f"select count(*) as n from bcp.{common}") == [{"n": 7}]


@two_writers
@pytest.mark.parametrize("also_bad", [False, True])
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("tool_usage", "event_id"),
        ("tool_usage", "user_id"),
        ("tool_usage", "session_id"),
        ("errors", "fingerprint"),
        ("metrics", "event_id"),
        ("sessions", "session_id"),
    ],
)
def test_a_batch_that_is_taken_apart_holds_nothing_between_its_parts(
    dsn: str,
    clean_db: Db,
    kind: str,
    key: str,
    also_bad: bool,  # noqa: FBT001
) -> None:
    """A third holds m, so that the batch stands still between its b and its a; another takes a, then b."""
    bad: dict[str, Any] = {
        "tool_usage": {"tool_name": None},
        "errors": {"message": None},
        "metrics": {"aggregation_period": "1y"},
        "sessions": {"session_id": None},
    }[kind]

    def batch(names: str) -> list[dict[str, Any]]:
        # Ids that are UUIDs keep their order.
        given = {name: str(UUID(int=ord(name))) if key == "event_id" else name for name in names}
        return [KINDS[kind] | {key: given[name]} | (bad if name == "-" else {}) for name in names]

    with writers(dsn, 3) as (holder, one, other), ThreadPoolExecutor() as pool:
        ingest(holder, batch("m"), kind)
        apart: Future[Counts] = pool.submit(ingest, one, batch("b-m-a-c-"), kind)
        wait_until_blocked(clean_db, holder, one)
        whole: Future[Counts] = pool.submit(ingest, other, batch("a-b" if also_bad else "ab"), kind)
        blocked = "select cardinality(pg_blocking_pids(%s)) as by"
        while not whole.done() and not rows(clean_db, blocked, [other.info.backend_pid])[0]["by"]:
            pass
        holder.rollback()
        # Whoever goes first, the other may wait for its commit.
        first, second = (one, other) if apart in _done(apart, whole) else (other, one)
        first.commit()
        results = [apart.result(30), whole.result(30)]
        second.commit()
    duplicates = 2 if key == "event_id" else 0
    assert sum(stored for _, stored, _, _ in results) == 6 - duplicates
    assert [rejected for _, _, _, rejected in results] == [4, int(also_bad)]
    if kind != "sessions":
        assert books(clean_db) == (10 + also_bad, 6 - duplicates, duplicates, 4 + also_bad)


def _done(*futures: Future[Counts]) -> set[Future[Counts]]:
    return wait(futures, 30, FIRST_COMPLETED).done


@pytest.mark.parametrize("kind", TABLES)
def test_batches_that_overlap_in_part_store_what_is_new(clean_db: Db, kind: str) -> None:
    def batch(ids: str, *more: Any) -> list[Any]:
        return [*(KINDS[kind] | {"event_id": one} for one in ids), *more]

    assert ingest(clean_db, batch("abc"), kind, BATCH) == (3, 3, 0, 0)
    # One event comes twice, one has no id, and one is no event.
    assert ingest(clean_db, batch("bcdd", KINDS[kind], "no event"), kind) == (6, 2, 3, 1)
    assert ingest(clean_db, batch("abcd"), kind) == (4, 0, 4, 0)
    # The id of a batch says that all of it came, whatever is in it now.
    assert ingest(clean_db, batch("xyz"), kind, BATCH) == (3, 0, 3, 0)
    assert books(clean_db) == (16, 5, 10, 1)
    assert rows(clean_db, f"select count(distinct event_id) as n from bcp.{TABLES[kind]}") == [{"n": 5}]


@pytest.mark.parametrize("kind", TABLES)
def test_a_batch_id_is_forgotten_after_the_dedup_window(clean_db: Db, kind: str) -> None:
    with clean_db.transaction():
        for now, expected in (
            (NOW, (1, 1, 0, 0)),
            ("2026-06-22T12:00:00Z", (1, 0, 1, 0)),
            ("2026-06-22T12:00:00.000001Z", (1, 1, 0, 0)),
            # Seen anew, so known anew.
            ("2026-06-29T12:00:00Z", (1, 0, 1, 0)),
        ):
            clean_db.execute("select set_config('bcp.now', %s, true)", [now])
            # Without a key of its own, the event's only one is the batch's.
            assert ingest(clean_db, [KINDS[kind]], kind, BATCH) == expected
        assert books(clean_db) == (4, 2, 2, 0)


def test_a_replay_after_a_commit_whose_answer_was_lost(dsn: str, clean_db: Db) -> None:
    events = [*calls("abc"), {"no": "name"}]
    with LossyRelay(dsn) as relay, psycopg.connect(relay.dsn, autocommit=True) as conn:
        relay.lose_the_answer_to(b"ingest_tool_usage")
        with pytest.raises(psycopg.OperationalError):
            ingest_tool_usage(conn, events, batch_id=BATCH)
        assert relay.lost == 1
    assert books(clean_db) == (4, 3, 0, 1)
    # By its id; and by those of its events where the batch was formed anew.
    assert ingest(clean_db, events, batch=BATCH) == (4, 0, 4, 0)
    assert ingest(clean_db, calls("cba")) == (3, 0, 3, 0)
    assert books(clean_db) == (11, 3, 7, 1)
