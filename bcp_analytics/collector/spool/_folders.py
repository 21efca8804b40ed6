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

from bcp_analytics.collector.spool import _own
from bcp_analytics.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_LOCK = "lock"
MAX_TAKEN = 100
"""Folders that are taken over at once: each costs the program a descriptor until it is sent."""


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
    """Make and lock a new folder below `base`. Raises `OSError`, also where `base` is not this user's."""
    make_base(base)
    name = str(uuid4())
    # Lock it before it gets its name, under which another process might take it for one that was left.
    hidden = base / f".{name}"
    hidden.mkdir(mode=0o700)
    lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(base / name)
    except OSError:
        os.close(lock)
        raise
    return Folder(base / name, lock)


def make_base(base: Path) -> None:
    """Make the folder of a source where it is missing. Raises `OSError`, also where it is not this user's."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    _own.check_folder(base)


def exist_below(base: Path) -> bool:
    """Whether there is any folder below `base`, left by somebody or in use."""
    return next(_below(base), None) is not None


def left_below(base: Path, skip: Container[Path] = ()) -> Iterator[Folder]:
    """Lock and yield each folder below `base` that nobody holds and that is this user's, but `skip`."""
    for path in _below(base):
        if path in skip or not _own.is_folder(path):
            continue
        try:
            lock = _own.open_file(path / _LOCK, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        yield Folder(path, lock)


def refused_below(base: Path) -> list[Path]:
    """Return the folders below `base` that are not this user's alone, or `base` itself."""
    if base.exists() and not _own.is_folder(base):
        return [base]
    return [path for path in _below(base, everything=True) if not _own.is_folder(path)]


def _below(base: Path, *, everything: bool = False) -> Iterator[Path]:
    with suppress(OSError):
        if everything or _own.is_folder(base):
            yield from (p for p in sorted(base.iterdir()) if p.is_dir() and not p.name.startswith("."))
