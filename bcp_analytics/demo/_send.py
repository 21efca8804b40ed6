"""Sends the demo's events, and reads back what the store's ledger says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bcp_analytics.demo._generate import batches, mark_id
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.ingest import ingest_errors, ingest_metrics, ingest_sessions, ingest_tool_usage

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from psycopg import Connection
    from rich.console import Console

    from bcp_analytics.demo._generate import Batch, Event
    from bcp_analytics.demo._real_calls import RealCalls

SOURCE = "bcp-analytics demo"
"""The name under which the ledger has the demo's batches."""

_INGEST = {
    "tool_usage": ingest_tool_usage,
    "errors": ingest_errors,
    "metrics": ingest_metrics,
    "sessions": ingest_sessions,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the events, as the ingest functions said."""

    accepted: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Before:
    """What a database holds already."""

    first_sent: datetime | None
    """When the demo sent the same traffic to it, None where it has not."""
    end: datetime | None
    """The end of that traffic."""
    forgotten: bool
    """Whether that is longer ago than the store remembers ids: sent again, it would be stored twice."""
    dedup_window: timedelta
    foreign: bool
    """Whether it holds batches of others, and none of the demo's."""


def look(conn: Connection[Any], seed: int, calls: int) -> Before:
    """Say what the database holds already."""
    with conn.cursor(row_factory=dict_row) as cur:
        row = cur.execute(
            """
            select
                m.created_at as first_sent,
                m."timestamp" as "end",
                coalesce(m.created_at < now() - s.value::interval, false) as forgotten,
                s.value::interval as dedup_window,
                b.batches > 0 and b.ours = 0 as foreign
            from bcp.settings s
            left join bcp.performance_metrics m on m.event_id = %(mark)s
            cross join (
                select count(*), count(*) filter (where source = %(source)s) from bcp.ingest_batches
            ) as b (batches, ours)
            where s.name = 'dedup_window'
            """,
            {"mark": mark_id(seed, calls), "source": SOURCE},
        ).fetchone()
    assert row is not None  # noqa: S101 - every store has this setting
    return Before(**row)


class _Rate(ProgressColumn):
    """Calls per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} calls/s" if speed else "", style="progress.data.speed")


def send(
    conn: Connection[Any], console: Console, *, seed: int, calls: int, size: int, end: datetime
) -> tuple[Sent, Event]:
    """Send the traffic before `end`, with a progress bar; return what became of it, and one of the calls.

    Raises `BcpAnalyticsError` where the store rejects any of it.
    """
    sent = Sent()
    example: Event | None = None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        _Rate(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        speed_estimate_period=10,
    ) as progress:
        task = progress.add_task("sending", total=calls)
        for batch in batches(seed, calls, end, size):
            sent = _add(sent, _send(conn, batch))
            if batch.kind == "tool_usage":
                example = _better(example, batch.events)
                progress.advance(task, len(batch.events))
    assert example is not None  # noqa: S101 - there is at least one call
    if sent.rejected:
        raise BcpAnalyticsError(
            f"The store rejected {sent.rejected:,} of {sent.accepted:,} events, all of which are in order.",
            hint="Please report what select reason, count(*) from bcp.rejected_events group by reason says.",
        )
    return sent, example


def send_real(conn: Connection[Any], real: RealCalls) -> None:
    """Send the real calls and their errors."""
    for ingest, events in ((ingest_tool_usage, real.calls), (ingest_errors, real.errors)):
        ingest(conn, json.dumps(events), source=SOURCE)


def _send(conn: Connection[Any], batch: Batch) -> Sent:
    done = _INGEST[batch.kind](conn, json.dumps(batch.events), batch_id=batch.batch_id, source=SOURCE)
    return Sent(done.accepted, done.stored, done.duplicates, done.rejected)


def _add(one: Sent, other: Sent) -> Sent:
    return Sent(
        one.accepted + other.accepted,
        one.stored + other.stored,
        one.duplicates + other.duplicates,
        one.rejected + other.rejected,
    )


def _better(example: Event | None, events: list[Event]) -> Event:
    """Keep the call that shows most of what the anonymiser does: a card, and JSON within a string."""
    for event in events:
        if event["tool_name"] == "charge" and event["success"]:
            if example is None or example["tool_name"] != "charge" or not example["success"]:
                return event
            break
    return example if example is not None else events[0]
