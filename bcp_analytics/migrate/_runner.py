"""A run: under a lock, migrations by yoyo, then the code of `sql/`, both in one transaction."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from yoyo import exceptions as yoyo_exceptions  # type: ignore[import-untyped]
from yoyo import read_migrations

from bcp_analytics._core.connection import connect
from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics._core.version import __version__
from bcp_analytics.errors import BcpAnalyticsError, MigrationError
from bcp_analytics.migrate import _code, _sqlfiles
from bcp_analytics.migrate._backend import SCHEMA, Backend
from bcp_analytics.migrate._frozen import check_frozen
from bcp_analytics.migrate._preflight import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from psycopg import Connection
    from yoyo.migrations import Migration, MigrationList  # type: ignore[import-untyped]

    Progress = Callable[[str], None]

# Any number will do that no other program takes: this one spells "bcp_anal".
_LOCK_KEY = int.from_bytes(b"bcp_anal")
# While a run waits for a lock, whoever wants to read the table waits behind it.
_LOCK_TIMEOUT_SECONDS = 2
_PAUSE_SECONDS = 1
# Counting stops here, so that saying what would be lost takes no scan of a large store.
_COUNT_LIMIT = 1_000_000
_DROP = re.compile(
    r"^\s*drop\s+(table|materialized\s+view|schema)\s+(?:if\s+exists\s+)?([\w.\"]+)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """What `migrate` did.

    `applied`: ids of the migrations it applied, in order; `sql_applied`: whether it loaded `sql/`;
    `warnings`: sentences for the user, about a server that is not refused, or jobs that do not run.
    """

    applied: tuple[str, ...]
    sql_applied: bool
    warnings: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether it changed anything."""
        return bool(self.applied) or self.sql_applied


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A migration that a database has: its id, and when it was applied (UTC)."""

    id: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    `pending`: ids of migrations it lacks; `unknown`: ids it has that this version does not know;
    `sql_current`: whether `sql/` is loaded as this version has it; `sql_loaded_at`: when it was loaded
    last, None where never; `postgresql`, `timescaledb`: versions, None where there is no TimescaleDB;
    `warnings`: sentences for the user, about background jobs that do not run.
    """

    applied: tuple[AppliedMigration, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    sql_current: bool
    sql_loaded_at: datetime | None
    postgresql: str
    timescaledb: str | None
    warnings: tuple[str, ...]

    @property
    def current(self) -> bool:
        """Whether `migrate` would change nothing."""
        return not self.pending and not self.unknown and self.sql_current


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback takes back.

    `migrations`: ids, in the order they are rolled back in; `lost`: what goes with them, one thing an item,
    such as "table bcp.users: 12 rows".
    """

    migrations: tuple[str, ...]
    lost: tuple[str, ...]


def migrate(
    conninfo: str,
    *,
    progress: Progress | None = None,
    wait_seconds: float = 600,
    migrations: Path | None = None,
    sql_files: Path | None = None,
) -> MigrationResult:
    """Apply the migrations that the database lacks, load `sql/` where it changed, drop what it had before.

    `progress` is called with a sentence before each step. Where another run is at work on the database,
    this waits for it, at most `wait_seconds`; and for a lock that somebody else holds, 2 s at a time, as
    long as that together. `migrations` and `sql_files` are folders, by default the package's own.

    All of it is one transaction, so a run that fails or is killed leaves the database as it was. Only a
    migration that says `-- transactional: false` is apart, with those before it.

    Raises `UnsupportedServer` before anything is changed, `MigrationError` where a file fails (its message
    is `file:line: SQLSTATE message`), where the database has migrations that this version does not know, or
    where something of a user's depends on code that this version no longer has, and `BcpAnalyticsError`
    where the database cannot be reached.
    """
    say = progress or _silent
    migrations = migrations or migrations_folder()
    sql_files = sql_files or sql_folder()
    check_frozen(migrations)
    with _connected(conninfo) as conn:
        warnings = check(conn, conninfo)
        for warning in warnings:
            say(warning)
        with _locked(conn, say, wait_seconds) as backend:
            conn.execute("create extension if not exists timescaledb schema public")
            with _prepared(backend):
                applied, loaded = _upgrade(backend, _read(migrations), sql_files, say, wait_seconds)
        troubles = _troubles(conn)
        for trouble in troubles:
            say(trouble)
    return MigrationResult(applied=applied, sql_applied=loaded, warnings=(*warnings, *troubles))


def status(
    conninfo: str, *, migrations: Path | None = None, sql_files: Path | None = None
) -> MigrationStatus:
    """Say where the database stands, changing nothing.

    Raises `BcpAnalyticsError` where it cannot be reached or may not be read.
    """
    migrations = migrations or migrations_folder()
    sql_files = sql_files or sql_folder()
    with _connected(conninfo) as conn, conn.transaction():
        server = conn.execute(
            "select current_setting('server_version'), to_regclass('bcp_migrations.loaded_sql') is not null,"
            " (select extversion from pg_extension where extname = 'timescaledb')"
        ).fetchone()
        assert server is not None  # noqa: S101
        applied, loaded = _books(conn) if server[1] else ((), None)
        troubles = _troubles(conn)
        lost = _grants_lost(conn)
    ids = [m.id for m in applied]
    known = [m.id for m in _read(migrations)]
    return MigrationStatus(
        applied=applied,
        pending=tuple(i for i in known if i not in ids),
        unknown=tuple(i for i in ids if i not in known),
        sql_current=loaded is not None and loaded[0] == _sqlfiles.digest(ids, sql_files) and not lost,
        sql_loaded_at=loaded[1] if loaded else None,
        postgresql=server[0],
        timescaledb=server[2],
        warnings=troubles,
    )


def rollback_plan(conninfo: str, *, count: int | None = 1, migrations: Path | None = None) -> RollbackPlan:
    """Say what `rollback` of the last `count` migrations, None for all, would take away; changes nothing.

    Raises `MigrationError` where one of them cannot be rolled back.
    """
    folder = migrations or migrations_folder()
    with _connected(conninfo) as conn, conn.transaction():
        there = conn.execute("select to_regclass('bcp_migrations.loaded_sql') is not null").fetchone()
        ids = [m.id for m in _books(conn)[0]] if there and there[0] else []
        chosen = _to_roll_back(ids, folder, count)
        lost = tuple(thing for m in chosen for thing in _lost(conn, m))
    return RollbackPlan(tuple(m.id for m in chosen), lost)


def rollback(
    conninfo: str,
    *,
    count: int | None = 1,
    progress: Progress | None = None,
    wait_seconds: float = 600,
    migrations: Path | None = None,
) -> RollbackPlan:
    """Roll back the last `count` migrations, None for all, and return what that took away.

    All code of `sql/` goes too, whatever `count`: it fits the newest state only, and `migrate` loads it
    again. The extension timescaledb and the roles stay, as others may use them. What is lost is lost: ask the
    user first, with `rollback_plan`.

    Raises `MigrationError` where something of a user's depends on the code, where a migration has no rollback
    file (yoyo would skip it in silence) or one fails; each migration is a transaction, so those before it
    stay rolled back.
    """
    say = progress or _silent
    folder = migrations or migrations_folder()
    plan = rollback_plan(conninfo, count=count, migrations=folder)
    if not plan.migrations:
        return plan
    with _connected(conninfo) as conn, _locked(conn, say, wait_seconds) as backend:
        with _prepared(backend):
            say("dropping the code of sql/")
            _drop_code(conn)
            for migration in _to_roll_back(list(backend.applied().values()), folder, len(plan.migrations)):
                say(f"rolling back migration {migration.id}")
                path = folder / f"{migration.id}.rollback.sql"
                with _named(backend, path):
                    backend.rollback_one(migration)
            nothing_left = not backend.applied()
        if nothing_left:
            conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(SCHEMA)))
    return plan


def _silent(_: str) -> None:
    pass


@contextmanager
def _connected(conninfo: str) -> Iterator[Connection[Any]]:
    """Open a connection in autocommit mode; no error repeats the connection string."""
    try:
        psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise BcpAnalyticsError(
            "The connection string cannot be read.",
            hint="Write it as postgresql://user@host:5432/database or as host=... dbname=..., and quote or "
            "percent-encode special characters of the password.",
        ) from None
    try:
        conn = connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            fallback_application_name="bcp-analytics migrate",
        )
    except psycopg.Error as error:
        raise BcpAnalyticsError(
            f"The database cannot be reached: {str(error).strip()}",
            hint="Check that it runs, and the connection string.",
        ) from error
    with conn:
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
def _locked(conn: Connection[Any], say: Progress, wait_seconds: float) -> Iterator[Backend]:
    """Hold the advisory lock that keeps runs apart; it goes when the connection does, even if killed.

    Anybody may take an advisory lock. Who holds it and could not migrate is passed over: each migration, and
    the load of `sql/`, has a table of the owner's locked besides.
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
def _prepared(backend: Backend) -> Iterator[None]:
    """Have the books made, and yoyo's lock held, so that its command line waits for us."""
    backend.create_books()
    # We hold the advisory lock, so a row here is of a run that was killed.
    backend.break_lock()
    with backend.lock():
        yield


@contextmanager
def _named(backend: Backend, path: Path) -> Iterator[None]:
    """Raise database errors as MigrationError with the place in the migration's file."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        line = _sqlfiles.line_in_statement(error, path.read_text(encoding="utf-8"), backend.failed)
        raise _sqlfiles.located(error, path, line) from error


def _read(folder: Path) -> MigrationList:
    try:
        found = read_migrations(str(folder))
        for migration in found:
            migration.load()
    except (yoyo_exceptions.BadMigration, yoyo_exceptions.MigrationConflict) as error:
        raise MigrationError(f"The migrations in {folder} cannot be read: {error}") from error
    return found


def _upgrade(
    backend: Backend, known: MigrationList, folder: Path, say: Progress, wait_seconds: float
) -> tuple[tuple[str, ...], bool]:
    """Apply and load, and begin anew where somebody else's transaction held a lock for too long."""
    give_up = time.monotonic() + wait_seconds
    alone = _apply_up_to_last_alone(backend, known, say)
    while True:
        try:
            with backend.transaction():
                # Who got past the advisory lock, on the embedded database's one backend, waits here instead.
                backend.connection.execute("lock table bcp_migrations.loaded_sql in exclusive mode")
                backend.connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT_SECONDS}s'")
                applied = _apply(backend, list(backend.to_apply(known)), say)
                return (*alone, *applied), _load(backend, folder, say)
        except MigrationError as error:
            if not _will_pass(error) or time.monotonic() > give_up:
                raise
            say(f"others are at work on the same tables, so this begins anew: {error}")
            time.sleep(_PAUSE_SECONDS)


