"""The databases the tests run on: embedded and native, behind one interface.

A target has one server per session, and on it databases by kind: `shared` is migrated and stays empty,
because who uses it rolls back; `clean` is migrated and empty at the start of each test; `blank` has
nothing of ours; `filled` has what a module filled it with, to be shared or copied.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from bcp_analytics.migrate import migrate
from tests.reset import Reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg.pq.abc import PGconn

    Fill = Callable[[psycopg.Connection[Any]], None]

NAMES = ("embedded", "native")


class Target(Protocol):
    """What the fixtures need of a target. Each yields a connection string."""

    name: str

    def start(self) -> str:
        """Start the server, migrate, and return its description."""

    def stop(self) -> None: ...

    def shared(self) -> str: ...

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the shared database; who is done rolls back."""

    @contextmanager
    def clean(self) -> Iterator[str]: ...

    @contextmanager
    def blank(self) -> Iterator[str]: ...

    @contextmanager
    def filled(self, fill: Fill, *, little: bool = False) -> Iterator[Filled]:
        """Fill a database; with `little` in it, only for copies."""


class Filled(Protocol):
    """A migrated database that was filled once, for the tests of a module."""

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to it; who is done rolls back."""

    @contextmanager
    def copy(self) -> Iterator[str]:
        """Yield the connection string of a copy, for a test that commits."""


def describe(dsn: str) -> str:
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "select (select extversion from pg_extension where extname = 'timescaledb'),"
            " split_part(current_setting('server_version'), ' ', 1)"
        ).fetchone()
    assert row is not None
    return f"TimescaleDB {row[0]}, PostgreSQL {row[1]}"


def answers(dsn: str) -> bool:
    """Tell whether the server answers within 20 seconds, without waiting longer where it hangs."""
    try:
        # Closed, not left by a context manager: that would commit, in the middle of the query.
        with closing(psycopg.connect(dsn, connect_timeout=20)) as conn:
            conn.pgconn.send_query(b"select 1")
            return bool(select.select([conn.fileno()], [], [], 20)[0])
    except psycopg.Error:
        return False


def why_unavailable(name: str) -> str | None:
    """Say why a target cannot be had here, None where it can."""
    return _why_no_native() if name == "native" else None


def pg_config(what: str) -> Path:
    out = subprocess.run(["pg_config", what], check=True, capture_output=True, text=True)
    return Path(out.stdout.strip())


def _why_no_native() -> str | None:
    if shutil.which("pg_config") is None:
        return "no pg_config on the PATH"
    libraries, programs = pg_config("--pkglibdir"), pg_config("--bindir")
    if not (libraries / "timescaledb.so").exists():
        return f"no timescaledb.so in {libraries}"
    if next(libraries.glob("timescaledb-tsl*.so"), None) is None:
        return f"no timescaledb-tsl in {libraries}: the Apache edition is not enough"
    if not all((programs / program).exists() for program in ("initdb", "pg_ctl")):
        return f"no initdb or pg_ctl in {programs}"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv to start it as another user"
    return None


def quick_folder() -> str:
    """Where a server of tests keeps its data: in memory where there is room, else on disk.

    No test looks at what is left after the machine goes down, and to make a database takes ten times as
    long on a disk that is busy.
    """
    memory = "/dev/shm"
    try:
        there = os.statvfs(memory)
    except OSError:
        return "/tmp"
    # A cluster has a program of its own in its folder.
    runs = not there.f_flag & os.ST_NOEXEC
    return memory if runs and there.f_bavail * there.f_frsize > 3 << 30 else "/tmp"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_it_listens(port: int, has_ended: Callable[[], bool]) -> None:
    """Return once a server that was just started takes connections; an error if it ends or takes a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if has_ended() or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


