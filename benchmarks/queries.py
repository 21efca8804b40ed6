"""How fast questions over 90 days are answered, beside the requirements' own design, DuckDB and chDB.

    python -m benchmarks.queries                # 1, 3 and 10 million calls, on a native TimescaleDB
    python -m benchmarks.queries --calls 100000

The same made-up calls are in each: tools are called as Zipf's law has it, each tool's durations are lognormal
with a median and a spread of its own, and by day there are more calls than by night. The dashboard's question
is calls, success rate, mean, p50, p95 and p99 per tool over the 90 days up to now; each answers it in turn:

- requirements: their table, partitioned by month, with their indexes, and their query with three
  percentile_cont.
- ours: `bcp.tool_usage_stats`, as in a store in use: chunks older than a day in the columnstore, aggregates
  up to the last bucket that is over, rows above it raw.
- duckdb, chdb: the columns that matter, in memory and in a MergeTree, exact percentiles, all cores; chDB's
  own sketch too, which promises 1 percent, and the faster of the two counts.

`refresh` is what brings each up to date after the calls of five minutes and one that is three days late: the
requirements' REFRESH MATERIALIZED VIEW CONCURRENTLY of hourly_tool_usage, widened from 30 days to 90, against
`call bcp.refresh_analytics_views()`, of all aggregates.

Growth is that of our question alone, the sizes asked in turn at the end, each on a server of its own.

Prints medians, and writes them with the ratios to benchmarks/results/, and a plot to docs/design/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.requirements import BY_MONTH, INDEXES
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Rows = dict[tuple[str, str], tuple[float, ...]]

RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).parents[1] / "docs" / "design" / "queries.svg"
NOW = "2026-11-20 13:37:21+00"
SINCE = "2026-08-22 13:37:21+00"
PERCENTILES = ("p50", "p95", "p99")
MAIN = 3_000_000
MEMORY = {
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
}

MADE_UP: LiteralString = """
create schema bench;
select setseed(0.7);
create unlogged table bench.tools as
select n, 'bundle-' || n %% 12 as bcp_name, 'tool-' || n as tool_name, ln(5) + random() * ln(400) as mu,
       0.4 + 0.8 * random() as sigma, 0.9 + 0.0999 * random() as ok
from generate_series(1, 200) n;
create unlogged table bench.calls as
with zipf as materialized (
    select array_agg(upto::double precision order by n) as upto
    from (select n, sum(1.0 / n) over (order by n) / sum(1.0 / n) over () as upto from bench.tools) z
), drawn as materialized (
    select i, width_bucket(random(), z.upto) + 1 as tool,
           %(since)s::timestamptz + random() * interval '90 days' as at, random() as keep,
           sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) as normal, random() as luck
    from generate_series(1, %(calls)s) i cross join zipf z
)
select d.i, t.bcp_name, t.tool_name, case when d.i %% 10 = 0 then 'retry' else 'call' end as operation,
       -- Two of five calls of the night are moved by twelve hours, into the day.
       case when d.keep < 0.4 and extract(hour from d.at at time zone 'UTC') < 7
                and d.at < %(now)s::timestamptz - interval '12 hours'
            then d.at + interval '12 hours' else d.at end as start_time,
       interval '1 microsecond' * greatest(round(1000 * exp(t.mu + t.sigma * d.normal)), 1) as took,
       d.luck < t.ok as success
from drawn d join bench.tools t on t.n = d.tool;
"""

REQUIREMENTS: LiteralString = (
    BY_MONTH
    + """
insert into requirements.users select generate_series(0, 499);
insert into requirements.tool_usage_logs (
    bcp_name, tool_name, operation, parameters, user_id, session_id, start_time, end_time, success,
    created_at)
select bcp_name, tool_name, operation, jsonb_build_object('n', i % 1000, 'path', '/srv/data/' || i % 5000),
       i % 500, 's' || i % 20000, start_time, start_time + took, success, start_time
from bench.calls order by start_time;
"""
    + INDEXES
    + """
create materialized view requirements.hourly_tool_usage as
select date_trunc('hour', created_at) as hour, bcp_name, tool_name, count(*) as total_calls,
       count(*) filter (where success = true) as successful_calls, avg(duration_ms) as avg_duration_ms,
       max(duration_ms) as max_duration_ms,
       percentile_cont(0.95) within group (order by duration_ms) as p95_duration_ms
