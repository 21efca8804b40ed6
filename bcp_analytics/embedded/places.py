"""Where an embedded database keeps its things, and who holds its folder.

The folder holds ``pgdata/`` (the database), ``server.log``, ``server.lock``, ``server.json`` (what runs,
while it runs), ``password`` (for TCP) and, if its path is short enough, the Unix socket in ``run/``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bcp_analytics.embedded._errors import EmbeddedError
from bcp_analytics.embedded.runtime import home

SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 107  # bytes in sockaddr_un.sun_path, without the closing zero


def default_data_dir() -> Path:
    """Return the data folder for those who name none.

    ``$BCP_ANALYTICS_DATA``, else ``$XDG_DATA_HOME/bcp-analytics/embedded``, else
    ``~/.local/share/bcp-analytics/embedded``.
    """
    if own := os.environ.get("BCP_ANALYTICS_DATA"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_DATA_HOME"):
        return Path(xdg).expanduser().absolute() / "bcp-analytics" / "embedded"
    return home() / ".local" / "share" / "bcp-analytics" / "embedded"


@dataclass(frozen=True, slots=True)
class Places:
    """Paths inside the data folder `root`."""

    root: Path

    @property
    def pgdata(self) -> Path:
        """The database cluster."""
        return self.root / "pgdata"

    @property
    def log(self) -> Path:
        """The server's log; one older file, ``server.log.1``, is kept."""
        return self.root / "server.log"

    @property
    def lock(self) -> Path:
        """Locked as long as a server runs; the lock ends with the process, however it ends."""
        return self.root / "server.lock"

    @property
    def state(self) -> Path:
        """What the running server says about itself."""
        return self.root / "server.json"

    @property
    def options(self) -> Path:
        """What the server was started with."""
        return self.root / "server-options.json"

    @property
    def password(self) -> Path:
        """The secret for connections over TCP."""
        return self.root / "password"

    def create(self) -> None:
        """Make the folder, for this user alone. Raises `EmbeddedError` when that is impossible."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.root.stat().st_uid != os.getuid():
                raise EmbeddedError(f"{self.root} belongs to another user: choose a data folder of your own.")
            self.root.chmod(0o700)
        except OSError as error:
            raise EmbeddedError(
                f"The data folder {self.root} cannot be used ({error.strerror}): choose another one, "
                "for instance with BCP_ANALYTICS_DATA."
            ) from error

    def socket_dir(self) -> Path:
        """Make and return the private folder of the Unix socket.

        It is ``run/`` in the data folder, or a short one in the runtime or temporary directory when that path
        would not fit into a socket address. Raises `EmbeddedError` when someone else has made that folder.
        """
        inside = self.root / "run"
        if len(os.fsencode(inside / SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return _private_dir(inside)
        digest = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:12]
        name = f"bcp-{os.getuid()}-{digest}"
        for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - checked below
            if parent and len(os.fsencode(Path(parent) / name / SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
                return _private_dir(Path(parent) / name)
        raise EmbeddedError(
            f"No folder short enough for a Unix socket was found: move {self.root} to a shorter path."
        )

    def secret(self) -> str:
        """Return the password for TCP connections, made at first use and readable by this user alone."""
        try:
            descriptor = os.open(self.password, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return self.password.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        return self.password.read_text()

    def read_state(self) -> dict[str, object]:
        """Return what the server wrote about itself; empty when there is nothing, or half a file."""
        try:
            state = json.loads(self.state.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def _private_dir(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmbeddedError(f"{path} exists and is not a folder of this user: remove it.")
    path.chmod(0o700)
    return path


def take_lock(places: Places) -> int | None:
    """Lock the data folder: the open lock file's descriptor, or None when a server holds it.

    The server inherits the descriptor and with it the lock, so that a crash or ``kill -9`` frees the folder
    at once and a recycled process id can never look like a server.
    """
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(places: Places) -> bool:
    """Tell whether a server holds this data folder."""
    try:
        descriptor = os.open(places.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
