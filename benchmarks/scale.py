"""Past one machine: what the archive as a lake weighs and costs, and how runs share their work.

    python -m benchmarks.scale                  # all parts, each on a native TimescaleDB of its own
    python -m benchmarks.scale --only lake_layout lake_files archive_runs shards

Made-up calls of the demo, each another, with random ids, as 12 tools on 8 servers each: 96 tools. Prints
the figures, and writes them to benchmarks/results/scale.json, each part for itself. `ratios` has what is
promised.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from rich.console import Console

from bcp_analytics.archive import archive, forget_lake
from benchmarks.archive import DAY, RANGE, fill
from benchmarks.scale_federation import measure
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    Db = psycopg.Connection[Any]

RESULTS = Path(__file__).parent / "results" / "scale.json"
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "work_mem": "64MB"}
CALLS = 300_000
# What one file of a day has at 14 calls a second: nine row groups. To make them up takes many minutes.
LAKE_CALLS = 1_180_000
ROUNDS = 7
QUESTIONS = {
    "slowest": "select * from '{}' where bcp_name = ? and tool_name = ? and duration_ms > 200"
    " order by duration_ms desc limit 20",
    "percentile": "select count(*), quantile_disc(duration_ms, 0.95), count(distinct user_id),"
    " sum(response_bytes) from '{}' where bcp_name = ? and tool_name = ?",
}


def lake_layout() -> dict[str, Any]:
    """Return bytes a row, and how much faster a question about one tool is than over files of before 0.2."""
    with server(**SETTINGS) as conn, tempfile.TemporaryDirectory() as folder:
        fill(conn, LAKE_CALLS, made_up=LAKE_CALLS)
        conn.execute(
            "update bcp.tool_usage_logs"
            " set bcp_name = bcp_name || '-' || hashtext(event_id::text)::bit(3)::integer"
        )
        archive(conn, folder, table="tool_usage_logs", since=RANGE[0], until=RANGE[1])
        [file] = Path(folder).rglob("*.parquet")
        return {"target": target(conn), **compared(file)}


def compared(file: Path) -> dict[str, Any]:
    """Compare a file of the archive with the same rows as they were written before 0.2."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    calls = pq.ParquetFile(file).metadata.num_rows
    with tempfile.TemporaryDirectory() as folder:
        older = Path(folder) / "older.parquet"
        _as_before(file, older)
        weights = {name: round(p.stat().st_size / calls, 1) for name, p in (("now", file), ("before", older))}
        asked = _ask(file, older)
    return {
        "calls": calls,
        "bytes_a_row": weights,
        "one_tool": asked,
        "ratios": {
            "archive_bytes_a_row_lake": weights["now"],
            # Of processor time: a machine that others use as well lengthens short questions the most.
            "lake_one_tool_speedup": round(
                statistics.median(one["before"]["cpu_ms"] / one["now"]["cpu_ms"] for one in asked.values()), 1
            ),
        },
    }


def _as_before(file: Path, older: Path) -> None:
    """Write the rows as archives had them before 0.2: by time, in groups of 50,000 rows."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = pq.read_table(file, partitioning=None).sort_by("start_time")
    pq.write_table(rows, older, compression="zstd", row_group_size=50_000)


def _ask(file: Path, older: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return milliseconds of each question in DuckDB: of each fourth tool the median, over these the mean."""
    import duckdb  # noqa: PLC0415

    found: dict[str, dict[str, dict[str, float]]] = {}
    with duckdb.connect(config={"threads": 2}) as db:
        tools = db.execute(f"select distinct bcp_name, tool_name from '{file}' order by all").fetchall()[::4]
        for name, question in QUESTIONS.items():
            medians: dict[tuple[str, str], list[float]] = {}
            for tool in tools:
                took: dict[tuple[str, str], list[float]] = {}
                for _ in range(ROUNDS):
                    for layout, path in (("before", older), ("now", file)):
                        begun = time.perf_counter(), time.process_time()
                        db.execute(question.format(path), tool).fetchall()
                        took.setdefault((layout, "ms"), []).append(time.perf_counter() - begun[0])
                        took.setdefault((layout, "cpu_ms"), []).append(time.process_time() - begun[1])
                for which, times in took.items():
                    medians.setdefault(which, []).append(statistics.median(times) * 1000)
            found[name] = {"before": {}, "now": {}}
            for (layout, unit), times in medians.items():
                found[name][layout][unit] = round(statistics.mean(times), 2)
    return found


