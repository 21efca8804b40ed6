"""The command `bcp-analytics cleanup`."""

from __future__ import annotations

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

    bcp.data_retention_policies says how long each table keeps its rows. A chunk stays while it is not
    aggregated, or while its policy requires an archive that is not there. Run it as the role that migrated
    the database; for a dry run bcp_admin is enough.

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
        done = conn.execute(
            "select table_name, action, reason, chunk_count, row_count from bcp_internal.cleanup_summary(%s)",
            [begun],
        ).fetchall()
    for table_name, action, reason, chunk_count, row_count in done:
        chunks = counted(chunk_count, "chunk")
        if action == "kept":
            tell(f"{table_name}: {chunks} kept: {reason}.")
        else:
            where = f" in {chunks}" if chunk_count else ""
            tell(f"{table_name}: {counted(row_count, 'row')} removed{where}.")
    if not done:
        tell("Nothing is past its retention.")
