"""What a run does: everything once, code again where it changed, nothing where nothing did."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bcp_analytics import __version__
from bcp_analytics.errors import BcpAnalyticsError, MigrationError
from bcp_analytics.migrate import MigrationResult
from tests.migration.conftest import Project, value

BOTH = ("0001_create_schema", "0002_create_table")


def test_a_fresh_database_gets_all_migrations_then_all_code(project: Project, scratch: str) -> None:
    said: list[str] = []
    result = project.migrate(scratch, progress=said.append)
    assert (result.applied, result.sql_applied, result.changed) == (BOTH, True, True)
    assert value(scratch, "select bcp.count_things() + bcp.answer()") == 42
    assert said == [
        "applying migration 0001_create_schema",
        "applying migration 0002_create_table",
        "loading the 2 files of sql/",
    ]


def test_a_second_run_changes_nothing(project: Project, scratch: str) -> None:
    project.migrate(scratch)
    before = value(scratch, "select (xmin, loaded_at)::text from bcp_migrations.loaded_sql")
    said: list[str] = []
    assert not project.migrate(scratch, progress=said.append).changed
    assert said == []
    assert value(scratch, "select (xmin, loaded_at)::text from bcp_migrations.loaded_sql") == before


def test_an_edited_function_is_loaded_again(project: Project, scratch: str) -> None:
    project.migrate(scratch)
    path = project.sql / "20_answer.sql"
    path.write_text(path.read_text().replace("42", "43"))
    assert not project.status(scratch).sql_current
    with psycopg.connect(scratch) as conn:
        conn.execute("update bcp_migrations.loaded_sql set package_version = '9.1'")
    said: list[str] = []
    result = project.migrate(scratch, progress=said.append)
    assert (result.applied, result.sql_applied) == ((), True)
    assert said == ["loading the 2 files of sql/ in place of those of version 9.1"]
    assert value(scratch, "select bcp.answer()") == 43
    assert project.status(scratch).sql_loaded_by == __version__


def test_code_that_a_migration_dropped_is_loaded_again(project: Project, scratch: str) -> None:
    project.migrate(scratch)
    project.migration("0003_drop_answer", "drop function bcp.answer();")
    assert project.migrate(scratch).applied == ("0003_drop_answer",)
    assert value(scratch, "select bcp.answer()") == 42


def test_a_migration_sees_only_names_it_spells_out(project: Project, scratch: str) -> None:
    project.migration("0003_use_path", "select * from things;")
    with pytest.raises(MigrationError, match=r'0003_use_path\.sql:1: 42P01 relation "things"'):
        project.migrate(psycopg.conninfo.make_conninfo(scratch, options="-csearch_path=bcp"))


def test_what_a_migration_selects_is_not_printed(
    project: Project, scratch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.migration("0003_select", "select 'printed';")
    project.migrate(scratch)
    assert capsys.readouterr().out == ""


def test_a_migration_without_transaction_runs_and_counts(project: Project, scratch: str) -> None:
    project.migration(
        "0003_no_transaction",
        "-- transactional: false\nvacuum bcp.things;\n",
        "-- nothing to take back\nselect 1;",
    )
    assert project.migrate(scratch).applied[-1] == "0003_no_transaction"
    assert not project.migrate(scratch).changed
    assert project.rollback(scratch).migrations == ("0003_no_transaction",)


def test_a_database_that_a_newer_version_migrated_is_left_alone(project: Project, scratch: str) -> None:
    project.migration("0003_newer", "create table bcp.newer ();")
    project.migrate(scratch)
    (project.migrations / "0003_newer.sql").unlink()
    project.code("20_answer.sql", "drop function bcp.answer();")
    assert project.status(scratch).unknown == ("0003_newer",)
    with psycopg.connect(scratch) as conn:
        conn.execute("update bcp_migrations.loaded_sql set package_version = '9.1'")
    with pytest.raises(MigrationError, match=r"does not know.*0003_newer.*\n.*Install 9\.1, or a later one"):
        project.migrate(scratch)
    assert value(scratch, "select bcp.answer()") == 42


def test_status_says_what_is_there_and_changes_nothing(project: Project, scratch: str) -> None:
    before = project.status(scratch)
    assert (before.applied, before.pending, before.sql_current, before.current) == ((), BOTH, False, False)
    assert value(scratch, "select to_regnamespace('bcp_migrations') is null")
    project.migrate(scratch)
    after = project.status(scratch)
    assert [m.id for m in after.applied] == list(BOTH)
    assert after.applied[0].applied_at.tzinfo is not None
    assert (after.pending, after.unknown, after.sql_current, after.current) == ((), (), True, True)
    assert after.sql_loaded_at is not None
    assert after.timescaledb is not None


def test_two_runs_at_once_apply_everything_once(project: Project, scratch: str) -> None:
    for number in range(3, 12):
        project.migration(f"{number:04}_more", f"create table bcp.more_{number} ();")
    ready = threading.Barrier(2)

    def run(_: int) -> MigrationResult:
        ready.wait()
        return project.migrate(scratch)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, range(2)))
    ids = [m.id for m in project.status(scratch).applied]
    assert len(ids) == 11
    assert sorted(i for result in outcomes for i in result.applied) == ids
    assert sorted(result.sql_applied for result in outcomes) == [False, True]


@pytest.mark.native("the embedded database is one backend, so no lock holds a second run up")
def test_a_second_run_says_that_it_waits_and_for_whom(project: Project, scratch: str) -> None:
    waits = threading.Event()
    results: list[Any] = []
    project.migration("0003_wait", "select pg_advisory_lock(7); select pg_advisory_unlock(7);")
    with psycopg.connect(scratch, autocommit=True) as gate:
        gate.execute("select pg_advisory_lock(7)")
        first = threading.Thread(target=lambda: results.append(project.migrate(scratch)))
        first.start()
        _until(gate, "select count(*) = 1 from pg_locks where locktype = 'advisory' and not granted")
        with pytest.raises(
            MigrationError, match=r"Waited 0.1 s for another run \(server process \d+ of role \w+\)"
        ):
            project.migrate(scratch, wait_seconds=0.1)
        said: list[str] = []

        def listen(sentence: str) -> None:
            said.append(sentence)
            waits.set()

        second = threading.Thread(target=lambda: results.append(project.migrate(scratch, progress=listen)))
        second.start()
        assert waits.wait(30)
        gate.execute("select pg_advisory_unlock(7)")
        first.join()
        second.join()
    assert said[0].startswith("waiting for another run (server process")
    assert [result.applied for result in results] == [(*BOTH, "0003_wait"), ()]


def _until(conn: psycopg.Connection[Any], query: str) -> None:
    for _ in range(1000):
        if conn.execute(query).fetchone() == (True,):
            return
        conn.execute("select pg_sleep(0.02)")
    pytest.fail(f"never came true: {query}")


def test_a_lock_row_that_a_killed_run_left_behind_is_cleared(project: Project, scratch: str) -> None:
    project.migrate(scratch)
    with psycopg.connect(scratch) as conn:
        conn.execute("insert into bcp_migrations.yoyo_lock (ctime, pid) values (now(), 4711)")
    project.migration("0003_more", "create table bcp.more ();")
    assert project.migrate(scratch).applied == ("0003_more",)
    assert value(scratch, "select count(*) from bcp_migrations.yoyo_lock") == 0


@pytest.mark.parametrize(
    "form",
    [
        "{dsn}",
        "postgresql:///{dbname}?host={host}&port={port}&user={user}",
        "postgresql://{user}:{password}@/{dbname}?host={host}&port={port}",
    ],
)
def test_any_connection_string_of_libpq_will_do(project: Project, scratch: str, form: str) -> None:
    parts = {"port": "5432", "password": "p%40ss%2F%3A%25%20w"} | psycopg.conninfo.conninfo_to_dict(scratch)
    project.migrate(form.format(dsn=scratch, **parts))
    assert value(scratch, "select bcp.answer()") == 42


def test_a_service_file_will_do(
    project: Project, scratch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(scratch)
    services = tmp_path / "services"
    services.write_text("[analytics]\n" + "".join(f"{name}={part}\n" for name, part in parts.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    project.migrate("service=analytics")
    assert value(scratch, "select bcp.answer()") == 42


@pytest.mark.parametrize(
    "conninfo",
    [
        "host=/nowhere password='hunter2 hunter2",
        "host=/nowhere passwort=hunter2",
        "host=/nowhere hunter2",
        "postgresql://u:hunter2%zz@/db",
        "postgresql://u:hunter2@/db?host=/nowhere",
        "host=/nowhere password=hunter2",
    ],
)
def test_no_error_repeats_the_password(project: Project, conninfo: str) -> None:
    with pytest.raises(BcpAnalyticsError, match="cannot be re") as caught:
        project.migrate(conninfo)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "hunter2" not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)


def test_a_migration_and_its_mark_are_one_transaction(project: Project, scratch: str) -> None:
    """Else a run killed between the two leaves a migration that no later run gets past."""
    project.migrate(scratch)
    project.migration("0003_more", "create table bcp.more ();")
    with psycopg.connect(scratch) as conn:
        conn.execute("alter table bcp_migrations._yoyo_migration add check (migration_id <> '0003_more')")
    with pytest.raises(MigrationError, match="23514"):
        project.migrate(scratch)
    assert value(scratch, "select to_regclass('bcp.more') is null")
