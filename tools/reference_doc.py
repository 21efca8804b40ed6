"""Writes docs/reference/commands.md and schema.md from the commands and from the comments in the database:

    python -m tools.reference_doc

A test holds the files to what this returns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psycopg
import typer

from bcp_analytics.cli._app import app

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
COMMANDS, SCHEMA = FOLDER / "commands.md", FOLDER / "schema.md"

_COMMANDS_HEAD = """\
# Commands

Written by `python -m tools.reference_doc` from the commands themselves. `bcp-analytics COMMAND --help` says
the same.
"""
_SCHEMA_HEAD = """\
# Tables, views and settings

Written by `python -m tools.reference_doc` from the comments in the database. `\\d+ bcp.NAME` in psql says the
same. All are in schema `bcp`. [Questions](questions.md) has the functions that answer questions.
"""
_RELATIONS = """
select c.relname, obj_description(c.oid, 'pg_class'), c.relkind = 'r',
       array(
           select array[
               a.attname::text, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)]
           from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           order by a.attnum)
from pg_class c
where c.relnamespace = 'bcp'::regnamespace and c.relkind in ('r', 'v')
order by c.relname
"""
_SETTINGS = "select name, value, minimum, maximum, unit, description from bcp.settings order by name"
_POLICIES = """
select table_name, retention_days, archive_before_delete, columnstore_after
from bcp.data_retention_policies order by table_name"""
_RULES = """
select rule_name, metric, fires || ' ' || threshold, lookback, severity, enabled, description
from bcp.alert_rules order by rule_name"""


def commands() -> str:
    """Return the text of commands.md."""
    top = typer.main.get_command(app)
    return _COMMANDS_HEAD + "".join(_command("bcp-analytics", top))


def _command(path: str, command: Any) -> list[str]:
    prose, examples = [], []
    for block in (command.help or "").split("\n\n"):
        verbatim = block.lstrip().startswith("\b")
        lines = [line.strip() for line in block.replace("\b", "").strip().splitlines()]
        if verbatim:
            examples.append("\n".join(lines))
        elif lines:
            prose.append(_escaped(" ".join(lines)))
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    parts = [f"## {path}", *prose]
    if arguments or options:
        rows = [(p.name.upper(), p) for p in arguments]
        rows += [(_names(p), p) for p in options if p.name != "help"]
        parts.append(_table(["option", "what it does"], [[f"`{name}`", _help(p)] for name, p in rows]))
    parts += [f"```sh\n{example}\n```" for example in examples]
    made = ["\n" + "\n\n".join(parts) + "\n"]
    for name, sub in sorted(getattr(command, "commands", {}).items()):
        made += _command(f"{path} {name}", sub)
    return made


def _names(option: Any) -> str:
    return ", ".join([*option.opts, *option.secondary_opts])


def _help(parameter: Any) -> str:
    said = _escaped(getattr(parameter, "help", None) or "")
    default = parameter.default
    if isinstance(default, (str, int, float)) and not isinstance(default, bool) and default != "":
        said += f" Default: {getattr(default, 'value', default)}."
    return said


def schema(conn: psycopg.Connection[Any]) -> str:
    """Return the text of schema.md; the database has the settings that a new store has."""
    settings = [
        [f"`{name}`", value, _bounds(low, high), unit or "", _escaped(said)]
        for name, value, low, high, unit, said in conn.execute(_SETTINGS)
    ]
    policies = [
        [f"`{name}`", days, "yes" if archive else "no", "-" if moved is None else moved]
        for name, days, archive, moved in conn.execute(_POLICIES)
    ]
    rules = [
        [f"`{name}`", metric, when, str(span), severity, "yes" if on else "no", _escaped(said)]
        for name, metric, when, span, severity, on, said in conn.execute(_RULES)
    ]
    parts = [
        "## Settings",
        "The rows of `bcp.settings` in a new store. `select bcp.apply_policies()` carries out a change.",
        _table(["setting", "value", "bounds", "unit", "what it does"], settings),
        "## Retention",
        "The rows of `bcp.data_retention_policies` in a new store: [retention](../how-to/retention.md).",
        _table(["table", "days", "archive first", "columnstore after days"], policies),
        "## Alert rules",
        "The rows of `bcp.alert_rules` in a new store: [alerts](../how-to/alerts.md).",
        _table(["rule", "metric", "fires", "lookback", "severity", "enabled", "what it says"], rules),
    ]
    found = conn.execute(_RELATIONS).fetchall()
    for title, wanted in (("Tables", True), ("Views and aggregates", False)):
        parts.append(f"## {title}")
        for name, said, is_table, columns in found:
            if is_table == wanted:
                rows = [[f"`{column}`", kind, _escaped(note or "")] for column, kind, note in columns]
                parts += [f"### {name}", _escaped(said or ""), _table(["column", "type", "what"], rows)]
    return _SCHEMA_HEAD + "\n" + "\n\n".join(parts) + "\n"


def _bounds(low: str | None, high: str | None) -> str:
    return f"{low} to {high}" if low and high else ""


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    """Return text for Markdown: what stands for itself there is kept from meaning something."""
    for sign in ("\\", "|", "[", "<", "*"):
        text = text.replace(sign, "\\" + sign)
    return text


def main() -> None:
    from tests.targets import MAKERS  # noqa: PLC0415

    COMMANDS.write_text(commands(), encoding="utf-8")
    server = MAKERS["embedded"]()
    try:
        server.start()
        with psycopg.connect(server.shared()) as conn:
            SCHEMA.write_text(schema(conn), encoding="utf-8")
            conn.rollback()
    finally:
        server.stop()
    sys.stdout.write(f"written: {COMMANDS.name}, {SCHEMA.name}\n")


if __name__ == "__main__":
    main()
