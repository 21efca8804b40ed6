"""No statement switches the anonymiser off by accident, and a hostile rule lets nothing through."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
WORD = "select set_config('bcp.allow_no_rules', pg_current_xact_id()::text, true)"
EMPTYING = [
    "delete from bcp.sensitive_keys",
    "delete from bcp.anonymization_rules",
    "update bcp.sensitive_keys set enabled = false",
    "update bcp.anonymization_rules set enabled = false",
    "truncate bcp.sensitive_keys",
    "truncate bcp.anonymization_rules",
]


@pytest.mark.parametrize("statement", EMPTYING)
def test_what_would_leave_no_rule_is_refused(clean_db: Db, statement: str) -> None:
    count = "select (select count(*) from bcp.sensitive_keys), (select count(*) from bcp.anonymization_rules)"
    before = clean_db.execute(count).fetchall()
    with pytest.raises(psycopg.Error) as caught:
        clean_db.execute(statement)  # type: ignore[call-overload]
    assert caught.value.sqlstate == "ZB006"
    # The hint is a statement that helps.
    assert WORD in str(caught.value.diag.message_hint)
    assert clean_db.execute(count).fetchall() == before
    # In a transaction of its own the word is gone before the statement comes.
    clean_db.execute(WORD)
    clean_db.execute("set bcp.allow_no_rules = 'yes'")
    with pytest.raises(psycopg.Error, match="no enabled row"):
        clean_db.execute(statement)  # type: ignore[call-overload]


@pytest.mark.parametrize("statement", EMPTYING)
def test_who_says_the_word_may(db: Db, statement: str) -> None:
    db.execute(WORD)
    db.execute(statement)  # type: ignore[call-overload]
    ingest(db, [usage(parameters={"n": 1})])
    assert rows(db, "select parameters from bcp.tool_usage_logs") == [{"parameters": {"n": 1}}]


def test_the_last_enabled_key_stays_and_any_other_may_go(db: Db) -> None:
    db.execute("delete from bcp.sensitive_keys where key_pattern <> 'password'")
    for statement in (
        "update bcp.sensitive_keys set enabled = false",
        "delete from bcp.sensitive_keys where key_pattern = 'password'",
    ):
        with pytest.raises(psycopg.Error, match="no enabled row"), db.transaction():
            db.execute(statement)  # type: ignore[call-overload]
    db.execute("insert into bcp.sensitive_keys (key_pattern, match_mode) values ('shoesize', 'contains')")
    db.execute("delete from bcp.sensitive_keys where key_pattern = 'password'")


def rule(db: Db, pattern: str, replacement: str) -> None:
    db.execute(
        "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, action, replacement)"
        " values ('mine', 510, 'mine', %s, 'redact', %s)",
        [pattern, replacement],
    )


@pytest.mark.parametrize("pattern", ["(x{1,200}y{1,200}){1,200}", "x{1,300}", "(" * 100 + "x" + ")" * 99])
def test_a_pattern_that_is_too_much_is_refused(db: Db, pattern: str) -> None:
    with pytest.raises(psycopg.Error) as caught, db.transaction():
        rule(db, pattern, "[X]")
    # PostgreSQL 17 asks for more memory than there may be before it finds the expression too complex.
    assert caught.value.sqlstate in ("ZB006", "XX000")
    assert rows(db, "select 1 from bcp.anonymization_rules where name = 'mine'") == []


@pytest.mark.parametrize("replacement", [r"<\9>", r"<\9|\&|\1>", "\\"])
def test_a_replacement_with_groups_that_do_not_exist_keeps_no_secret(db: Db, replacement: str) -> None:
    rule(db, "ticket-[0-9]+", replacement)
    ingest(db, [usage(parameters={"t": "ticket-1 of ada@example.com", "password": "hunter2"})])
    [row] = rows(db, "select parameters::text as text from bcp.tool_usage_logs")
    assert "ada@" not in row["text"]
    assert "hunter2" not in row["text"]


@pytest.mark.native("the embedded engine looks for a timeout between statements only")
def test_a_slow_pattern_stores_nothing_rather_than_something_unmasked(db: Db) -> None:
    rule(db, r"(x+)(x+)(x+)(x+)(x+)\5\4\3\2\1z", "[X]")
    db.execute("set local statement_timeout = '500ms'")
    with pytest.raises(psycopg.errors.QueryCanceled), db.transaction():
        ingest(db, [usage(parameters={"t": "x" * 150 + "z", "password": "hunter2"})])
    assert rows(db, "select 1 from bcp.tool_usage_logs union all select 1 from bcp.rejected_events") == []
