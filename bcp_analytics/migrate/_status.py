"""Where a database stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics.migrate import _sqlfiles
from bcp_analytics.migrate._books import books_of, grants_lost, read, troubles_of
from bcp_analytics.migrate._session import connected

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from bcp_analytics.migrate._books import AppliedMigration


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    `pending`: ids of migrations it lacks; `unknown`: ids it has that this version does not know;
    `sql_current`: whether `sql/` is loaded as this version has it; `sql_loaded_at`: when it was loaded
    last, None where never; `sql_loaded_by`: the version of this package that loaded it; `postgresql`,
    `timescaledb`: versions, None where there is no TimescaleDB; `warnings`: sentences for the user, about
    background jobs that do not run.
    """

    applied: tuple[AppliedMigration, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    sql_current: bool
    sql_loaded_at: datetime | None
    sql_loaded_by: str | None
    postgresql: str
    timescaledb: str | None
    warnings: tuple[str, ...]

    @property
    def current(self) -> bool:
        """Whether `migrate` would change nothing."""
        return not self.pending and not self.unknown and self.sql_current


def status(
    conninfo: str, *, migrations: Path | None = None, sql_files: Path | None = None
) -> MigrationStatus:
    """Say where the database stands, changing nothing.

    Raises `BcpAnalyticsError` where it cannot be reached or may not be read.
    """
    migrations = migrations or migrations_folder()
    sql_files = sql_files or sql_folder()
    with connected(conninfo) as conn, conn.transaction():
        server = conn.execute(
            "select current_setting('server_version'), to_regclass('bcp_migrations.loaded_sql') is not null,"
            " (select extversion from pg_extension where extname = 'timescaledb')"
        ).fetchone()
        assert server is not None  # noqa: S101
        applied, loaded = books_of(conn) if server[1] else ((), None)
        troubles = troubles_of(conn)
        lost = grants_lost(conn)
    ids = [m.id for m in applied]
    known = [m.id for m in read(migrations)]
    return MigrationStatus(
        applied=applied,
        pending=tuple(i for i in known if i not in ids),
        unknown=tuple(i for i in ids if i not in known),
        sql_current=loaded is not None and loaded[0] == _sqlfiles.digest(ids, sql_files) and not lost,
        sql_loaded_at=loaded[1] if loaded else None,
        sql_loaded_by=loaded[2] if loaded else None,
        postgresql=server[0],
        timescaledb=server[2],
        warnings=troubles,
    )
