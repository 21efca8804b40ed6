"""Keeps released migrations as they were: `migrations/frozen.txt` holds the SHA-256 of each of their files.

yoyo knows a migration by its name, not by its text, so an edit of one that a database already has would
reach only new databases.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bcp_analytics.errors import MigrationError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "frozen.txt"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frozen(folder: Path) -> dict[str, str]:
    """Return the digest of each released file of `folder`, by name."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {name: digest for digest, name in pairs}


def check_frozen(folder: Path) -> None:
    """Raise MigrationError where a file that `frozen.txt` of `folder` lists is missing or was edited."""
    for name, released in frozen(folder).items():
        path = folder / name
        if not path.exists():
            raise MigrationError(
                f"The released migration file {name} is missing.",
                hint="Install the package again, or restore the file from version control.",
            )
        if digest(path) != released:
            raise MigrationError(
                f"The released migration file {name} is not what it was at its release.",
                hint="Databases that have it would never see an edit: restore it, and write a new migration.",
            )
