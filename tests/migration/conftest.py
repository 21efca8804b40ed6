"""Small projects of migrations and sql/ files, and a database to run them on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from bcp_analytics import migrate as runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target


class Project:
    """Folders like the package's own, that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.migrations = folder / "migrations"
        self.sql = folder / "sql"
        self.migrations.mkdir()
        self.sql.mkdir()

    def migration(self, name: str, up: str, down: str | None = None) -> None:
        (self.migrations / f"{name}.sql").write_text(up)
        if down is not None:
            (self.migrations / f"{name}.rollback.sql").write_text(down)

    def code(self, name: str, text: str) -> None:
        (self.sql / name).write_text(text)

    def migrate(self, dsn: str, **options: Any) -> runner.MigrationResult:
        return runner.migrate(dsn, migrations=self.migrations, sql_files=self.sql, **options)

    def status(self, dsn: str) -> runner.MigrationStatus:
        return runner.status(dsn, migrations=self.migrations, sql_files=self.sql)

    def rollback(self, dsn: str, **options: Any) -> runner.RollbackPlan:
        return runner.rollback(dsn, migrations=self.migrations, **options)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two migrations, and two files of code that need them."""
    made = Project(tmp_path)
    made.migration("0001_create_schema", "create schema bcp;", "drop schema bcp cascade;")
    made.migration("0002_create_table", "create table bcp.things (id integer);", "drop table bcp.things;")
    made.code("10_count.sql", _function("count_things", "select count(*) from bcp.things"))
    made.code("20_answer.sql", _function("answer", "select 42::bigint"))
    return made


def _function(name: str, body: str) -> str:
    return f"create or replace function bcp.{name}() returns bigint language sql as $func$ {body} $func$;\n"


@pytest.fixture(scope="session")
def _scratch_server(_server: Target) -> Iterator[str]:
    with _server.blank() as dsn:
        yield dsn


@pytest.fixture
def scratch(_scratch_server: str) -> str:
    """A database with nothing of ours but the extension: one for all tests, as a start takes seconds."""
    with psycopg.connect(_scratch_server, autocommit=True) as conn:
        for (schema,) in conn.execute("select nspname from pg_namespace where nspname ~ '^bcp'").fetchall():
            conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))
    return _scratch_server


def value(dsn: str, query: Any) -> Any:
    """Return the one value that a query gives."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]
