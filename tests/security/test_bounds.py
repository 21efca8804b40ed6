"""Numbers without bounds: none that comes in, and none that is stored already, stops what others rely on."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from bcp_analytics.queries._questions import QUESTIONS
from tests.sql.events import KINDS, ingest, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

TOO_MUCH: list[tuple[str, Mapping[str, Any], str]] = [
    ("metrics", {"metric_value": 1.7e308}, "metric_value is not from -1e100 to 1e100"),
    ("metrics", {"metric_value": -1e101}, "metric_value is not from -1e100 to 1e100"),
]
LEFT_OUT: list[tuple[Mapping[str, Any], str]] = [
    ({"request_bytes": 2**63 - 1}, "request_bytes"),
    ({"response_bytes": -1}, "response_bytes"),
    ({"response_tokens": -1}, "response_tokens"),
    ({"duration_ms": 1e300}, "duration_ms"),
    # What follows from two fields is bounded too.
    ({"start_time": "2026-06-15T11:00:00Z", "duration_ms": 2e8}, "duration_ms"),
    ({"start_time": "2026-06-15T11:00:00Z", "end_time": "2026-07-15T11:00:00Z"}, "end_time"),
    ({"start_time": "2026-06-15T11:00:00Z", "end_time": "2026-06-14T11:00:00Z"}, "end_time"),
    ({"end_time": "2017-01-01T00:00:00Z", "duration_ms": 3e10}, "duration_ms"),
]


@pytest.fixture
def conn(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    db.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', true)")
    return db


@pytest.mark.parametrize(("kind", "fields", "reason"), TOO_MUCH)
def test_a_number_out_of_bounds_is_rejected_alone(
    conn: psycopg.Connection[Any], kind: str, fields: Mapping[str, Any], reason: str
) -> None:
    good = KINDS[kind]
    assert ingest(conn, [good, good | fields, good], kind) == (3, 2, 0, 1)
    assert rows(conn, "select reason_code, reason from bcp.rejected_events") == [
        {"reason_code": "ZB005", "reason": reason}
    ]


@pytest.mark.parametrize(("fields", "name"), LEFT_OUT)
def test_a_number_out_of_bounds_of_a_call_is_left_out(
    conn: psycopg.Connection[Any], fields: Mapping[str, Any], name: str
) -> None:
    good = KINDS["tool_usage"]
    assert ingest(conn, [good, good | fields, good]) == (3, 3, 0, 0)
    [row] = rows(
        conn,
        "select to_jsonb(t) as call from bcp.tool_usage_logs t where attributes = %s",
        [Jsonb({"_repaired": [name]})],
    )
    assert row["call"][name] is None
    assert row["call"]["end_time"] is None


def test_a_duration_by_mistake_in_microseconds_draws_no_later_call_into_its_session(
    conn: psycopg.Connection[Any],
) -> None:
    about = KINDS["tool_usage"] | {"user_id": "u", "client_name": "cli"}
    assert ingest(conn, [about | {"start_time": "2026-06-15T08:00:00Z", "duration_ms": 3.6e9}]) == (
        1,
        1,
        0,
        0,
    )
    assert ingest(conn, [about | {"start_time": "2026-06-15T11:00:00Z"}]) == (1, 1, 0, 0)
    assert rows(conn, "select count(distinct session_id) as n from bcp.tool_usage_logs") == [{"n": 2}]
    assert rows(conn, "select max(last_activity) <= bcp_internal.now() as past from bcp.user_sessions") == [
        {"past": True}
    ]


@pytest.mark.parametrize(("behind_ms", "duration_ms"), [(400, 0), (1000, 0), (1001, None)])
def test_a_clock_a_little_behind_makes_a_duration_of_0(
    conn: psycopg.Connection[Any], behind_ms: int, duration_ms: int | None
) -> None:
    start = datetime(2026, 6, 15, 11, tzinfo=UTC)
    times = {"start_time": start, "end_time": start - timedelta(milliseconds=behind_ms)}
    call = KINDS["tool_usage"] | {name: time.isoformat() for name, time in times.items()}
    assert ingest(conn, [call]) == (1, 1, 0, 0)
    assert rows(conn, "select duration_ms, attributes from bcp.tool_usage_logs") == [
        {"duration_ms": duration_ms, "attributes": {"_repaired": ["end_time"]}}
    ]


def test_no_size_is_negative_in_what_is_made_of_it(conn: psycopg.Connection[Any]) -> None:
    tools = {"tools": [{"name": "spare", "bytes": -7}]}
    calls = [
        {"response_bytes": -400},
        {"tool_name": "tools/list", "operation": "tools/list", "response_data": tools},
    ]
    ingest(conn, [KINDS["tool_usage"] | {"start_time": "2026-06-15T11:00:00Z"} | call for call in calls])
    [cost] = rows(conn, "select min(tokens) as least from bcp.context_cost()")
    assert cost == {"least": 0}
    assert rows(conn, "select context_bytes from bcp.unused_tools()") == [{"context_bytes": None}]


def test_the_largest_that_is_taken_adds_up(conn: psycopg.Connection[Any]) -> None:
    calls = [KINDS["tool_usage"] | {"response_bytes": 2**40, "start_time": "2026-06-15T11:00:00Z"}] * 3
    assert ingest(conn, calls) == (3, 3, 0, 0)
    [usage] = rows(conn, "select * from bcp.tool_usage_stats(p_interval => null)")
    assert usage["response_bytes"] == 3 * 2**40


def test_counts_of_a_collector_are_bounded(conn: psycopg.Connection[Any]) -> None:
    report = "select bcp.report_collector('files', %s, p_dropped => %s)"
    with pytest.raises(psycopg.Error, match="over 10") as raised, conn.transaction():
        conn.execute(report, [uuid.uuid4(), 2**63 - 1])
    assert raised.value.sqlstate == "ZB002"
    conn.execute(report, [uuid.uuid4(), 10**15])
    # Two of an earlier time, when a report could claim anything.
    for _ in range(2):
        conn.execute(report, [uuid.uuid4(), 5])
    conn.execute("update bcp.collector_reports set dropped = 9223372036854775807 where dropped = 5")
    assert rows(conn, "select dropped from bcp.ingest_ledger") == [{"dropped": 9 * 10**18}]


@pytest.mark.parametrize("ago", ["0 hours", "1 hour", "1 day", "2 months"])
def test_what_is_stored_already_stops_nothing(clean_db: psycopg.Connection[Any], ago: str) -> None:
    # Hours, days and months are aggregated once they are over. The latest calls are read from rows, and
    # alerts look only at those. A metric's minutes are refreshed for a month.
    [[last]] = clean_db.execute("select now() - %s::interval", [ago]).fetchall()
    tools = '{"tools": [{"name": "spare", "bytes": 1e400}, {"name": "other", "bytes": -1e99}]}'
    clean_db.execute(
        "insert into bcp.tool_usage_logs (start_time, end_time, created_at, event_id, bcp_name, tool_name,"
        " operation, success, request_bytes, response_bytes, user_id, session_id, response_data)"
        " select t, t + interval '1 minute', t, gen_random_uuid(), 'files', tool, operation, false,"
        " 9223372036854775807, -9223372036854775807, 'u', 's', %s"
        " from generate_series(%s - interval '5 minutes', %s, '10 seconds') as t,"
        " (values ('read', 'call'), ('tools/list', 'tools/list')) as c (tool, operation)",
        [tools, last, last],
    )
    clean_db.execute(
        "insert into bcp.performance_metrics (timestamp, created_at, event_id, metric_name, metric_value)"
        " select %s - interval '5 minutes', %s, gen_random_uuid(), 'm', v * 1.7e308"
        " from (values (1), (1), (-1)) as c (v)",
        [last, last],
    )
    clean_db.execute("call bcp.refresh_analytics_views()")
    if ago != "2 months":
        assert rows(clean_db, "select sum(samples)::integer as n from bcp.metrics_1m") == [{"n": 3}]
    for ask, _ in QUESTIONS.values():
        ask(clean_db)
    steps = rows(clean_db, "select context_bytes from bcp_internal.session_steps('s', 100)")
    # A session that has no row of its own is looked for in the last 24 hours.
    assert {step["context_bytes"] for step in steps} == ({0} if ago.endswith(("hours", "hour")) else set())
    opened = clean_db.execute("select bcp_internal.evaluate_alerts()").fetchone()
    assert (opened != (0,)) == (ago == "0 hours")
    clean_db.execute("call bcp.run_cleanup()")


def test_a_rule_that_fails_stops_no_other_and_shows(conn: psycopg.Connection[Any]) -> None:
    call = KINDS["tool_usage"] | {"start_time": "2026-06-15T11:58:00Z"}
    ingest(conn, [call | {"success": False, "duration_ms": 9000}] * 30)
    conn.execute("update bcp.alert_rules set enabled = rule_name in ('slow', 'errors')")
    assert conn.execute("select bcp_internal.evaluate_alerts()").fetchone() == (2,)

    def health() -> list[dict[str, Any]]:
        return rows(conn, "select status, detail from bcp.health() where check_name = 'alert rules'")

    assert health() == [{"status": "ok", "detail": "every rule could be evaluated"}]
    conn.execute("alter table bcp.alert_rules drop constraint alert_rules_lookback")
    conn.execute("update bcp.alert_rules set lookback = '300000 years' where rule_name = 'slow'")
    # Well again, so that both would close.
    conn.execute("update bcp.alert_rules set threshold = 2, clear_threshold = 2 where rule_name = 'errors'")
    assert conn.execute("select bcp_internal.evaluate_alerts()").fetchone() == (1,)
    assert rows(conn, "select rule_name from bcp.active_alerts()") == [{"rule_name": "slow"}]
    assert health() == [{"status": "fail", "detail": "could not be evaluated: slow (SQLSTATE 22008)"}]
    conn.execute("update bcp.alert_rules set lookback = '1 minute' where rule_name = 'slow'")
    assert conn.execute("select bcp_internal.evaluate_alerts()").fetchone() == (1,)
    assert health()[0]["status"] == "ok"
