"""The programs of examples/ run as they stand, and what they send is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest

from bcp_analytics.embedded._runtime import find_node
from tests.serve.otlp_samples import load

if TYPE_CHECKING:
    from tests.serve.conftest import Running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def environment(server: Running, role: str = "admin") -> dict[str, str]:
    """Return what `bcp-analytics up --serve` has its user set."""
    return os.environ | {
        "BCP_URL": server.url,
        "BCP_TOKEN": server.tokens[role],
        "BCP_ANALYTICS_DSN": server.dsn,
        # The command bcp-analytics of this checkout, and programs beside the tests' Python.
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(Path(os.environ.get("TMPDIR", "/tmp")) / f"bcp-examples-{os.getpid()}"),
    }


def run(server: Running, *command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=EXAMPLES,
        env=env or environment(server),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def calls(server: Running, bcp: str) -> list[tuple[Any, ...]]:
    """Return the calls of a bundle, without the lists of tools for which clients ask."""
    with psycopg.connect(server.dsn) as conn:
        return conn.execute(
            "select tool_name, outcome from bcp.tool_usage_logs"
            " where bcp_name = %s and operation <> 'tools/list' order by start_time",
            [bcp],
        ).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "bcp"),
    [
        ("fastmcp_recorded.py", "shop-recorded"),
        ("fastmcp_spans.py", "shop-spans"),
        ("proxy_stdio.py", "shop-stdio"),
        ("proxy_http.py", "shop-http"),
    ],
)
def test_a_server_of_mcp(server: Running, program: str, bcp: str) -> None:
    pytest.importorskip("fastmcp")
    said = run(server, sys.executable, program)
    assert "tea: 7\n" in said
    assert "sold out" in said
    assert calls(server, bcp) == [("price", "success"), ("price", "soft_fail")]
    # Each says itself what became of it.
    assert re.search(r"recorded: (\d+), stored: \1, rejected: 0|price", said.partition("sold out")[2])


def test_the_sdk_in_python(server: Running) -> None:
    assert run(server, sys.executable, "otel_python.py").splitlines() == [
        "Berlin: sunny",
        "Atlantis: nobody answers",
        "look_up calls: 2 errors: 1",
    ]
    assert calls(server, "agent-python") == [("look_up", "success"), ("look_up", "timeout")]


@pytest.mark.skipif(
    not (EXAMPLES / "otel-node/node_modules").is_dir(), reason="npm install has not run in examples/otel-node"
)
def test_the_sdk_in_node(server: Running) -> None:
    assert run(server, str(find_node()), "otel-node/send.mjs").splitlines() == [
        "Berlin: sunny",
        "Atlantis: nobody answers",
        "look_up calls: 2 errors: 1",
    ]
    assert calls(server, "agent-node") == [("look_up", "success"), ("look_up", "error")]


def test_fetch(server: Running) -> None:
    receipt, stats = run(server, str(find_node()), "fetch.mjs").splitlines()
    assert json.loads(receipt) == {"accepted": 3, "stored": 2, "duplicates": 0, "rejected": 1}
    assert stats == "send calls: 2 errors: 1"


def test_what_a_program_may_not_do_it_says(server: Running) -> None:
    done = subprocess.run(
        [find_node(), "fetch.mjs"],
        cwd=EXAMPLES,
        env=environment(server, "reader"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Use a token of another role." in done.stderr
    assert server.tokens["reader"] not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql(server: Running) -> None:
    said = run(server, "psql", server.dsn, "-X", "-f", "psql.sql")
    assert "hunter2" not in said
    assert sorted(calls(server, "files")) == [("read_file", "success"), ("write_file", "error")]


@pytest.mark.any_target("what stands for the agents sends the same to each")
@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_coding_agent_sends_where_it_is_told(server: Running, agent: str, tmp_path: Path) -> None:
    """A program of its name tells what it was started with; a sample stands for what it would send."""
    told = tmp_path / "told.json"
    stand_in = tmp_path / agent
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(told)!r}, 'w'))\n"
    )
    stand_in.chmod(0o755)
    env = environment(server, "ingest")
    script = {"claude": "claude_code.sh", "codex": "codex.sh"}[agent]
    run(server, "sh", script, "--model", "a b", env=env | {"PATH": f"{tmp_path}{os.pathsep}{env['PATH']}"})
    arguments, variables = json.loads(told.read_text())
    assert arguments[-2:] == ["--model", "a b"]
    assert server.tokens["ingest"] not in " ".join(arguments)
    if agent == "claude":
        assert variables["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
        url = variables["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/logs"
        header = variables["OTEL_EXPORTER_OTLP_HEADERS"]
        assert variables["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    else:
        exporter = tomllib.loads(arguments[1])["otel"]["exporter"]["otlp-http"]
        assert exporter["protocol"] == "binary"
        url, header = exporter["endpoint"], variables["OTEL_EXPORTER_OTLP_LOGS_HEADERS"]
        # It would go to whoever gets the metrics, too.
        assert "OTEL_EXPORTER_OTLP_HEADERS" not in variables
    name, _, value = header.replace("%20", " ").partition("=")
    sample = load({"claude": "claude_code", "codex": "codex"}[agent])
    answer = httpx2.post(
        url, content=sample.in_protobuf, headers={name: value, "content-type": "application/x-protobuf"}
    )
    assert (answer.status_code, answer.content) == (200, b"")
    with psycopg.connect(server.dsn) as conn:
        found = conn.execute("select count(*) from bcp.tool_usage_logs where client_name is not null")
        assert found.fetchall() != [(0,)]
