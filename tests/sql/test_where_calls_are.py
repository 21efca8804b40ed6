"""Aggregates that say where calls are: no call is missed, at any moment, and little is read."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.sql.events import ingest, raw_calls_read, refresh_at_once, rows

Db = psycopg.Connection[Any]
NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
FIRST = NOW - timedelta(days=4)
# Objects with the keys of one bundle, of another, of both and of none; and what is no object.
ASKED = [
    {"path": "/2"},
    {"n": 3},
    {"path": "/1", "n": 1},
    {"a": {"b": 1}},
    {"path": "/1", "x": 1},
    {},
    ["p"],
    "p",
]


def calls(rng: random.Random, count: int, since: datetime, until: datetime) -> list[dict[str, Any]]:
    sent = []
    for _ in range(count):
        bundle = rng.choice(["files", "mail", "both"])
        path: dict[str, Any] = {"path": f"/{rng.randrange(4)}"}
        number: dict[str, Any] = {"n": rng.randrange(4), "a": {"b": 1}}
        parameters: Any = {"files": path, "mail": number, "both": path | number}[bundle]
        sent.append(
            {
                "bcp_name": bundle,
                "tool_name": "t",
                "start_time": (since + rng.random() * (until - since)).isoformat(),
                "event_id": str(UUID(int=rng.getrandbits(128), version=4)),
                "parameters": rng.choice([parameters] * 8 + [["p"], None]),
            }
        )
    return sent


@pytest.fixture
def rng() -> random.Random:
    return random.Random(7)  # noqa: S311


@pytest.fixture
def store(clean_db: Db, rng: random.Random) -> Db:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
    ingest(clean_db, calls(rng, 150, FIRST, NOW))
    return clean_db


def hold(conn: Db) -> None:
    """Hold both questions to the rows themselves."""
    stored = rows(
        conn,
        "select event_id, start_time from bcp.tool_usage_logs order by created_at desc, event_id limit 25",
    )
    assert stored
    for call in stored:
        found = rows(conn, "select start_time from bcp.find_calls(p_event_id => %s)", [str(call["event_id"])])
        assert [f["start_time"] for f in found] == [call["start_time"]]
        # Out of its range it is not found.
        found = rows(
            conn,
            "select from bcp.find_calls(p_event_id => %s, p_since => %s)",
            [str(call["event_id"]), call["start_time"] + timedelta(microseconds=1)],
        )
        assert found == []
    assert rows(conn, "select from bcp.find_calls(p_event_id => 'another')") == []
    for asked in ASKED:
        for since, limit in ((FIRST - timedelta(days=200), 10000), (FIRST + timedelta(hours=5), 7)):
            given = [json.dumps(asked), since, NOW, limit]
            expected = rows(
                conn,
                "select event_id from bcp.tool_usage_logs where parameters @> %s::jsonb and start_time >= %s"
                " and start_time < %s order by start_time desc, event_id limit %s",
                given,
            )
            found = rows(
                conn,
                "select event_id from bcp.search_parameters(%s::jsonb, null, %s, %s, p_limit => %s)",
                given,
            )
            assert found == expected, asked


def test_every_call_is_found_whatever_the_aggregates_have_seen(store: Db, rng: random.Random) -> None:
    hold(store)
    refresh_at_once(store)
    hold(store)
    # Late calls, some of them of a key that their bundle never had, for hours and days that are aggregated.
    late = calls(rng, 40, FIRST, NOW)
    for call in late[:20]:
        call["bcp_name"] = "mail"
    ingest(store, late)
    hold(store)
    # What is in the columnstore, and what is erased or changed there.
    store.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') c")
    store.execute("delete from bcp.tool_usage_logs where event_id = %s", [late[0]["event_id"]])
    store.execute(
        """update bcp.tool_usage_logs set parameters = '{"x": 1, "path": "/1"}' where event_id = %s""",
        [late[25]["event_id"]],
    )
    assert rows(store, "select from bcp.find_calls(p_event_id => %s)", [late[0]["event_id"]]) == []
    hold(store)
    refresh_at_once(store)
    hold(store)


def test_a_call_before_1970_is_found(store: Db) -> None:
    store.execute("update bcp.settings set value = '36500 days' where name = 'max_event_age'")
    early = {"bcp_name": "files", "tool_name": "t", "event_id": "early", "start_time": "1969-07-20T20:17:00Z"}
    ingest(store, [early])
    refresh_at_once(store)
    [found] = rows(store, "select start_time from bcp.find_calls(p_event_id => 'early')")
    assert found["start_time"] == datetime(1969, 7, 20, 20, 17, tzinfo=UTC)


def test_a_call_is_found_whose_day_was_dropped_before_it_came(store: Db, rng: random.Random) -> None:
    refresh_at_once(store)
    store.execute("select set_config('bcp.now', %s, false)", [(NOW + timedelta(days=88)).isoformat()])
    store.execute("update bcp.data_retention_policies set archive_before_delete = false")
    store.execute("call bcp.run_cleanup()")
    for time, relation in (("start_time", "tool_usage_logs"), ("bucket", "call_ids_1h")):
        [left] = rows(store, f"select min({time}) as first from bcp.{relation}")
        assert left["first"] >= NOW.replace(hour=0) - timedelta(days=3), relation
    ingest(store, calls(rng, 20, FIRST, FIRST + timedelta(hours=11)))
    hold(store)


def test_one_call_takes_its_hour_to_find_and_a_key_its_bundles(store: Db) -> None:
    [[given]] = store.execute(
        "select event_id::text from bcp.tool_usage_logs order by start_time limit 1"
    ).fetchall()
    ask_id = f"select from bcp.find_calls(p_event_id => '{given}')"
    before = NOW.replace(hour=0).isoformat()
    everything = raw_calls_read(store, ask_id, before)
    assert everything > 100
    refresh_at_once(store)
    assert 0 < raw_calls_read(store, ask_id, before) < 20
    store.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') c")
    batches = (
        "select coalesce(sum(batch_count), 0)::int as n from bcp_internal.relations_read()"
        " where kind = 'raw rows'"
    )

    def read(contained: str) -> int:
        with store.transaction():
            [already] = rows(store, batches)
            store.execute(
                "select from bcp.search_parameters(%s::jsonb, null, %s, %s, p_limit => 10000)",
                [contained, FIRST, NOW],
            )
            [then] = rows(store, batches)
        return int(then["n"] - already["n"])

    # Today, which is not over, has a batch of each of the three bundles.
    assert read('{"nowhere": 1}') == 3
    assert read('{"path": "/1"}') > 3
    bundles = rows(
        store,
        """select distinct bcp_names from bcp_internal.spans_of_parameters(%s, %s, '{"path": "/1"}') s
        where range_to < %s""",
        [FIRST, NOW, NOW.replace(hour=0)],
    )
    assert [sorted(b["bcp_names"]) for b in bundles] == [["both", "files"]]


def test_parts_of_ids_and_hashes_are_all_that_is_kept(store: Db) -> None:
    refresh_at_once(store)
    [size] = rows(store, "select sum(length(ids)) as bytes, sum(calls) as calls from bcp.call_ids_1h")
    assert size["bytes"] == 3 * size["calls"]
    [keys] = rows(store, "select min(key_hash), max(key_hash) < 1024 as bounded from bcp.parameter_keys_1d")
    assert keys["bounded"]
    assert keys["min"] >= 0
