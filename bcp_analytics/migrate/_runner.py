"""A run: under a lock, migrations by yoyo, then the code of `sql/`, both in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics._core.version import __version__
from bcp_analytics.errors import MigrationError
from bcp_analytics.migrate import _code, _sqlfiles
from bcp_analytics.migrate._books import grants_lost, loaded_by, read, troubles_of
from bcp_analytics.migrate._frozen import check_frozen
from bcp_analytics.migrate._preflight import check
from bcp_analytics.migrate._session import connected, dependents_named, locked, named, prepared, silent

if TYPE_CHECKING:
    from yoyo.migrations import Migration, MigrationList  # type: ignore[import-untyped]

    from bcp_analytics.migrate._backend import Backend
    from bcp_analytics.migrate._session import Progress

# While a run waits for a lock, whoever wants to read the table waits behind it.
_LOCK_TIMEOUT_SECONDS = 2
_PAUSE_SECONDS = 1


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
    say = progress or silent
    migrations = migrations or migrations_folder()
    sql_files = sql_files or sql_folder()
    check_frozen(migrations)
    with connected(conninfo) as conn:
        warnings = check(conn, conninfo)
        for warning in warnings:
            say(warning)
        with locked(conn, say, wait_seconds) as backend:
            conn.execute("create extension if not exists timescaledb schema public")
            with prepared(backend):
                applied, loaded = _upgrade(backend, read(migrations), sql_files, say, wait_seconds)
        troubles = troubles_of(conn)
        for trouble in troubles:
            say(trouble)
    return MigrationResult(applied=applied, sql_applied=loaded, warnings=(*warnings, *troubles))


def _upgrade(
    backend: Backend, known: MigrationList, folder: Path, say: Progress, wait_seconds: float
) -> tuple[tuple[str, ...], bool]:
    """Apply and load; begin anew where somebody else's transaction held a lock for too long."""
    give_up = time.monotonic() + wait_seconds
    alone = _apply_up_to_last_alone(backend, known, say)
    while True:
        try:
            with backend.transaction():
                # The embedded database's one backend grants the advisory lock to all: others wait here.
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
        needed = loaded_by(backend.connection) or "the version that migrated it"
        raise MigrationError(
            f"bcp_analytics {__version__} does not know migrations of this database: {', '.join(unknown)}.",
            hint=f"Install {needed}, or a later one.",
        )
    with backend.transaction():
        pending = list(backend.to_apply(known))
    last = max((n for n, m in enumerate(pending, 1) if not m.use_transactions), default=0)
    return _apply(backend, pending[:last], say)


def _apply(backend: Backend, pending: list[Migration], say: Progress) -> tuple[str, ...]:
    for migration in pending:
        say(f"applying migration {migration.id}")
        with named(backend, Path(migration.path)):
            backend.apply_one(migration)
    return tuple(m.id for m in pending)


def _load(backend: Backend, folder: Path, say: Progress) -> bool:
    conn = backend.connection
    digest = _sqlfiles.digest(backend.applied().values(), folder)
    last = conn.execute("select digest from bcp_migrations.loaded_sql").fetchone()
    if last is not None and last[0] == digest and not grants_lost(conn):
        return False
    before = loaded_by(conn)
    instead = f" in place of those of version {before}" if before not in {None, __version__} else ""
    say(f"loading the {len(_sqlfiles.files(folder))} files of sql/{instead}")
    with dependents_named():
        _code.replace(conn, lambda: _sqlfiles.load(conn, folder))
    conn.execute(
        "insert into bcp_migrations.loaded_sql (digest, package_version, loaded_at)"
        " values (%s, %s, now())"
        " on conflict (only_row) do update set digest = excluded.digest,"
        " package_version = excluded.package_version, loaded_at = excluded.loaded_at",
        [digest, __version__],
    )
    return True
