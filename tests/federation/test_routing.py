"""What goes through a head: events to the shard of their bundle, one hash for one person, erasure everywhere;
and what a reader of the head cannot do."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from bcp_analytics import federation
from bcp_analytics.errors import BcpAnalyticsError, InvalidArgument
from tests.federation.heads import NOW, Federation, connect, federated, send

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.any_target("starts a server of its own"), pytest.mark.slow]

PERSON = "ada.lovelace@example.com"


@pytest.fixture(scope="module")
def made() -> Iterator[Federation]:
    with federated() as made:
        yield made


def calls(names: list[str], **more: Any) -> list[dict[str, Any]]:
    at = (NOW - timedelta(hours=1)).isoformat()
    return [
        {"bcp_name": n, "tool_name": "t", "start_time": at, "event_id": str(uuid.uuid4())} | more
        for n in names
    ]


def stored(made: Federation, tool: str) -> dict[str, int]:
    query = "select count(*) from bcp.tool_usage_logs where tool_name = %s"
    return {name: conn.execute(query, [tool]).fetchone()[0] for name, conn in made.shards.items()}  # type: ignore[index]


@contextmanager
def away(made: Federation, shard: str) -> Iterator[None]:
    """Let nobody connect to a shard's database."""
    name = sql.Identifier(shard)
    with psycopg.connect(made.dsns["one"], autocommit=True) as conn:
        conn.execute(sql.SQL("alter database {} allow_connections false").format(name))
        conn.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [shard]
        )
        try:
            yield
        finally:
            conn.execute(sql.SQL("alter database {} allow_connections true").format(name))
    made.shards[shard].close()
    made.shards[shard] = connect(made.dsns[shard])


def test_events_go_to_the_shard_of_their_bundle(made: Federation) -> None:
    events = calls(["files", "search", "mail", "maps", "chat"], tool_name="routed")
    assert send(made.head, {"tool_usage": events}) == [(5, 5, 0, 0)]
    assert stored(made, "routed") == {"a": 1, "b": 2, "c": 2}


def test_calls_as_rows_and_one_at_a_time_are_routed_too(made: Federation) -> None:
    row = made.head.execute(
        "select * from bcp.ingest_tool_usage(null, array[jsonb_populate_record(null::bcp.tool_call,"
        ' \'{"bcp_name": "search", "tool_name": "as a row", "success": true}\')])'
    ).fetchone()
    assert row == (1, 1, 0, 0)
    made.head.execute("select bcp.log_tool_usage('files', 'as a row', p_success => true)")
    assert stored(made, "as a row") == {"a": 1, "b": 1, "c": 0}


def test_a_batch_half_of_which_was_stored_is_stored_once_when_it_comes_again(made: Federation) -> None:
    events = {"tool_usage": calls(["files", "search", "maps"] * 4, tool_name="half", event_id=None)}
    batch = uuid.uuid4()
    with away(made, "b"), pytest.raises(psycopg.OperationalError, match="the shard b does not answer"):
        send(made.head, events, batch)
    assert stored(made, "half")["b"] == 0
    [first] = send(made.head, events, batch)
    assert first[0] == 12 == first[1] + first[2]
    assert stored(made, "half") == {"a": 4, "b": 4, "c": 4}
    assert send(made.head, events, batch) == [(12, 0, 12, 0)]
    assert stored(made, "half") == {"a": 4, "b": 4, "c": 4}


def test_what_is_rejected_is_kept_on_a_shard_and_the_head_says_why(made: Federation) -> None:
    batch = uuid.uuid4()
    events: list[Any] = [*calls(["files"]), {"tool_name": "without a bundle"}, "no object"]
    assert send(made.head, {"tool_usage": events}, batch) == [(3, 1, 0, 2)]
    reasons = made.head.execute("select rejected from bcp.rejection_reasons(%s)", [batch]).fetchall()
    assert sum(row[0] for row in reasons) == 2


def test_a_bundle_that_no_shard_takes_is_refused_before_anything_is_sent(made: Federation) -> None:
    made.head.execute("update bcp.shards set bundles = '{maps}' where shard_name = 'c'")
    try:
        events = {"tool_usage": calls(["files", "nowhere"], tool_name="homeless")}
        with pytest.raises(psycopg.Error, match="no shard takes the bundle") as error:
            send(made.head, events)
        assert error.value.sqlstate == "ZB002"
        assert stored(made, "homeless") == {"a": 0, "b": 0, "c": 0}
        found = {f.check_name: f.status for f in federation.check(made.dsns["head"]) if not f.shard_name}
        assert found == {"bundles": "warn"}
    finally:
        made.head.execute("update bcp.shards set bundles = '{*}' where shard_name = 'c'")


