"""Tables of HTML, rows of COPY and parameters of SQL: what is below a sensitive name goes, all else stays."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

Db = psycopg.Connection[Any]


def masked(db: Db, document: Any) -> Any:
    row = db.execute("select bcp_internal.anonymize_json(%s)", [Jsonb(document)]).fetchone()
    assert row is not None
    return row[0]


def test_rows_of_copy_keep_their_nulls_their_end_and_what_follows(db: Db) -> None:
    dump = "COPY u (id, password) FROM stdin;\n1\t{}\n2\t\\N\n\\.\n\nselect 1;\n\nselect\t2;\n"
    assert masked(db, {"dump": dump.format("vx17qz")}) == {"dump": dump.format("[REDACTED]")}


def test_empty_lines_below_a_copy_without_an_end_stay(db: Db) -> None:
    text = "COPY u (id, password) FROM stdin;\n1\t{}\n\nThat was all.\n\n"
    assert masked(db, {"dump": text.format("vx17qz")}) == {"dump": text.format("[REDACTED]")}


def test_headings_of_one_table_say_nothing_of_the_next(db: Db) -> None:
    page = (
        "<table><tr><th>User</th><th>Password</th></tr><tr><td>x</td><td>{}</td></tr><tr><td>y</td><td></td></tr></table>"
        "<table><tr><td>Total</td><td>kept</td></tr></table>"
    )
    assert masked(db, {"page": page.format("vx17qz")}) == {"page": page.format("[REDACTED]")}


@pytest.mark.parametrize(
    "sql", ["insert into u () values (?)", "insert into u( ) values (?, ?)", "insert into u ("]
)
def test_an_insert_without_columns_is_read(db: Db, sql: str) -> None:
    assert masked(db, {"sql": sql, "params": ["x1", 2]}) == {"sql": sql, "params": ["x1", 2]}
