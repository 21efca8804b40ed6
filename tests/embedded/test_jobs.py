"""TimescaleDB jobs are run by the server itself, between the clients' turns."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.embedded import EmbeddedDatabase
from tests.embedded.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCEDURES = """
create table ran (
    job int, at timestamptz default clock_timestamp(), who text default current_user, mark text
);
grant all on ran to public;
create procedure note(job_id int, config jsonb) language plpgsql as $$
begin insert into public.ran (job, mark) values (job_id, current_setting('bcp.mark', true)); end $$;
create procedure fail(job_id int, config jsonb) language plpgsql as $$
begin
    insert into public.ran (job) values (job_id);
    set role nobody_else;
    raise exception 'wanted' using errcode = 'ZB999';
end $$;
create procedure commits(job_id int, config jsonb) language plpgsql as $$
begin
    insert into public.ran (job) values (job_id);
    commit;
    insert into public.ran (job) values (job_id);
end $$;
create procedure never_ends(job_id int, config jsonb) language plpgsql as $$
begin loop perform pg_sleep(0.01); end loop; end $$;
create role nobody_else; create role "Job Owner" login;
"""


@pytest.fixture(scope="module")
def servers(
    initialised: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EmbeddedDatabase, EmbeddedDatabase]]:
    """One that runs jobs and one that does not, on copies of the same folder."""
    folder = tmp_path_factory.mktemp("jobs")
    shutil.copytree(initialised, folder / "runs")
    shutil.copytree(initialised, folder / "rests")
    with (
        EmbeddedDatabase(folder / "runs", log_level="debug") as runs,
        EmbeddedDatabase(folder / "rests", run_jobs=False) as rests,
    ):
        for server in (runs, rests):
            with psycopg.connect(server.dsn, autocommit=True) as conn:
                conn.execute(PROCEDURES)
        yield runs, rests


@pytest.fixture
def conn(servers: tuple[EmbeddedDatabase, EmbeddedDatabase]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(servers[0].dsn, autocommit=True) as connection:
        yield connection
        connection.execute("select delete_job(job_id) from timescaledb_information.jobs where job_id >= 1000")
        connection.execute("truncate ran")


def add(conn: psycopg.Connection[Any], procedure: str, every: str = "200 ms") -> int:
    row = conn.execute("select add_job(%s::regproc, %s::interval)", [procedure, every]).fetchone()
    assert row is not None
    return int(row[0])


def runs(conn: psycopg.Connection[Any], job: int) -> int:
    row = conn.execute("select count(*) from ran where job = %s", [job]).fetchone()
    assert row is not None
    return int(row[0])


def test_due_jobs_run_by_themselves_and_leave_their_statistics(
    servers: tuple[EmbeddedDatabase, EmbeddedDatabase], conn: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(servers[1].dsn, autocommit=True) as without:
        resting = add(without, "note")
        job = add(conn, "note")
        until(lambda: runs(conn, job) >= 2)
        assert runs(without, resting) == 0
    stats = until(
        lambda: conn.execute(
            "select job_status, last_run_status, total_successes, total_failures,"
            " next_start > last_run_started_at"
            " from timescaledb_information.job_stats where job_id = %s and total_runs >= 2",
            [job],
        ).fetchone()
    )
    assert stats[:2] == ("Scheduled", "Success")
    assert stats[2] >= 2
    assert stats[3:] == (0, True)
    assert f"job {job} (public.note) took" in servers[0].log_path.read_text()


def test_a_job_runs_for_an_idle_server_too(
    servers: tuple[EmbeddedDatabase, EmbeddedDatabase], conn: psycopg.Connection[Any]
) -> None:
    job = add(conn, "note", every="1 s")
    said = f"job {job} (public.note) took"
    until(lambda: servers[0].log_path.read_text().count(said) >= 3)  # no client asks anything meanwhile


def test_a_failing_job_is_logged_and_retried_and_harms_nobody(
    servers: tuple[EmbeddedDatabase, EmbeddedDatabase], conn: psycopg.Connection[Any]
) -> None:
    bad, good = add(conn, "fail"), add(conn, "note")
    conn.execute("select alter_job(%s, retry_period => '100 ms')", [bad])
    failures = until(
        lambda: conn.execute(
            "select last_run_status, total_successes from timescaledb_information.job_stats"
            " where job_id = %s and total_failures >= 2",
            [bad],
        ).fetchone()
    )
    assert failures == ("Failed", 0)
    assert runs(conn, bad) == 0
    assert runs(conn, good) >= 2
    assert conn.execute("select current_user::text").fetchone() == ("postgres",)
    said = servers[0].log_path.read_text()
    assert f"job {bad} (public.fail) failed" in said
    assert "ZB999 wanted" in said
    errors = conn.execute(
        "select sqlerrcode, err_message from timescaledb_information.job_errors where job_id = %s", [bad]
    ).fetchall()
    assert ("ZB999", "wanted") in errors


def test_no_job_runs_in_the_middle_of_a_transaction(conn: psycopg.Connection[Any]) -> None:
    job = add(conn, "note")
    until(lambda: runs(conn, job) >= 1)
    with conn.transaction():
        [(began,)] = conn.execute("select clock_timestamp()").fetchall()
        patience = time.monotonic() + 2.5  # longer than the server looks for due jobs
        while time.monotonic() < patience:
            before = runs(conn, job)
        [(ended,)] = conn.execute("select clock_timestamp()").fetchall()
    until(lambda: runs(conn, job) > before)
    inside = conn.execute("select count(*) from ran where at between %s and %s", [began, ended])
    assert inside.fetchone() == (0,)


def test_jobs_run_as_their_owner_without_the_clients_settings(conn: psycopg.Connection[Any]) -> None:
    conn.execute("set bcp.mark = 'of the client'; set role nobody_else")
    try:
        with psycopg.connect(conn.info.dsn, user="Job Owner", autocommit=True) as owner:
            job = add(owner, "note")
        until(lambda: conn.execute("select 1 from ran where job = %s", [job]).fetchone())
        row = conn.execute(
            "select distinct who, coalesce(mark, '') from ran where job = %s", [job]
        ).fetchall()
        assert row == [("Job Owner", "")]
        assert conn.execute("select current_user::text, current_setting('bcp.mark')").fetchone() == (
            "nobody_else",
            "of the client",
        )
    finally:
        conn.execute("reset role; reset bcp.mark")


def test_a_job_may_commit_and_one_without_an_end_is_stopped_by_its_max_runtime(
    conn: psycopg.Connection[Any],
) -> None:
    endless, committing = add(conn, "never_ends"), add(conn, "commits")
    conn.execute("select alter_job(%s, max_runtime => '300 ms')", [endless])
    until(lambda: runs(conn, committing) >= 2)
    stats = until(
        lambda: conn.execute(
            "select total_successes from timescaledb_information.job_stats"
            " where job_id = %s and total_failures >= 1",
            [endless],
        ).fetchone()
    )
    assert stats == (0,)


def test_a_continuous_aggregate_and_compression_by_policy(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "create table metered (at timestamptz not null, value float8) with (timescaledb.hypertable,"
        " timescaledb.partition_column = 'at', timescaledb.chunk_interval = '1 day')"
    )
    conn.execute("insert into metered select now() - n * interval '1 hour', n from generate_series(1, 240) n")
    conn.execute(
        "create materialized view hourly with (timescaledb.continuous) as"
        " select time_bucket('1 hour', at) as at, sum(value) from metered group by 1 with no data"
    )
    conn.execute(
        "select add_continuous_aggregate_policy("
        "'hourly', interval '30 days', interval '1 hour', interval '1 hour')"
    )
    conn.execute("call remove_columnstore_policy('metered')")  # the table came with one of its own
    conn.execute("call add_columnstore_policy('metered', after => interval '2 days')")
    until(lambda: conn.execute("select count(*) > 200 from only hourly").fetchone() == (True,), timeout=20)
    until(
        lambda: (
            conn.execute(
                "select count(*) > 0 from timescaledb_information.chunks"
                " where hypertable_name = 'metered' and is_compressed"
            ).fetchone()
            == (True,)
        ),
        timeout=20,
    )
