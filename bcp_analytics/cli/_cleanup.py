"""The command `bcp-analytics cleanup`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.console import Console

from bcp_analytics._render import tables
from bcp_analytics.cli._support import Dsn, connected, counted, server_time, tell
from bcp_analytics.upkeep import CleanupStep, cleanup_plan, run_cleanup


def cleanup(
    *,
    dsn: Dsn = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and what would stay.")
    ] = False,
) -> None:
    """Drop what is past its retention, which a job does every day.

    How long each table keeps its rows is in bcp.data_retention_policies. A chunk that is not aggregated yet,
    or whose policy wants an archive that it does not have, stays. As the role that migrated the database; a
    dry run as bcp_admin too.

    \b
    bcp-analytics cleanup --dry-run
    bcp-analytics cleanup
    """  # noqa: D301
    with connected(dsn, autocommit=True) as conn:
        if dry_run:
            steps = cleanup_plan(conn)
            if steps:
                table, _ = tables.to_table(steps, CleanupStep)
                Console(width=100_000, highlight=False).print(table)
            else:
                tell("Nothing is past its retention.")
            return
        begun = server_time(conn)
        run_cleanup(conn)
        gone = conn.execute(
            "select table_name, count(*), sum(row_count)::bigint from bcp.cleanup_log"
            " where logged_at >= %s and action <> 'kept' group by 1 order by 1",
            [begun],
        ).fetchall()
        kept = Counter((step.table_name, step.reason) for step in cleanup_plan(conn) if step.action == "kept")
    for name, times, number in gone:
        chunks = "" if name in ("user_sessions", "open_tool_calls") else f" in {counted(times, 'chunk')}"
        tell(f"{name}: {counted(number, 'row')} removed{chunks}.")
    for (name, reason), number in kept.items():
        tell(f"{name}: {counted(number, 'chunk')} kept: {reason}.")
    if not gone and not kept:
        tell("Nothing is past its retention.")
