"""Each client has a session of its own, though the engine has only one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.embedded.conftest import answer, answered, send, until

if TYPE_CHECKING:
    from tests.embedded.conftest import Connect


def value(conn: psycopg.Connection[Any], sql: str, *parameters: Any) -> Any:
    row = conn.execute(sql, parameters or None).fetchone()
    assert row is not None
    return row[0]


def test_prepared_statements_of_the_same_name(connect: Connect) -> None:
    one, two = connect(), connect()
    one.execute("prepare p as select 'one'")
    two.execute("prepare p as select 'two'")
    assert value(one, "execute p") == "one"
    assert value(two, "execute p") == "two"
    assert value(one, "explain (costs off, verbose) execute p").startswith("Result")
    two.execute("create temp table of_two as execute p")
    assert value(two, "select * from of_two") == "two"
    one.execute("deallocate p")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='prepared statement "p"'):
        one.execute("execute p")
    two.execute("prepare q as select 2")
    one.execute("deallocate all")
    assert value(two, "execute q") == 2
    with pytest.raises(
        psycopg.errors.DuplicatePreparedStatement, match='prepared statement "p" already exists'
    ):
        two.execute("prepare p as select 3")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        pytest.param(
            "on", "E'a' -- it goes on\n -- here\n '\\'; execute x; --'", id="continued-behind-a-comment"
        ),
        pytest.param("off", "'a\\'; execute x; --'", id="backslashes-in-plain-strings"),
    ],
)
def test_what_a_string_says_is_no_statement(connect: Connect, setting: str, text: str) -> None:
    with connect() as conn:
        conn.execute(f"set standard_conforming_strings = {setting}")
        assert value(conn, f"select {text}") == "a'; execute x; --"


def test_a_savepoint_that_is_released_undoes_no_listen(connect: Connect) -> None:
    with connect() as conn, connect() as other:
        conn.execute(
            "begin; savepoint a; savepoint a; listen deep; release a; listen undone; rollback to a; "
            "listen heard; commit"
        )
        other.execute("notify deep; notify undone; notify heard")
        assert [one.channel for one in conn.notifies(timeout=0.2)] == ["heard"]


def test_prepared_statements_of_the_protocol(connect: Connect) -> None:
    one, two = connect(), connect()
    for conn, text in ((one, b"select 'one'"), (two, b"select 'two', 2")):
        assert conn.pgconn.prepare(b"s", text).status == psycopg.pq.ExecStatus.COMMAND_OK
        assert conn.pgconn.prepare(b"", text + b", 'unnamed'").status == psycopg.pq.ExecStatus.COMMAND_OK
    for _ in range(2):
        for conn, columns in ((one, 1), (two, 2)):
            assert conn.pgconn.describe_prepared(b"s").nfields == columns
            assert conn.pgconn.exec_prepared(b"s", []).nfields == columns
            assert conn.pgconn.exec_prepared(b"", []).nfields == columns + 1


def test_set_is_kept_for_oneself_and_unseen_by_others(connect: Connect) -> None:
    one, two, fresh = connect(), connect(), connect()
    one.execute("set work_mem = '7MB'; set timezone = 'Asia/Tokyo'; set bcp.now = '2026-01-02 UTC'")
    one.execute("select set_config('bcp.other', 'x''\\y', false)")
    two.execute("set work_mem = '9MB'")
    names = "current_setting('work_mem'), current_setting('timezone'),"
    names += " coalesce(current_setting('bcp.now', true), '')"
    for _ in range(2):
        assert two.execute(f"select {names}").fetchone() == ("9MB", "UTC", "")
        assert one.execute(f"select {names}").fetchone() == ("7MB", "Asia/Tokyo", "2026-01-02 UTC")
        assert fresh.execute(f"select {names}").fetchone() == ("4MB", "UTC", "")
    assert value(one, "select current_setting('bcp.other')") == "x'\\y"
    assert one.info.parameter_status("TimeZone") == "Asia/Tokyo"
    assert two.info.parameter_status("TimeZone") == "UTC"
    with one.transaction(force_rollback=True):
        one.execute("set work_mem = '1MB'")
    two.execute("select 1")
    assert value(one, "show work_mem") == "7MB"
    one.execute("reset work_mem")
    two.execute("select 1")
    assert value(one, "show work_mem") == "4MB"


def test_what_a_function_sets_does_not_reach_another_client(connect: Connect) -> None:
    one, two = connect(), connect()
    one.execute(
        "create function moves_clock() returns void language plpgsql as"
        " $$ begin perform set_config('bcp.' || 'hidden', 'x', false);"
        " perform set_config('work_mem', '3MB', false); end $$"
    )
    one.execute("select moves_clock()")
    seen = two.execute(
        "select coalesce(current_setting('bcp.hidden', true), ''), current_setting('work_mem')"
    )
    assert seen.fetchone() == ("", "4MB")


def test_settings_of_the_start_up_are_what_reset_goes_back_to(connect: Connect) -> None:
    conn, other = connect(options="-c work_mem=2MB -c bcp.zone=here", application_name="mine"), connect()
    for statement in ("reset all", "set work_mem to default", "discard all"):
        conn.execute("set work_mem = '6MB'")
        conn.execute(statement)
        assert value(conn, "show work_mem") == "2MB"
        other.execute("select 1")
        assert conn.execute(
            "select current_setting('application_name'), current_setting('bcp.zone')"
        ).fetchone() == (
            "mine",
            "here",
        )
    assert value(other, "show work_mem") == "4MB"
    with pytest.raises(psycopg.OperationalError, match="invalid value for parameter"):
        connect(options="-c work_mem=much")


def test_roles_are_kept_per_client(connect: Connect) -> None:
    admin = connect()
    admin.execute(
        "create role reader; create role writer login; grant reader to writer; create table guarded ()"
    )
    one, two = connect(), connect(user="writer")
    one.execute("set role reader")
    who = "select session_user || ' ' || current_user"
    for _ in range(2):
        assert value(one, who) == "postgres reader"
        assert value(two, who) == "writer writer"
        assert value(admin, who) == "postgres postgres"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        one.execute("select from guarded")
    one.execute("reset role; set session authorization writer")
    two.execute("set role reader")
    for _ in range(2):
        assert value(one, who) == "writer writer"
        assert value(two, who) == "writer reader"
    assert one.info.parameter_status("is_superuser") == "off"
    one.execute("reset session authorization")
    two.execute("set session authorization default")
    assert value(one, who) == "postgres postgres"
    assert value(two, who) == "writer writer"
    with admin.transaction(force_rollback=True):
        admin.execute("set local role reader")
        assert value(admin, who) == "postgres reader"
    assert value(admin, who) == "postgres postgres"


@pytest.mark.parametrize(
    "make", ["create temp table scratch (n serial)", "create temp view scratch as select 1 as n"]
)
def test_temporary_objects_end_with_their_client(connect: Connect, make: str) -> None:
    conn, other = connect(), connect()
    for prepare in (False, True):
        conn = connect()
        conn.execute(make, prepare=prepare)
        other.execute("select 1")
        assert value(conn, "select count(*) from scratch") in {0, 1}
        conn.close()
        until(lambda: value(other, "select to_regclass('pg_temp.scratch') is null"))


def test_a_temporary_table_lives_through_a_reset_of_another(connect: Connect) -> None:
    conn, other = connect(), connect()
    conn.execute("create temp table mine as select 1 as n")
    other.execute("discard all")
    other.close()
    assert value(conn, "select n from mine") == 1
    conn.execute("discard all")
    assert value(conn, "select to_regclass('mine') is null")


def test_discard_all_forgets_everything_of_oneself_only(connect: Connect) -> None:
    conn, other = connect(), connect()
    for one in (conn, other):
        one.execute("prepare kept as select 1; set work_mem = '5MB'; listen channel")
        one.execute(f"select pg_advisory_lock({one.info.backend_pid})")
    conn.execute("set role pg_monitor")
    conn.execute("discard all")
    assert conn.execute("select current_user::text, current_setting('work_mem')").fetchone() == (
        "postgres",
        "4MB",
    )
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        conn.execute("execute kept")
    assert value(other, "execute kept") == 1
    assert value(other, "show work_mem") == "5MB"
    assert value(other, "select pg_try_advisory_lock(%s)", conn.info.backend_pid)
    assert not value(conn, "select pg_try_advisory_lock(%s)", other.info.backend_pid)
    with pytest.raises(psycopg.errors.ActiveSqlTransaction), conn.transaction():
        conn.execute("discard all")


def test_advisory_locks_between_clients(connect: Connect) -> None:
    holder, waiter = connect(), connect()
    # prepared, so that the lock's name is not in what is sent when it runs
    for _ in range(2):
        holder.execute("select pg_advisory_lock(%s::bigint)", [-3], prepare=True)
    assert not value(waiter, "select pg_try_advisory_lock(-3)")
    assert value(waiter, "select pg_try_advisory_lock(-1, 2147483647)")
    send(waiter, "select pg_advisory_lock(-3)::text || 'got it'")
    assert value(holder, "select pg_advisory_unlock(-3)")
    assert not answered(waiter)  # it was taken twice
    assert value(holder, "select pg_advisory_unlock(-3)")
    assert answer(waiter) == "got it"
    assert not value(holder, "select pg_try_advisory_lock(-3)")
    assert not value(holder, "select pg_advisory_unlock(-3)")
    waiter.close()
    until(lambda: value(holder, "select pg_try_advisory_lock(-3)"))


def test_shared_advisory_locks(connect: Connect) -> None:
    one, two, third = connect(), connect(), connect()
    for conn in (one, two):
        assert value(conn, "select pg_try_advisory_lock_shared(8)")
    assert not value(third, "select pg_try_advisory_lock(8)")
    assert value(one, "select pg_advisory_unlock_shared(8)")
    assert not value(one, "select pg_advisory_unlock_shared(8)")
    assert not value(third, "select pg_try_advisory_lock(8)")
    two.close()
    until(lambda: value(third, "select pg_try_advisory_lock(8)"))
    assert not value(one, "select pg_try_advisory_lock_shared(8)")
    third.execute("select pg_advisory_unlock_all()")
    assert value(one, "select pg_try_advisory_lock_shared(8)")


def test_advisory_locks_inside_functions_and_transactions(connect: Connect) -> None:
    one, two = connect(), connect()
    one.execute(
        "create function guard() returns void language plpgsql as"
        " $$ begin perform pg_advisory_lock(21); end $$"
    )
    one.execute("select guard()")
    send(two, "select guard()")
    assert value(one, "select 1") == 1
    assert not answered(two)
    assert value(one, "select pg_advisory_unlock(21)")
    assert answer(two) == ""
    with one.transaction():
        one.execute("select pg_advisory_xact_lock(22)")
        send(two, "select pg_try_advisory_lock(22)")  # its turn comes after the commit
        with pytest.raises(psycopg.errors.LockNotAvailable), one.transaction():
            one.execute("select pg_advisory_xact_lock(21)")  # nobody could free it meanwhile
    assert answer(two) == "t"


def test_an_exception_that_is_caught_says_nothing(connect: Connect) -> None:
    conn = connect()
    heard: list[str | None] = []
    conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    conn.execute(
        "do $$ begin"
        " begin create temporary table t (x int); raise 'no';"
        " exception when others then raise warning 'yes'; end;"
        " end $$"
    )
    assert heard == ["yes"]
