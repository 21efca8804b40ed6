"""A server beside an embedded database, and from the command line."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics.cli import _serve
from bcp_analytics.cli._app import app
from bcp_analytics.serve import Config
from bcp_analytics.serve._database import check_ready
from tests.serve.conftest import make_token, serving

INSTALL = Path(__file__).parents[2] / "docs/how-to/install.md"


def test_beside_a_database_it_says_how_to_get_in(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with _serve.serving_beside(dsn, 0):
            said = capsys.readouterr().err
            found = re.search(r"(http://\S+)\n.* (bcpa_\w+)", said)
            assert found is not None
            url, token = found.groups()
            answer = httpx2.get(f"{url}/v1/session", headers={"authorization": f"Bearer {token}"})
            assert answer.json() == {"name": "this-terminal", "role": "admin"}
    with psycopg.connect(dsn) as conn:
        states = conn.execute("select state from bcp.api_tokens() order by 1").fetchall()
    assert states == [("revoked",), ("valid",)]


def run(dsn: str, *args: str) -> Any:
    return CliRunner().invoke(app, [*args], env={"BCP_ANALYTICS_DSN": dsn})


def test_tokens_are_made_listed_and_revoked(dsn: str) -> None:
    made = run(
        dsn, "token", "create", "laptop", "--role", "ingest", "--vantage", "client", "--expires", "90d"
    )
    assert re.fullmatch(r"bcpa_[0-9a-f]{72}\n", made.stdout), made.output
    listed = run(dsn, "token", "list")
    assert "laptop" in listed.stdout
    assert made.stdout.strip() not in listed.output
    again = run(dsn, "token", "create", "laptop", "--role", "reader")
    assert again.exit_code == 1
    assert "revoke" in again.stderr
    assert run(dsn, "token", "revoke", "laptop").stdout == "Revoked.\n"
    assert run(dsn, "token", "revoke", "laptop").exit_code == 1
    assert "not a time" in run(dsn, "token", "create", "x", "--role", "reader", "--expires", "soon").stderr


def test_a_port_in_use_is_said(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = run(dsn, "serve", "--port", port)
    assert said.exit_code == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in said.stderr


@pytest.mark.any_target("it ends before any database is started")
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_port_in_use_is_said_before_a_database_is_started(tmp_path: Path, command: str) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = run("", command, "--data", str(data), "--serve", "--serve-port", port)
    assert said.exit_code == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in said.stderr
    assert "--serve-port" in said.stderr
    assert not data.exists()


@pytest.mark.native("the embedded database has no logins of other roles")
def test_a_role_that_owns_nothing_serves(dsn: str) -> None:
    create = re.search(r"^create role bcp_server .*;$", INSTALL.read_text(encoding="utf-8"), re.MULTILINE)
    assert create is not None
    make = create[0].replace("bcp_server", "bcp_test_server").replace(":'password'", "'of this test'")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(make)  # type: ignore[arg-type]
        try:
            tokens = {role: make_token(dsn, role, role) for role in ("ingest", "admin")}
            theirs = psycopg.conninfo.make_conninfo(dsn, user="bcp_test_server", password="of this test")
            asyncio.run(check_ready(Config(dsn=theirs, host="0.0.0.0")))  # noqa: S104 - as in a container
            with serving(theirs) as server:
                server.tokens = tokens
                calls = [{"bcp_name": "mail", "tool_name": "send", "success": True}]
                sent = server.send("POST", "/v1/events/tool_usage", role="ingest", json=calls)
                assert sent.json()["stored"] == 1
                found = server.send("GET", "/v1/query/tool_usage_stats?bcp_name=mail", role="admin").json()
                assert [row["tool_name"] for row in found] == ["send"]
                assert server.send("GET", "/readyz").status_code == 200
        finally:
            owner.execute("drop role bcp_test_server")
