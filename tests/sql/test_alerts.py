"""Alerts open within one evaluation of a fault, close after it, and do not flap."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.spent import seconds
from tests.sql.events import ingest, rows, usage


def at(conn: psycopg.Connection[Any], time: str) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [f"2026-06-15T{time}:00Z"])


def send(conn: psycopg.Connection[Any], time: str, good: int = 0, bad: int = 0, **fields: Any) -> None:
    start = f"2026-06-15T{time}:00Z"
    calls = [usage(start_time=start, success=n < good) | fields for n in range(good + bad)]
    assert ingest(conn, calls)[1] == len(calls)


def evaluate(conn: psycopg.Connection[Any]) -> int:
    [row] = rows(conn, "select bcp_internal.evaluate_alerts()::int as n")
    return int(row["n"])


def active(conn: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    found = rows(conn, "select * from bcp.active_alerts()")
    return [(r["rule_name"], r["bcp_name"], r["tool_name"], round(r["value"], 6)) for r in found]


def only(conn: psycopg.Connection[Any], rule: str, **changes: Any) -> None:
    """Leave one rule enabled, changed so."""
    conn.execute("update bcp.alert_rules set enabled = rule_name = %s", [rule])
    for name, value in changes.items():
        query = sql.SQL("update bcp.alert_rules set {} = %s where rule_name = %s").format(
            sql.Identifier(name)
        )
        conn.execute(query, [value, rule])


def test_the_seeds_have_the_thresholds_of_the_requirements(db: psycopg.Connection[Any]) -> None:
    found = rows(db, "select metric, fires, threshold from bcp.alert_rules where rule_name !~ 'budget|load'")
    assert {(r["metric"], r["fires"], r["threshold"]) for r in found} == {
        ("avg_duration_ms", "above", 5000),
        ("success_rate", "below", 0.95),
        ("error_rate", "above", 0.05),
    }


def test_a_healthy_store_has_no_alert(conn: psycopg.Connection[Any]) -> None:
    at(conn, "12:00")
    send(conn, "11:55", good=100, duration_ms=100)
    assert evaluate(conn) == 0
    assert active(conn) == []
    assert rows(conn, "select * from bcp.alerts") == []


def test_every_seeded_rule_sees_its_fault(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update bcp.alert_rules set enabled = true, min_calls = least(min_calls, 20)")
    conn.execute("update bcp.alert_rules set threshold = 4, clear_threshold = 3 where rule_name = 'load'")
    at(conn, "12:00")
    send(conn, "11:57", good=2, bad=38, duration_ms=6000)
    assert evaluate(conn) == 6
    assert sorted(active(conn)) == [
        ("budget_fast", None, None, 19),
        ("budget_slow", None, None, 19),
        ("errors", "files", None, 0.95),
        ("load", None, None, 8),
        ("low_success", "files", "read", 0.05),
        ("slow", "files", "read", 6000),
    ]
    found = rows(conn, "select * from bcp.active_alerts()")
    assert found[0]["severity"] == "critical"
    assert all(r["opened_at"] == r["evaluated_at"] == datetime(2026, 6, 15, 12, tzinfo=UTC) for r in found)
    assert {r["call_count"] for r in found} == {40}
    assert all(r["description"] for r in found)
    asked = rows(conn, "select rule_name from bcp.active_alerts('files', 'read')")
    assert {r["rule_name"] for r in asked} == {"low_success", "slow"}
    assert rows(conn, "select from bcp.active_alerts(p_tool_name => '''; drop table --')") == []
    # The fault is over.
    at(conn, "19:00")
    send(conn, "18:58", good=60, duration_ms=10, bcp_name="mail")
    assert evaluate(conn) == 5
    assert [a[0] for a in active(conn)] == ["load"]
    assert {
        r["closed_at"].hour
        for r in rows(conn, "select closed_at from bcp.alerts where closed_at > '-infinity'")
    } == {19}


def test_it_does_not_flap(conn: psycopg.Connection[Any]) -> None:
    only(conn, "errors", lookback="1 minute")
    at(conn, "12:00")
    send(conn, "11:59", good=94, bad=6)
    assert evaluate(conn) == 1
    [(_, _, _, value)] = active(conn)
    assert value == 0.06
    at(conn, "12:01")
    send(conn, "12:00", good=90, bad=10)
    assert evaluate(conn) == 0
    at(conn, "12:02")
    # Below the threshold of 0.05, above the 0.04 at which it closes.
    send(conn, "12:01", good=955, bad=45)
    assert evaluate(conn) == 0
    [row] = rows(conn, "select value, worst_value, opened_at from bcp.active_alerts()")
    assert (row["value"], row["worst_value"], row["opened_at"].minute) == (0.045, 0.1, 0)
    at(conn, "12:03")
    send(conn, "12:02", good=96, bad=4)
    assert evaluate(conn) == 1
    assert active(conn) == []
    at(conn, "12:04")
    send(conn, "12:03", good=955, bad=45)
    assert evaluate(conn) == 0
    assert active(conn) == []


def test_too_few_calls_say_nothing(conn: psycopg.Connection[Any]) -> None:
    only(conn, "errors")
    at(conn, "12:00")
    send(conn, "11:55", bad=19)
    assert evaluate(conn) == 0
    send(conn, "11:56", bad=1)
    assert evaluate(conn) == 1
    # Nobody calls any more: it is over.
    at(conn, "13:00")
    assert evaluate(conn) == 1
    assert active(conn) == []


def test_calls_that_do_not_say_how_they_went_are_no_errors(conn: psycopg.Connection[Any]) -> None:
    at(conn, "12:00")
    ingest(conn, [usage(start_time="2026-06-15T11:55:00Z")] * 50)
    assert evaluate(conn) == 0


def test_it_waits_for_as_long_as_the_rule_says(conn: psycopg.Connection[Any]) -> None:
    only(conn, "errors", lookback="1 minute", for_at_least="2 minutes")
    at(conn, "12:00")
    send(conn, "11:59", bad=20)
    assert evaluate(conn) == 0
    assert len(rows(conn, "select from bcp.alerts")) == 1
    assert active(conn) == []
    at(conn, "12:01")
    send(conn, "12:00", good=20)
    assert evaluate(conn) == 0
    assert rows(conn, "select from bcp.alerts") == []
    for minute, changes in ((2, 0), (3, 0), (4, 1)):
        at(conn, f"12:{minute:02}")
        send(conn, f"12:{minute - 1:02}", bad=20)
        assert evaluate(conn) == changes
    [row] = rows(conn, "select pending_since, opened_at from bcp.alerts")
    assert (row["pending_since"].minute, row["opened_at"].minute) == (2, 4)


def test_a_burn_rate_needs_both_windows(conn: psycopg.Connection[Any]) -> None:
    only(conn, "budget_fast")
    at(conn, "12:00")
    # Over: 15 times the budget of an hour, and nothing now.
    send(conn, "11:30", good=20, bad=80)
    send(conn, "11:58", good=1)
    assert evaluate(conn) == 0
    send(conn, "11:59", bad=20)
    assert evaluate(conn) == 1
    # The hour is still over it, but the fault has passed.
    at(conn, "12:05")
    send(conn, "12:04", good=10)
    assert evaluate(conn) == 1
    assert active(conn) == []


def test_filters_and_names(conn: psycopg.Connection[Any]) -> None:
    only(conn, "low_success", bcp_name="mail", operation="call")
    at(conn, "12:00")
    send(conn, "11:55", bad=50)
    send(conn, "11:55", bad=50, bcp_name="mail", operation="other")
    send(conn, "11:55", bad=50, bcp_name="mail", tool_name="'; drop table --")
    evaluate(conn)
    assert active(conn) == [("low_success", "mail", "'; drop table --", 0)]


@pytest.mark.parametrize(
    "change", ["update bcp.alert_rules set enabled = false", "delete from bcp.alert_rules"]
)
def test_without_its_rule_an_alert_is_over(conn: psycopg.Connection[Any], change: str) -> None:
    only(conn, "errors")
    at(conn, "12:00")
    send(conn, "11:55", bad=50)
    assert evaluate(conn) == 1
    conn.execute(change)
    assert evaluate(conn) == 1
    assert active(conn) == []


def test_somebody_takes_it_on(conn: psycopg.Connection[Any]) -> None:
    only(conn, "errors")
    at(conn, "12:00")
    send(conn, "11:55", bad=50)
    evaluate(conn)
    conn.execute("select bcp.acknowledge_alert(alert_id, 'told ada@example.com') from bcp.active_alerts()")
    [row] = rows(conn, "select * from bcp.active_alerts()")
    assert (row["acknowledged_at"], row["acknowledged_by"]) == (row["opened_at"], "postgres")
    assert row["notes"].startswith("told email#")
    at(conn, "13:00")
    evaluate(conn)
    with pytest.raises(psycopg.Error, match="no open alert") as caught:
        conn.execute("select bcp.acknowledge_alert(%s)", [row["alert_id"]])
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


def test_who_listens_is_told(clean_db: psycopg.Connection[Any]) -> None:
    only(clean_db, "errors")
    clean_db.execute("listen bcp_alerts")
    at(clean_db, "12:00")
    send(clean_db, "11:55", bad=50)
    evaluate(clean_db)
    evaluate(clean_db)
    at(clean_db, "13:00")
    evaluate(clean_db)
    told = [json.loads(n.payload) for n in clean_db.notifies(timeout=10, stop_after=2)]
    assert [(t["event"], t["rule_name"], t["bcp_name"], t["tool_name"]) for t in told] == [
        ("opened", "errors", "files", None),
        ("closed", "errors", "files", None),
    ]
    assert (told[0]["value"], told[0]["threshold"], told[0]["severity"]) == (1, 0.05, "warning")


def test_a_job_evaluates_every_minute(clean_db: psycopg.Connection[Any]) -> None:
    only(clean_db, "errors")
    at(clean_db, "12:00")
    send(clean_db, "11:55", bad=50)
    [job] = rows(
        clean_db,
        "select job_id, schedule_interval::text from timescaledb_information.jobs"
        " where proc_name = 'evaluate_alerts_job'",
    )
    assert job["schedule_interval"] == "00:01:00"
    clean_db.execute("call public.run_job(%s)", [job["job_id"]])
    assert len(active(clean_db)) == 1


def test_a_rule_that_fails_stops_no_other(conn: psycopg.Connection[Any]) -> None:
    """Wherever it fails: in its window, in its time, or where it is told."""
    conn.execute(
        "alter table bcp.alert_rules drop constraint alert_rules_lookback,"
        " drop constraint alert_rules_for_at_least, drop constraint alert_rules_rule_name"
    )
    only(conn, "errors")
    for name, changes in (
        ("a", "'lookback', '100000 years'"),
        ("b", "'for_at_least', '300000 years'"),
        ("x" * 9000, "'scope', 'tool'"),
    ):
        conn.execute(
            "insert into bcp.alert_rules select n.* from bcp.alert_rules r cross join lateral"
            " jsonb_populate_record(r, jsonb_build_object('rule_name', %s::text,"
            f" {changes})) n where r.rule_name = 'errors'",  # type: ignore[arg-type]
            [name],
        )
    send(conn, "11:55", bad=50)
    for minute in ("12:00", "12:01"):
        at(conn, minute)
        evaluate(conn)
        assert active(conn) == [("errors", "files", None, 1)]
    assert rows(
        conn, "select left(rule_name, 6) as name, last_error from bcp.alert_rules where enabled order by 1"
    ) == [
        {"name": "a", "last_error": "22008"},
        {"name": "b", "last_error": "22008"},
        {"name": "errors", "last_error": None},
        {"name": "xxxxxx", "last_error": "22023"},
    ]
    # Once it can be evaluated again, it says so.
    conn.execute("update bcp.alert_rules set for_at_least = '0' where rule_name = 'b'")
    evaluate(conn)
    assert rows(conn, "select last_error from bcp.alert_rules where rule_name = 'b'") == [
        {"last_error": None}
    ]


def test_thousands_of_open_alerts_take_no_time(conn: psycopg.Connection[Any]) -> None:
    only(conn, "low_success", min_calls=1)
    at(conn, "12:00")
    conn.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome)"
        " select '2026-06-15T11:55Z', now(), gen_random_uuid(), 'many', 'tool ' || n, 'call', false, 'error'"
        " from generate_series(1, 4000) n"
    )
    assert evaluate(conn) == 4000
    for minute in ("12:01", "12:02"):
        at(conn, minute)
        # This takes a fraction of it, unless each alert is compared with each tool.
        assert seconds(conn, "do $$ begin assert bcp_internal.evaluate_alerts() = 0; end $$") < 3


@pytest.mark.parametrize(
    "change",
    [
        "threshold = 0.01",
        "lookback = '0'",
        "lookback = '100000 years'",
        "for_at_least = '100000 years'",
        "threshold = 'NaN'",
        "clear_threshold = '-Infinity'",
        "rule_name = repeat('x', 201)",
        "short_lookback = '1 day'",
        "objective = 0.9",
        "min_calls = 0",
        "metric = 'mood'",
        "severity = 'loud'",
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(db: psycopg.Connection[Any], change: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"update bcp.alert_rules set {change} where rule_name = 'errors'")  # type: ignore[arg-type]
