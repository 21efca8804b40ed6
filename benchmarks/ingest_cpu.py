"""What a call costs to store, in CPU, beside the requirements' own design that does the same work.

    python -m benchmarks.ingest_cpu                     # on a native TimescaleDB of its own
    python -m benchmarks.ingest_cpu --calls 5000 --rounds 1

CPU is that of the backend (utime and stime of its process) and of the application that sends, each in
microseconds a call. Wall clock would depend on what else the machine does. Calls are those of the demo, in
three mixes: plain (nothing to mask), half_masked (all tools, of which half have something to mask) and
masked.

- ours: `bcp.ingest_tool_usage` with a batch as JSON text, which Python makes: masked, without duplicates,
  booked.
- requirements: their collector in Node (benchmarks/js/): their anonymiser, and one INSERT of many rows with
  ON CONFLICT DO NOTHING, into their table with its indexes.

`ingest_vs_requirements_same_work_*` is their CPU divided by ours, application and database together, each
at its best size of a batch. Then 1, 2 and 4 writers send plain calls in batches of 1,000 at a time, by the
wall clock.

Writes benchmarks/results/ingest_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.table import Table

from bcp_analytics.embedded._runtime import find_node, npm_command
from benchmarks.ingest import backend_microseconds, calls, chunks, is_plain, ours
from benchmarks.requirements import INDEXES, TABLE
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    Connection = psycopg.Connection[Any]
    Events = list[dict[str, Any]]

RESULTS = Path(__file__).parent / "results"
JS = Path(__file__).parent / "js"
SIZES = (100, 1000, 5000)
WRITERS = (1, 2, 4)
INGEST = "select * from bcp.ingest_tool_usage(gen_random_uuid(), %s::text, 'bench')"


def mixes(number: int) -> dict[str, Events]:
    """Return the calls of each mix."""
    half = calls(number, plain=False)
    masked = [e for e in calls(4 * number, plain=False) if not is_plain(e)]
    return {"plain": calls(number, plain=True), "half_masked": half, "masked": masked[:number]}


def empty(conn: Connection) -> None:
    # The first two say that parameters are indexed, as they are by default.
    for statement in ours(lambda: None, lean=False).empty[2:]:
        conn.execute(statement)


def measure_ours(conn: Connection, events: Events, rounds: int) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, list[float]]] = {size: {"app": [], "db": []} for size in SIZES}
    for number in range(rounds + 1):
        for size, times in found.items():
            empty(conn)
            app, db = time.process_time(), backend_microseconds(conn)
            for chunk in chunks(events, size):
                conn.execute(INGEST, [json.dumps(chunk)])
            # The first round warms both sides.
            if number > 0:
                times["app"].append((time.process_time() - app) * 1e6 / len(events))
                times["db"].append((backend_microseconds(conn) - db) / len(events))
    return {
        size: {side: round(statistics.median(values), 1) for side, values in times.items()}
        for size, times in found.items()
    }


def measure_theirs(conn: Connection, events: Events, rounds: int) -> dict[int, dict[str, float]]:
    users = {user: n for n, user in enumerate(sorted({e["user_id"] for e in events if e.get("user_id")}))}
    conn.execute("truncate requirements.users cascade")
    conn.cursor().executemany("insert into requirements.users values (%s)", [[n] for n in users.values()])
    rows = [
        event
        | {
            "user_id": users.get(event.get("user_id", "")),
            "end_time": datetime.fromtimestamp(
                datetime.fromisoformat(event["start_time"]).timestamp() + event["duration_ms"] / 1000, UTC
            ).isoformat(),
        }
        for event in events
    ]
    info = conn.info
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(rows, file)
        file.flush()
        asked = {
            "calls": file.name,
            "host": info.host,
            "port": info.port,
            "user": info.user,
            "database": info.dbname,
            "sizes": SIZES,
            "rounds": rounds,
        }
        answer = subprocess.run(  # noqa: S603  # our own script
            [find_node(), JS / "requirements.mjs", json.dumps(asked)],
            check=True,
            capture_output=True,
            text=True,
        )
    return {
        int(size): {side: round(us, 1) for side, us in one.items()}
        for size, one in json.loads(answer.stdout).items()
    }


def writers(conn: Connection, events: Events, rounds: int) -> dict[int, int]:
    """Return rows a second of all writers together, each with calls of its own."""
    texts = [json.dumps(chunk) for chunk in chunks(events, 1000)]
    found: dict[int, list[float]] = {number: [] for number in WRITERS}
    for _ in range(rounds):
        for number, rates in found.items():
            empty(conn)
            conns = [psycopg.connect(conn.info.dsn, autocommit=True) for _ in range(number)]

            def send(one: psycopg.Connection[Any]) -> None:
                for text in texts:
                    one.execute(INGEST, [text])

            begin = time.perf_counter()
            with ThreadPoolExecutor(number) as pool:
                list(pool.map(send, conns))
            rates.append(number * len(events) / (time.perf_counter() - begin))
            for one in conns:
                one.close()
    return {number: round(statistics.median(rates)) for number, rates in found.items()}


def ratios(found: dict[str, dict[str, Any]], rates: dict[int, int]) -> dict[str, float]:
    def best(one: dict[int, dict[str, float]]) -> float:
        return min(sides["app"] + sides["db"] for sides in one.values())

    result: dict[str, float] = {}
    for mix in ("plain", "half_masked"):
        for size in (5000, 100):
            result[f"ingest_cpu_us_{mix}_{size}"] = found[mix]["ours"][size]["db"]
        result[f"ingest_vs_requirements_same_work_{mix}"] = round(
            best(found[mix]["requirements"]) / best(found[mix]["ours"]), 3
        )
    result["ingest_writers_4_vs_1"] = round(rates[4] / rates[1], 3)
    return result


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    subprocess.run(  # noqa: S603  # npm checks the hashes of what it installs
        [*npm_command(find_node()), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=JS, check=True
    )
    found: dict[str, dict[str, Any]] = {}
    with server(shared_buffers="1GB", max_wal_size="8GB") as conn:
        about = target(conn)
        conn.execute(TABLE + ", primary key (id));" + INDEXES)
        conn.execute("create schema bench")
        for mix, events in mixes(asked.calls).items():
            conn.execute("drop table if exists bench.days")
            conn.cursor().execute(
                "create table bench.days as select distinct date_trunc('day', at::timestamptz, 'UTC') as day"
                " from unnest(%s::text[]) at",
                [[event["start_time"] for event in events]],
            )
            found[mix] = {
                "ours": measure_ours(conn, events, asked.rounds),
                "requirements": measure_theirs(conn, events, asked.rounds),
            }
        rates = writers(conn, mixes(asked.calls)["plain"], asked.rounds)
    results = {
        "target": about,
        "load_average": round(os.getloadavg()[2], 1),
        "calls": asked.calls,
        "cpu_us_per_call": found,
        "writers_rows_per_s": rates,
        "ratios": ratios(found, rates),
    }
    table = Table("calls", "way", *[f"{size:,}" for size in SIZES], title=f"CPU us, app + database; {about}")
    for mix, ways in found.items():
        for way, sizes in ways.items():
            table.add_row(mix, way, *[f"{one['app']:.0f} + {one['db']:.0f}" for one in sizes.values()])
    console = Console(width=100)
    console.print(table)
    console.print({f"{number} writers, rows/s": rate for number, rate in rates.items()})
    console.print(results["ratios"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ingest_cpu.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
