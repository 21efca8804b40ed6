"""A program that archives and restores, one child per line of its input, each killed where the line says.

It forks instead of starting Python anew, which would take longer than what is to be tested.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

_RENAME = "update pg_temp.bcp_restored set user_id = user_id || 'x'"


def work(dsn: str, folder: str, order: dict[str, Any]) -> None:
    import psycopg  # noqa: PLC0415

    from bcp_analytics.archive import _steps, archive, archives, restore, rewrite  # noqa: PLC0415
    from tests.archive.rows import time as day  # noqa: PLC0415

    left = order["times"]

    def reached(step: str) -> None:
        nonlocal left
        left -= step == order["step"]
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _steps.reached = reached
    if order["after"] is not None:
        threading.Timer(order["after"], lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    with psycopg.connect(dsn, autocommit=True) as conn:
        if order["do"].startswith("archive"):
            archive(conn, folder)
        elif order["do"] == "restore":
            restore(conn, "tool_usage_logs", day("2020-01-01"), day("2020-02-01"), keep_days=0)
        else:
            for one in archives(conn):
                # Other values, as many rows.
                rewrite(conn, one.archive_id, lambda: conn.execute(_RENAME))


def born(dsn: str, folder: str, order: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(dsn, folder, order)
            code = 0
        except BaseException as error:  # noqa: BLE001
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    return child


def main(dsn: str, folder: str) -> None:
    import duckdb  # noqa: F401, PLC0415 - loaded once, here
    import fsspec  # noqa: F401, PLC0415
    import obstore  # noqa: F401, PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415

    with suppress(ImportError):  # the lake's extra
        import bcp_analytics.archive._tables  # noqa: PLC0415
    import bcp_analytics.archive._query  # noqa: PLC0415
    import bcp_analytics.archive._restore  # noqa: PLC0415
    import bcp_analytics.archive._rewrite  # noqa: PLC0415
    import bcp_analytics.archive._run  # noqa: F401, PLC0415

    for line in sys.stdin:
        order = json.loads(line)
        child = born(dsn, folder, order)
        # A second run at the same time, which nobody kills and which has to come through.
        other = born(dsn, folder, order | {"step": "-", "after": None}) if order["do"] == "archives" else None
        begun = time.monotonic()
        _, status = os.waitpid(child, 0)
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if other is not None and os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]):
            status = 1 << 8
            signalled = 0
        os.write(
            1, f"{signalled} {os.waitstatus_to_exitcode(status)} {time.monotonic() - begun:.3f}\n".encode()
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
