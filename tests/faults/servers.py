"""A native server that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from bcp_analytics.migrate import migrate
from tests.targets import NativeCluster, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class KillableCluster(NativeCluster):
    """As production would be: a commit that was answered for is in the log."""

    def __init__(self) -> None:
        super().__init__(synchronous_commit="on", full_page_writes="on")

    @property
    def _pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """Kill the server and its processes, as if the machine had stopped."""
        parent = self._pid
        # A process that it makes meanwhile would live on, and no server starts beside that.
        os.kill(parent, signal.SIGSTOP)
        processes = [parent, *_children(parent)]
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 30
        while any(_lives(pid) for pid in processes):
            assert time.monotonic() < until, "the server's processes do not end"
            time.sleep(0.01)
        # Where nobody reaps orphans the dead server's number stays taken: a new one would believe it lives.
        for file in (self.folder / "data" / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            file.unlink(missing_ok=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the server do nothing, not even refuse a connection, as a machine that hangs."""
        parent = self._pid
        os.kill(parent, signal.SIGSTOP)
        processes = [parent, *_children(parent)]
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start it again. The log goes to a file, or the server would keep a pipe open."""
        subprocess.run(
            self.executor.command_parts,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def killable() -> Iterator[KillableCluster]:
    """Give a cluster that can be killed, with a migrated database bcp; skip where there is no native one."""
    reason = why_unavailable("native")
    if reason is not None:
        pytest.skip(f"native only: {reason}")
    made = KillableCluster()
    try:
        made.start()
        with psycopg.connect(made.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database bcp")
        migrate(made.dsn("bcp"))
        yield made
    finally:
        made.stop()


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
