"""Bad input: rejected alone, with a reason that repeats no secret."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.sql.events import KINDS, ingest, rows, usage

BAD_EVENTS = [
    # kind, the event as JSON text, what the reason must say
    ("tool_usage", "7", "of type number, not object"),
    ("tool_usage", "null", "of type null, not object"),
    ("tool_usage", "[]", "of type array, not object"),
    ("tool_usage", '[{"bcp_name": "a", "tool_name": "b"}]', "of type array, not object"),
    ("tool_usage", "{}", "bcp_name is missing"),
    ("tool_usage", '{"bcp_name": null, "tool_name": "b"}', "bcp_name is missing"),
    ("tool_usage", '{"bcp_name": "a"}', "tool_name is missing"),
    ("tool_usage", '{"bcp_name": "a", "tool_name": ["b"]}', "tool_name is of type array, not string"),
    ("tool_usage", '{"bcp_name": " ", "tool_name": "b"}', "bcp_name is empty"),
    ("tool_usage", '{"bcp_name": "a", "tool_name": "b", "start_time": 5}', "max_event_age"),
    (
        "tool_usage",
        '{"bcp_name": "a", "tool_name": "b", "start_time": "20000-01-01T00:00:00Z"}',
        "max_event_lead",
    ),
    (
        "tool_usage",
        '{"bcp_name": "a", "tool_name": "b", "start_time": "1970-01-01T00:00:00Z"}',
        "max_event_age",
    ),
    ("tool_usage", '"\\u0000"', "cannot be read"),
    ("errors", '{"level": "error"}', "message is missing"),
    ("metrics", '{"metric_name": "m", "metric_value": "one"}', "metric_value is of type string, not number"),
    ("metrics", '{"metric_name": "m", "metric_value": 1e400}', "not from -1e100 to 1e100"),
    (
        "metrics",
        '{"metric_name": "m", "metric_value": 1, "aggregation_period": "2h"}',
        "aggregation_period is none",
    ),
    ("sessions", '{"session_id": ""}', "session_id is empty"),
]


@pytest.mark.parametrize(("kind", "event", "reason"), BAD_EVENTS, ids=[f"{k}-{r}" for k, _, r in BAD_EVENTS])
def test_a_bad_event_is_rejected_alone_with_its_reason(
    conn: psycopg.Connection[Any], kind: str, event: str, reason: str
) -> None:
    good = json.dumps(KINDS[kind])
    assert ingest(conn, f"[{good}, {event}, {good}]", kind) == (3, 2, 0, 1)
    [row] = rows(conn, "select * from bcp.rejected_events")
    assert any(part in row["reason"] for part in reason.split("|")), row["reason"]
    assert row["kind"] == kind
    assert row["event_bytes"] > 0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_quick_look_at_a_shape_sees_what_the_whole_one_does(
    conn: psycopg.Connection[Any], kind: str
) -> None:
    fields = rows(conn, "select field from bcp_internal.event_fields(%s)", [kind])
    values = ["x", 7, True, None, [], ["x"], [7], [["x"]], {}, {"x": "x"}]
    events = [KINDS[kind] | {field["field"]: value} for field in fields for value in values]
    events += [{k: v for k, v in KINDS[kind].items() if k != left_out} for left_out in KINDS[kind]]
    found = rows(
        conn,
        "select e, e @@ bcp_internal.event_shape(%s) as whole, bcp_internal.has_shape("
        " e, bcp_internal.event_shape(%s), q.required, q.others, q.shape) as quick"
        " from bcp_internal.quick_shape(%s) q, jsonb_array_elements(%s) e",
        [kind, kind, kind, json.dumps(events)],
    )
    assert [row["e"] for row in found if row["quick"] is not row["whole"]] == []
    assert {row["whole"] for row in found} == {True, False}


def test_a_batch_of_nothing_but_bad_events_is_booked(conn: psycopg.Connection[Any]) -> None:
    bad = [usage(tool_name=None, duration_ms=n) for n in range(1, 40)] + [{"n": n} for n in range(40)]
    assert ingest(conn, bad) == (79, 0, 0, 79)
    assert rows(conn, "select count(*) as n from bcp.rejected_events") == [{"n": 79}]


@pytest.mark.parametrize("batch", ["{}", "7", "null", '"x"', "", "[", "[1,]", "\\x00"])
def test_a_batch_that_is_no_array_is_an_error_with_a_hint(conn: psycopg.Connection[Any], batch: str) -> None:
    with pytest.raises(psycopg.Error) as caught, conn.transaction():
        ingest(conn, batch)
    assert caught.value.sqlstate == "ZB001"
    assert caught.value.diag.message_hint
    assert rows(conn, "select 1 from bcp.ingest_batches") == []


@pytest.mark.parametrize(
    "function", ["ingest_tool_usage", "ingest_errors", "ingest_metrics", "ingest_sessions"]
)
def test_a_batch_of_null_is_an_error(conn: psycopg.Connection[Any], function: str) -> None:
    for cast in ("jsonb", "text"):
        with pytest.raises(psycopg.Error) as caught, conn.transaction():
            conn.execute(
                sql.SQL("select bcp.{}(null, null::{})").format(
                    sql.Identifier(function), sql.Identifier(cast)
                )
            )
        assert caught.value.sqlstate == "ZB001"


def test_a_reason_and_a_rejected_event_repeat_no_secret(conn: psycopg.Connection[Any]) -> None:
    secret = "ada.lovelace@example.com"
    events = [
        usage(
            start_time="1970-01-01T00:00:00Z",
            outcome=secret,
            ip_address=secret,
            success=secret,
            end_time=secret,
        ),
        usage(bcp_name="", parameters={"to": secret}),
        usage(tool_name=[secret]),
        {"tool_name": secret},
        secret,
        [secret],
        {"bcp_name": 1, secret: secret},
    ]
    text = json.dumps(events)[:-1] + f', {{"bcp_name": "a", "tool_name": null, "x": "\\u0000 {secret}"}}]'
    assert ingest(conn, text) == (8, 0, 0, 8)
    found = json.dumps(rows(conn, "select reason, event::text from bcp.rejected_events"))
    assert "ada" not in found
    assert "example.com" not in found


def test_a_rejected_event_keeps_its_outline(conn: psycopg.Connection[Any]) -> None:
    event = r'{"bcp_name": "nulB", "parameters": {"x": "h\u0000 \ud83d\ude00"}}'
    assert ingest(conn, f"[{event}]") == (1, 0, 0, 1)
    assert rows(conn, "select event, reason from bcp.rejected_events") == [
        {
            "event": {
                "bcp_name": "nulB",
                "parameters": {"x": "h\ufffd \U0001f600"},
                "_repaired": ["parameters"],
            },
            "reason": "tool_name is missing",
        }
    ]


def test_a_field_whose_masking_fails_is_left_out_and_not_kept_raw(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "create or replace function bcp_internal.mask_documents(p_docs jsonb[], p_max_depth integer,"
        " p_seen bcp_internal.seen_by_gates, p_state bcp_internal.anonymizer_state)"
        " returns jsonb[] language plpgsql as $$ begin"
        " if p_docs::text like '%tricky%' then raise 'tricky'; end if; return p_docs; end $$"
    )
    # With a password, since what has nothing to mask is never masked.
    tricky = usage(parameters={"tricky": "raw-value", "password": "x"})
    assert ingest(conn, [usage(), tricky, usage()]) == (3, 3, 0, 0)
    assert rows(
        conn, "select parameters, attributes from bcp.tool_usage_logs where attributes is not null"
    ) == [{"parameters": {"_omitted": "40 bytes"}, "attributes": {"_repaired": ["parameters"]}}]


def test_what_is_not_the_events_fault_fails_the_batch(conn: psycopg.Connection[Any]) -> None:
    conn.execute("alter table bcp.users rename to users_away")
    with pytest.raises(psycopg.errors.UndefinedTable), conn.transaction():
        ingest(conn, [usage(user_id="u")])
    conn.execute("alter table bcp.users_away rename to users")
    assert rows(conn, "select 1 from bcp.rejected_events") == []
    assert ingest(conn, [usage(user_id="u")]) == (1, 1, 0, 0)


def test_events_that_can_be_stored_only_apart_are_stored_apart(conn: psycopg.Connection[Any]) -> None:
    """As where a batch is too large for one statement."""
    conn.execute("alter function bcp_internal.store_metrics(jsonb[]) rename to store_few_metrics")
    conn.execute(
        "create function bcp_internal.store_metrics(p_events jsonb[]) returns bigint language plpgsql as $$"
        " begin if cardinality(p_events) > 3 then raise program_limit_exceeded; end if;"
        " return bcp_internal.store_few_metrics(p_events); end $$"
    )
    good = KINDS["metrics"]
    assert ingest(conn, [good] * 9, "metrics") == (9, 9, 0, 0)
    assert ingest(conn, [*[good] * 9, good | {"aggregation_period": "1y"}], "metrics") == (10, 9, 0, 1)
    assert rows(conn, "select count(*) as n from bcp.performance_metrics") == [{"n": 18}]


@pytest.mark.parametrize("said", [True, False])
def test_who_sends_is_masked(conn: psycopg.Connection[Any], said: bool) -> None:  # noqa: FBT001
    source = "ada@example.com's laptop"
    conn.execute("select set_config('application_name', %s, true)", ["unknown" if said else source])
    given = source if said else None
    for kind, event in KINDS.items():
        for batch in ([event], [event, {}]):
            conn.execute(
                sql.SQL("select bcp.{}(null, %s::text, %s)").format(sql.Identifier(f"ingest_{kind}")),
                [json.dumps(batch), given],
            )
    conn.execute(
        "select bcp.ingest_tool_usage(null, array[jsonb_populate_record(null::bcp.tool_call, %s)], %s)",
        [json.dumps(usage()), given],
    )
    conn.execute("select bcp.report_collector(%s, gen_random_uuid())", [source])
    found = rows(
        conn,
        "select source, count(*) as n from (select source from bcp.ingest_batches"
        " union all select source from bcp.rejected_events union all select source from bcp.collector_reports"
        " union all select distinct source from bcp.ingest_ledger) as s group by source",
    )
    assert [row["n"] for row in found] == [9 + 4 + 1 + 1]
    assert found[0]["source"].startswith("email#k1#")
    assert found[0]["source"].endswith("'s laptop")
