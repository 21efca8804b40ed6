"""Cancel requests: what runs, what waits, what copies, and what is over already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.embedded.conftest import answer, answered, send, until

if TYPE_CHECKING:
    from tests.embedded.conftest import Connect

ENDLESS = "select count(*) from generate_series(1, 100000000000)"


@pytest.mark.parametrize(
    "statement",
    [
        ENDLESS,
        "select pg_sleep(100)",
        "do $$ begin loop end loop; end $$",
        "select sum(a * b) from generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    ],
)
def test_a_running_statement(connect: Connect, statement: str) -> None:
    conn, other = connect(), connect()
    other.execute("select 1")  # so that `conn` has to take over its turn
    send(conn, statement)
    conn.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled, match="due to user request"):
        answer(conn)
    assert conn.execute("select 'usable'").fetchone() == ("usable",)
    assert other.execute("select 'too'").fetchone() == ("too",)


def test_a_running_statement_of_the_extended_protocol_in_a_transaction(connect: Connect) -> None:
    conn = connect(autocommit=False)
    conn.execute("create table survives (n int)")
    conn.commit()
    conn.execute("insert into survives values (1)")
    with conn.cursor() as cursor:
        conn.pgconn.send_query_params(ENDLESS.encode(), [])
        conn.pgconn.flush()
        conn.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            answer(conn)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            cursor.execute("select 1")
        conn.rollback()
        assert cursor.execute("select count(*) from survives").fetchone() == (0,)


def test_again_and_again_none_is_lost(connect: Connect) -> None:
    conn, other = connect(), connect()
    for _ in range(30):
        other.execute("select 1")
        send(conn, ENDLESS)
        conn.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            answer(conn)


def test_a_waiting_client(connect: Connect) -> None:
    holder, waiter, third = connect(), connect(), connect()
    holder.execute("create table waited (n int)")
    with holder.transaction():
        holder.execute("select 1")
        send(waiter, "insert into waited values (1)")
        send(third, "insert into waited values (3) returning n")
        waiter.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            answer(waiter)
        assert not answered(third)
        assert holder.execute("select count(*) from waited").fetchone() == (0,)
    assert answer(third) == "3"
    assert waiter.execute("select array_agg(n) from waited").fetchone() == ([3],)


def test_a_waiting_pipeline_is_cancelled_up_to_its_sync(connect: Connect) -> None:
    holder, waiter = connect(), connect()
    holder.execute("create table queued (n int)")
    pgconn = waiter.pgconn
    with holder.transaction():
        holder.execute("select 1")
        pgconn.enter_pipeline_mode()
        for n in (1, 2):
            pgconn.send_query_params(b"insert into queued values ($1::int)", [b"%d" % n])
            pgconn.send_flush_request()
        pgconn.pipeline_sync()
        pgconn.send_query_params(b"insert into queued values (3)", [])
        pgconn.pipeline_sync()
        pgconn.flush()
        holder.execute("select 1")
        waiter.cancel_safe()
    statuses = []
    while statuses.count("PIPELINE_SYNC") < 2:
        until(lambda: answered(waiter))
        if (result := pgconn.get_result()) is not None:
            statuses.append(psycopg.pq.ExecStatus(result.status).name)
    assert statuses == ["FATAL_ERROR", "PIPELINE_ABORTED", "PIPELINE_SYNC", "COMMAND_OK", "PIPELINE_SYNC"]
    pgconn.exit_pipeline_mode()
    assert waiter.execute("select array_agg(n) from queued").fetchone() == ([3],)


def test_one_that_waits_for_an_advisory_lock(connect: Connect) -> None:
    holder, waiter = connect(), connect()
    holder.execute("select pg_advisory_lock(5)")
    send(waiter, "select pg_advisory_lock(5)")
    assert holder.execute("select 'goes on'").fetchone() == ("goes on",)
    waiter.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        answer(waiter)
    holder.execute("select pg_advisory_unlock(5)")
    assert waiter.execute("select pg_try_advisory_lock(5)").fetchone() == (True,)


def test_one_that_comes_late_hits_nothing(connect: Connect) -> None:
    conn, other = connect(), connect()
    for n in range(50):
        send(conn, f"select {n}")
        until(lambda: answered(conn))  # over, though the client has not looked yet
        conn.cancel_safe()
        assert answer(conn) == str(n)
        assert conn.execute("select count(*) from generate_series(1, 10000)").fetchone() == (10_000,)
        assert other.execute("select %s::int", [n]).fetchone() == (n,)


def test_a_stranger_without_the_secret_cancels_nothing(connect: Connect) -> None:
    conn, other = connect(), connect()
    send(conn, "select pg_sleep(0.3), 'done'")
    other.cancel_safe()
    assert answer(conn) is not None


def test_in_the_middle_of_copy_from_stdin(connect: Connect) -> None:
    conn, other = connect(), connect()
    conn.execute("create table loading (n int)")
    for _ in range(3):
        assert conn.pgconn.exec_(b"copy loading from stdin").status == psycopg.pq.ExecStatus.COPY_IN
        conn.pgconn.put_copy_data(b"1\n2\n")
        conn.pgconn.flush()
        conn.cancel_safe()
        send(other, "select count(*) from loading")
        assert answer(other) == "0"  # the turn is free although the client still copies
        conn.pgconn.put_copy_data(b"3\n")
        conn.pgconn.put_copy_end()
        with pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
            answer(conn)
        assert conn.execute("select count(*) from loading").fetchone() == (0,)


def test_in_the_middle_of_copy_to_stdout(connect: Connect) -> None:
    conn = connect()
    endless = "copy (select repeat('x', 10000) from generate_series(1, 1000000)) to stdout"
    with conn.cursor() as cursor, cursor.copy(endless) as copy:
        assert copy.read()
        conn.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            list(copy)
    assert conn.execute("select 'usable'").fetchone() == ("usable",)
