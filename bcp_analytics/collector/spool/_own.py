"""Opens what is this user's own, and what nobody else can have put there or can change.

What is in a spool is sent to the database in this user's name. So a file or folder that another user owns or
may write to is skipped, and so is a link, which may lead to a file of this user that is no spool.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 512 * 2**20
"""Of a file that is read. A segment has 4 MB and a batch, and PostgreSQL takes no batch of 256 MB."""
_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def open_file(path: Path, flags: int) -> int:
    """Open an existing file that is this user's own; raises `OSError` for any other."""
    # Do not block: somebody might have put a pipe there, and reading it would wait forever.
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _is_own(found):
        return fd
    os.close(fd)
    raise _refusal(path)


def read_file(path: Path) -> bytes:
    """Return what is in a file that is this user's own; raises `OSError` for any other."""
    fd = open_file(path, os.O_RDONLY)
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read()


def check_folder(path: Path) -> None:
    """Raise `OSError` where it is not a folder of this user alone."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_own(found):
        raise _refusal(path)


def is_folder(path: Path) -> bool:
    """Whether it is a folder of this user alone."""
    try:
        check_folder(path)
    except OSError:
        return False
    return True


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OF_OTHERS


def _refusal(path: Path) -> OSError:
    return PermissionError(errno.EPERM, "it is not of this user alone, or is a link", str(path))
