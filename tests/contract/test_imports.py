"""What the package imports: nothing that a platform or an installation may lack, unless it is asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import bcp_analytics

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bcp_analytics"
# We have no extra for FastMCP: `instrument` takes a server that the user has.
GIVEN = {"fastmcp"}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_questions_need_no_posix_and_no_extra(dsn: str) -> None:
    """As in an analyst's notebook on Windows, with nothing installed but the library."""
    done = run(
        """
import os, random, sys, tempfile, psycopg
for name in ("fcntl", "resource", "pwd", "rich", "typer", "psycopg_pool", "jinja2", "mcp"):
    sys.modules[name] = None
for name in ("register_at_fork", "getuid", "geteuid"):
    delattr(os, name)
import bcp_analytics
from bcp_analytics import health, log_tool_usage, migrate
with psycopg.connect(sys.argv[1]) as conn:
    log_tool_usage(conn, "files", "read")
    print({check.status for check in health(conn) if check.check_name == "ledger"})
assert {"Collector", "health"} <= set(dir(bcp_analytics))
try:
    bcp_analytics.Collector
except ModuleNotFoundError as error:
    print(error.name)
""",
        dsn,
    )
    assert done.stderr == ""
    assert done.stdout.split() in (["{'ok'}", "fcntl"], ["{'ok'}", "resource"])


def test_the_collector_is_loaded_when_it_is_used() -> None:
    done = run(
        "import sys, bcp_analytics; print('bcp_analytics.collector' in sys.modules);"
        " from bcp_analytics import Collector; print(Collector.__name__)"
    )
    assert done.stdout.split() == ["False", "Collector"]
    assert not hasattr(bcp_analytics, "no_such_name")


def test_the_package_loads_what_is_used() -> None:
    done = run(
        "import sys, bcp_analytics; print('psycopg' in sys.modules, bcp_analytics.errors.__name__);"
        " print('bcp_analytics.queries' in sys.modules, bcp_analytics.health.__name__)"
    )
    assert done.stdout.splitlines() == ["False bcp_analytics.errors", "False health"]


def test_the_command_line_says_which_extra_it_needs() -> None:
    done = run(
        "import sys; sys.modules['typer'] = None; from bcp_analytics._command import main; main()",
    )
    assert done.returncode == 1
    assert 'pip install "bcp_analytics[binary,cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for name in set(extras) - {"dev", "bench"}:
        wanted += extras[name]
    declared = {_normal(re.split(r"[\[<>=!~;]", one)[0]) for one in wanted}
    installed = packages_distributions()
    imported = {
        name: path.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names(node)
        if name not in sys.stdlib_module_names and name not in {"bcp_analytics", *GIVEN}
    }
    missing = {
        name: file
        for name, file in imported.items()
        if not {_normal(one) for one in installed.get(name, [])} & declared
    }
    assert missing == {}


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
