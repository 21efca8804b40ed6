"""A stranger at the port of the embedded server: no empty password, and no memory for the asking."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from bcp_analytics.embedded import EmbeddedDatabase, EmbeddedError
from bcp_analytics.embedded import _places as places
from bcp_analytics.embedded._places import Places
from tests.embedded.conftest import until

if TYPE_CHECKING:
    from tests.embedded.conftest import StartServer

MB = 2**20


def knock(server: EmbeddedDatabase) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", urlsplit(server.tcp_dsn).port or 0), timeout=10)
    raw.settimeout(10)
    return raw


def packet(body: bytes, kind: bytes = b"") -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def startup(user: str = "postgres") -> bytes:
    return packet(b"\0\3\0\0user\0" + user.encode() + b"\0database\0postgres\0\0")


def answer_of(raw: socket.socket) -> bytes:
    """Everything until the server hangs up; what it does not read may reset the connection."""
    said = b""
    try:
        while part := raw.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


def pour(raw: socket.socket) -> None:
    """Send one message of 50 MB."""
    raw.sendall(b"p" + (50 * MB).to_bytes(4, "big"))
    for _ in range(50):
        raw.sendall(bytes(MB))


def memory(server: EmbeddedDatabase) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


# ---- the password


@pytest.mark.parametrize("content", ["", "\n", "fifteen-letters"])
def test_a_short_password_lets_nobody_in(start_server: StartServer, content: str) -> None:
    database = start_server()
    database.stop()
    (database.path / "password").write_text(content)
    (database.path / "password").chmod(0o600)
    with pytest.raises(EmbeddedError, match="characters, and needs 16 or more: remove the file"):
        start_server(database.path, port=0)


def test_the_server_refuses_it_by_itself(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    database = start_server()
    database.stop()
    (database.path / "password").write_text("")
    monkeypatch.setattr(Places, "make_secret", lambda _: None)
    with pytest.raises(EmbeddedError, match="has 0 characters, and needs 16 or more"):
        start_server(database.path, port=0)


def test_whoever_reads_the_password_refuses_it(tmp_path: Path) -> None:
    here = Places(tmp_path)
    with pytest.raises(EmbeddedError, match="cannot be read"):
        here.secret()
    here.make_secret()
    assert len(here.secret()) >= places.MIN_PASSWORD
    assert here.password.stat().st_mode & 0o777 == 0o600
    first = here.secret()
    here.make_secret()
    assert here.secret() == first
    here.password.chmod(0o644)
    with pytest.raises(EmbeddedError, match="not a file of this user alone"):
        here.secret()
    here.password.rename(tmp_path / "elsewhere")
    here.password.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedError, match="cannot be read"):
        here.make_secret()


@pytest.mark.parametrize("fails", ["write", "fsync", "rename"])
def test_a_password_that_is_cut_short_never_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if fails == "write":
            patched.setattr("bcp_analytics.embedded._places.secrets.token_urlsafe", full)
        elif fails == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space"):
            Places(tmp_path).make_secret()
    assert list(tmp_path.iterdir()) == []
    Places(tmp_path).make_secret()
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


# ---- before the password


def test_a_message_that_announces_much_is_answered_and_costs_nothing(server: EmbeddedDatabase) -> None:
    psycopg.connect(server.tcp_dsn).close()
    before = memory(server)
    for hello in (b"", startup()):
        with knock(server) as raw:
            raw.sendall(hello)
            if hello:
                assert raw.recv(1000)[:1] == b"R"
            # 400 MB announced, and a part of it sent for as long as somebody takes it.
            raw.sendall((b"p" if hello else b"") + (400 * MB).to_bytes(4, "big"))
            said = answer_of(raw)
            assert b"08P01" in said
            assert b"too long" in said
    with ExitStack() as stack:
        for _ in range(8):
            raw = stack.enter_context(knock(server))
            raw.sendall(startup())
            raw.recv(1000)
            with pytest.raises((ConnectionError, TimeoutError)):
                pour(raw)
        assert memory(server) - before < 100 * MB  # of 400 MB sent
    assert psycopg.connect(server.tcp_dsn).execute("select 1").fetchone() == (1,)


def test_10_kb_are_all_that_a_stranger_may_send(server: EmbeddedDatabase) -> None:
    # Many small messages are no way round it.
    with knock(server) as raw:
        raw.sendall(packet((80877103).to_bytes(4, "big")) * 2000)
        said = answer_of(raw)
        assert b"08P01" in said
        assert said.count(b"N") < 10_000 / 8 + 10
    with knock(server) as raw:
        raw.sendall(startup("u" * 6000))
        assert raw.recv(1000)[:1] == b"R"
        raw.sendall(packet(b"SCRAM-SHA-256\0" + bytes(5000), b"p"))
        assert b"too long" in answer_of(raw)
    # Who is let in may send what PostgreSQL takes.
    with psycopg.connect(server.tcp_dsn) as conn:
        assert conn.execute("select length(%s)", ["x" * MB]).fetchone() == (MB,)


def test_strangers_that_hold_the_door_keep_nobody_out(server: EmbeddedDatabase) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(knock(server)) for _ in range(260)]
        for dsn in (server.tcp_dsn, server.dsn):
            with psycopg.connect(dsn) as conn:
                assert conn.execute("select 1").fetchone() == (1,)
        # The oldest had to go, and were told.
        assert b"53300" in answer_of(crowd[0])
        assert b"53300" in answer_of(crowd[50])
        crowd[-1].sendall(startup())
        assert crowd[-1].recv(1000)[:1] == b"R"


def test_one_that_has_said_what_it_wanted_is_not_kept(server: EmbeddedDatabase) -> None:
    before = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    with ExitStack() as stack:
        for _ in range(20):
            raw = stack.enter_context(knock(server))
            raw.sendall(packet((80877102).to_bytes(4, "big") + bytes(8)))  # a cancel request
        until(lambda: len(list(Path(f"/proc/{server.pid}/fd").iterdir())) <= before + 2)
