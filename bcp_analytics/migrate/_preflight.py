"""Refuses a server that cannot hold the store, in one sentence, before anything is changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from bcp_analytics._core.connection import connect
from bcp_analytics.errors import UnsupportedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    Row = dict[str, Any]

OLDEST_POSTGRESQL, NEWEST_POSTGRESQL = 15, 18
OLDEST_TIMESCALEDB, TESTED_TIMESCALEDB = (2, 23), (2, 28)
# From PostgreSQL 16 on, CREATEROLE alone does not allow to grant a role that somebody else made.
_GRANTS_NEED_ADMIN_OPTION = 160000
_NEWER = "TimescaleDB Community 2.28 or later"

# Functions of TimescaleDB that we call: as in bcp_internal.foreign_overloads, which is not there yet.
CALLED = (
    "add_continuous_aggregate_policy", "add_job", "alter_job", "by_range", "chunks_detailed_size",
    "compress_chunk", "create_hypertable", "decompress_chunk", "delete_job", "drop_chunks", "hypertable_size",
    "refresh_continuous_aggregate", "remove_columnstore_policy", "remove_continuous_aggregate_policy",
    "set_chunk_time_interval", "show_chunks", "time_bucket",
)  # fmt: skip

# Whether TimescaleDB's loader runs is asked of a setting that only it defines: shared_preload_libraries
# itself is not for everyone to read, and the embedded engine loads it another way.
_FACTS = """
select
    current_setting('server_version_num')::integer as server,
    current_setting('server_version') as server_version,
    current_database() as database,
    current_user as role,
    pg_is_in_recovery() as standby,
    pg_encoding_to_char(d.encoding) as encoding,
    exists (select from pg_settings where name = 'timescaledb.disable_load') as loaded,
    (select default_version from pg_available_extensions where name = 'timescaledb') as available,
    (select extversion from pg_extension where extname = 'timescaledb') as installed,
    (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'timescaledb') as schema,
    (select bool_or(trusted) from pg_available_extension_versions where name = 'timescaledb') as trusted,
    has_database_privilege(d.oid, 'create') as may_create,
    r.rolsuper as superuser,
    (select string_agg(case a.grantee when 0 then 'public' else quote_ident(g.rolname) end, ', ')
     from pg_namespace n cross join aclexplode(n.nspacl) a left join pg_roles g on g.oid = a.grantee
     where n.nspname = 'public' and a.privilege_type = 'CREATE' and a.grantee not in (n.nspowner, r.oid)
       and g.rolsuper is not true) as creators,
    (select min(f.oid::regprocedure::text) from pg_proc f join pg_namespace n on n.oid = f.pronamespace
     where n.nspname = 'public' and f.proname = any(%s)
       and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid
                       and d.deptype = 'e')) as overload,
    r.rolcreaterole as may_create_roles,
    (select array_agg(w.name) from unnest(array['bcp_reader', 'bcp_writer', 'bcp_admin']) as w (name)
     where not exists (select from pg_roles where rolname = w.name)) as missing_roles,
    (select bool_and(pg_has_role(oid, 'member with admin option')) from pg_roles
     where rolname in ('bcp_reader', 'bcp_writer')) as may_grant_roles,
    (select min(n.nspname || ', which belongs to ' || n.nspowner::regrole) from pg_namespace n
     where n.nspname in ('bcp', 'bcp_internal', 'bcp_migrations')
       and case when r.rolsuper then n.nspowner <> r.oid else not pg_has_role(n.nspowner, 'usage') end)
        as foreign_schema,
    (select min(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('bcp', 'bcp_internal')
       and not exists (select from pg_namespace where nspname = 'bcp_migrations'))
        as occupied_schema
from pg_database d
join pg_roles r on r.rolname = current_user
where d.datname = current_database()
"""


def version_tuple(version: str) -> tuple[int, int]:
    """Return major and minor of a version such as '2.23.0-dev'; (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def check(conn: Connection[Any], conninfo: str) -> tuple[str, ...]:
    """Raise `UnsupportedServer` where the store cannot be made in the database, and return warnings.

    `conn` is in autocommit mode; `conninfo` is where it goes to, for a second connection that looks at the
    licence and takes back what it did for that.
    """
    with conn.cursor(row_factory=dict_row) as cur:
        facts = cur.execute(_FACTS, [list(CALLED)]).fetchone()
    if facts is None:
        raise UnsupportedServer("The server does not describe its own database: it may not be PostgreSQL.")
    _check_server(facts)
    _check_timescaledb(facts)
    _check_privileges(facts)
    _check_licence(conn, conninfo, installed=facts["installed"] is not None)
    return tuple(_warnings(facts))


def _warnings(facts: Row) -> Iterator[str]:
    if facts["server"] // 10000 > NEWEST_POSTGRESQL:
        yield f"PostgreSQL {facts['server_version']} is newer than the {NEWEST_POSTGRESQL} tested with."
    # The embedded database's own version is one of development, and passes the tests.
    timescaledb = facts["installed"] or facts["available"]
    if version_tuple(timescaledb) < TESTED_TIMESCALEDB and not timescaledb.endswith("-dev"):
        yield (
            f"TimescaleDB {timescaledb} is older than the 2.28 tested with, and 2.23.0 left rows out of "
            "answers: install TimescaleDB 2.28.4 or later, then run alter extension timescaledb update."
        )


def _check_server(facts: Row) -> None:
    if facts["server"] // 10000 < OLDEST_POSTGRESQL:
        raise UnsupportedServer(
            f"This server is PostgreSQL {facts['server_version']}, which is too old: "
            f"use PostgreSQL {OLDEST_POSTGRESQL} to {NEWEST_POSTGRESQL}."
        )
    if facts["standby"]:
        raise UnsupportedServer("This server is a standby, which takes no writes: connect to the primary.")
    if facts["encoding"] != "UTF8":
        raise UnsupportedServer(
            f"The database {facts['database']} is in {facts['encoding']}: use one that was made with "
            "create database ... encoding 'UTF8' template template0."
        )


def _check_timescaledb(facts: Row) -> None:
    installed, available = facts["installed"], facts["available"]
    if installed is None and available is None:
        raise UnsupportedServer(
            f"This PostgreSQL has no TimescaleDB: install {_NEWER} (Debian's own package "
            "is the Apache edition), or use docker-compose.yml or the embedded database."
        )
    if not facts["loaded"]:
        raise UnsupportedServer(
            "TimescaleDB is installed on this server but not loaded: add timescaledb to "
            "shared_preload_libraries in postgresql.conf and restart PostgreSQL."
        )
    if version_tuple(installed or available) < OLDEST_TIMESCALEDB:
        if installed is not None and version_tuple(available or "") >= OLDEST_TIMESCALEDB:
            raise UnsupportedServer(
                f"The database {facts['database']} has TimescaleDB {installed}, which is too old: run "
                "alter extension timescaledb update in it, as the first statement of a session."
            )
        raise UnsupportedServer(f"TimescaleDB {installed or available} is too old: install {_NEWER}.")
    if facts["schema"] not in {None, "public"}:
        raise UnsupportedServer(
            f"TimescaleDB is in schema {facts['schema']} of the database {facts['database']}: use a database "
            "where it is in schema public."
        )


def _check_licence(conn: Connection[Any], conninfo: str, *, installed: bool) -> None:
    if installed:
        licence = _licence(conn)
    else:
        # The extension's library says which edition it is, and is loaded by creating the extension.
        try:
            with connect(conninfo) as probe:
                probe.execute("create extension timescaledb schema public")
                licence = _licence(probe)
                probe.rollback()
        except psycopg.Error as error:
            raise UnsupportedServer(
                "TimescaleDB cannot be created in this database: have a superuser run "
                "create extension timescaledb in it.",
                detail=f"{error.sqlstate or 'no SQLSTATE'}: {error.diag.message_primary or error}",
            ) from error
    if licence != "timescale":
        raise UnsupportedServer(
            f"This TimescaleDB is the Apache edition (timescaledb.license is {licence}), which has no "
            f"continuous aggregates, columnstore or jobs: install {_NEWER} from Timescale's own packages "
            "(Debian's is the Apache edition), or set timescaledb.license = 'timescale' in postgresql.conf."
        )


def _licence(conn: Connection[Any]) -> str | None:
    row = conn.execute("select current_setting('timescaledb.license', true)").fetchone()
    return row[0] if row else None


def _check_privileges(facts: Row) -> None:
    role, database = facts["role"], facts["database"]
    # A superuser too: what somebody else put into such a schema would run with a superuser's rights.
    if facts["foreign_schema"] is not None:
        raise UnsupportedServer(
            f"The database {database} has a schema {facts['foreign_schema']}: migrate as that role, or use "
            "another database."
        )
    if facts["occupied_schema"] is not None:
        raise UnsupportedServer(
            f"The database {database} has a schema {facts['occupied_schema']} that bcp_analytics did not "
            "make: rename that schema, or use another database."
        )
    if facts["overload"] is not None:
        raise UnsupportedServer(
            f"The function {facts['overload']} is not TimescaleDB's and would be called in the place of one, "
            f"as {role}: look who made it, then drop routine {facts['overload']}."
        )
    if facts["creators"] is not None:
        raise UnsupportedServer(
            f"In the database {database} others may create functions beside those of TimescaleDB, and have "
            f"theirs called as {role}: run revoke create on schema public from {facts['creators']}."
        )
    if facts["superuser"]:
        return
    if not facts["may_create"]:
        raise UnsupportedServer(
            f"The role {role} may not create schemas in the database {database}: have its owner run "
            f"grant create on database {database} to {role}."
        )
    if facts["installed"] is None and not facts["trusted"]:
        raise UnsupportedServer(
            f"The role {role} may not create TimescaleDB in the database {database}: have a superuser run "
            "create extension timescaledb in it."
        )
    if facts["missing_roles"] and not facts["may_create_roles"]:
        raise UnsupportedServer(
            f"The role {role} may not create the roles {', '.join(facts['missing_roles'])}: have a superuser "
            f"run alter role {role} createrole, or create them and grant them to {role} with admin option."
        )
    by_attribute = facts["may_create_roles"] and facts["server"] < _GRANTS_NEED_ADMIN_OPTION
    if facts["may_grant_roles"] is False and not by_attribute:
        raise UnsupportedServer(
            f"The role {role} may not grant the roles bcp_reader and bcp_writer: have a superuser run "
            f"grant bcp_reader, bcp_writer to {role} with admin option."
        )
