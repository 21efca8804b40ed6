"""A head whose shards are moved, read-only, of another version or of another time, and names of any kind."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bcp_analytics import federation
from tests.federation.heads import BUNDLES, NOW, Federation, connect, federated, send
from tests.federation.test_routing import calls

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.any_target("starts a server of its own"), pytest.mark.slow]

STRANGE = ["a,b", "{x}", '"q"', "o'brien", "back\\slash", "%s %L $1", "новый", "new\nline", " * "]
STRANGE_DATABASE = "we'ird =\\ db"
STRANGE_OWNER = "o'w \\ner ="
STRANGE_PASSWORD = "p'w \\= x"


@pytest.fixture(scope="module")
def made() -> Iterator[Federation]:
    with federated() as made:
        yield made


@contextmanager
def shard_that(made: Federation, statement: str, undo: str) -> Iterator[psycopg.Connection[Any]]:
    """Do something to shard b, of which a new session of the head knows."""
    with psycopg.connect(made.dsns["one"], autocommit=True) as conn:
        conn.execute(statement)
        try:
            with connect(made.dsns["head"]) as head:
                yield head
        finally:
            conn.execute(undo)


def states(made: Federation, head: psycopg.Connection[Any], check: str) -> dict[str, tuple[str, str]]:
    """What bcp.health and federation.check say of each shard."""
    health = {row[0]: row[1] for row in head.execute("select check_name, status from bcp.health()")}
    found = {f.shard_name: f.status for f in federation.check(made.dsns["head"]) if f.check_name == check}
    return {shard: (health[f"{shard}/{check}"], found[shard]) for shard in BUNDLES}


def test_names_of_any_characters_are_routed_and_found(made: Federation) -> None:
    with psycopg.connect(made.dsns["one"], autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template bcp_template").format(sql.Identifier(STRANGE_DATABASE))
        )
        conn.execute(
            sql.SQL("create role {} superuser login password {}").format(
                sql.Identifier(STRANGE_OWNER), sql.Literal(STRANGE_PASSWORD)
            )
        )
    dsn = make_conninfo(
        made.dsns["one"], dbname=STRANGE_DATABASE, user=STRANGE_OWNER, password=STRANGE_PASSWORD
    )
    federation.add(made.dsns["head"], "strange", dsn, STRANGE)
    try:
        with connect(made.dsns["head"]) as head, connect(dsn) as shard:
            assert send(head, {"tool_usage": calls(STRANGE, tool_name="'; \\ %L")}) == [(9, 9, 0, 0)]
            stored = shard.execute("select bcp_name from bcp.tool_usage_logs").fetchall()
            assert sorted(row[0] for row in stored) == sorted(STRANGE)
            for bundle in STRANGE:
                assert head.execute(
                    "select bcp_name, tool_name from bcp.tool_usage_stats(p_bcp_name => %s)", [bundle]
                ).fetchall() == [(bundle, "'; \\ %L")]
    finally:
        federation.remove(made.dsns["head"], "strange")


def test_a_shard_that_was_moved_is_asked_where_it_is_now(made: Federation) -> None:
    question = "select bcp_name from bcp.tool_usage_stats(p_tool_name => 'moved')"
    send(made.shards["a"], {"tool_usage": calls(["files"], tool_name="moved")})
    send(made.one, {"tool_usage": calls(["files", "files two"], tool_name="moved")})
    with connect(made.dsns["head"]) as head:
        assert head.execute(question).fetchall() == [("files",)]
        for where, found in (("one", {("files",), ("files two",)}), ("a", {("files",)})):
            assert federation.remove(made.dsns["head"], "a")
            federation.add(made.dsns["head"], "a", made.dsns[where], BUNDLES["a"])
            assert set(head.execute(question).fetchall()) == found
        # Moved without being removed, and the connection to where it was does not stay.
        head.execute("alter server bcp_shard_a options (set dbname 'one')")
        assert len(head.execute(question).fetchall()) == 2
        open_to_a = (
            "select count(*) from unnest(bcp_dblink.dblink_get_connections()) c"
            " where c like 'bcp:a:bcp_reader:%'"
        )
        assert head.execute(open_to_a).fetchone() == (1,)
        head.execute("alter server bcp_shard_a options (set dbname 'a')")


def test_what_was_meant_for_a_shard_that_is_gone_is_an_error(made: Federation) -> None:
    with pytest.raises(psycopg.OperationalError, match="the shard gone was removed just now"):
        made.head.execute(
            "select * from bcp_internal.on_shards('owner', 'n integer', null,"
            """ '{"a": "select 1", "gone": "select 2"}') as t (shard text, n integer)"""
        )


def test_a_shard_that_is_read_only_answers_and_its_health_says_so(made: Federation) -> None:
    with shard_that(
        made,
        "alter database b set default_transaction_read_only = on",
        "alter database b reset default_transaction_read_only",
    ) as head:
        head.execute("select * from bcp.tool_usage_stats()")
        # 25006, for which a collector keeps its events and tries again.
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="the shard b"):
            send(head, {"tool_usage": calls(["search"])})
        assert states(made, head, "writes") == {
            "a": ("ok", "ok"),
            "b": ("warn", "warn"),
            "c": ("ok", "ok"),
        }


def test_health_says_which_shard_has_another_time(made: Federation) -> None:
    made.shards["b"].execute("create schema other_time")
    made.shards["b"].execute(
        "create function other_time.clock_timestamp() returns timestamptz language sql"
        " as $$select pg_catalog.clock_timestamp() - interval '1 minute'$$"
    )
    with shard_that(
        made,
        "alter database b set search_path = other_time, pg_catalog, public",
        "alter database b reset search_path",
    ) as head:
        assert states(made, head, "clock") == {"a": ("ok", "ok"), "b": ("warn", "warn"), "c": ("ok", "ok")}


def test_a_shard_of_another_version_is_named_where_it_cannot_answer(made: Federation) -> None:
    shard = made.shards["b"]
    shard.execute("alter function bcp_internal.usage_cells rename to usage_cells_of_before")
    shard.execute("update bcp_migrations.loaded_sql set digest = 'before ' || digest")
    try:
        with connect(made.dsns["head"]) as head:
            with pytest.raises(psycopg.errors.UndefinedFunction, match="the shard b") as error:
                head.execute("select * from bcp.hourly_tool_usage()")
            assert "federate check" in (error.value.diag.message_hint or "")
            assert states(made, head, "version") == {
                "a": ("ok", "ok"),
                "b": ("fail", "fail"),
                "c": ("ok", "ok"),
            }
    finally:
        shard.execute("alter function bcp_internal.usage_cells_of_before rename to usage_cells")
        shard.execute("update bcp_migrations.loaded_sql set digest = substr(digest, 8)")


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("refreshed", [False, True])
def test_the_busiest_minute_is_none_that_a_shard_finds_busiest(
    made: Federation, *, refreshed: bool, times: int
) -> None:
    """Shard a has calls in each minute, the others in few.

    Before a refresh no shard knows beforehand how many bits the counts of a minute take.
    """
    began = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(days=20 + refreshed + 2 * (times > 1))
    spread = {
        "files": [1] * 60,
        "search": [0] * 60,
        "maps": [0] * 60,
    }
    spread["files"][10], spread["files"][20], spread["search"][20] = 4, 3, 2
    spread["search"][55], spread["maps"][50] = 3, 3
    events = [
        call | {"start_time": (began + timedelta(minutes=minute)).isoformat()}
        for bundle, counts in spread.items()
        for minute, number in enumerate(counts)
        for call in calls([bundle] * number * times, tool_name="busy")
    ]
    for where in (made.one, made.head):
        send(where, {"tool_usage": events})
    if refreshed:
        made.refresh()
    for interval in ("'1 hour'", "null", "'20 minutes'"):
        for tool in ("null", "'busy'"):
            question = (
                "select time_bucket, call_count, peak_calls_per_minute, peak_minute"
                f" from bcp.throughput(%s, %s, {interval}, p_tool_name => {tool})"
            )
            asked = [began, began + timedelta(hours=1)]
            answer = made.head.execute(question, asked).fetchall()
            assert answer == made.one.execute(question, asked).fetchall()
            assert (5 * times, began + timedelta(minutes=20)) in [row[2:] for row in answer]
