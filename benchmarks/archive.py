"""What an archive run takes of time and memory, whatever the size of a chunk.

    python -m benchmarks.archive                 # on a native TimescaleDB of its own
    python -m benchmarks.archive --rows 50000 200000

For each number of rows: one chunk of a day, made-up calls with payloads as tools have them, archived to a
folder by a process of its own (exported, written, read back, proven), dropped, and restored by another.
Memory is the peak of that process over what it has once everything is imported.

Prints the figures, and writes them to benchmarks/results/archive.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from bcp_analytics import ingest_tool_usage
from bcp_analytics.archive import archive, restore
from bcp_analytics.demo._generate import batches
from benchmarks.server import server, target
from tests.targets import why_unavailable

RESULTS = Path(__file__).parent / "results"
DAY = datetime(2026, 1, 5, tzinfo=UTC)
RANGE = (DAY, DAY + timedelta(days=1))
MADE_UP = 10_000
MOST_MB = 256


def fill(conn: psycopg.Connection[Any], rows: int, made_up: int = MADE_UP) -> None:
    """Make up some calls, and have each as often as it takes, at other times and with other ids."""
    for batch in batches(7, made_up, datetime.now(UTC), 5000):
        if batch.kind == "tool_usage":
            ingest_tool_usage(conn, batch.events, batch_id=batch.batch_id)
    columns = [
        name
        for (name,) in conn.execute(
            "select attname from pg_attribute where attrelid = 'bcp.tool_usage_logs'::regclass and attnum > 0"
            " and not attisdropped and attgenerated = ''"
            " and attname not in ('start_time', 'end_time', 'event_id')"
        ).fetchall()
    ]
    listed = ", ".join(columns)
    copies = rows // made_up
    conn.execute("create table made_up as select *, row_number() over () as n from bcp.tool_usage_logs")
    conn.execute("truncate bcp.tool_usage_logs")
    conn.execute(
        f"insert into bcp.tool_usage_logs (start_time, end_time, event_id, {listed})"  # type: ignore[arg-type]
        " select s.at, s.at + (m.end_time - m.start_time), gen_random_uuid(), "
        + ", ".join(f"m.{c}" for c in columns)
        + f" from made_up m cross join generate_series(1, {copies}) copy"
        " cross join lateral (select timestamptz '2026-01-05Z'"
        f" + (m.n * {copies} + copy - 1) * interval '86000 seconds' / {rows} as at) s"
    )
    conn.execute("drop table made_up")


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(what: str, dsn: str, folder: str) -> None:
    """Archive or restore in this process, and print what it took."""
    import bcp_analytics.archive._query  # noqa: PLC0415
    import bcp_analytics.archive._restore  # noqa: PLC0415
    import bcp_analytics.archive._run  # noqa: F401, PLC0415

    with psycopg.connect(dsn, autocommit=True) as conn:
        before, begin = megabytes(), time.perf_counter()
        if what == "archive":
            archive(conn, folder, table="tool_usage_logs", since=RANGE[0], until=RANGE[1])
        else:
            restore(conn, "tool_usage_logs", *RANGE)
        took = time.perf_counter() - begin
    sys.stdout.write(json.dumps({"seconds": round(took, 1), "mb": round(megabytes() - before)}) + "\n")


def measure(what: str, dsn: str, folder: str) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.archive", "--work", what, dsn, folder],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(rows: int) -> dict[str, Any]:
    """Measure one chunk of so many rows."""
    with (
        server(shared_buffers="512MB", max_wal_size="4GB", work_mem="64MB") as conn,
        tempfile.TemporaryDirectory() as folder,
    ):
        fill(conn, rows)
        conn.execute("vacuum analyze bcp.tool_usage_logs")
        count, size = conn.execute(
            "select (select count(*) from bcp.tool_usage_logs), hypertable_size('bcp.tool_usage_logs')"
        ).fetchall()[0]
        found: dict[str, Any] = {"rows": count, "table_mb": round(size / 1e6)}
        dsn = conn.info.dsn
        found["archive"] = measure("archive", dsn, folder)
        found["file_mb"] = round(sum(p.stat().st_size for p in Path(folder).rglob("*.parquet")) / 1e6, 1)
        conn.execute("truncate bcp.tool_usage_logs")
        conn.execute("update bcp.archives set state = 'dropped'")
        found["restore"] = measure("restore", dsn, folder)
        for what in ("archive", "restore"):
            found[what]["rows_per_s"] = round(count / found[what]["seconds"])
        found["target"] = target(conn)
    return found


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(*asked.work)
        return
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    runs = [run(rows) for rows in asked.rows]
    results = {
        "target": runs[0].pop("target"),
        "runs": [{name: value for name, value in one.items() if name != "target"} for one in runs],
    }
    Console(width=120).print(results)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "archive.json").write_text(json.dumps(results, indent=2) + "\n")
    if any(one[what]["mb"] > MOST_MB for one in runs for what in ("archive", "restore")):
        raise SystemExit(f"more than {MOST_MB} MB")


if __name__ == "__main__":
    main()
