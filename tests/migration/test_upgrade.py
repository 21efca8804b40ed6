"""An upgrade ends where a fresh install does, keeps what is the user's, and takes all or nothing."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bcp_analytics.errors import MigrationError
from bcp_analytics.migrate import _runner as runner
from bcp_analytics.migrate import _sqlfiles, status
from tests.catalog import snapshot
from tests.migration import older
from tests.migration.conftest import Project, value
from tests.targets import pg_config

# One function with more parameters than before, one with another result, one with other names, one that goes.
BEFORE = """
create or replace function bcp.grows(p_a integer) returns integer language sql as 'select p_a';
create or replace function bcp.turns(out x integer) language sql as 'select 1';
create or replace function bcp.renames(p_a integer) returns integer language sql as 'select p_a';
create or replace function bcp.goes() returns integer language sql as 'select 5';
create or replace procedure bcp.changes_kind() language sql as 'select 1';
create or replace function bcp.fire_old() returns trigger language plpgsql as 'begin return new; end;';
create or replace trigger fire before insert on bcp.things for each row execute function bcp.fire_old();
create or replace trigger goes before insert on bcp.things for each row execute function bcp.fire_old();
create or replace view bcp.seen as select bcp.grows(1) as a, bcp.renames(2) as b;
create or replace function bcp.rows_seen() returns setof bcp.seen language sql as 'table bcp.seen';
create or replace view bcp.goes as select bcp.goes() as five;
"""
AFTER = """
create or replace function bcp.grows(p_a integer, p_b integer default 0) returns integer language sql
as 'select p_a + p_b';
create or replace function bcp.turns(out x bigint, out y text) language sql as 'select 1, 2';
create or replace function bcp.renames(p_b integer) returns integer language sql as 'select p_b';
create or replace function bcp.changes_kind() returns integer language sql as 'select 1';
create or replace function bcp.fire_new() returns trigger language plpgsql as 'begin return new; end;';
create or replace trigger fire before insert on bcp.things for each row execute function bcp.fire_new();
create or replace view bcp.seen as select bcp.renames(2) as b, bcp.grows(1) as a;
create or replace function bcp.rows_seen() returns setof bcp.seen language sql as 'table bcp.seen';
-- Code that runs while it is loaded finds no second overload either.
select bcp.grows(1);
"""


def lines(dsn: str) -> Any:
    with psycopg.connect(dsn) as conn:
        return snapshot(conn)


@pytest.fixture
def upgraded(project: Project, scratch: str) -> Project:
    """A project that the database has in its state before, and whose code is now the one after."""
    project.code("30_more.sql", BEFORE)
    project.migrate(scratch)
    project.code("30_more.sql", AFTER)
    return project


@pytest.mark.parametrize("loaded_by", ["this version", "one that records nothing"])
def test_what_create_or_replace_would_leave_or_refuse_is_as_in_a_fresh_database(
    upgraded: Project, scratch: str, loaded_by: str
) -> None:
    if loaded_by == "one that records nothing":
        with psycopg.connect(scratch) as conn:
            conn.execute("drop table bcp_migrations.loaded_objects")
    upgraded.migrate(scratch)
    assert value(scratch, "select bcp.grows(1) + (bcp.turns()).x + bcp.renames(2) + bcp.changes_kind()") == 5
    after = lines(scratch)
    upgraded.rollback(scratch, count=None)
    upgraded.migrate(scratch)
    assert after == lines(scratch)


@pytest.mark.parametrize(
    ("before", "after", "loads"),
    [
        ("f(p_a integer) returns integer", "f(p_a integer) returns integer", 1),
        ("f(p_a integer) returns integer", "f(p_a integer, p_b integer default 0) returns integer", 2),
        # Refused, so what the files define is found out first.
        ("f(p_a integer) returns integer", "f(p_a integer) returns bigint", 3),
    ],
)
def test_code_is_loaded_once_if_it_replaces_all_there_is(
    project: Project, scratch: str, monkeypatch: pytest.MonkeyPatch, before: str, after: str, loads: int
) -> None:
    load, loaded = _sqlfiles.load, []
    project.code("30_more.sql", f"create or replace function bcp.{before} language sql as 'select 1';")
    project.migrate(scratch)
    project.code("30_more.sql", f"create or replace function bcp.{after} language sql as 'select 2';")
    monkeypatch.setattr(_sqlfiles, "load", lambda *given: [loaded.append(1), load(*given)])
    project.migrate(scratch)
    assert len(loaded) == loads
    assert value(scratch, "select bcp.f(0)") == 2
    assert value(scratch, "select count(*) from pg_proc where proname ~ '^(f|outdated_.*)$'") == 1


def test_what_no_load_made_is_nobodys_to_drop(upgraded: Project, scratch: str) -> None:
    with psycopg.connect(scratch) as conn:
        conn.execute("create function bcp.mine() returns integer language sql as 'select 7'")
        conn.execute("create view bcp.my_view as select bcp.answer() + bcp.mine() as answer")
    upgraded.migrate(scratch)
    assert value(scratch, "select answer from bcp.my_view") == 49


def test_a_users_view_on_code_that_goes_is_named_and_nothing_changes(upgraded: Project, scratch: str) -> None:
    upgraded.migration("0003_more", "create table bcp.more ();")
    with psycopg.connect(scratch) as conn:
        conn.execute("create view bcp.mine as select bcp.goes() as five")
    before = lines(scratch)
    with pytest.raises(
        MigrationError, match=r"(?s)not of bcp_analytics depends.*view bcp.mine depends on"
    ) as e:
        upgraded.migrate(scratch)
    assert "create it anew" in (e.value.hint or "")
    assert (lines(scratch), upgraded.status(scratch).pending) == (before, ("0003_more",))
    with psycopg.connect(scratch) as conn:
        conn.execute("drop view bcp.mine")
    assert upgraded.migrate(scratch).changed


def test_a_failure_takes_the_migrations_back_too(upgraded: Project, scratch: str) -> None:
    upgraded.migration("0003_more", "create table bcp.more ();")
    upgraded.code("99_broken.sql", "select 1 / 0;")
    before = lines(scratch)
    with pytest.raises(MigrationError, match=r"^sql/99_broken\.sql:1: 22012"):
        upgraded.migrate(scratch)
    assert (lines(scratch), upgraded.status(scratch).pending) == (before, ("0003_more",))


def test_what_comes_up_to_a_migration_without_transaction_stays(upgraded: Project, scratch: str) -> None:
    upgraded.migration("0003_more", "create table bcp.more ();")
    upgraded.migration("0004_alone", "-- transactional: false\nvacuum bcp.more;\n")
    upgraded.migration("0005_last", "create table bcp.last ();")
    upgraded.code("99_broken.sql", "select 1 / 0;")
    with pytest.raises(MigrationError, match="22012"):
        upgraded.migrate(scratch)
    assert upgraded.status(scratch).pending == ("0005_last",)
    (upgraded.sql / "99_broken.sql").unlink()
    assert upgraded.migrate(scratch).applied == ("0005_last",)


@pytest.mark.native("the embedded database is one backend, so nobody else holds a lock")
def test_a_lock_of_somebody_else_is_waited_for_a_little_at_a_time(
    upgraded: Project, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LOCK_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(runner, "_PAUSE_SECONDS", 0)
    with psycopg.connect(scratch) as reader:
        reader.execute("select from bcp.seen")
        with pytest.raises(MigrationError, match="lock timeout"):
            upgraded.migrate(scratch, wait_seconds=0)

        def let_go(sentence: str) -> None:
            if "begins anew" in sentence:
                reader.rollback()

        assert upgraded.migrate(scratch, progress=let_go).sql_applied


@pytest.mark.parametrize(
    ("sqlstate", "message", "tries"),
    [
        ("42P01", 'relation "_timescaledb_internal._hyper_1_2_chunk" does not exist', 2),
        ("XX000", "tuple concurrently updated", 2),
        ("40P01", "deadlock detected", 2),
        ("42P01", 'relation "bcp.nothing" does not exist', 1),
    ],
)
def test_what_a_job_did_meanwhile_begins_it_anew(
    project: Project, scratch: str, monkeypatch: pytest.MonkeyPatch, sqlstate: str, message: str, tries: int
) -> None:
    """Granting on a hypertable goes through its chunks, which jobs drop."""
    monkeypatch.setattr(runner, "_PAUSE_SECONDS", 0)
    project.code("30_fail.sql", f"do $$ begin raise '{message}' using errcode = '{sqlstate}'; end $$;")
    said: list[str] = []

    def mend(sentence: str) -> None:
        if "begins anew" in sentence:
            said.append(sentence)
            project.code("30_fail.sql", "select 1;")

    if tries == 2:
        assert project.migrate(scratch, progress=mend).sql_applied
    else:
        with pytest.raises(MigrationError, match=sqlstate):
            project.migrate(scratch, progress=mend)
    assert len(said) == tries - 1


NOW = "-c bcp.now=2026-01-10T00:00:00Z"
# A few hundred calls of the days before.
FILL = """
select bcp.ingest_tool_usage(null, (
    select jsonb_agg(jsonb_build_object(
        'bcp_name', 'b', 'tool_name', 't' || n % 5, 'duration_ms', n, 'success', n % 7 <> 0,
        'start_time', timestamptz '2026-01-01Z' + n * interval '7 minutes'))
    from generate_series(1, 500) as n))
