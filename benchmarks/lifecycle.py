"""What rows cost on disk, and what it takes to be rid of them, beside the requirements' own design.

    python -m benchmarks.lifecycle                          # on a native TimescaleDB of its own
    python -m benchmarks.lifecycle --calls 50000 --cleanup 1000000

- storage: made-up calls with payloads as tools have them, masked, in both designs; ours as rows and in the
  columnstore. Other ways to segment, order and index it are tried on the same rows, with the time that the
  questions over raw rows take there.
- ages: at what age chunks should move there, on a busier last week: the disk that 90 days take, what the
  questions over that week take, and what late calls cost.
- cleanup: so many calls of 90 days, all of them past their retention: `bcp.cleanup_old_data()` against the
  requirements' DELETE, with the disk that each gives back, theirs also after a VACUUM.

Prints the figures, and writes them with the ratios to benchmarks/results/lifecycle.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import uuid4

from psycopg import sql
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcp_analytics import ingest_tool_usage
from bcp_analytics.demo._generate import batches
from benchmarks import queries
from benchmarks.requirements import INDEXES, TABLE
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

RESULTS = Path(__file__).parent / "results"
END = datetime(2026, 11, 1, tzinfo=UTC)

# Segment-by, order-by, sparse indexes; the first is what the migrations set.
LAYOUTS: list[tuple[str, str, str]] = [
    ("bcp_name", "start_time desc", ""),
    ("bcp_name", "start_time desc", "bloom(user_id), bloom(session_id)"),
    ("", "start_time desc", ""),
    ("bcp_name, tool_name", "start_time desc", ""),
    ("bcp_name", "tool_name, start_time desc", ""),
    ("", "bcp_name, tool_name, start_time desc", ""),
    ("", "session_id, start_time desc", ""),
]

THEIRS: LiteralString = (
    TABLE
    + """, primary key (id));
insert into requirements.users select generate_series(1, 100000);
insert into requirements.tool_usage_logs (
    bcp_name, tool_name, operation, parameters, response_data, user_id, session_id, start_time, end_time,
    success, error_message, ip_address, user_agent, created_at)
select bcp_name, tool_name, operation, parameters, response_data, dense_rank() over (order by user_id),
       session_id, start_time, end_time, success, error_message, ip_address, user_agent, created_at
