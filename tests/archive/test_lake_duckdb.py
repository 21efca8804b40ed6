"""The views answer in DuckDB as the functions of SQL do, where DuckDB reads Iceberg by its own extension.

DuckDB would download that, but it comes as a package, too, not always of the newest version. So this has an
interpreter of its own: BCP_TEST_DUCKDB_ICEBERG=V/bin/python runs it, after python -m venv V and
V/bin/pip install pytz duckdb==1.5.5 duckdb-extension-avro==1.5.5 duckdb-extension-iceberg==1.5.5
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics.archive import _views
from tests.archive.lake_answers import KEYS
from tests.archive.test_lake_spark import typed
from tests.archive.test_lake_views import compare, select, store

if TYPE_CHECKING:
    import psycopg

    Db = psycopg.Connection[Any]

__all__ = ["store"]
PYTHON = os.environ.get("BCP_TEST_DUCKDB_ICEBERG", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="needs an extension of DuckDB: BCP_TEST_DUCKDB_ICEBERG=PYTHON"),
    pytest.mark.any_target("DuckDB sees files"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


def test_duckdb_by_its_own_extension(
    store: Db,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = _views.sources("duckdb", str(tmp_path))
    # The extension is loaded from its package.
    assert made[0] == "load iceberg"
    order = {
        "statements": _views.views("duckdb", made[1:]),
        "questions": {view: select(view) for view in KEYS},
    }
    done = subprocess.run(
        [PYTHON, str(Path(__file__).parent / "duckdb_asks.py")],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    compare(store, "DuckDB, its own Iceberg", lambda view: typed(view, answer["rows"][view]))
    with capsys.disabled():
        sys.stdout.write(json.dumps({"DuckDB": answer["version"], "seconds": answer["seconds"]}) + "\n")
