"""How much of a processor the server takes for a statement: what else runs on the machine does not count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg


def seconds(db: psycopg.Connection[Any], query: LiteralString, args: Sequence[Any] = ()) -> float:
    """Run the statement and return the seconds of a processor it took, or of the clock if not told."""
    used = Path(f"/proc/{db.info.backend_pid}/schedstat")
    told = db.info.host.startswith("/") and used.is_file()

    def now() -> int:
        return int(used.read_text().split()[0]) if told else time.perf_counter_ns()

    began = now()
    db.execute(query, args or None)
    return (now() - began) / 1e9
