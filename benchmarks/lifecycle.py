"""What rows cost on disk, and what it takes to be rid of them, beside the requirements' own design.

    python -m benchmarks.lifecycle                          # on a native TimescaleDB of its own
    python -m benchmarks.lifecycle --calls 50000 --cleanup 1000000

- storage: made-up calls with payloads as tools have them, masked, in both designs; ours as rows and in the
  columnstore. Other ways to segment, order and index it are tried on the same rows, with the time that the
  questions over raw rows take there.
- cleanup: so many calls of 90 days, all of them past their retention: `bcp.cleanup_old_data()` against the
  requirements' DELETE, with the disk that each gives back, theirs also after a VACUUM.

Prints the figures, and writes them with the ratios to benchmarks/results/lifecycle.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.types.json import Jsonb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcp_analytics import ingest_tool_usage
from bcp_analytics.demo.generate import batches
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

# With an example value to ask for; the questions that read raw rows, over the 30 days.
QUESTIONS: dict[str, tuple[LiteralString, LiteralString]] = {
    "user": (
        "select user_id from bcp.tool_usage_logs where user_id is not null offset 500 limit 1",
        "select * from bcp.tool_usage_stats('2026-10-02Z', '2026-11-01Z', null, p_user_id => %s)",
    ),
    "session": (
        "select session_id from bcp.tool_usage_logs where session_id is not null offset 500 limit 1",
        "select * from bcp.session_timeline(%s)",
    ),
    "slow": (
        "select tool_name from bcp.tool_usage_logs group by 1 order by count(*) limit 1",
        "select * from bcp.slow_calls('2026-10-02Z', '2026-11-01Z', p_tool_name => %s)",
    ),
    "failed": (
        "select bcp_name from bcp.tool_usage_logs group by 1 order by count(*) limit 1",
        "select * from bcp.failed_calls('2026-10-02Z', '2026-11-01Z', p_bcp_name => %s)",
    ),
    "search": (
        (
            "select jsonb_build_object(k.key, k.value) from bcp.tool_usage_logs,"
            " jsonb_each(parameters) k where jsonb_typeof(k.value) = 'string' limit 1"
        ),
        "select * from bcp.search_parameters(%s, p_since => '2026-10-02Z', p_until => '2026-11-01Z')",
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
    found["ms_as_rows"] = answers(conn)
    found["layouts"] = [layout(conn, rows, *how) for how in LAYOUTS]
    found["ours"] = found["layouts"][0]["bytes_per_row"]
    conn.execute("call bcp.refresh_analytics_views()")
    found["our_aggregates"] = int(one(conn, AGGREGATES)) / rows
    return found


AGGREGATES: LiteralString = """
select sum(hypertable_size(
    format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass))
from timescaledb_information.continuous_aggregates where view_schema = 'bcp'
"""


def layout(conn: Connection, rows: int, segment_by: str, order_by: str, sparse: str) -> dict[str, Any]:
    conn.execute(
        "select decompress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
        " from timescaledb_information.chunks where hypertable_name = 'tool_usage_logs' and is_compressed"
    )
    conn.execute(
        "alter table bcp.tool_usage_logs set (timescaledb.enable_columnstore = true,"
        f" timescaledb.segmentby = '{segment_by}', timescaledb.orderby = '{order_by}',"
        f" timescaledb.sparse_index = '{sparse}')"
    )
    took = seconds(conn, "select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
    conn.execute("vacuum analyze bcp.tool_usage_logs")
    return {
        "segment_by": segment_by,
        "order_by": order_by,
        "sparse_indexes": sparse,
        "bytes_per_row": one(conn, SIZE) / rows,
        "compress_s": round(took, 1),
        "ms": answers(conn),
    }


def answers(conn: Connection) -> dict[str, float]:
    """Return the median milliseconds of each question."""
    asked = {}
    for name, (example, question) in QUESTIONS.items():
        value = one(conn, example)
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            conn.execute(question, [Jsonb(value) if isinstance(value, dict) else value]).fetchall()
            times.append(1000 * (time.perf_counter() - begin))
        asked[name] = round(statistics.median(times), 1)
    return asked


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
        console.print({name: value for name, value in found.items() if name != "layouts"})
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
