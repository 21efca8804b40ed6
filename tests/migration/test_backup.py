"""The commands of docs/how-to/backup.md bring a store back, on a server that knows none of its roles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.migrate import migrate, status
from bcp_analytics.queries._questions import QUESTIONS
from tests import catalog
from tests.embedded.conftest import until
from tests.security.roles import logged_in_as
from tests.targets import NativeCluster, pg_config
from tools import questions_doc

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "backup.md").read_text(encoding="utf-8")
DUMP, RESTORE, ARCHIVING, BASE, RECOVERY = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
KEYS = "select * from bcp_internal.anonymization_keys"


@contextmanager
def cluster() -> Iterator[NativeCluster]:
    made = NativeCluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def shell(commands: str, server: NativeCluster, folder: Path) -> None:
    path = [str(pg_config("--bindir")), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["sh", "-e"],
        input=commands,
        cwd=folder,
        env=os.environ
        | {"PATH": os.pathsep.join(path), "PGHOST": str(server.folder), "PGUSER": "postgres"}
        | {"PGPORT": str(server.executor.port), "PGDATA": server.executor.datadir},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def answers(conn: psycopg.Connection[Any]) -> dict[str, str]:
    with conn.transaction(force_rollback=True):
        conn.execute("select set_config('bcp.now', %s, true)", [questions_doc.NOW.isoformat()])
        return {
            query: questions_doc._answer(conn, query)
            for name in QUESTIONS
            for query in questions_doc.EXAMPLES.get(name, f"select * from bcp.{name}() limit 3").split(";\n")
        }


@pytest.mark.native("the embedded engine has no pg_dump")
def test_a_dump_comes_back_on_a_server_without_the_roles(target: str, tmp_path: Path) -> None:  # noqa: ARG001
    if not (pg_config("--bindir") / "pg_restore").exists():
        pytest.skip("there is no pg_restore")
    with cluster() as old:
        with psycopg.connect(old.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database bcp")
        migrate(old.dsn("bcp"))
        with psycopg.connect(old.dsn("bcp"), autocommit=True) as conn:
            with conn.transaction():
                questions_doc.document(conn)
            conn.execute("call bcp.refresh_analytics_views()")
            conn.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
            before = answers(conn)
            assert "(no rows)" not in before.values()
            keys = conn.execute(KEYS).fetchall()
            made_of = catalog.snapshot(conn)
        shell(DUMP, old, tmp_path)
    with cluster() as new:
        shell(RESTORE, new, tmp_path)
        assert status(new.dsn("bcp")).current
        assert not migrate(new.dsn("bcp")).changed
        with psycopg.connect(new.dsn("bcp"), autocommit=True) as conn:
            assert catalog.snapshot(conn) == made_of
            assert answers(conn) == before
            assert conn.execute(KEYS).fetchall() == keys
            with logged_in_as(conn, "bcp_reader"):
                asked = conn.execute(
                    "select sum(call_count) from bcp.tool_usage_stats('2026-06-01', '2026-06-16')"
                )
                assert asked.fetchone() != (None,)
            jobs = conn.execute("select count(*) from bcp_internal.jobs()").fetchone()
            assert jobs == (44,)


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """Return a folder that the server's own user may use too, which pytest's is not."""
    folder = Path(tempfile.mkdtemp(prefix="bcp-backup-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def own(folder: Path, like: Path) -> None:
    """Give a copy of a server's data to the user it runs as."""
    if os.geteuid() == 0:
        owner = like.stat()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@pytest.mark.native("the embedded engine has no pg_basebackup")
def test_a_base_backup_and_the_log_bring_back_what_came_after_it(target: str, everybodys: Path) -> None:  # noqa: ARG001
    if not (pg_config("--bindir") / "pg_basebackup").exists():
        pytest.skip("there is no pg_basebackup")
    calls = "select count(*) from bcp.tool_usage_logs"
    with cluster() as old:
        shell("umask 0\n" + ARCHIVING, old, everybodys)
        old.executor.stop()
        old.start()
        with psycopg.connect(old.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database bcp")
        migrate(old.dsn("bcp"))
        with psycopg.connect(old.dsn("bcp"), autocommit=True) as conn:
            with conn.transaction():
                questions_doc.document(conn)
            shell(BASE, old, everybodys)
            # In both the columnstore and rows, after the copy was made.
            conn.execute("call bcp.refresh_analytics_views()")
            conn.execute("select compress_chunk(c) from show_chunks('bcp.tool_usage_logs') c")
            conn.execute("select bcp.log_tool_usage('late', 'call')")
            asked, stored = answers(conn), conn.execute(calls).fetchone()
            [(last,)] = conn.execute("select pg_walfile_name(pg_current_wal_insert_lsn())").fetchall()
            conn.execute("select pg_switch_wal()")
            archived = "select last_archived_wal >= %s from pg_stat_archiver"
            until(lambda: conn.execute(archived, [last]).fetchone() == (True,))
    with cluster() as new:
        new.executor.stop()
        data = Path(new.executor.datadir)
        shutil.rmtree(data)
        data.mkdir(0o700)
        shell(RECOVERY, new, everybodys)
        own(data, new.folder)
        new.start()
        with psycopg.connect(new.dsn("bcp"), autocommit=True) as conn:
            # It answers already while it replays.
            until(lambda: conn.execute("select pg_is_in_recovery()").fetchone() == (False,))
            assert conn.execute(calls).fetchone() == stored
            assert answers(conn) == asked
            assert status(new.dsn("bcp")).current
