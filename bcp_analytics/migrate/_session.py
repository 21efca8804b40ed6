"""A run on a database: its connection, the locks that keep runs apart, and what its errors become."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bcp_analytics._core.connection import reach
from bcp_analytics.errors import BcpAnalyticsError, MigrationError
from bcp_analytics.migrate import _sqlfiles
from bcp_analytics.migrate._backend import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg import Connection

    Progress = Callable[[str], None]

# Any number serves that no other program uses: this one spells "bcp_anal".
_LOCK_KEY = int.from_bytes(b"bcp_anal")


def silent(_: str) -> None:
    """Tell nobody of a step."""


@contextmanager
def connected(conninfo: str) -> Iterator[Connection[Any]]:
    """Open a connection in autocommit mode, and say what it means where the database refuses or goes away."""
    with reach(
        conninfo, autocommit=True, prepare_threshold=None, fallback_application_name="bcp-analytics migrate"
    ) as conn:
        try:
            yield conn
        except psycopg.errors.InsufficientPrivilege as error:
            raise BcpAnalyticsError(
                f"The role {conn.info.user} may not do this: {error.diag.message_primary}.",
                hint="Connect as the role that migrated the database.",
            ) from error
        except psycopg.OperationalError as error:
            raise BcpAnalyticsError(
                f"The connection failed: {str(error).strip()}", hint="Run it again."
            ) from error


@contextmanager
def locked(conn: Connection[Any], say: Progress, wait_seconds: float) -> Iterator[Backend]:
    """Hold the advisory lock that keeps runs apart; it goes when the connection does, even if killed.

    Anybody may take an advisory lock. If its holder has no right to migrate, the run goes on without it: each
    migration, and the load of `sql/`, also locks a table that only the owner can lock.
    """
    mine = _try_lock(conn)
    if not mine:
        process, role, could_migrate = conn.execute(_HOLDER, [_LOCK_KEY]).fetchone() or (None, None, True)
        holder = f"another run (server process {process} of role {role})" if process else "another run"
        if could_migrate:
            say(f"waiting for {holder}, which is migrating this database")
            mine = _wait_for_lock(conn, holder, wait_seconds)
        else:
            say(
                f"going on without the lock of runs, which server process {process} of role {role} holds and"
                " has no use for: revoke connect on the database from public"
            )
    yield Backend(conn)
    if mine:
        conn.execute("select pg_advisory_unlock(%s)", [_LOCK_KEY])


# bcp_internal.lock_archive asks this, too. The first run has no function in the database that it could call.
_HOLDER: LiteralString = """
select l.pid, a.usename, has_database_privilege(a.usesysid, l.database, 'create') as could_migrate
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and (l.classid::bigint << 32) + l.objid::bigint = %s
  and l.database = (select oid from pg_database where datname = current_database())
order by could_migrate desc
limit 1
"""


def _try_lock(conn: Connection[Any]) -> bool:
    return conn.execute("select pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone() == (True,)


def _wait_for_lock(conn: Connection[Any], holder: str, wait_seconds: float) -> bool:
    try:
        conn.execute(
            "select set_config('lock_timeout', %s, false)", [f"{max(1, round(wait_seconds * 1000))}ms"]
        )
        conn.execute("select pg_advisory_lock(%s)", [_LOCK_KEY])
        conn.execute("reset lock_timeout")
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(
            f"Waited {wait_seconds:g} s for {holder}, which is still migrating this database.",
            hint="Let it end and run this again; if it hangs, end it with pg_terminate_backend.",
        ) from error
    return True


@contextmanager
def prepared(backend: Backend) -> Iterator[None]:
    """Make the tables of yoyo and ours, and hold yoyo's lock, so that its command line waits for us."""
    backend.create_books()
    # We hold the advisory lock, so a row here is from a run that was killed.
    backend.break_lock()
    with backend.lock():
        yield


@contextmanager
def named(backend: Backend, path: Path) -> Iterator[None]:
    """Raise database errors as MigrationError with the place in the migration's file."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        line = _sqlfiles.line_in_statement(error, path.read_text(encoding="utf-8"), backend.failed)
        raise _sqlfiles.located(error, path, line) from error


@contextmanager
def dependents_named() -> Iterator[None]:
    """Raise the errors of dropping and renaming code as MigrationError."""
    try:
        yield
    except psycopg.errors.DependentObjectsStillExist as error:
        raise MigrationError(
            f"Something that is not of bcp_analytics depends on its code: {error.diag.message_primary}.",
            detail=error.diag.message_detail,
            hint="Drop what the detail names, run this again, and create it anew on what there is then.",
            sqlstate=error.sqlstate,
        ) from error
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise MigrationError(str(error).strip(), sqlstate=error.sqlstate) from error
