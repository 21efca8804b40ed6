"""What each role may at worst, as SECURITY.md has it: nobody, writer, reader, admin, owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from bcp_analytics import erase_user, health, ingest_errors, ingest_tool_usage, report_collector
from bcp_analytics.archive import archive, archives, restore
from bcp_analytics.migrate import migrate
from tests.archive.rows import count, few, time
from tests.security.roles import acting_as, refused
from tests.sql.events import ingest, open_alert, usage
from tools.privileges import rights

if TYPE_CHECKING:
    Db = psycopg.Connection[Any]

MATRIX = Path(__file__).with_name("privileges.txt")
# In two parts, since pg_stat_activity shows a statement to whoever sent it.
MARK = ("zqx", "7mark")
_READABLE = """
select c.oid::regclass::text
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'p')
  and has_schema_privilege(n.oid, 'usage')
  and (has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))
order by 1
"""


def marked(conn: Db) -> list[str]:
    """Return the relations, of all schemas, in which the role at hand can see what was stored."""
    found = []
    for (name,) in conn.execute(_READABLE).fetchall():
        try:
            with conn.transaction():
                seen = conn.execute(
                    f"select exists (select from {name} t where strpos(t::text, %s || %s) > 0)",  # type: ignore[arg-type]
                    MARK,
                ).fetchall()
        except psycopg.Error:
            continue  # Functions in it are not for everybody.
        if seen[0][0]:
            found.append(name)
    return found


def test_the_matrix_is_exact(db: Db) -> None:
    assert "\n".join(rights(db)) == MATRIX.read_text().strip(), "see tools/privileges.py"


def test_nobody_and_a_writer_see_nothing_of_what_is_stored(clean_db: Db) -> None:
    mark = "".join(MARK)
    ingest(
        clean_db,
        [
            usage(bcp_name=mark, tool_name=mark, user_id=mark, session_id=mark, error_message=mark,
                  parameters={"a": mark}, start_time="2020-01-05T10:00:00Z", success=n > 1)
            for n in range(3)
        ],
    )  # fmt: skip
    ingest(clean_db, [{"level": "error", "message": mark}], "errors")
    report_collector(clean_db, mark, "00000000-0000-4000-8000-000000000001")
    ingest_tool_usage(clean_db, [{"bcp_name": mark}], source=mark)
    open_alert(clean_db)
    clean_db.execute("call bcp.run_cleanup()")
    clean_db.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
    clean_db.execute("analyze")
    assert {"bcp.tool_usage_logs", "bcp.rejected_events", "pg_stats"} <= set(marked(clean_db))
    for role in (None, "bcp_writer"):
        with acting_as(clean_db, role):
            assert marked(clean_db) == [], role


def test_nobody_changes_what_timescaledb_keeps(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    [(table, chunk)] = clean_db.execute(
        "select 'bcp.tool_usage_logs'::regclass::oid, c::oid from show_chunks('bcp.tool_usage_logs') c"
    ).fetchall()
    [(job,)] = clean_db.execute(
        "select job_id from timescaledb_information.jobs where proc_name = 'cleanup_job'"
    ).fetchall()
    for role in (None, "bcp_writer", "bcp_reader", "bcp_admin"):
        with acting_as(clean_db, role):
            for query in (
                f"select drop_chunks({table}::regclass, older_than => now())",
                f"select compress_chunk({chunk}::regclass)",
                f"select add_retention_policy({table}::regclass, interval '1 day')",
                f"select set_chunk_time_interval({table}::regclass, interval '1 day')",
                f"select alter_job({job}, scheduled => false)",
                f"select delete_job({job})",
                f"call run_job({job})",
                "select * from bcp_internal.anonymization_keys",
                "create function public.f() returns integer language sql as 'select 1'",
                "create schema mine",
                "copy (select 1) to program 'true'",
                "select pg_read_file('/etc/hostname')",
            ):
                assert refused(clean_db, query), (role, query)
    assert count(clean_db) == 3


@pytest.mark.native("it needs roles that log in")
def test_an_owner_without_superuser_is_enough(blank_db: str, tmp_path: Path) -> None:
    with psycopg.connect(blank_db, autocommit=True) as conn:
        database = sql.Identifier(conn.info.dbname)
        conn.execute("create extension if not exists timescaledb")
        conn.execute("create role bcp_test_owner login createrole; create role bcp_test_admin login")
        conn.execute(sql.SQL("grant create on database {} to bcp_test_owner").format(database))
        if conn.info.server_version >= 160000:
            conn.execute("grant bcp_reader, bcp_writer, bcp_admin to bcp_test_owner with admin option")
        conn.execute("grant bcp_admin to bcp_test_admin")
        try:
            _live(
                psycopg.conninfo.make_conninfo(blank_db, user="bcp_test_owner"),
                psycopg.conninfo.make_conninfo(blank_db, user="bcp_test_admin"),
                tmp_path,
            )
        finally:
            conn.execute(
                "select delete_job(job_id) from timescaledb_information.jobs"
                " where owner = 'bcp_test_owner'::regrole"
            )
            conn.execute("drop owned by bcp_test_owner, bcp_test_admin cascade")
            conn.execute("drop role bcp_test_owner, bcp_test_admin")


def _live(owners: str, admins: str, folder: Path) -> None:
    """Have the owner migrate, the administrator send, archive and restore, and the owner erase."""
    migrate(owners)
    day = (time("2020-01-05"), time("2020-01-06"))
    with (
        psycopg.connect(owners, autocommit=True) as owner,
        psycopg.connect(admins, autocommit=True) as admin,
    ):
        assert rights(owner) == MATRIX.read_text().splitlines()
        assert not [
            row.detail for row in health(owner) if row.check_name == "schema public" and row.value != "0"
        ]
        for user in ("ada", "bob"):
            event = {"bcp_name": "b", "tool_name": "t", "user_id": user, "start_time": day[0].isoformat()}
            assert ingest_tool_usage(admin, [event]).stored == 1
        owner.execute("call bcp.run_cleanup()")
        [made] = archive(admin, folder)
        admin.execute("select * from bcp.cleanup_old_data()")
        assert count(admin) == 0
        assert [one.archive_id for one in restore(admin, "tool_usage_logs", *day)] == [made.archive_id]
        assert count(admin) == 2
        with pytest.raises(InsufficientPrivilege):
            admin.execute("call bcp.erase_user('ada')")
        # Words of the errors that the planner knows of a chunk whose rows are in the columnstore.
        for user in ("ada", "bob"):
            error = {"level": "error", "message": f"{user} is gone", "user_id": user}
            ingest_errors(admin, [error] * 9)
        owner.execute("analyze")
        owner.execute("select public.compress_chunk(c) from public.show_chunks('bcp.error_logs') c")
        words = "select count(*) from bcp_internal.kept_statistics() where is_of_index and held like '%ada%'"
        assert owner.execute(words).fetchall() == [(1,)]
        erase_user(owner, "ada")
        assert owner.execute(words).fetchall() == [(0,)]
        assert owner.execute("select unreached from bcp.erasures").fetchall() == [([],)]
        archive(owner, folder)
        assert [(one.state, one.row_count) for one in archives(owner)] == [("restored", 1)]
        for query in (
            "copy (select 1) to program 'true'",
            "select pg_read_file('/etc/hostname')",
            "alter role bcp_test_owner superuser",
            "create function f() returns integer language c as 'x'",
        ):
            assert refused(owner, query), query
