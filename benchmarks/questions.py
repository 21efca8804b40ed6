"""How fast questions that people ask are answered, beside the requirements' own design, DuckDB and chDB.

    python -m benchmarks.questions                                   # 1, 3 and 10 million calls
    python -m benchmarks.questions --calls 1000000 --questions by_hour_7d,one_user_90d
    python -m benchmarks.questions --dsn "host=/tmp port=5432 user=postgres" --keep ~/bench --calls 1000000

Every question of benchmarks/question_list.py is asked of four stores of the same rows
(benchmarks/question_rows.py says which), in turn, and the medians count:

- ours: the SQL function, in a store as one in use is. Its setting time_zone is Europe/Berlin, so days of
  Berlin are ready, and those of New York are not.
- duckdb: all columns that the questions need, in memory.
- chdb: the same in MergeTree tables, ordered by time.
- requirements: their table, partitioned by month, with their indexes, where it has the columns.

Answers are compared before the clock starts: counts must be equal, and other figures, percentiles above
all, within 1 percent. Of the requirements' answers only counts are compared: their durations are whole
milliseconds.

A store that needs more than a second for a question is asked it three times, and one that needs ten seconds
once.

Loading takes minutes. With --dsn a database for each number of calls stays on that server, bcp_questions_N or
the one that it names, and is used again; with --keep the rows for the other engines stay in that folder.
--refresh migrates such a database with this code and aggregates everything anew.

Writes benchmarks/results/questions.json, if all questions were asked.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rich.console import Console
from rich.table import Table

from bcp_analytics.migrate import migrate
from benchmarks.queries import MEMORY
from benchmarks.question_list import ENGINES, QUESTIONS, Question
from benchmarks.question_rows import NOW, SCHEMA, export, load, refresh
from benchmarks.server import server, target
from tests.targets import why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[Any]
    Rows = list[tuple[Any, ...]]
    Ask = Callable[[str], Rows]

RESULTS = Path(__file__).parent / "results"
MAIN = 3_000_000
LARGE = 18_000
"""An answer of so many rows counts apart: to send and to read them takes most of its time, in any engine."""
NOTICEABLE_MS = 20
SLOW_MS = 1000
TOLERANCE = 0.0101
LOOSE = 0.05


@dataclass(frozen=True)
class Asked:
    """What a process is asked to measure."""

    dsn: str
    calls: int
    questions: tuple[str, ...]
    engines: tuple[str, ...]
    rounds: int
    folder: str


def postgres(conn: Connection) -> Ask:
    # In the binary format, in which the package fetches answers, too (bcp_analytics/_core/function.py).
    return lambda query: conn.execute(query.encode(), binary=True).fetchall()


def duckdb_way(folder: Path) -> Ask:
    import duckdb  # noqa: PLC0415  # only where it is asked for

    db = duckdb.connect()
    for name in SCHEMA:
        db.execute(f"create table {name} as select * from read_parquet('{folder}/{name}.parquet')")
    return lambda query: db.execute(query).fetchall()


def chdb_way(folder: Path, scratch: Path) -> Ask:
    from chdb import session  # noqa: PLC0415  # only where it is asked for

    db = session.Session(str(scratch))
    db.query("create database bench")
    for name, columns in SCHEMA.items():
        order = columns.split(" ", 1)[0]
        db.query(f"create table bench.{name} ({columns}) engine = MergeTree order by {order}")
        db.query(f"insert into bench.{name} select * from file('{folder}/{name}.parquet', Parquet)")
        db.query(f"optimize table bench.{name} final")

    def ask(query: str) -> Rows:
        rows = json.loads(str(db.query(query, "JSONCompact")))["data"]
        # Percentiles come as one array.
        return [
            tuple(v for value in row for v in (value if isinstance(value, list) else [value])) for row in rows
        ]

    return ask


def plain(value: object) -> Any:  # noqa: ANN401  # whatever an engine gives
    """Return a value as every engine gives it: times in seconds, numbers as such."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, Decimal | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return value


def near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=0.002)


def of_list(ours: Rows, found: Rows, *, theirs: bool) -> str | None:
    """Say how a list of the most or latest differs from ours in its first column."""
    # Their durations are whole milliseconds.
    slack = 1.0 if theirs else 1e-6
    for (one, *_), (other, *_) in zip(ours, found, strict=True):
        if not math.isclose(plain(one), plain(other), rel_tol=1e-9, abs_tol=slack):
            return f"{other}, ours {one}"
    return None


