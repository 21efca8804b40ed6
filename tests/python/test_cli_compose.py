"""The command compose, which writes files."""

from __future__ import annotations

from typing import Any

import pytest

from tests.python.test_cli import ok, run


def test_compose_writes_its_files_and_replaces_none_unasked(tmp_path: Any) -> None:
    folder = tmp_path / "analytics"
    ok("compose", str(folder))
    dashboards = {path.name for path in (folder / "grafana/dashboards").iterdir()}
    assert dashboards == {f"{name}.json" for name in ("database", "errors", "overview", "sessions", "tool")}
    file = folder / "docker-compose.yml"
    made = file.read_bytes()
    file.write_text("mine")
    (folder / "grafana/dashboards/tool.json").unlink()
    refused = run("compose", str(folder))
    assert refused.exit_code == 1
    assert "docker-compose.yml is there and differs; nothing was written" in refused.output
    assert file.read_text() == "mine"
    assert not (folder / "grafana/dashboards/tool.json").exists()
    assert "2 files written" in ok("compose", str(folder), "--force")
    assert file.read_bytes() == made


@pytest.mark.parametrize("at", ["", "docker-compose.yml", "grafana"])
def test_compose_says_what_is_in_its_way(tmp_path: Any, at: str) -> None:
    folder = tmp_path / "analytics"
    in_the_way = folder / at
    in_the_way.parent.mkdir(exist_ok=True)
    if at == "docker-compose.yml":
        in_the_way.mkdir()
    else:
        in_the_way.write_text("a file")
    refused = run("compose", str(folder))
    assert refused.exit_code == 1
    assert "cannot be written: " in refused.output
    assert "Name a folder that is yours." in refused.output