def _will_pass(error: MigrationError) -> bool:
    """Whether it is about a lock, or a chunk that a job changed after TimescaleDB had listed it."""
    return (
        error.sqlstate in ("55P03", "40P01")
        or (error.sqlstate == "42P01" and "_timescaledb_internal." in str(error))
        or (error.sqlstate == "XX000" and "tuple concurrently" in str(error))
    )


def _apply_up_to_last_alone(backend: Backend, known: MigrationList, say: Progress) -> tuple[str, ...]:
    """Apply what cannot be in one transaction with the rest: a migration without one, and those before it."""
    applied = backend.applied()
    unknown = [i for hash_, i in applied.items() if hash_ not in {m.hash for m in known}]
    if unknown:
        raise MigrationError(
            f"bcp_analytics {__version__} does not know migrations of this database: {', '.join(unknown)}.",
            hint="A newer version migrated it: install that one.",
        )
    with backend.transaction():
        pending = list(backend.to_apply(known))
    last = max((n for n, m in enumerate(pending, 1) if not m.use_transactions), default=0)
    return _apply(backend, pending[:last], say)


def _apply(backend: Backend, pending: list[Migration], say: Progress) -> tuple[str, ...]:
    for migration in pending:
        say(f"applying migration {migration.id}")
        with _named(backend, Path(migration.path)):
            backend.apply_one(migration)
    return tuple(m.id for m in pending)


