"""Clients take turns: who waits, for how long, and how a turn is taken away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.embedded.conftest import IDLE_LIMIT_S, answer, answered, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.embedded.conftest import Connect, StartServer

SHORT = "-c idle_in_transaction_session_timeout=200ms"


def test_others_wait_while_a_transaction_is_open_and_then_go_on_in_order(connect: Connect) -> None:
    holder, others = connect(), [connect() for _ in range(3)]
    holder.execute("create table in_order (n int generated always as identity, who int)")
    with holder.transaction():
        holder.execute("insert into in_order (who) values (-1)")
        for who, other in enumerate(others):
            send(other, f"insert into in_order (who) values ({who}) returning who")
            holder.execute("select 1")
        for _ in range(20):
            holder.execute("select 1")
        assert not any(answered(other) for other in others)
    assert [answer(other) for other in others] == ["0", "1", "2"]
    assert holder.execute("select array_agg(who order by n) from in_order").fetchone() == ([-1, 0, 1, 2],)


def test_a_client_that_idles_in_a_transaction_loses_it_and_the_next_goes_on(connect: Connect) -> None:
    holder, other = connect(autocommit=False), connect()
    other.execute("create table idled (n int)")
    began = time.monotonic()
    holder.execute("insert into idled values (1)")
    send(other, "select count(*) from idled")
    assert answer(other) == "0"
    assert time.monotonic() - began >= IDLE_LIMIT_S
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout, match="idle-in-transaction"):
        holder.execute("select 1")
    assert holder.closed


def test_the_limit_counts_from_the_last_statement(connect: Connect) -> None:
    conn = connect(options=SHORT)
    with conn.transaction():
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            conn.execute("select 1")
        conn.execute("select pg_sleep(0.4)")  # a statement that runs is not idle
        conn.execute("create table lasted ()")
    assert conn.execute("select to_regclass('lasted') is not null").fetchone() == (True,)


def in_a_transaction(conn: psycopg.Connection[Any]) -> None:
    conn.execute("begin; insert into cut values (1)")


def in_a_failed_transaction(conn: psycopg.Connection[Any]) -> None:
    conn.execute("begin; insert into cut values (1)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        conn.execute("select 1/0")


def in_an_exchange_without_sync(conn: psycopg.Connection[Any]) -> None:
    conn.pgconn.enter_pipeline_mode()
    conn.pgconn.send_query_params(b"insert into cut values (1)", [])
    conn.pgconn.send_flush_request()
    conn.pgconn.flush()
    result = conn.pgconn.get_result()
    assert result is not None
    assert result.status == psycopg.pq.ExecStatus.COMMAND_OK


def in_an_exchange_that_began_a_transaction(conn: psycopg.Connection[Any]) -> None:
    conn.pgconn.enter_pipeline_mode()
    for sql in (b"begin", b"insert into cut values (1)"):
        conn.pgconn.send_query_params(sql, [])
        conn.pgconn.send_flush_request()
        conn.pgconn.flush()
        assert conn.pgconn.get_result() is not None
        assert conn.pgconn.get_result() is None


def in_a_bind_without_execute(conn: psycopg.Connection[Any]) -> None:
    conn.pgconn.enter_pipeline_mode()
    conn.pgconn.send_prepare(b"waits", b"insert into cut values (1)")
    conn.pgconn.send_flush_request()
    conn.pgconn.flush()
    assert conn.pgconn.get_result() is not None


def in_a_copy(conn: psycopg.Connection[Any]) -> None:
    assert conn.pgconn.exec_(b"copy cut from stdin").status == psycopg.pq.ExecStatus.COPY_IN
    conn.pgconn.put_copy_data(b"1\n")
    conn.pgconn.flush()


@pytest.mark.parametrize(
    "idle",
    [
        in_a_transaction,
        in_a_failed_transaction,
        in_an_exchange_without_sync,
        in_an_exchange_that_began_a_transaction,
        in_a_bind_without_execute,
        in_a_copy,
    ],
)
def test_whatever_holds_the_turn_is_cut_by_the_clients_own_limit(
    connect: Connect, idle: Callable[[psycopg.Connection[Any]], None]
) -> None:
    other = connect()
    other.execute("drop table if exists cut; create table cut (n int)")
    holder = connect(options=SHORT)
    began = time.monotonic()
    idle(holder)
    send(other, "select count(*) from cut")
    assert answer(other) == "0"
    assert 0.2 <= time.monotonic() - began < IDLE_LIMIT_S
    # Nothing of the holder's is left in the engine.
    assert other.execute("select pg_current_xact_id_if_assigned() is null").fetchone() == (True,)
    other.execute("insert into cut values (2)")
    assert other.execute("select n from cut").fetchall() == [(2,)]


def test_an_exchange_in_the_middle_of_a_pipeline_holds_the_turn_until_sync(connect: Connect) -> None:
    conn, other = connect(), connect()
    conn.execute("create table piped (n int)")
    with conn.pipeline() as pipeline:
        assert conn.execute("insert into piped values (1) returning n").fetchone() == (1,)
        send(other, "select count(*) from piped")
        assert conn.execute("insert into piped values (2) returning n").fetchone() == (2,)
        assert not answered(other)
        pipeline.sync()
        assert answer(other) == "2"


def test_statement_timeout_of_the_server(start_server: StartServer) -> None:
    server = start_server(statement_timeout_s=0.4)
    with psycopg.connect(server.dsn) as conn, psycopg.connect(server.dsn, autocommit=True) as other:
        conn.execute("create table timed (n int)")
        conn.commit()
        conn.execute("set statement_timeout = '1min'")  # a client can only ask for less
        conn.commit()
        conn.execute("insert into timed values (1)")
        send(other, "select 'next'")
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            conn.execute("select count(*) from generate_series(1, 100000000000)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            conn.execute("select 1")
        conn.rollback()
        assert answer(other) == "next"
        assert conn.execute("select pg_sleep(0.1)::text, (select count(*) from timed)").fetchone() == ("", 0)
        conn.commit()
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            other.execute("do $$ begin loop end loop; end $$")
        assert other.execute("select 1").fetchone() == (1,)


def test_statement_timeout_of_a_client_is_its_own(connect: Connect) -> None:
    conn, other = connect(), connect()
    conn.execute("set statement_timeout = '150ms'")
    assert other.execute("select pg_sleep(0.3)::text").fetchone() == ("",)
    with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
        conn.execute("select pg_sleep(30)")
    conn.execute("set statement_timeout = 0")
    assert conn.execute("select pg_sleep(0.3)::text").fetchone() == ("",)
    with conn.transaction():
        conn.execute("set local statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled), conn.transaction():
            conn.execute("select pg_sleep(30)")
    assert conn.execute("select pg_sleep(0.2)::text").fetchone() == ("",)


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("lock_timeout", psycopg.errors.LockNotAvailable),
        ("statement_timeout", psycopg.errors.QueryCanceled),
    ],
)
def test_a_client_waits_for_an_advisory_lock_as_long_as_it_wants(
    connect: Connect, setting: str, error: type[psycopg.Error]
) -> None:
    holder, waiter, third = connect(), connect(options=f"-c {setting}=300ms"), connect()
    holder.execute("select pg_advisory_lock(77)")
    began = time.monotonic()
    send(waiter, "select pg_advisory_lock(77)")
    for key in range(100, 1100):  # locks that come and go do not start the waiter's time anew
        third.execute("select pg_advisory_lock(%s), pg_advisory_unlock(%s)", [key, key])
        if answered(waiter) or time.monotonic() > began + 5:
            break
    with pytest.raises(error, match=setting.replace("_", " ")):
        answer(waiter)
    assert time.monotonic() - began >= 0.3
    holder.execute("select pg_advisory_unlock(77)")
    assert waiter.execute("select pg_try_advisory_lock(77)").fetchone() == (True,)
