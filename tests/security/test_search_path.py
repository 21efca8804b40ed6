"""A procedure that commits cannot pin its search_path, and calls nothing that its caller's leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.archive.rows import few

if TYPE_CHECKING:
    from collections.abc import Iterator

    Db = psycopg.Connection[Any]

# Each fits as well as what PostgreSQL has, and is found before it.
_HOSTILE = """
create schema hostile;
create function hostile.called() returns boolean language plpgsql as
    $$ begin raise exception 'the search_path of the session was used'; end $$;
do $$
declare
    v record;
begin
    for v in select unnest('{text,uuid,timestamptz,regclass}'::text[]) as type loop
        execute format('create domain hostile.%1$s as pg_catalog.%1$s check (hostile.called())', v.type);
    end loop;
    for v in
        select *
        from (values
            ('>', 'int8', 'int4'), ('+', 'int8', 'int8'), ('<=', 'int8', 'int8'), ('=', 'text', 'text'),
            ('=', 'bool', 'bool'), ('-', 'timestamptz', 'interval')) as o (name, a, b)
    loop
        execute format(
            'create or replace function hostile.of_%2$s(pg_catalog.%2$s, pg_catalog.%3$s) returns boolean'
            ' language sql as ''select hostile.called()'';'
            'create operator hostile.%1$s (leftarg = pg_catalog.%2$s, rightarg = pg_catalog.%3$s,'
            ' function = hostile.of_%2$s)', v.name, v.a, v.b);
    end loop;
end $$;
set search_path = hostile, pg_catalog;
"""
_PROCEDURES = (
    "bcp.refresh_analytics_views()",
    "bcp.run_cleanup()",
    "bcp.anonymize_history('1 day', null, true)",
    "bcp.erase_user('u1')",
    "bcp_internal.columnstore_aggregates()",
    "bcp_internal.columnstore_tables()",
    "bcp_internal.cleanup_job(1, '{}')",
    "bcp_internal.columnstore_job(1, '{}')",
    "bcp_internal.columnstore_tables_job(1, '{}')",
)


@pytest.fixture
def hostile(clean_db: Db) -> Iterator[Db]:
    """Return a session whose search_path begins with a schema of somebody else's."""
    few(clean_db, "2020-01-05")
    clean_db.execute(_HOSTILE)
    yield clean_db
    clean_db.execute("reset search_path; drop schema hostile cascade")


@pytest.mark.parametrize("call", _PROCEDURES)
def test_nothing_of_the_session_is_called(hostile: Db, call: str) -> None:
    hostile.execute(f"call {call}")  # type: ignore[arg-type]
    assert hostile.execute("show search_path").fetchall() == [("hostile, pg_catalog",)]


def test_the_hostile_schema_is_noticed(hostile: Db) -> None:
    with pytest.raises(psycopg.Error, match="search_path of the session"):
        hostile.execute("do $$ declare v bigint := 1; begin perform v > 0; end $$")
