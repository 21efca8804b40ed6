"""How values of PostgreSQL become Arrow's and back, and the checksum that proves both the same."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bcp_analytics.archive._model import Column

_TIME = "timestamp with time zone"
_DOUBLE = "double precision"
_TYPES = {
    _TIME: pa.timestamp("us", tz="UTC"),
    _DOUBLE: pa.float64(),
    "boolean": pa.bool_(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    # Iceberg has no smaller integer, and a column has one type whichever way somebody reads it.
    "smallint": pa.int32(),
}
# A dictionary of values that seldom repeat costs more than it saves; sorted times differ by little.
_ENCODINGS = {_TIME: "DELTA_BINARY_PACKED", _DOUBLE: "PLAIN", "uuid": "DELTA_BYTE_ARRAY"}
_SORTED_BY = ("bcp_name", "tool_name")
_INFINITY = 2**63 - 1
_NAN_BITS = 0x7FF8000000000000
MICROSECONDS_OF_A_DAY = 86_400_000_000


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return what the columns are in a file: what Arrow has no type for is PostgreSQL's text."""
    return pa.schema([(c["name"], _TYPES.get(c["type"], pa.string())) for c in columns])


def sort_order(columns: Sequence[Column], time_column: str) -> list[str]:
    """Return what the rows of a file are sorted by: bundle, tool and time, as far as the table has them.

    Text is sorted by its bytes. So a question about one tool reads few row groups, and rows that are alike
    are compressed together.
    """
    names = {column["name"] for column in columns}
    return [*(name for name in _SORTED_BY if name in names), time_column]


def encodings(columns: Sequence[Column]) -> dict[str, str]:
    """Return the columns whose values seldom repeat, and how a file holds these; others are dictionaries."""
    return {c["name"]: _ENCODINGS[c["type"]] for c in columns if c["type"] in _ENCODINGS}


def from_csv(text: bytes, columns: Sequence[Column]) -> pa.Table:
    """Return whole rows of what bcp_internal.archive_rows selects, as COPY writes them in CSV."""
    # Times and doubles come as integers, which are exact. All is one block, since fields may hold newlines.
    raw = {c["name"]: pa.int64() if c["type"] in {_TIME, _DOUBLE} else t for c, t in _typed(columns)}
    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(use_threads=False, column_names=list(raw), block_size=len(text) + 1),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=raw,
            null_values=[""],
            true_values=["true"],
            false_values=["false"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    wanted = schema(columns)
    arrays = [
        pa.chunked_array([chunk.view(field.type) for chunk in column.chunks], field.type)
        if column.type != field.type
        else column
        for column, field in zip(table.columns, wanted, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def to_csv(batch: pa.RecordBatch) -> bytes:
    """Return rows as COPY reads them in CSV."""
    columns = [_infinity_by_name(column) for column in batch.columns]
    out = pa.BufferOutputStream()
    csv.write_csv(
        pa.RecordBatch.from_arrays(columns, names=batch.schema.names),
        out,
        write_options=csv.WriteOptions(include_header=False),
    )
    return bytes(out.getvalue())


def checksum(batch: pa.RecordBatch) -> int:
    """Return the sum of the hashes of its rows, as bcp_internal.archive_checksum says; reduce modulo 2^64."""
    parts: list[pa.Array] = []
    for column in batch.columns:
        text = _text(column)
        length = pc.cast(pc.utf8_length(text), pa.string())
        parts.append(pc.fill_null(pc.binary_join_element_wise(length, text, ":"), "-"))
    rows = pc.binary_join_element_wise(*parts, "")
    if isinstance(rows, pa.ChunkedArray):
        rows = rows.combine_chunks()
    _, offsets, data = rows.buffers()
    ends = memoryview(offsets).cast("i")[rows.offset : rows.offset + len(rows) + 1]
    text_of_all = memoryview(data) if data is not None else memoryview(b"")
    total = 0
    for start, end in pairwise(ends):
        total += int.from_bytes(sha256(text_of_all[start:end]).digest()[:8], "big")
    return total


def checksum_text(total: int) -> str:
    """Return a sum of hashes as the manifest has it."""
    return f"{total % 2**64:016x}"


def _typed(columns: Sequence[Column]) -> list[tuple[Column, pa.DataType]]:
    return [(c, _TYPES.get(c["type"], pa.string())) for c in columns]


def _text(column: pa.Array) -> pa.Array:
    """Return a column as bcp_internal.archive_text writes it."""
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    elif pa.types.is_floating(column.type):
        bits = column.view(pa.int64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(_NAN_BITS, pa.int64()), bits)
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _infinity_by_name(column: pa.Array) -> pa.Array:
    if not pa.types.is_timestamp(column.type):
        return column
    raw = column.view(pa.int64())
    above, below = (pc.equal(raw, pa.scalar(n, pa.int64())) for n in (_INFINITY, -_INFINITY - 1))
    if not pc.any(pc.or_(above, below)).as_py():
        return column
    finite = pc.if_else(pc.or_(above, below), pa.scalar(0, pa.int64()), raw).view(column.type)
    named = pc.if_else(above, "infinity", pc.if_else(below, "-infinity", pc.cast(finite, pa.string())))
    return pc.if_else(pc.is_null(column), pa.scalar(None, pa.string()), named)