"""
QUESTIONS = [
    "select * from bcp.tool_usage_stats('2026-01-01', '2026-01-04', '1 day')",
    "select * from bcp.latency_percentiles('2026-01-01', '2026-01-04')",
    "select * from bcp.hourly_tool_usage where hour < '2026-02-01'",
    "select client_name, sessions, calls, ratio from bcp.degenerate_sessions",
]
JOBS = "select array_agg(job_id || proc_name order by job_id) from timescaledb_information.jobs"


def test_a_store_with_data_jobs_and_readers_becomes_what_a_fresh_one_is(
    blank_db: str, clean_db: psycopg.Connection[Any], target: str, tmp_path: Path
) -> None:
    dsn = make_conninfo(blank_db, options=NOW)
    runner.migrate(dsn, sql_files=older.write(tmp_path / "sql"))
    with psycopg.connect(dsn) as conn:
        conn.execute("drop table bcp_migrations.loaded_objects")  # as a version before leaves it
        conn.execute(FILL)
        conn.execute(
            "create view public.mine as select * from bcp.tool_usage_stats('2026-01-01', '2026-01-04')"
        )
        jobs = conn.execute(JOBS).fetchone()
        answers = [conn.execute(q).fetchall() for q in QUESTIONS]
    assert answers[0]
    stop = threading.Event()
    outcomes: list[Any] = []

    def ask(question: str, answer: Any) -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            while not stop.is_set():
                try:
                    outcomes.append(conn.execute(question).fetchall() == answer)
                except psycopg.Error as error:
                    outcomes.append(str(error))

    with ExitStack() as until_done:
        # The embedded database is one backend, which readers would only keep from migrating.
        for question, answer in zip(QUESTIONS, answers, strict=True) if target == "native" else ():
            reader = threading.Thread(target=ask, args=(question, answer))
            reader.start()
            until_done.callback(reader.join)
        until_done.callback(stop.set)
        runner.migrate(dsn)
    # PostgreSQL locks no function that a question calls, so one of the version before may go meanwhile.
    gone = [one for one in outcomes if "cache lookup failed for function" in str(one)]
    assert len(gone) <= len(QUESTIONS)
    assert set(outcomes) - set(gone) <= {True}
    with psycopg.connect(dsn) as conn:
        assert [conn.execute(q).fetchall() for q in QUESTIONS] == answers
        assert conn.execute("select count(*) > 0 from public.mine").fetchone() == (True,)
        conn.execute("drop view public.mine")
        left = conn.execute(JOBS).fetchone()
        assert jobs is not None
        assert left is not None
        # Only the job whose procedure takes parameters of other names now is a new one.
        gone = set(jobs[0]) - set(left[0])
        assert {name.lstrip("0123456789") for name in gone} == {"find_floods_job", "gone_job"}
        assert [name.lstrip("0123456789") for name in set(left[0]) - set(jobs[0])] == ["find_floods_job"]
        assert snapshot(conn) == snapshot(clean_db)


@pytest.mark.native("the embedded database has one version of TimescaleDB")
def test_timescaledb_updates_below_a_store(blank_db: str) -> None:
    dsn = make_conninfo(blank_db, options=NOW)
    with psycopg.connect(dsn) as conn:
        found = conn.execute(
            "select max(string_to_array(version, '.')::integer[])"
            " from pg_available_extension_versions v join pg_available_extensions e using (name)"
            " where name = 'timescaledb' and version <> default_version and version ~ '^[0-9.]+$'"
        ).fetchone()
    assert found is not None
    version = ".".join(map(str, found[0] or ()))
    if not version or not (pg_config("--pkglibdir") / f"timescaledb-{version}.so").exists():
        pytest.skip("this server has one version of TimescaleDB")
    with psycopg.connect(dsn) as conn:
        conn.execute("drop extension if exists timescaledb")
        conn.commit()
    with psycopg.connect(dsn) as conn:
        conn.execute(f"create extension timescaledb schema public version '{version}'".encode())
    runner.migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(FILL)
        conn.execute("call bcp.refresh_analytics_views()")
        conn.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') c")
        answers = [conn.execute(q).fetchall() for q in QUESTIONS]
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("alter extension timescaledb update")
    runner.migrate(dsn)
    assert status(dsn).timescaledb != version
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert [conn.execute(q).fetchall() for q in QUESTIONS] == answers
        conn.execute(FILL)
        conn.execute("call bcp.refresh_analytics_views()")
        assert conn.execute("select sum(calls) from bcp.tool_usage_1d").fetchone() == (1000,)
