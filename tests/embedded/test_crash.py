"""The engine dies under its clients: they are told, and the server goes on with a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.embedded.conftest import answer, send, until

if TYPE_CHECKING:
    from tests.embedded.conftest import StartServer

RUNAWAY = """
create table kept (n int);
insert into kept values (1);
create function runaway(n int) returns int language plpgsql as $$
begin return runaway(n + 1); end $$;
create procedure deadly(job_id int, config jsonb) language plpgsql as $$
begin perform public.runaway(0); end $$
"""


def test_clients_are_told_and_what_was_committed_is_there(start_server: StartServer) -> None:
    server = start_server()
    pid = server.pid
    killer, idle, waiter = (psycopg.connect(server.dsn, autocommit=True) for _ in range(3))
    killer.execute(RUNAWAY)
    for _ in range(2):
        killer.execute("begin; insert into kept values (2)")
        send(waiter, "insert into kept values (3)")
        send(killer, "select runaway(0)")
        for conn in (killer, waiter):
            with pytest.raises(psycopg.OperationalError, match="stopped unexpectedly"):
                answer(conn)
        with pytest.raises(psycopg.errors.CrashShutdown):  # 57P02
            idle.execute("select 1")
        # The server lives on, and a client that comes at once waits for the new engine.
        killer, idle, waiter = (psycopg.connect(server.dsn, autocommit=True) for _ in range(3))
        assert idle.execute("select n from kept").fetchall() == [(1,)]
        assert server.pid == pid
    for conn in (killer, idle, waiter):
        conn.close()
    assert server.log_path.read_text().count("the database engine runs again") == 2


def test_a_job_that_kills_the_engine_is_booked_as_failed_and_not_run_again_at_once(
    start_server: StartServer,
) -> None:
    server = start_server(run_jobs=True)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(RUNAWAY)
        conn.execute("select add_job('deadly', interval '1 hour')")
    until(lambda: "the database engine runs again" in server.log_path.read_text(), timeout=30)

    def failures() -> list[tuple[object, ...]]:
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            return conn.execute(
                "select total_failures, s.next_start > now() + interval '1 minute'"
                " from timescaledb_information.job_stats s"
                " join timescaledb_information.jobs using (job_id) where proc_name = 'deadly'"
            ).fetchall()

    until(lambda: failures() == [(1, True)], timeout=20)
    assert server.log_path.read_text().count("the database engine stopped") == 1
