"""One rule of what names a person: SQL's, which tables and archives follow, and its twin for spools."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bcp_analytics.collector.spool import _mentions
from bcp_analytics.collector.spool._mentions import Mentions, Number
from tests.property.documents import nested

Db = psycopg.Connection[Any]
shared = settings(
    max_examples=int(os.environ.get("BCP_TEST_EXAMPLES", "25")) * 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)

LONG = "0b6a1a52-41c3-4b5c-9f39-9c2f4cbb6a11"
IDS = [
    "u1", "7", "read", "a b", "alice.roe", "alice_roe-17", "12345678", "1234567890123456", LONG,
    "jane@example.com", "j.o@x.de", "CORP\\jane.r", 'jane"s .*%_', "jos\u00e9.roe", "\u65e5\u672c\u8a9e",
    "\u7528\u6237\u540d\u79f0\u4e00\u4e8c\u4e09\u56db", "\U0001f600-smile-\U0001f600", "a/b/c/d/e",
    "<x> & 'y' = z+1", "1234567890123456.5", "line\nbreak-17", "tab\tbed-4711",
]  # fmt: skip


def decorated(user_id: str) -> st.SearchStrategy[str]:
    """Texts with the id in them: whole, in parts of larger ones, beside all kinds of characters, escaped."""
    ends = st.sampled_from(
        [
            "", " ", "x", "7", "-", "_", ".", ",", "\u00e9", "\u4e2d", "\u201c", "\n", "\t", "\\", "\\n",
            "\\u000a", '"', '\\"', ":", '": ', "{", "}", "[", "]", "/", "#2", "[ERASED]", "+",
            "%20", "@", ".com", "\u200b", "\u0301",
        ]
    )  # fmt: skip
    ids = st.sampled_from(
        [
            user_id, user_id, user_id.upper(), user_id + user_id, user_id[1:], user_id[:-1],
            json.dumps(user_id)[1:-1], json.dumps(json.dumps(user_id)), user_id.replace("@", "%40"),
            user_id.replace("@", "&#64;"), "other",
        ]
    )  # fmt: skip
    return st.lists(st.one_of(ends, ids), max_size=5).map("".join)


def documents(user_id: str) -> st.SearchStrategy[Any]:
    texts = st.one_of(
        decorated(user_id),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    )
    numbers = st.one_of(
        st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([1234567890123456, -1234567890123456, 1234567890123456.5, 12345678901234567, 7]),
    )  # fmt: skip
    return nested(st.one_of(st.none(), st.booleans(), numbers, texts, st.just(user_id)), texts, max_leaves=12)


cases = st.sampled_from(IDS).flatmap(lambda user_id: st.tuples(st.just(user_id), documents(user_id)))


def by_sql(db: Db, user_id: str, doc: Any) -> Any:
    [(found,)] = db.execute(
        "select bcp_internal.erased_json(%s::jsonb, r.json_values, r.keys, r.numbers)::text"
        " from bcp_internal.erasure_rule(%s) r",
        [json.dumps(doc), [user_id]],
    ).fetchall()
    return found


def plain(value: Any) -> Any:
    """A document as what it says: strings that are JSON read, numbers by value."""
    if isinstance(value, Number):
        return ("number", float(value))
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str):
        inner, wraps = _mentions.read_nested(value)
        return ("json", wraps, plain(inner)) if wraps and inner != value else value
    return value


def leaves(value: Any) -> int:
    """How many values a document has, those of JSON in its strings too."""
    if isinstance(value, str) and not isinstance(value, Number):
        inner, wraps = _mentions.read_nested(value)
        return leaves(inner) if wraps and not isinstance(inner, str) else 1
    if isinstance(value, dict):
        return 1 + sum(map(leaves, value.values()))
    return 1 + sum(map(leaves, value)) if isinstance(value, list) else 1


@given(case=cases)
@example(case=(LONG, {LONG: 1, f"u-{LONG}": 2, "[ERASED]": 3, "[ERASED]#2": 4}))
@example(case=("alice.roe", {"alice.roe": 1, "[ERASED]": 2, "by alice.roe": 3, "by [ERASED]": 4}))
@example(case=("alice.roe", {"a": json.dumps({"alice.roe": 1, "[ERASED]": json.dumps(["alice.roe"])})}))
@example(
    case=("alice.roe", {"a": '{"x": "alice.roe", "x": 1}', "b": "x\nalice.roe", "c": '{"y": "\\nalice.roe'})
)
@example(
    case=(
        "1234567890123456",
        [1234567890123456, "1234567890123456", 1.234567890123456e15, {"1234567890123456": 0}],
    )
)
@shared
def test_spools_follow_the_rule_of_tables(db: Db, case: tuple[str, Any]) -> None:
    user_id, doc = case
    by_twin = Mentions(user_id).document(_mentions.read(json.dumps(doc)))
    assert plain(by_twin) == plain(_mentions.read(by_sql(db, user_id, doc)))


@given(case=cases)
@example(case=(LONG, {LONG: 1, f"u-{LONG}": 2, "[ERASED]": 3, "[ERASED]#2": 4}))
@example(case=("alice.roe", json.dumps({"alice.roe": 1, "[ERASED]": 2})))
@shared
def test_no_value_is_lost_and_no_second_run_finds_more(db: Db, case: tuple[str, Any]) -> None:
    user_id, doc = case
    [(before,)] = db.execute("select (%s::jsonb)::text", [json.dumps(doc)]).fetchall()
    once = by_sql(db, user_id, doc)
    # Some text is JSON once a quote has gone with the id.
    assert leaves(_mentions.read(once)) >= leaves(_mentions.read(before))
    assert by_sql(db, user_id, json.loads(once)) == once


@given(case=cases)
@shared
def test_a_search_finds_what_the_rule_changes(db: Db, case: tuple[str, Any]) -> None:
    """An erasure looks only at documents that these patterns fit."""
    user_id, doc = case
    [(changes, is_found)] = db.execute(
        "select d <> bcp_internal.erased_json(d, r.json_values, r.keys, r.numbers),"
        " d::text like any (r.likes) and d::text ~ r.hint"
        " from cast(%s as jsonb) as d, bcp_internal.erasure_rule(%s) as r",
        [json.dumps(doc), [user_id]],
    ).fetchall()
    assert is_found or not changes


@given(case=st.sampled_from(IDS).flatmap(lambda user_id: st.tuples(st.just(user_id), decorated(user_id))))
@shared
def test_texts_and_names_too(db: Db, case: tuple[str, str]) -> None:
    user_id, text = case
    [(of_texts, of_names)] = db.execute(
        "select bcp_internal.erased_text(t, r.texts), bcp_internal.erased_text(t, r.names)"
        " from cast(%s as text) as t, bcp_internal.erasure_rule(%s) as r",
        [text, [user_id]],
    ).fetchall()
    assert Mentions(user_id).without({"message": text, "tool_name": text}) == {
        "message": of_texts,
        "tool_name": of_names,
    }


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("tool_usage", "tool_usage_logs"), ("errors", "error_logs"), ("metrics", "performance_metrics"),
        ("sessions", "user_sessions"),
    ],
)  # fmt: skip
def test_the_twin_knows_every_field(db: Db, kind: str, table: str) -> None:
    """A field of an event is treated as the column that it becomes."""
    [(fields,)] = db.execute("select bcp_internal.known_fields(%s)", [kind]).fetchall()
    columns = dict(
        db.execute(
            "select column_name, kind from bcp_internal.written_columns(%s::regclass)", [f"bcp.{table}"]
        ).fetchall()
    )
    sets = {
        "json": _mentions.DOCUMENTS,
        "text": _mentions.TEXTS,
        "name": _mentions.NAMES,
        None: _mentions.OTHERS,
    }
    # It becomes the session's, and a client of an error is of its session alone.
    columns |= dict.fromkeys({"conversation_id", "client_name"} & set(fields), "name")
    assert {f: columns.get(f) for f in fields} == {
        f: next((k for k, names in sets.items() if f in names), "attribute") for f in fields
    }