def test_one_person_has_one_hash_and_is_erased_from_every_shard(made: Federation) -> None:
    assert {f.status for f in federation.check(made.dsns["head"]) if f.check_name == "key"} == {"ok"}
    send(made.head, {"tool_usage": calls(["files", "search", "maps"], user_id=PERSON, tool_name="hers")})
    send(
        made.head,
        {"tool_usage": calls(["files"], parameters={"to": f"write to {PERSON}"}, tool_name="names her")},
    )
    query = "select distinct user_id from bcp.tool_usage_logs where tool_name = 'hers'"
    ids = {conn.execute(query).fetchone() for conn in made.shards.values()}
    assert ids == {made.head.execute("select bcp.hash_of(%s)", [PERSON]).fetchone()}
    [(hashed,)] = ids  # type: ignore[misc]
    plan = dict(made.head.execute("select * from bcp.erasure_plan(%s)", [PERSON]).fetchall())
    assert plan["tool_usage_logs"] == 3
    made.head.execute(
        "insert into bcp.issue_actions (fingerprint, acted_at, action, notes, acted_by)"
        " values ('f1', now(), 'resolved', %s, 'somebody')",
        [f"{PERSON} complained"],
    )
    made.head.execute("call bcp.erase_user(%s)", [PERSON])
    # The head keeps who did what about issues itself.
    assert made.head.execute("select notes from bcp.issue_actions where fingerprint = 'f1'").fetchall() == [
        ("[ERASED] complained",)
    ]
    for shard in made.shards.values():
        for table in ("tool_usage_logs", "users", "user_sessions", "error_logs", "rejected_events"):
            left = shard.execute(
                sql.SQL("select count(*) from bcp.{} t where strpos(t::text, %s) > 0").format(
                    sql.Identifier(table)
                ),
                [hashed],
            ).fetchone()
            assert left == (0,), table
    assert (
        dict(made.head.execute("select * from bcp.erasure_plan(%s)", [PERSON]).fetchall())["tool_usage_logs"]
        == 0
    )


def test_a_sender_sets_the_clock_of_no_shard(made: Federation) -> None:
    made.head.execute("create role federation_sender login in role bcp_writer")
    event = calls(["files"], tool_name="of another time")[0] | {"start_time": "1999-01-01T00:00:00Z"}
    with psycopg.connect(made.dsns["head"], user="federation_sender", autocommit=True) as sender:
        sender.execute("set bcp.now = '1999-01-02'")
        assert send(sender, {"tool_usage": [event]}) == [(1, 0, 0, 1)]
    assert stored(made, "of another time") == {"a": 0, "b": 0, "c": 0}


_ACTIVITY = (
    "select state, query from pg_stat_activity where application_name = 'bcp head'"
    " and datname = current_database()"
)


def test_the_activity_of_a_shard_shows_no_event(made: Federation) -> None:
    with connect(made.dsns["head"]) as head:
        send(head, {"tool_usage": calls(["files"], parameters={"to": "ada@example.com"})})
        shown = made.shards["a"].execute(_ACTIVITY).fetchall()
        assert ("disabled", "") in shown
        assert "ada" not in str(shown)


def test_what_a_head_cancels_is_no_failed_statement_of_the_shard(made: Federation) -> None:
    """Which the server would log, with the events in it."""
    with (
        psycopg.connect(made.dsns["a"]) as holder,
        psycopg.connect(made.dsns["a"], autocommit=True) as asked,
    ):
        holder.execute("lock table bcp_internal.batch_keys")
        asked.execute("set statement_timeout = '200 ms'")
        row = asked.execute(
            "select error_state, error_message from bcp_internal.ingest_for_head("
            "'tool_usage', gen_random_uuid(), '[{\"password\": \"hunter2\"}]', 'test', '[]')"
        ).fetchone()
    assert row == ("57014", "SQLSTATE 57014")


def test_a_shard_that_is_away_is_an_error_or_a_partial_answer_that_says_so(made: Federation) -> None:
    send(made.head, {"tool_usage": calls(["files", "search", "maps"], tool_name="partial")})
    question = "select bcp_name from bcp.tool_usage_stats(p_tool_name => 'partial') order by 1"
    said: list[str] = []
    with connect(made.dsns["head"]) as head:
        head.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        assert head.execute(question).fetchall() == [("files",), ("maps",), ("search",)]
        with away(made, "a"):
            with pytest.raises(psycopg.OperationalError, match="the shard a does not answer") as error:
                head.execute(question)
            assert made.dsns["a"].split()[0].partition("=")[2] not in str(error.value)
            head.execute("set bcp.partial = on")
            assert head.execute(question).fetchall() == [("maps",), ("search",)]
            assert said == ["the answer is without the shards a, which do not answer"]
            assert head.execute("select bcp.missing_shards()").fetchone() == (["a"],)
            health = {row[0]: row[1] for row in head.execute("select check_name, status from bcp.health()")}
            assert (health["a/answers"], health["b/answers"]) == ("fail", "ok")
            [found] = [f for f in federation.check(made.dsns["head"]) if f.status == "fail"]
            assert (found.shard_name, found.check_name) == ("a", "answers")
            # A part of what changes something would be a loss, whatever the session wants of answers.
            with pytest.raises(psycopg.OperationalError, match="the shard a does not answer"):
                send(head, {"tool_usage": calls(["files"], tool_name="lost")})
        assert head.execute(question).fetchall() == [("files",), ("maps",), ("search",)]
        assert head.execute("select bcp.missing_shards()").fetchone() == ([],)