class NativeCluster:
    """A PostgreSQL with TimescaleDB in a folder of its own, by pytest-postgresql's executor.

    As root it runs as the user postgres, or nobody, since PostgreSQL refuses root. What measures it says
    `where`, to have its data on disk.
    """

    def __init__(self, where: str | None = None, **settings: str) -> None:
        from pytest_postgresql.executors import PostgreSQLExecutor  # noqa: PLC0415  # only where it can run

        # Not below pytest's own folder: that is closed to other users, and too long a path for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="bcp-native-", dir=where or quick_folder()))
        settings = {
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            # The scheduler would connect to templates, which then cannot be cloned, and would run jobs while
            # a test has its own clock. Tests call run_job.
            "timescaledb.max_background_workers": "0",
            "timezone": "UTC",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": "60",
            # To compile a statement takes longer than to run it over the few rows of a test.
            "jit": "off",
        } | settings
        self.executor = PostgreSQLExecutor(
            executable=str(self._pg_ctl()),
            host="127.0.0.1",
            port=free_port(),
            datadir=str(self.folder / "data"),
            unixsocketdir=str(self.folder),
            logfile=str(self.folder / "log"),
            startparams="-w",
            dbname="bcp",
            postgres_options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
        )

    def _pg_ctl(self) -> Path:
        pg_ctl = pg_config("--bindir") / "pg_ctl"
        if os.geteuid() != 0:
            return pg_ctl
        users = {user.pw_name: user for user in pwd.getpwall()}
        user = users.get("postgres") or users["nobody"]
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        wrapper = self.folder / "pg_ctl"
        wrapper.write_text(
            f"#!/bin/sh\ncd {self.folder}\n"
            f'exec setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups {pg_ctl} "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper

    def dsn(self, database: str) -> str:
        return f"host={self.folder} port={self.executor.port} user=postgres dbname={database}"

    def start(self) -> None:
        self.executor.start()
        # Its status says that it runs while it still starts up.
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        if self.executor.running():
            self.executor.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Lent(psycopg.Connection[Any]):
    """A connection whose backend outlives it, unless it is in the middle of something."""

    def close(self) -> None:
        if self.info.transaction_status != TransactionStatus.IDLE:
            super().close()

    def __del__(self) -> None:
        """Warn of nothing: it is not lost."""


class Native:
    name = "native"

    def __init__(self) -> None:
        self._cluster = NativeCluster()
        self._numbers = count(1)
        self._kept = ExitStack()
        self._backend: PGconn | None = None

    def start(self) -> str:
        self._cluster.start()
        self._kept.callback(self._cluster.stop)
        template = self._kept.enter_context(self._database("bcp_template"))
        migrate(template)
        self._shared = self._kept.enter_context(self._database("bcp_shared", template="bcp_template"))
        return describe(template)

    def stop(self) -> None:
        self._kept.close()

    @contextmanager
    def _database(self, name: str, template: str | None = None) -> Iterator[str]:
        # By copies of files: a template's pages need not go through the log.
        copied = f" template {template} strategy file_copy" if template else ""
        self._administer(f"create database {name}{copied}")
        try:
            yield self._cluster.dsn(name)
        finally:
            self._administer(f"drop database {name} with (force)")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self._cluster.dsn("postgres"), autocommit=True) as conn:
            conn.execute(statement)  # type: ignore[arg-type]

    def shared(self) -> str:
        return self._shared

    def connect(self) -> psycopg.Connection[Any]:
        """Lend one backend to test after test: a new one plans every function anew, which takes 50 ms."""
        if self._backend is None or self._backend.transaction_status != TransactionStatus.IDLE:
            self._backend = _Lent.connect(self._shared).pgconn
        conn = _Lent(self._backend)
        conn.autocommit = True
        # The rollback has undone all else.
        conn.execute("reset all")
        conn.execute("deallocate all")
        conn.execute("select pg_advisory_unlock_all()")
        conn.autocommit = False
        return conn

    def clean(self) -> Any:
        return self._database(f"bcp_clean_{next(self._numbers)}", template="bcp_template")

    def blank(self) -> Any:
        return self._database(f"bcp_blank_{next(self._numbers)}")

    @contextmanager
    def filled(self, fill: Fill, *, little: bool = False) -> Iterator[Filled]:  # noqa: ARG002
        name = f"bcp_filled_{next(self._numbers)}"
        with self._database(name, template="bcp_template") as dsn:
            with psycopg.connect(dsn, autocommit=True) as conn:
                fill(conn)
            yield _NativeFilled(dsn, lambda: self._database(f"bcp_copy_{next(self._numbers)}", template=name))


