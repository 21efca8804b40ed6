"""The package's own migrations and code: installed, upgraded, rolled back and packed."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest

from bcp_analytics import errors
from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics.errors import MigrationError
from bcp_analytics.migrate import _frozen, migrate, rollback, status
from tests.catalog import snapshot
from tools.freeze import freeze

ROOT = Path(__file__).parents[2]
FIND = """\
import sys
sys.path.insert(0, sys.argv[1])
from bcp_analytics._core import resources
from bcp_analytics.cli._app import app
print(resources.migrations_folder(), resources.sql_folder(), flush=True)
app(["compose", "made"])
"""


def _snapshot(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as conn:
        return snapshot(conn)


def test_install_upgrade_reload_and_rollback_make_the_same_database(blank_db: str, tmp_path: Path) -> None:
    """An upgrade from each migration on makes what a fresh install makes.

    On one database, because on the embedded target each more costs a start.
    """
    migrate(blank_db)
    fresh = _snapshot(blank_db)
    assert status(blank_db).current
    ids = [m.id for m in status(blank_db).applied]
    with psycopg.connect(blank_db) as conn:
        conn.execute("update bcp_migrations.loaded_sql set digest = 'another'")
    assert migrate(blank_db).sql_applied
    assert _snapshot(blank_db) == fresh, "loading sql/ again changed something"
    rollback(blank_db, count=None)
    assert [line for line in _snapshot(blank_db) if "bcp" in line and not line.startswith("role |")] == []
    no_code = tmp_path / "sql"
    no_code.mkdir()
    for number in range(1, len(ids) + 1):
        part = tmp_path / f"migrations-{number}"
        part.mkdir()
        for i in ids[:number]:
            (part / f"{i}.sql").symlink_to(migrations_folder() / f"{i}.sql")
        migrate(blank_db, migrations=part, sql_files=no_code)
    assert migrate(blank_db).applied == ()
    assert _snapshot(blank_db) == fresh, "an upgrade step by step differs from a fresh install"
    rollback(blank_db, count=len(ids) - 1)
    migrate(blank_db)
    assert _snapshot(blank_db) == fresh, "migrating after a rollback differs from a fresh install"


def test_every_migration_can_be_rolled_back() -> None:
    files = {path.name for path in migrations_folder().glob("*.sql")}
    ups = {name for name in files if not name.endswith(".rollback.sql")}
    assert ups
    assert {name.replace(".sql", ".rollback.sql") for name in ups} == files - ups


def test_released_migrations_are_what_they_were() -> None:
    """Where this fails, undo the edit and write a new migration."""
    _frozen.check_frozen(migrations_folder())


def test_a_frozen_migration_cannot_be_edited_or_lost(tmp_path: Path) -> None:
    up = tmp_path / "0001_create.sql"
    up.write_text("select 1;")
    assert freeze(tmp_path) == ("0001_create.sql",)
    assert freeze(tmp_path) == ()
    (tmp_path / "0002_more.sql").write_text("select 2;")
    assert freeze(tmp_path) == ("0002_more.sql",)
    _frozen.check_frozen(tmp_path)
    up.write_text("select 3;")
    with pytest.raises(MigrationError, match=r"0001_create\.sql is not what it was"):
        migrate("host=/nowhere", migrations=tmp_path)
    with pytest.raises(MigrationError, match="is not what it was"):
        freeze(tmp_path)
    up.unlink()
    with pytest.raises(MigrationError, match=r"0001_create\.sql is missing"):
        _frozen.check_frozen(tmp_path)


def test_the_wheel_has_migrations_code_and_the_compose_file_and_finds_them(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    for folder in (migrations_folder(), sql_folder()):
        names = {path.name for path in folder.iterdir()}
        assert {name.removeprefix(f"bcp_analytics/{folder.name}/") for name in packed} >= names
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            FIND,
            str(tmp_path / "unpacked"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    inside = tmp_path.resolve() / "unpacked" / "bcp_analytics"
    assert found.stdout.split()[:2] == [str(inside / "migrations"), str(inside / "sql")]
    made = tmp_path / "made"
    for path in [ROOT / "docker-compose.yml", *(ROOT / "grafana").rglob("*.*")]:
        assert (made / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_every_sqlstate_of_ours_is_in_the_one_list() -> None:
    texts = [
        path.read_text() for folder in (migrations_folder(), sql_folder()) for path in folder.glob("*.sql")
    ]
    raised = {code for text in texts for code in re.findall(r"\bZB\d{3}\b", text)}
    assert raised
    assert raised <= errors.BY_SQLSTATE.keys()
    assert {code: kind.sqlstate for code, kind in errors.BY_SQLSTATE.items()} == {
        c: c for c in errors.BY_SQLSTATE
    }
    assert all(
        f"| {code} | `{kind.__name__}` |" in (errors.__doc__ or "")
        for code, kind in errors.BY_SQLSTATE.items()
    )
