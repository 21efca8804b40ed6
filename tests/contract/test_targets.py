"""The fixtures give each test the database they promise."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.reset import Reset

CALL = '[{"bcp_name": "files", "tool_name": "read", "start_time": "2026-06-01T00:00:00Z"}]'
CONTENT = "select count(*), md5(string_agg(to_jsonb(t)::text, ',' order by to_jsonb(t)::text)) from {} t"
NAMES = """
select c.relnamespace::regnamespace || '.' || quote_ident(c.relname)
from pg_class c
where c.relnamespace::regnamespace::text in ('bcp', 'bcp_internal') and c.relkind in ('r', 'v')
"""


def _contents(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    conn.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', false)")
    tables = [name for (name,) in conn.execute(NAMES).fetchall()]
    return {name: conn.execute(CONTENT.format(name)).fetchone() for name in tables}


def _dirty(conn: psycopg.Connection[Any]) -> None:
    conn.execute("select set_config('bcp.now', '2026-06-15T12:00:00Z', false)")
    conn.execute("select bcp.ingest_tool_usage(null, %s::text)", [CALL])
    conn.execute("call bcp.refresh_analytics_views()")
    conn.execute("delete from bcp.sensitive_keys where key_pattern = 'email'")
    conn.execute("update bcp.settings set value = '1 hour' where name = 'dedup_window'")
    conn.execute("select bcp.rotate_anonymization_key()")


def test_a_reset_brings_every_row_and_aggregate_back(clean_db: psycopg.Connection[Any], dsn: str) -> None:
    reset = Reset(dsn)
    before = _contents(clean_db)
    _dirty(clean_db)
    dirty = _contents(clean_db)
    assert {name for name in before if before[name] != dirty[name]} >= {
        "bcp.tool_usage_logs",
        "bcp.tool_usage_1h",
        "bcp.sensitive_keys",
        "bcp.settings",
        "bcp_internal.anonymization_keys",
        "bcp_internal.anonymizer_state",
    }
    assert reset()
    assert _contents(clean_db) == before
    _dirty(clean_db)
    assert _contents(clean_db)["bcp.tool_usage_1h"] == dirty["bcp.tool_usage_1h"]


def test_a_reset_says_when_more_than_rows_has_changed(clean_db: psycopg.Connection[Any], dsn: str) -> None:
    reset = Reset(dsn)
    clean_db.execute("create table bcp.another (id integer)")
    assert not reset()
    clean_db.execute("drop table bcp.another")
    assert reset()
    told = "select obj_description('bcp.tool_usage_logs'::regclass)"
    [(comment,)] = clean_db.execute(told).fetchall()
    commented = "comment on table bcp.tool_usage_logs is"
    table, function = "alter table bcp.users", "alter function bcp.cleanup_old_data"
    for change, undo in (
        (f"{commented} 'other'", f"{commented} $_${comment}$_$"),
        ("grant select on bcp.users to public", "revoke select on bcp.users from public"),
        (f"{table} alter last_seen set default now()", f"{table} alter last_seen drop default"),
        (f"{function} set work_mem = '9MB'", f"{function} reset work_mem"),
        ("create index another on bcp.users (last_seen)", "drop index bcp.another"),
    ):
        clean_db.execute(change)  # type: ignore[call-overload]
        assert not reset(), change
        clean_db.execute(undo)  # type: ignore[call-overload]
        assert reset(), undo


def test_db_is_migrated_and_empty_and_takes_no_commit(db: psycopg.Connection[Any]) -> None:
    db.execute("select bcp.ingest_tool_usage(null, %s::text)", [CALL])
    with pytest.raises(pytest.fail.Exception, match="clean_db"):
        db.commit()


def test_what_db_did_is_gone(db: psycopg.Connection[Any]) -> None:
    """Holds in any order: each of the two would find what the other left."""
    assert db.execute("select count(*) from bcp.tool_usage_logs").fetchone() == (0,)
    db.execute("select bcp.ingest_tool_usage(null, %s::text)", [CALL])


def test_blank_db_has_nothing_of_ours(blank_db: str) -> None:
    with psycopg.connect(blank_db) as conn:
        assert conn.execute("select nspname from pg_namespace where nspname ~ '^bcp'").fetchall() == []
