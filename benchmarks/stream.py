"""What it costs to watch: the stream at 1, 50 and 200 subscribers, while 1,000 calls a second go in.

    python -m benchmarks.stream                  # 3 million calls, on a native TimescaleDB of its own
    python -m benchmarks.stream --calls 100000 --seconds 10

The store has 90 days of calls, aggregates up to five minutes ago, and 300,000 calls since then that no
refresh has reached. The server, the subscribers and the sender are a process each, on loopback. A batch of
100 calls is committed every tenth of a second.

- commit to frame: from when the sender knows of the commit, to when a subscriber has a message that counts
  the batch. Each batch and subscriber is one sample. Half a tick of this is waiting for the tick.
- statements: what PostgreSQL counted of the stream's role, per tick.
- tick: what the two statements take, and with them adding up and making the message.
- CPU and memory are those of the server's process; the calls do not pass through it.
- OTLP: spans a second that the same server takes in, as `benchmarks.otlp` sends them, with nobody watching.
- commit to paint: to when a browser has painted a total that counts the batch: Debian's Chromium, which has
  the overview open over the last day, alone and beside 199 other subscribers. It takes cores from all
  others, so these are rounds of their own.
- stalled: a client that stops reading, until the server has closed its socket, and by how much the server's
  memory grew meanwhile, with what the system keeps of the unsent.

It takes some eight minutes. Prints a table, and writes it with the ratios to benchmarks/results/stream.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import statistics
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from bcp_analytics.serve import Config, run
from bcp_analytics.serve._stream._reader import Reader
from benchmarks import otlp
from benchmarks.paint import CHROMIUM, paint
from benchmarks.server import server, target
from tests.targets import free_port, until_it_listens, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.synchronize import Event

    Connection = psycopg.Connection[Any]
    Rows = dict[int, dict[str, float]]

RESULTS = Path(__file__).parent / "results"
SUBSCRIBERS = (1, 50, 200)
# With the browser among them.
PAINTED = (1, 200)
A_SECOND = 1_000
SUCCEED = 0.97
BATCH = 100
GATHERED = 300_000
OTLP_ROUNDS = 3
SETTINGS = {
    "shared_preload_libraries": "timescaledb,pg_stat_statements",
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "maintenance_work_mem": "512MB",
    "max_connections": "40",
}
PATH = "/analytics-stream"
COUNTED = re.compile(r'"calls_today":(\d+)')

FILL: LiteralString = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, parameters,
    request_bytes, response_bytes, user_id, session_id)
select at, at + interval '1 ms' * exp(3 + 1.2 * normal), at + interval '2 s', gen_random_uuid(),
       'bundle-' || tool %% 12, 'tool-' || tool, 'call', luck < 0.97,
       case when luck < 0.97 then 'success' else 'error' end,
       jsonb_build_object('n', i %% 1000, 'path', '/srv/data/' || i %% 5000), 40 + i %% 100, 200 + i %% 4000,
       'u' || i %% 500, 's' || i %% 20000
from (
    select i, %(until)s::timestamptz - (%(calls)s - i) * %(span)s::interval / %(calls)s as at,
           1 + floor(200 * power(random(), 2))::integer as tool, random() as luck,
           sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) as normal
    from generate_series(1, %(calls)s) i
    offset 0
) d
"""


def fill(conn: Connection, calls: int) -> None:
    """Make a store as in use."""
    conn.execute("create extension pg_stat_statements")
    conn.execute("select setseed(0.7)")
    now = time.time()
    for number, span, before in ((calls - GATHERED, "90 days", 300), (GATHERED, "5 minutes", 0)):
        if number > 0:
            until = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now - before))}+00"
            conn.execute(FILL, {"calls": number, "span": span, "until": until})
        if before:
            conn.execute("call bcp.refresh_analytics_views()")
    conn.execute("analyze bcp.tool_usage_logs")


