"""LISTEN and NOTIFY between clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.embedded.conftest import Connect


def heard(conn: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """All that has come; a mark of our own, sent last, says when that is."""
    with psycopg.connect(conn.info.dsn, autocommit=True) as marker:
        marker.execute("notify the_end")
    found: list[tuple[str, str]] = []
    for note in conn.notifies(timeout=10):
        if note.channel == "the_end":
            return found
        found.append((note.channel, note.payload))
    raise AssertionError("the mark never came")


@pytest.fixture
def listener(connect: Connect) -> psycopg.Connection[Any]:
    conn = connect()
    conn.execute("listen the_end")
    return conn


def test_an_idle_client_hears_another_with_payload_and_pid(connect: Connect) -> None:
    listener, sender = connect(), connect()
    listener.execute("listen news")
    sender.execute("select pg_notify('news', 'first')")
    sender.execute("notify news, 'second é😀'")
    # Nothing is asked of the server: the notifications come by themselves.
    notes = list(listener.notifies(timeout=10, stop_after=2))
    assert [(note.channel, note.payload, note.pid) for note in notes] == [
        ("news", "first", sender.info.backend_pid),
        ("news", "second é😀", sender.info.backend_pid),
    ]
    assert sender.info.backend_pid != listener.info.backend_pid


def test_only_who_listens_hears_and_a_client_hears_itself(
    connect: Connect, listener: psycopg.Connection[Any]
) -> None:
    other = connect()
    other.execute("listen the_end; listen elsewhere")
    listener.execute('listen here; listen "Odd Name"')
    listener.execute("notify here, 'mine'")
    other.execute("""notify "Odd Name", 'x'; notify elsewhere""")
    assert heard(listener) == [("here", "mine"), ("Odd Name", "x")]
    assert heard(other) == [("elsewhere", "")]


def test_notifications_come_at_commit_and_not_after_rollback(
    connect: Connect, listener: psycopg.Connection[Any]
) -> None:
    sender = connect()
    listener.execute("listen news")
    with sender.transaction():
        sender.execute("notify news, 'committed'")
        with sender.transaction(force_rollback=True):
            sender.execute("notify news, 'to a savepoint'")
        assert list(listener.notifies(timeout=0)) == []
    with sender.transaction(force_rollback=True):
        sender.execute("notify news, 'never'")
    with pytest.raises(psycopg.errors.DivisionByZero):
        sender.execute("notify news, 'failed'; select 1/0")
    assert heard(listener) == [("news", "committed")]


def test_listen_that_is_rolled_back_has_no_effect(
    connect: Connect, listener: psycopg.Connection[Any]
) -> None:
    other = connect()
    other.execute("listen news")  # somebody does listen, so that the engine speaks
    with listener.transaction(force_rollback=True):
        listener.execute("listen news")
    with pytest.raises(psycopg.errors.DivisionByZero):
        listener.execute("listen news; select 1/0")
    with listener.transaction(), listener.transaction(force_rollback=True):
        listener.execute("listen news")
    with listener.transaction():
        listener.execute("listen kept")
    other.execute("notify news; notify kept")
    assert heard(listener) == [("kept", "")]
    with listener.transaction(force_rollback=True):
        listener.execute("unlisten kept")
    other.execute("notify kept, 'still'")
    assert heard(listener) == [("kept", "still")]


def test_unlisten_is_for_oneself(connect: Connect, listener: psycopg.Connection[Any]) -> None:
    leaver, sender = connect(), connect()
    for conn in (listener, leaver):
        conn.execute("listen the_end; listen one; listen two")
    leaver.execute("unlisten one")
    sender.execute("notify one, 'a'; notify two, 'b'")
    assert heard(leaver) == [("two", "b")]
    assert heard(listener) == [("one", "a"), ("two", "b")]
    leaver.execute("unlisten *")
    leaver.execute("listen the_end")
    sender.execute("notify two, 'c'")
    assert heard(leaver) == []
    assert heard(listener) == [("two", "c")]
    leaver.close()
    sender.execute("discard all")
    sender.execute("notify two, 'd'")
    assert heard(listener) == [("two", "d")]


def test_triggers_and_listeners_in_a_transaction(connect: Connect, listener: psycopg.Connection[Any]) -> None:
    sender = connect()
    sender.execute(
        "create table noisy (n int);"
        " create function tell() returns trigger language plpgsql as"
        " $$ begin perform pg_notify('rows', new.n::text); return null; end $$;"
        " create trigger tell after insert on noisy for each row execute function tell()"
    )
    listener.execute("listen rows")
    with sender.cursor().copy("copy noisy from stdin") as copy:
        for n in range(3):
            copy.write(f"{n}\n")
    sender.execute("insert into noisy values (%s)", [3], prepare=True)
    assert heard(listener) == [("rows", str(n)) for n in range(4)]
