"""What names a person in other people's rows, and what does not."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from bcp_analytics import upkeep
from tests.sql.erasing import JANE, mentions, stored_as
from tests.sql.events import ingest, usage


@pytest.mark.parametrize(
    ("user_id", "doc", "erased"),
    [
        (
            "u1",
            {"a": "u1", "u1": 2, "b": "u12", "c": "see u1"},
            {"a": "[ERASED]", "u1": 2, "b": "u12", "c": "see u1"},
        ),
        (
            "7",
            {"a": "7", "n": 7, "b": "17", "c": "7 of 9"},
            {"a": "[ERASED]", "n": 7, "b": "17", "c": "7 of 9"},
        ),
        (
            "alice.roe",
            {"a": "by alice.roe.", "b": "malice.roe", "alice.roe": 1, "c": "alice.roe-2"},
            {"a": "by [ERASED].", "b": "malice.roe", "[ERASED]": 1, "c": "alice.roe-2"},
        ),
        (
            "1234567890123456",
            {"n": 1234567890123456, "s": "x1234567890123456y", "m": 91234567890123456},
            {"n": 0, "s": "x[ERASED]y", "m": 91234567890123456},
        ),
        (
            "0b6a1a52-41c3-4b5c-9f39-9c2f4cbb6a11",
            {"path": "/u-0b6a1a52-41c3-4b5c-9f39-9c2f4cbb6a11/x"},
            {"path": "/u-[ERASED]/x"},
        ),
        (
            "CORP\\jane.r",
            {"a": "CORP\\jane.r", "b": '{"x": "CORP\\\\jane.r"}'},
            {"a": "[ERASED]", "b": '{"x": "[ERASED]"}'},
        ),
        ('jane"s .*%_', {"a": 'is jane"s .*%_', "b": "jane"}, {"a": "is [ERASED]", "b": "jane"}),
        # Keys that become equal keep their values.
        (
            "alice.roe",
            {"alice.roe": 1, "[ERASED]": 2, "x": {"by alice.roe": 3, "by (alice.roe": 4}},
            {"[ERASED]": 2, "[ERASED]#2": 1, "x": {"by [ERASED]": 3, "by ([ERASED]": 4}},
        ),
        (
            "alice.roe",
            {"a": '{"alice.roe": [1], "[ERASED]": "\\nalice.roe", "[ERASED]#2": 0}'},
            {"a": '{"[ERASED]": "\\n[ERASED]", "[ERASED]#2": 0, "[ERASED]#5": [1]}'},
        ),
        # A line break before it, as itself and escaped where the JSON is cut off.
        (
            "alice.roe",
            {"a": "by\nalice.roe", "b": '{"x": "by\\nalice.roe'},
            {"a": "by\n[ERASED]", "b": '{"x": "by\\n[ERASED]'},
        ),
        ("jos\u00e9.roe", {"a": '{"by": "jos\\u00e9.roe"}'}, {"a": '{"by": "[ERASED]"}'}),
        # Syntax of JSON in an id takes no other value away.
        ('a", "b": "ccccccccc', {"x": "a", "b": "ccccccccc"}, {"x": "a", "b": "ccccccccc"}),
        # An address is found as the anonymiser finds it, and is no part of another.
        (
            "jane@example.com",
            {
                "a": "?to=Jane%40Example.com&",
                "b": "mary.jane@example.com",
                "c": "jane@example.com.au",
                "d": "<jane@example.com>.",
            },
            {
                "a": "?to=[ERASED]&",
                "b": "mary.jane@example.com",
                "c": "jane@example.com.au",
                "d": "<[ERASED]>.",
            },
        ),
    ],
)
def test_what_counts_as_a_mention(
    db: psycopg.Connection[Any], user_id: str, doc: dict[str, Any], erased: dict[str, Any]
) -> None:
    [(found, liked)] = db.execute(
        "select bcp_internal.erased_json(d, r.json_values, r.keys, r.numbers), d::text like any (r.likes)"
        " from cast(%s as jsonb) as d, bcp_internal.erasure_rule(%s) as r",
        [json.dumps(doc), [user_id]],
    ).fetchall()
    assert found == erased
    assert liked or erased == doc


def test_names_of_tools_are_not_words_of_an_id(clean_db: psycopg.Connection[Any]) -> None:
    ingest(
        clean_db, [usage(tool_name="calendar", user_id="bob"), usage(tool_name="read", user_id="calendar")]
    )
    upkeep.erase_user(clean_db, "calendar")
    assert clean_db.execute("select tool_name, user_id from bcp.tool_usage_logs").fetchall() == [
        ("calendar", "bob")
    ]


def test_every_hash_of_a_person_goes_after_a_new_key(clean_db: psycopg.Connection[Any]) -> None:
    ingest(clean_db, [usage(user_id=JANE)])
    old = stored_as(clean_db, JANE)
    upkeep.rotate_anonymization_key(clean_db)
    ingest(clean_db, [usage(user_id=JANE), usage(user_id="bob")])
    new = stored_as(clean_db, JANE)
    assert old != new
    upkeep.erase_user(clean_db, JANE)
    assert mentions(clean_db, old, new) == []
    assert clean_db.execute("select user_id from bcp.tool_usage_logs").fetchall() == [("bob",)]
    assert clean_db.execute(
        "select count(*) from bcp_internal.anonymization_keys where retired_at is null"
    ).fetchall() == [(1,)]
    assert stored_as(clean_db, JANE) == new


def test_every_written_column_is_covered(db: psycopg.Connection[Any]) -> None:
    """One added later is at least searched for ids that can be told from words."""
    columns = db.execute(
        "select format('%I.%I', c.table_schema, c.table_name), c.column_name"
        " from information_schema.columns c join information_schema.tables t using (table_schema, table_name)"
        " where c.table_schema in ('bcp', 'bcp_internal') and t.table_type = 'BASE TABLE'"
        " and c.data_type in"
        " ('text', 'character varying', 'character', 'json', 'jsonb', 'xml', 'ARRAY', 'bytea')"
        " and not exists (select from bcp_internal.written_columns("
        " format('%I.%I', c.table_schema, c.table_name)::regclass) w where w.column_name = c.column_name)"
    ).fetchall()
    # Of no caller: rules, keys, digests of tokens, where alerts go, and an erasure's own.
    about_rules = {
        "bcp.shards",
        "bcp.name_value_keys",
        "bcp.anonymization_rules",
        "bcp_internal.anonymizer_rules",
        "bcp_internal.anonymizer_state",
    }
    own = {"bcp_internal.erasure_work", "bcp_internal.erasure_subjects", "bcp_internal.anonymization_keys"}
    assert ("bcp_internal.api_tokens", "token_name") not in columns
    assert {table for table, _ in columns} <= about_rules | own | {
        "bcp_internal.api_tokens",
        "bcp_internal.notification_channels",
        # Digests of names that the anonymiser has looked through and found nothing in.
        "bcp_internal.clean_sources",
    }
