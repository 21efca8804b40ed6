"""Why agents called: kept masked and cut, whichever way it comes."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
WAYS = {
    "json": "select bcp.ingest_tool_usage(null, jsonb_build_array(%(event)s::jsonb))",
    "text": "select bcp.ingest_tool_usage(null, jsonb_build_array(%(event)s::jsonb)::text)",
    "row": "select bcp.ingest_tool_usage(null, array["
    "jsonb_populate_record(null::bcp.tool_call, %(event)s::jsonb)])",
    "function": "select bcp.log_tool_usage('files', 'read', p_intent => %(event)s::jsonb ->> 'intent')",
    "both ends": "select bcp.end_tool_call(bcp.begin_tool_call('files', 'read',"
    " p_intent => %(event)s::jsonb ->> 'intent'))",
}


def sent(conn: Db, way: str, intent: Any) -> Any:
    conn.execute(WAYS[way], {"event": json.dumps(usage(intent=intent))})
    [row] = rows(conn, "select intent, attributes from bcp.tool_usage_logs")
    assert row["attributes"] is None
    return row["intent"]


@pytest.mark.parametrize("way", WAYS)
def test_an_intent_is_masked_whichever_way_it_comes(conn: Db, way: str) -> None:
    stored = sent(conn, way, "Find the invoice of ada@example.com")
    assert stored.startswith("Find the invoice of email#")


@pytest.mark.parametrize("way", WAYS)
def test_a_long_intent_is_cut_between_words_and_says_so(conn: Db, way: str) -> None:
    stored = sent(conn, way, "word " * 1_000)
    assert stored.endswith("word  [TRUNCATED 5000 bytes]")
    assert 1_900 < len(stored) <= 2_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("intent", ["", None])
def test_no_intent_is_null(conn: Db, way: str, intent: str | None) -> None:
    assert sent(conn, way, intent) is None


def test_an_intent_that_is_no_text_is_kept_and_named_as_a_repair(conn: Db) -> None:
    assert ingest(conn, [usage(intent={"goal": "tidy up"})]) == (1, 1, 0, 0)
    [row] = rows(conn, "select intent, attributes from bcp.tool_usage_logs")
    assert json.loads(row["intent"]) == {"goal": "tidy up"}
    assert row["attributes"] == {"_repaired": ["intent"]}
