"""A store that a release made is upgraded with its data, and programs of the release go on with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

pytest.importorskip("mcp")
pytest.importorskip("pyarrow")

from bcp_analytics import __version__, archive
from bcp_analytics import migrate as runner
from bcp_analytics._core.resources import migrations_folder
from bcp_analytics.migrate._frozen import frozen
from tests.migration import program

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.tar.xz"))
# Calls that failed, were masked, or made sessions and issues are in one of these.
TABLES = (
    "tool_usage_logs",
    "error_logs",
    "performance_metrics",
    "user_sessions",
    "error_issues",
    "rejected_events",
)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Unpack a release, and return the folder that its package is in, which has the version's name."""
    folder = tmp_path / str(request.param.name).removesuffix(".tar.xz")
    with tarfile.open(request.param) as packed:
        # Python before 3.11.4 has no filters.
        packed.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # noqa: S202 - our own
    return folder


def newer_migrations(folder: Path) -> Path:
    """Return this version's migrations and one more, which no release knows."""
    shutil.copytree(migrations_folder(), folder)
    (folder / "9000_newer.sql").write_text("create table bcp_internal.newer ();")
    return folder


def run(step: str, release: Path, dsn: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", program.__file__, step, dsn, str(folder)],
        # Its lines are not this version's to cover.
        env={n: v for n, v in os.environ.items() if not n.startswith("COVERAGE")}
        | {"PYTHONPATH": str(release)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def rows(conn: psycopg.Connection[Any], table: str, where: str = "true") -> int:
    query = sql.SQL("select count(*) from bcp.{} as t where " + where).format(sql.Identifier(table))
    [(found,)] = conn.execute(query).fetchall()
    return int(found)


def check_stored(conn: psycopg.Connection[Any], times: int) -> None:
    """Check that each of so many `program.log` is there once, in the books too, and its secrets are not."""
    # This version's middleware also says what the tools of a list are, once a day.
    defined = rows(conn, "tool_usage_logs", "tool_name = 'tools/definition'")
    for table, each in program.STORED.items():
        assert rows(conn, table) - defined * (table == "tool_usage_logs") == times * each, table
    for table in TABLES:
        assert rows(conn, table, f"t::text like '%{program.SECRET}%'") == 0, table
    assert rows(conn, "tool_usage_logs", "parameters::text like '%[REDACTED]%'") > 0
    booked = "sum(stored) from bcp.ingest_batches where kind in ('tool_usage', 'errors', 'metrics')"
    # One call more was dropped when an archive had it.
    assert conn.execute("select " + booked).fetchall() == [
        (times * sum(program.STORED.values()) + 1 + defined,)
    ]
    assert rows(conn, "rejected_events") == times
    assert program.checks(conn)["ledger"] == "ok"


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the questions with another answer; a newer version may answer in more fields."""
    fields = {name: answer[0].keys() for name, answer in before.items()}
    left = {name: [{f: row[f] for f in fields[name]} for row in after[name]] for name in before}
    return [name for name in before if left[name] != before[name]]


def test_a_release_has_the_migrations_that_are_frozen(release: Path) -> None:
    released = frozen(release / "bcp_analytics" / "migrations")
    assert released
    assert released.items() <= frozen(migrations_folder()).items()


def test_a_store_of_a_release_is_upgraded_and_both_versions_go_on(
    blank_db: str, release: Path, tmp_path: Path
) -> None:
    clock = (datetime.now(UTC) + timedelta(minutes=10)).replace(microsecond=0)
    dsn = make_conninfo(blank_db, options=f"-c bcp.now={clock.isoformat()}")
    before = run("begin", release, dsn, tmp_path)
    assert [name for name, found in before["answers"].items() if not found] == []

    runner.migrate(dsn, migrations=newer_migrations(tmp_path / "migrations"))

    assert changed(before["answers"], run("ask", release, dsn, tmp_path)["answers"]) == []
    with program.connect(dsn) as conn:
        assert changed(before["answers"], program.ask(conn, list(before["answers"]))) == []
        assert before["checks"].items() <= program.checks(conn).items()
        check_stored(conn, 1)
    with ThreadPoolExecutor(1) as thread:
        released = thread.submit(run, "go_on", release, dsn, tmp_path)
        program.log(dsn, "c", tmp_path)
        said = released.result()
    own = {path.name for path in release.rglob("migrations/*.sql")}
    newer = sorted(
        path.stem
        for path in (tmp_path / "migrations").glob("*.sql")
        if path.name not in own and not path.stem.endswith(".rollback")
    )
    assert (said["version"], said["unknown"]) == (release.name, newer)
    assert said["refused"][0] == (
        f"bcp_analytics {said['version']} does not know migrations of this database: {', '.join(newer)}.\n"
        f"Install {__version__}, or a later one."
    )
    assert "does not know the migration 9000_newer" in said["refused"][1]
    with program.connect(dsn) as conn:
        check_stored(conn, 3)
        [made] = archive.restore(conn, "tool_usage_logs", clock - 2 * program.OLD, clock - program.OLD / 2)
        assert made.row_count == 1
        assert rows(conn, "tool_usage_logs", "tool_name = 'old'") == 1
