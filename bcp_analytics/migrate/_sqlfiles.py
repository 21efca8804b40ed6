"""Loads `sql/` as a whole, and says where in a file an error is."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import psycopg
import sqlparse

from bcp_analytics.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from psycopg import Connection

# What precedes the first word of a statement.
_LEAD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_IN_DO_BLOCK = re.compile(r"inline_code_block line (\d+)")


def files(folder: Path) -> list[Path]:
    """Return the files of `sql/` in the order they are loaded in."""
    return sorted(folder.glob("*.sql"))


def digest(migration_ids: Iterable[str], folder: Path) -> str:
    """Return a SHA-256 over the applied migrations and every file, hexadecimal.

    The migrations count because one may have dropped what `sql/` made.
    """
    total = hashlib.sha256()
    for part in (*(i.encode() for i in migration_ids), b""):
        total.update(hashlib.sha256(part).digest())
    for path in files(folder):
        total.update(hashlib.sha256(path.name.encode()).digest())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def load(conn: Connection[Any], folder: Path) -> None:
    """Send every file in order, each whole, in the transaction that the caller has open.

    Raises MigrationError `sql/file:line: SQLSTATE message`; the caller's transaction then has to go.
    """
    for path in files(folder):
        text = path.read_text(encoding="utf-8")
        try:
            with conn.transaction():
                conn.execute(text.encode())
        except psycopg.Error as error:
            line = _line_of_position(error, text) or _line_by_replay(conn, text)
            raise located(error, path, line) from error


def located(error: psycopg.Error, path: Path, line: int) -> MigrationError:
    """Return the error to raise for a statement of a file that failed at a line, counted from 1."""
    diag = error.diag
    parts = [diag.message_detail, diag.context]
    message = diag.message_primary or str(error).strip()
    return MigrationError(
        f"{path.parent.name}/{path.name}:{line}: {error.sqlstate or 'no SQLSTATE'} {message}",
        detail="\n".join(part for part in parts if part) or None,
        hint=diag.message_hint,
        sqlstate=error.sqlstate,
    )


def line_in_statement(error: psycopg.Error, text: str, statement: str) -> int:
    """Return the line of `text` for an error of `statement`, which is a part of it and was sent alone."""
    start = max(text.find(statement), 0)
    before = text.count("\n", 0, start)
    found = _line_of_position(error, statement)
    return before + (found or _line_of_do_block(error, statement) or _first_line(statement))


def _line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _first_line(statement: str) -> int:
    lead = _LEAD.match(statement)
    return _line_at(statement, lead.end() if lead else 0)


def _line_of_position(error: psycopg.Error, text: str) -> int | None:
    """Return the line that the server named, None where it named none."""
    diag = error.diag
    if diag.statement_position:
        return _line_at(text, int(diag.statement_position) - 1)
    if diag.internal_query and diag.internal_position and text.count(diag.internal_query) == 1:
        return _line_at(text, text.index(diag.internal_query) + int(diag.internal_position) - 1)
    return None


def _line_of_do_block(error: psycopg.Error, statement: str) -> int | None:
    found = _IN_DO_BLOCK.search(error.diag.context or "")
    body = re.search(r"\$\w*\$", statement)
    return _line_at(statement, body.start()) + int(found[1]) - 1 if found and body else None


def _line_by_replay(conn: Connection[Any], text: str) -> int:
    """Find the statement that fails by sending them one by one.

    The server names no position for an error of execution, such as a role that is missing.
    """
    end = 0
    try:
        with conn.transaction(force_rollback=True):
            for statement in sqlparse.split(text):
                start = text.index(statement, end)
                end = start + len(statement)
                try:
                    conn.execute(statement.encode())
                except psycopg.Error as error:
                    return text.count("\n", 0, start) + (
                        _line_of_do_block(error, statement) or _first_line(statement)
                    )
    except (psycopg.Error, ValueError):
        pass
    return 1
