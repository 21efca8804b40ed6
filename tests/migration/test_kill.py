"""A run that is killed with SIGKILL, wherever it was, leaves the database as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.migration.conftest import Project, value

INSIDE = """\
import os
from yoyo import step

def wait(conn):
    if os.path.exists({marker!r}):
        from tests.migration.stopping import stop
        stop("inside 0003")

steps = [step("create table bcp.first ()"), step(wait), step("create table bcp.second ()")]
"""


@pytest.mark.parametrize(
    "step",
    ["applying migration 0001", "applying migration 0002", "inside 0003", "loading the 2 files"],
)
def test_a_killed_run_leaves_nothing_and_the_next_does_all(
    project: Project, scratch: str, tmp_path: Path, step: str
) -> None:
    marker = tmp_path / "marker"
    if step.startswith("inside"):
        marker.touch()
    (project.migrations / "0003_two_tables.py").write_text(INSIDE.format(marker=str(marker)))
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.migration.stopping", scratch, str(tmp_path), step],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout is not None
    try:
        assert run.stdout.readline().startswith(step)
    finally:
        run.kill()
        run.communicate()
    marker.unlink(missing_ok=True)
    result = project.migrate(scratch)
    assert len(result.applied) == 3
    assert result.sql_applied
    assert project.status(scratch).current
    assert value(scratch, "select bcp.answer()") == 42
    assert value(
        scratch, "select to_regclass('bcp.first') is not null and to_regclass('bcp.second') is not null"
    )