def difference(question: Question, ours: Rows, found: Rows, *, theirs: bool) -> str | None:
    """Say how an answer differs from ours, None if it does not."""
    if len(ours) != len(found):
        return f"{len(found)} rows, ours {len(ours)}"
    if question.keys == 0:
        return of_list(ours, found, theirs=theirs)
    answer, expected = (
        {tuple(map(plain, row[: question.keys])): tuple(map(plain, row[question.keys :])) for row in rows}
        for rows in (found, ours)
    )
    if answer.keys() != expected.keys():
        return f"rows differ: {sorted(map(str, answer.keys() ^ expected.keys()))[:2]}"
    if question.loose:
        moved = sum(abs(answer[key][0] - expected[key][0]) for key in expected)
        return f"{moved} calls moved" if moved > LOOSE * sum(row[0] for row in expected.values()) else None
    for key, row in expected.items():
        rest = zip(row[question.exact :], answer[key][question.exact :], strict=False)
        if row[: question.exact] != answer[key][: question.exact] or not (
            theirs or all(near(one, other) for one, other in rest)
        ):
            return f"{key}: {answer[key]}, ours {row}"
    return None


def timed(ask: Callable[[], Rows]) -> tuple[float, Rows]:
    begin = perf_counter()
    rows = ask()
    return 1000 * (perf_counter() - begin), rows


def one_question(question: Question, ways: dict[str, Ask], rounds: int) -> dict[str, Any]:
    """Compare the answers, then measure."""
    texts = {
        name: question.ours if name == "ours" else question.sql(name)
        for name in ways
        if name != "requirements" or question.theirs
    }
    warm = {name: timed(lambda name=name: ways[name](texts[name])) for name in texts}  # type: ignore[misc]
    for name, (_, rows) in warm.items():
        if name != "ours" and (
            how := difference(question, warm["ours"][1], rows, theirs=name == "requirements")
        ):
            raise RuntimeError(f"{question.name}: the answer of {name} is not ours: {how}")
    took: dict[str, list[float]] = {name: [] for name in texts}
    for number in range(rounds):
        for name, text in texts.items():
            first_ms = warm[name][0]
            if number < (rounds if first_ms < SLOW_MS else 3 if first_ms < 10 * SLOW_MS else 1):
                took[name].append(timed(lambda: ways[name](text))[0])  # noqa: B023  # called at once
    return {
        "ms": {name: round(statistics.median(times), 2) for name, times in took.items()},
        "rows": len(warm["ours"][1]),
        "from_aggregates": question.aggregates,
    }


def chosen(names: tuple[str, ...]) -> list[Question]:
    return [question for question in QUESTIONS if question.name in names]


def one_size(asked: Asked) -> dict[str, Any]:
    folder = Path(asked.folder)
    with psycopg.connect(asked.dsn, autocommit=True) as conn, tempfile.TemporaryDirectory() as scratch:
        export(conn, folder)
        conn.execute(f"select set_config('bcp.now', '{NOW}', false)")
        ways: dict[str, Ask] = {"ours": postgres(conn)}
        if "duckdb" in asked.engines:
            ways["duckdb"] = duckdb_way(folder)
        if "chdb" in asked.engines:
            ways["chdb"] = chdb_way(folder, Path(scratch) / "chdb")
        if "requirements" in asked.engines:
            ways["requirements"] = postgres(conn)
        found = {}
        for question in chosen(asked.questions):
            found[question.name] = one_question(question, ways, asked.rounds)
            print(f"{asked.calls:>10,}  {question.name:28} {found[question.name]['ms']}", flush=True)
        return found


def prepared(conn: Connection) -> bool:
    [(there,)] = conn.execute("select to_regclass('bench.prepared') is not null").fetchall()
    return bool(there)


@contextmanager
def store(dsn: str | None, calls: int, *, theirs: bool, anew: bool) -> Iterator[Connection]:
    """Yield a connection to a store of so many calls: on a server of its own, or the one that was kept."""
    if dsn is None:
        with server(**MEMORY) as conn:
            load(conn, calls, theirs=theirs)
            yield conn
        return
    name = str(conninfo_to_dict(dsn).get("dbname") or f"bcp_questions_{calls}")
    with psycopg.connect(dsn, dbname="postgres", autocommit=True) as conn:
        if not conn.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    dsn = make_conninfo(dsn, dbname=name)
    with psycopg.connect(dsn, autocommit=True) as conn:
        ready = prepared(conn)
        if anew or not ready:
            migrate(dsn)
        if not ready:
            load(conn, calls, theirs=theirs)
        elif anew:
            conn.execute(
                f"select set_config('bcp.now', timestamptz '{NOW}' - interval '5 minutes' || '', false)"
            )
            refresh(conn)
            conn.execute("vacuum analyze")
        yield conn


