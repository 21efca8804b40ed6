"""The commands of docs/how-to/archive.md, and what docs/how-to/lake.md shows, do what these say."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bcp_analytics.archive import archive
from bcp_analytics.cli._app import app
from tests.archive.rows import count, drop, few

if TYPE_CHECKING:
    import psycopg

    Db = psycopg.Connection[Any]

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "archive.md").read_text(encoding="utf-8")
LAKE = (Path(__file__).parents[2] / "docs" / "how-to" / "lake.md").read_text(encoding="utf-8")
FOLDER = "/srv/bcp-archive"


@pytest.mark.parametrize("engine", ["duckdb", "chdb", "pyspark"])
def test_others_read_the_files(clean_db: Db, tmp_path: Path, engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    if engine == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    for day in ("2020-01-05", "2020-01-06"):
        few(clean_db, day)
    archive(clean_db, tmp_path)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if engine in b]
    done = subprocess.run(
        [sys.executable, "-c", block.replace(FOLDER, str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for day in ("2020-01-05", "2020-01-06"):
        assert re.search(rf"{day}\W+send\W+3\b", done.stdout), done.stdout


def test_the_commands(dsn: str, clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", str(tmp_path))
    few(clean_db, "2020-01-05")
    commands = re.findall(r"^bcp-analytics (.*)$", TEXT, re.MULTILINE)
    assert len(commands) == 7
    try:
        for command in commands:
            arguments = shlex.split(command, comments=True)
            if "--watch" in arguments:
                continue
            if arguments[0] == "restore" and count(clean_db):
                drop(clean_db, start="2020-01-05", end="2020-01-06")
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
            assert re.search(
                r"Done: 1 archive|Nothing to archive|verified|2020-01-05 +send +3|Restored: 1 archive, 3 row",
                result.output,
            ), (command, result.output)
    finally:
        clean_db.execute("drop schema if exists january cascade")


def test_a_percentile_by_the_sketch(clean_db: Db, tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    pytest.importorskip("polars")
    for day in ("2020-01-05", "2020-01-06"):
        few(clean_db, day, 20)
    archive(clean_db, tmp_path)
    [(expected,)] = clean_db.execute(
        "select p95_duration_ms from bcp.tool_usage_stats('2020-01-05Z', '2020-01-07Z', null)"
    ).fetchall()
    [question] = re.findall(r"```sql\n(.*?)```", LAKE, re.DOTALL)
    files = f"read_parquet('{tmp_path}/table=tool_usage_logs/*/*.parquet')"
    [(tool, found)] = duckdb.sql(question.replace("bcp_calls", files)).fetchall()
    assert tool == "send"
    # All calls take a second: the store keeps the sketch within what was measured.
    assert found == pytest.approx(expected, rel=0.01)
    [block] = re.findall(r"```python\n(.*?)```", LAKE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block.replace(FOLDER, str(tmp_path))],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{found:.2f}"[:5] in done.stdout
