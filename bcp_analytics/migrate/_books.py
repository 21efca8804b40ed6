"""What a database says of its migrations and code, and which migrations this version knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from yoyo import exceptions as yoyo_exceptions  # type: ignore[import-untyped]
from yoyo import read_migrations

from bcp_analytics.errors import MigrationError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from psycopg import Connection
    from yoyo.migrations import MigrationList  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A migration that a database has: its id, and when it was applied (UTC)."""

    id: str
    applied_at: datetime


def read(folder: Path) -> MigrationList:
    """Return the migrations of a folder; raises `MigrationError` where one cannot be read."""
    try:
        found = read_migrations(str(folder))
        for migration in found:
            migration.load()
    except (yoyo_exceptions.BadMigration, yoyo_exceptions.MigrationConflict) as error:
        raise MigrationError(f"The migrations in {folder} cannot be read: {error}") from error
    return found


def grants_lost(conn: Connection[Any]) -> bool:
    """Tell whether the rights that `sql/` gives are gone, as in a database restored from a dump."""
    # One function stands for all, so that a role that may only read can ask this.
    lost = conn.execute(
        "select exists (select from pg_proc p where p.oid = to_regprocedure('bcp.health()') and not exists ("
        " select from aclexplode(p.proacl) a where a.grantee = to_regrole('bcp_reader')))"
    ).fetchone()
    return lost == (True,)


def troubles_of(conn: Connection[Any]) -> tuple[str, ...]:
    """Return what keeps background jobs from running; nothing where `sql/` does not know it yet."""
    there = conn.execute("select to_regprocedure('bcp_internal.job_troubles()') is not null").fetchone()
    if there != (True,):
        return ()
    return tuple(row[0] for row in conn.execute("select trouble from bcp_internal.job_troubles()").fetchall())


def loaded_by(conn: Connection[Any]) -> str | None:
    """Return the version of the package that loaded `sql/` last, None where none has."""
    found = conn.execute("select package_version from bcp_migrations.loaded_sql").fetchone()
    return found and found[0]


def books_of(conn: Connection[Any]) -> tuple[tuple[AppliedMigration, ...], tuple[str, datetime, str] | None]:
    """Read the migrations applied, oldest first, and the last load of `sql/`: digest, time, version."""
    loaded = conn.execute(
        "select digest, loaded_at, package_version from bcp_migrations.loaded_sql"
    ).fetchone()
    there = conn.execute("select to_regclass('bcp_migrations._yoyo_migration') is not null").fetchone()
    if not there or not there[0]:
        return (), loaded
    applied = conn.execute(
        "select migration_id, applied_at_utc from bcp_migrations._yoyo_migration"
        " order by applied_at_utc, migration_id"
    )
    return tuple(AppliedMigration(i, at.replace(tzinfo=UTC)) for i, at in applied.fetchall()), loaded