def _load(backend: Backend, folder: Path, say: Progress) -> bool:
    conn = backend.connection
    digest = _sqlfiles.digest(backend.applied().values(), folder)
    last = conn.execute("select digest from bcp_migrations.loaded_sql").fetchone()
    if last is not None and last[0] == digest and not _grants_lost(conn):
        return False
    say(f"loading the {len(_sqlfiles.files(folder))} files of sql/")
    with _dependents_named():
        _code.replace(conn, lambda: _sqlfiles.load(conn, folder))
    conn.execute(
        "insert into bcp_migrations.loaded_sql (digest, package_version, loaded_at)"
        " values (%s, %s, now())"
        " on conflict (only_row) do update set digest = excluded.digest,"
        " package_version = excluded.package_version, loaded_at = excluded.loaded_at",
        [digest, __version__],
    )
    return True


@contextmanager
def _dependents_named() -> Iterator[None]:
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


def _grants_lost(conn: Connection[Any]) -> bool:
    """Tell whether the rights that `sql/` gives are gone, as in a database restored from a dump."""
    # Whoever may read may ask this: one function stands for all.
    lost = conn.execute(
        "select exists (select from pg_proc p where p.oid = to_regprocedure('bcp.health()') and not exists ("
        " select from aclexplode(p.proacl) a where a.grantee = to_regrole('bcp_reader')))"
    ).fetchone()
    return lost == (True,)


