"""Where an embedded database keeps its files, and who holds its folder.

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
from bcp_analytics.embedded._runtime import home

SOCKET_NAME = ".s.PGSQL.5432"
MIN_PASSWORD = 16
"""Characters; scram.mjs has the same."""
_LONGEST_PASSWORD = 1000
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
        """Locked while a server runs. The lock ends with the process, however that ends."""
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

    def make_secret(self) -> None:
        """Make the password for TCP connections if there is none. The caller holds the folder's lock.

        The file holds a whole password or does not exist, even if this process or machine stops meanwhile.
        """
        if os.path.lexists(self.password):
            self.secret()
            return
        descriptor, name = tempfile.mkstemp(prefix=".password-", dir=self.root)  # for this user alone
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24))
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(self.password)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def secret(self) -> str:
        """Return the password for TCP connections.

        Raises `EmbeddedError` if there is none, if it can be guessed, or if others may know it.
        """
        mend = "remove the file and start the server again, which makes a new one."
        try:
            descriptor = os.open(self.password, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EmbeddedError(f"{self.password} cannot be read ({error.strerror}): {mend}") from error
        with os.fdopen(descriptor, errors="replace") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise EmbeddedError(f"{self.password} is not a file of this user alone: {mend}")
            password = file.read(_LONGEST_PASSWORD).strip()
        if len(password) < MIN_PASSWORD:
            raise EmbeddedError(
                f"The password in {self.password} has {len(password)} characters, and needs {MIN_PASSWORD} "
                f"or more: {mend}"
            )
        return password

    def read_state(self) -> dict[str, object]:
        """Return what the server wrote about itself; empty if there is no file or half of one."""
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
    """Lock the data folder: return the lock file's descriptor, or None when a server holds the lock.

    The server inherits the descriptor and with it the lock. So a crash or ``kill -9`` frees the folder at
    once, and another process that gets the server's process id is never taken for it.
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
