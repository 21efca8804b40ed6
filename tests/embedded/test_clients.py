"""psql and psycopg, in all its ways, work against the embedded database unchanged."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

if TYPE_CHECKING:
    from bcp_analytics.embedded import EmbeddedDatabase
    from tests.embedded.conftest import Connect


def test_it_is_timescaledb_community(connect: Connect) -> None:
    row = (
        connect()
        .execute(
            "select current_setting('timescaledb.license'), current_setting('TimeZone'),"
            " current_setting('enable_seqscan'), current_setting('search_path'), current_database(),"
            " session_user::text"
        )
        .fetchone()
    )
    assert row == ("timescale", "UTC", "on", '"$user", public', "postgres", "postgres")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_queries_describes_and_copies(server: EmbeddedDatabase) -> None:
    script = r"""
    create temp table fruit (id int, name text);
    copy fruit from stdin with (format csv);
    1,apple
    2,banana
    \.
    \d fruit
    \set ON_ERROR_STOP 0
    select nonsense;
    begin; insert into fruit values (3, 'cherry'); rollback;
    select string_agg(name, '+' order by id) from fruit;
    copy fruit to stdout with (format csv);
    """
    sent = "\n".join(line.strip() for line in script.splitlines())
    done = subprocess.run(
        ["psql", "-X", "-At", server.dsn], input=sent, capture_output=True, text=True, timeout=30, check=False
    )
    assert 'column "nonsense" does not exist' in done.stderr
    assert "id|integer|||" in done.stdout
    assert "apple+banana" in done.stdout
    assert done.stdout.endswith("1,apple\n2,banana\n")


def test_parameters_in_text_and_binary(connect: Connect) -> None:
    conn = connect()
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        row = cursor.execute(
            "select %s::int8, %s::text, %s::bytea, %s::float8[]", [2**40, "añ😀", b"\0\xff", [1.5]]
        )
        assert row.fetchone() == (2**40, "añ😀", b"\0\xff", [1.5])


def test_a_large_value_and_a_large_result_come_through_whole(connect: Connect) -> None:
    conn = connect()
    big = "x" * 5_000_000
    assert conn.execute("select length(%s), %s", [big, big]).fetchone() == (len(big), big)
    rows = conn.execute("select n, repeat('y', 50) from generate_series(1, 60000) n").fetchall()
    assert [row[0] for row in rows] == list(range(1, 60001))


@pytest.mark.parametrize("length", [*range(8100, 8200, 7), 16384])
def test_a_batch_may_end_anywhere_in_the_engines_8_kb_buffer(connect: Connect, length: int) -> None:
    conn = connect()
    with conn.pipeline():
        first = conn.execute("select length(%s)", ["x" * length])
        second = conn.execute("select 2")
    assert (first.fetchone(), second.fetchone()) == ((length,), (2,))


def test_errors_keep_sqlstate_position_and_the_connection(connect: Connect) -> None:
    conn = connect()
    with pytest.raises(psycopg.errors.UndefinedColumn) as caught:
        conn.execute("select missing")
    assert caught.value.diag.statement_position == "8"
    assert conn.execute("select 1").fetchone() == (1,)


def test_transactions_savepoints_and_the_failed_state(connect: Connect) -> None:
    conn = connect(autocommit=False)
    conn.execute("create table kept (n int)")
    conn.commit()
    with conn.transaction():
        conn.execute("insert into kept values (1)")
        with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
            conn.execute("insert into kept values (2); select 1/0")
        conn.execute("insert into kept values (3)")
    conn.execute("insert into kept values (4)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        conn.execute("select 1/0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        conn.execute("select 1")
    conn.rollback()
    assert conn.execute("select array_agg(n order by n) from kept").fetchone() == ([1, 3],)


def test_pipeline_with_an_error_in_the_middle(connect: Connect) -> None:
    conn = connect()
    with conn.pipeline() as pipeline:
        first = conn.execute("select 1")
        pipeline.sync()
        assert first.fetchone() == (1,)
        bad = conn.execute("select 1/0")
        skipped = conn.execute("select 2")
        with pytest.raises(psycopg.errors.DivisionByZero):
            bad.fetchone()
        with pytest.raises((psycopg.errors.PipelineAborted, psycopg.ProgrammingError)):
            skipped.fetchone()  # which of them is psycopg's choice: libpq drops what follows the error
        pipeline.sync()
        last = conn.execute("select 3")
        assert last.fetchone() == (3,)


def test_pipeline_answers_in_the_middle_through_flush(connect: Connect) -> None:
    conn = connect()
    with conn.pipeline():
        for n in range(300):
            cursor = conn.execute("select %s::int", [n])
            if n % 100 == 0:
                assert cursor.fetchone() == (n,)


def test_executemany_returning(connect: Connect) -> None:
    conn = connect()
    conn.execute("create table many (n int)")
    cursor = conn.cursor()
    cursor.executemany("insert into many values (%s) returning n", [[n] for n in range(200)], returning=True)
    seen = [cursor.fetchone()]
    while cursor.nextset():
        seen.append(cursor.fetchone())
    assert seen == [(n,) for n in range(200)]


def test_server_side_cursors(connect: Connect) -> None:
    conn = connect(autocommit=False)
    with conn.cursor("pages") as cursor:
        cursor.execute("select generate_series(1, 1000)")
        assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
        assert sum(1 for _ in cursor) == 997
    with conn.cursor("scrolls", scrollable=True) as cursor:
        cursor.execute("select generate_series(1, 10)")
        cursor.scroll(9)
        assert cursor.fetchone() == (10,)
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchone() == (1,)


def test_a_cursor_with_hold_outlives_its_transaction_and_other_clients_turns(connect: Connect) -> None:
    conn, other = connect(autocommit=False), connect()
    cursor = conn.cursor("held", withhold=True)
    cursor.execute("select generate_series(1, 5)")
    conn.commit()
    assert other.execute("select 'between'").fetchone() == ("between",)
    assert cursor.fetchall() == [(n,) for n in range(1, 6)]
    conn.commit()
    conn.close()  # which ends the cursor in the server
    cursor.close()
    assert other.execute("select count(*) from pg_cursors where is_holdable").fetchone() == (0,)


def test_async_connections_share_the_engine(server: EmbeddedDatabase) -> None:
    async def work(n: int) -> int:
        async with await psycopg.AsyncConnection.connect(server.dsn) as conn:
            total = 0
            for i in range(20):
                async with conn.transaction():
                    row = await (await conn.execute("select %s::int + %s", [n, i])).fetchone()
                    assert row is not None
                    total += row[0]
            return total

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(work(n) for n in range(8)))

    assert asyncio.run(all_of_them()) == [20 * n + 190 for n in range(8)]


def test_pools(server: EmbeddedDatabase) -> None:
    with ConnectionPool(server.dsn, min_size=2, max_size=4) as pool:
        for n in range(10):
            with pool.connection() as conn:
                assert conn.execute("select %s::int", [n]).fetchone() == (n,)

    async def asynchronously() -> None:
        async with AsyncConnectionPool(server.dsn, min_size=1, max_size=3) as pool:

            async def one(n: int) -> None:
                async with pool.connection() as conn:
                    assert await (await conn.execute("select %s::int", [n])).fetchone() == (n,)

            await asyncio.gather(*(one(n) for n in range(12)))

    asyncio.run(asynchronously())


def test_tcp_wants_the_password(server: EmbeddedDatabase) -> None:
    with psycopg.connect(server.tcp_dsn) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
        assert conn.info.host == "127.0.0.1"
    wrong = psycopg.conninfo.make_conninfo(server.tcp_dsn, password="not-it")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    assert (server.path / "password").stat().st_mode & 0o777 == 0o600


def test_hypertables_and_columnstore(connect: Connect) -> None:
    conn = connect()
    conn.execute(
        "create table readings (at timestamptz not null, device int, value float8)"
        " with (timescaledb.hypertable, timescaledb.partition_column = 'at',"
        " timescaledb.segmentby = 'device')"
    )
    conn.execute(
        "insert into readings select timestamptz '2026-01-01 UTC' + n * interval '1 minute', n % 3, n"
        " from generate_series(0, 9999) n"
    )
    conn.execute("select compress_chunk(c) from show_chunks('readings') c")
    assert conn.execute("select count(*), sum(value) from readings").fetchone() == (10000, 49995000)
