"""Answers about errors, hours, days and the store's own health. Those about calls: tests/property."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.sql.events import KINDS, NOW, ingest, loaded, refresh_at_once, rows, usage

ERRORS = [
    {
        "level": "error",
        "message": "disk is full",
        "bcp_name": "files",
        "tool_name": "write",
        "error_type": "OSError",
    },
    {
        "level": "error",
        "message": "disk is full",
        "bcp_name": "files",
        "tool_name": "write",
        "error_type": "OSError",
    },
    {"level": "warn", "message": "slow", "bcp_name": "files", "tool_name": "read"},
    {"level": "fatal", "message": "out of memory"},
]
TIMES = ["2026-06-13T08:00:00Z", "2026-06-15T09:00:00Z", "2026-06-14T23:30:00Z", "2026-06-15T11:59:00Z"]


@pytest.fixture
def conn(clean_db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Errors and calls below, at and above the watermarks: the last of each came after the refresh."""
    clean_db.execute("select set_config('bcp.now', '2026-06-15T11:30:00Z', false)")
    errors = [error | {"timestamp": time} for error, time in zip(ERRORS, TIMES, strict=True)]
    calls = [usage(start_time=time, duration_ms=10 * n + 10, success=n > 0) for n, time in enumerate(TIMES)]
    ingest(clean_db, errors[:3], "errors")
    ingest(clean_db, calls[:3])
    clean_db.execute("call bcp.refresh_analytics_views()")
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    ingest(clean_db, errors[3:], "errors")
    ingest(clean_db, calls[3:])
    return clean_db


def test_error_analysis_counts_by_level_tool_and_type(conn: psycopg.Connection[Any]) -> None:
    found = rows(conn, "select * from bcp.error_analysis('2026-06-01', '2026-06-15 12:00')")
    assert [
        (r["level"], r["tool_name"], r["error_type"], r["error_count"], r["issue_count"], r["sample_message"])
        for r in found
    ] == [
        ("error", "write", "OSError", 2, 1, "disk is full"),
        ("fatal", None, None, 1, 1, "out of memory"),
        ("warn", "read", None, 1, 1, "slow"),
    ]
    assert [r["share"] for r in found] == [0.5, 0.25, 0.25]
    assert found[0]["first_seen"] == datetime(2026, 6, 13, 8, tzinfo=UTC)
    assert found[0]["last_seen"] == datetime(2026, 6, 15, 9, tzinfo=UTC)


def test_error_analysis_filters(conn: psycopg.Connection[Any]) -> None:
    counts = {
        "p_level => 'error'": 2,
        "p_bcp_name => 'files'": 3,
        "p_tool_name => 'read'": 1,
        "p_tool_name => '''; drop table --'": 0,
        "p_since => '2026-06-15 00:00'": 2,
        "p_since => '2026-06-14 23:30', p_until => '2026-06-15 11:59'": 2,
        "p_since => '2026-06-15 12:00', p_until => '2026-06-15 12:00'": 0,
        "p_since => '2030-01-01', p_until => '2031-01-01'": 0,
    }
    found = {}
    for filters in counts:
        since = "" if "p_since" in filters else "p_since => '2026-06-01', "
        [row] = rows(
            conn, f"select coalesce(sum(error_count), 0)::int as n from bcp.error_analysis({since}{filters})"
        )
        found[filters] = row["n"]
    assert found == counts


RANGES = [
    ("-infinity", "infinity"),
    ("-infinity", "1850-01-01"),
    ("1850-01-01", "1855-01-01"),
    ("2980-01-01", "infinity"),
]


def test_calls_from_before_1970_count(conn: psycopg.Connection[Any]) -> None:
    conn.execute("update bcp.settings set value = '36500 days' where name = 'max_event_age'")
    ingest(conn, [usage(start_time="1969-07-20T20:17:00Z"), usage(start_time="1950-01-01T00:00:00Z")])
    for aggregated in (False, True):
        if aggregated:
            refresh_at_once(conn)
        for question in ("throughput", "success_and_error_rates", "peak_usage_hours", "tool_usage_stats"):
            [counted] = rows(
                conn, f"select sum(call_count)::int as n from bcp.{question}('-infinity', 'infinity')"
            )
            assert counted["n"] == len(TIMES) + 2, (question, aggregated)