from requirements.tool_usage_logs
where created_at >= timestamptz '2026-08-22 13:37:21+00'
group by hour, bcp_name, tool_name;
create unique index on requirements.hourly_tool_usage (hour, bcp_name, tool_name);
"""
)

OURS: LiteralString = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, parameters,
    request_bytes, response_bytes, user_id, session_id)
select start_time, start_time + took, start_time, gen_random_uuid(), bcp_name, tool_name, operation, success,
       case when success then 'success' else 'error' end,
       jsonb_build_object('n', i % 1000, 'path', '/srv/data/' || i % 5000), 40 + i % 100, 200 + i % 4000,
       'u' || i % 500, 's' || i % 20000
from bench.calls order by start_time
"""

THEIR_QUERY: LiteralString = """
select bcp_name, tool_name, count(*), sum(case when success = true then 1 else 0 end)::float / count(*),
       avg(duration_ms), percentile_cont(0.5) within group (order by duration_ms),
       percentile_cont(0.95) within group (order by duration_ms),
       percentile_cont(0.99) within group (order by duration_ms)
from requirements.tool_usage_logs where created_at >= %s and created_at < %s
group by bcp_name, tool_name
"""

OUR_QUERY: LiteralString = """
select bcp_name, tool_name, call_count, success_rate, avg_duration_ms, p50_duration_ms, p95_duration_ms,
       p99_duration_ms
from bcp.tool_usage_stats(%s, %s, null)
"""

EXACT: LiteralString = """
select bcp_name, tool_name, count(*), avg(success::integer), avg(duration_ms),
       percentile_disc(0.5) within group (order by duration_ms),
       percentile_disc(0.95) within group (order by duration_ms),
       percentile_disc(0.99) within group (order by duration_ms)
from bcp.tool_usage_logs where start_time >= %s and start_time < %s group by 1, 2
"""

EXPORT: LiteralString = """
copy (
    select to_char(start_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), bcp_name, tool_name,
           operation, duration_ms, success::int
    from bcp.tool_usage_logs order by start_time
) to stdout (format csv)
"""


def execute(conn: Connection, script: LiteralString, **arguments: object) -> None:
    with psycopg.ClientCursor(conn) as cur:
        cur.execute(script, arguments or None)


def rows_of(found: list[Any]) -> Rows:
    return {(row[0], row[1]): tuple(float(value) for value in row[2:]) for row in found}


def load(conn: Connection, calls: int) -> None:
    """Make up the calls, and store them in both designs."""
    execute(conn, MADE_UP, calls=calls, since=SINCE, now=NOW)
    conn.execute("analyze bench.calls")
    conn.execute(REQUIREMENTS)
    conn.execute(f"select set_config('bcp.now', '{NOW}', false)")
    conn.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    conn.execute("select bcp.apply_policies()")
    conn.execute(OURS)
    conn.execute("drop table bench.calls")
    conn.execute(
        "select compress_chunk(c) from show_chunks("
        "'bcp.tool_usage_logs', older_than => bcp_internal.now() - interval '1 day') c"
    )
    # A store in use aggregates each day while it is young. A refresh of today would leave out the oldest two.
    aggregates = conn.execute(
        "select name, bcp_internal.bucket_start(bucket, bcp_internal.now(), time_zone)"
        " from bcp_internal.aggregates()"
    )
    for name, until in aggregates.fetchall():
        conn.execute(f"call refresh_continuous_aggregate('bcp.{name}', null, '{until}')")
    conn.execute("call bcp_internal.columnstore_aggregates()")
    conn.execute("vacuum analyze")
    conn.execute("checkpoint")


def postgres(conn: Connection, query: LiteralString) -> Callable[[], Rows]:
    return lambda: rows_of(conn.execute(query, [SINCE, NOW]).fetchall())


def duckdb_way(csv: Path) -> Callable[[], Rows]:
    import duckdb  # noqa: PLC0415  # only where it is asked for

    db = duckdb.connect()
    db.execute(
        f"create table calls as select * from read_csv('{csv}', header = false, columns ="
        " {'start_time': 'timestamp', 'bcp_name': 'varchar', 'tool_name': 'varchar', 'operation': 'varchar',"
        " 'duration_ms': 'double', 'success': 'boolean'})"
    )
    query = (
        "select bcp_name, tool_name, count(*), avg(success::integer), avg(duration_ms),"
        " quantile_disc(duration_ms, [0.5, 0.95, 0.99]) from calls"
        f" where start_time >= '{SINCE[:19]}' and start_time < '{NOW[:19]}' group by all"
    )
    return lambda: rows_of([(*row[:5], *row[5]) for row in db.execute(query).fetchall()])


