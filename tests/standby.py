"""A streaming standby beside a native server."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.targets import NativeCluster, free_port, pg_config

if TYPE_CHECKING:
    from collections.abc import Iterator


class Standby:
    """Made by pg_basebackup, as docs/how-to/standby.md does it."""

    def __init__(self, primary: NativeCluster) -> None:
        self.primary = primary
        self._port = free_port()
        self._data = primary.folder / "standby"

    def dsn(self, database: str) -> str:
        return make_conninfo(self.primary.dsn(database), port=self._port)

    def _run(self, program: str, *arguments: str) -> None:
        owner = (self.primary.folder / "data").stat()
        other = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(
            [pg_config("--bindir") / program, "-D", self._data, *arguments],
            check=True,
            timeout=60,
            cwd=self.primary.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # the server would keep a pipe open
            **other,  # type: ignore[call-overload]
        )

    def make(self) -> None:
        self._run("pg_basebackup", "-d", self.primary.dsn("postgres"), "-R", "-X", "stream", "-c", "fast")

    def start(self) -> None:
        # A standby must allow what its primary allows.
        options = f"{self.primary.executor.postgres_options} -c listen_addresses= -p {self._port}"
        sockets = f"-c unix_socket_directories='{self.primary.folder}'"
        self._run("pg_ctl", "start", "-w", "-l", str(self._data / "log"), "-o", f"{options} {sockets}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate")

    def wait(self) -> None:
        """Wait until all that the primary has written so far is seen here."""
        with psycopg.connect(self.primary.dsn("postgres"), autocommit=True) as conn:
            [(written,)] = conn.execute("select pg_current_wal_insert_lsn()").fetchall()
            # Commits are asynchronous on a test's server, so the log may not be on disk yet.
            conn.execute("select pg_switch_wal()")
        deadline = time.monotonic() + 60
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            while conn.execute("select pg_last_wal_replay_lsn() >= %s", [written]).fetchone() != (True,):
                assert time.monotonic() < deadline, "the standby does not catch up"
                time.sleep(0.02)


@contextmanager
def replicated(**settings: Any) -> Iterator[Standby]:
    """Give a standby of a new server, which has an empty database `store`."""
    cluster = NativeCluster(wal_level="replica", max_wal_senders="5", **settings)
    try:
        cluster.start()
        with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database store")
        standby = Standby(cluster)
        standby.make()
        standby.start()
        try:
            yield standby
        finally:
            standby.stop()
    finally:
        cluster.stop()