def test_every_question_answers_for_every_range(conn: psycopg.Connection[Any]) -> None:
    asked = [
        question
        for (question,) in conn.execute(
            """
            select p.oid::regproc::text
            from pg_proc p
            where p.pronamespace = 'bcp'::regnamespace and p.proargnames @> '{p_since,p_until}'
              and p.pronargs = p.pronargdefaults and has_function_privilege('bcp_reader', p.oid, 'execute')
            order by 1
            """
        )
    ]
    assert len(asked) > 30
    wrong = []
    for empty in (False, True):
        if empty:
            conn.execute("delete from bcp.tool_usage_logs")
            conn.execute("delete from bcp.error_logs")
        for question, (since, until) in itertools.product(asked, RANGES):
            ask = f"select * from {question}(p_since => %s, p_until => %s)"
            try:
                conn.execute(ask, [since, until])  # type: ignore[arg-type]
            except psycopg.Error as error:
                # Some say that they need an end; nothing else may go wrong.
                if error.sqlstate != "ZB002":
                    wrong.append((question, since, until, empty, str(error)))
    assert wrong == []


@pytest.mark.parametrize(
    "call",
    [
        "tool_usage_stats",
        "latency_percentiles",
        "success_and_error_rates",
        "throughput",
        "peak_usage_hours",
        "hourly_tool_usage",
        "error_analysis",
        "daily_error_summary",
    ],
)
def test_a_reversed_range_is_an_error_with_a_hint(db: psycopg.Connection[Any], call: str) -> None:
    with pytest.raises(psycopg.Error, match="is after") as caught:
        db.execute(f"select * from bcp.{call}('2026-02-01', '2026-01-01')")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
    assert "Exchange" in (caught.value.diag.message_hint or "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("tool_usage_stats(p_interval => '0 seconds')", "p_interval is not positive"),
        ("tool_usage_stats(p_interval => '-1 hour')", "p_interval is not positive"),
        ("tool_usage_stats(p_interval => '1 month 1 day')", "mixes months"),
        ("tool_usage_stats(p_time_zone => 'Mars/Olympus')", "p_time_zone"),
        ("tool_usage_stats(p_time_zone => null)", "p_time_zone"),
        ("success_and_error_rates(p_interval => '0 seconds')", "p_interval is not positive"),
        ("throughput(p_interval => '90 seconds')", "p_interval is not whole minutes"),
        ("throughput(p_time_zone => 'Mars/Olympus')", "p_time_zone"),
        ("peak_usage_hours(p_time_zone => 'Mars/Olympus')", "p_time_zone"),
        ("latency_percentiles(p_percentiles => '{NaN}')", "outside of 0 to 1"),
        ("latency_percentiles(p_percentiles => '{95}')", "outside of 0 to 1"),
        ("latency_percentiles(p_percentiles => null)", "outside of 0 to 1"),
    ],
)
def test_a_wrong_argument_is_named(db: psycopg.Connection[Any], call: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        db.execute(f"select * from bcp.{call}")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


def test_months_are_months_of_the_callers_time_zone(db: psycopg.Connection[Any]) -> None:
    db.execute("select set_config('bcp.now', %s, true)", [NOW])
    # 22:30 UTC of 31 March is already April in Berlin.
    ingest(db, [usage(start_time="2026-03-31T22:30:00Z"), usage(start_time="2026-03-31T21:30:00Z")])
    found = rows(
        db,
        "select time_bucket, call_count from bcp.tool_usage_stats('2026-03-01', '2026-05-01', '1 month',"
        " p_time_zone => 'Europe/Berlin')",
    )
    assert found == [
        {"time_bucket": datetime(2026, 3, 31, 22, tzinfo=UTC), "call_count": 1},
        {"time_bucket": datetime(2026, 2, 28, 23, tzinfo=UTC), "call_count": 1},
    ]


def test_hourly_tool_usage_has_the_hours_up_to_now(conn: psycopg.Connection[Any]) -> None:
    found = rows(conn, "select * from bcp.hourly_tool_usage order by hour")
    assert [(r["hour"].isoformat()[:13], r["total_calls"], r["successful_calls"]) for r in found] == [
        ("2026-06-13T08", 1, 0),
        ("2026-06-14T23", 1, 1),
        ("2026-06-15T09", 1, 1),
        ("2026-06-15T11", 1, 1),
    ]
    assert [r["avg_duration_ms"] for r in found] == [10, 30, 20, 40]
    assert [r["max_duration_ms"] for r in found] == [10, 30, 20, 40]
    assert [r["p95_duration_ms"] for r in found] == [10, 30, 20, 40]
    asked = rows(conn, "select * from bcp.hourly_tool_usage('2026-06-15 09:30', '2026-06-15 11:30')")
    assert [r["hour"].hour for r in asked] == [11, 9]
    assert rows(conn, "select * from bcp.hourly_tool_usage('2026-06-01', p_tool_name => 'none')") == []


def test_daily_error_summary_has_the_days_up_to_now(conn: psycopg.Connection[Any]) -> None:
    found = rows(conn, "select * from bcp.daily_error_summary order by day, level, tool_name")
    assert [(r["day"].day, r["level"], r["tool_name"], r["total_errors"], r["issues"]) for r in found] == [
        (13, "error", "write", 1, 1),
        (14, "warn", "read", 1, 1),
        (15, "error", "write", 1, 1),
        (15, "fatal", None, 1, 1),
    ]
    asked = rows(conn, "select * from bcp.daily_error_summary('2026-06-14 12:00', p_bcp_name => 'files')")
    assert [r["day"].day for r in asked] == [15, 14]


def test_a_late_call_shows_after_a_refresh(conn: psycopg.Connection[Any]) -> None:
    total = "select sum(call_count)::int as n from bcp.tool_usage_stats('2026-06-01', p_interval => null)"
    assert rows(conn, total) == [{"n": 4}]
    ingest(conn, [usage(start_time="2026-06-13T08:30:00Z")])
    conn.execute("call bcp.refresh_analytics_views()")
    assert rows(conn, total) == [{"n": 5}]


def health(conn: psycopg.Connection[Any]) -> dict[str, tuple[str, str]]:
    return {r["check_name"]: (r["status"], r["value"]) for r in rows(conn, "select * from bcp.health()")}


def test_health_of_an_empty_store(db: psycopg.Connection[Any], target: str) -> None:
    loaded(db)
    found = health(db)
    # PostgreSQL logs the statements of errors, and lets everybody connect, unless it is told not to; and the
    # tests' own server has no workers for jobs.
    warnings = {name for name, (status, _) in found.items() if status != "ok"}
    assert warnings == {"ingest", "server log", "strangers"} | ({"jobs"} if target == "native" else set())
    assert found["ingest"] == ("warn", "0")


def test_health_sees_rejections_open_calls_and_a_broken_anonymiser(db: psycopg.Connection[Any]) -> None:
    db.execute("select set_config('bcp.now', %s, true)", [NOW])
    ingest(db, [usage()] * 200)
    ingest(db, [usage(bcp_name="")])
    found = health(db)
    assert found["ingest"] == ("ok", "201")
    assert found["rejected"] == ("warn", "1")
    ingest(db, [KINDS["errors"] | {"message": None}] * 9, "errors")
    assert health(db)["rejected"] == ("fail", "10")
    assert health(db)["open calls"] == ("ok", "0")
    db.execute("select bcp.begin_tool_call('b', 't', p_start_time => '2026-06-15T10:59:00Z')")
    assert health(db)["open calls"] == ("warn", "1")
    db.execute("delete from bcp_internal.anonymization_keys")
    assert health(db)["anonymiser"][0] == "fail"
    db.execute("select set_config('bcp.now', '2026-06-17T00:00:00Z', true)")
    assert health(db)["ingest"] == ("warn", "0")


def test_health_sees_chunks_that_are_kept(db: psycopg.Connection[Any]) -> None:
    db.execute("select set_config('bcp.now', %s, true)", [NOW])
    ingest(db, [usage(start_time="2026-01-01T00:00:00Z"), usage(start_time="2026-06-01T00:00:00Z")])
    assert health(db)["retention"] == ("ok", "0")
    db.execute("select bcp.cleanup_old_data()")
    assert health(db)["retention"] == ("warn", "1")


def test_health_sees_settings_that_let_values_into_the_log(db: psycopg.Connection[Any]) -> None:
    for setting, quiet in (
        ("log_min_error_statement", "panic"),
        ("log_parameter_max_length_on_error", "0"),
        ("log_parameter_max_length", "-1"),
        ("log_statement", "ddl"),
        ("log_min_duration_statement", "-1"),
    ):
        db.execute("select set_config(%s, %s, true)", [setting, quiet])
    assert health(db)["server log"] == ("ok", "0")
    for setting, loud in (
        ("log_min_error_statement", "error"),
        ("log_parameter_max_length_on_error", "-1"),
        ("log_statement", "mod"),
        ("log_statement", "all"),
        ("log_min_duration_statement", "250"),
        ("auto_explain.log_min_duration", "0"),
    ):
        with db.transaction(force_rollback=True):
            db.execute("select set_config(%s, %s, true)", [setting, loud])
            [row] = rows(db, "select * from bcp.health() where check_name = 'server log'")
            assert (row["status"], row["value"]) == ("warn", "1")
            assert f"set {setting} = " in row["detail"]
    # A slow statement is logged without its parameters.
    for setting in ("log_min_duration_statement", "log_parameter_max_length"):
        db.execute("select set_config(%s, '0', true)", [setting])
    assert health(db)["server log"] == ("ok", "0")
