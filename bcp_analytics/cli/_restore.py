"""The command `bcp-analytics restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from bcp_analytics import archive as archives
from bcp_analytics.cli._archiving import bars, time_of
from bcp_analytics.cli._support import Dsn, connected, counted, say, tell


def restore(
    *,
    table: Annotated[str, typer.Option(help="The table.")],
    since: Annotated[str, typer.Option("--from", help="Start of the range: 90d ago, or an ISO 8601 time.")],
    until: Annotated[str, typer.Option("--to", help="End of the range, exclusive.")],
    into_schema: Annotated[
        str | None,
        typer.Option(help="Put the rows into a table of this schema, beside the store.", show_default=False),
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days for which cleanup leaves restored rows in the table.")
    ] = 7,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another run to end.")] = 600,
    dsn: Dsn = None,
) -> None:
    """Put archived rows back: whole chunks, each as its manifest says or not at all.

    Without --into-schema, what was dropped goes back into its table. No alert or issue takes it for new.
    Doing it twice does it once.

    \b
    bcp-analytics restore --table tool_usage_logs --from 2026-01-01 --to 2026-02-01
    bcp-analytics restore --table error_logs --from 2026-01-01 --to 2026-02-01 --into-schema january
    """  # noqa: D301
    with connected(dsn, autocommit=True) as conn:
        first, last = time_of(conn, "--from", since), time_of(conn, "--to", until)
        assert first is not None  # noqa: S101 - both are given
        assert last is not None  # noqa: S101
        with bars() as show:
            done = archives.restore(
                conn,
                table,
                first,
                last,
                into_schema=into_schema,
                keep_days=keep_days,
                wait_seconds=wait,
                waiting=say,
                progress=show,
            )
    if not done:
        tell("Nothing to restore: no archive of a dropped chunk is in that range.")
        return
    rows = sum(a.row_count or 0 for a in done)
    where = f"{into_schema}.{table}" if into_schema else f"bcp.{table}"
    tell(f"Restored: {counted(len(done), 'archive')}, {rows:,} rows, in {where}.")