def test_a_reader_gets_answers_and_nothing_behind_them(made: Federation) -> None:
    with connect(made.dsns["head"]) as head:
        head.execute("set role bcp_reader")
        head.execute("select * from bcp.tool_usage_stats()")
        # The connection that the question opened belongs to the session, too.
        for statement in (
            "select * from bcp_dblink.dblink('bcp:a:bcp_reader:', 'select 1') as t (n integer)",
            "select * from bcp_internal.on_shards('owner', 'n int', 'select 1') as t (s text, n int)",
            "select bcp_internal.put_shard('x', '{x}', '{}', '{}')",
            "update bcp.shards set bundles = '{}'",
            "call bcp.erase_user('u')",
            "select * from bcp_internal.ingest_for_head('tool_usage', null, '[]', null, '[]')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                head.execute(statement)
        assert (
            head.execute("select umoptions from pg_user_mappings where umoptions is not null").fetchall()
            == []
        )
        with pytest.raises(psycopg.Error, match="p_keys has something else than columns"):
            head.execute(
                "select * from bcp_internal.breakdown_cells(now() - interval '1 h', now(), null, 'UTC',"
                " $$set_config('role', 'none', false)$$, '{}')"
            )


def test_what_cannot_be_a_head_or_a_shard_is_refused(made: Federation) -> None:
    send(made.one, {"tool_usage": calls(["files"])})
    with pytest.raises(InvalidArgument, match="holds events"):
        federation.add(made.dsns["one"], "x", made.dsns["a"])
    with pytest.raises(BcpAnalyticsError, match="head itself"):
        federation.add(made.dsns["head"], "x", made.dsns["head"])
    with pytest.raises(BcpAnalyticsError, match="a head itself"):
        federation.add(made.dsns["one"], "x", made.dsns["head"])
    with pytest.raises(BcpAnalyticsError, match="takes the bundle mail already"):
        federation.add(made.dsns["head"], "x", made.dsns["one"], ["mail"])
    with pytest.raises(BcpAnalyticsError, match="lower-case"):
        federation.add(made.dsns["head"], "x'y", made.dsns["one"], ["x"])
    with pytest.raises(BcpAnalyticsError, match="takes no bundle"):
        federation.add(made.dsns["head"], "x", made.dsns["one"], [])
    with pytest.raises(BcpAnalyticsError, match="The shard a is the same database"):
        federation.add(made.dsns["head"], "x", made.dsns["a"] + " application_name=x", ["x"])
    with pytest.raises(InvalidArgument, match='invalid option "client_encoding"'):
        federation.add(made.dsns["head"], "x", made.dsns["one"] + " client_encoding=utf8 password=p", ["x"])
    made.one.execute("create role stranger login")
    with pytest.raises(BcpAnalyticsError, match="migrated by another role"):
        federation.add(made.dsns["head"], "x", made.dsns["one"] + " user=stranger", ["x"])
    assert [shard.shard_name for shard in federation.shards(made.head)] == ["a", "b", "c"]


def test_a_shard_that_is_another_one_by_another_name_is_found(made: Federation) -> None:
    made.head.execute("alter server bcp_shard_c options (set dbname 'a')")
    try:
        assert [
            (one.shard_name, one.status, one.detail)
            for one in federation.check(made.dsns["head"])
            if one.check_name == "database"
        ] == [("c", "fail", "the same database as the shard a: everything in it counts twice")]
    finally:
        made.head.execute("alter server bcp_shard_c options (set dbname 'c')")


def test_a_password_is_kept_where_only_the_owner_reads_it(made: Federation) -> None:
    made.head.execute("alter database head set log_statement = 'all'")
    made.head.execute("alter database head set log_min_duration_statement = 0")
    federation.add(made.dsns["head"], "secret", made.dsns["one"] + " password=swordfish", ["secrets"])
    made.head.execute("alter database head reset all")
    try:
        said = made.log.read_text()
        assert "put_shard" in said
        assert "swordfish" not in said
        assert "swordfish" not in str(federation.shards(made.head))
        found = made.head.execute("select srvoptions::text from pg_foreign_server").fetchall()
        assert found
        assert "swordfish" not in str(found)
        with connect(made.dsns["head"]) as head:
            head.execute("set role bcp_reader")
            assert "swordfish" not in str(head.execute("select * from pg_user_mappings").fetchall())
    finally:
        assert federation.remove(made.dsns["head"], "secret")
    assert not federation.remove(made.dsns["head"], "secret")


def test_without_shards_a_head_is_a_store_again(made: Federation) -> None:
    for name in ("a", "b", "c"):
        federation.remove(made.dsns["head"], name)
    with connect(made.dsns["head"]) as head:
        assert send(head, {"tool_usage": calls(["files"])}) == [(1, 1, 0, 0)]
        assert head.execute("select call_count from bcp.tool_usage_stats()").fetchall() == [(1,)]
        assert head.execute("select count(*) from bcp.cleanup_plan()").fetchone() is not None
