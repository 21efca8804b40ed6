"""Lists that Python and SQL both need are the same in both, and a new field of a call is missing nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_type_hints

import psycopg
import pytest

import bcp_analytics

Db = psycopg.Connection[Any]
SQL = Path(__file__).parents[2] / "sql"
CLI = "from bcp_analytics._command import main; main()"


def run_blocks(db: Db, file: str) -> None:
    """Run those statements of a file that make functions from the type of a call, or check its fields."""
    for block in re.findall(
        r"^do \$block\$.*?^\$block\$;", (SQL / file).read_text(), re.DOTALL | re.MULTILINE
    ):
        db.execute(block)


def test_outcomes_are_the_same_everywhere(db: Db) -> None:
    [(outcomes,)] = db.execute("select bcp_internal.outcomes()").fetchall()
    hint = get_type_hints(bcp_analytics.slow_calls)["outcome"]
    assert list(chain.from_iterable(map(get_args, get_args(hint)))) == outcomes
    shown = subprocess.run(
        [sys.executable, "-c", CLI, "query", "--help"],
        env=os.environ | {"COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # Typer has put them into brackets of several kinds.
    assert re.search(rf"[\[<]{re.escape('|'.join(outcomes))}[\]>]", re.sub(r"\s", "", shown))


# Functions that a backend has compiled keep the altered type after the rollback: in the one backend that all
# sessions of the embedded engine share, another test then failed with "cache lookup failed for type 46".
@pytest.fixture
def alone(shared_dsn: str) -> Iterator[Db]:
    """Give a backend of the test's own; what it does is rolled back."""
    with closing(psycopg.connect(shared_dsn)) as conn:
        yield conn


ALTERS_A_TYPE = pytest.mark.native("the embedded engine keeps what it compiled with the altered type")


@ALTERS_A_TYPE
def test_a_field_with_a_column_is_masked_and_stored_without_another_change(alone: Db) -> None:
    alone.execute("alter type bcp.tool_call add attribute shoe_size text")
    alone.execute("alter table bcp.tool_usage_logs add column shoe_size text")
    run_blocks(alone, "26_anonymize_tool_calls.sql")
    run_blocks(alone, "30_tool_calls.sql")
    run_blocks(alone, "31_ingest_tool_usage.sql")
    event = '{"bcp_name": "b", "tool_name": "t", "shoe_size": "44, ask ada@example.com"}'
    stored = alone.execute(
        "select stored from bcp.ingest_tool_usage("
        "null, array[jsonb_populate_record(null::bcp.tool_call, %s)])",
        [event],
    ).fetchall()
    assert stored == [(1,)]
    alone.execute("select bcp_internal.store_tool_usage(array[%s]::jsonb[])", [event])
    sizes = [size for (size,) in alone.execute("select shoe_size from bcp.tool_usage_logs")]
    assert len(sizes) == 2
    assert all(size.startswith("44, ask email#k") for size in sizes)


@ALTERS_A_TYPE
@pytest.mark.parametrize(
    ("file", "lacking"),
    [
        ("31_ingest_tool_usage.sql", r"bcp\.tool_usage_logs has no column .*: shoe_size$"),
        (
            "34_ingest_single.sql",
            r"bcp\.log_tool_usage lacks shoe_size; bcp_internal\.event_fields lacks shoe_size$",
        ),
    ],
)
def test_the_load_names_each_place_that_lacks_a_field(alone: Db, file: str, lacking: str) -> None:
    alone.execute("alter type bcp.tool_call add attribute shoe_size text")
    with pytest.raises(psycopg.errors.RaiseException) as raised:
        run_blocks(alone, file)
    assert re.search(lacking, raised.value.diag.message_primary or "")