from bcp.tool_usage_logs order by start_time;
"""
    + INDEXES
)

SIZE: LiteralString = "select hypertable_size('bcp.tool_usage_logs')"

# What to ask for and how; the questions that read raw rows.
QUESTIONS: dict[str, tuple[LiteralString, LiteralString]] = {
    "user": (
        "select user_id from bcp.tool_usage_logs where user_id is not null order by start_time offset 500",
        "select * from bcp.tool_usage_stats(%(since)s, %(until)s, null, p_user_id => %(value)s)",
    ),
    "session": (
        "select session_id from bcp.user_sessions where started_at > '2026-10-29 9:30Z' order by started_at",
        "select * from bcp.session_timeline(%(value)s)",
    ),
    "slow": (
        "select tool_name from bcp.tool_usage_logs group by 1 order by count(*)",
        "select * from bcp.slow_calls(%(since)s, %(until)s, p_tool_name => %(value)s)",
    ),
    "failed": (
        "select bcp_name from bcp.tool_usage_logs group by 1 order by count(*)",
        "select * from bcp.failed_calls(%(since)s, %(until)s, p_bcp_name => %(value)s)",
    ),
    "search": (
        (
            "select jsonb_build_object('sql', parameters -> 'sql') from bcp.tool_usage_logs"
            " where parameters ? 'sql' order by start_time"
        ),
        "select * from bcp.search_parameters(%(value)s, p_since => %(since)s, p_until => %(until)s)",
    ),
    "search_in_vain": (
        """select '{"sql": "select"}'::jsonb""",
        "select * from bcp.search_parameters(%(value)s, p_since => %(since)s, p_until => %(until)s)",
    ),
}


def one(conn: Connection, query: LiteralString, *values: object) -> Any:  # noqa: ANN401
    row = conn.execute(query, values or None).fetchone()
    assert row is not None  # noqa: S101
    return row[0]


def seconds(conn: Connection, statement: LiteralString) -> float:
    begin = time.perf_counter()
    conn.execute(statement)
    return time.perf_counter() - begin


def storage(conn: Connection, calls: int) -> dict[str, Any]:
    """Return bytes a row of both designs, and of the columnstore by its layout."""
    conn.execute("select set_config('bcp.now', %s, false)", [END.isoformat()])
    for batch in batches(7, calls, END, 5000):
        if batch.kind == "tool_usage":
            ingest_tool_usage(conn, batch.events, batch_id=batch.batch_id)
    rows = one(conn, "select count(*) from bcp.tool_usage_logs")
    conn.execute(THEIRS)
    conn.execute("vacuum analyze")
    found: dict[str, Any] = {
        "rows": rows,
        "requirements": one(conn, "select pg_total_relation_size('requirements.tool_usage_logs')") / rows,
        "ours_as_rows": one(conn, SIZE) / rows,
    }
    conn.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    conn.execute("select bcp.apply_policies()")
    found["ours_as_rows_lean"] = one(conn, SIZE) / rows
    values = {name: one(conn, example) for name, (example, _) in QUESTIONS.items()}
    found["ms_as_rows"] = answers(conn, values, 30)
    found["layouts"] = [layout(conn, rows, values, *how) for how in LAYOUTS]
    found["ours"] = found["layouts"][0]["bytes_per_row"]
    conn.execute("call bcp.refresh_analytics_views()")
    found["our_aggregates"] = int(one(conn, AGGREGATES)) / rows
    found["ages"] = ages(
        conn, {"on": found["ours_as_rows"], "off": found["ours_as_rows_lean"]}, found["ours"]
    )
    return found


AGGREGATES: LiteralString = """
select sum(hypertable_size(
    format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass))
from timescaledb_information.continuous_aggregates where view_schema = 'bcp'
"""


DECOMPRESS: LiteralString = """
select decompress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)
from timescaledb_information.chunks where hypertable_name = 'tool_usage_logs' and is_compressed
"""


def lay_out(conn: Connection, segment_by: str, order_by: str, sparse: str) -> None:
    conn.execute(DECOMPRESS)
    conn.execute(
        "alter table bcp.tool_usage_logs set (timescaledb.enable_columnstore = true,"
        f" timescaledb.segmentby = '{segment_by}', timescaledb.orderby = '{order_by}',"
        f" timescaledb.sparse_index = '{sparse}')"
    )


def layout(conn: Connection, rows: int, values: dict[str, Any], *how: str) -> dict[str, Any]:
    lay_out(conn, *how)
    took = seconds(conn, "select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
    conn.execute("vacuum analyze bcp.tool_usage_logs")
    return {
        **dict(zip(("segment_by", "order_by", "sparse_indexes"), how, strict=True)),
        "bytes_per_row": one(conn, SIZE) / rows,
        "compress_s": round(took, 1),
        "ms": answers(conn, values, 30),
    }


def answers(conn: Connection, values: dict[str, Any], days: int) -> dict[str, float]:
    """Return the milliseconds of each question over the last so many days.

    The fastest of 25 in turn: what else runs on the machine only ever adds.
    """
    given = {"since": END - timedelta(days=days), "until": END}
    took: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    for _ in range(25):
        for name, (_, question) in QUESTIONS.items():
            value = Jsonb(values[name]) if isinstance(values[name], dict) else values[name]
            begin = time.perf_counter()
            conn.execute(question, given | {"value": value}).fetchall()
            took[name].append(1000 * (time.perf_counter() - begin))
    return {name: round(min(times), 1) for name, times in took.items()}


COPIES = 14
AGES = (7, 3, 1)
BUSIER: LiteralString = """
insert into bcp.tool_usage_logs (start_time, end_time, event_id, session_id, {columns})
select start_time + n * interval '1 minute', end_time + n * interval '1 minute', gen_random_uuid(),
       session_id || '-' || n, {columns}