def chdb_way(csv: Path, folder: Path, quantiles: str) -> Callable[[], Rows]:
    from chdb import session  # noqa: PLC0415  # only where it is asked for

    db = session.Session(str(folder / "chdb"))
    columns = (
        "start_time DateTime64(6, 'UTC'), bcp_name LowCardinality(String), tool_name LowCardinality(String),"
        " operation LowCardinality(String), duration_ms Float64, success UInt8"
    )
    db.query("create database if not exists bench")
    db.query(f"create table if not exists bench.calls ({columns}) engine = MergeTree order by start_time")
    if str(db.query("select count() from bench.calls", "CSV")).strip() == "0":
        literal = columns.replace("'", "\\'")
        db.query(f"insert into bench.calls select * from file('{csv}', CSV, '{literal}')")
        db.query("optimize table bench.calls final")
    query = (
        f"select bcp_name, tool_name, count(), avg(success), avg(duration_ms), {quantiles} as q"
        f" from bench.calls where start_time >= toDateTime64('{SINCE[:19]}', 6, 'UTC')"
        f" and start_time < toDateTime64('{NOW[:19]}', 6, 'UTC')"
        " group by all"
    )

    def ask() -> Rows:
        found = json.loads(str(db.query(query, "JSONCompact")))["data"]
        return rows_of([(*row[:5], *row[5]) for row in found])

    return ask


def largest_error(found: Rows, exact: Rows, place: int) -> float:
    return max(abs(found[tool][place] - values[place]) / values[place] for tool, values in exact.items())


def timed(ask: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - begin)


def refresh(conn: Connection, rounds: int) -> dict[str, float]:
    """Return medians of milliseconds to bring each design up to date after five minutes and a late call."""
    took: dict[str, list[float]] = {"requirements": [], "ours": []}
    [(per_five_minutes,)] = conn.execute(
        "select count(*) / (90 * 288) + 1 from bcp.tool_usage_logs"
    ).fetchall()
    for number in range(rounds):
        begin = f"timestamptz '{NOW}' + {number} * interval '5 minutes'"
        conn.execute(f"select set_config('bcp.now', ({begin} + interval '5 minutes')::text, false)")
        for start, calls in ((begin, per_five_minutes), ("timestamptz '2026-11-17 09:00:00+00'", 1)):
            at = f"{start} + i * interval '1 ms'"
            columns = "bcp_name, tool_name, operation, start_time, end_time, created_at, success"
            values = f"'bundle-1', 'tool-' || 1 + i % 200, 'call', {at}, {at} + interval '99 ms', {at}, true"
            source = f"from generate_series(1, {calls}) i"
            conn.execute(f"insert into requirements.tool_usage_logs ({columns}) select {values} {source}")
            conn.execute(
                f"insert into bcp.tool_usage_logs ({columns}, event_id)"
                f" select {values}, gen_random_uuid() {source}"
            )
        took["requirements"].append(
            timed(
                lambda: conn.execute("refresh materialized view concurrently requirements.hourly_tool_usage")
            )
        )
        took["ours"].append(timed(lambda: conn.execute("call bcp.refresh_analytics_views()")))
    conn.execute(f"select set_config('bcp.now', '{NOW}', false)")
    return {name: statistics.median(times) for name, times in took.items()}


