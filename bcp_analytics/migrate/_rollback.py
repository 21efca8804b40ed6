"""A rollback: what it would take away, and taking it away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from bcp_analytics._core.resources import migrations_folder
from bcp_analytics.errors import MigrationError
from bcp_analytics.migrate import _code
from bcp_analytics.migrate._backend import SCHEMA
from bcp_analytics.migrate._books import books_of, read
from bcp_analytics.migrate._session import connected, dependents_named, locked, named, prepared, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from yoyo.migrations import Migration  # type: ignore[import-untyped]

    from bcp_analytics.migrate._session import Progress

# Counting stops here, so that saying what would be lost takes no scan of a large store.
_COUNT_LIMIT = 1_000_000
_DROP = re.compile(
    r"^\s*drop\s+(table|materialized\s+view|schema)\s+(?:if\s+exists\s+)?([\w.\"]+)",
    re.IGNORECASE | re.MULTILINE,
)
_ALTER = re.compile(
    r"^\s*alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?([\w.\"]+)([^;]*)", re.IGNORECASE | re.MULTILINE
)
_DROP_COLUMN = re.compile(r"\bdrop\s+column\s+(?:if\s+exists\s+)?([\w\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What a rollback takes back.

    `migrations`: ids, in the order they are rolled back in; `lost`: what goes with them, one item per thing,
    such as "table bcp.users: 12 rows".
    """

    migrations: tuple[str, ...]
    lost: tuple[str, ...]


def rollback_plan(conninfo: str, *, count: int | None = 1, migrations: Path | None = None) -> RollbackPlan:
    """Say what `rollback` of the last `count` migrations, None for all, would take away; changes nothing.

    Raises `MigrationError` where one of them cannot be rolled back.
    """
    folder = migrations or migrations_folder()
    with connected(conninfo) as conn, conn.transaction():
        there = conn.execute("select to_regclass('bcp_migrations.loaded_sql') is not null").fetchone()
        ids = [m.id for m in books_of(conn)[0]] if there and there[0] else []
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
    say = progress or silent
    folder = migrations or migrations_folder()
    plan = rollback_plan(conninfo, count=count, migrations=folder)
    if not plan.migrations:
        return plan
    with connected(conninfo) as conn, locked(conn, say, wait_seconds) as backend:
        with prepared(backend):
            say("dropping the code of sql/")
            _drop_code(conn)
            for migration in _to_roll_back(list(backend.applied().values()), folder, len(plan.migrations)):
                say(f"rolling back migration {migration.id}")
                path = folder / f"{migration.id}.rollback.sql"
                with named(backend, path):
                    backend.rollback_one(migration)
            nothing_left = not backend.applied()
        if nothing_left:
            conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(SCHEMA)))
    return plan


def _to_roll_back(applied: list[str], folder: Path, count: int | None) -> list[Migration]:
    """Return the last `count` of the applied migrations, newest first; each can be rolled back."""
    known = {m.id: m for m in read(folder)}
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
        if what == "schema" or not _is_there(conn, name):
            yield f"{what} {name}"
        else:
            yield f"{what} {name}: {_counted(conn, name)} rows"
    for name, change in _ALTER.findall(text):
        for column in _DROP_COLUMN.findall(change):
            values = f": {_counted(conn, name, column)} values" if _is_there(conn, name, column) else ""
            yield f"column {name}.{column}{values}"


def _is_there(conn: Connection[Any], table: str, column: str | None = None) -> bool:
    found = conn.execute(
        "select from pg_class c where c.oid = to_regclass(%(table)s) and (%(column)s::text is null or exists"
        " (select from pg_attribute where attrelid = c.oid and attname = %(column)s and not attisdropped))",
        {"table": table, "column": column and column.strip('"')},
    ).fetchone()
    return found is not None


def _counted(conn: Connection[Any], table: str, column: str | None = None) -> str:
    """Count rows of a table, or values of one of its columns."""
    condition = (
        sql.SQL("{} is not null").format(sql.Identifier(column.strip('"'))) if column else sql.SQL("true")
    )
    query = sql.SQL("select count(*) from (select from {} where {} limit {}) as counted").format(
        sql.SQL(".").join(sql.Identifier(part.strip('"')) for part in table.split(".")),
        condition,
        _COUNT_LIMIT,
    )
    rows = conn.execute(query).fetchone()
    assert rows is not None  # noqa: S101
    return f"{rows[0]}{' or more' if rows[0] == _COUNT_LIMIT else ''}"


def _drop_code(conn: Connection[Any]) -> None:
    """Drop what `sql/` made, which is jobs, triggers, views and routines, and the note that it is loaded.

    Tables cannot be dropped while a routine takes their row type, nor routines while a view calls them.
    """
    with dependents_named(), conn.transaction():
        _code.drop(conn)
        conn.execute("delete from bcp_migrations.loaded_objects")
        conn.execute("delete from bcp_migrations.loaded_sql")