def _troubles(conn: Connection[Any]) -> tuple[str, ...]:
    """Return what keeps background jobs from running; nothing where `sql/` does not know it yet."""
    there = conn.execute("select to_regprocedure('bcp_internal.job_troubles()') is not null").fetchone()
    if there != (True,):
        return ()
    return tuple(row[0] for row in conn.execute("select trouble from bcp_internal.job_troubles()").fetchall())


def _books(conn: Connection[Any]) -> tuple[tuple[AppliedMigration, ...], tuple[str, datetime] | None]:
    """Read the migrations applied, oldest first, and the digest and time of the last load of `sql/`."""
    loaded = conn.execute("select digest, loaded_at from bcp_migrations.loaded_sql").fetchone()
    there = conn.execute("select to_regclass('bcp_migrations._yoyo_migration') is not null").fetchone()
    if not there or not there[0]:
        return (), loaded
    applied = conn.execute(
        "select migration_id, applied_at_utc from bcp_migrations._yoyo_migration"
        " order by applied_at_utc, migration_id"
    )
    return tuple(AppliedMigration(i, at.replace(tzinfo=UTC)) for i, at in applied.fetchall()), loaded


def _to_roll_back(applied: list[str], folder: Path, count: int | None) -> list[Migration]:
    """Return the last `count` of the applied migrations, newest first; each can be rolled back."""
    known = {m.id: m for m in _read(folder)}
    last = list(reversed(applied))[:count]
    for i in last:
        if i not in known:
            raise MigrationError(
                f"This version of bcp_analytics does not know the migration {i}.",
                hint="Roll back with the version that applied it.",
            )
        if not (folder / f"{i}.rollback.sql").exists():
            raise MigrationError(
                f"The migration {i} cannot be rolled back: {i}.rollback.sql is missing.",
                hint="Write that file, or drop the database.",
            )
    return [known[i] for i in last]


def _lost(conn: Connection[Any], migration: Migration) -> Iterator[str]:
    text = Path(migration.path).with_suffix(".rollback.sql").read_text(encoding="utf-8")
    for kind, name in _DROP.findall(text):
        what = " ".join(kind.lower().split())
        there = conn.execute("select to_regclass(%s) is not null", [name]).fetchone()
        if what == "schema" or not there or not there[0]:
            yield f"{what} {name}"
            continue
        query = sql.SQL("select count(*) from (select from {} limit {}) as counted").format(
            sql.SQL(".").join(sql.Identifier(part.strip('"')) for part in name.split(".")), _COUNT_LIMIT
        )
        rows = conn.execute(query).fetchone()
        assert rows is not None  # noqa: S101
        yield f"{what} {name}: {rows[0]}{' or more' if rows[0] == _COUNT_LIMIT else ''} rows"


def _drop_code(conn: Connection[Any]) -> None:
    """Drop what `sql/` made, which is jobs, triggers, views and routines, and the note that it is loaded.

    Tables cannot be dropped while a routine takes their row type, nor routines while a view calls them.
    """
    with _dependents_named(), conn.transaction():
        _code.drop(conn)
        conn.execute("delete from bcp_migrations.loaded_objects")
        conn.execute("delete from bcp_migrations.loaded_sql")
