"""Rolling back takes away what migrations made, says so before, and stops where it cannot."""

from __future__ import annotations

import psycopg
import pytest

from bcp_analytics import migrate as runner
from bcp_analytics.errors import MigrationError
from tests.catalog import snapshot
from tests.migration.conftest import Project, value


def test_the_last_migration_goes_with_all_code_and_comes_back(project: Project, scratch: str) -> None:
    project.code(
        "30_more.sql",
        """
        create or replace view bcp.doubled as select 2 * bcp.count_things() as twice;
        create or replace function bcp.of_row(p_row bcp.things) returns integer language sql return p_row.id;
        create or replace function bcp.fire() returns trigger language plpgsql as $$ begin return new; end $$;
        create or replace trigger fire before insert on bcp.things for each row execute function bcp.fire();
        """,
    )
    project.migrate(scratch)
    with psycopg.connect(scratch) as conn:
        before = snapshot(conn)
        conn.execute("insert into bcp.things select generate_series(1, 12)")
    plan = runner.rollback_plan(scratch, migrations=project.migrations)
    assert (plan.migrations, plan.lost) == (("0002_create_table",), ("table bcp.things: 12 rows",))
    assert value(scratch, "select bcp.count_things()") == 12
    said: list[str] = []
    assert project.rollback(scratch, progress=said.append) == plan
    assert said == ["dropping the code of sql/", "rolling back migration 0002_create_table"]
    status = project.status(scratch)
    assert ([m.id for m in status.applied], status.sql_current) == (["0001_create_schema"], False)
    assert project.migrate(scratch).applied == ("0002_create_table",)
    with psycopg.connect(scratch) as conn:
        assert snapshot(conn) == before


def test_a_column_that_goes_is_lost_too(project: Project, scratch: str) -> None:
    project.migration(
        "0003_more",
        "alter table bcp.things add column note text, add column spare text;",
        "alter table bcp.things\n    drop column spare,\n    drop column if exists note;\n"
        "alter table bcp.things drop column if exists nothing;\n",
    )
    project.migrate(scratch)
    with psycopg.connect(scratch) as conn:
        conn.execute(
            "insert into bcp.things (id, note)"
            " select n, case n % 2 when 0 then 'kept' end from generate_series(2, 5) as n"
        )
    plan = runner.rollback_plan(scratch, migrations=project.migrations)
    assert plan.lost == (
        "column bcp.things.spare: 0 values",
        "column bcp.things.note: 2 values",
        "column bcp.things.nothing",
    )
    assert project.rollback(scratch) == plan


def test_rolling_back_all_leaves_nothing_of_ours(project: Project, scratch: str) -> None:
    with psycopg.connect(scratch) as conn:
        before = snapshot(conn)
    project.migrate(scratch)
    plan = project.rollback(scratch, count=None)
    assert plan.migrations == ("0002_create_table", "0001_create_schema")
    assert plan.lost == ("table bcp.things: 0 rows", "schema bcp")
    with psycopg.connect(scratch) as conn:
        assert snapshot(conn) == before
    assert project.migrate(scratch).applied == ("0001_create_schema", "0002_create_table")


def test_a_migration_without_rollback_file_stops_before_anything_is_lost(
    project: Project, scratch: str
) -> None:
    (project.migrations / "0001_create_schema.rollback.sql").unlink()
    project.migrate(scratch)
    with pytest.raises(MigrationError, match=r"0001_create_schema\.rollback\.sql is missing"):
        project.rollback(scratch, count=None)
    assert value(scratch, "select bcp.answer()") == 42
    assert project.status(scratch).current


def test_a_rollback_that_fails_names_the_line_and_keeps_its_migration(project: Project, scratch: str) -> None:
    project.migration(
        "0003_more", "create table bcp.more ();", "drop table bcp.more;\n\ndrop table bcp.none;\n"
    )
    project.migrate(scratch)
    with pytest.raises(MigrationError, match=r'^migrations/0003_more\.rollback\.sql:3: 42P01 table "none"'):
        project.rollback(scratch)
    assert value(scratch, "select to_regclass('bcp.more') is not null")
    assert project.status(scratch).applied[-1].id == "0003_more"


def test_nothing_applied_means_nothing_to_roll_back(project: Project, scratch: str) -> None:
    assert project.rollback(scratch, count=None).migrations == ()
    assert value(scratch, "select to_regnamespace('bcp_migrations') is null")


def test_more_than_there_are_means_all(project: Project, scratch: str) -> None:
    project.migrate(scratch)
    assert len(project.rollback(scratch, count=99).migrations) == 2
