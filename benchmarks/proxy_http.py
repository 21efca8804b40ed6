"""What the HTTP proxy adds to a tool call: the same server with and without it, ten calls each in turn.

    python -m benchmarks.proxy_http         # records to a native TimescaleDB of its own

The server answers at once with a result of the given size, as JSON or as an event, over connections that stay
open, so all that is measured is the way there and back. Then ten clients call at once: each with a rest of a
tenth of a second between its calls, and each as fast as it can, which shows what the proxy can take.
Prints medians, and writes them to benchmarks/results/proxy_http.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.proxy import IN_A_ROW, REST_S, RESULTS, WARM_UP, database
from tests.python.http_upstream import proxied

CLIENTS = 10
PAUSE_S = 0.1
"""With which ten clients make 100 calls a second."""
SERVER = """
import json, sys, uvicorn
async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    call = json.loads(body)
    text = "x" * call["params"]["arguments"]["size"]
    result = {"content": [{"type": "text", "text": text}], "isError": False}
    answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
    kind = b"application/json"
    if call["params"]["arguments"]["events"]:
        kind, answer = b"text/event-stream", b"event: message\\ndata: " + answer + b"\\n\\n"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": answer})
uvicorn.run(app, port=0, lifespan="off", access_log=False, ws="none", http="h11", timeout_keep_alive=600)
"""


class Client:
    """A client with one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.calls = 0

    def call(self, size: int, *, events: bool) -> float:
        """Make a call, and return the milliseconds until its answer was here."""
        self.calls += 1
        params = {"name": "read", "arguments": {"size": size, "events": events}}
        request = {"jsonrpc": "2.0", "id": self.calls, "method": "tools/call", "params": params}
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        begin = time.perf_counter_ns()
        self._connection.request("POST", "/mcp", body, headers)
        answer = self._connection.getresponse().read()
        took = (time.perf_counter_ns() - begin) / 1e6
        if b'"id": %d' % self.calls not in answer:
            raise RuntimeError("the answer is another call's")
        return took


def measure(direct: Client, proxied: Client, calls: int, size: int, *, events: bool) -> dict[str, float]:
    """Return medians in milliseconds for answers of `size` bytes; `added` is that of the differences."""
    times: dict[Client, list[float]] = {direct: [], proxied: []}
    # The recording stands back: of what comes faster than it can read, it would leave some out.
    rest_s = REST_S + size / 2_000_000
    for client in times:
        for number in range(WARM_UP):
            client.call(size, events=events)
            if number % IN_A_ROW == 0:
                time.sleep(rest_s)
    for number in range(calls // IN_A_ROW):
        # Alternate, and let each go first as often, so that the machine's moods hit both alike.
        for client in (direct, proxied) if number % 2 else (proxied, direct):
            time.sleep(rest_s)
            times[client] += [client.call(size, events=events) for _ in range(IN_A_ROW)]
    added = [behind - without for without, behind in zip(times[direct], times[proxied], strict=True)]
    without, behind = sorted(times[direct]), sorted(times[proxied])
    return {
        "calls": calls,
        "direct_ms": statistics.median(without),
        "proxied_ms": statistics.median(behind),
        "added_ms": statistics.median(added),
        "direct_p99_ms": without[len(without) * 99 // 100],
        "proxied_p99_ms": behind[len(behind) * 99 // 100],
    }


def at_once(ports: tuple[int, int], calls: int, pause_s: float) -> dict[str, float]:
    """Return the medians of calls by ten clients at once, which rest after each."""
    clients = {port: [Client(port) for _ in range(CLIENTS)] for port in ports}
    times: dict[int, list[float]] = {port: [] for port in ports}

    def make(client: Client, place: int, into: list[float]) -> None:
        time.sleep(pause_s * place / CLIENTS)
        for _ in range(IN_A_ROW):
            into.append(client.call(200, events=True))
            time.sleep(pause_s)

    began = time.monotonic()
    for number in range(calls // IN_A_ROW):
        for port in ports if number % 2 else reversed(ports):
            threads = [
                threading.Thread(target=make, args=(client, place, times[port]))
                for place, client in enumerate(clients[port])
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(REST_S)
    took = time.monotonic() - began
    direct, behind = (statistics.median(times[port]) for port in ports)
    return {
        "calls": len(times[ports[0]]),
        "calls_per_s": 2 * len(times[ports[0]]) / took,
        "direct_ms": direct,
        "proxied_ms": behind,
        "added_ms": behind - direct,
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        dsn = stack.enter_context(database(folder, away=False))
        server = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", SERVER], stderr=subprocess.PIPE, text=True)  # noqa: S603
        )
        stack.callback(server.kill)
        port = _port_of(server)
        proxy = stack.enter_context(proxied(Path(folder), f"http://127.0.0.1:{port}/mcp", dsn=dsn))
        direct, behind = Client(port), Client(proxy.port)
        for size, share in ((200, 1), (20_000, 1), (1_000_000, 4)):
            for events in (False, True):
                name = f"{size}, {'event' if events else 'JSON'}"
                calls = max(options.calls // share // IN_A_ROW, 1) * IN_A_ROW
                found[name] = measure(direct, behind, calls, size, events=events)
        each = max(options.calls // CLIENTS // IN_A_ROW, 1) * IN_A_ROW
        found["ten clients"] = at_once((port, proxy.port), each, PAUSE_S)
        found["ten clients without a rest"] = at_once((port, proxy.port), each, 0)
        made = behind.calls + 2 * CLIENTS * each
        proxy.stop()
        for name, row in found.items():
            print(
                f"{name}: {row['direct_ms']:.2f} ms direct, {row['proxied_ms']:.2f} ms behind the proxy,"
                f" {row['added_ms']:+.2f} ms a call"
            )
        # The next one of the same name sends what it has left on disk.
        stack.enter_context(proxied(Path(folder), f"http://127.0.0.1:{port}/mcp", dsn=dsn))
        deadline = time.monotonic() + 120
        while (recorded := _recorded(dsn)) != made:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{made} calls were made, {recorded} recorded: {proxy.said[-1]}")
            time.sleep(0.2)
    document: dict[str, Any] = {
        "target": f"native, {os.cpu_count()} cores",
        "answers": found,
        "ratios": {
            "http_proxy_added_ms": round(found["200, JSON"]["added_ms"], 3),
            "http_proxy_added_ms_event": round(found["200, event"]["added_ms"], 3),
            "http_proxy_added_ms_1MB": round(found["1000000, JSON"]["added_ms"], 3),
            "http_proxy_added_ms_ten_clients": round(found["ten clients"]["added_ms"], 3),
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "proxy_http.json").write_text(json.dumps(document, indent=2) + "\n")


def _recorded(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as conn:
        [recorded] = conn.execute("select count(*) from bcp.tool_usage_logs").fetchone() or (0,)
    return int(recorded)


def _port_of(server: subprocess.Popen[str]) -> int:
    if server.stderr is None:
        raise RuntimeError("no pipe")
    for line in server.stderr:
        if "running on" in line:
            return int(line.partition("127.0.0.1:")[2].partition(" ")[0])
    raise RuntimeError("the server has ended")


if __name__ == "__main__":
    main()