from bcp.tool_usage_logs cross join generate_series(1, %s) n
where start_time >= '2026-10-24Z' and start_time < '2026-10-31 23:45Z'
"""
OTHER_COLUMNS: LiteralString = """
select array_agg(attname) from pg_attribute
where attrelid = 'bcp.tool_usage_logs'::regclass and attnum > 0 and attgenerated = ''
  and attname not in ('start_time', 'end_time', 'event_id', 'session_id')
"""


def ages(conn: Connection, row_bytes: dict[str, float], columnar_bytes: float) -> dict[str, Any]:
    """Return what it costs to keep chunks as rows for longer, with the index on parameters and without."""
    values = {name: one(conn, example) for name, (example, _) in QUESTIONS.items()}
    lay_out(conn, *LAYOUTS[0])
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in one(conn, OTHER_COLUMNS))
    conn.execute(sql.SQL(BUSIER).format(columns=columns), [COPIES])
    ways = []
    for index in ("off", "on"):
        conn.execute(DECOMPRESS)
        conn.execute("update bcp.settings set value = %s where name = 'index_parameters'", [index])
        conn.execute("select bcp.apply_policies()")
        for age in AGES:
            conn.execute(
                "select compress_chunk(c) from show_chunks('bcp.tool_usage_logs', older_than => %s) c",
                [END - timedelta(days=age)],
            )
            conn.execute("vacuum analyze bcp.tool_usage_logs")
            # A chunk moves when all of it is that old: its calls are half a day older on average.
            days_as_rows = age + 0.5
            size = days_as_rows * row_bytes[index] + (90 - days_as_rows) * columnar_bytes
            ways.append(
                {
                    "index_parameters": index,
                    "days": age,
                    "mb_of_90_days_per_million_calls_a_day": round(size),
                    "ms": answers(conn, values, 7),
                }
            )
    calls = one(conn, "select count(*) from bcp.tool_usage_logs where start_time >= '2026-10-25Z'")
    return {
        "calls_of_the_week": calls,
        "ways": ways,
        "late_of_an_hour": late(conn, END - timedelta(days=3, hours=15), timedelta(hours=1)),
        "late_of_a_day": late(conn, END - timedelta(days=5), timedelta(days=1)),
    }


CHUNK: LiteralString = """
select format('%%I.%%I', chunk_schema, chunk_name) from timescaledb_information.chunks
where hypertable_name = 'tool_usage_logs' and range_start <= %s order by range_start desc limit 1
"""
CHUNK_SIZE: LiteralString = """
select total_bytes from chunks_detailed_size('bcp.tool_usage_logs') s
where format('%%I.%%I', s.chunk_schema, s.chunk_name) = %s
"""


def late(conn: Connection, begin: datetime, within: timedelta) -> dict[str, Any]:
    """Return what 1,000 late calls cost, in a chunk of the columnstore beside one of rows."""
    chunk = one(conn, CHUNK, begin)
    sizes = [one(conn, CHUNK_SIZE, chunk)]
    took: dict[str, list[float]] = {"rows": [], "columnstore": []}
    calls = [b.events for b in batches(7, 2000, END, 100) if b.kind == "tool_usage"]
    for number, events in enumerate(calls):
        kind, first = [("rows", END - timedelta(days=1)), ("columnstore", begin)][number % 2]
        for place, event in enumerate(events):
            when = first + within * (place / len(events))
            event |= {"event_id": str(uuid4()), "start_time": when.isoformat()}
        started = time.perf_counter()
        ingest_tool_usage(conn, events, batch_id=uuid4())
        took[kind].append(1e6 * (time.perf_counter() - started) / len(events))
    sizes.append(one(conn, CHUNK_SIZE, chunk))
    started = time.perf_counter()
    conn.execute("select compress_chunk(%s)", [chunk])
    again = time.perf_counter() - started
    conn.execute("vacuum bcp.tool_usage_logs")
    sizes.append(one(conn, CHUNK_SIZE, chunk))
    return {
        "us_a_call": {kind: round(statistics.median(times)) for kind, times in took.items()},
        "s_to_compress_again": round(again, 2),
        "mb_before_with_them_and_compressed_again": [round(size / 1e6, 2) for size in sizes],
    }


def cleanup(conn: Connection, calls: int) -> dict[str, Any]:
    """Return seconds and bytes of both designs before and after everything is past its retention."""
    queries.load(conn, calls)
    conn.execute(
        "select set_config('bcp.now', (%s::timestamptz + interval '2 days')::text, false)", [queries.NOW]
    )
    conn.execute("call bcp.refresh_analytics_views()")
    conn.execute("update bcp.data_retention_policies set archive_before_delete = false")
    conn.execute(
        "select set_config('bcp.now', (%s::timestamptz + interval '93 days')::text, false)", [queries.NOW]
    )
    theirs: LiteralString = (
        "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
        " where inhparent = 'requirements.tool_usage_logs'::regclass"
    )
    found: dict[str, Any] = {
        "rows": one(conn, "select count(*) from bcp.tool_usage_logs"),
        "bytes_before": {"requirements": int(one(conn, theirs)), "ours": one(conn, SIZE)},
    }
    ours = seconds(conn, "select bcp.cleanup_old_data()")
    left = one(conn, "select count(*) from bcp.tool_usage_logs")
    assert left == 0, f"cleanup left {left} rows"  # noqa: S101
    deleting = seconds(conn, "delete from requirements.tool_usage_logs where created_at < '2026-11-21Z'")
    after = int(one(conn, theirs))
    vacuuming = seconds(conn, "vacuum requirements.tool_usage_logs")
    return found | {
        "seconds": {
            "requirements": round(deleting, 2),
            "their_vacuum": round(vacuuming, 2),
            "ours": round(ours, 3),
        },
        "bytes_after": {
            "requirements": after,
            "requirements_vacuumed": int(one(conn, theirs)),
            "ours": one(conn, SIZE),
        },
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200_000, help="for what rows cost; 0 leaves it out")
    parser.add_argument("--cleanup", type=int, default=10_000_000, help="for cleanup; 0 leaves it out")
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    path = RESULTS / "lifecycle.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    console = Console(width=120)
    ratios: dict[str, float] = results.setdefault("ratios", {})
    if asked.calls:
        with server(**queries.MEMORY) as conn:
            results["target"] = target(conn)
            results["storage"] = found = storage(conn, asked.calls)
        ratios["bytes_per_row_vs_requirements_design"] = round(found["ours"] / found["requirements"], 3)
        table = Table("layout", "bytes a row", "s to compress", *QUESTIONS, title="columnstore")
        as_rows = [f"{ms} ms" for ms in found["ms_as_rows"].values()]
        table.add_row("as rows", f"{found['ours_as_rows_lean']:.0f}", "", *as_rows)
        for way in found["layouts"]:
            name = f"[{way['segment_by']}] [{way['order_by']}] [{way['sparse_indexes']}]"
            answers_in = [f"{ms} ms" for ms in way["ms"].values()]
            table.add_row(escape(name), f"{way['bytes_per_row']:.0f}", f"{way['compress_s']}", *answers_in)
        console.print(table)
        console.print({name: value for name, value in found.items() if name not in ("layouts", "ages")})
        table = Table("days as rows", "index", "MB", *QUESTIONS, title="age")
        for way in found["ages"]["ways"]:
            size = str(way["mb_of_90_days_per_million_calls_a_day"])
            answers_in = [f"{ms} ms" for ms in way["ms"].values()]
            table.add_row(str(way["days"]), way["index_parameters"], size, *answers_in)
        console.print(table)
        console.print({name: value for name, value in found["ages"].items() if name != "ways"})
    if asked.cleanup:
        with server(**queries.MEMORY) as conn:
            results["target"] = target(conn)
            results["cleanup"] = found = cleanup(conn, asked.cleanup)
        ratios["cleanup_vs_requirements_delete"] = round(
            found["seconds"]["ours"] / found["seconds"]["requirements"], 5
        )
        console.print(found)
    console.print(ratios)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
