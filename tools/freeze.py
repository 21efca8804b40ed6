"""Adds the migrations of a release to migrations/frozen.txt: python -m tools.freeze. See RELEASING.md."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bcp_analytics._core.resources import migrations_folder
from bcp_analytics.migrate._frozen import FILE, check_frozen, digest, frozen

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
# SHA-256 of every file of a released migration. Such a file is never edited: write a new migration.
# Added at a release by: python -m tools.freeze
"""


def freeze(folder: Path) -> tuple[str, ...]:
    """Add the files of `folder` that are not in its `frozen.txt`, and return their names.

    Raises MigrationError where one that is in it was edited.
    """
    check_frozen(folder)
    known = frozen(folder)
    added = tuple(path.name for path in sorted(folder.glob("*.sql")) if path.name not in known)
    known |= {name: digest(folder / name) for name in added}
    lines = [f"{released}  {name}\n" for name, released in sorted(known.items())]
    (folder / FILE).write_text(HEAD + "".join(lines), encoding="utf-8")
    return added


if __name__ == "__main__":
    sys.stdout.writelines(f"frozen: {name}\n" for name in freeze(migrations_folder()))
