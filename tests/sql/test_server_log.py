"""What our own errors say, which is what the server logs of them: never a value of an event.

What the server logs besides is PostgreSQL's settings' to say: docs/how-to/anonymise.md, "The server's log".
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
SECRET = "hunter2 of ada.lovelace@example.com"
BREAK_KEY = "delete from bcp_internal.anonymization_keys"
NO_SETTING = "delete from bcp.settings where name like 'max_%'"
LARGE = "update bcp.settings set value = '100' where name = 'max_event_bytes'"
BATCH = json.dumps([usage(parameters=[SECRET], user_agent=SECRET)])
MANY = json.dumps([SECRET] * 9)
# SQLSTATE, what breaks the store first, the call, its argument.
ERRORS = [
    ("ZB001", "", "select bcp.ingest_tool_usage(null, %s::text)", f'[{{"x": "{SECRET}"'),
    ("ZB001", "", "select bcp.ingest_tool_usage(null, %s::text)", SECRET),
    ("ZB001", "", "select bcp.ingest_tool_usage(null, %s::text)", f'{{"x": "{SECRET}"}}'),
    ("ZB001", "", "select bcp.ingest_tool_usage(null, %s::jsonb)", f'{{"x": "{SECRET}"}}'),
    ("ZB001", "", "select bcp.ingest_errors(null, %s::text)", f'"{SECRET}\\u0000"'),
    ("ZB002", "", "select bcp.report_collector('s', gen_random_uuid(), p_last_error => %s)", SECRET),
    ("ZB002", "", "select bcp.report_collector(%s, gen_random_uuid())", SECRET * 20),
    ("ZB003", NO_SETTING, "select bcp.ingest_tool_usage(null, '[]', %s)", SECRET),
    ("ZB003", NO_SETTING, "select bcp.begin_tool_call('b', %s)", SECRET),
    ("ZB005", "", "select bcp.begin_tool_call(null, %s)", SECRET),
    ("ZB005", LARGE, "select bcp.begin_tool_call('b', 't', p_parameters => %s::jsonb)", MANY),
    ("ZB006", BREAK_KEY, "select bcp.ingest_tool_usage(null, '[]', %s)", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.begin_tool_call('b', %s)", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.log_error('error', %s)", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.touch_session(%s)", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.record_metric(%s, 1)", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.report_collector(%s, gen_random_uuid())", SECRET),
    ("ZB006", BREAK_KEY, "select bcp.ingest_tool_usage(null, %s::text)", BATCH),
    ("ZB006", BREAK_KEY, "select bcp.ingest_tool_usage(null, %s::jsonb)", BATCH),
    (
        "ZB006",
        BREAK_KEY,
        "select bcp.ingest_tool_usage(null, array[jsonb_populate_record(null::bcp.tool_call, %s)])",
        json.dumps(usage(error_message=SECRET)),
    ),
]  # fmt: skip


def said(error: psycopg.Error) -> str:
    diag = error.diag
    parts = (diag.message_primary, diag.message_detail, diag.message_hint, diag.context, diag.internal_query)
    return "\n".join(filter(None, parts))


@pytest.mark.parametrize(("state", "broken", "call", "value"), ERRORS)
def test_an_error_of_ours_says_no_value(db: Db, state: str, broken: str, call: str, value: str) -> None:
    if broken:
        db.execute(broken)  # type: ignore[call-overload]
    with pytest.raises(psycopg.Error) as caught:
        db.execute(call, [value])  # type: ignore[call-overload]
    assert caught.value.sqlstate == state
    assert "hunter2" not in said(caught.value)
    assert "lovelace" not in said(caught.value)


def test_what_a_wrong_value_is_stays_inside(db: Db) -> None:
    """A cast that fails says the value: inside of ingest nobody hears it."""
    fields = ("start_time", "end_time", "ip_address", "success", "duration_ms")
    assert ingest(db, [usage(**{field: SECRET}) for field in fields]) == (5, 5, 0, 0)
    assert ingest(db, [{field: SECRET} for field in fields]) == (5, 0, 0, 5)
    kept = str(rows(db, "select reason, event::text from bcp.rejected_events"))
    assert "hunter2 of email#" in kept
    assert "lovelace" not in kept + str(rows(db, "select t::text from bcp.tool_usage_logs t"))


def test_text_is_the_way_in_whose_errors_say_nothing(db: Db) -> None:
    """What is no JSON fails as jsonb before any function of ours runs, and PostgreSQL then says where."""
    broken = f'[{{"x": "{SECRET}"'
    with pytest.raises(psycopg.Error) as caught, db.transaction():
        db.execute("select bcp.ingest_tool_usage(null, %s::jsonb)", [broken])
    assert caught.value.sqlstate == "22P02"
    assert "hunter2" in said(caught.value)
    with pytest.raises(psycopg.Error) as caught, db.transaction():
        db.execute("select bcp.ingest_tool_usage(null, %s::text)", [broken])
    assert "hunter2" not in said(caught.value)
