"""The command explain."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from psycopg import errors as pg
from psycopg.rows import class_row

from bcp_analytics._render import tables
from bcp_analytics.cli import _query
from bcp_analytics.cli._output import wide_console, write
from bcp_analytics.cli._support import ReadDsn, connected, counted, say, tell
from bcp_analytics.queries._questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from psycopg import Connection

_NESTED = (
    "load 'auto_explain'",
    "set local auto_explain.log_min_duration = 0",
    "set local auto_explain.log_analyze = on",
    "set local auto_explain.log_buffers = on",
    "set local auto_explain.log_nested_statements = on",
    "set local auto_explain.log_format = json",
    "set local auto_explain.log_level = notice",
    "set local client_min_messages = notice",
)


@dataclass(frozen=True, slots=True)
class Read:
    """What an answer read of an aggregate, of raw rows, or of another table."""

    relation: str
    kind: str
    chunk_count: int | None
    range_from: datetime | None
    range_to: datetime | None
    row_count: int
    """Rows that were read as such, before any filter."""
    batch_count: int
    """Batches of the columnstore, of up to 1000 rows each."""
    block_count: int | None
    """Blocks of 8 kB; null where the server does not tell."""
    duration_ms: float | None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A row of bcp_internal.relations_read."""

    relation: str
    kind: str
    chunk: str | None
    columnstore_table: str | None
    range_from: datetime | None
    range_to: datetime | None
    row_count: int
    batch_count: int


@dataclass(slots=True)
class _Scans:
    """What the plans of all statements say of each table: milliseconds and blocks."""

    spent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    seen: bool = False

    def add(self, message: str) -> None:
        """Add a message of auto_explain, if it is one."""
        _, found, plan = message.partition("plan:\n")
        if found:
            self.seen = True
            self._walk(json.loads(plan)["Plan"])

    def _walk(self, node: dict[str, Any], counts: dict[str, Any] | None = None) -> None:
        inner = node.get("Plans", [])
        # VectorAgg reads the columnstore in place of the scan below it, which then shows no time.
        vectorised = node.get("Custom Plan Provider") == "VectorAgg"
        if name := node.get("Relation Name"):
            counts = counts or node
            loops = counts["Actual Loops"]
            blocks = counts.get("Shared Hit Blocks", 0) + counts.get("Shared Read Blocks", 0)
            self.spent[name][0] += counts["Actual Total Time"] * loops
            self.spent[name][1] += blocks
            return
        for one in inner:
            self._walk(one, node if vectorised else None)


def explain(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Name of a question.", show_default=False)] = None,
    *,
    since: _query.Since = None,
    until: _query.Until = None,
    interval: _query.Interval = None,
    percentiles: _query.Percentiles = None,
    level: _query.OfLevel = None,
    bcp_name: _query.Bcp = None,
    tool_name: _query.Tool = None,
    operation: _query.Operation = None,
    user_id: _query.User = None,
    session_id: _query.Session = None,
    client_name: _query.Client = None,
    client_version: _query.ClientVersion = None,
    client_model: _query.Model = None,
    release: _query.Release = None,
    outcome: _query.WithOutcome = None,
    failed: _query.Failed = None,
    event_id: _query.EventId = None,
    time_zone: _query.TimeZone = None,
    settings: _query.Settings = None,
    by_chunk: Annotated[bool, typer.Option("--chunks", help="One row per chunk.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, with times in UTC.")] = False,
    dsn: ReadDsn = None,
) -> None:
    """Say what an answer is read from: which aggregates, raw rows and chunks, and how much of each.

    It takes the options of query, asks the question, and counts. Raw rows answer for what aggregates do not
    know: the last minutes, calls that came late, and filters other than bundle, tool and operation. In the
    columnstore, a batch holds up to 1000 rows. Blocks and milliseconds of each relation come from the
    server's auto_explain, which only a superuser may load; anybody else sees rows, batches and chunks. The
    question is asked without parallel workers, whose work could not be counted.

    \b
    bcp-analytics explain tool_usage_stats --since 90d --interval 1d
    bcp-analytics explain tool_usage_stats --since 90d --user 42
    bcp-analytics explain slow_calls --since 7d --chunks
    bcp-analytics explain latency_percentiles --since 30d --json
    """  # noqa: D301
    typed = locals()
    name, zone, given = _query.read_question(name, _query.options_of(context), typed)
    scans = _Scans()
    with connected(dsn, reads=True) as conn:
        given |= _query.read_times(conn, typed, zone)
        # PostgreSQL also counts what transactions shortly before this one have read.
        before = _counted(conn)
        with _watched(conn, scans):
            begin = perf_counter()
            rows = QUESTIONS[name][0](conn, **given)
            took = 1000 * (perf_counter() - begin)
        read = [_read_of(chunk, scans) for chunk in _since(before, _counted(conn))]
        conn.rollback()
    shown = read if by_chunk else _by_relation(read)
    if as_json:
        about = {"question": name, "answer_rows": len(rows), "duration_ms": round(took, 3)}
        write(json.dumps(about | {"read": json.loads(tables.to_json(shown))}, indent=2) + "\n")
        return
    if shown:
        table, _ = tables.to_table(shown, Read, zone=zone)
        wide_console().print(table)
    tell(f"{counted(len(rows), 'row')} in {took:,.1f} ms.")
    if not scans.seen:
        say("How long each took is shown to a superuser, on a server that has auto_explain.")


