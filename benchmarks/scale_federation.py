"""One store beside a head with three shards on the same server: the same calls, the same questions.

    python -m benchmarks.scale_federation --dsn "host=... user=postgres" --calls 1000000

The databases bcp_bench_one, bcp_bench_head and bcp_bench_a to _c (or of another --prefix) are made anew and
dropped at the end. All are on one machine, so a head cannot be faster than the store by having more of it:
the figure is what asking over connections and adding up costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import ExitStack
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bcp_analytics import federation
from bcp_analytics.migrate import migrate

SHARDS = {
    "a": ["bundle-0", "bundle-3", "bundle-6", "bundle-9"],
    "b": ["bundle-1", "bundle-4", "bundle-7"],
    "c": ["*"],
}
DAYS = 80
UNTIL = "2026-11-26T00:00:00Z"
# What a dashboard asks, all over the whole range.
QUESTIONS = {
    "tools": "select * from bcp.tool_usage_stats(%(since)s, %(until)s, null)",
    "tools by day": "select * from bcp.tool_usage_stats(%(since)s, %(until)s, '1 day')",
    "over time": "select * from bcp.usage_over_time(%(since)s, %(until)s, '1 day')",
    "totals": "select * from bcp.report_totals(%(since)s, %(until)s)",
    "latency": "select * from bcp.latency_over_time(%(since)s, %(until)s, '1 week')",
    "heatmap": "select * from bcp.latency_heatmap(%(since)s, %(until)s, '1 day')",
    "context": "select * from bcp.context_cost(%(since)s, %(until)s)",
    "users": "select * from bcp.top_users(%(since)s, %(until)s)",
    "errors": "select * from bcp.error_analysis(%(since)s, %(until)s)",
    "failed": "select * from bcp.failed_calls(%(since)s, %(until)s)",
    "slow": "select * from bcp.slow_calls(%(since)s, %(until)s)",
    "throughput": "select * from bcp.throughput(%(since)s, %(until)s, '1 day')",
}
_FILL = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, user_id,
    session_id, client_name, request_bytes, response_bytes)
select t.at, t.at + c.ms * interval '1 millisecond', t.at, gen_random_uuid(), c.bundle, 'tool-' || c.n %% 20,
       'tools/call', c.n %% 50 <> 0, case when c.n %% 50 <> 0 then 'success' else 'error' end,
       'user-' || c.n %% 997,
       'session-' || c.n / 12, 'client', c.n %% 500, c.n %% 9000
from (
    select n, 'bundle-' || n %% 10 as bundle, exp(2 + 6 * abs(hashint8(n) %% 1000) / 1000.0) as ms
    from generate_series(1, %(calls)s::bigint) n
) c
cross join lateral (
    select %(until)s::timestamptz - c.n::double precision / %(calls)s * %(days)s * interval '1 day' as at
) t
where %(bundles)s::text[] is null or c.bundle = any (%(bundles)s)
"""


def measure(server: str, calls: int, rounds: int, prefix: str = "bcp_bench") -> dict[str, Any]:
    """Fill both, ask both in turn, and return the medians in milliseconds and the ratio of their sums."""
    names = ["one", "head", *SHARDS]
    dsns = {name: make_conninfo(server, dbname=f"{prefix}_{name}") for name in names}
    with ExitStack() as stack:
        admin = stack.enter_context(
            psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True)
        )
        for name in names:
            database = sql.Identifier(f"{prefix}_{name}")
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(database))
            if name == "one":
                admin.execute(sql.SQL("create database {}").format(database))
                migrate(dsns["one"])
            else:
                template = sql.Identifier(f"{prefix}_one")
                admin.execute(sql.SQL("create database {} template {}").format(database, template))
            stack.callback(admin.execute, sql.SQL("drop database if exists {} with (force)").format(database))
        every = [f"bundle-{n}" for n in range(10)]
        named = {bundle for bundles in SHARDS.values() for bundle in bundles}
        _fill(dsns["one"], calls, None)
        for name, bundles in SHARDS.items():
            _fill(dsns[name], calls, [b for b in every if b not in named] if bundles == ["*"] else bundles)
            federation.add(dsns["head"], name, dsns[name], bundles)
        one = stack.enter_context(_connect(dsns["one"]))
        head = stack.enter_context(_connect(dsns["head"]))
        return _asked(one, head, rounds)


def _connect(dsn: str) -> psycopg.Connection[Any]:
    conn = psycopg.connect(dsn, autocommit=True)
    conn.execute("select set_config('bcp.now', %s, false)", [UNTIL])
    return conn


def _fill(dsn: str, calls: int, bundles: list[str] | None) -> None:
    print(f"filling {conninfo_to_dict(dsn)['dbname']}", file=sys.stderr, flush=True)
    with _connect(dsn) as conn:
        conn.execute(_FILL, {"calls": calls, "bundles": bundles, "days": DAYS, "until": UNTIL})
        conn.execute("call bcp.refresh_analytics_views()")
        conn.execute("analyze")


def _asked(one: psycopg.Connection[Any], head: psycopg.Connection[Any], rounds: int) -> dict[str, Any]:
    since = one.execute("select %s::timestamptz - %s * interval '1 day'", [UNTIL, DAYS]).fetchone()
    assert since is not None  # noqa: S101 - a select without from has one row
    given = {"since": since[0], "until": UNTIL}
    figures: dict[str, Any] = {}
    for name, question in QUESTIONS.items():
        taken: dict[str, list[float]] = {"one": [], "head": []}
        for turn in range(rounds + 1):
            for who, conn in (("one", one), ("head", head)):
                began = time.perf_counter()
                rows = conn.execute(question, given).fetchall()
                # The first turn opens connections and fills caches.
                if turn:
                    taken[who].append((time.perf_counter() - began) * 1000)
        print(f"asked {name}", file=sys.stderr, flush=True)
        figures[name] = {
            "rows": len(rows),
            "one_store_ms": round(statistics.median(taken["one"]), 1),
            "three_shards_ms": round(statistics.median(taken["head"]), 1),
        }
    one_ms = sum(f["one_store_ms"] for f in figures.values())
    head_ms = sum(f["three_shards_ms"] for f in figures.values())
    return {
        "questions": figures,
        "one_store_ms": round(one_ms, 1),
        "three_shards_ms": round(head_ms, 1),
        "ratios": {"federation_3_shards_vs_one_store": round(head_ms / one_ms, 2)},
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dsn", required=True, help="Connection string of the server, without a database.")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prefix", default="bcp_bench", help="What the names of the databases begin with.")
    given = parser.parse_args()
    print(json.dumps(measure(given.dsn, given.calls, given.rounds, given.prefix), indent=2))


if __name__ == "__main__":
    main()
