"""Background jobs run, and where they do not, the store says so."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.migrate import migrate, status
from tests.embedded.conftest import until
from tests.security.roles import logged_in_as
from tests.sql.events import KINDS, ingest, loaded, rows, usage
from tests.targets import NativeCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

Db = psycopg.Connection[Any]

# What the scheduler writes after jobs have failed.
FAILED = """
with job (job_id, message) as (
    select j.job_id, e.message
    from timescaledb_information.jobs j
    join (values ('cleanup_job', '"relation\\n is gone"'), ('columnstore_job', '"relation x is gone"'))
        as e (proc_name, message) using (proc_name)
), noted as (
    insert into _timescaledb_internal.bgw_job_stat_history
        (job_id, pid, execution_start, execution_finish, succeeded, data)
    select job_id, 1, now(), now(), false,
           format('{"error_data": {"sqlerrcode": "42P01", "message": %s}}', message)::jsonb
    from job
)
insert into _timescaledb_internal.bgw_job_stat (
    job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs,
    total_duration, total_duration_failures, total_successes, total_failures, total_crashes,
    consecutive_failures, consecutive_crashes, flags)
select job_id, now(), now(), now() + interval '1 hour', '-infinity', false, 1, '0', '0', 0, 1, 0, 1, 0, 0
from job
on conflict (job_id) do update set
    last_finish = excluded.last_finish, last_run_success = false, next_start = excluded.next_start
"""
# What a stop of the server leaves of a job that it came in the way of.
CRASHED = """
insert into _timescaledb_internal.bgw_job_stat (
    job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success, total_runs,
    total_duration, total_duration_failures, total_successes, total_failures, total_crashes,
    consecutive_failures, consecutive_crashes, flags)
select
    job_id, now() - %s::interval, '-infinity', '-infinity', '-infinity', false, 7, '0', '0', 5, 0, 2, 0, 1, 0
from timescaledb_information.jobs where proc_name = 'cleanup_job'
on conflict (job_id) do update set
    last_start = excluded.last_start, last_finish = excluded.last_finish, next_start = excluded.next_start,
    total_runs = excluded.total_runs, total_successes = excluded.total_successes
"""


def troubles(conn: Db) -> list[str]:
    """Return what is wrong with the jobs, but for that the tests' own server runs none."""
    found = rows(conn, "select trouble from bcp_internal.job_troubles()")
    return [row["trouble"] for row in found if "max_background_workers = 0" not in row["trouble"]]


@pytest.mark.parametrize(
    ("timescaledb", "postgresql", "fails"),
    [
        ("{2,28,3}", 150019, False),
        ("{2,28,3}", 150020, True),
        ("{2,28,3}", 160016, True),
        ("{2,28,3}", 170012, True),
        ("{2,28,3}", 180006, False),
        ("{2,28,3}", 180007, True),
        ("{2,23,0}", 170012, True),
        ("{2,27,2}", 170012, True),
        ("{2,27,3}", 170012, False),
        ("{2,28,4}", 170012, False),
        ("{2,29,2}", 180007, True),
        ("{2,31,1}", 180007, True),
        ("{2,31,2}", 180007, False),
        ("{2,32,0}", 180007, False),
        ("{2,32,0}", 190000, False),
    ],
)
def test_versions_whose_every_job_fails_are_known(
    db: Db, timescaledb: str, postgresql: int, fails: object
) -> None:
    [found] = rows(db, "select bcp_internal.jobs_cannot_run(%s, %s) as fails", [timescaledb, postgresql])
    assert found["fails"] is fails


def test_such_a_version_is_told_of_with_the_remedy(db: Db) -> None:
    db.execute(
        "create or replace function bcp_internal.jobs_cannot_run(p_timescaledb integer[], p_server integer)"
        " returns boolean language sql as 'select true'"
    )
    loaded(db)
    [trouble] = troubles(db)
    assert "fails every background job on PostgreSQL" in trouble
    assert "install TimescaleDB 2.27.3, 2.28.4, or 2.31.2 or later" in trouble