def measure(conn: Connection, calls: int, rounds: int, folder: Path) -> dict[str, Any]:
    load(conn, calls)
    csv = folder / "calls.csv"
    with csv.open("wb") as file, conn.cursor().copy(EXPORT) as copy:
        for part in copy:
            file.write(part)
    folder.chmod(0o755)
    ways = {
        "requirements": postgres(conn, THEIR_QUERY),
        "ours": postgres(conn, OUR_QUERY),
        "duckdb": duckdb_way(csv),
        "chdb": chdb_way(csv, folder, "quantilesExact(0.5, 0.95, 0.99)(duration_ms)"),
        "chdb_sketch": chdb_way(csv, folder, "quantilesDD(0.01, 0.5, 0.95, 0.99)(duration_ms)"),
    }
    exact = postgres(conn, EXACT)()
    ours = ways["ours"]()
    if {tool: row[0] for tool, row in ours.items()} != {tool: row[0] for tool, row in exact.items()}:
        raise RuntimeError("our counts are not those of the raw rows")
    took: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            took[name].append(timed(way))
    sizes = conn.execute(
        "select (select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
        " where inhparent = 'requirements.tool_usage_logs'::regclass),"
        " hypertable_size('bcp.tool_usage_logs'),"
        " (select sum(hypertable_size(format("
        "'%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass))"
        "  from timescaledb_information.continuous_aggregates where view_name like 'tool%')"
    ).fetchone()
    assert sizes is not None  # noqa: S101
    return {
        "ms": {name: round(statistics.median(times), 2) for name, times in took.items()},
        "errors": {name: largest_error(ours, exact, 3 + n) for n, name in enumerate(PERCENTILES)},
        "refresh_ms": {name: round(ms, 1) for name, ms in refresh(conn, max(rounds // 2, 3)).items()},
        "bytes": dict(zip(("requirements", "ours", "our_aggregates"), map(int, sizes), strict=True)),
    }


def one_size(dsn: str, calls: int, rounds: int) -> dict[str, Any]:
    with psycopg.connect(dsn, autocommit=True) as conn, tempfile.TemporaryDirectory() as folder:
        return measure(conn, calls, rounds, Path(folder))


def side_by_side(conns: dict[int, Connection], rounds: int) -> dict[int, float]:
    """Return medians of our milliseconds for each size, the sizes asked in turn."""
    took: dict[int, list[float]] = {calls: [] for calls in conns}
    for number in range(rounds + 1):
        for calls, conn in conns.items():
            conn.execute(f"select set_config('bcp.now', '{NOW}', false)")
            ms = timed(postgres(conn, OUR_QUERY))
            if number > 0:
                took[calls].append(ms)
    return {calls: round(statistics.median(times), 2) for calls, times in took.items()}


def ratios(found: dict[int, dict[str, Any]], main: int) -> dict[str, float]:
    ms = found[main]["ms"]
    sizes = sorted(found)
    # Ten times the rows, or, where the sizes asked for do not reach so far, as many as there are.
    small, large = next(((a, b) for a in sizes for b in sizes if b == 10 * a), (sizes[0], sizes[-1]))
    growth = found[large]["ours_side_by_side_ms"] / found[small]["ours_side_by_side_ms"]
    return {
        "dashboard_speedup_vs_requirements_design": round(ms["requirements"] / ms["ours"], 1),
        "dashboard_growth_at_10x_rows": round(growth, 3),
        "dashboard_vs_duckdb": round(ms["ours"] / ms["duckdb"], 3),
        "dashboard_vs_chdb": round(ms["ours"] / min(ms["chdb"], ms["chdb_sketch"]), 3),
        "p95_max_relative_error": round(max(size["errors"]["p95"] for size in found.values()), 5),
        "refresh_vs_full_refresh": round(
            found[main]["refresh_ms"]["ours"] / found[main]["refresh_ms"]["requirements"], 4
        ),
    }


def plot(found: dict[int, dict[str, Any]], about: str) -> None:
    import matplotlib as mpl  # noqa: PLC0415  # only where it is asked for

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.5))
    sizes = sorted(found)
    names = {
        "requirements": "requirements' design",
        "chdb": "chDB, exact",
        "chdb_sketch": "chDB, sketch",
        "duckdb": "DuckDB",
        "ours": "bcp.tool_usage_stats",
    }
    for name, label in names.items():
        axes.plot(
            [size / 1e6 for size in sizes],
            [found[size]["ms"][name] for size in sizes],
            marker="o",
            label=label,
            linewidth=3 if name == "ours" else 1.5,
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="million calls over 90 days",
        ylabel="milliseconds, median",
        title="Calls, success rate, mean, p50, p95, p99 per tool over 90 days",
    )
    axes.set_xticks([size / 1e6 for size in sizes], [f"{size / 1e6:g}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.text(0.01, 0.01, about, fontsize=7, color="grey")
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    """Measure, print, plot, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000_000, MAIN, 10_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    found = {}
    conns = {}
    with ExitStack() as servers:
        # One process per size: chDB does not free all the memory that it took.
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
            for calls in sorted(asked.calls):
                conns[calls] = servers.enter_context(server(**MEMORY))
                dsn = conns[calls].info.dsn
                found[calls] = pool.submit(one_size, dsn, calls, asked.rounds).result()
        for calls, ms in side_by_side(conns, 3 * asked.rounds).items():
            found[calls]["ours_side_by_side_ms"] = ms
        about = target(conns[calls])
    main_size = MAIN if MAIN in found else max(found)
    results = {
        "target": about,
        "load_average": round(os.getloadavg()[2], 1),
        "calls": sorted(found),
        "sizes": {str(calls): size for calls, size in sorted(found.items())},
        "ratios": ratios(found, main_size),
    }
    table = Table("calls", *found[main_size]["ms"], "refresh, theirs", "refresh, ours", title=f"ms; {about}")
    for calls, size in sorted(found.items()):
        values = [*size["ms"].values(), *size["refresh_ms"].values()]
        table.add_row(f"{calls:,}", *[f"{value:,.0f}" for value in values])
    console = Console(width=120)
    console.print(table)
    console.print(results["ratios"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "queries.json").write_text(json.dumps(results, indent=2) + "\n")
    plot(found, about)


if __name__ == "__main__":
    main()
