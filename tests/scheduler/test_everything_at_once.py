"""A store with its own jobs, while it is written to, asked, archived, restored, migrated, and killed.

`BCP_TEST_SCHEDULER_SECONDS` is how long it takes: 180 by default. Everything that a job does here it does
by itself, every 20 seconds.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics import erase_user
from bcp_analytics.archive import archives, restore
from bcp_analytics.errors import ArchiveError
from bcp_analytics.migrate import migrate, status
from tests.scheduler.work import answers, questions
from tests.sql.events import ingest, rows, something_to_answer, usage
from tests.targets import NativeCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

Db = psycopg.Connection[Any]

SECONDS = float(os.environ.get("BCP_TEST_SCHEDULER_SECONDS", "180"))
DAYS = 40
RETENTION = 35
WRITERS = 4
READERS = 5
VICTIM = "erin@example.com"

pytestmark = [
    pytest.mark.native("the embedded engine has no scheduler that runs beside its clients"),
    pytest.mark.timeout(SECONDS + 600),
    pytest.mark.slow,
]


@pytest.fixture
def cluster(target: str) -> Iterator[NativeCluster]:  # noqa: ARG001 - it is there for native
    workers = {"timescaledb.max_background_workers": "48", "max_worker_processes": "70"}
    found = NativeCluster(**workers, synchronous_commit="on")  # what was acknowledged survives a kill
    try:
        found.start()
        with psycopg.connect(found.dsn("postgres"), autocommit=True) as conn:
            conn.execute("create database store")
        migrate(found.dsn("store"))
        with psycopg.connect(found.dsn("store"), autocommit=True) as conn:
            runs = "select from timescaledb_information.job_stats where total_runs > 0"
            until(lambda: rows(conn, runs), 60)
            broken = "select from timescaledb_information.job_errors where err_message ~ 'cannot drop portal'"
            if rows(conn, broken):
                pytest.skip("every background job of this TimescaleDB fails on this PostgreSQL")
        yield found
    finally:
        found.stop()


def history(conn: Db, now: datetime) -> None:
    """Load days of calls, errors and metrics; whole milliseconds, whose sums depend on no order."""
    rng = random.Random(6)  # noqa: S311
    conn.execute("update bcp.settings set value = '60 days' where name = 'max_event_age'")
    for day in range(1, DAYS):
        calls = [
            usage(
                tool_name=f"tool-{rng.randrange(8)}",
                start_time=(now - timedelta(days=day, seconds=rng.randrange(80_000))).isoformat(),
                duration_ms=rng.randrange(8000),
                success=rng.random() > 0.1,
                parameters={"path": f"/srv/{rng.randrange(100)}"},
                # Whoever is erased is there on days that no answer looks back to.
                user_id=VICTIM if day in {1, 2, 3} else f"user-{rng.randrange(30)}",
                session_id=f"session-{day}-{rng.randrange(10)}",
            )
            for _ in range(300)
        ]
        ingest(conn, calls)
        at = now - timedelta(days=day, hours=1)
        for kind, events in something_to_answer(at).items():
            ingest(conn, events, kind)
        metric = {"metric_name": "queue", "metric_value": day, "timestamp": at.isoformat()}
        ingest(conn, [metric], "metrics")


def settled(conn: Db) -> None:
    conn.execute(
        "update bcp.data_retention_policies set retention_days = %s, archive_before_delete = true"
        " where table_name = 'tool_usage_logs'",
        [RETENTION],
    )
    conn.execute(
        "insert into bcp.alert_rules (rule_name, metric, fires, threshold, clear_threshold, lookback,"
        " min_calls, scope, bcp_name, description)"
        " values ('live', 'error_rate', 'above', 0.2, 0.1, '30 seconds', 20, 'bcp', 'live', 'Half fail.')"
    )
    conn.execute(
        "select alter_job(job_id, schedule_interval => '20 s', retry_period => '5 s', next_start => now())"
        " from bcp_internal.jobs()"
    )


def until(condition: Any, timeout: float) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.5)
    return found


def connected(cluster: NativeCluster) -> Db:
    return psycopg.connect(cluster.dsn("store"), autocommit=True)


def kill_the_server(cluster: NativeCluster) -> None:
    executor = cluster.executor
    restart = [executor.executable, "-D", executor.datadir, "-m", "immediate", "-w", "restart"]
    # Its output is the server's from then on, and so must not be a pipe.
    subprocess.run(
        [*restart, "-l", executor.logfile], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def restore_something(cluster: NativeCluster) -> int:
    """Put back what a job has dropped, if it has, and let it be dropped once more."""
    with connected(cluster) as conn:
        dropped = archives(conn, table="tool_usage_logs", states=["dropped"])
        if not dropped:
            return 0
        with suppress(ArchiveError):  # an archive is being written
            restore(conn, "tool_usage_logs", dropped[0].range_start, dropped[0].range_end, keep_days=0)
            return 1
    return 0


def test_everything_at_once(cluster: NativeCluster, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    since, until_ = ((now - timedelta(days=days)).isoformat() for days in (20, 5))
    stop = tmp_path / "stop"
    folder = tmp_path / "archive"
    with connected(cluster) as conn:
        history(conn, now)
        # Of raw rows, since nothing is aggregated yet.
        truth = {name: answers(conn, name, since, until_) for name in questions()}
        settled(conn)
    assert all(truth.values()), [name for name, found in truth.items() if not found]
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    said = (tmp_path / "said").open("w+")

    def start(*command: str) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", *command]
        return stack.enter_context(subprocess.Popen(program, stdout=subprocess.PIPE, stderr=said, text=True))

    dsn = cluster.dsn("store")
    restored = 0
    with ExitStack() as stack:
        stack.enter_context(said)
        writers = [
            start(
                "tests.scheduler.work",
                "write",
                dsn,
                str(stop),
                str(tmp_path / f"spool-{n}"),
                str(SECONDS / 4),
            )
            for n in range(WRITERS)
        ]
        readers = [
            start("tests.scheduler.work", "ask", dsn, str(stop), since, until_, now.isoformat())
            for _ in range(READERS)
        ]
        watch = start(
            "bcp_analytics",
            "archive",
            "--location",
            str(folder),
            "--watch",
            "--poll",
            "5",
            "--dsn",
            dsn,
        )
        try:
            began = time.monotonic()
            for part in range(1, 10):
                time.sleep(max(0, began + SECONDS * part / 10 - time.monotonic()))
                if part in {2, 5, 8}:
                    kill_the_server(cluster)
                elif part == 3:
                    migrate(dsn)
                elif part == 4:
                    with connected(cluster) as conn:
                        erase_user(conn, VICTIM)
                else:
                    restored += restore_something(cluster)
            time.sleep(max(0, began + SECONDS - time.monotonic()))
        finally:
            stop.touch()
            watch.terminate()
        wrote = [finished(process) for process in writers]
        asked = [finished(process) for process in readers]
    total = sum(found["recorded"] for found in wrote)
    answered = sum(found["asked"] for found in asked)
    print(f"{total} calls, {answered} answers, {restored} restores")  # noqa: T201 - pytest -s shows it
    for found in asked:
        check_answers(found, truth)
    assert restored > 0
    log = Path(cluster.executor.logfile).read_text()
    assert "deadlock detected" not in log
    with connected(cluster) as conn:
        check_the_store(conn, total)
    # One that was running when the server was killed waits five minutes before it runs again, and is told of.
    assert [told for told in status(dsn).warnings if "crashed when last run" not in told] == []


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return dict(json.loads(out))


def check_answers(found: dict[str, Any], truth: dict[str, str]) -> None:
    assert found["asked"] > 0
    assert found["wrong"] == {}, [
        set(answer.splitlines()) ^ set(truth.get(name, "").splitlines())
        for name, answer in found["first_wrong"].items()
    ]
    assert found["errors"] == {}


def check_the_store(conn: Db, total: int) -> None:
    [stored] = rows(conn, "select count(*)::integer as n from bcp.tool_usage_logs where bcp_name = 'live'")
    assert stored["n"] == total
    assert rows(conn, "select from bcp.ingest_ledger where accepted <> stored + duplicates + rejected") == []
    assert rows(conn, "select from bcp.ingest_ledger where rejected > 0 or dropped > 0") == []
    # The jobs alone have done all of this.
    fresh = "select sum(calls)::integer as n from bcp.tool_usage_1m where bcp_name = 'live'"
    until(lambda: rows(conn, fresh) == [{"n": total}], 180)
    assert rows(conn, "select from bcp.alerts where rule_name = 'live' and closed_at is not null")
    assert rows(
        conn,
        "select from timescaledb_information.chunks"
        " where hypertable_name = 'tool_usage_logs' and is_compressed",
    )
    assert rows(
        conn, "select from bcp.cleanup_log where table_name = 'tool_usage_logs' and action = 'dropped'"
    )
    jobs = rows(
        conn,
        "select concat_ws(' of ', proc_name, relation) as name, s.last_run_status, s.total_successes"
        " from bcp_internal.jobs() left join timescaledb_information.job_stats s using (job_id)",
    )
    assert [job for job in jobs if not job["total_successes"]] == []
    # Jobs report no error but that the server was killed.
    failed = (
        "select proc_name, sqlerrcode, err_message from timescaledb_information.job_errors"
        " where sqlerrcode is not null and sqlerrcode <> '57P01'"
    )
    assert rows(conn, failed) == []
    [ledger] = rows(conn, "select status from bcp.health() where check_name = 'ledger'")
    assert ledger["status"] == "ok"
