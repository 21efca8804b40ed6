"""Stands between two programs, and keeps what passes in each direction: tee.py KEPT COMMAND...

It passes a chunk on once it is kept, into KEPT.in and KEPT.out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def _copy(source: int, target: int, kept: str) -> None:
    with open(kept, "wb", buffering=0) as file:  # noqa: PTH123 - it starts once a server, and quickly
        while chunk := os.read(source, 65_536):
            file.write(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(target, rest) :]
    os.close(target)


def main() -> int:
    """Run the command, and end as it ends."""
    kept, *command = sys.argv[1:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603
    if server.stdin is None or server.stdout is None:
        raise RuntimeError("no pipe")
    to_server = (0, os.dup(server.stdin.fileno()), f"{kept}.in")
    server.stdin.close()
    threading.Thread(target=_copy, args=to_server, daemon=True).start()
    _copy(server.stdout.fileno(), 1, f"{kept}.out")
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
