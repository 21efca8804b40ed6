"""The command `bcp-analytics notify`."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import psycopg
import typer

from bcp_analytics.cli._support import Dsn, connected, counted, readable_dsn, say, tell
from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from types import ModuleType


def notify_room() -> ModuleType:
    """Return the package that sends; raises `BcpAnalyticsError` where what it needs is not installed."""
    try:
        from bcp_analytics import notify as room  # noqa: PLC0415 - only whoever sends pays for its imports
    except ImportError as error:
        raise BcpAnalyticsError(
            f"Sending needs {error.name}, which is not installed.",
            hint='pip install "bcp_analytics[server]"',
        ) from None
    return room


def _check(dsn: str) -> None:
    """Raise where the database is none that a notifier can use."""
    with connected(dsn) as conn:
        try:
            conn.execute("set local role bcp_admin")
            conn.execute("select count(*) from bcp.notification_channels()")
        except psycopg.errors.InsufficientPrivilege:
            raise BcpAnalyticsError(
                "The role of the connection string does not have bcp_admin.",
                hint="As the role that migrated the database: grant bcp_admin to your_role;",
            ) from None


def notify(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Send what is due now, and end: for cron and the like.")
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Send alerts and digests to the channels, until Ctrl-C or SIGTERM.

    bcp-analytics serve does this too: use one of the two, or several for when one is down. Needs the extra
    bcp_analytics[server], and a role of the database with bcp_admin.

    \b
    bcp-analytics notify
    bcp-analytics notify --once
    """  # noqa: D301
    room = notify_room()
    where = readable_dsn(dsn)
    _check(where)
    notifier = room.Notifier(where)
    if once:
        counts = asyncio.run(notifier.once())
        said = ", ".join(f"{counts[status]} {status}" for status in ("delivered", "retry", "failed"))
        tell(f"{counted(counts.total(), 'attempt')}: {said}.")
        return

    async def run() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, notifier.stop)
        say("Sending; Ctrl-C stops it.")
        await notifier.run()

    asyncio.run(run())
    say("stopped")
