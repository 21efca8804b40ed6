"""The views of the lake answer as the functions of SQL do, in each engine, over Iceberg and over paths."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from bcp_analytics.archive import _views, archive
from tests.archive.lake_answers import KEYS, VALUES, as_rows, differences, of_sql
from tests.archive.rows import fill, time
from tests.sql.events import ingest, usage

pytest.importorskip("pyiceberg", reason="needs the extra iceberg")
pytest.importorskip("sqlalchemy", reason="needs the extra iceberg")
from bcp_analytics.archive import _iceberg

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Db = psycopg.Connection[Any]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
TABLES = ("tool_usage_logs", "error_logs")
EDGES = {name for name in KEYS if "session" not in name}


def calls() -> list[dict[str, Any]]:
    """Calls of sessions, users and tools; some fail, some give tokens, others come to halves of tokens."""
    made = []
    for n in range(240):
        start = datetime(2026, 1, 7, n % 24, n % 60, tzinfo=UTC)
        made.append(
            usage(
                start_time=start.isoformat(),
                bcp_name=("files", "mail")[n % 2],
                tool_name=f"tool-{n % 7}",
                operation="tools/list" if n % 17 == 0 else "tools/call",
                success=None if n % 11 == 0 else n % 5 != 0,
                duration_ms=0 if n % 13 == 0 else 1.5 * (n % 40) ** 2,
                user_id=f"user-{n % 9}" if n % 10 else None,
                session_id=f"session-{n % 9}-{n % 4}" if n % 10 else None,
                client_name=f"client-{n % 3 // 2}" if n % 3 else None,
                response_bytes=n * 3 + 2,
                response_tokens=n if n % 6 == 0 else None,
            )
        )
    return made


@pytest.fixture
def store(clean_db: Db, tmp_path: Path) -> Db:
    """Every type and edge value for two days, and a day of sessions."""
    clean_db.execute("update bcp.settings set value = '9999 days' where name = 'max_event_age'")
    fill(clean_db)
    ingest(clean_db, calls())
    ingest(
        clean_db,
        [
            {"level": level, "message": "no", "timestamp": f"2026-01-07T0{n}:00:00Z", "bcp_name": "mail"}
            for n, level in enumerate(("fatal", "warn", "debug", "error", "info", "error"))
        ],
        "errors",
    )
    for table in TABLES:
        archive(clean_db, tmp_path, table=table, since=time("2026-01-05"), iceberg="store")
    return clean_db


def arrow_of(conn: Db, table: str) -> pa.Table:
    with _iceberg.opened(conn, "store") as catalog:
        found = catalog.table(table)
        assert found is not None
        return found.scan().to_arrow()


def select(view: str) -> str:
    return f"select {', '.join((*KEYS[view], *VALUES[view]))} from {view}"


def compare(conn: Db, engine: str, ask: Any) -> None:
    for view in KEYS:
        expected = of_sql(conn, view)
        assert expected, view
        found = as_rows(ask(view), len(KEYS[view]))
        if view not in EDGES:
            # The rows with every edge were put into the table alone, not as sessions.
            found = {key: row for key, row in found.items() if key[0] == date(2026, 1, 7)}
        said = differences(found, expected)
        assert not said, (engine, view, len(said), said[:6])


def test_duckdb(store: Db, tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    for by_path in (True, False):
        with duckdb.connect() as db:
            db.execute("set timezone = 'Asia/Kolkata'")
            if by_path:
                made = _views.sources("duckdb", str(tmp_path), by_path=True)
            else:
                # Its extension for Iceberg would have to be downloaded: pyiceberg reads for it.
                made = []
                for table in TABLES:
                    name = _views._BASES[table]
                    db.register(f"of_{name}", arrow_of(store, table))
                    made.append(f"create view {name} as select * from of_{name}")
            for statement in _views.views("duckdb", made):
                db.execute(statement)
            compare(
                store,
                f"DuckDB, {'paths' if by_path else 'Iceberg'}",
                lambda view, db=db: db.execute(select(view)).fetchall(),
            )
            [(kind,)] = db.execute("select distinct typeof(day) from bcp_usage_1d").fetchall()
            assert kind == "DATE"
            levels = db.execute(
                "select level from bcp_errors_1d where day = '2026-01-07' group by level, level_rank"
                " order by level_rank desc"
            ).fetchall()
            assert [level for (level,) in levels] == ["fatal", "error", "warn", "info", "debug"]


def test_chdb(store: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = pytest.importorskip("chdb.session")
    monkeypatch.chdir(tmp_path)  # it takes tables of Iceberg from below its folder alone
    for by_path in (True, False):
        asked = session.Session(str(tmp_path / f"chdb{by_path}"))
        try:
            asked.query("create database lake")
            asked.query("use lake")
            made = _views.sources("clickhouse", str(tmp_path), by_path=by_path)
            for statement in _views.views("clickhouse", made):
                asked.query(statement)

            def ask(view: str, asked: Any = asked) -> list[tuple[Any, ...]]:
                answer = asked.query(select(view), "Arrow").bytes()
                found = pa.ipc.open_file(pa.BufferReader(answer)).read_all() if answer else pa.table({})
                assert view != "bcp_usage_1d" or pa.types.is_date32(found.schema.field("day").type) or (
                    found.schema.field("day").type == pa.uint16()
                )  # fmt: skip
                return [tuple(row.values()) for row in _of_clickhouse(found).to_pylist()]

            compare(store, f"chDB, {'paths' if by_path else 'Iceberg'}", ask)
        finally:
            asked.close()


def _of_clickhouse(found: pa.Table) -> pa.Table:
    """Its Arrow has dates as days and text as bytes."""
    for n, field in enumerate(found.schema):
        if field.type == pa.uint16():
            column = found.column(n).cast(pa.int32()).cast(pa.date32())
        elif pa.types.is_uint32(field.type) and field.name == "bucket":
            column = found.column(n).cast(pa.int64()).cast(pa.timestamp("s"))
        elif pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            column = found.column(n).cast(pa.string())
        else:
            continue
        found = found.set_column(n, field.name, column)
    return found


def test_polars(store: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars has no views: the percentile by the sketch as docs/how-to/lake.md has it."""
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # it wants a package more, or to be told
    pl = pytest.importorskip("polars")
    with _iceberg.opened(store, "store") as catalog:
        of_iceberg = catalog.table("tool_usage_logs")
    for name, frame in (
        ("paths", pl.scan_parquet(f"{tmp_path}/table=tool_usage_logs/*/*.parquet", hive_partitioning=False)),
        ("Iceberg", pl.scan_iceberg(of_iceberg)),
    ):
        keys = ["day", "bcp_name", "tool_name"]
        called = frame.with_columns(pl.col("start_time").dt.date().alias("day")).filter(
            pl.col("operation") != "tools/list"
        )
        counts = called.group_by(keys).agg(
            pl.len().cast(pl.Int64),
            (pl.col("success") == True).sum().cast(pl.Int64).alias("ok"),  # noqa: E712 - null is neither
            (pl.col("success") == False).sum().cast(pl.Int64).alias("bad"),  # noqa: E712
        )
        sketch = (
            called.filter(pl.col("lat_idx").is_not_null())
            .group_by([*keys, "lat_idx"])
            .agg(pl.len().alias("n"))
            .sort([*keys, "lat_idx"])
            .with_columns(
                pl.col("n").cum_sum().over(keys).alias("up_to"), pl.col("n").sum().over(keys).alias("total")
            )
            .filter(pl.col("up_to") >= (0.95 * pl.col("total")).ceil().clip(1))
            .group_by(keys)
            .agg(pl.col("lat_idx").min())
        )
        found = as_rows(counts.join(sketch, on=keys, how="left", nulls_equal=True).collect().rows(), 3)
        expected = {}
        for key, row in of_sql(store, "bcp_usage_1d").items():
            calls, ok, bad, _, _, _, p95, _, longest, _, _ = row
            expected[key] = (calls, ok, bad, (p95, longest))
        assert found.keys() == expected.keys(), name
        for key, (calls, ok, bad, (p95, longest)) in expected.items():
            assert found[key][:3] == (calls, ok, bad), (name, key)
            idx = found[key][3]
            if p95 is None:
                assert idx is None
            else:
                value = 0.0 if idx == -32768 else 1.02**idx * 0.9900990099009901
                # The store knows the extremes exactly, and keeps the sketch within them.
                expected_p95 = value if p95 != longest else min(value, longest)
                assert p95 == pytest.approx(expected_p95, rel=1e-12) or value < p95, (name, key)


@pytest.mark.usefixtures("store")
def test_what_engines_say_of_a_key_that_is_missing(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    session = pytest.importorskip("chdb.session")
    files = f"{tmp_path}/table=tool_usage_logs/*/*.parquet"
    [(none, empty)] = duckdb.sql(
        "select count(*) filter (where p is null), count(*) filter (where p = '') from (select"
        f" json_extract_string(parameters, '$.nothing') as p from read_parquet('{files}'))"
    ).fetchall()
    assert none > 0
    assert empty == 0
    asked = session.Session(str(tmp_path / "chdb"))
    try:
        found = json.loads(
            asked.query(
                "select countIf(p is null), countIf(p = '') from (select"
                f" JSONExtractString(parameters, 'nothing') as p from file('{files}', 'Parquet'))",
                "JSONCompact",
            ).bytes()
        )["data"]
    finally:
        asked.close()
    # As text, and the same rows: those with a document say '' there, those without say null.
    assert sum(map(int, found[0])) == none
    assert int(found[0][1]) > 0
