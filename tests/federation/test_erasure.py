"""`bcp-analytics erase-user` on a head: no shard, no archive of one and not the head holds the person."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from bcp_analytics import archive
from bcp_analytics.cli._app import app
from tests.federation.heads import NOW, Federation, connect, federated, send
from tests.federation.test_routing import away, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.any_target("starts a server of its own"), pytest.mark.slow]

DAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
COMMAND = [sys.executable, "-m", "bcp_analytics", "erase-user", "--yes", "--dsn"]


@pytest.fixture(scope="module")
def made() -> Iterator[Federation]:
    with federated() as made:
        yield made


def erase(made: Federation, person: str, *arguments: str, code: int = 0) -> str:
    given = ["erase-user", "--dsn", made.dsns["head"], *arguments]
    result = CliRunner().invoke(app, given, input=f"{person}\n")
    assert result.exit_code == code, result.output
    assert person not in result.output
    return result.output


def left(conn: psycopg.Connection[Any], person: str) -> int:
    """Count the rows that hold the person, as sent or as stored."""
    [(hashed,)] = conn.execute("select bcp.hash_of(%s)", [person]).fetchall()
    found = 0
    for table in ("tool_usage_logs", "users", "user_sessions", "rejected_events", "issue_actions"):
        query = sql.SQL(
            "select count(*) from bcp.{} t where strpos(t::text, %s) > 0 or strpos(t::text, %s) > 0"
        )
        [(rows,)] = conn.execute(query.format(sql.Identifier(table)), [hashed, person]).fetchall()
        found += rows
    return found


def everywhere(made: Federation, person: str) -> dict[str, int]:
    return {name: left(conn, person) for name, conn in {"head": made.head, **made.shards}.items()}


def know(made: Federation, person: str) -> None:
    """Have every shard and the head hold something of a person."""
    events = calls(["files", "search", "maps"], user_id=person, start_time=DAY.isoformat())
    # A new session: its connections to shards are not those of before one was away.
    with connect(made.dsns["head"]) as head:
        assert send(head, {"tool_usage": events}) == [(3, 3, 0, 0)]
    made.head.execute(
        "insert into bcp.issue_actions (fingerprint, acted_at, action, notes, acted_by)"
        " values (md5(%s), now(), 'resolved', %s, 'somebody')",
        [person, f"{person} complained"],
    )
    assert all(everywhere(made, person).values())


def test_it_says_what_it_would_do_and_does_it_on_all_shards_and_their_archives(
    made: Federation, tmp_path: Path
) -> None:
    person = "ada.lovelace@example.com"
    know(made, person)
    send(made.head, {"tool_usage": calls(["files"], user_id="bob", start_time=DAY.isoformat())})
    archive.archive(
        made.shards["a"], str(tmp_path), table="tool_usage_logs", since=DAY, until=DAY + timedelta(days=1)
    )
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert "It would delete 3 calls and 0 errors" in erase(made, person, code=1)
    assert all(everywhere(made, person).values())
    said = erase(made, person, "--yes", "--note", "request 4711")
    assert [line for line in said.splitlines() if line.startswith(("Shard", "Head"))] == [
        "Shard a:",
        "Shard b:",
        "Shard c:",
        "Head: what it keeps itself holds nothing of them.",
    ]
    assert said.count("Complete: neither the database nor an archive holds anything of them.") == 3
    assert everywhere(made, person) == {"head": 0, "a": 0, "b": 0, "c": 0}
    for conn in [made.head, *made.shards.values()]:
        assert conn.execute("select note from bcp.erasures").fetchall() == [("request 4711",)]
    import pyarrow.parquet as pq  # noqa: PLC0415

    [file] = tmp_path.rglob("*.parquet")
    assert pq.read_table(file, partitioning=None).column("user_id").to_pylist() == ["bob"]


def test_a_shard_that_is_away_keeps_no_other_from_being_erased(made: Federation) -> None:
    person = "grace.hopper@example.com"
    know(made, person)
    with away(made, "b"):
        assert "Not complete: the shard b failed." in erase(made, person, "--yes", code=1)
    assert [name for name, rows in everywhere(made, person).items() if rows] == ["b"]
    erase(made, person, "--yes")
    assert everywhere(made, person) == {"head": 0, "a": 0, "b": 0, "c": 0}


def test_what_a_kill_leaves_is_done_by_the_next_run(made: Federation) -> None:
    person = "mary.shelley@example.com"
    know(made, person)
    with psycopg.connect(made.dsns["b"]) as lock:
        lock.execute("lock table bcp.tool_usage_logs in access exclusive mode")
        with subprocess.Popen([*COMMAND, made.dsns["head"]], stdin=subprocess.PIPE) as run:
            assert run.stdin is not None
            run.stdin.write(f"{person}\n".encode())
            run.stdin.close()
            waiting = "select 1 from pg_stat_activity where datname = 'b' and wait_event_type = 'Lock'"
            while not made.one.execute(waiting).fetchone():
                assert run.poll() is None
            run.kill()
    # In order: the first shard was done, and none after the second begun.
    assert {name: bool(rows) for name, rows in everywhere(made, person).items()} == {
        "head": True,
        "a": False,
        "b": True,
        "c": True,
    }
    erase(made, person, "--yes")
    assert everywhere(made, person) == {"head": 0, "a": 0, "b": 0, "c": 0}
