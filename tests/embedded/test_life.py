"""The server's life: started, found, refused, killed, stopped, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.embedded import EmbeddedDatabase, EmbeddedError, status, stop
from bcp_analytics.embedded._runtime import Runtime, ensure_runtime
from tests.embedded.conftest import answer, send, until

if TYPE_CHECKING:
    from tests.embedded.conftest import Connect, StartServer

STARTER = """
import os, sys
from bcp_analytics.embedded import EmbeddedDatabase
EmbeddedDatabase(sys.argv[1], run_jobs=False, detach=sys.argv[2] == "detach").start()
os._exit(0)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listening(port: int) -> list[str]:
    """Local addresses, as the kernel spells them, on which something listens at this port."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return [words[1] for words in lines if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port]


def test_stop_and_start_and_kill_keep_what_was_committed(start_server: StartServer) -> None:
    server = start_server()
    socket_file = next((server.path / "run").iterdir())
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(
            "create table kept (at timestamptz not null, n int) with (timescaledb.hypertable,"
            " timescaledb.partition_column = 'at')"
        )
        conn.execute("insert into kept values ('2026-01-01 UTC', 0)")
    server.stop()
    assert not server.running
    assert not socket_file.exists()
    assert not (server.path / "server.json").exists()
    assert status(server.path) is None
    with pytest.raises(EmbeddedError, match="start it first"):
        assert server.dsn
    server.start()
    for n in (1, 2):
        conn, loser = psycopg.connect(server.dsn, autocommit=True), psycopg.connect(server.dsn)
        conn.execute("insert into kept values ('2026-01-01 UTC', %s)", [n])
        loser.execute("insert into kept values ('2026-01-01 UTC', -1)")
        assert server.pid is not None
        assert (process := server._process) is not None
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.running)
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
        loser.close()
        server.start()
        # Nothing stays open of the one that was killed.
        assert process.stdin is not None
        assert process.stdin.closed
        with psycopg.connect(server.dsn) as again:
            assert again.execute("select array_agg(n order by n) from kept").fetchone() == (
                list(range(n + 1)),
            )
    server.stop()
    said = server.log_path.read_text()
    assert said.count(" info ready after ") == 5  # with the one of the fixture
    assert said.rstrip().endswith("info stopped")
    assert server.log_path.stat().st_mode & 0o077 == 0


def test_the_first_empty_store_is_kept_and_later_ones_are_copies_of_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    installed = ensure_runtime()
    (tmp_path / "node_modules").symlink_to(installed.modules)
    runtime = Runtime(installed.node, tmp_path / "node_modules")
    kept = tmp_path / "empty-store"
    first = start_server(tmp_path / "first", runtime=runtime)
    assert (kept / "PG_VERSION").exists()
    which = "select system_identifier from pg_control_system()"
    with psycopg.connect(first.dsn) as conn:
        conn.execute("create table of_the_first ()")
        identity = conn.execute(which).fetchone()
    first.stop()
    made = kept.stat()
    # What a server left that was killed while it copied.
    (tmp_path / "second" / "pgdata.new" / "half").mkdir(parents=True)
    second = start_server(tmp_path / "second", runtime=runtime)
    with psycopg.connect(second.dsn) as conn:
        assert conn.execute(which).fetchone() == identity
        assert conn.execute("select to_regclass('of_the_first')").fetchone() == (None,)
        assert conn.execute("select extname from pg_extension order by 1").fetchall() == [
            ("plpgsql",),
            ("timescaledb",),
        ]
    second.stop()
    assert {path.name for path in second.path.iterdir()} == {path.name for path in first.path.iterdir()}
    assert kept.stat().st_mtime == made.st_mtime
    assert {path.name for path in tmp_path.iterdir()} == {"node_modules", "empty-store", "first", "second"}


def test_a_second_server_on_the_same_folder_is_refused(start_server: StartServer) -> None:
    server = start_server()
    with pytest.raises(EmbeddedError, match=rf"already runs .*\(pid {server.pid}\)"):
        EmbeddedDatabase(server.path).start()
    with EmbeddedDatabase.attach(server.path) as found:  # it is used instead, and stopped at the end
        assert found.pid == server.pid
        with psycopg.connect(found.dsn) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    until(lambda: not server.running)
    with pytest.raises(EmbeddedError, match="No embedded database runs"):
        EmbeddedDatabase.attach(server.path)
    assert not stop(server.path)


@pytest.mark.parametrize("how", ["stay", "detach"])
def test_the_server_ends_with_its_starter_unless_detached(start_server: StartServer, how: str) -> None:
    server = start_server()
    server.stop()
    subprocess.run([sys.executable, "-c", STARTER, str(server.path), how], check=True, timeout=60)
    if how == "stay":
        until(lambda: status(server.path) is None)
        until(lambda: server.log_path.read_text().rstrip().endswith("stopped"))
        assert "its starter has ended" in server.log_path.read_text()
        return
    found = status(server.path)
    assert found is not None
    with psycopg.connect(found.dsn) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
    assert stop(server.path)
    until(lambda: not alive(found.pid))


def test_it_stops_by_itself_without_clients(start_server: StartServer) -> None:
    server = start_server(idle_stop_s=0.7)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        pid = server.pid
        assert pid is not None
        until_s = time.monotonic() + 1.2
        while time.monotonic() < until_s:
            conn.execute("select 1")  # a client keeps it, even one that says nothing
    until(lambda: not server.running)
    until(lambda: not alive(pid))
    assert "no client for 0.7 s" in server.log_path.read_text()


def test_a_path_too_long_for_a_socket(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    server.stop()
    deep = tmp_path / ("x" * 90) / "data"
    deep.parent.mkdir()
    server.path.rename(deep)
    moved = start_server(deep)
    with psycopg.connect(moved.dsn) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
        folder = Path(conn.info.host)
    assert not folder.is_relative_to(deep)
    assert folder.stat().st_mode & 0o777 == 0o700
    moved.stop()
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_only_the_loopback_address_is_listened_on(server: EmbeddedDatabase, connect: Connect) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(server.tcp_dsn)
    assert listening(int(str(parameters["port"]))) == [f"0100007F:{int(str(parameters['port'])):04X}"]
    wrong = psycopg.conninfo.make_conninfo(server.tcp_dsn, password="not-it")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with psycopg.connect(server.tcp_dsn) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
    said = server.log_path.read_text()
    assert str(parameters["password"]) not in said
    assert "not-it" not in said
    connect().execute("select 1")


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ({"dbname": "elsewhere"}, "3D000", 'database "elsewhere" does not exist'),
        ({"user": "nobody"}, "28000", 'role "nobody" does not exist'),
        ({"user": "pg_monitor"}, "28000", "is not permitted to log in"),
    ],
)
def test_who_is_refused(server: EmbeddedDatabase, wrong: dict[str, str], code: str, message: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo(server.dsn, **wrong)
    with pytest.raises(psycopg.OperationalError, match=message):
        psycopg.connect(conninfo)
    pgconn = psycopg.pq.PGconn.connect(conninfo.encode())
    assert message.encode() in pgconn.error_message
    assert sqlstate(server, wrong) == code


def sqlstate(server: EmbeddedDatabase, wrong: dict[str, str]) -> str | None:
    """The code of the refusal, which libpq does not hand on: from the protocol itself."""
    words = {"user": "postgres", "database": wrong.get("dbname", "postgres")} | {
        key: value for key, value in wrong.items() if key == "user"
    }
    body = b"\0\3\0\0" + b"".join(f"{key}\0{value}\0".encode() for key, value in words.items()) + b"\0"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(str(server.path / "run" / ".s.PGSQL.5432"))
        raw.sendall((len(body) + 4).to_bytes(4, "big") + body)
        said = b""
        while part := raw.recv(4096):
            said += part
    return next((field[1:].decode() for field in said[5:].split(b"\0") if field[:1] == b"C"), None)


def test_too_many_clients(start_server: StartServer) -> None:
    server = start_server(port=0)
    with ExitStack() as stack:
        clients: list[psycopg.Connection[Any]] = [
            stack.enter_context(psycopg.connect(server.dsn, autocommit=True)) for _ in range(200)
        ]
        for dsn in (server.dsn, server.tcp_dsn):
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                psycopg.connect(dsn)
        assert sqlstate(server, {}) == "53300"
        # A cancel request still finds its way.
        send(clients[0], "select pg_sleep(100)")
        clients[0].cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            answer(clients[0])
        clients.pop().close()
        until(lambda: sqlstate(server, {"user": "nobody"}) == "28000")  # there is room again