class _NativeFilled:
    def __init__(self, dsn: str, copy: Callable[[], Any]) -> None:
        self._dsn = dsn
        self.copy = copy

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn)


class _EmbeddedFilled:
    def __init__(self, server: Embedded, name: str) -> None:
        self._server, self._name = server, name

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.serve(self._name))

    def copy(self) -> Any:
        return self._server.changed(self._name)


class _EmbeddedFilledAgain:
    """Filled for each test: that takes less than to start a server, whose first answers are slow."""

    def __init__(self, server: Embedded, fill: Fill) -> None:
        self._server, self._fill = server, fill

    def connect(self) -> psycopg.Connection[Any]:
        raise NotImplementedError("what is filled again is not shared")

    @contextmanager
    def copy(self) -> Iterator[str]:
        with self._server.clean() as dsn:
            with psycopg.connect(dsn, autocommit=True) as conn:
                self._fill(conn)
            yield dsn


class Embedded:
    """One server for the session; where a test wants another, a folder is copied instead of made again."""

    name = "embedded"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bcp-embedded-", dir=quick_folder()))
        self._numbers = count(1)
        self._running = ExitStack()
        self._kept = ExitStack()
        self._kept.callback(shutil.rmtree, self._folder, ignore_errors=True)
        # Under what name is kept what the server has now; none where it may have been changed.
        self._as: str | None = None

    def _server(self, folder: Path) -> Any:
        from bcp_analytics.embedded import EmbeddedDatabase  # noqa: PLC0415  # only where it is asked for

        return EmbeddedDatabase(folder, run_jobs=False)

    def start(self) -> str:
        self._start("shared")
        self._keep_as("empty")
        migrate(self._dsn)
        self._keep_as("migrated")
        self._reset = Reset(self._dsn)
        return describe(self._dsn)

    def _start(self, name: str) -> None:
        self._running = ExitStack()
        self._dsn = self._running.enter_context(self._server(self._folder / name)).dsn

    def _keep_as(self, name: str) -> None:
        """Copy the folder of the server, which is idle: after a checkpoint all there is stands in it."""
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute("checkpoint")
        shutil.copytree(
            self._folder / "shared", self._folder / name, ignore=shutil.ignore_patterns("*.s.PGSQL.*")
        )
        self._as = name

    def stop(self) -> None:
        with self._kept:
            self._running.close()

    def serve(self, name: str) -> str:
        """Serve what was kept under a name: anew where the server has something else, or a test broke it."""
        if self._as != name or not answers(self._dsn):
            self._running.close()
            shutil.rmtree(self._folder / "shared", ignore_errors=True)
            shutil.copytree(self._folder / name, self._folder / "shared")
            self._start("shared")
            self._as = name
        return self._dsn

    @contextmanager
    def changed(self, name: str) -> Iterator[str]:
        """Serve what was kept under a name to somebody who changes it."""
        dsn = self.serve(name)
        self._as = None
        yield dsn

    def shared(self) -> str:
        return self.serve("migrated")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.shared())

    @contextmanager
    def clean(self) -> Iterator[str]:
        try:
            with self.changed("migrated") as dsn:
                yield dsn
        finally:
            if answers(self._dsn) and self._reset():
                self._as = "migrated"

    @contextmanager
    def filled(self, fill: Fill, *, little: bool = False) -> Iterator[Filled]:
        if little:
            yield _EmbeddedFilledAgain(self, fill)
            return
        name = f"filled-{next(self._numbers)}"
        with self.changed("migrated") as dsn, psycopg.connect(dsn, autocommit=True) as conn:
            fill(conn)
        self._keep_as(name)
        yield _EmbeddedFilled(self, name)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    @contextmanager
    def blank(self) -> Iterator[str]:
        folder = self._folder / f"blank-{next(self._numbers)}"
        shutil.copytree(self._folder / "empty", folder)
        with self._server(folder) as server:
            yield server.dsn
        shutil.rmtree(folder, ignore_errors=True)


MAKERS: dict[str, Any] = {"embedded": Embedded, "native": Native}
