"""Many clients, one engine: all of them right, none of them hung."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from bcp_analytics.embedded import EmbeddedDatabase

CLIENTS = 10
TRANSACTIONS = 50
ROWS = 20


def work(dsn: str, client: int) -> int:
    """Fifty transactions with COPY, a prepared statement and an error that a savepoint catches."""
    answers = 0
    with psycopg.connect(dsn) as conn, conn.cursor() as cur:
        for number in range(TRANSACTIONS):
            with cur.copy("copy shared_work (client, number) from stdin") as copy:
                for _ in range(ROWS):
                    copy.write_row((client, number))
            # Every client prepares under the same names, for another statement each.
            [row] = cur.execute(f"select %s::int * {client + 1}", [number], prepare=True).fetchall()
            answers += row[0] == number * (client + 1)
            with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
                cur.execute("select 1 / 0")
            if number % 10 == 9:
                conn.rollback()
            else:
                conn.commit()
    return answers


def test_ten_clients_at_once_are_all_right_and_none_hangs(server: EmbeddedDatabase) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("create table shared_work (client int, number int)")
        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(work, server.dsn, client) for client in range(CLIENTS)]
            assert [task.result(timeout=120) for task in running] == [TRANSACTIONS] * CLIENTS
        found = conn.execute(
            "select client, count(*), count(distinct number), count(*) filter (where number % 10 = 9)"
            " from shared_work group by 1 order by 1"
        ).fetchall()
    committed = TRANSACTIONS * 9 // 10
    assert found == [(client, committed * ROWS, committed, 0) for client in range(CLIENTS)]
