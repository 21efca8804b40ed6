"""A file of the spool, being written or at rest."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bcp_analytics.collector.spool import _format, _own

if TYPE_CHECKING:
    from pathlib import Path

    from bcp_analytics.collector.spool._folders import Folder

SUFFIX: Final = ".seg"


@dataclass(slots=True, eq=False)
class Segment:
    """A file of the spool.

    `events`: those in it that are not acknowledged; `number`: of its latest event. `cold`: some of them are
    not in memory any more, so it must be read back. `gone`: the file is removed.
    """

    path: Path
    folder: Folder
    fd: int = -1
    size: int = 0
    events: int = 0
    number: int = 0
    cold: bool = False
    gone: bool = False

    def append(self, data: bytes, *, fsync: bool) -> None:
        """Append records, all or none of them. Raises `OSError`."""
        fd = _own.open_file(self.path, os.O_WRONLY | os.O_APPEND) if self.fd < 0 else self.fd
        try:
            write(fd, data)
            if fsync:
                os.fdatasync(fd)
        except OSError:
            # A part may have been written. What follows could still be read, but the part would count as
            # damage.
            with suppress(OSError):
                os.ftruncate(fd, self.size)
            raise
        finally:
            if fd != self.fd:
                os.close(fd)
        self.size += len(data)

    def empty(self) -> None:
        """Begin an open one anew; nothing in it is needed any more."""
        with suppress(OSError):
            os.ftruncate(self.fd, _format.HEADER_BYTES)
            self.size = _format.HEADER_BYTES

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create(folder: Folder, *, fsync: bool) -> Segment:
    """Begin a segment, named so that names sort by age. Raises `OSError`."""
    path = folder.path / f"{time.time_ns():020d}{SUFFIX}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    segment = Segment(path, folder, fd)
    try:
        segment.append(_format.header(), fsync=fsync)
        if fsync:
            _sync_folder(folder.path)
    except OSError:
        segment.close()
        with suppress(OSError):
            path.unlink()
        raise
    return segment


def read(segment: Segment) -> _format.Contents:
    """Read one that is not being written. Raises `OSError`, `NewerFormat`."""
    return _format.read(_own.read_file(segment.path))


def left_in(folder: Folder) -> tuple[list[Segment], int]:
    """Return the segments of a folder that was taken over, oldest first, and how many cannot be read."""
    found = []
    unreadable = 0
    for path in sorted(folder.path.glob(f"*{SUFFIX}")):
        try:
            segment = Segment(path, folder, size=path.lstat().st_size, cold=True)
            segment.events = read(segment).events
        except (OSError, _format.NewerFormat):
            unreadable += 1
        else:
            found.append(segment)
    return found, unreadable


def write(fd: int, data: bytes) -> None:
    """Write all of it. Raises `OSError`; a part may have been written then."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
