"""Who may create functions beside TimescaleDB's gets none of them called in the place of one."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics.errors import UnsupportedServer
from bcp_analytics.migrate import _code, migrate
from bcp_analytics.migrate._preflight import CALLED
from tests.archive.rows import few

if TYPE_CHECKING:
    from collections.abc import Iterator

    Db = psycopg.Connection[Any]

# Each fits what is written in a call better than TimescaleDB's does.
OVERLOADS = {
    "drop_chunks(relation regclass, older_than timestamptz, newer_than timestamptz)": "select * from"
    " bcp.cleanup_old_data()",
    "refresh_continuous_aggregate(regclass, timestamptz, timestamptz)": "call bcp.refresh_analytics_views()",
    "set_chunk_time_interval(regclass, interval)": "select bcp.apply_policies()",
    "compress_chunk(regclass)": "call bcp_internal.columnstore_aggregates()",
}


@contextmanager
def stranger(conn: Db, signature: str) -> Iterator[None]:
    """Have a role with no rights of ours make a function in schema public, as it may in older databases."""
    conn.execute("create role bcp_test_stranger; grant create on schema public to bcp_test_stranger")
    conn.execute("set role bcp_test_stranger")
    try:
        conn.execute(
            f"create function public.{signature} returns text language plpgsql as"  # type: ignore[arg-type]
            " $$ begin raise exception 'called by %', current_user; end $$"
        )
        conn.execute("reset role")
        yield
    finally:
        conn.execute("reset role; drop owned by bcp_test_stranger; drop role bcp_test_stranger")


def health(conn: Db) -> tuple[str, str]:
    [row] = conn.execute(
        "select status, detail from bcp.health() where check_name = 'schema public'"
    ).fetchall()
    return row


@pytest.mark.parametrize("signature", OVERLOADS)
def test_an_overload_is_refused_and_not_called(clean_db: Db, signature: str) -> None:
    few(clean_db, "2020-01-05")
    clean_db.execute(
        "update bcp.data_retention_policies set archive_before_delete = false"
        " where table_name = 'tool_usage_logs'"
    )
    clean_db.execute("call bcp.run_cleanup()")
    few(clean_db, "2020-01-05")
    with stranger(clean_db, signature):
        with pytest.raises(psycopg.Error, match="is not TimescaleDB's") as caught:
            clean_db.execute(OVERLOADS[signature])  # type: ignore[arg-type]
        assert caught.value.sqlstate == "ZB004"
        status, detail = health(clean_db)
        assert (status, signature.partition("(")[0] in detail) == ("fail", True)
    assert health(clean_db)[0] == "ok"


def test_an_overload_of_time_bucket_is_not_called(clean_db: Db) -> None:
    few(clean_db, "2020-01-05")
    with stranger(clean_db, "time_bucket(interval, timestamptz, text)"):
        for question in ("tool_usage_stats", "throughput"):
            [(calls,)] = clean_db.execute(
                f"select sum(call_count)::integer from bcp.{question}('2020-01-05', '2020-01-06', '1 hour',"  # type: ignore[arg-type]
                " p_time_zone => 'Asia/Kolkata')"
            ).fetchall()
            assert calls == 3, question


def test_migrate_refuses_and_health_warns(dsn: str, clean_db: Db) -> None:
    clean_db.execute("grant create on schema public to public")
    try:
        with pytest.raises(UnsupportedServer, match="run revoke create on schema public from public"):
            migrate(dsn)
        status, detail = health(clean_db)
        assert (status, detail.endswith("revoke create on schema public from public")) == ("warn", True)
    finally:
        clean_db.execute("revoke create on schema public from public")
    migrate(dsn)
    with (
        stranger(clean_db, "create_hypertable(regclass, integer)"),
        pytest.raises(UnsupportedServer, match=r"create_hypertable\(regclass,integer\) is not TimescaleDB's"),
    ):
        migrate(dsn)


def test_all_that_is_called_is_looked_for(db: Db) -> None:
    migrate_folder = Path(_code.__file__).parent
    files = [*sql_folder().iterdir(), *migrations_folder().iterdir(), *migrate_folder.glob("*.py")]
    called = {name for file in files for name in re.findall(r"\bpublic\.(\w+)\(", file.read_text())}
    assert called == set(CALLED)
    [(body,)] = db.execute(
        "select prosrc from pg_proc where oid = 'bcp_internal.foreign_overloads()'::regprocedure"
    ).fetchall()
    assert set(re.findall(r"'(\w+)'", body.partition("not exists")[0])) - {"public"} == set(CALLED)
