"""What record() costs its caller.

    python -m benchmarks.record

CPU time of the calling thread for one call with a document of 400 bytes, as the median over rounds of 90
calls (below the buffer's 100, so that nothing is sent in between), in microseconds; wall time beside it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

from bcp_analytics.collector import Collector
from bcp_analytics.ingest import IngestResult

if TYPE_CHECKING:
    from bcp_analytics.collector.spool._batch import Batch

ROUNDS = 100
CALLS = 90
DOCUMENT: dict[str, Any] = {
    "path": "/var/lib/data/file-00012.txt",
    "options": {"encoding": "utf-8", "limit": 200, "follow": True, "tags": ["a", "b", "c"]},
    "query": "select something from somewhere where x = 1 and y = 2",
    "notes": "The quick brown fox jumps over the lazy dog. " * 3,
    "ids": list(range(14)),
}


class _Nowhere:
    """A database that takes everything at no cost."""

    def send(self, batch: Batch) -> IngestResult:
        return IngestResult(len(batch), len(batch), 0, 0)

    def report(self, *_: object) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


def measure(*, durable: bool, fsync: bool = False) -> tuple[float, float]:
    """Return CPU and wall time of one call in microseconds."""
    cpu, wall = [], []
    with (
        tempfile.TemporaryDirectory() as spool,
        Collector(
            "", source="bench", spool=spool, durable=durable, fsync=fsync, _sender=_Nowhere(), _threaded=False
        ) as collector,
    ):
        for _ in range(ROUNDS if not fsync else 3):
            began, began_cpu = time.perf_counter_ns(), time.thread_time_ns()
            for _ in range(CALLS):
                collector.record(
                    "files",
                    "read",
                    parameters=DOCUMENT,
                    duration_ms=12.5,
                    success=True,
                    user_id="u1",
                    session_id="s1",
                )
            cpu.append((time.thread_time_ns() - began_cpu) / CALLS / 1000)
            wall.append((time.perf_counter_ns() - began) / CALLS / 1000)
            collector.flush()
    return statistics.median(cpu), statistics.median(wall)


def main() -> None:
    """Print a table."""
    print(f"document of {len(json.dumps(DOCUMENT))} bytes, microseconds a call")
    for name, settings in (
        ("default", {"durable": False}),
        ("durable", {"durable": True}),
        ("durable, fsync", {"durable": True, "fsync": True}),
    ):
        cpu, wall = measure(**settings)
        print(f"{name:15} cpu {cpu:7.1f}   wall {wall:7.1f}")


if __name__ == "__main__":
    main()