def growth(conns: dict[int, Connection], names: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Return how much longer each question takes at ten times the calls, the sizes asked in turn."""
    sizes = sorted(conns)
    # Ten times the rows, or, where the sizes asked for do not reach so far, as many as there are.
    small, large = next(((a, b) for a in sizes for b in sizes if b == 10 * a), (sizes[0], sizes[-1]))
    for conn in conns.values():
        conn.execute(f"select set_config('bcp.now', '{NOW}', false)")
    found = {}
    for question in chosen(names):
        if question.aggregates and small != large:
            took: dict[int, list[float]] = {small: [], large: []}
            for number in range(rounds + 1):
                for size, times in took.items():
                    ms, _ = timed(lambda: postgres(conns[size])(question.ours))  # noqa: B023  # called at once
                    if number > 0:
                        times.append(ms)
            found[question.name] = round(statistics.median(took[large]) / statistics.median(took[small]), 3)
    return found


def ratios(found: dict[str, Any], grown: dict[str, float]) -> dict[str, float]:
    ours = {name: one["ms"]["ours"] for name, one in found.items()}
    result: dict[str, float] = {}
    if all("duckdb" in one["ms"] for one in found.values()):
        duckdb = {name: one["ms"]["duckdb"] for name, one in found.items()}
        result["questions_slower_than_duckdb"] = sum(
            ms > duckdb[name] and ms > NOTICEABLE_MS for name, ms in ours.items()
        )
        result["questions_median_vs_duckdb"] = round(
            statistics.median(ms / duckdb[name] for name, ms in ours.items()), 3
        )
    for suffix, large in (("", False), ("_large", True)):
        times = [ms for name, ms in ours.items() if (found[name]["rows"] >= LARGE) == large]
        if times:
            result[f"questions_max_ms_at_3m{suffix}"] = max(times)
    if grown:
        result["questions_growth_at_10x_rows"] = max(grown.values())
    return result


def show(console: Console, found: dict[str, Any], title: str) -> None:
    table = Table("question", "rows", "ours", *ENGINES, "ours / duckdb", title=title)
    for name, one in found.items():
        ms = one["ms"]
        quotient = f"{ms['ours'] / ms['duckdb']:.2f}" if "duckdb" in ms else ""
        slower = "duckdb" in ms and ms["ours"] > ms["duckdb"] and ms["ours"] > NOTICEABLE_MS
        table.add_row(
            name, f"{one['rows']:,}", *[f"{ms[way]:,.1f}" if way in ms else "" for way in ("ours", *ENGINES)],
            quotient, style="red" if slower else None,
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure, print, and write the results."""
    names = [question.name for question in QUESTIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000_000, MAIN, 10_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--questions",
        type=lambda text: text.split(","),
        default=names,
        metavar="NAME,...",
        help=", ".join(names),
    )
    parser.add_argument("--without", nargs="+", choices=ENGINES, default=[], help="engines to leave out")
    parser.add_argument("--dsn", help="a server where the databases stay, and are used again")
    parser.add_argument("--keep", type=Path, help="a folder where the other engines' rows stay")
    parser.add_argument("--refresh", action="store_true", help="migrate and aggregate a kept database anew")
    asked = parser.parse_args()
    if unknown := set(asked.questions) - set(names):
        parser.error(f"no such question: {', '.join(sorted(unknown))}. There are: {', '.join(names)}")
    if asked.dsn is None and (why := why_unavailable("native")):
        parser.error(f"this needs a native TimescaleDB Community: {why}")
    engines = tuple(engine for engine in ENGINES if engine not in asked.without)
    found, conns = {}, {}
    with ExitStack() as opened:
        # One process per size: chDB does not free all the memory that it took.
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
            for calls in sorted(asked.calls):
                conns[calls] = opened.enter_context(
                    store(asked.dsn, calls, theirs="requirements" in engines, anew=asked.refresh)
                )
                folder = (
                    asked.keep / str(calls)
                    if asked.keep
                    else Path(opened.enter_context(tempfile.TemporaryDirectory()))
                )
                folder.mkdir(parents=True, exist_ok=True)
                job = Asked(
                    conns[calls].info.dsn, calls, tuple(asked.questions), engines, asked.rounds, str(folder)
                )
                found[calls] = pool.submit(one_size, job).result()
        grown = growth(conns, tuple(asked.questions), 2 * asked.rounds)
        [(zone,)] = conns[calls].execute("select bcp_internal.setting('time_zone')").fetchall()
        about = f"{target(conns[calls])}; the store's time zone is {zone}"
    main_size = MAIN if MAIN in found else max(found)
    results = {
        "target": about,
        "load_average": round(os.getloadavg()[2], 1),
        "calls": sorted(found),
        "sizes": {str(calls): size for calls, size in sorted(found.items())},
        "growth": grown,
        "ratios": ratios(found[main_size], grown),
    }
    console = Console(width=140)
    for calls, size in sorted(found.items()):
        show(console, size, f"ms of {calls:,} calls; {about}")
    console.print(results["ratios"])
    if set(asked.questions) == set(names):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "questions.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