def _counted(conn: Connection[Any]) -> list[_Chunk]:
    cur = conn.cursor(row_factory=class_row(_Chunk))
    return cur.execute("select * from bcp_internal.relations_read()").fetchall()


def _since(before: list[_Chunk], now: list[_Chunk]) -> list[_Chunk]:
    """Return what was read since `before`."""
    old = {(one.relation, one.chunk): one for one in before}
    found = []
    for one in now:
        if was := old.get((one.relation, one.chunk)):
            one = replace(  # noqa: PLW2901
                one, row_count=one.row_count - was.row_count, batch_count=one.batch_count - was.batch_count
            )
        if one.row_count + one.batch_count > 0:
            found.append(one)
    return found


@contextmanager
def _watched(conn: Connection[Any], scans: _Scans) -> Iterator[None]:
    """Have the server send the plan of every statement, also of those in functions, if it can."""

    def hear(message: psycopg.errors.Diagnostic) -> None:
        scans.add(message.message_primary or "")

    conn.execute("set local max_parallel_workers_per_gather = 0")
    try:
        with conn.transaction():
            for statement in _NESTED:
                conn.execute(statement)
    except (pg.InsufficientPrivilege, pg.UndefinedFile, pg.UndefinedObject):
        yield
        return
    conn.add_notice_handler(hear)
    try:
        yield
    finally:
        conn.remove_notice_handler(hear)
        conn.execute("set local auto_explain.log_min_duration = -1")


def _read_of(chunk: _Chunk, scans: _Scans) -> Read:
    table = chunk.chunk or chunk.relation.partition(".")[2]
    ms, blocks = scans.spent.get(table, (0.0, 0.0))
    return Read(
        chunk.relation,
        chunk.kind,
        1 if chunk.chunk else None,
        chunk.range_from,
        chunk.range_to,
        chunk.row_count,
        chunk.batch_count,
        round(blocks) if scans.seen else None,
        round(ms, 3) if scans.seen else None,
    )


def _by_relation(read: list[Read]) -> list[Read]:
    found: dict[str, Read] = {}
    for one in read:
        if (sum_ := found.get(one.relation)) is None:
            found[one.relation] = one
            continue
        found[one.relation] = replace(
            sum_,
            chunk_count=(sum_.chunk_count or 0) + (one.chunk_count or 0),
            range_to=one.range_to,
            row_count=sum_.row_count + one.row_count,
            batch_count=sum_.batch_count + one.batch_count,
            block_count=None if one.block_count is None else (sum_.block_count or 0) + one.block_count,
            duration_ms=None if one.duration_ms is None else (sum_.duration_ms or 0) + one.duration_ms,
        )
    return list(found.values())
