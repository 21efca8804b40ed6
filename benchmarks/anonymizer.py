"""What masking costs, before and after a change, and how it grows with what is masked.

    python -m benchmarks.anonymizer                          # on a native TimescaleDB of its own
    python -m benchmarks.anonymizer --against HEAD~1         # beside another revision, in turn
    python -m benchmarks.anonymizer --data calls.jsonl       # of real calls: keys arguments and result

- documents: microseconds a call, of calls that have nothing to mask and of those that have, a hundred at once
  and one by one. By default what the demo sends: made-up calls, and a few to a real MCP server.
- growth: for each rule and each gate the texts of tests/sql/anonymizer_hostile.py, and twice as much of them,
  with the best of 3 of each. A text that takes too long is given up, and counts as what it took until then.
- sizes: the same for a few texts at full size, once each. Both are CPU time, which others here disturb least.

With `--against` a second database is made from that revision, by its own code, and both are measured in turn.
Which calls have something to mask is what the code of this folder finds. Prints medians of wall clock and of
the CPU time of the backend. A run that measures all of it, without `--data`, writes it with the ratios to
benchmarks/results/anonymizer.json. Ratios of documents are CPU time after by CPU time before.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcp_analytics.demo import _real_calls as real_calls
from bcp_analytics.demo._generate import batches
from benchmarks.server import server, target
from tests.sql.anonymizer_hostile import GATES, RULES, card, name_of, phone, repeated, ssn
from tests.targets import why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[Any]

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
# What of a revision makes a database.
PARTS = ("bcp_analytics", "migrations", "sql")
MIGRATE = "import sys; from bcp_analytics.migrate import migrate; migrate(sys.argv[1])"
SEED = 7
BATCH = 100
# Times and ids are not masked as members of a document, but checked and typed.
UNMASKED = ("event_id", "session_id", "start_time", "end_time", "duration_ms", "success", "ip_address")
# What takes less than this for twice the text says nothing about growth.
TELLS_MS = 10.0

MASK: LiteralString = "select length(bcp_internal.anonymize_text(%s))"
DOCUMENTS: LiteralString = (
    "select sum(cardinality(bcp_internal.anonymize_documents(docs))) from batches where kind = %s"
)
CHANGED: LiteralString = """
select array_agg(d is distinct from m order by n)
from cast(%s as jsonb[]) as docs
cross join lateral unnest(docs, bcp_internal.anonymize_documents(docs)) with ordinality as t (d, m, n)
"""
INGEST: LiteralString = "select rejected from bcp.ingest_tool_usage(null, %s::text, 'bench')"


@dataclass
class Side:
    """A database, and what was measured on it."""

    name: str
    conn: Connection
    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """CPU time that the backend has had: the kernel counts it in nanoseconds."""
        return int(Path(f"/proc/{self.conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9

    def run(self, query: LiteralString, *args: object) -> tuple[float, float]:
        """Return seconds of wall clock and of CPU."""
        began_cpu, began = self.cpu_seconds(), time.perf_counter()
        self.conn.execute(query, args)
        return time.perf_counter() - began, self.cpu_seconds() - began_cpu


# --- the two databases


def export(revision: str, folder: Path) -> None:
    """Write what makes a database, as the revision has it."""
    out = subprocess.run(  # noqa: S603
        ["git", "-C", str(ROOT), "archive", revision, *PARTS],  # noqa: S607
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(out.stdout)) as tar:
        tar.extractall(folder, filter="data")


def before(conn: Connection, revision: str) -> str:
    """Make a database from a revision by its own code; the subprocess reads the package of that folder."""
    conn.execute("create database before")
    dsn = psycopg.conninfo.make_conninfo(conn.info.dsn, dbname="before")
    with tempfile.TemporaryDirectory() as folder:
        export(revision, Path(folder))
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", MIGRATE, dsn],
            check=True, cwd=folder, env=os.environ | {"PYTHONPATH": folder},
        )  # fmt: skip
    return dsn


# --- documents


def made_up() -> list[dict[str, Any]]:
    """Return calls as the demo sends them."""
    found = [
        event
        for batch in batches(SEED, 4000, datetime(2026, 11, 1, tzinfo=UTC), 1000)
        if batch.kind == "tool_usage"
        for event in batch.events
    ]
    if real_calls.why_unavailable() is None:
        found += real_calls.make_calls().calls
    return [{name: value for name, value in event.items() if name not in UNMASKED} for event in found]


def read(path: Path) -> list[dict[str, Any]]:
    """Return calls of a file, one per line."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        kept = {name: call[name] for name in ("bcp_name", "tool_name") if name in call}
        found.append(kept | {"parameters": call["arguments"], "response_data": call["result"]})
    return found


