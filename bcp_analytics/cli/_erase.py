"""The commands `bcp-analytics erase-user` and `anonymize-history`, and how an id is given."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from bcp_analytics import archive, federation
from bcp_analytics.cli._archiving import bars
from bcp_analytics.cli._support import Dsn, connected, counted, say, tell
from bcp_analytics.errors import BcpAnalyticsError, translated
from bcp_analytics.upkeep import anonymize_history as mask_again
from bcp_analytics.upkeep import erase_user as erase
from bcp_analytics.upkeep import erasure_plan, find_erasure

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic

GivenId = Annotated[list[str] | None, typer.Argument(hidden=True)]
"""An id on the command line, which is refused: it only serves to say where the id belongs."""


def read_user_id(given: list[str] | None, command: str) -> str:
    """Read the id from standard input, since other users of this machine see what is on the command line."""
    if given:
        raise typer.BadParameter(
            "the id comes from standard input, where no list of processes shows it: "
            f"printf '%s' \"$ID\" | bcp-analytics {command}"
        )
    if sys.stdin.isatty():
        said: str = typer.prompt("Id of the user", err=True)
        return said.strip()
    user_id = sys.stdin.readline().rstrip("\r\n")
    if not user_id.strip():
        raise BcpAnalyticsError(
            "There is no id on standard input.", hint="Write it there, such as by printf '%s' \"$ID\" | ..."
        )
    return user_id


def erase_user(
    given: GivenId = None,
    *,
    note: Annotated[
        str | None,
        typer.Option(
            help="Reason, for the receipt. Without personal data: others may see it.", show_default=False
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it only says what would be deleted.")
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Erase a user: all that is theirs, and what names them in other people's rows. Prints the receipt.

    Reads the id from standard input, as the application sends it or as it is stored. Stop sending their
    events first, and run bcp-analytics spool erase where collectors have events on disk. Archives are
    rewritten without them, which needs the extra bcp_analytics[archive]. What was interrupted
    goes on when it is run again. Without --yes it says what would be deleted, changes nothing and ends with
    exit code 1. On a head it does all that on each of its shards, one after another.

    \b
    printf '%s' "$ID" | bcp-analytics erase-user
    printf '%s' "$ID" | bcp-analytics erase-user --yes --note "request 4711"
    """  # noqa: D301
    user_id = read_user_id(given, "erase-user")
    with connected(dsn, autocommit=True) as conn:
        if not yes:
            own = {count.table_name: count.row_count for count in erasure_plan(conn, user_id)}
            calls, errors = own["tool_usage_logs"], own["error_logs"]
            tell(
                f"It would delete {counted(calls, 'call')} and {counted(errors, 'error')}, "
                "their sessions and all else that is theirs. Nothing brings them back."
            )
            say("Nothing is changed: give --yes to do it.")
            raise typer.Exit(1)
        shards = federation.connections(conn)
        if not shards:
            _erase(conn, user_id, note)
            return
    _erase_federation(shards, dsn, user_id, note)


def _erase_federation(shards: dict[str, str], head: str | None, user_id: str, note: str | None) -> None:
    """Erase on every shard and the head; if one fails, do the others, and raise at the end."""
    failed: list[str] = []
    for name, dsn in shards.items():
        tell(f"Shard {name}:")
        try:
            with connected(dsn, autocommit=True) as shard:
                _erase(shard, user_id, note)
        except (BcpAnalyticsError, psycopg.Error) as error:
            failed.append(f"the shard {name}")
            say(f"Failed: {error}")
    # The head keeps who did what about issues and alerts, and what was sent.
    with connected(head, autocommit=True) as conn, translated():
        conn.execute("select bcp_internal.erase_on_head(%s, %s)", [user_id, note])
    tell("Head: what it keeps itself holds nothing of them.")
    if failed:
        raise BcpAnalyticsError(
            f"Not complete: {', '.join(failed)} failed.",
            hint="What is done stays done. See to what failed, and run it again.",
        )


def _erase(conn: Connection[Any], user_id: str, note: str | None) -> None:
    """Erase in one store and its archives, and print the receipt."""
    conn.add_notice_handler(_progress)
    erase(conn, user_id, note=note)
    failed = _erase_archives(conn)
    receipt = _one(conn, "select * from bcp.erasures where erasure_id = %s", [find_erasure(conn, user_id)])
    _print(receipt)
    if failed is not None:
        raise failed
    if receipt["unreached"]:
        raise BcpAnalyticsError(
            "Not complete: what was restored beside may still hold them.",
            hint="Drop these tables, or give them back to the role that migrated the database; then run it "
            "again.",
        )


def anonymize_history(
    *,
    older_than_days: Annotated[
        int | None,
        typer.Option(min=0, help="Only what is so many days old. By default all.", show_default=False),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="This table alone, such as error_logs.", show_default=False)
    ] = None,
    forget_users: Annotated[
        bool,
        typer.Option(
            "--forget-users", help="Take away user, session, address and user agent, too. Needs the days."
        ),
    ] = False,
    dsn: Dsn = None,
) -> None:
    """Mask stored rows again, by the rules as they are now. Nothing brings back what they mask.

    What was interrupted goes on when it is run again.

    \b
    bcp-analytics anonymize-history
    bcp-analytics anonymize-history --older-than-days 30 --forget-users
    """  # noqa: D301
    older_than = timedelta(days=older_than_days) if older_than_days is not None else None
    with connected(dsn, autocommit=True) as conn:
        conn.add_notice_handler(_progress)
        mask_again(conn, older_than=older_than, table=table, forget_users=forget_users)
    tell("Done: what is stored is as the rules are now.")


def _erase_archives(conn: Connection[Any]) -> BcpAnalyticsError | None:
    """Rewrite the archives that wait; return what went wrong, since the database is erased in any case."""
    found = _one(conn, "select count(*) as pending from bcp_internal.pending_erasures()", [])
    if not found["pending"]:
        return None
    try:
        with bars() as progress:
            say(f"{counted(archive.erase(conn, progress=progress), 'archive')} rewritten")
    except BcpAnalyticsError as error:
        return error
    return None


def _one(conn: Connection[Any], query: str, parameters: list[Any]) -> dict[str, Any]:
    with conn.cursor(row_factory=dict_row) as cur:
        row = cur.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101 - both queries return a row whatever there is
    found: dict[str, Any] = row
    return found


def _progress(notice: Diagnostic) -> None:
    message = notice.message_primary or ""
    # Notices of TimescaleDB itself tell of its work, not of ours.
    if " rows" in message:
        say(message)


def _print(receipt: dict[str, Any]) -> None:
    tell(f"Receipt {receipt['erasure_id']}, requested {receipt['requested_at']:%Y-%m-%d %H:%M:%S%z}")
    for table, rows in sorted(receipt["counts"].items()):
        tell(f"  {table}: {rows['deleted']} deleted, {rows['changed']} changed")
    pending = receipt["archives_pending"]
    for table in receipt["unreached"]:
        tell(f"Not reached: {table['table']} (SQLSTATE {table['sqlstate']})")
    if pending:
        tell(
            f"The database holds nothing of them any more. {counted(pending, 'archive')} may: run it again, "
            "to have them rewritten."
            if not receipt["unreached"]
            else f"{counted(pending, 'archive')} may hold them, too: run it again, to have them rewritten."
        )
    elif not receipt["unreached"]:
        tell("Complete: neither the database nor an archive holds anything of them.")