def test_a_job_that_failed_is_told_of_with_the_text_of_its_error(clean_db: Db, dsn: str) -> None:
    loaded(clean_db)
    assert troubles(clean_db) == []
    clean_db.execute(FAILED)
    told = "background job cleanup_job failed when last run: 42P01 relation is gone"
    other = "background job columnstore_job failed when last run: 42P01 relation x is gone"
    said: list[str] = []
    try:
        assert troubles(clean_db) == [told, other]
        assert told in status(dsn).warnings
        assert told in migrate(dsn, progress=said.append).warnings
        assert told in said
        with logged_in_as(clean_db, "bcp_reader"):
            [jobs] = rows(clean_db, "select status, detail from bcp.health() where check_name = 'jobs'")
        assert jobs["status"] == "fail"
        assert jobs["detail"].splitlines()[-2:] == [told, other]
    finally:
        # No table of ours, so nobody else empties them.
        clean_db.execute(
            "truncate _timescaledb_internal.bgw_job_stat, _timescaledb_internal.bgw_job_stat_history"
        )


def test_jobs_that_nobody_runs_are_told_of(db: Db) -> None:
    loaded(db)
    [paused] = rows(
        db, "select job_id as id from timescaledb_information.jobs where proc_name = 'forget_keys_job'"
    )
    db.execute("select alter_job(%s, scheduled => false)", [paused["id"]])
    [trouble] = troubles(db)
    assert f"forget_keys_job is paused until select alter_job({paused['id']}, scheduled => true)" in trouble
    loaded(db, timedelta(minutes=11))
    [late, _] = troubles(db)
    assert "have never run" in late
    assert "policy_refresh_continuous_aggregate of tool_usage_1h" in late
    assert "forget_keys_job" not in late


def test_a_job_that_crashed_is_told_of(db: Db) -> None:
    loaded(db)
    # Its process may not be there yet.
    db.execute(CRASHED, ["10 seconds"])
    assert troubles(db) == []
    db.execute(CRASHED, ["20 minutes"])
    [crashed] = troubles(db)
    assert crashed.startswith("background job cleanup_job crashed when last run, at ")
    assert "as did 2 of its 7 runs" in crashed


def test_chunks_that_nobody_moves_to_the_columnstore_are_told_of(db: Db) -> None:
    loaded(db)
    ingest(db, [usage(start_time=datetime.now(UTC).isoformat())])
    told = (
        "chunks that should have moved to the columnstore a day ago or more,"
        " by columnstore_job and columnstore_tables_job: 1 of tool_usage_logs"
    )
    # It ends within a day, is due a day later, and is to be told of after one more.
    for days, found in ((0.5, []), (4, [told])):
        db.execute("select set_config('bcp.now', (now() + %s)::text, true)", [timedelta(days=days)])
        assert troubles(db) == found
    moved = (
        "select bcp_internal.move_chunk(chunk, hypertable, merges) as ok from bcp_internal.chunks_to_move()"
    )
    assert [row["ok"] for row in rows(db, moved)] == [True]
    assert troubles(db) == []
    # That a call came late for it says nothing about how long the chunk has waited.
    db.execute("reset bcp.now")
    ingest(db, [usage(start_time=datetime.now(UTC).isoformat())])
    db.execute("select set_config('bcp.now', (now() + interval '4 days')::text, true)")
    assert len(rows(db, "select from bcp_internal.chunks_to_move()")) == 1
    assert troubles(db) == []


def test_old_chunks_are_told_of_whatever_the_log_of_cleanup_says(db: Db) -> None:
    def retention() -> tuple[str, str, str]:
        [found] = rows(db, "select status, value, detail from bcp.health() where check_name = 'retention'")
        return found["status"], found["value"], found["detail"]

    well = ("ok", "0", "no chunk past its retention is kept")
    ingest(db, [usage(start_time=datetime.now(UTC).isoformat())])
    db.execute("select set_config('bcp.now', (now() + interval '91 days')::text, true)")
    assert retention() == well
    db.execute("select set_config('bcp.now', (now() + interval '94 days')::text, true)")
    assert retention()[:2] == ("warn", "1")
    assert "cleanup has not come to it for a day or more" in retention()[2]
    db.execute("select bcp.cleanup_old_data()")
    assert "not archived yet" in retention()[2] or "not all of it is aggregated yet" in retention()[2]
    # By hand: the log still has it as kept.
    db.execute("select drop_chunks('bcp.tool_usage_logs', older_than => bcp_internal.now())")
    assert retention() == well


