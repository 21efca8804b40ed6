"""What a caller sets in its session moves no clock but the owner's, and changes nothing that is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from bcp_analytics import cleanup_plan
from bcp_analytics.archive import archive
from bcp_analytics.cli._app import app
from bcp_analytics.queries._questions import QUESTIONS
from tests.security.roles import logged_in_as
from tests.sql.events import KINDS, ingest, open_alert, rows, something_to_answer, usage

if TYPE_CHECKING:
    from pathlib import Path

Db = psycopg.Connection[Any]
PINNED = {
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    # 10:36 IST is 05:06 UTC in India, and 08:36 UTC to who reads it.
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Kolkata",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    # These settings send the plans of the owner's functions as messages.
    "debug_print_parse": "on",
    "debug_print_rewritten": "on",
    "debug_print_plan": "on",
    # Where and how new chunks are kept.
    "default_tablespace": "pg_default",
    "default_table_access_method": "heap",
}

# How text is read and written, as strange as a session may have it.
STRANGE = {
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "datestyle": "German",
    "timezone": "Asia/Kolkata",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
}
MADE = """
select (select md5(string_agg(r::text, '' order by r::text)) from bcp.anonymization_rules r),
       (select md5(string_agg(r::text, '' order by r::text)) from bcp.sensitive_keys r),
       (select md5(string_agg(pg_get_functiondef(p.oid), '' order by p.oid::regprocedure::text))
        from pg_proc p
        where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace) and p.prokind = 'f'),
       (select md5(string_agg(pg_get_viewdef(c.oid), '' order by c.relname)) from pg_class c
        where c.relnamespace = 'bcp'::regnamespace and c.relkind = 'v' and c.relname !~ '_[0-9]+(m|h|d|mo)$')
