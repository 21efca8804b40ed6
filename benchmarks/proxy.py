"""What the proxy adds to a tool call: the same server with and without it, ten calls each in turn.

    python -m benchmarks.proxy              # records to a native TimescaleDB of its own
    python -m benchmarks.proxy --away       # records to a database that is away, so that calls are spooled

The server answers at once with a result of the given size, so all that is measured is the way there and back.
A call comes right after the answer to the one before, which is still being recorded; after ten there is a
rest, so that what the proxy has left to do does not count as the other's time.
Prints medians, and writes them to benchmarks/results/proxy.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg

from tests.targets import Native

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
WARM_UP = 50
IN_A_ROW = 10
REST_S = 0.05
PROXY = [sys.executable, "-m", "bcp_analytics", "proxy", "--bcp", "bench", "--"]
SERVER = """
import json, sys
text = "x" * int(sys.argv[1])
for line in sys.stdin.buffer:
    result = {"content": [{"type": "text", "text": text}], "isError": False}
    answer = {"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": result}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""


class Server:
    """A server, perhaps behind the proxy, and a client of it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self.calls = 0

    def call(self) -> float:
        """Make a call, and return the milliseconds until its answer was here."""
        self.calls += 1
        params = {"name": "read", "arguments": {"path": "/data/some/file", "offset": 0, "limit": 2000}}
        request = {"jsonrpc": "2.0", "id": self.calls, "method": "tools/call", "params": params}
        line = json.dumps(request).encode() + b"\n"
        begin = time.perf_counter_ns()
        _pipe(self.process.stdin).write(line)
        _pipe(self.process.stdin).flush()
        answer = _pipe(self.process.stdout).readline()
        took = (time.perf_counter_ns() - begin) / 1e6
        if json.loads(answer)["id"] != self.calls:
            raise RuntimeError("the answer is another call's")
        return took

    def close(self) -> None:
        """End it."""
        _pipe(self.process.stdin).close()
        self.process.wait(30)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("no pipe")
    return pipe


def measure(calls: int, size: int, environment: dict[str, str]) -> dict[str, float]:
    """Return medians in milliseconds for answers of `size` bytes; `added` is that of the differences."""
    plain = [sys.executable, "-c", SERVER, str(size)]
    proxy = [*PROXY, *plain]
    direct, proxied = Server(plain, environment), Server(proxy, environment)
    try:
        for server in (direct, proxied):
            for _ in range(WARM_UP):
                server.call()
        times: dict[Server, list[float]] = {direct: [], proxied: []}
        for number in range(calls // IN_A_ROW):
            # Alternate, and let each go first as often, so that the machine's moods hit both alike.
            for server in (direct, proxied) if number % 2 else (proxied, direct):
                time.sleep(REST_S)
                times[server] += [server.call() for _ in range(IN_A_ROW)]
    finally:
        direct.close()
        proxied.close()
    added = [behind - without for without, behind in zip(times[direct], times[proxied], strict=True)]
    without, behind = sorted(times[direct]), sorted(times[proxied])
    return {
        "direct_ms": statistics.median(without),
        "proxied_ms": statistics.median(behind),
        "added_ms": statistics.median(added),
        "direct_p99_ms": without[len(without) * 99 // 100],
        "proxied_p99_ms": behind[len(behind) * 99 // 100],
    }


def check_all_recorded(dsn: str, made: int, environment: dict[str, str]) -> None:
    """Raise where calls are missing.

    A proxy has 1.5 s at its end, and leaves on disk what the database has not taken by then: the next one of
    the same name sends it.
    """
    next_one = Server([*PROXY, "cat"], environment)
    recorded = 0
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            deadline = time.monotonic() + 60
            while recorded < made and time.monotonic() < deadline:
                time.sleep(0.2)
                [recorded] = conn.execute("select count(*) from bcp.tool_usage_logs").fetchone() or (0,)
    finally:
        next_one.close()
    if recorded != made:
        raise RuntimeError(f"{made} calls were made, {recorded} recorded")


@contextmanager
def database(folder: str, *, away: bool) -> Iterator[str]:
    """Return the connection string of a database with the store, or of none."""
    if away:
        yield f"host={folder} dbname=away"
        return
    server = Native()
    try:
        server.start()
        with server.clean() as dsn:
            yield dsn
    finally:
        server.stop()


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--away", action="store_true", help="record to a database that is away")
    parser.add_argument("--calls", type=int, default=1_000)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, database(folder, away=options.away) as dsn:
        environment = os.environ | {"XDG_STATE_HOME": folder, "BCP_ANALYTICS_DSN": dsn}
        for size, share in ((200, 1), (20_000, 1), (1_000_000, 4)):
            calls = max(options.calls // share // IN_A_ROW, 1) * IN_A_ROW
            found[str(size)] = {"calls": calls} | measure(calls, size, environment)
        if not options.away:
            check_all_recorded(dsn, round(sum(row["calls"] + WARM_UP for row in found.values())), environment)
    for size_name, row in found.items():
        print(
            f"answer of {int(size_name):>9,} bytes: {row['direct_ms']:.3f} ms direct,"
            f" {row['proxied_ms']:.3f} ms behind the proxy, {row['added_ms']:+.3f} ms a call"
        )
    document: dict[str, Any] = {
        "target": "away" if options.away else "native",
        "sizes": found,
        "ratios": {
            "proxy_added_ms": round(found["200"]["added_ms"], 4),
            "proxy_added_ms_1MB": round(found["1000000"]["added_ms"], 4),
            "proxy_vs_direct": round(found["200"]["proxied_ms"] / found["200"]["direct_ms"], 3),
            "proxy_vs_direct_20kB": round(found["20000"]["proxied_ms"] / found["20000"]["direct_ms"], 3),
            "proxy_vs_direct_1MB": round(found["1000000"]["proxied_ms"] / found["1000000"]["direct_ms"], 3),
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "proxy.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
