"""The generated pages of docs/reference say what commands, tables and settings are now."""

from __future__ import annotations

from typing import Any

import psycopg

from tools import reference_doc

AGAIN = "run python -m tools.reference_doc"


def test_the_commands_are_up_to_date() -> None:
    assert reference_doc.COMMANDS.read_text(encoding="utf-8") == reference_doc.commands(), AGAIN


def test_the_schema_is_up_to_date(db: psycopg.Connection[Any]) -> None:
    assert reference_doc.SCHEMA.read_text(encoding="utf-8") == reference_doc.schema(db), AGAIN