def serve(dsn: str, port: int, pipe: Pipe) -> None:
    """Run the server; whenever `pipe` has something, send what ticks took since the last time."""
    took: list[tuple[float, float]] = []
    read, execute = Reader.read, psycopg.AsyncCursor.execute
    in_statements = 0.0

    async def timed_execute(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as psycopg's
        nonlocal in_statements
        begin = time.perf_counter()
        try:
            return await execute(self, *args, **kwargs)
        finally:
            in_statements += time.perf_counter() - begin

    async def timed_read(self: Reader) -> dict[str, str]:
        nonlocal in_statements
        in_statements, begin = 0.0, time.perf_counter()
        messages = await read(self)
        took.append((1000 * in_statements, 1000 * (time.perf_counter() - begin)))
        return messages

    Reader.read = timed_read  # type: ignore[method-assign]
    psycopg.AsyncCursor.execute = timed_execute  # type: ignore[method-assign,assignment]

    def answer() -> None:
        while pipe.recv() is not None:
            pipe.send((list(took), time.process_time()))
            took.clear()

    threading.Thread(target=answer, daemon=True).start()
    run(Config(dsn=dsn, port=port, access_log=False), tell=lambda _: None)


def send(dsn: str, stop: Event, pipe: Pipe) -> None:
    """Commit batches at an even pace until told to stop.

    Then send how many calls of today there were before, and when each batch was committed.
    """
    draw = random.Random(7)  # noqa: S311 - made-up calls
    committed: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as conn:
        [(before,)] = conn.execute(
            "select count(*) from bcp.tool_usage_logs where start_time >= date_trunc('day', now(), 'UTC')"
        ).fetchall()
        due = time.monotonic()
        while not stop.is_set():
            calls = []
            for _ in range(BATCH):
                tool = 1 + int(200 * draw.random() ** 2)
                calls.append(
                    {
                        "bcp_name": f"bundle-{tool % 12}",
                        "tool_name": f"tool-{tool}",
                        "duration_ms": round(draw.lognormvariate(3, 1.2), 3),
                        "success": draw.random() < SUCCEED,
                        "parameters": {"path": f"/srv/data/{draw.randrange(5000)}", "limit": 200},
                        "response_bytes": draw.randrange(200, 4000),
                    }
                )
            conn.execute("select bcp.ingest_tool_usage(null, %s::text, 'bench')", [json.dumps(calls)])
            committed.append(time.time())
            due += BATCH / A_SECOND
            time.sleep(max(due - time.monotonic(), 0))
    pipe.send((before, committed))


def subscribe(port: int, token: str, number: int, stop: Event, pipe: Pipe) -> None:
    """Watch, and send for each subscriber when it had which count of calls."""

    async def watch(seen: list[tuple[float, int]]) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(
            f"ws://127.0.0.1:{port}{PATH}", additional_headers=headers, compression=None, proxy=None
        ) as ws:
            async for text in ws:
                at = time.time()
                # The figures of all calls come first.
                if (found := COUNTED.search(str(text[:1000]))) is not None:
                    seen.append((at, int(found[1])))

    async def watch_all() -> list[list[tuple[float, int]]]:
        seen: list[list[tuple[float, int]]] = [[] for _ in range(number)]
        tasks = [asyncio.create_task(watch(one)) for one in seen]
        while not stop.is_set():  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen

    pipe.send(asyncio.run(watch_all()))


@dataclass
class Server:
    """The server's process, as the system and PostgreSQL see it."""

    conn: Connection
    port: int
    token: str
    process: Any
    pipe: Pipe
    clock_ticks: int = field(default_factory=lambda: os.sysconf("SC_CLK_TCK"))

    def ticks(self) -> tuple[list[tuple[float, float]], float]:
        """Return what ticks took since the last time, and the CPU time so far in seconds."""
        self.pipe.send("ticks")
        return self.pipe.recv()  # type: ignore[no-any-return]

    def wait_for_ticks(self, number: int) -> None:
        """Wait until there were so many since the last time."""
        deadline, there = time.monotonic() + 60, 0
        while there < number and time.monotonic() < deadline:
            time.sleep(0.5)
            there += len(self.ticks()[0])

    def megabytes(self) -> float:
        """Return the memory that the process has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0

    def sockets(self) -> int:
        """Return how many sockets and files it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def statements(self) -> int:
        """Return how many statements the stream has sent so far."""
        row = self.conn.execute(
            "select coalesce(sum(calls), 0)::int from pg_stat_statements where userid = 'bcp_reader'::regrole"
        ).fetchone()
        return int(row[0]) if row else 0

    def unsent(self, port: int) -> int:
        """Return how many bytes the system keeps that the client at a port has not taken."""
        for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if local.endswith(f":{self.port:04X}") and remote.endswith(f":{port:04X}"):
                return int(queues.partition(":")[0], 16)
        return 0


@contextmanager
def at_work(*tasks: tuple[Callable[..., None], tuple[Any, ...]]) -> Iterator[list[Any]]:
    """Have each task work in a process of its own; the list has what each of them says at the end."""
    context = get_context("spawn")
    stop = context.Event()
    pipes: list[Pipe] = []
    processes = []
    said: list[Any] = []
    for work, arguments in tasks:
        here, there = context.Pipe()
        pipes.append(here)
        processes.append(context.Process(target=work, args=(*arguments, stop, there), daemon=True))
        processes[-1].start()
        # So that reading fails where the process has ended.
        there.close()
    try:
        yield said
    finally:
        stop.set()
        said.extend(pipe.recv() for pipe in pipes)
        for process in processes:
            process.join(20)


def at_rate(it: Server, subscribers: int, seconds: float, dsn: str) -> dict[str, float]:
    """Measure one number of subscribers."""
    with at_work((subscribe, (it.port, it.token, subscribers)), (send, (dsn,))) as told:
        # Everybody watches, and the totals of the day are read.
        it.wait_for_ticks(5)
        _, cpu_before = it.ticks()
        began, statements = time.time(), it.statements()
        time.sleep(seconds)
        took, cpu = it.ticks()
        ended, statements = time.time(), it.statements() - statements
        memory = it.megabytes()
    seen, (before, committed) = told
    waits = delays(seen, before, committed, began, ended - 3)
    rate = BATCH * sum(began <= at < ended for at in committed) / (ended - began)
    return {
        "calls_per_second": round(rate),
        "commit_to_frame_p50_s": round(quantile(waits, 0.5), 3),
        "commit_to_frame_p99_s": round(quantile(waits, 0.99), 3),
        "samples": len(waits),
        "statements_a_tick": round(statements / len(took), 2),
        "tick_statements_p50_ms": round(quantile([one for one, _ in took], 0.5), 1),
        "tick_statements_p95_ms": round(quantile([one for one, _ in took], 0.95), 1),
        "tick_p95_ms": round(quantile([one for _, one in took], 0.95), 1),
        "cpu_share": round((cpu - cpu_before) / (ended - began), 4),
        "memory_mb": round(memory, 1),
    }


def painted(it: Server, subscribers: int, seconds: float, dsn: str) -> dict[str, float]:
    """Measure when a browser among that many subscribers shows what was committed."""
    # A range that does not move, so that no call leaves it: the last day, and the time of the run.
    row = it.conn.execute(
        "select '/?from=' || to_char(t.since, f) || '&to=' || to_char(t.since + '25 hours', f), count(*) "
        "from (select date_trunc('second', now() - interval '24 hours') at time zone 'UTC' as since, "
        """'YYYY-MM-DD"T"HH24:MI:SS"Z"' as f) as t """
        "join bcp.tool_usage_logs l on l.start_time >= t.since at time zone 'UTC' group by t.since, t.f"
    ).fetchone()
    assert row is not None  # noqa: S101
    path, before = row
    with at_work(
        (paint, (it.port, it.token, path)),
        (subscribe, (it.port, it.token, subscribers - 1)),
        (send, (dsn,)),
    ) as told:
        # The browser starts, and has asked everything once.
        it.wait_for_ticks(12)
        began = time.time()
        time.sleep(seconds)
        ended = time.time()
        # The last of them are painted.
        it.wait_for_ticks(8)
    seen, _, (_, committed) = told
    # What was not painted until the end waited at least until then.
    seen[0].append((time.time(), before + BATCH * len(committed)))
    waits = delays(seen, before, committed, began, ended)
    rate = BATCH * sum(began <= at < ended for at in committed) / (ended - began)
    return {
        "calls_per_second": round(rate),
        "commit_to_paint_p50_s": round(quantile(waits, 0.5), 3),
        "commit_to_paint_p99_s": round(quantile(waits, 0.99), 3),
        "commit_to_paint_max_s": round(max(waits), 3),
        "paints": len(seen[0]) - 1,
        "samples": len(waits),
    }


def delays(
    seen: list[list[tuple[float, int]]], before: int, committed: list[float], began: float, ended: float
) -> list[float]:
    """Return for each subscriber and batch the seconds from commit to the first message that counts it."""
    waits = []
    for frames in seen:
        counts = [count for _, count in frames]
        waits += [
            frames[bisect_left(counts, before + BATCH * number)][0] - at
            for number, at in enumerate(committed, 1)
            if began <= at < ended
        ]
    return waits


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def stalled(it: Server) -> dict[str, float]:
    """Watch without reading, and return how long the server takes that, and what it costs it."""
    context = get_context("spawn")
    stop = context.Event()
    here, there = context.Pipe()
    # With one that reads beside it: the first one who watches has the totals of the day read.
    other = context.Process(target=subscribe, args=(it.port, it.token, 1, stop, there), daemon=True)
    other.start()
    try:
        it.wait_for_ticks(5)
        return _stalled(it)
    finally:
        stop.set()
        here.recv()
        other.join(20)


def _stalled(it: Server) -> dict[str, float]:
    before, open_before = it.megabytes(), it.sockets()
    with socket.create_connection(("127.0.0.1", it.port)) as client:
        client.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {it.token}\r\n\r\n".encode()
        )
        client.recv(64)
        began = time.monotonic()
        grown = 0.0
        port = client.getsockname()[1]
        while it.sockets() > open_before and time.monotonic() < began + 30:
            grown = max(grown, it.megabytes() - before + it.unsent(port) / 2**20)
            time.sleep(0.1)
        return {"seconds": round(time.monotonic() - began, 1), "memory_mb": round(grown, 2)}


