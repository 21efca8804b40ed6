"""How fast tool calls go in, beside the limit and the requirements' own design, in one run.

    python -m benchmarks.ingest                   # on a native TimescaleDB of its own
    python -m benchmarks.ingest --calls 50000

The same made-up calls go in each way, in turn, once per round, into tables that are emptied before:

- limit: a binary COPY of finished rows into an unlogged table without indexes. Nothing can be faster.
- heap: the same into a logged table.
- requirements: INSERT of 100 rows a statement into the requirements' schema, with its indexes, unmasked.
- ours: `bcp.ingest_tool_usage` with so many calls a batch, masked, deduplicated and booked: as JSON, or as
  rows in the binary format; `lean` without the GIN index on parameters.
- staged: what it would cost only to bring rows in by a binary COPY into a temporary table, and to read them
  there; `arrays`: the same for rows in an array.

Chunks are there before the clock starts: a store makes one per day.

What each sends is made before the clock starts. Prints medians of rows a second, CPU of the backend, WAL and
size a row, and writes them with the ratios to benchmarks/results/ingest.json. Half of these calls hold
something to mask, which is much: `--plain` sends only those of tools that never get personal data.
benchmarks/ingest_cpu.py compares with the requirements' design where it does the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from rich.console import Console
from rich.table import Table

from bcp_analytics.demo._generate import batches
from benchmarks.requirements import INDEXES, TABLE
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[Any]

RESULTS = Path(__file__).parent / "results"
SEED = 7
PLAIN = {("files", "search_files"), ("warehouse", "run_query")}

FIELDS = (
    "bcp_name", "tool_name", "operation", "parameters", "response_data", "user_id", "session_id",
    "start_time", "end_time", "success", "error_message", "ip_address", "user_agent",
)  # fmt: skip
ROWS = b"select * from bcp.ingest_tool_usage(gen_random_uuid(), $1, 'bench')"
READ: LiteralString = (
    "select count(c.bcp_name), sum(length(c.user_id)), count(c.parameters) from unnest($1) as c"
)


def is_plain(event: dict[str, Any]) -> bool:
    """Tell whether a call holds nothing to mask: some queries of these tools ask for an address."""
    return (event["bcp_name"], event["tool_name"]) in PLAIN and "@" not in event["parameters"].get("sql", "")


def calls(number: int, *, plain: bool) -> list[dict[str, Any]]:
    """Return made-up calls; without event ids, as a batch id is enough to send a batch twice."""
    found: list[dict[str, Any]] = []
    asked = number
    while len(found) < number:
        asked *= 2
        found = [
            {name: value for name, value in event.items() if name != "event_id"}
            for batch in batches(SEED, asked, datetime(2026, 11, 1, tzinfo=UTC), 1000)
            if batch.kind == "tool_usage"
            for event in batch.events
            if not plain or is_plain(event)
        ]
    return found[:number]


def chunks(events: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(events), size):
        yield events[start : start + size]


def backend_microseconds(conn: Connection) -> float:
    """Return the CPU that a backend on this machine has used: utime and stime of its process."""
    stat = Path(f"/proc/{conn.info.backend_pid}/stat").read_text(encoding="utf-8")
    # Behind the name in brackets.
    fields = stat.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


class Way:
    """A way in: what empties its table, what sends, and where the rows are, if they are kept."""

    def __init__(self, table: str | None, empty: tuple[LiteralString, ...], send: Callable[[], None]) -> None:
        self.table, self.empty, self.send = table, empty, send
        self.seconds: list[float] = []
        self.cpu_us: list[float] = []
        self.wal = self.size = 0.0

    def measure(self, conn: Connection, rows: int) -> None:
        for statement in self.empty:
            conn.execute(statement)
        conn.execute("checkpoint")
        before = conn.execute("select pg_current_wal_insert_lsn()").fetchone()
        begin, cpu = time.perf_counter(), backend_microseconds(conn)
        self.send()
        self.seconds.append(time.perf_counter() - begin)
        self.cpu_us.append((backend_microseconds(conn) - cpu) / rows)
        if self.table is None:
            return
        after = conn.execute(
            "select pg_current_wal_insert_lsn() - %s::pg_lsn, coalesce((select total_bytes from"
            " hypertable_detailed_size(%s::regclass)), pg_total_relation_size(%s::regclass)),"
            f" (select count(*) from {self.table})",
            [before and before[0], self.table, self.table],
        ).fetchone()
        assert after is not None  # noqa: S101
        assert after[2] == rows, f"{self.table} has {after[2]} rows, not {rows}"  # noqa: S101
        self.wal, self.size = float(after[0]) / rows, after[1] / rows


def binary(conn: Connection, query: sql.Composed) -> bytes:
    with conn.cursor().copy(sql.SQL("copy ({}) to stdout (format binary)").format(query)) as copy:
        return b"".join(map(bytes, copy))


def limits(conn: Connection) -> dict[str, Way]:
    """Binary COPY of the rows that are in the store, into tables like it."""
    conn.execute("create schema bench")
    columns = [
        name
        for (name,) in conn.execute(
            "select attname from pg_attribute where attrelid = 'bcp.tool_usage_logs'::regclass and attnum > 0"
            " and not attisdropped and attgenerated = '' order by attnum"
        )
    ]
    rows = sql.SQL("select {} from bcp.tool_usage_logs").format(
        sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    conn.execute(sql.SQL("create unlogged table bench.limit_ as {} limit 0").format(rows))
    conn.execute("create table bench.heap (like bench.limit_)")
    conn.execute(
        "create table bench.days as"
        " select distinct date_trunc('day', start_time, 'UTC') as day from bcp.tool_usage_logs"
    )
    data = binary(conn, rows)

    def send(statement: LiteralString) -> None:
        with conn.cursor().copy(statement) as copy:
            copy.write(data)

    return {
        "limit": Way(
            "bench.limit_",
            ("truncate bench.limit_",),
            lambda: send("copy bench.limit_ from stdin (format binary)"),
        ),
        "heap": Way(
            "bench.heap", ("truncate bench.heap",), lambda: send("copy bench.heap from stdin (format binary)")
        ),
    }


def requirements(conn: Connection, events: list[dict[str, Any]]) -> Way:
    # On one partition, which spares it the choice of one.
    conn.execute(TABLE + ", primary key (id));" + INDEXES)
    users = {user: n for n, user in enumerate(sorted({e["user_id"] for e in events if e.get("user_id")}))}
    conn.cursor().executemany("insert into requirements.users values (%s)", [[n] for n in users.values()])
    statements = []
    with psycopg.ClientCursor(conn) as cur:
        for chunk in chunks(events, 100):
            rows = []
            for event in chunk:
                end = datetime.fromisoformat(event["start_time"]).timestamp() + event["duration_ms"] / 1000
                row = event | {
                    "user_id": users.get(event.get("user_id", "")),
                    "end_time": datetime.fromtimestamp(end, UTC),
                    "parameters": json.dumps(event.get("parameters")),
                    "response_data": json.dumps(event.get("response_data")),
                }
                rows.append([row.get(name) for name in FIELDS])
            one = f"({', '.join(['%s'] * len(FIELDS))})"
            statements.append(
                cur.mogrify(
                    f"insert into requirements.tool_usage_logs ({', '.join(FIELDS)}) values "
                    + ", ".join([one] * len(rows)),
                    [value for row in rows for value in row],
                ).encode()
            )

    def send() -> None:
        for statement in statements:
            conn.execute(statement)

    return Way("requirements.tool_usage_logs", ("truncate requirements.tool_usage_logs",), send)


def ours(send: Callable[[], None], *, lean: bool) -> Way:
    index: LiteralString = "off" if lean else "on"
    return Way(
        "bcp.tool_usage_logs",
        (
            f"update bcp.settings set value = '{index}' where name = 'index_parameters'",
            "select bcp.apply_policies()",
            "truncate bcp.tool_usage_logs, bcp.user_sessions, bcp.users, bcp_internal.batch_keys",
            # The truncate took the chunks away.
            """insert into bcp.tool_usage_logs
                (start_time, created_at, event_id, bcp_name, tool_name, operation)
                select day, day, gen_random_uuid(), '', '', '' from bench.days""",
            "delete from bcp.tool_usage_logs",
            "vacuum bcp.tool_usage_logs",
        ),
        send,
    )


def as_json(conn: Connection, events: list[dict[str, Any]], size: int) -> Callable[[], None]:
    texts = [json.dumps(chunk) for chunk in chunks(events, size)]

    def send() -> None:
        for text in texts:
            conn.execute("select bcp.ingest_tool_usage(gen_random_uuid(), %s::text, 'bench')", [text])

    return send


def as_rows(
    conn: Connection, events: list[dict[str, Any]], size: int, query: bytes = ROWS
) -> Callable[[], None]:
    arrays = [
        conn.execute(
            "select array_send(bcp_internal.read_tool_calls(array(select jsonb_array_elements(%s::jsonb))))",
            [json.dumps(chunk)],
        ).fetchone()
        for chunk in chunks(events, size)
    ]
    data = [bytes(array[0]) for array in arrays if array]
    [(oid,)] = conn.execute("select 'bcp.tool_call[]'::regtype::oid").fetchall()

    def send() -> None:
        for array in data:
            answer = conn.pgconn.exec_params(query, [array], [oid], [1], 1)
            assert answer.status == ExecStatus.TUPLES_OK, answer.error_message  # noqa: S101

    return send


def staged(conn: Connection, events: list[dict[str, Any]], size: int) -> Callable[[], None]:
    data = [
        binary(
            conn,
            sql.SQL(
                "select c.* from unnest(bcp_internal.read_tool_calls(array("
                "select jsonb_array_elements({}::jsonb)))) as c"
            ).format(json.dumps(chunk)),
        )
        for chunk in chunks(events, size)
    ]
    conn.execute(
        "create temporary table staged on commit delete rows as"
        " select c.* from unnest('{}'::bcp.tool_call[]) as c"
    )

    def send() -> None:
        for rows in data:
            with conn.transaction():
                with conn.cursor().copy("copy staged from stdin (format binary)") as copy:
                    copy.write(rows)
                conn.execute(READ.replace("unnest($1)", "staged"))

    return send


def run(conn: Connection, events: list[dict[str, Any]], rounds: int) -> dict[str, Way]:
    as_json(conn, events, 1000)()
    ways = limits(conn) | {
        "requirements": requirements(conn, events),
        "json_100": ours(as_json(conn, events, 100), lean=False),
        "json_1000": ours(as_json(conn, events, 1000), lean=False),
        "rows_100_lean": ours(as_rows(conn, events, 100), lean=True),
        "rows_1000": ours(as_rows(conn, events, 1000), lean=False),
        "rows_1000_lean": ours(as_rows(conn, events, 1000), lean=True),
        "rows_5000_lean": ours(as_rows(conn, events, 5000), lean=True),
        "staged": Way(None, (), staged(conn, events, 1000)),
        "arrays": Way(None, (), as_rows(conn, events, 1000, READ.encode())),
    }
    for _ in range(rounds):
        for way in ways.values():
            way.measure(conn, len(events))
    return ways


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="only calls that hold nothing to mask")
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    events = calls(asked.calls, plain=asked.plain)
    with server(shared_buffers="1GB", max_wal_size="8GB", temp_buffers="64MB") as conn:
        about = target(conn)
        ways = run(conn, events, asked.rounds)
    rate = {name: len(events) / statistics.median(way.seconds) for name, way in ways.items()}
    best = max(rate[name] for name, way in ways.items() if way.table == "bcp.tool_usage_logs")
    results = {
        "target": about,
        "calls": len(events),
        "plain": asked.plain,
        "bytes_per_call": round(len(json.dumps(events)) / len(events)),
        "ways": {
            name: {
                "rows_per_s": round(rate[name]),
                "us_per_row": round(1e6 / rate[name], 1),
                "cpu_us_per_row": round(statistics.median(way.cpu_us), 1),
                "wal_bytes_per_row": round(way.wal),
                "bytes_per_row": round(way.size),
            }
            for name, way in ways.items()
        },
        "ratios": {
            "ingest_vs_limit": round(best / rate["limit"], 4),
            "ingest_vs_requirements_design": round(best / rate["requirements"], 3),
            "wal_per_row_vs_heap": round(ways["rows_1000_lean"].wal / ways["heap"].wal, 3),
            "wal_per_row_vs_requirements_design": round(
                ways["rows_1000_lean"].wal / ways["requirements"].wal, 3
            ),
        },
    }
    table = Table(
        "way", "rows/s", "us/row", "CPU us/row", "WAL bytes/row", "bytes/row", title=str(results["target"])
    )
    for name, row in results["ways"].items():
        table.add_row(name, *[f"{value:,}" for value in row.values()])
    console = Console(width=100)
    console.print(table)
    console.print(results["ratios"])
    name = "ingest_plain.json" if asked.plain else "ingest.json"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
