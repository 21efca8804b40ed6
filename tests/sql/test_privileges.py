"""Who may do what: bcp_writer sends and nothing else, bcp_reader reads and asks, bcp_admin sets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from bcp_analytics import ingest, upkeep
from bcp_analytics.queries._questions import QUESTIONS
from tests.security.roles import acting_as, refused
from tests.sql.events import KINDS, open_alert, something_to_answer
from tests.sql.events import ingest as send_all

if TYPE_CHECKING:
    from collections.abc import Callable

SENDERS: dict[str, Callable[[psycopg.Connection[Any]], Any]] = {
    "ingest_tool_usage": lambda c: ingest.ingest_tool_usage(c, [KINDS["tool_usage"]]),
    "ingest_errors": lambda c: ingest.ingest_errors(c, [KINDS["errors"]]),
    "ingest_metrics": lambda c: ingest.ingest_metrics(c, [KINDS["metrics"]]),
    "ingest_sessions": lambda c: ingest.ingest_sessions(c, [KINDS["sessions"]]),
    "ingest jsonb": lambda c: c.execute("select bcp.ingest_tool_usage(null, '[]'::jsonb)"),
    "log_tool_usage": lambda c: ingest.log_tool_usage(c, "files", "read", duration_ms=5),
    "log_error": lambda c: ingest.log_error(c, "error", "it broke"),
    "record_metric": lambda c: ingest.record_metric(c, "queue_ms", 1.5),
    "touch_session": lambda c: ingest.touch_session(c, "s1"),
    "end_session": lambda c: ingest.end_session(c, "s1"),
    "begin and end": lambda c: ingest.end_tool_call(c, ingest.begin_tool_call(c, "files", "read")),
}
SECRETS = ("bcp_internal.anonymization_keys", "bcp_internal.anonymizer_state")


def a_second_later(conn: psycopg.Connection[Any]) -> None:
    """A range ends before now, and in one transaction it is always now."""
    conn.execute("select set_config('bcp.now', (clock_timestamp() + interval '1 second')::text, true)")


def relations(conn: psycopg.Connection[Any], schema: str = "bcp") -> list[str]:
    found = conn.execute(
        "select oid::regclass::text from pg_class where relnamespace = %s::regnamespace"
        " and relkind in ('r', 'v', 'm')",
        [schema],
    ).fetchall()
    assert found
    return [name for (name,) in found]


@pytest.mark.parametrize("name", SENDERS)
def test_a_writer_sends(db: psycopg.Connection[Any], name: str) -> None:
    with acting_as(db, "bcp_writer"):
        SENDERS[name](db)


def test_a_writer_reads_and_asks_nothing(db: psycopg.Connection[Any]) -> None:
    names = relations(db) + relations(db, "bcp_internal")
    with acting_as(db, "bcp_writer"):
        for relation in names:
            assert refused(db, f"select from {relation}"), relation
        for ask, _ in QUESTIONS.values():
            with pytest.raises(InsufficientPrivilege), db.transaction():
                ask(db)


@pytest.mark.parametrize("name", ["bcp_writer", "bcp_reader", "bcp_admin"])
def test_nobody_gets_round_the_ingest_functions(db: psycopg.Connection[Any], name: str) -> None:
    kept = ("tool_usage_logs", "error_logs", "performance_metrics", "user_sessions", "users", "error_issues")
    kept += ("ingest_batches", "rejected_events", "open_tool_calls", "issue_actions", "alerts")
    with acting_as(db, name):
        for table in kept:
            assert refused(db, f"insert into bcp.{table} default values"), table
            assert refused(db, f"delete from bcp.{table}"), table
            assert refused(db, f"truncate bcp.{table}"), table
            [column] = db.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum = 1",
                [f"bcp.{table}"],
            ).fetchone() or [None]
            assert refused(db, f"update bcp.{table} set {column} = {column}"), table
            assert refused(db, f"copy bcp.{table} from stdin"), table


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_reader_asks(db: psycopg.Connection[Any], name: str) -> None:
    for send in SENDERS.values():
        send(db)
    for kind, events in something_to_answer(datetime.now(UTC)).items():
        send_all(db, events, kind)
    open_alert(db)
    a_second_later(db)
    with acting_as(db, "bcp_reader"):
        assert QUESTIONS[name][0](db)


def test_a_reader_reads_every_table_view_and_aggregate(db: psycopg.Connection[Any]) -> None:
    ingest.log_tool_usage(db, "files", "read")
    names = relations(db)
    with acting_as(db, "bcp_reader"):
        for relation in names:
            db.execute(f"select * from {relation}")
        assert db.execute("select tool_name from bcp.tool_usage_logs").fetchall() == [("read",)]


@pytest.mark.parametrize("name", SENDERS)
def test_a_reader_sends_nothing(db: psycopg.Connection[Any], name: str) -> None:
    with acting_as(db, "bcp_reader"), pytest.raises(InsufficientPrivilege), db.transaction():
        SENDERS[name](db)


@pytest.mark.parametrize("name", ["bcp_writer", "bcp_reader", "bcp_admin"])
def test_only_the_owner_sees_the_keys_of_the_anonymiser(db: psycopg.Connection[Any], name: str) -> None:
    with acting_as(db, name):
        for table in SECRETS:
            assert refused(db, f"select from {table}"), table
        assert refused(db, "select bcp_internal.pseudonym('email', 'ada@example.com')")
        assert refused(db, "select bcp_internal.anonymize_json('{}')")


def test_an_admin_sets_and_the_others_do_not(db: psycopg.Connection[Any]) -> None:
    ingest.log_error(db, "error", "it broke")
    [(fingerprint,)] = db.execute("select fingerprint from bcp.error_issues").fetchall()
    open_alert(db)
    changes = (
        "update bcp.settings set value = '8 days' where name = 'dedup_window'",
        "update bcp.data_retention_policies set retention_days = 91 where table_name = 'tool_usage_logs'",
        "delete from bcp.sensitive_keys where key_pattern = 'ssn'",
        "delete from bcp.anonymization_rules where name = 'ssn'",
        "select bcp.apply_policies()",
        "select bcp.rotate_anonymization_key()",
        "select bcp.enable_anonymization_pack('national_ids')",
        "select bcp.disable_anonymization_pack('national_ids')",
        f"select bcp.resolve_issue('{fingerprint}')",
        f"select bcp.reopen_issue('{fingerprint}')",
        "select bcp.acknowledge_alert(alert_id) from bcp.active_alerts()",
        "update bcp.alert_rules set threshold = 9000 where rule_name = 'slow'",
    )
    for name in ("bcp_writer", "bcp_reader", "bcp_admin"):
        # The role is made anew, and what it changed is taken back.
        with db.transaction(force_rollback=True), acting_as(db, name):
            for change in changes:
                assert refused(db, change) == (name != "bcp_admin"), (name, change)


def test_an_admin_asks_and_sends_too(db: psycopg.Connection[Any]) -> None:
    with acting_as(db, "bcp_admin"):
        ingest.log_tool_usage(db, "files", "read")
        a_second_later(db)
        assert QUESTIONS["tool_usage_stats"][0](db)
        assert upkeep.apply_policies(db) == 0


def test_a_role_of_none_of_them_may_do_nothing(db: psycopg.Connection[Any]) -> None:
    db.execute("create role bcp_test_stranger")
    with acting_as(db, "bcp_test_stranger"):
        for name, send in SENDERS.items():
            with pytest.raises(InsufficientPrivilege), db.transaction():
                send(db)
            assert name
        for ask, _ in QUESTIONS.values():
            with pytest.raises(InsufficientPrivilege), db.transaction():
                ask(db)


def test_only_the_owner_refreshes_by_hand(clean_db: psycopg.Connection[Any]) -> None:
    upkeep.refresh_analytics_views(clean_db)
    assert clean_db.execute(
        "select name, has_function_privilege(name, 'bcp.refresh_analytics_views()', 'execute')"
        " from unnest(array['bcp_reader', 'bcp_writer', 'bcp_admin']) as name"
    ).fetchall() == [("bcp_reader", False), ("bcp_writer", False), ("bcp_admin", False)]
