"""A streaming standby answers every question as its primary does, and the commands and the server use it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row
from typer.testing import CliRunner

from bcp_analytics.cli._app import app
from bcp_analytics.migrate import migrate
from bcp_analytics.queries._questions import QUESTIONS
from tests.property import calls as model
from tests.serve.conftest import make_token, serving
from tests.sql.events import ingest, open_alert, something_to_answer
from tests.standby import Standby, replicated

pytestmark = [pytest.mark.slow, pytest.mark.native("the embedded engine has no replication")]

NOW = model.AUTUMN
SINCE = NOW - timedelta(days=12)
NEEDED = {"alert_preview": {"p_rule_name": "errors"}}
# These look at what was stored within the last 24 hours.
LIVE = {"live_metrics", "recent_calls"}
Answer = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def standby(target: str) -> Iterator[Standby]:  # noqa: ARG001 - it is there for native
    """Calls in aggregates, in the columnstore and late, of which the standby has seen every change."""
    with replicated() as made:
        migrate(made.primary.dsn("store"))
        with connected(made.primary.dsn("store")) as conn:
            calls = model.some_calls(7, 1500, NOW, 12)
            model.insert(conn, calls)
            for kind, events in something_to_answer(NOW - timedelta(hours=1)).items():
                ingest(conn, events, kind)
            open_alert(conn)
            conn.execute("call bcp.refresh_analytics_views()")
            for relation in ("tool_usage_logs", "tool_usage_1m", "tool_usage_1h", "tool_latency_1h"):
                conn.execute(
                    "select compress_chunk(c)"
                    " from show_chunks(%s::regclass, older_than => %s::timestamptz) c",
                    [f"bcp.{relation}", NOW - timedelta(days=1)],
                )
            model.change_late(conn, calls, 11, NOW)
        made.wait()
        yield made


def connected(dsn: str, role: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    conn = psycopg.connect(dsn, autocommit=True, row_factory=tuple_row)
    conn.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
    if role is not None:
        conn.execute("select set_config('role', %s, false)", [role])
    return conn


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=0)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_every_function_of_readers_answers_as_on_the_primary(standby: Standby) -> None:
    answered = 0
    with (
        connected(standby.primary.dsn("store"), "bcp_reader") as primary,
        connected(standby.dsn("store"), "bcp_reader") as replica,
    ):
        assert replica.execute("select pg_is_in_recovery()").fetchone() == (True,)
        functions = primary.execute(
            "select proname, coalesce(proargnames[:pronargs], '{}'), pronargs - pronargdefaults"
            " from pg_proc where pronamespace = 'bcp'::regnamespace and prokind = 'f'"
            " and prorettype <> 'trigger'::regtype and has_function_privilege('bcp_reader', oid, 'execute')"
            " order by proname"
        ).fetchall()
        assert set(QUESTIONS) <= {name for name, *_ in functions}
        for name, takes, needs in functions:
            given: dict[str, Any] = dict(NEEDED.get(name, {}))
            assert len(given) == needs, f"{name} needs arguments: name them in NEEDED"
            if "p_since" in takes and name not in LIVE:
                given["p_since"] = SINCE
            if name == "session_timeline":
                given["p_session_id"] = "s1"
            named = ", ".join(f"{parameter} => %s" for parameter in given)
            query = f"select * from bcp.{name}({named})"
            there, here = (
                conn.execute(query, list(given.values())).fetchall() for conn in (primary, replica)
            )
            if name == "health":
                # Files grow by themselves, not by what is in them.
                there, here = ([row for row in rows if row[0] != "size"] for rows in (there, here))
            assert equal(there, here), name
            answered += bool(here)
    # Only what has nothing to tell on the primary, such as chunks that wait for an archive, is empty here.
    assert answered >= len(functions) - 5


def test_a_standby_takes_no_events_and_says_so(standby: Standby) -> None:
    with (
        connected(standby.dsn("store"), "bcp_writer") as conn,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        conn.execute("select bcp.log_tool_usage('files', 'read')")


@pytest.mark.parametrize(
    "command",
    [
        ["query", "tool_usage_stats", "--since", "12d", "--format", "json"],
        ["explain", "tool_usage_stats", "--since", "12d", "--json"],
        ["report", "--since", "12d"],
        ["archive", "list", "--format", "json"],
        *(["query", name, "--format", "csv"] for name in ("health", "live_metrics", "active_alerts")),
    ],
    ids=" ".join,
)
def test_commands_that_read_use_the_standby_alone(
    standby: Standby, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    clock = f"-c bcp.now={NOW.isoformat()}"
    monkeypatch.setenv("BCP_ANALYTICS_READ_DSN", make_conninfo(standby.dsn("store"), options=clock))
    monkeypatch.setenv("BCP_ANALYTICS_DSN", "host=/nowhere dbname=store")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    # What writes goes where it did.
    assert "cannot be reached" in CliRunner().invoke(app, ["refresh"]).output


def test_the_server_asks_the_standby_and_stores_on_the_primary_also_without_it(standby: Standby) -> None:
    primary = standby.primary.dsn("store")
    tokens = {role: make_token(primary, f"standby-{role}", role) for role in ("ingest", "reader")}
    with serving(primary, read_dsn=standby.dsn("store"), notify=False) as server:
        server.tokens = tokens

        def ask() -> httpx2.Response:
            return server.send("GET", "/v1/query/tool_usage_stats?interval=1d", role="reader")

        def send(tool: str) -> httpx2.Response:
            return server.send(
                "POST", "/v1/events/tool_usage", role="ingest", json=[{"bcp_name": "web", "tool_name": tool}]
            )

        assert send("before").status_code == 200
        standby.wait()
        assert "before" in ask().text
        standby.stop()
        try:
            assert ask().status_code == 503
            assert send("meanwhile").status_code == 200
        finally:
            standby.start()
        standby.wait()
        deadline = time.monotonic() + 60
        while (answer := ask()).status_code == 503:
            assert time.monotonic() < deadline, "the server does not find the standby again"
        assert "meanwhile" in answer.text