"""


@pytest.mark.parametrize("clock", ["2300-01-01", "0044-03-15 BC", "infinity", "yesterday's"])
@pytest.mark.parametrize("role", ["bcp_writer", "bcp_admin"])
def test_only_the_owner_moves_the_clock(db: Db, role: str, clock: str) -> None:
    with logged_in_as(db, role, bcp__now=clock):
        for kind, event in KINDS.items():
            assert ingest(db, [event], kind) == (1, 1, 0, 0)
        db.execute("select bcp.begin_tool_call('files', 'read')")
        db.execute("select bcp.report_collector('s', gen_random_uuid())")
        if role == "bcp_admin":
            db.execute("select * from bcp.cleanup_old_data()")
    now = [
        ("tool_usage_logs", "start_time"), ("error_logs", "timestamp"), ("performance_metrics", "timestamp"),
        ("user_sessions", "last_activity"), ("ingest_batches", "received_at"),
        ("open_tool_calls", "started_at"), ("collector_reports", "reported_at"),
    ]  # fmt: skip
    for table, column in now:
        found = rows(db, f"select {column} = now() as is_now from bcp.{table}")
        assert found, table
        assert all(row["is_now"] for row in found), table


def test_an_owner_need_not_be_a_superuser(db: Db) -> None:
    db.execute("create role bcp_test_owner; alter schema bcp owner to bcp_test_owner")
    db.execute("grant usage on schema bcp_internal to bcp_test_owner")
    db.execute("grant execute on all functions in schema bcp_internal to bcp_test_owner")
    with logged_in_as(db, "bcp_test_owner", bcp__now="2026-06-15T12:00:00Z"):
        assert rows(db, "select bcp_internal.now() = '2026-06-15 12:00Z' as yes") == [{"yes": True}]
        # Security definer makes everybody the owner, but who logged in stays.
    with logged_in_as(db, "bcp_writer", bcp__now="2026-06-15T12:00:00Z"):
        ingest(db, [usage()])
    assert rows(db, "select created_at = now() as yes from bcp.tool_usage_logs") == [{"yes": True}]


def test_a_session_changes_nothing_of_what_the_owner_runs(db: Db) -> None:
    secret = r"ada@example.com, 123-45-6789 and \\d, \n"
    day = str(rows(db, "select (now() - interval '2 days')::date::text as day")[0]["day"])
    events = [
        usage(parameters={"note": secret, "n": 1.2345678901}, start_time=f"{day} 10:36"),
        1,
        {"a": secret},
    ]
    for settings in (PINNED, {}):  # With these first, as a session compiles its functions once.
        with logged_in_as(db, "bcp_writer", **settings):
            assert ingest(db, events) == (3, 1, 0, 2)
            db.execute(
                "select bcp.begin_tool_call('files', 'read', p_parameters => %s)", [json.dumps(secret)]
            )
    for query in (
        "select start_time, parameters, session_id from bcp.tool_usage_logs",
        "select reason, event from bcp.rejected_events where reason_code = 'ZB005'",
        "select event - '{event_id}'::text[] from bcp.open_tool_calls",
    ):
        found = [json.dumps(row, default=str, sort_keys=True) for row in rows(db, query)]
        assert found, query
        assert len(found) == 2 * len(set(found)), found
        assert not any("ada@" in row or "123-45-6789" in row for row in found)


def test_a_sender_sees_no_plan_of_what_the_owner_runs(clean_db: Db) -> None:
    seen: list[str] = []
    clean_db.add_notice_handler(lambda notice: seen.append(str(notice.message_detail)))
    settings = {name: "on" for name in PINNED if name.startswith("debug_print")}
    with logged_in_as(clean_db, "bcp_writer", client_min_messages="log", **settings):
        clean_db.execute("select bcp.log_error('error', 'ada@example.com')")
    assert any("QUERY" in text or "PLANNEDSTMT" in text for text in seen), "the call itself is shown"
    assert not [text for text in seen if "error_logs" in text or "anonym" in text]


def test_every_function_that_runs_as_the_owner_pins_them(db: Db) -> None:
    loose = rows(
        db,
        "select p.oid::regprocedure::text as name from pg_proc p"
        " where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace) and p.prosecdef"
        " and not array(select lower(split_part(c, '=', 1)) from unnest(p.proconfig) as c) @> %s",
        [["search_path", *PINNED]],
    )
    assert loose == []


def test_answers_do_not_depend_on_how_a_session_writes_times(db: Db) -> None:
    time = rows(db, "select date_trunc('hour', now() - interval '2 days') + interval '36 minutes' as t")[0][
        "t"
    ]
    ingest(db, [usage(start_time=time.isoformat())])
    db.execute("set local datestyle = 'SQL, DMY'; set local timezone = 'Asia/Kolkata'")
    for width in ("1 hour", None):
        found = rows(
            db, "select sum(call_count) as n from bcp.tool_usage_stats(%s, %s, %s)",
            [time, time.replace(minute=37), width],
        )  # fmt: skip
        assert found == [{"n": 1}]


def test_no_question_depends_on_how_a_session_reads_and_writes(db: Db) -> None:
    [now] = rows(db, "select now() - interval '1 hour' as t")
    for kind, events in something_to_answer(now["t"]).items():
        ingest(db, events, kind)
    open_alert(db)
    db.execute("select set_config('bcp.now', (now() + interval '1 second')::text, true)")
    answers = []
    for settings in ({}, STRANGE):
        for name, value in settings.items():
            db.execute("select set_config(%s, %s, true)", [name, value])
        answers.append({name: ask(db) for name, (ask, _) in QUESTIONS.items()})
    assert all(answers[0].values())
    assert answers[1] == answers[0]


def test_our_commands_have_settings_of_their_own(blank_db: str, db: Db, tmp_path: Path) -> None:
    usual = db.execute(MADE).fetchone()
    strange = " ".join(f"-c {name}={value}" for name, value in STRANGE.items())
    dsn = make_conninfo(blank_db, options=strange)

    def command(*args: str) -> str:
        done = CliRunner().invoke(app, [*args, "--dsn", dsn])
        assert done.exit_code == 0, (args, done.output, done.exception)
        return done.output

    command("migrate")
    with psycopg.connect(blank_db, autocommit=True) as conn:
        assert conn.execute(MADE).fetchone() == usual
        [old] = rows(conn, "select (now() - interval '100 days')::text as t")
        ingest(conn, [usage(start_time=old["t"], duration_ms=0.1 + 0.2, user_id="u1")])
        ingest(conn, [usage(success=False, user_id="u1")])
    assert "nothing to do" in command("migrate")
    assert "Up to date." in command("status")
    command("refresh")
    command("query", "tool_usage_stats", "--since", "200d")
    command("report")
    assert "tool_usage_logs" in command("cleanup", "--dry-run")
    command("archive", "--location", str(tmp_path))
    assert "1 row removed in 1 chunk" in command("cleanup")
    command("restore", "--table", "tool_usage_logs", "--from", "200d", "--to", "now")
    command("anonymize-history")
    command("rollback", "--yes")


def test_late_calls_reach_the_aggregates_whatever_their_sender_set(clean_db: Db) -> None:
    def counted() -> int:
        clean_db.execute("call bcp.refresh_analytics_views()")
        return int(rows(clean_db, "select coalesce(sum(calls), 0) as n from bcp.tool_usage_1d")[0]["n"])

    late = [usage(start_time=str(rows(clean_db, "select (now() - interval '3 days')::text as t")[0]["t"]))]
    ingest(clean_db, late)
    assert counted() == 1
    with logged_in_as(clean_db, "bcp_writer", timescaledb__skip_cagg_invalidation="on"):
        ingest(clean_db, late)
    assert counted() == 2


def test_no_duration_leads_out_of_the_years_that_are_allowed(db: Db) -> None:
    with logged_in_as(db, "bcp_writer"):
        time = rows(db, "select now()::text as t")[0]["t"]
        calls = [usage(duration_ms=9e13), usage(start_time=time, duration_ms=9e13)]
        assert ingest(db, calls) == (2, 2, 0, 0)
    assert rows(db, "select distinct duration_ms from bcp.tool_usage_logs") == [{"duration_ms": None}]


@pytest.mark.parametrize("time", ["0044-03-15 BC", "12345-01-01"])
def test_a_time_outside_the_years_1_to_9999_is_refused_by_name(db: Db, time: str) -> None:
    for query, name in [
        ("select bcp.report_collector('s', gen_random_uuid(), p_started_at => %s)", "p_started_at"),
        ("select * from bcp.tool_usage_stats(p_until => %s)", "p_until"),
        ("select * from bcp.search_errors('x', %s)", "p_since"),
        ("select set_config('bcp.now', %s, true), bcp_internal.now()", "bcp.now"),
    ]:
        with pytest.raises(psycopg.Error, match=f"^{name} is not within") as raised, db.transaction():
            db.execute(query, [time])
        assert raised.value.sqlstate == "ZB002"


def test_rows_of_impossible_times_stop_no_command(clean_db: Db, tmp_path: Path) -> None:
    clean_db.execute(
        "insert into bcp.tool_usage_logs (start_time, created_at, event_id, bcp_name, tool_name, operation)"
        " select t::timestamptz, now(), gen_random_uuid(), 'files', 'read', 'call'"
        " from unnest('{0044-03-15 BC, 12345-01-01, 2020-01-01}'::text[]) as t"
    )
    clean_db.execute("call bcp.run_cleanup()")
    assert [old.range_start.year for old in cleanup_plan(clean_db)] == [2020]  # type: ignore[union-attr]
    assert [made.range_start.year for made in archive(clean_db, tmp_path, table="tool_usage_logs")] == [2020]
    [times] = rows(clean_db, "select * from bcp.health() where check_name = 'times'")
    assert (times["status"], times["value"]) == ("warn", "2")
    assert "tool_usage_logs" in times["detail"]
