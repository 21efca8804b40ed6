"""Servers for these tests: each module has one of its own.

Tests that stop or kill one, or want other options, take `start_server`.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from bcp_analytics.embedded import EmbeddedDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IDLE_LIMIT_S = 2.0


class StartServer(Protocol):
    """Starts a server on `path`, or on a copy of an initialised folder; stopped after the test."""

    def __call__(self, path: Path | None = None, **options: Any) -> EmbeddedDatabase: ...


class Connect(Protocol):
    """Opens a connection that is closed after the test; autocommit unless told otherwise."""

    def __call__(self, **options: Any) -> psycopg.Connection[Any]: ...


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after its first start: copying it spares the seconds of initdb."""
    folder: Path = tmp_path_factory.mktemp("embedded") / "initialised"
    with EmbeddedDatabase(folder, run_jobs=False):
        pass
    return folder


@pytest.fixture(scope="module")
def server(initialised: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    folder = tmp_path_factory.mktemp("server") / "data"
    shutil.copytree(initialised, folder)
    with EmbeddedDatabase(folder, port=0, run_jobs=False, idle_in_transaction_s=IDLE_LIMIT_S) as database:
        yield database


@pytest.fixture
def start_server(initialised: Path, tmp_path: Path) -> Iterator[StartServer]:
    number = count(1)
    with ExitStack() as stack:

        def start(path: Path | None = None, **options: Any) -> EmbeddedDatabase:
            if path is None:
                path = tmp_path / f"data{next(number)}"
                shutil.copytree(initialised, path)
            database = EmbeddedDatabase(path, **{"run_jobs": False} | options)
            stack.callback(database.stop)
            return database.start()

        yield start


@pytest.fixture
def connect(server: EmbeddedDatabase) -> Iterator[Connect]:
    with ExitStack() as stack:

        def open_one(**options: Any) -> psycopg.Connection[Any]:
            connection = psycopg.connect(server.dsn, **{"autocommit": True} | options)
            stack.callback(connection.close)
            return connection

        yield open_one


def send(conn: psycopg.Connection[Any], sql: str) -> None:
    """Send a simple query without waiting for its answer."""
    conn.pgconn.send_query(sql.encode())
    conn.pgconn.flush()


def answered(conn: psycopg.Connection[Any]) -> bool:
    """Tell whether what `send` sent has an answer by now."""
    conn.pgconn.consume_input()
    return not conn.pgconn.is_busy()


def answer(conn: psycopg.Connection[Any]) -> str | None:
    """Wait for the answer to `send`: its first value as text, or its error raised."""
    first = None
    while True:
        until(lambda: answered(conn), timeout=30)
        result = conn.pgconn.get_result()
        if result is None:
            break
        first = first or result
    assert first is not None
    if first.status == psycopg.pq.ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(first)
    value = first.get_value(0, 0) if first.ntuples else None
    return None if value is None else value.decode()


def lose(conn: psycopg.Connection[Any]) -> None:
    """End the connection without a word, as a killed process does."""
    with socket.socket(fileno=os.dup(conn.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
    conn.close()


def until(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait for `condition` to be true, and return what it answers; fail when it never is."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
    return found