@pytest.mark.native("the embedded engine has no workers")
def test_a_server_without_workers_is_told_of(db: Db) -> None:
    loaded(db)
    told = rows(db, "select status, trouble from bcp_internal.job_troubles()")
    assert [row["status"] for row in told] == ["warn"]
    # A worker a job, TimescaleDB's own among them, one for its launcher and one for its scheduler.
    [wanted] = rows(db, "select count(*) + 2 as n from timescaledb_information.jobs")
    assert f"set it to {wanted['n']} or more" in told[0]["trouble"]
    # The store of docker-compose.yml has one database.
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8")
    [given] = re.findall(r"max_background_workers=(\d+)", compose)
    [processes] = re.findall(r"max_worker_processes=(\d+)", compose)
    assert int(given) >= wanted["n"]
    assert int(processes) >= int(given) + 8 + 3


@pytest.fixture
def scheduler(target: str) -> Iterator[str]:  # noqa: ARG001 - it is there for native
    """A migrated database whose jobs TimescaleDB's own scheduler runs."""
    cluster = NativeCluster(**{"timescaledb.max_background_workers": "48", "max_worker_processes": "58"})
    try:
        cluster.start()
        with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database store")
        dsn = cluster.dsn("store")
        migrate(dsn)
        yield dsn
    finally:
        cluster.stop()


@pytest.mark.native("the embedded engine has a scheduler of its own, and tests of it")
def test_the_scheduler_runs_every_job(scheduler: str) -> None:
    with psycopg.connect(scheduler, autocommit=True) as conn:

        def ran(times: int) -> bool:
            found = rows(
                conn,
                "select concat_ws(' of ', proc_name, relation) as name, total_successes as n, error"
                " from bcp_internal.jobs() left join timescaledb_information.job_stats using (job_id)"
                " left join (select job_id, max(err_message) as error"
                " from timescaledb_information.job_errors group by 1) e using (job_id)",
            )
            if any("cannot drop portal" in str(row["error"]) for row in found):
                # What this very test is for, seen from the other side.
                assert "cannot drop portal" in " ".join(troubles(conn))
                pytest.skip("every background job of this TimescaleDB fails on this PostgreSQL")
            assert [row for row in found if row["error"] is not None] == []
            return len(found) == 44 and all((row["n"] or 0) >= times for row in found)

        until(lambda: ran(1), timeout=60)
        now = datetime.now(UTC)
        ingest(conn, [usage(start_time=(now - timedelta(days=3)).isoformat())])
        metric = KINDS["metrics"] | {"timestamp": (now - timedelta(days=40)).isoformat()}
        ingest(conn, [metric], "metrics")
        # Not before: a job that is running would go by its old schedule once more.
        conn.execute(
            "select alter_job(job_id, schedule_interval => '1 s', next_start => now())"
            " from bcp_internal.jobs()"
        )
        until(lambda: ran(3), timeout=60)
        # What they are for has happened by itself.
        for query in (
            "select from bcp.tool_usage_1d where calls = 1",
            "select from timescaledb_information.chunks where is_compressed and hypertable_schema = 'bcp'",
            "select from bcp.cleanup_log where table_name = 'performance_metrics' and action = 'dropped'",
        ):
            until(lambda query=query: rows(conn, query), timeout=30)
        alert = "select from bcp.alerts where rule_name = 'errors' and {}"
        ingest(conn, [usage(success=False)] * 20)
        until(lambda: rows(conn, alert.format("opened_at is not null")), timeout=30)
        ingest(conn, [usage(success=True)] * 1000)
        until(lambda: rows(conn, alert.format("closed_at is not null")), timeout=30)
    # TimescaleDB's workers, those of parallel queries, and three more.
    told = "set max_worker_processes = 59 or more (it is 58) and restart PostgreSQL"
    assert [warning[-len(told) :] for warning in status(scheduler).warnings] == [told]
