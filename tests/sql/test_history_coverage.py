"""bcp.anonymize_history reaches every column that can hold what is masked, or it is told here why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from bcp_analytics import upkeep
from tests.sql.test_anonymize_history import new_rules

if TYPE_CHECKING:
    import psycopg

    Db = psycopg.Connection[Any]

# What rules and settings are made of: masked, they would do something else.
RULES = "an administrator's rule or setting"
# Constraints and functions of ours allow a few words.
WORDS = "one of a few words"
# A table alone stands for all of its columns.
NOT_REACHED = {
    "settings": RULES,
    "data_retention_policies": RULES,
    "alert_rules": RULES,
    "sensitive_keys": RULES,
    "sensitive_key_exceptions": RULES,
    "name_value_keys": RULES,
    "anonymization_rules": RULES,
    "anonymization_packs": RULES,
    "otel_mappings": RULES,
    "archives": "says where the files are and what is in them: masked, nobody finds them",
    "notification_log": "names that an administrator gave, ids, and words of ours",
    "cleanup_log": "names of tables, and reasons that cleanup writes",
    "error_logs.fingerprint": "a hash",
    "error_issues.fingerprint": "a hash",
    "issue_actions.fingerprint": "a hash",
    "issue_actions.action": WORDS,
    "shards": "names that an administrator gave, and names of bundles",
    "floods": "a role, which an administrator has named, and one of a few words",
    "user_sessions.resolved_by": WORDS,
    **dict.fromkeys(
        (
            "ingest_batches.sent_by",
            "rejected_events.sent_by",
            "collector_reports.sent_by",
            "user_sessions.sent_by",
        ),
        "a role, which an administrator has named",
    ),
}
ALLOWED = {"issue_actions.action": "resolved", "user_sessions.resolved_by": "given"}
SECRET = "TICKET-17"
DOCUMENT = {"about": SECRET, "list": [f"see {SECRET}"], "nested": '{"about": "TICKET-17"}'}
ADDRESS = "203.0.113.77"
# What a column that is not to be null gets otherwise, by its type.
FILLERS = {
    "timestamp with time zone": "2026-06-15T12:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "bcp.error_level_enum": "error",
    "boolean": True,
    "bigint": 1,
    "integer": 1,
    "double precision": 1,
    "interval": "1 hour",
}
WRITTEN = {
    "text": SECRET,
    "character varying": SECRET,
    "jsonb": Jsonb(DOCUMENT),
    "json": Jsonb(DOCUMENT),
    "inet": ADDRESS,
}


def columns(conn: Db) -> dict[str, list[tuple[str, str, bool]]]:
    """Columns of the tables of schema bcp that can be written: name, type, and whether it may be null."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, *column in conn.execute(
        "select c.relname, a.attname, format_type(a.atttypid, -1), not a.attnotnull"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = 'bcp'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0"
        " and not a.attisdropped and a.attgenerated = '' and a.attidentity = '' order by 1, a.attnum"
    ).fetchall():
        found.setdefault(table, []).append((column[0], column[1], column[2]))
    return found


def is_told(table: str, column: str) -> bool:
    return table in NOT_REACHED or f"{table}.{column}" in NOT_REACHED


def probed(conn: Db) -> dict[str, list[str]]:
    """Columns of text, JSON or addresses, by table, without those that are named above."""
    return {
        table: probes
        for table, found in columns(conn).items()
        if (
            probes := [
                name
                for name, kind, _ in found
                if (kind in WRITTEN or kind.endswith("[]") or kind in {"cidr", "xml", "bytea"})
                and not is_told(table, name)
            ]
        )
    }


def insert(conn: Db, table: str) -> None:
    """Insert a row with something to mask in every column that can hold it."""
    row = {}
    for name, kind, may_be_null in columns(conn)[table]:
        if kind in WRITTEN and not is_told(table, name):
            row[name] = WRITTEN[kind]
        elif kind in WRITTEN and not may_be_null:
            row[name] = ALLOWED.get(f"{table}.{name}", "none")
        elif not may_be_null:
            row[name] = FILLERS[kind]
    if table == "ingest_batches":
        row |= {"accepted": 1, "stored": 1, "duplicates": 0, "rejected": 0}
    conn.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("bcp", table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Placeholder, row)),
        ),
        row,
    )


def left(conn: Db) -> set[str]:
    """Columns that still hold what was to be masked."""
    found = set()
    for table, names in probed(conn).items():
        for name in names:
            query = sql.SQL("select from {} where {}::text ~ 'TICKET|203.0.113.77'").format(
                sql.Identifier("bcp", table), sql.Identifier(name)
            )
            if conn.execute(query).fetchall():
                found.add(f"{table}.{name}")
    return found


@pytest.mark.parametrize("is_compressed", [False, True])
def test_every_column_is_reached_or_told(clean_db: Db, is_compressed: bool) -> None:  # noqa: FBT001
    clean_db.execute("select set_config('bcp.now', '2026-06-20T12:00:00Z', false)")
    every = probed(clean_db)
    for table in every:
        insert(clean_db, table)
    assert left(clean_db) == {f"{table}.{name}" for table, names in every.items() for name in names}
    if is_compressed:
        for table in ("tool_usage_logs", "error_logs", "performance_metrics"):
            clean_db.execute(f"select public.compress_chunk(c) from public.show_chunks('bcp.{table}') c")
    new_rules(clean_db)
    upkeep.anonymize_history(clean_db)
    assert left(clean_db) == set()


def test_what_is_told_is_there(db: Db) -> None:
    every = {f"{table}.{name}" for table, found in columns(db).items() for name, _, _ in found}
    assert {told for told in NOT_REACHED if "." in told} <= every
    assert {told for told in NOT_REACHED if "." not in told} <= set(columns(db))


def test_a_new_column_is_noticed(db: Db) -> None:
    before = probed(db)
    db.execute("alter table bcp.users add column nickname text, add column old_ids text[]")
    db.execute("create table bcp.later (said jsonb not null)")
    after = probed(db)
    assert set(after) - set(before) == {"later"}
    assert set(after["users"]) - set(before["users"]) == {"nickname", "old_ids"}
