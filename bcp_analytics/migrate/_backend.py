"""yoyo on a connection of ours, its tables in a schema of their own, a migration and its mark in one go.

yoyo itself applies a migration on a second connection and marks it afterwards. A run killed in between leaves
a migration that is applied and not marked, and every later run fails at it. yoyo also prints what a
migration's statements return, and asks the network for the host's full name.
"""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql
from yoyo import internalmigrations  # type: ignore[import-untyped]
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # type: ignore[import-untyped]

from bcp_analytics.migrate import _code

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection
    from yoyo.migrations import Migration  # type: ignore[import-untyped]

SCHEMA = "bcp_migrations"
SAFE_PATH: LiteralString = "pg_catalog, pg_temp"

# Apart from bcp_internal, because rolling back the first migration drops that one.
BOOKS = """
create schema if not exists bcp_migrations;
create table if not exists bcp_migrations.yoyo_lock (
    locked integer default 1 primary key,
    ctime timestamp,
    pid integer not null
);
create table if not exists bcp_migrations.loaded_sql (
    only_row boolean primary key default true check (only_row),
    digest text not null,
    package_version text not null,
    loaded_at timestamptz not null
);
create table if not exists bcp_migrations.loaded_objects (
    type text,
    identity text,
    primary key (type, identity)
);
revoke all on schema bcp_migrations from public;
comment on schema bcp_migrations is 'What bcp-analytics migrate has done here, by yoyo.';
comment on table bcp_migrations.yoyo_lock is 'Lock of the yoyo command line.';
comment on table bcp_migrations.loaded_sql is
    'What sql/ was when it was last loaded: a digest over the migrations applied and its files.';
comment on column bcp_migrations.loaded_sql.only_row is 'There is one row.';
comment on column bcp_migrations.loaded_sql.digest is 'SHA-256, in hexadecimal.';
comment on column bcp_migrations.loaded_sql.package_version is 'Version of the package that loaded it.';
comment on column bcp_migrations.loaded_sql.loaded_at is 'When.';
comment on table bcp_migrations.loaded_objects is
    'One row per routine, view or trigger of the last load of sql/: the next drops what it no longer makes.';
comment on column bcp_migrations.loaded_objects.type is 'As DROP names it.';
comment on column bcp_migrations.loaded_objects.identity is 'As DROP takes it.';
"""


class _StepCursor(psycopg.Cursor[Any]):
    """Tells of a statement that failed, and hides results, which yoyo would print."""

    def __init__(self, connection: Connection[Any], tell: Callable[[str], None]) -> None:
        super().__init__(connection)
        self._tell = tell

    @property
    def description(self) -> None:
        return None

    def execute(self, query: Any, params: Any = None, **options: Any) -> _StepCursor:  # noqa: ANN401
        try:
            return super().execute(query, params, **options)
        except psycopg.Error:
            self._tell(str(query))
            raise


class Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend over `connection`, which is in autocommit mode and stays the caller's to close."""

    failed = ""
    """The statement that failed last."""

    def __init__(self, connection: Connection[Any]) -> None:
        """Take the connection; nothing is sent."""
        self._given = connection
        super().__init__(None, "_yoyo_migration")

    def connect(self, dburi: None) -> Connection[Any]:  # noqa: ARG002
        return self._given

    def cursor(self) -> _StepCursor:
        return _StepCursor(self.connection, self._note_failure)

    def _note_failure(self, statement: str) -> None:
        self.failed = statement

    def begin(self) -> None:
        """Begin a transaction that finds yoyo's tables."""
        super().begin()
        self._find_books()

    def _find_books(self) -> None:
        self.connection.execute(
            sql.SQL("set local search_path = {}, pg_catalog, pg_temp").format(sql.Identifier(SCHEMA))
        )

    def list_tables(self, **_: object) -> list[str]:
        found = self.connection.execute("select tablename from pg_tables where schemaname = %s", [SCHEMA])
        return [name for (name,) in found.fetchall()]

    def create_books(self) -> None:
        """Create yoyo's tables and ours where they are missing."""
        with self.connection.transaction():
            self.connection.execute(BOOKS)
            unrecorded = self.connection.execute(
                "select exists (select from bcp_migrations.loaded_sql)"
                " and not exists (select from bcp_migrations.loaded_objects)"
            ).fetchone()
            if unrecorded == (True,):
                _code.record_all(self.connection)
        with self.transaction():
            self.ensure_internal_schema_updated()

    def ensure_internal_schema_updated(self) -> None:
        if self._in_transaction and internalmigrations.needs_upgrading(self):
            internalmigrations.upgrade(self)

    def get_log_data(self, migration: Migration | None = None, operation: str = "apply") -> dict[str, Any]:
        """Return a row for yoyo's log; a user or host without a name is no reason to fail."""
        try:
            user = getpass.getuser()
        except (OSError, KeyError, ImportError):
            user = f"uid {os.getuid()}"
        return {
            "id": str(uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": user,
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }

    def applied(self) -> dict[str, str]:
        """Return the ids of the applied migrations, by hash, in the order they were applied in."""
        with self.connection.transaction():
            found = self.connection.execute(
                sql.SQL(
                    "select migration_hash, migration_id from {} order by applied_at_utc, migration_id"
                ).format(sql.Identifier(SCHEMA, "_yoyo_migration"))
            )
            return dict(found.fetchall())

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:  # noqa: FBT001, FBT002
        """Apply a migration and mark it, in one transaction where the migration allows one."""
        self._process(migration, "apply", force=force, mark=mark)

    def rollback_one(self, migration: Migration, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """Roll a migration back and unmark it, in one transaction where the migration allows one."""
        self._process(migration, "rollback", force=force, mark=True)

    def _process(self, migration: Migration, operation: str, *, force: bool, mark: bool) -> None:
        migration.load()
        if not migration.use_transactions:
            self.connection.execute(f"set search_path = {SAFE_PATH}")
            migration.process_steps(self, operation, force=force)
        with self.transaction():
            # Who has come this far without the advisory lock (the embedded database is one backend, so there
            # that lock locks nobody out) waits here, and then finds the migration marked.
            self.connection.execute(
                sql.SQL("lock table {} in exclusive mode").format(sql.Identifier(SCHEMA, "_yoyo_migration"))
            )
            if mark and self.is_applied(migration) == (operation == "apply"):
                return
            if migration.use_transactions:
                # Its statements spell out every name, so that no schema of somebody else's is looked into.
                self.connection.execute(f"set local search_path = {SAFE_PATH}")
                migration.process_steps(self, operation, force=force)
                self._find_books()
            self.log_migration(migration, operation)
            if mark and operation == "apply":
                self.mark_one(migration, log=False)
            elif mark:
                self.unmark_one(migration, log=False)
