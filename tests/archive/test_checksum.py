"""SQL and Python find the same checksum for the same rows, and rows that differ have another."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from bcp_analytics.archive import _columns
from bcp_analytics.archive._model import Column

if TYPE_CHECKING:
    import psycopg

    Db = psycopg.Connection[Any]

COLUMNS: list[Column] = [
    {"name": "at", "type": "timestamp with time zone"},
    {"name": "value", "type": "double precision"},
    {"name": "yes", "type": "boolean"},
    {"name": "big", "type": "bigint"},
    {"name": "small", "type": "smallint"},
    {"name": "said", "type": "text"},
    {"name": "day", "type": "jsonb"},
    {"name": "where", "type": "inet"},
]
DDL = ", ".join(f'"{c["name"]}" {c["type"]}' for c in COLUMNS)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
rows = st.tuples(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda t: t.replace(tzinfo=UTC)),  # noqa: DTZ001
    st.none() | st.floats(),
    st.none() | st.booleans(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | texts,
    st.none() | documents.map(Jsonb),
    st.none() | st.ip_addresses().map(str),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=8), st.randoms())
def test_python_and_sql_agree_on_any_rows(db: Db, given: list[tuple[Any, ...]], random: Any) -> None:
    with db.transaction(force_rollback=True):
        db.execute(f"create temporary table any_rows ({DDL})")  # type: ignore[arg-type]
        with db.cursor() as cur:
            cur.executemany(
                "insert into any_rows values (%s, %s, %s, %s, %s, %s, %s, %s)", [list(row) for row in given]
            )
        columns = Jsonb(COLUMNS)
        found = db.execute(
            "select row_count, checksum from bcp_internal.archive_checksum('any_rows', %s)", [columns]
        ).fetchall()
        [(query,)] = db.execute("select bcp_internal.archive_rows('any_rows', %s)", [columns]).fetchall()
        with db.cursor() as cur, cur.copy(f"copy ({query}) to stdout (format csv)") as copy:
            lines = [bytes(line) for line in copy]
        random.shuffle(lines)
        batches = _columns.from_csv(b"".join(lines), COLUMNS).to_batches(max_chunksize=3) if lines else []
        total = sum(map(_columns.checksum, batches))
        assert found == [(len(given), _columns.checksum_text(total))]
        # And back again.
        db.execute(f"create temporary table back ({DDL})")  # type: ignore[arg-type]
        with db.cursor() as cur, cur.copy("copy back from stdin (format csv)") as copy_in:
            for batch in batches:
                copy_in.write(_columns.to_csv(batch))
        assert (
            found
            == db.execute(
                "select row_count, checksum from bcp_internal.archive_checksum('back', %s)", [columns]
            ).fetchall()
        )


def test_the_formula_by_hand() -> None:
    from hashlib import sha256  # noqa: PLC0415

    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([at], pa.timestamp("us", tz="UTC")),
            pa.array([-0.0]),
            pa.array([True]),
            pa.array([7]),
            pa.array([None], pa.int16()),
            pa.array(["é:"]),
            pa.array(["{}"]),
            pa.array([""]),
        ],
        schema=_columns.schema(COLUMNS),
    )
    micros = str((at - EPOCH) // timedelta(microseconds=1))
    bits = str(struct.unpack(">q", struct.pack(">d", -0.0))[0])
    row = f"{len(micros)}:{micros}{len(bits)}:{bits}4:true1:7-2:é:2:{{}}0:"
    assert _columns.checksum(batch) == int.from_bytes(sha256(row.encode()).digest()[:8], "big")


def test_the_sum_is_modulo_2_to_the_64(db: Db) -> None:
    for total in (0, 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1, -(2**63), 3 * 2**64 + 5, -(2**65) - 1):
        [(text,)] = db.execute("select bcp_internal.checksum_text(%s::numeric)", [str(total)]).fetchall()
        assert text == _columns.checksum_text(total), total
