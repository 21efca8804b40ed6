"""A run that stops at a step, says so, and waits to be killed.

python -m tests.migration.stopping DSN FOLDER STEP
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from bcp_analytics.migrate import migrate


def stop(where: str) -> None:
    """Say where it stands, and wait without an end; a migration calls this too."""
    sys.stdout.write(f"{where}\n")
    sys.stdout.flush()
    threading.Event().wait()


def main(dsn: str, folder: str, step: str) -> None:
    migrate(
        dsn,
        migrations=Path(folder) / "migrations",
        sql_files=Path(folder) / "sql",
        progress=lambda sentence: stop(sentence) if step in sentence else None,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
