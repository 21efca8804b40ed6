"""Clients that vanish: the others go on, and nothing uncommitted stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.embedded.conftest import IDLE_LIMIT_S, answer, lose, send, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.embedded import EmbeddedDatabase
    from tests.embedded.conftest import Connect

BIG = "copy (select repeat('x', 1000) from generate_series(1, 200000)) to stdout"


def in_mid_statement(conn: psycopg.Connection[Any]) -> None:
    send(conn, "insert into left_behind select 1 from generate_series(1, 100000000000)")


def in_mid_transaction(conn: psycopg.Connection[Any]) -> None:
    conn.execute("begin; insert into left_behind values (1)")


def in_mid_statement_of_a_transaction(conn: psycopg.Connection[Any]) -> None:
    conn.execute("begin; insert into left_behind values (1)")
    send(conn, "select pg_sleep(100); commit")


def in_mid_exchange(conn: psycopg.Connection[Any]) -> None:
    conn.pgconn.enter_pipeline_mode()
    conn.pgconn.send_query_params(b"insert into left_behind values (1)", [])
    conn.pgconn.send_flush_request()
    conn.pgconn.flush()
    assert conn.pgconn.get_result() is not None


def in_mid_copy_in(conn: psycopg.Connection[Any]) -> None:
    assert conn.pgconn.exec_(b"copy left_behind from stdin").status == psycopg.pq.ExecStatus.COPY_IN
    conn.pgconn.put_copy_data(b"1\n" * 100_000)
    conn.pgconn.flush()


def in_mid_copy_in_of_the_extended_protocol(conn: psycopg.Connection[Any]) -> None:
    statement = b"copy left_behind from stdin"
    assert conn.pgconn.exec_params(statement, []).status == psycopg.pq.ExecStatus.COPY_IN
    conn.pgconn.put_copy_data(b"1\n")
    conn.pgconn.flush()


def in_mid_copy_out(conn: psycopg.Connection[Any]) -> None:
    conn.execute("begin; insert into left_behind values (1)")
    send(conn, BIG)


def in_mid_result(conn: psycopg.Connection[Any]) -> None:
    send(conn, "select repeat('x', 1000) from generate_series(1, 200000)")


def while_waiting(conn: psycopg.Connection[Any]) -> None:
    with psycopg.connect(conn.info.dsn) as holder:
        holder.execute("select 1")
        send(conn, "insert into left_behind values (1); select pg_sleep(100)")
        holder.execute("select 1")
        lose(conn)
        holder.execute("select 1")


STAGES = [
    in_mid_statement,
    in_mid_transaction,
    in_mid_statement_of_a_transaction,
    in_mid_exchange,
    in_mid_copy_in,
    in_mid_copy_in_of_the_extended_protocol,
    in_mid_copy_out,
    in_mid_result,
    while_waiting,
]


@pytest.mark.parametrize("stage", STAGES)
def test_the_others_go_on_and_nothing_is_stored(
    connect: Connect, stage: Callable[[psycopg.Connection[Any]], None]
) -> None:
    other, conn = connect(), connect()
    other.execute("drop table if exists left_behind; create table left_behind (n int)")
    stage(conn)
    began = time.monotonic()
    send(other, "select count(*) from left_behind")
    if not conn.closed:
        lose(conn)
    assert answer(other) == "0"
    assert time.monotonic() - began < IDLE_LIMIT_S  # by the loss itself, not by a limit
    other.execute("insert into left_behind values (2)")
    assert other.execute("select n from left_behind").fetchall() == [(2,)]


def test_a_polite_end_in_a_transaction_rolls_it_back_too(connect: Connect) -> None:
    conn, other = connect(autocommit=False), connect()
    other.execute("create table polite (n int)")
    conn.execute("insert into polite values (1)")
    conn.close()
    assert other.execute("select count(*) from polite").fetchone() == (0,)


@pytest.mark.parametrize("statement", [BIG, "select repeat('x', 1000) from generate_series(1, 200000)"])
def test_a_client_that_does_not_read_its_result_is_cut_by_the_limit(
    server: EmbeddedDatabase, connect: Connect, statement: str
) -> None:
    reader, other = connect(options="-c idle_in_transaction_session_timeout=300ms"), connect()
    send(reader, statement)
    # The server may see the second client first: then the reader is cut after it.
    send(other, "select 'next'")
    assert answer(other) == "next"
    until(lambda: f"client {reader.info.backend_pid} kept its turn idle" in server.log_path.read_text())


def test_a_slow_reader_gets_everything(connect: Connect) -> None:
    conn = connect(options="-c idle_in_transaction_session_timeout=1s")
    size = 0
    with conn.cursor().copy(BIG) as copy:
        for number, block in enumerate(copy):
            size += len(block)
            if number % 2000 == 0:
                time.sleep(0.02)  # slow, and going on
    assert size == 200_000 * 1001
