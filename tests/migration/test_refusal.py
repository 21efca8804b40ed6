"""A server that cannot hold the store is refused in one sentence, and nothing on it is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics.errors import UnsupportedServer
from bcp_analytics.migrate import _preflight, migrate
from tests.catalog import snapshot
from tests.migration.conftest import Project, value
from tests.targets import NativeCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_servers = pytest.mark.native("it needs servers with other settings, roles or databases")
FITTING = {
    "server": 170005,
    "server_version": "17.5",
    "database": "store",
    "role": "ann",
    "standby": False,
    "encoding": "UTF8",
    "loaded": True,
    "available": "2.28.4",
    "installed": None,
    "schema": None,
    "trusted": True,
    "may_create": True,
    "superuser": False,
    "may_create_roles": True,
    "missing_roles": ["bcp_reader", "bcp_writer", "bcp_admin"],
    "may_grant_roles": None,
    "foreign_schema": None,
    "occupied_schema": None,
    "overload": None,
    "creators": None,
}


def _check(**facts: Any) -> None:
    merged = FITTING | facts
    _preflight._check_server(merged)
    _preflight._check_timescaledb(merged)
    _preflight._check_privileges(merged)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"server": 140011, "server_version": "14.11"}, "PostgreSQL 14.11, which is too old"),
        ({"standby": True}, "connect to the primary"),
        ({"encoding": "SQL_ASCII"}, "encoding 'UTF8'"),
        ({"available": None}, "has no TimescaleDB: install TimescaleDB Community 2.28 or later"),
        ({"loaded": False}, "add timescaledb to shared_preload_libraries"),
        ({"available": "2.22.1"}, "TimescaleDB 2.22.1 is too old"),
        ({"installed": "2.19.3", "schema": "public"}, "alter extension timescaledb update"),
        ({"installed": "2.19.3", "available": "2.22.0"}, "TimescaleDB 2.19.3 is too old"),
        ({"installed": "2.28.4", "schema": "extensions"}, "in schema extensions"),
        (
            {"foreign_schema": "bcp, which belongs to bob"},
            "has a schema bcp, which belongs to bob: migrate as",
        ),
        ({"foreign_schema": "bcp, which belongs to bob", "superuser": True}, "migrate as that role"),
        ({"occupied_schema": "bcp"}, "has a schema bcp that bcp_analytics did not make: rename"),
        ({"overload": "drop_chunks(text)", "superuser": True}, "drop routine drop_chunks(text)"),
        ({"creators": "public, app"}, "run revoke create on schema public from public, app"),
        ({"may_create": False}, "grant create on database store to ann"),
        ({"trusted": False}, "have a superuser run create extension timescaledb"),
        ({"may_create_roles": False}, "alter role ann createrole"),
        (
            {"missing_roles": None, "may_grant_roles": False},
            "grant bcp_reader, bcp_writer to ann with admin option",
        ),
    ],
)
def test_what_a_server_lacks_is_said_in_one_sentence(facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnsupportedServer) as caught:
        _check(**facts)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.sqlstate == "ZB004"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"available": "2.23.0-dev"},
        {"installed": "2.23.0-dev", "schema": "public", "available": None},
        {"server": 150000},
        {"server": 180001},
        {"may_create_roles": False, "missing_roles": None, "may_grant_roles": True},
        {"server": 150000, "missing_roles": None, "may_grant_roles": False},
        {"superuser": True, "may_create": False, "may_create_roles": False},
    ],
)
def test_what_will_do_is_let_through(facts: dict[str, Any]) -> None:
    _check(**facts)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"installed": "2.23.0"}, "TimescaleDB 2.23.0 is older than the 2.28 tested with"),
        ({"available": "2.27.3"}, "install TimescaleDB 2.28.4 or later"),
        ({"installed": "2.23.0-dev"}, None),
        ({"installed": "2.28.0"}, None),
        ({"server": 190001, "server_version": "19.1"}, "PostgreSQL 19.1 is newer"),
    ],
)
def test_versions_that_nobody_tested_are_warned_about(facts: dict[str, Any], sentence: str | None) -> None:
    found = list(_preflight._warnings(FITTING | facts))
    assert len(found) == (sentence is not None)
    assert all(str(sentence) in warning for warning in found)


@pytest.fixture
def changes_nothing(project: Project) -> Any:
    """Hold a connection string to being refused for a reason, without a trace."""

    def check(admin: str, conninfo: str, reason: str) -> None:
        with psycopg.connect(admin) as conn:
            before = snapshot(conn) if _has_timescaledb(conn) else _namespaces(conn)
        with pytest.raises(UnsupportedServer, match=reason) as caught:
            project.migrate(conninfo)
        assert len(caught.value.message.splitlines()) == 1
        with psycopg.connect(admin) as conn:
            assert before == (snapshot(conn) if _has_timescaledb(conn) else _namespaces(conn))

    return check


def _has_timescaledb(conn: psycopg.Connection[Any]) -> bool:
    return conn.execute("select from pg_extension where extname = 'timescaledb'").fetchone() is not None


def _namespaces(conn: psycopg.Connection[Any]) -> list[Any]:
    return conn.execute(
        "select nspname from pg_namespace union all select extname from pg_extension"
        " union all select rolname from pg_roles order by 1"
    ).fetchall()


@pytest.fixture(params=["apache", "plain"])
def wrong_cluster(request: pytest.FixtureRequest, target: str) -> Iterator[tuple[str, NativeCluster]]:  # noqa: ARG001
    other = {
        "apache": {"timescaledb.license": "apache"},
        "plain": {"shared_preload_libraries": "auto_explain"},
    }
    cluster = NativeCluster(**other[request.param])
    try:
        cluster.start()
        yield request.param, cluster
    finally:
        cluster.stop()


@needs_servers
def test_the_apache_edition_and_a_server_without_the_library_are_refused(
    wrong_cluster: tuple[str, NativeCluster], changes_nothing: Any
) -> None:
    kind, cluster = wrong_cluster
    dsn = cluster.dsn("postgres")
    reason = {"apache": "is the Apache edition", "plain": "add timescaledb to shared_preload_libraries"}[kind]
    changes_nothing(dsn, dsn, reason)
    if kind == "apache":
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("create extension timescaledb")
        changes_nothing(dsn, dsn, reason)


def test_a_schema_of_that_name_with_something_in_it_is_left_alone(scratch: str, changes_nothing: Any) -> None:
    with psycopg.connect(scratch) as conn:
        conn.execute("create schema bcp; create table bcp.mine (id integer);")
    changes_nothing(scratch, scratch, "a schema bcp that bcp_analytics did not make")


@needs_servers
def test_a_database_in_another_encoding_is_refused(blank_db: str, changes_nothing: Any) -> None:
    with psycopg.connect(blank_db, autocommit=True) as conn:
        conn.execute("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'")
    try:
        dsn = psycopg.conninfo.make_conninfo(blank_db, dbname="ascii")
        changes_nothing(dsn, dsn, "is in SQL_ASCII")
    finally:
        with psycopg.connect(blank_db, autocommit=True) as conn:
            conn.execute("drop database ascii")


@needs_servers
def test_a_role_without_privileges_is_refused_until_it_has_them(blank_db: str, changes_nothing: Any) -> None:
    conninfo = psycopg.conninfo.make_conninfo(blank_db, user="bcp_test_installer")
    with psycopg.connect(blank_db, autocommit=True) as conn:
        conn.execute("create role bcp_test_installer login")
        try:
            changes_nothing(blank_db, conninfo, "grant create on database")
            conn.execute(f"grant create on database {conn.info.dbname} to bcp_test_installer")
            if conn.info.server_version >= 160000:
                changes_nothing(blank_db, conninfo, "with admin option")
                conn.execute(
                    "grant bcp_reader, bcp_writer, bcp_admin to bcp_test_installer with admin option"
                )
            else:
                changes_nothing(blank_db, conninfo, "with admin option")
                conn.execute("alter role bcp_test_installer createrole")
            migrate(conninfo)
            assert value(
                blank_db, "select nspowner::regrole::text from pg_namespace where nspname = 'bcp'"
            ) == ("bcp_test_installer")
            conn.execute("create role bcp_test_other login createrole")
            conn.execute(f"grant create on database {conn.info.dbname} to bcp_test_other")
            other = psycopg.conninfo.make_conninfo(blank_db, user="bcp_test_other")
            changes_nothing(blank_db, other, "which belongs to bcp_test_installer: migrate as that role")
            changes_nothing(blank_db, blank_db, "which belongs to bcp_test_installer: migrate as that role")
        finally:
            conn.execute("drop owned by bcp_test_installer cascade")
            conn.execute("drop role bcp_test_installer")
            if conn.execute("select from pg_roles where rolname = 'bcp_test_other'").fetchone() is not None:
                conn.execute("drop owned by bcp_test_other cascade")
                conn.execute("drop role bcp_test_other")
