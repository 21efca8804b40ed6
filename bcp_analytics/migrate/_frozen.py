"""Keeps released migrations as they were: `migrations/frozen.txt` holds the SHA-256 of each of their files.

yoyo knows a migration by its name, not by its text, so an edit of one that a database already has would
reach only new databases. At a release, `python -m bcp_analytics.migrate._frozen` adds the files that are new.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

from bcp_analytics._core.resources import migrations_folder
from bcp_analytics.errors import MigrationError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "frozen.txt"
_HEAD = """\
# SHA-256 of every file of a released migration. Such a file is never edited: write a new migration.
# Added at a release by: python -m bcp_analytics.migrate._frozen
"""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _frozen(folder: Path) -> dict[str, str]:
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {name: digest for digest, name in pairs}


def check_frozen(folder: Path) -> None:
    """Raise MigrationError where a file that `frozen.txt` of `folder` lists is missing or was edited."""
    for name, digest in _frozen(folder).items():
        path = folder / name
        if not path.exists():
            raise MigrationError(
                f"The released migration file {name} is missing.",
                hint="Install the package again, or restore the file from version control.",
            )
        if _digest(path) != digest:
            raise MigrationError(
                f"The released migration file {name} is not what it was at its release.",
                hint="Databases that have it would never see an edit: restore it, and write a new migration.",
            )


def freeze(folder: Path) -> tuple[str, ...]:
    """Add the files of `folder` that are not in its `frozen.txt`, and return their names.

    Raises MigrationError where one that is in it was edited.
    """
    check_frozen(folder)
    frozen = _frozen(folder)
    added = tuple(path.name for path in sorted(folder.glob("*.sql")) if path.name not in frozen)
    frozen |= {name: _digest(folder / name) for name in added}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(frozen.items())]
    (folder / FILE).write_text(_HEAD + "".join(lines), encoding="utf-8")
    return added


if __name__ == "__main__":
    sys.stdout.writelines(f"frozen: {name}\n" for name in freeze(migrations_folder()))
