"""kill -9 of the program, and of the database, while events come in: each is there exactly once.

Few kills and events by default. `BCP_FAULT_EVENTS=200000 BCP_FAULT_KILLS=20` is what is promised.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics import Collector
from tests.faults.servers import KillableCluster, killable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = int(os.environ.get("BCP_FAULT_EVENTS", "2000"))
KILLS = os.environ.get("BCP_FAULT_KILLS")
LEDGER = "select sum(accepted), sum(stored + duplicates + rejected), sum(stored) from bcp.ingest_ledger"


def arrived(conn: psycopg.Connection[Any]) -> dict[str, int]:
    found = conn.execute("select event_id::text, count(*) from bcp.tool_usage_logs group by 1").fetchall()
    return dict(found)


def try_now(collector: Collector) -> None:
    """As if the pause before the next attempt were over, or most kills would find nobody connected."""
    core = collector._core
    with core._lock:
        core._attempts.try_at = 0.0
        core._work.notify()


def drain(collector: Collector) -> None:
    until = time.monotonic() + 60 + EVENTS / 200
    while not collector.flush(5) or collector.stats().spooled:
        assert time.monotonic() < until, collector.stats()
        try_now(collector)
        time.sleep(0.01)


def note(record_property: Any, **figures: object) -> None:
    record_property("figures", json.dumps(figures))
    sys.stdout.write(f"{figures}\n")


@pytest.mark.timeout(3600)
def test_kills_of_the_program(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path, target: str, record_property: Any
) -> None:
    kills = int(KILLS or ("20" if target == "native" else "4"))
    spool, ids = tmp_path / "spool", []
    events = EVENTS if target == "native" or KILLS else EVENTS // 5
    # Each child lives a quarter of a second, which is a few batches.
    pause = 0.25 * kills / events
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.recording", dsn, str(spool), str(pause)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        for number in range(kills):
            program.stdin.write("go\n")
            program.stdin.flush()
            child = int(program.stdout.readline().split()[1])
            for mine, line in enumerate(program.stdout, 1):
                if line == "done\n":
                    break
                ids.append(line.strip())
                # Vary the number, or the kill would come at the same place each time.
                if mine == events // kills + number:
                    os.kill(child, signal.SIGKILL)
        program.stdin.close()
    left = len(list(spool.rglob("*.seg")))
    with Collector(dsn, source="killed", spool=spool) as collector:
        drain(collector)
        s = collector.stats()
        assert (s.corrupt, s.dropped) == (0, 0)
    found = arrived(clean_db)
    assert len(ids) == len(set(ids)) >= events
    assert set(ids) - set(found) == set(), "an id that was printed is missing"
    assert set(found.values()) == {1}
    [(accepted, accounted, stored)] = clean_db.execute(LEDGER).fetchall()
    assert (accepted, stored) == (accounted, len(found))
    note(record_property, target=target, kills=kills, ids=len(ids), rows=len(found), segments_left=left,
         adopted=s.adopted, duplicates=int(accepted - stored))  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[KillableCluster]:
    with killable() as made:
        yield made


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("durable", [False, True])
def test_kills_of_the_database(
    cluster: KillableCluster,
    tmp_path: Path,
    durable: bool,  # noqa: FBT001
    record_property: Any,
) -> None:
    kills = int(KILLS or "2")
    dsn = cluster.dsn("bcp")
    ids = []
    with Collector(dsn, source=f"db-{durable}", spool=tmp_path, durable=durable, buffer_size=20) as collector:
        for _ in range(kills):
            for n in range(EVENTS // kills):
                ids.append(collector.record("mail", "send", parameters={"n": n, "text": "x" * 200}))
                if n == EVENTS // kills // 2:
                    cluster.kill()
                # Otherwise all would be recorded before the first batch is on its way.
                time.sleep(0.0002)
            collector.flush(10)
            cluster.restart()
            try_now(collector)
        drain(collector)
        s = collector.stats()
        assert (s.state, s.spooled, s.buffered, s.dropped, s.rejected) == ("ok", 0, 0, 0, 0)
    with psycopg.connect(dsn) as conn:
        wanted = set(ids)
        found = {i: n for i, n in arrived(conn).items() if i in wanted}
        [(accepted, accounted, stored)] = conn.execute(
            f"{LEDGER} where source = %s", [f"db-{durable}"]
        ).fetchall()
    assert set(found) == wanted
    assert set(found.values()) == {1}
    assert (accepted, stored) == (accounted, len(ids))
    note(record_property, durable=durable, kills=kills, ids=len(ids), rows=len(found),
         retries=s.retries, duplicates=s.duplicates)  # fmt: skip


def test_a_wrong_password(cluster: KillableCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(cluster.dsn("bcp"), autocommit=True) as conn:
        conn.execute("create role bcp_test_password login password 'right' in role bcp_writer")
        hba = cluster.folder / "data" / "pg_hba.conf"
        rules = hba.read_text()
        hba.write_text(f"local all bcp_test_password scram-sha-256\n{rules}")
        conn.execute("select pg_reload_conf()")
        dsn = cluster.dsn("bcp").replace("user=postgres", "user=bcp_test_password")
        with Collector(f"{dsn} password=wrong-hunter2", source="pw", spool=tmp_path) as collector:
            until = time.monotonic() + 30
            while collector.stats().state == "ok":
                # Until the server has read its rules.
                collector.record("mail", "send")
                collector.flush(10)
                assert time.monotonic() < until
            s = collector.stats()
            assert (s.state, s.error, s.dropped) == ("failed", "OperationalError 28000", 0)
            assert "Check user and password" in caplog.text
            assert "hunter2" not in caplog.text + repr(s)
        with Collector(f"{dsn} password=right", source="pw", spool=tmp_path) as collector:
            drain(collector)
            assert collector.stats().adopted == s.spooled
        hba.write_text(rules)
        conn.execute("select pg_reload_conf()")


_FULL_DISK = """
import sys
from bcp_analytics import Collector
durable = sys.argv[2] == "durable"
collector = Collector("host=127.0.0.1 port=1", source="full", spool=sys.argv[1], durable=durable)
for _ in range(1000):
    collector.record("mail", "send", parameters="x" * 400)
    if _ % 100 == 0:
        collector.flush(10)
flushed = collector.flush(10)
s = collector.stats()
print(flushed, s.state, s.spooled > 0, s.buffered > 0, s.spooled + s.buffered, s.dropped, flush=True)
collector.close()
print(collector.stats().dropped > 0, flush=True)
"""


@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_a_disk_that_is_really_full(tmp_path: Path, mode: str) -> None:
    mount = f"mount -t tmpfs -o size=200k tmpfs {tmp_path}"
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*isolated, mount], check=False, capture_output=True).returncode != 0:
        pytest.skip("no small file system can be made here: unshare and mount are not allowed")
    done = subprocess.run(
        [*isolated, f'{mount} && exec "$@"', "sh", sys.executable, "-c", _FULL_DISK, str(tmp_path), mode],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.split() == ["False", "blocked", "True", "True", "1000", "0"]
    assert "ENOSPC" in done.stderr
    assert second == "True", "what neither disk nor database took is counted when the program ends"
    assert "event(s) or more are lost" in done.stderr
