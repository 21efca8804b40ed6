"""Start, find and stop the embedded database server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from bcp_analytics.embedded._errors import EmbeddedError
from bcp_analytics.embedded._places import Places, default_data_dir, is_locked, take_lock
from bcp_analytics.embedded._runtime import SERVER_DIR, Runtime, ensure_runtime, runtime_environment

if TYPE_CHECKING:
    from types import TracebackType

_POLL_S = 0.02
_LOG_LINES = 12
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Status:
    """A running server: its process id, connection strings, versions, and where it keeps its data."""

    path: Path
    pid: int
    dsn: str
    tcp_dsn: str | None
    started_at: str
    postgresql: str
    timescaledb: str
    log_path: Path


class EmbeddedDatabase:
    """One embedded TimescaleDB in one folder.

    `path` is the data folder (default: `default_data_dir()`). The server listens on a Unix socket in a folder
    of this user alone; with `port` (0 = any free one) also on 127.0.0.1, with the password in the data
    folder. `run_jobs` runs due TimescaleDB jobs. `idle_stop_s`: stop after so many seconds without a client.
    `idle_in_transaction_s`: a client that keeps a transaction open without a statement for longer is rolled
    back and disconnected. `statement_timeout_s`: no statement may run longer. `detach`: the server outlives
    this process; otherwise it stops when this process ends, however it ends.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        run_jobs: bool = True,
        idle_stop_s: float | None = None,
        idle_in_transaction_s: float = 60.0,
        statement_timeout_s: float | None = None,
        detach: bool = False,
        log_level: str = "info",
        runtime: Runtime | None = None,
    ) -> None:
        """Describe the server; `start` starts it. Without `runtime`, `start` finds or installs one."""
        self.path = Path(path).expanduser().absolute() if path is not None else default_data_dir()
        self.port = port
        self.run_jobs = run_jobs
        self.idle_stop_s = idle_stop_s
        self.idle_in_transaction_s = idle_in_transaction_s
        self.statement_timeout_s = statement_timeout_s
        self.detach = detach
        self.log_level = log_level
        self._runtime = runtime
        self._places = Places(self.path)
        self._process: subprocess.Popen[bytes] | None = None

    # ---- life

    def start(self, timeout: float = START_TIMEOUT_S) -> Self:
        """Start the server and wait until it answers, at most `timeout` seconds.

        Raises `EmbeddedError`: a server already runs on this folder (its pid is named), Node.js or the
        download is missing, or the start failed (with the end of the log).
        """
        runtime = self._runtime or ensure_runtime()
        self._places.create()
        lock = take_lock(self._places)
        if lock is None:
            raise EmbeddedError(_already_running(self._places))
        try:
            self._forget_ended()
            self._places.state.unlink(missing_ok=True)
            self._spawn(runtime, lock)
        finally:
            os.close(lock)  # the server holds it now
        self._wait_until_ready(timeout)
        return self

    def _spawn(self, runtime: Runtime, lock: int) -> None:
        places = self._places
        if self.port is not None:
            places.make_secret()
        places.options.write_text(
            json.dumps(
                {
                    "modules": str(runtime.modules),
                    "pgdata": str(places.pgdata),
                    "socketDir": str(places.socket_dir()),
                    "state": str(places.state),
                    "log": str(places.log),
                    "logLevel": self.log_level,
                    "port": self.port,
                    "passwordFile": str(places.password),
                    "runJobs": self.run_jobs,
                    "idleStopMs": self.idle_stop_s and round(self.idle_stop_s * 1000),
                    "idleInTransactionMs": round(self.idle_in_transaction_s * 1000),
                    "statementTimeoutMs": self.statement_timeout_s and round(self.statement_timeout_s * 1000),
                    "stopWithParent": not self.detach,
                }
            )
        )
        places.options.chmod(0o600)
        places.pgdata.mkdir(mode=0o700, exist_ok=True)
        # The options are in a file, since all users can read argv. Without `detach` the server stops when
        # its standard input ends, as it does when this process ends. The log also gets what Node.js says
        # if it cannot start.
        log_file = os.open(places.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(log_file, "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - node and a script of our own
                [str(runtime.node), str(SERVER_DIR / "server.mjs"), str(places.options)],
                stdin=subprocess.DEVNULL if self.detach else subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C in the terminal is for the starter only
                cwd=self.path,
                env=runtime_environment(),
            )

    def _wait_until_ready(self, timeout: float) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - for the type checker
        deadline = time.monotonic() + timeout
        while self._places.read_state().get("pid") != process.pid:
            if process.poll() is not None:
                self._forget_ended()
                raise EmbeddedError(f"The embedded database did not start.{self._last_log_lines()}")
            if time.monotonic() > deadline:
                self.stop(timeout=0)
                raise EmbeddedError(
                    f"The embedded database did not answer within {timeout:g} s.{self._last_log_lines()}"
                )
            time.sleep(_POLL_S)

    def _forget_ended(self) -> None:
        """Close the pipe to a server that ended by itself or was killed."""
        process, self._process = self._process, None
        if process is not None and process.stdin:
            process.stdin.close()

    def _last_log_lines(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return ""
        return f" The end of {self.log_path}:\n" + "\n".join(lines) if lines else ""

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """Stop the server and wait; after `timeout` seconds kill it, which loses nothing committed."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdin:
                process.stdin.close()
        else:
            stop(self.path, timeout)

    def __enter__(self) -> Self:
        """Start the server unless it runs already."""
        if not self.running:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    @classmethod
    def attach(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """Return the running server of a data folder, whoever started it, or raise `EmbeddedError`."""
        database = cls(path)
        if not database.running:
            raise EmbeddedError(
                f"No embedded database runs on {database.path}: start one with `bcp-analytics up`."
            )
        return database

    # ---- facts

    @property
    def running(self) -> bool:
        """Whether the server of this folder runs and is ready, whoever started it."""
        if self._process is not None and self._process.poll() is not None:
            return False
        return is_locked(self._places) and bool(self._places.read_state().get("ready"))

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        found = status(self.path)
        return found.pid if found else None

    @property
    def dsn(self) -> str:
        """Connection string over the Unix socket, for psql and psycopg as it is."""
        found = status(self.path)
        if found is None:
            raise EmbeddedError(f"No embedded database runs on {self.path}: start it first.")
        return found.dsn

    @property
    def tcp_dsn(self) -> str:
        """Connection string over 127.0.0.1, with the password in it; `EmbeddedError` without a port."""
        found = status(self.path)
        if found is None or found.tcp_dsn is None:
            raise EmbeddedError("This embedded database does not listen on TCP: start it with a port.")
        return found.tcp_dsn

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._places.log


def _already_running(places: Places) -> str:
    pid = places.read_state().get("pid")
    who = f"pid {pid}" if pid else "it is just starting"
    return (
        f"An embedded database already runs on {places.root} ({who}): "
        "use it, or stop it with `bcp-analytics down`."
    )


def status(path: str | os.PathLike[str] | None = None) -> Status | None:
    """Describe the server that runs on this data folder; return None when none runs."""
    places = Places(Path(path).expanduser().absolute() if path is not None else default_data_dir())
    if not is_locked(places):
        return None
    state = places.read_state()
    if not state.get("ready"):
        return None
    database = str(state["database"])
    port = state.get("port")
    tcp = None
    if port:
        tcp = f"postgresql://postgres:{quote(places.secret(), safe='')}@127.0.0.1:{port}/{database}"
    return Status(
        path=places.root,
        pid=int(str(state["pid"])),
        dsn=f"postgresql://postgres@/{database}?host={quote(str(state['socketDir']), safe='')}",
        tcp_dsn=tcp,
        started_at=str(state["startedAt"]),
        postgresql=str(state["postgresql"]),
        timescaledb=str(state["timescaledb"]),
        log_path=places.log,
    )


def stop(path: str | os.PathLike[str] | None = None, timeout: float = STOP_TIMEOUT_S) -> bool:
    """Stop the server of a data folder, whoever started it; False when none runs.

    Raises `EmbeddedError` when it does not end, even when it is killed.
    """
    places = Places(Path(path).expanduser().absolute() if path is not None else default_data_dir())
    if not is_locked(places):
        return False
    deadline = time.monotonic() + timeout
    while not isinstance(pid := places.read_state().get("pid"), int):
        # It has not written its state yet, or has already removed it.
        if not is_locked(places):
            return True
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The embedded database on {places.root} is just starting: try again in a moment."
            )
        time.sleep(_POLL_S)
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, STOP_TIMEOUT_S)):
        if not is_locked(places):
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)  # it holds the lock, so the process id is still its own
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not is_locked(places):
                return True
            time.sleep(_POLL_S)
    raise EmbeddedError(f"The embedded database on {places.root} (pid {pid}) does not end, even killed.")