def parted(conn: Connection, calls: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the calls as JSON by whether masking changes them."""
    kinds: dict[str, list[str]] = {"plain": [], "masked": []}
    texts = [json.dumps(call) for call in calls]
    for first in range(0, len(texts), 1000):
        some = texts[first : first + 1000]
        row = conn.execute(CHANGED, [some]).fetchone()
        assert row is not None  # noqa: S101
        for text, is_changed in zip(some, row[0], strict=True):
            kinds["masked" if is_changed else "plain"].append(text)
    return kinds


def prepare(conn: Connection, kinds: dict[str, list[str]], most: int) -> dict[str, int]:
    """Put the documents into a table, so that only masking is measured; return how many there are of each."""
    conn.execute("create temporary table batches (kind text, docs jsonb[])")
    numbers = {}
    for kind, texts in kinds.items():
        # As often as it takes to fill the batches.
        some = (texts * (most // len(texts) + 1))[:most] if texts else []
        for size in (BATCH, 1):
            numbers[f"{kind}_{size}"] = len(some)
            with conn.cursor() as cur:
                cur.executemany(
                    "insert into batches values (%s, %s::jsonb[])",
                    [(f"{kind}_{size}", some[n : n + size]) for n in range(0, len(some), size)],
                )
    conn.execute("analyze batches")
    return {kind: number for kind, number in numbers.items() if number}


def documents(sides: list[Side], kinds: dict[str, list[str]], most: int, rounds: int) -> dict[str, Any]:
    """Measure each kind on each side in turn; return medians in microseconds a document."""
    numbers = {}
    for side in sides:
        numbers = prepare(side.conn, kinds, most)
    for number in range(rounds + 1):
        for kind in numbers:
            # Who is first changes, and the first round only warms up.
            for side in sides if number % 2 else reversed(sides):
                wall, cpu = side.run(DOCUMENTS, kind)
                if number:
                    side.wall.setdefault(kind, []).append(1e6 * wall / numbers[kind])
                    side.cpu.setdefault(kind, []).append(1e6 * cpu / numbers[kind])
    return {
        kind: {
            side.name: {
                "us": round(statistics.median(side.wall[kind]), 1),
                "cpu_us": round(statistics.median(side.cpu[kind]), 1),
            }
            for side in sides
        }
        for kind in numbers
    }


# --- growth


def timed(side: Side, query: LiteralString, text: str, tries: int) -> tuple[float, bool]:
    """Return the CPU seconds of the best try, and whether it was given up."""
    took: list[float] = []
    for _ in range(tries):
        began = time.perf_counter()
        try:
            took.append(side.run(query, text)[1])
        except psycopg.errors.QueryCanceled:
            return time.perf_counter() - began, True
        # Noise is short.
        if took[-1] > 1:
            break
    return min(took), False


def hostile(conn: Connection) -> Iterator[tuple[str, LiteralString, Any]]:
    """Yield each rule in force and each gate, the query that masks or matches, and a unit of text."""
    enabled = {name for (name,) in conn.execute("select name from bcp_internal.anonymizer_rules")}
    columns = {
        name
        for (name,) in conn.execute(
            "select attname from pg_attribute where attrelid = 'bcp_internal.anonymizer_state'::regclass"
            " and not attisdropped"
        )
    }
    for rule in enabled:
        if rule not in RULES:
            raise SystemExit(f"rule {rule} has no texts in tests/sql/anonymizer_hostile.py")
    for rule, units in RULES.items():
        for unit in units if rule in enabled else ():
            yield rule, MASK, unit
    for gate, units in GATES.items():
        query: Any = (
            f'select cast(%s as text) collate "C" ~ any (array[{gate}]) from bcp_internal.anonymizer_state'
        )
        for unit in units if gate in columns else ():
            yield gate, query, unit


def growth(side: Side, size: int) -> list[dict[str, Any]]:
    """Return what each text takes of CPU time at its size and twice that."""
    found = []
    for name, query, unit in hostile(side.conn):
        once, gave_up = timed(side, query, repeated(unit, size), 3)
        twice, gave_up_twice = (once, True) if gave_up else timed(side, query, repeated(unit, 2 * size), 3)
        found.append(
            {
                "name": name,
                "text": name_of(unit),
                "ms": round(1000 * once, 1),
                "ms_twice": round(1000 * twice, 1),
                "growth": round(twice / once, 2) if 1000 * twice >= TELLS_MS and not gave_up else None,
                "seconds_per_mb": round(twice / (size if gave_up else 2 * size) * 1e6, 2),
            }
            | ({"gave_up": True} if gave_up or gave_up_twice else {})
        )
    return found


# --- sizes


def joined(number: int, unit: Callable[[int], str]) -> str:
    return "".join(map(unit, range(number)))


def full_size() -> dict[str, tuple[LiteralString, str]]:
    """Return queries and their texts."""
    line = "The report of shelf {0} is filed, see page 12 of the annex, and nothing else.\n"
    # One line in 50 has something to mask.
    large = joined(
        52_000, lambda n: f"mail user{n}@example.com or call {phone(n)}\n" if n % 50 == 0 else line.format(n)
    )[:4_000_000]
    call = {"bcp_name": "files", "tool_name": "read", "response_data": {"text": large}}
    return {
        "11,000 telephone numbers": (MASK, joined(11_000, lambda n: f"{phone(n * 89)}, see\n")),
        "16,000 social security numbers": (MASK, joined(16_000, lambda n: f"{ssn(n * 89)} ")),
        "9,000 cards": (MASK, joined(9_000, lambda n: f"{card(n)} ")),
        "'1-2 ' over 200 kB": (MASK, "1-2 " * 50_000),
        "100,000 distinct sensitive keys": (
            "select length(bcp_internal.anonymize_json(%s::jsonb)::text)",
            json.dumps({f"password_{n}": f"x{n}" for n in range(100_000)}),
        ),
        "100,000 distinct sensitive keys in text": (MASK, joined(100_000, lambda n: f"password_{n}=x{n} ")),
        "100,000 e-mail addresses": (MASK, joined(100_000, lambda n: f"user{n}@example.com ")),
        "'password=x ' over 1 MB": (MASK, "password=x " * 95_000),
        "4 MB of lines, ingested": (INGEST, json.dumps([call])),
        "4 MB of lines, as text": (MASK, large),
    }


def sizes(sides: list[Side]) -> dict[str, Any]:
    """Return the CPU seconds of each text on each side."""
    found: dict[str, Any] = {}
    for name, (query, text) in full_size().items():
        found[name] = {"kb": round(len(text) / 1000)}
        for side in sides:
            took, gave_up = timed(side, query, text, 1)
            found[name][side.name] = {"s": round(took, 2)} | ({"gave_up": True} if gave_up else {})
    return found


# --- all of it


def show_documents(found: dict[str, Any], title: str) -> Table:
    table = Table("documents", "side", "us", "CPU us", title=title)
    for kind, by_side in found.items():
        for side, row in by_side.items():
            table.add_row(kind, side, f"{row['us']:,}", f"{row['cpu_us']:,}")
    return table


def worst(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each rule and gate the text that takes longest, and the one that grows most."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["name"] for row in rows):
        some = [row for row in rows if row["name"] == name]
        for column in ("seconds_per_mb", "growth"):
            row = max(some, key=lambda row: row[column] or 0)
            if row not in found and row[column]:
                found.append(row)
    return found


def show_growth(rows: list[dict[str, Any]], side: str) -> Table:
    table = Table("rule or gate", "text", "ms", "ms, twice", "growth", "s/MB", title=f"growth, {side}")
    for row in rows:
        grown = "gave up" if "gave_up" in row else row["growth"] or "too short"
        shown = [f"{row[column]:,}" for column in ("ms", "ms_twice")]
        table.add_row(row["name"], escape(row["text"]), *shown, str(grown), f"{row['seconds_per_mb']:,}")
    return table


def show_sizes(found: dict[str, Any]) -> Table:
    table = Table("text", "kB", "side", "s")
    for name, row in found.items():
        for side in ("before", "after"):
            if side in row:
                given_up = ", gave up" if "gave_up" in row[side] else ""
                table.add_row(name, f"{row['kb']:,}", side, f"{row[side]['s']:,}{given_up}")
    return table


def run(conn: Connection, asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all that was asked for, and print each part once it is there."""
    results: dict[str, Any] = {"target": target(conn), "ratios": {}}
    with ExitStack() as stack:
        sides = [Side("after", conn)]
        if asked.against:
            dsn = before(conn, asked.against)
            sides.append(Side("before", stack.enter_context(psycopg.connect(dsn, autocommit=True))))
            results["against"] = asked.against
        calls = read(asked.data) if asked.data else made_up()
        kinds = parted(conn, calls)
        results["calls"] = {kind: len(texts) for kind, texts in kinds.items()}
        results["bytes_per_call"] = {
            kind: round(statistics.mean(map(len, texts))) for kind, texts in kinds.items() if texts
        }
        results["documents"] = found = documents(sides, kinds, asked.documents, asked.rounds)
        console.print(show_documents(found, results["target"]))
        if asked.against:
            for kind, by_side in found.items():
                results["ratios"][f"{kind}_after_by_before"] = round(
                    by_side["after"]["cpu_us"] / by_side["before"]["cpu_us"], 3
                )
        for side in sides:
            side.conn.execute(sql.SQL("set statement_timeout = {}").format(asked.timeout * 1000))
        if asked.growth:
            results["growth"] = {}
            for side in reversed(sides):
                table = growth(side, asked.growth * 1000)
                results["growth"][side.name] = worst(table)
                console.print(show_growth(worst(table), side.name))
                end = "" if side.name == "after" else "_before"
                grown = [row["growth"] for row in table if row["growth"]]
                results["ratios"][f"growth_max{end}"] = max(grown, default=1.0)
                results["ratios"][f"seconds_per_mb_max{end}"] = max(row["seconds_per_mb"] for row in table)
        if asked.full_size:
            results["sizes"] = found = sizes(sides)
            console.print(show_sizes(found))
    console.print(results["ratios"])
    return results


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", metavar="REF", help="a git revision to measure beside")
    parser.add_argument("--data", type=Path, help="JSON lines of real calls")
    parser.add_argument("--documents", type=int, default=1000, help="of each kind, a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", type=int, default=50, help="kB of a hostile text; 0 leaves them out")
    parser.add_argument("--full-size", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--timeout", type=int, default=20, help="seconds after which a text is given up")
    asked = parser.parse_args()
    if why := why_unavailable("native"):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    with server(shared_buffers="256MB", max_wal_size="2GB") as conn:
        results = run(conn, asked, Console(width=120))
    if asked.data or not (asked.growth and asked.full_size):
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "anonymizer.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
