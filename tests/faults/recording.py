"""A program that records, one child per line of its input, and prints each id once record() has returned.

It forks instead of starting Python anew, which would take longer than what is to be tested.
"""

from __future__ import annotations

import os
import sys
import time


def record(dsn: str, spool: str, pause: float) -> None:
    from bcp_analytics import Collector  # noqa: PLC0415 - the parent must not have a collector

    # Small batches and short pauses, so that a kill comes at every kind of moment.
    collector = Collector(
        dsn, source="killed", spool=spool, durable=True, buffer_size=20, flush_interval_s=0.02
    )
    n = 0
    while True:
        event_id = collector.record("mail", "send", parameters={"n": n, "text": "x" * 200}, duration_ms=n)
        os.write(1, f"{event_id}\n".encode())
        n += 1
        # Otherwise all would be recorded before the first batch is on its way.
        time.sleep(pause)


def main(dsn: str, spool: str, pause: str) -> None:
    import bcp_analytics  # noqa: F401, PLC0415 - loaded once, here

    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                # The child prints it itself, so that it comes before the first id.
                os.write(1, f"child {os.getpid()}\n".encode())
                record(dsn, spool, float(pause))
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        os.write(1, b"done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
