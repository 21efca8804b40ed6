"""Empties the one database of the embedded target between tests, back to what migrations and seeds made."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tests.catalog import snapshot

SCHEMAS = ["bcp", "bcp_internal", "bcp_lake"]

_TABLES = """
select s.nspname::text, c.relname::text
from pg_class c
join pg_namespace s on s.oid = c.relnamespace
where s.nspname = any(%s) and c.relkind = 'r'
order by 1, 2
"""

# Only the watermark tells that an aggregate was refreshed while there was nothing to put into it.
_AGGREGATES = """
select a.user_view_schema::text, a.user_view_name::text, w.watermark
from _timescaledb_catalog.continuous_agg a
join _timescaledb_catalog.continuous_aggs_watermark w using (mat_hypertable_id)
where a.user_view_schema = any(%s)
"""

_CHUNKS = """
select distinct hypertable_schema::text, hypertable_name::text from timescaledb_information.chunks
where hypertable_schema = any(%s)
"""

_REFERENCED = """
select distinct s.nspname::text, c.relname::text
from pg_constraint f
join pg_class c on c.oid = f.confrelid
join pg_namespace s on s.oid = c.relnamespace
where f.contype = 'f' and f.conrelid <> f.confrelid and s.nspname = any(%s)
"""

_SEQUENCES = (
    "select schemaname::text, sequencename::text, last_value from pg_sequences where schemaname = any(%s)"
)

# Where what `snapshot` looks at is kept, and which rows are ours: those of chunks come and go.
_OURS = "in (select oid from pg_class where relnamespace in (select oid from schemas))"
_HYPERTABLES = (
    "in (select format('%I.%I', schema_name, table_name)::regclass from _timescaledb_catalog.hypertable)"
)
_CATALOGS = {
    "pg_namespace": "oid in (select oid from schemas)",
    "pg_proc": "pronamespace in (select oid from schemas)",
    "pg_type": "typnamespace in (select oid from schemas)",
    "pg_enum": "true",
    "pg_attribute": f"attrelid {_OURS}",
    "pg_attrdef": f"adrelid {_OURS}",
    "pg_constraint": "connamespace in (select oid from schemas)",
    "pg_index": f"indrelid {_OURS}",
    "pg_rewrite": f"ev_class {_OURS}",
    "pg_trigger": f"tgrelid {_OURS}",
    "pg_description": "true",
    "pg_authid": "true",
    "pg_auth_members": "true",
    "pg_db_role_setting": "true",
    "_timescaledb_catalog.hypertable": "true",
    "_timescaledb_catalog.dimension": "true",
    "_timescaledb_catalog.continuous_agg": "true",
    "_timescaledb_catalog.compression_settings": f"relid {_HYPERTABLES}",
}
# A row of which nobody made another version is what it was. That holds for one run of a server: a copy of its
# files counts transactions from where they were. Contents are compared of pg_class, since TRUNCATE makes new
# versions there, and of jobs, which some versions of TimescaleDB show by a view.
_VERSIONS = (
    "with schemas as (select oid from pg_namespace"
    " where nspname !~ '^(pg_|_?timescaledb_|information_schema$)'), versions (version) as ("
    "select concat_ws(' ', oid, relname, relkind, relpersistence, reloptions::text, relacl::text)"
    f" from pg_class where oid {_OURS} union all select j::text from _timescaledb_config.bgw_job j union all "
    + " union all ".join(
        f"select concat_ws(' ', '{name}', xmin, ctid) from {name} where {ours}"
        for name, ours in _CATALOGS.items()
    )
    + ") select pg_postmaster_start_time(), count(*), sum(hashtextextended(version, 0)) from versions"
)


class Reset:
    """Remembers rows and catalog when made, and brings the rows back when called."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with self._connect() as conn:
            self._catalog = snapshot(conn)
            self._versions = _versions(conn)
            self._tables = conn.execute(_TABLES, [SCHEMAS]).fetchall()
            self._aggregates = conn.execute(_AGGREGATES, [SCHEMAS]).fetchall()
            self._sequences = conn.execute(_SEQUENCES, [SCHEMAS]).fetchall()
            rows = {name: _rows(conn, name) for name in _filled(conn, self._tables)}
            self._seeds = {name: text for name, text in rows.items() if text}

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn, autocommit=True)

    def __call__(self) -> bool:
        """Bring the rows back, and what follows from settings; False where a test changed more than that."""
        with self._connect() as conn:
            if _versions(conn) != self._versions:
                if snapshot(conn) != self._catalog:
                    try:
                        self._restore_all(conn)
                        # Aggregates of another time zone, or jobs of another retention.
                        conn.execute("select bcp.apply_policies()")
                    except psycopg.Error:
                        return False
                    if snapshot(conn) != self._catalog:
                        return False
                self._versions = _versions(conn)
            self._restore_all(conn)
        return True

    def _restore_all(self, conn: psycopg.Connection[Any]) -> None:
        found = set(conn.execute(_AGGREGATES, [SCHEMAS]).fetchall())
        for schema, name, watermark in self._aggregates:
            if (schema, name, watermark) not in found:
                conn.execute(sql.SQL("truncate {}").format(sql.Identifier(schema, name)))
        with conn.transaction():
            # What a trigger would make of the rows is among them.
            conn.execute("set local session_replication_role = replica")
            self._restore(conn)

    def _restore(self, conn: psycopg.Connection[Any]) -> None:
        filled = _filled(conn, self._tables)
        changed = [
            name
            for name in self._tables
            if (_rows(conn, name) != self._seeds[name] if name in self._seeds else name in filled)
        ]
        referenced = set(conn.execute(_REFERENCED, [SCHEMAS]).fetchall())
        emptied = [name for name in changed if name not in referenced]
        if emptied:
            names = sql.SQL(", ").join(sql.Identifier(*name) for name in emptied)
            conn.execute(sql.SQL("truncate {}").format(names))
        for name in set(changed) & referenced:
            # TRUNCATE would have to empty the tables that refer to it, too.
            conn.execute(sql.SQL("delete from {}").format(sql.Identifier(*name)))
        for name in changed:
            if name in self._seeds:
                with (
                    conn.cursor() as cur,
                    cur.copy(sql.SQL("copy {} from stdin").format(sql.Identifier(*name))) as copy,
                ):
                    copy.write(self._seeds[name])
        for sequence in self._sequences:
            if sequence not in conn.execute(_SEQUENCES, [SCHEMAS]).fetchall():
                schema, name, value = sequence
                conn.execute(
                    "select setval(format('%%I.%%I', %s::text, %s::text)::regclass, coalesce(%s, 1), %s)",
                    [schema, name, value, value is not None],
                )


def _versions(conn: psycopg.Connection[Any]) -> Any:
    """Return what changes whenever the catalog does: asked in a tenth of the time of a snapshot."""
    return conn.execute(_VERSIONS).fetchone()  # type: ignore[arg-type]


def _filled(conn: psycopg.Connection[Any], tables: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the tables with rows, and the hypertables with chunks, be they empty."""
    asked = sql.SQL(" union all ").join(
        sql.SQL("select {}, {} where exists (select from {})").format(
            sql.Literal(schema), sql.Literal(name), sql.Identifier(schema, name)
        )
        for schema, name in tables
    )
    return set(conn.execute(asked).fetchall()) | set(conn.execute(_CHUNKS, [SCHEMAS]).fetchall())


def _rows(conn: psycopg.Connection[Any], name: tuple[str, str]) -> bytes:
    # A generated column is not among what COPY sends, and must not be among what it takes.
    with conn.cursor() as cur, cur.copy(sql.SQL("copy {} to stdout").format(sql.Identifier(*name))) as copy:
        return b"".join(bytes(part) for part in copy)