def measure(conn: Connection, seconds: float) -> tuple[Rows, Rows, dict[str, float], float]:
    dsn, port = conn.info.dsn, free_port()
    row = conn.execute("select bcp.create_api_token('bench', 'admin')").fetchone()
    assert row is not None  # noqa: S101
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(dsn, port, there), daemon=True)
    process.start()
    it = Server(conn, port, row[0], process, here)
    try:
        until_it_listens(port, lambda: not process.is_alive())
        found = {number: at_rate(it, number, seconds, dsn) for number in SUBSCRIBERS}
        shown = {number: painted(it, number, seconds, dsn) for number in PAINTED}
        gone = stalled(it)
        # The first round makes chunks and plans.
        rates = [
            otlp.measure(port, it.token, "protobuf", 1 + otlp.REQUESTS * n) for n in range(OTLP_ROUNDS + 1)
        ]
        return found, shown, gone, statistics.median(rates[1:])
    finally:
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(20)
        if process.is_alive():
            process.kill()


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=3_000_000)
    parser.add_argument("--seconds", type=float, default=30, help="for each number of subscribers")
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    if CHROMIUM is None:
        parser.error("this needs a Chromium: apt-get install chromium")
    with server(**SETTINGS) as conn:
        fill(conn, asked.calls)
        found, shown, gone, spans = measure(conn, asked.seconds)
        about = target(conn)
    most = found[max(found)]
    table = Table("subscribers", *most, title=about)
    for number, row in found.items():
        table.add_row(str(number), *[f"{value:,g}" for value in row.values()])
    console = Console(width=160)
    console.print(table)
    for number, row in shown.items():
        console.print(f"painted, at {number}", row)
    console.print("stalled", gone)
    console.print(f"OTLP: {spans:,.0f} spans/s")
    document = {
        "target": about,
        "load_average": round(os.getloadavg()[2], 1),
        "calls": asked.calls,
        "subscribers": found,
        "painted": shown,
        "stalled": gone,
        "ratios": {
            "stream_commit_to_socket_p99_s": max(row["commit_to_frame_p99_s"] for row in found.values()),
            "stream_commit_to_paint_p99_s": max(row["commit_to_paint_p99_s"] for row in shown.values()),
            "stream_statements_a_tick_at_200": most["statements_a_tick"],
            "stream_tick_p95_ms_at_3m_rows": max(row["tick_statements_p95_ms"] for row in found.values()),
            "stream_cpu_share_at_200": most["cpu_share"],
            "otlp_spans_per_s": round(spans),
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "stream.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