def spread(conn: Db, days: int) -> None:
    """Put the calls of a day on so many."""
    columns = sql.SQL(", ").join(
        sql.Identifier(name)
        for (name,) in conn.execute(
            "select attname from pg_attribute where attrelid = 'bcp.tool_usage_logs'::regclass and attnum > 0"
            " and not attisdropped and attgenerated = '' and attname not in ('start_time', 'end_time')"
        ).fetchall()
    )
    conn.execute(
        sql.SQL(
            "create table spread as select *, row_number() over () % {} as n from bcp.tool_usage_logs"
        ).format(days)
    )
    conn.execute("truncate bcp.tool_usage_logs")
    conn.execute(
        sql.SQL(
            "insert into bcp.tool_usage_logs (start_time, end_time, {0})"
            " select start_time + n * interval '1 day', end_time + n * interval '1 day', {0} from spread"
        ).format(columns)
    )
    conn.execute("drop table spread")
    conn.execute("vacuum analyze bcp.tool_usage_logs")


def lake_files() -> dict[str, Any]:
    """Return how long it takes to publish 100 files at once, and one more."""
    with server(**SETTINGS) as conn, tempfile.TemporaryDirectory() as folder:
        fill(conn, 100_000)
        spread(conn, 101)
        last = DAY + timedelta(days=100)
        archive(conn, folder, table="tool_usage_logs", since=DAY, until=last)
        took = []
        for _ in range(ROUNDS):
            forget_lake(conn)
            begun = time.perf_counter()
            # Nothing is to be archived: all it does is publish.
            archive(
                conn,
                folder,
                table="tool_usage_logs",
                since=DAY,
                until=DAY + timedelta(days=1),
                iceberg="store",
            )
            took.append(time.perf_counter() - begun)
        many = statistics.median(took)
        begun = time.perf_counter()
        archive(conn, folder, table="tool_usage_logs", since=last, until=last + timedelta(days=1))
        one = time.perf_counter() - begun
        return {
            "target": target(conn),
            "publish_100_files_s": [round(each, 2) for each in took],
            "archive_and_publish_one_more_s": round(one, 2),
            "ratios": {"iceberg_add_100_files_s": round(many, 2)},
        }


def archive_runs() -> dict[str, Any]:
    """Return rows a second of 1, 2 and 4 runs at the same time on 8 chunks."""
    rows, days = 160_000, 8
    found: dict[str, list[float]] = {}
    with server(**SETTINGS) as conn:
        fill(conn, rows)
        spread(conn, days)
        for _ in range(3):
            for runs in (1, 2, 4):
                with tempfile.TemporaryDirectory() as folder:
                    conn.execute("delete from bcp.archives")
                    found.setdefault(str(runs), []).append(_at_once(conn.info.dsn, folder, runs))
                    [(archived,)] = conn.execute("select sum(row_count) from bcp.archives").fetchall()
                    assert archived == rows, "each chunk once"  # noqa: S101
        return {
            "target": target(conn),
            "rows": rows,
            "chunks": days,
            "ratios": {
                "archive_rows_per_s_1_2_4_runs": {
                    runs: round(rows / statistics.median(seconds)) for runs, seconds in found.items()
                }
            },
        }


def _at_once(dsn: str, folder: str, runs: int) -> float:
    """Return the seconds from the start of the first run to the end of the last, imports left out."""
    started = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.scale", "--work", dsn, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(runs)
    ]  # fmt: skip
    for one in started:
        assert one.stdout is not None  # noqa: S101
        one.stdout.readline()
    begun = time.perf_counter()
    for one in started:
        assert one.stdin is not None  # noqa: S101
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in started:
        if one.wait():
            raise SystemExit("a run failed")
    return time.perf_counter() - begun


def work(dsn: str, folder: str) -> None:
    """Archive all chunks of the days, when told to."""
    import bcp_analytics.archive._run  # noqa: F401, PLC0415

    with psycopg.connect(dsn, autocommit=True) as conn:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        archive(conn, folder, table="tool_usage_logs", since=DAY, until=DAY + timedelta(days=8))


def shards() -> dict[str, Any]:
    """Return what three shards and a head take for a dashboard's questions, beside one store."""
    with server(**SETTINGS) as conn:
        # Not info.dsn, which names defaults of this client that the server's libpq may not know.
        at = make_conninfo(host=conn.info.host, port=conn.info.port, user=conn.info.user)
        return measure(at, CALLS, 3) | {"target": target(conn)}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "lake_layout": lake_layout,
    "lake_files": lake_files,
    "archive_runs": archive_runs,
    "shards": shards,
}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(*asked.work)
        return
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in asked.only:
        part = PARTS[name]()
        results["ratios"] = results.get("ratios", {}) | part.pop("ratios")
        results[name] = part
        Console(width=120).print({name: part, "ratios": results["ratios"]})
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
