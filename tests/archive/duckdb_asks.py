"""Asks DuckDB with its own extension for Iceberg: statements and questions from stdin, rows to stdout.

Run as a file, by an interpreter that has the packages that tests/archive/test_lake_duckdb.py names.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    import duckdb  # noqa: PLC0415

    order: dict[str, Any] = json.load(sys.stdin)
    with duckdb.connect() as db:
        # Not UTC, which the views have to be in all the same.
        db.execute("set timezone = 'Asia/Kolkata'")
        for name in ("avro", "iceberg"):
            package = import_module(f"duckdb_extension_{name}")
            [file] = Path(str(package.__file__)).parent.rglob(f"{name}.duckdb_extension")
            db.execute(f"load '{file}'")
        for statement in order["statements"]:
            db.execute(statement)
        found, took = {}, {}
        for name, question in order["questions"].items():
            begun = time.monotonic()
            found[name] = db.execute(question).fetchall()
            took[name] = round(time.monotonic() - begun, 3)
    json.dump({"rows": found, "seconds": took, "version": duckdb.__version__}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
