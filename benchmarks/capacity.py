"""What a call costs beside its ingest, for the capacity model of docs/scale.md.

`python -m benchmarks.capacity` measures three figures that no other benchmark has: processor time of the
aggregates, processor time of the move to the columnstore, and the space of a remembered id.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.server import server, target

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]

RESULT = Path(__file__).parent / "results" / "capacity.json"
TICKS = os.sysconf("SC_CLK_TCK")

CALLS = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, user_id,
    session_id, client_name, client_model, request_bytes, response_bytes, parameters)
select t, t + make_interval(secs => exp(random() * 8 - 3) / 10), t, gen_random_uuid(),
       'bundle-' || tool %% 20, 'tool-' || tool, 'tools/call', n %% 20 > 0,
       case when n %% 20 > 0 then 'success' else 'error' end, 'user-' || n %% 10000, 'session-' || n %% 30000,
       'client', 'model', 200, 1500, jsonb_build_object('path', '/home/' || n %% 1000, 'limit', n %% 50)
from generate_series(1, %(calls)s) as n
cross join lateral (
    select floor(200 * random() * random())::integer as tool,
           date_trunc('day', now()) - interval '2 hours' + n * (interval '1 hour' / %(calls)s) as t) as about
"""
KEYS = """
insert into bcp_internal.event_keys (event_id, kind, seen_at)
select gen_random_uuid(), 'tool_usage', now() from generate_series(1, %(keys)s)
"""


def processor_seconds(conn: Connection) -> float:
    """Return what the backend has used so far."""
    fields = (
        Path(f"/proc/{conn.info.backend_pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / TICKS


def used(conn: Connection, work: Callable[[], object]) -> float:
    """Return the processor time of the backend for something, in seconds."""
    before = processor_seconds(conn)
    work()
    return processor_seconds(conn) - before


def measure(conn: Connection, calls: int, keys: int) -> dict[str, Any]:
    """Fill an empty store with an hour of yesterday, aggregate and move it, and remember ids."""
    conn.execute("set max_parallel_workers_per_gather = 0")
    conn.execute("update bcp.settings set value = '1 hour' where name = 'chunk_interval'")
    conn.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    conn.execute("select bcp.apply_policies()")
    conn.execute(CALLS, {"calls": calls})
    conn.execute("analyze bcp.tool_usage_logs")
    aggregated = used(conn, lambda: conn.execute("call bcp.refresh_analytics_views()"))
    moved = used(
        conn, lambda: conn.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
    )
    # In pieces, as senders bring them.
    for _ in range(10):
        conn.execute(KEYS, {"keys": keys // 10})
    size = conn.execute(
        "select pg_table_size(r), pg_indexes_size(r) from to_regclass('bcp_internal.event_keys') as r"
    ).fetchone()
    assert size is not None  # noqa: S101 - for the type checker
    return {
        "calls": calls,
        "keys": keys,
        "aggregates_us_per_row": round(aggregated / calls * 1e6, 1),
        "columnstore_us_per_row": round(moved / calls * 1e6, 1),
        "bytes_per_key": round(sum(size) / keys, 1),
        "index_bytes_per_key": round(size[1] / keys, 1),
    }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = []
    for _ in range(given.rounds):
        with server() as conn:
            found.append(measure(conn, given.calls, given.keys))
            about = target(conn)
    names = [name for name in found[0] if name not in {"calls", "keys"}]
    medians = {name: sorted(one[name] for one in found)[len(found) // 2] for name in names}
    result = {"target": about, "calls": given.calls, "keys": given.keys, "rounds": given.rounds, **medians}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
