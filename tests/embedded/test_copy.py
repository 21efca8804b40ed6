"""COPY in every format, in both directions, and what happens when it goes wrong."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.embedded.conftest import Connect


@pytest.fixture
def conn(connect: Connect) -> psycopg.Connection[tuple[object, ...]]:
    connection = connect()
    connection.execute(
        'drop table if exists "Odd ""Name"; create table "Odd ""Name" (id int, "Two Words" text)'
    )
    return connection


TABLE = sql.Identifier('Odd "Name')


def copy_rows(
    conn: psycopg.Connection[tuple[object, ...]], rows: list[str], fail: Exception | None = None
) -> None:
    with conn.cursor().copy(sql.SQL("copy {} from stdin").format(TABLE)) as copy:
        for row in rows:
            copy.write(row + "\n")
        if fail:
            raise fail


def contents(conn: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return conn.execute(sql.SQL("select * from public.{} order by 1").format(TABLE)).fetchall()


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("", b"1\ta\\tb\n2\t\\N\n"),
        ("with (format csv, header true)", b'id,words\n1,"a\tb"\n2,\n'),
        ("(format csv, delimiter ';', null '-', quote '''')", b"1;'a\tb'\n2;-\n"),
        ("with (format text, delimiter '|', null 'NUL')", b"1|a\\tb\n2|NUL\n"),
    ],
)
def test_in_with_options(conn: psycopg.Connection[tuple[object, ...]], options: str, data: bytes) -> None:
    statement = sql.SQL("copy public.{} (id, {}) from stdin {}").format(
        TABLE, sql.Identifier("Two Words"), sql.SQL(options)
    )
    with conn.cursor().copy(statement) as copy:
        for at in range(0, len(data), 5):
            copy.write(data[at : at + 5])
    assert contents(conn) == [(1, "a\tb"), (2, None)]


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
def test_round_trip(conn: psycopg.Connection[tuple[object, ...]], form: str) -> None:
    rows = [(n, None if n % 7 == 0 else f"line {n}\n\\,\"'\té😀") for n in range(5000)]
    with conn.cursor().copy(sql.SQL("copy {} from stdin (format binary)").format(TABLE)) as copy:
        copy.set_types(["int4", "text"])
        for row in rows:
            copy.write_row(row)
    with conn.cursor().copy(sql.SQL("copy {} to stdout (format {})").format(TABLE, sql.SQL(form))) as copy:
        out = b"".join(bytes(block) for block in copy)
    conn.execute(sql.SQL("truncate {}").format(TABLE))
    with conn.cursor().copy(sql.SQL("copy {} from stdin (format {})").format(TABLE, sql.SQL(form))) as copy:
        copy.write(out)
    assert contents(conn) == rows


def test_a_bad_row_names_its_line_and_stores_nothing(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    rows = [f"{n if n != 11 else 'eleven'}\tx" for n in range(20_000)]
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
        copy_rows(conn, rows)
    assert 'line 12, column id: "eleven"' in (caught.value.diag.context or "")
    assert contents(conn) == []
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_what_is_copied_before_a_failure_in_the_client_is_not_stored(
    conn: psycopg.Connection[tuple[object, ...]],
) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        copy_rows(conn, ["1\tx"], fail=RuntimeError("mine"))
    assert contents(conn) == []
    statement = sql.SQL("copy {} from stdin").format(TABLE).as_bytes(conn)
    assert conn.pgconn.exec_(statement).status == psycopg.pq.ExecStatus.COPY_IN
    conn.pgconn.put_copy_data(b"1\tx\n")
    conn.pgconn.put_copy_end(b"changed my mind")
    result = conn.pgconn.get_result()
    assert result is not None
    assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
    assert conn.pgconn.get_result() is None
    assert contents(conn) == []


def test_in_a_transaction_and_in_the_middle_of_other_statements(
    conn: psycopg.Connection[tuple[object, ...]],
) -> None:
    with conn.transaction(force_rollback=True):
        copy_rows(conn, ["1\tgone"])
        assert contents(conn) == [(1, "gone")]
    name = TABLE.as_string(conn)
    script = f"insert into {name} values (1, 'a'); copy {name} from stdin; insert into {name} values (3, 'c')"
    conn.pgconn.send_query(script.encode())
    statuses = []
    while (result := conn.pgconn.get_result()) is not None:
        statuses.append(result.status)
        if result.status == psycopg.pq.ExecStatus.COPY_IN:
            conn.pgconn.put_copy_data(b"2\tb\n")
            conn.pgconn.put_copy_end()
    assert [psycopg.pq.ExecStatus(status).name for status in statuses] == [
        "COMMAND_OK",
        "COPY_IN",
        "COMMAND_OK",
        "COMMAND_OK",
    ]
    assert contents(conn) == [(1, "a"), (2, "b"), (3, "c")]


def test_through_the_extended_protocol(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    statement = sql.SQL("copy {} from stdin").format(TABLE).as_bytes(conn)
    for end in (None, b"stop"):
        assert conn.pgconn.exec_params(statement, []).status == psycopg.pq.ExecStatus.COPY_IN
        conn.pgconn.put_copy_data(b"1\tx\n")
        conn.pgconn.put_copy_end(end)
        result = conn.pgconn.get_result()
        assert result is not None
        assert (result.status == psycopg.pq.ExecStatus.COMMAND_OK) == (end is None)
        assert conn.pgconn.get_result() is None
    assert contents(conn) == [(1, "x")]


def test_more_than_fits_into_any_buffer(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    block = b"".join(b"%d\t%s\n" % (n, b"z" * 1000) for n in range(1000))
    with conn.cursor().copy(sql.SQL("copy {} from stdin").format(TABLE)) as copy:
        for _ in range(30):
            copy.write(block)
    row = conn.execute(
        sql.SQL("select count(*), sum(length({})) from {}").format(sql.Identifier("Two Words"), TABLE)
    )
    assert row.fetchone() == (30_000, 30_000_000)
    with conn.cursor().copy(sql.SQL("copy {} to stdout").format(TABLE)) as copy:
        assert sum(len(part) for part in copy) == len(block) * 30


def test_a_role_without_file_access_may_copy(connect: Connect) -> None:
    admin = connect()
    admin.execute("create role loader login; create table loaded (n int); grant insert on loaded to loader")
    conn = connect(user="loader")
    with conn.cursor().copy("copy loaded from stdin") as copy:
        copy.write("1\n")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("copy loaded from '/tmp/anything'")
    assert admin.execute("select * from loaded").fetchall() == [(1,)]
