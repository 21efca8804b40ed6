"""Shows what the store answers. Every figure comes from the database."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import dict_row
from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bcp_analytics._render import charts
from bcp_analytics._render.tables import duration, percent
from bcp_analytics._render.visible import visible_line
from bcp_analytics.demo._generate import DAYS
from bcp_analytics.demo._send import SOURCE
from bcp_analytics.queries import (
    error_analysis,
    health,
    peak_usage_hours,
    success_and_error_rates,
    tool_usage_stats,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from psycopg import Connection

    from bcp_analytics.demo._generate import Event

_WIDE = 100
_ROWS = 6
_SHORT_DATE = "%d %b"
_LONGEST = 100
_ALERT = 0.05  # the error rate that the requirements call too high
_LEVELS = {"fatal": "bold red", "error": "red", "warn": "yellow"}
_AFTER_STYLES = ((r"\[REDACTED\]", "bold red"), (r"[a-z]+#k\d+#[a-z]+", "bold green"))


class Answers:
    """Asks the database and prints the answers."""

    def __init__(self, conn: Connection[Any], console: Console, end: datetime) -> None:
        """`end` is the end of the period asked about."""
        self._conn = conn
        self._console = console
        self._since = end - timedelta(days=DAYS)
        self._plain = console.options.ascii_only
        self._wide = console.width >= _WIDE
        self._took = 0.0

    # ---- the questions

    def busy(self) -> None:
        """Show calls by day and by hour of the day, errors by day."""
        with self._timed():
            days = success_and_error_rates(
                self._conn, since=self._since, until=self._until, interval=timedelta(days=1)
            )
            by_hour = {
                row.hour_of_day: row.call_count
                for row in peak_usage_hours(self._conn, since=self._since, until=self._until)
            }
        first = self._since.astimezone(UTC).date()
        dates = [
            first + timedelta(days=n) for n in range((self._until.astimezone(UTC).date() - first).days + 1)
        ]
        by_day: Counter[date] = Counter()
        failed: Counter[date] = Counter()
        for row in days:
            day = row.time_bucket.astimezone(UTC).date()
            by_day[day] += row.call_count
            failed[day] += row.error_count
        hours = [by_hour.get(hour, 0) for hour in range(24)]
        calls, errors = [by_day[day] for day in dates], [failed[day] for day in dates]
        ends = {n: f"{dates[n]:{_SHORT_DATE}}" for n in (0, len(dates) - 1)}
        self._heading("How busy?")
        self._console.print(
            Columns(
                [
                    self._chart(f"calls a day, up to {max(calls):,}", calls, ends, "cyan"),
                    self._chart(
                        f"by hour (UTC), up to {max(hours):,}",
                        hours,
                        {0: "0", 6: "6", 12: "12", 18: "18", 23: "23"},
                        "cyan",
                    ),
                    self._chart(f"failed a day, up to {max(errors):,}", errors, ends, "red"),
                ],
                padding=(0, 3),
            )
        )

    def tools(self) -> None:
        """Show calls, failures and percentiles of each tool."""
        with self._timed():
            rows = tool_usage_stats(self._conn, since=self._since, until=self._until, interval=None)
        table = self._table(["tool", ""], ["calls", "failed", "p50", "p95", "p99"] + ["slowest"] * self._wide)
        most = max((row.call_count for row in rows), default=1)
        worst = max((row.p95_duration_ms or 0 for row in rows), default=0)
        for row in rows:
            failed = row.error_count / row.call_count
            table.add_row(
                f"{row.bcp_name}.{row.tool_name}",
                charts.bar(row.call_count / most, 10 if self._wide else 6, plain=self._plain, style="cyan"),
                f"{row.call_count:,}",
                Text(percent(failed), style="red" if failed > _ALERT else ""),
                _ms(row.p50_duration_ms),
                Text(_ms(row.p95_duration_ms), style="yellow" if row.p95_duration_ms == worst else ""),
                _ms(row.p99_duration_ms),
                *[_ms(row.max_duration_ms)] * self._wide,
            )
        self._print("Which tools are slow, which fail?", table)

    def errors(self) -> None:
        """Show the most frequent errors."""
        with self._timed():
            rows = error_analysis(self._conn, since=self._since, until=self._until)
        table = self._table(
            ["tool", *["level"] * self._wide, "type"],
            ["errors"],
            [""] * self._wide,
            "latest message, as stored",
        )
        for row in rows[:_ROWS]:
            table.add_row(
                f"{row.bcp_name}.{row.tool_name}",
                *[row.level] * self._wide,
                Text(row.error_type or "-", style=_LEVELS.get(row.level, "dim")),
                f"{row.error_count:,}",
                *[charts.bar(row.share, 10, plain=self._plain, style="red")] * self._wide,
                _line(row.sample_message),
            )
        self._print("What fails?", table)
        if len(rows) > _ROWS:
            rest = sum(row.error_count for row in rows[_ROWS:])
            self._console.print(f"[dim]and {len(rows) - _ROWS} kinds more, with {rest:,} errors[/]")

    def real_calls(self, session_id: str, server: str) -> None:
        """Show the outcomes of the calls of a session."""
        with self._timed():
            rows = self._rows(
                """
                select
                    tool_name, outcome, count(*) as calls, max(duration_ms) as max_ms,
                    percentile_disc(0.5) within group (order by duration_ms) as median_ms,
                    regexp_replace(error_message, '^Error executing tool \\w+: ', '') as message
                from bcp.tool_usage_logs
                where session_id = %s and start_time >= %s
                group by tool_name, outcome, error_message
                order by outcome = 'success' desc, outcome desc, tool_name desc, message
                """,
                session_id,
                self._until - timedelta(hours=1),
            )
        table = self._table(
            ["tool", "outcome"],
            ["calls", "median"] + ["slowest"] * self._wide,
            [],
            "message, as stored",
            wrap=True,
        )
        for row in rows:
            good = row["outcome"] == "success"
            table.add_row(
                row["tool_name"],
                Text(row["outcome"], style="green" if good else "red"),
                f"{row['calls']:,}",
                _ms(row["median_ms"]),
                *[_ms(row["max_ms"])] * self._wide,
                _line(row["message"]),
            )
        self._print(f"What did the real server {server} do?", table)

    def anonymised(self, sent: Event) -> None:
        """Show one event as it was sent, and as it is stored."""
        shown = ("parameters", "response_data", "ip_address")
        with self._timed():
            (stored,) = self._rows(
                "select parameters, response_data, ip_address::text from bcp.tool_usage_logs"
                " where event_id = %s and start_time between %s::timestamptz - interval '31 days' and now()",
                sent["event_id"], self._until,
            )  # fmt: skip
        before = Text(_json({name: sent[name] for name in shown if name in sent}))
        after = Text(_json({name: stored[name] for name in shown if name in sent}))
        for pattern, style in _AFTER_STYLES:
            after.highlight_regex(pattern, style)
        self._heading(f"One call of {sent['bcp_name']}.{sent['tool_name']}, without personal data")
        panels: list[RenderableType] = [
            Panel(before, title="as sent", title_align="left", border_style="dim"),
            Panel(after, title="as stored", title_align="left", border_style="dim"),
        ]
        if self._wide:
            grid = Table.grid(expand=True)
            grid.add_column(ratio=1)
            grid.add_column(ratio=1)
            grid.add_row(*panels)
            self._console.print(grid)
        else:
            self._console.print(Group(*panels))

    def ledger(self, since: datetime) -> None:
        """Show what the ledger says of the demo's batches from `since` on."""
        with self._timed():
            (row,) = self._rows(
                """
                select coalesce(sum(accepted), 0) as accepted, coalesce(sum(stored), 0) as stored,
                       coalesce(sum(duplicates), 0) as duplicates, coalesce(sum(rejected), 0) as rejected
                from bcp.ingest_batches where source = %s and received_at >= %s
                """,
                SOURCE, since,
            )  # fmt: skip
        self._heading("Was anything lost?")
        self._console.print(
            f"accepted [bold]{row['accepted']:,}[/] = stored [bold]{row['stored']:,}[/]"
            f" + duplicates [bold]{row['duplicates']:,}[/] + rejected [bold]{row['rejected']:,}[/]"
            "  [dim](bcp.ingest_batches, this run)[/]",
        )

    def health(self) -> None:
        """Show the checks of the store itself."""
        with self._timed():
            rows = health(self._conn)
        self._heading("Is the store well?")
        good = ", ".join(
            row.check_name + (f" {row.value}" if row.check_name == "size" else "")
            for row in rows
            if row.status == "ok"
        )
        self._console.print(f"[green]ok[/]    {good}")
        for row in rows:
            if row.status != "ok":
                style = "yellow" if row.status == "warn" else "red"
                self._console.print(f"[{style}]{row.status:<5}[/] {row.check_name} {row.value}: {row.detail}")

    # ---- how they look

    @property
    def _until(self) -> datetime:
        # The real calls happened after the end of the others.
        return self._since + timedelta(days=DAYS, hours=1)

    def _rows(self, statement: LiteralString, *parameters: object) -> list[dict[str, Any]]:
        with self._conn.cursor(row_factory=dict_row) as cur:
            return cur.execute(statement, parameters).fetchall()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._took = (time.perf_counter() - begin) * 1000

    def _heading(self, title: str) -> None:
        self._console.print()
        self._console.print(Text.assemble((title, "bold"), (f"  answered in {duration(self._took)}", "dim")))

    def _chart(self, title: str, values: list[int], labels: dict[int, str], style: str) -> Group:
        return Group(
            Text(title),
            charts.columns(values, 4, plain=self._plain, style=style),
            charts.scale(labels, len(values)),
        )

    def _print(self, title: str, table: Table) -> None:
        self._heading(title)
        self._console.print(table)

    def _table(
        self,
        left: list[str],
        right: list[str],
        bars: list[str] | None = None,
        last: str | None = None,
        *,
        wrap: bool = False,
    ) -> Table:
        """Return a table; its last column, if named, takes the room that is left, cut or wrapped to fit."""
        table = Table(
            box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, expand=last is not None
        )
        for heading in left:
            table.add_column(heading, no_wrap=True)
        for heading in right:
            table.add_column(heading, justify="right", no_wrap=True)
        for heading in bars or []:
            table.add_column(heading, no_wrap=True)
        if last is not None:
            table.add_column(
                last,
                no_wrap=not wrap,
                overflow="fold" if wrap else "crop" if self._plain else "ellipsis",
                ratio=1,
            )
        return table


def _line(message: str | None) -> Text:
    """Return a message on one line, cut to fit into a table; nothing in it counts as markup."""
    line = visible_line(" ".join((message or "").split()))
    return Text(line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "...")


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else duration(float(milliseconds))


def _json(value: dict[str, Any]) -> str:
    """Return JSON of a few lines, one field per line."""
    lines = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            fields = (
                f"  {key}: {json.dumps(item, ensure_ascii=False)}" for key, item in sorted(inner.items())
            )
            lines += [f"{name}", *fields]
        else:
            lines.append(f"{name}: {json.dumps(inner)}")
    return "\n".join(lines)
