"""Folders of a spool: below the one of a source each collector has its own, held by a lock on a file in it.

A lock of `flock` ends with the process, however that ends; so a folder whose lock can be taken was left by a
collector that is gone, and whoever takes the lock takes over what is in it.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4
from zlib import crc32

from bcp_analytics.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = "lock"


@dataclass(slots=True)
class Folder:
    """A folder and the descriptor that holds its lock."""

    path: Path
    lock: int

    def release(self) -> None:
        """Let go of the folder; what is in it is then for others to take over."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def remove(self) -> None:
        """Remove the folder, where nothing but the lock is left in it."""
        with suppress(OSError):
            if [entry.name for entry in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                self.path.rmdir()
        self.release()


def default_root() -> Path:
    """Return the folder of spools, as the XDG base directory specification has it for state.

    Raises `InvalidArgument` where the user has no home.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    except RuntimeError:
        raise InvalidArgument(
            "there is no home folder for the spool", hint="Give `spool` a folder."
        ) from None
    return folder / "bcp-analytics/spool"


def of_source(root: Path, source: str) -> Path:
    """Return the folder of a source below `root`; two sources never share one."""
    name = re.sub(r"[^A-Za-z0-9._-]|^\.", "_", source)[:80]
    return root / (name if name == source else f"{name}-{crc32(source.encode('utf-8', 'replace')):08x}")


def make(base: Path) -> Folder:
    """Make and lock a new folder below `base`. Raises `OSError`."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = str(uuid4())
    # Locked before it has its name: under that another process might take it for one that was left.
    hidden = base / f".{name}"
    hidden.mkdir(mode=0o700)
    lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(base / name)
    except OSError:
        os.close(lock)
        raise
    return Folder(base / name, lock)


def exist_below(base: Path) -> bool:
    """Whether there is any folder below `base`, left by somebody or in use."""
    with suppress(OSError):
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in base.iterdir())
    return False


def left_below(base: Path) -> Iterator[Folder]:
    """Lock and yield each folder below `base` that nobody holds."""
    with suppress(OSError):
        for path in sorted(base.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            try:
                lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            yield Folder(path, lock)
