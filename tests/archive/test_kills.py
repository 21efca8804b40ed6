"""kill -9 of a run at every step and at any moment: no row is lost, none is there twice.

Few kills by default. `BCP_FAULT_ARCHIVE_RUNS=100` is what is promised.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from bcp_analytics.archive import archives
from tests.archive.rows import few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    Db = psycopg.Connection[Any]

RUNS = os.environ.get("BCP_FAULT_ARCHIVE_RUNS")
DAYS = ("2020-01-05", "2020-01-06", "2020-01-07")
STEPS = {
    "archive": (
        "begun", "exported", "uploaded", "proven", "manifest", "marked", "removed", "",
    ),
    # With a second run at the same time, which goes on.
    "archives": ("begun", "uploaded", "manifest", "marked", ""),
    "restore": ("read", "filled", "restoring", "restored", ""),
    "rewrite": ("begun", "uploaded", "manifest", "marked", "removed", ""),
}  # fmt: skip


@contextmanager
def program(dsn: str, folder: Path) -> Iterator[Callable[..., int]]:
    """Yield what runs an order in a child of its own, and returns the signal that ended it, or 0."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.archive.dying", dsn, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(do: str, step: str = "-", times: int = 1, after: float | None = None) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"do": do, "step": step, "times": times, "after": after}) + "\n")
            process.stdin.flush()
            signalled, code, _ = process.stdout.readline().split()
            assert int(signalled) or int(code) == 0, "a run that nobody killed failed"
            return int(signalled)

        yield run
        process.stdin.close()


def wait_for_the_locks(conn: Db) -> None:
    """The server notices that a killed client is gone; then it lets go of its locks."""
    until = time.monotonic() + 30
    for day in DAYS:
        place = ["tool_usage_logs", day, f"{datetime.fromisoformat(day) + timedelta(days=1):%Y-%m-%d}"]
        while not conn.execute("select is_mine from bcp_internal.lock_archive(%s, %s, %s)", place).fetchall()[
            0
        ][0]:
            assert time.monotonic() < until
            time.sleep(0.02)
        conn.execute("select bcp_internal.unlock_archive(%s, %s, %s)", place)


def ids_of_files(conn: Db, state: tuple[str, ...]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in archives(conn, states=state):
        for file in one.files:
            path = Path(one.location.removeprefix("file://")) / file["path"]
            found.update(pq.read_table(path, columns=["event_id"], partitioning=None)["event_id"].to_pylist())
    return found


def ids_of_table(conn: Db) -> Counter[str]:
    return Counter(
        one for (one,) in conn.execute("select event_id::text from bcp.tool_usage_logs").fetchall()
    )


def check(conn: Db, everything: set[str]) -> None:
    """Each row is in the table or in one archive of a dropped chunk; what is in both is not dropped."""
    table, dropped = ids_of_table(conn), ids_of_files(conn, ("dropped",))
    assert set(table) | set(dropped) == everything, "lost"
    assert not set(table) & set(dropped), "in the table, and to be restored"
    assert {*table.values(), *dropped.values()} <= {1}, "twice"
    there = ids_of_files(conn, ("verified", "restored"))
    assert set(there) <= set(table), "archived as still there, and gone"
    assert set(there.values()) <= {1}, "archived twice"


@pytest.mark.timeout(3600)
def test_kills(dsn: str, clean_db: Db, tmp_path: Path, target: str) -> None:
    runs = int(RUNS or ("24" if target == "native" else "8"))
    chance = random.Random(runs)  # noqa: S311
    orders = [(do, step) for do, steps in STEPS.items() for step in steps]
    killed: Counter[str] = Counter()
    for day in DAYS:
        few(clean_db, day, 4)
    with program(dsn, tmp_path) as run:
        for number in range(runs):
            do, step = orders[number * 5 % len(orders)]
            if step == "removed":
                few(clean_db, DAYS[0], 1)
                run("archive")
            if do.startswith("archive"):
                for day in DAYS:
                    few(clean_db, day, chance.randrange(1, 4))
            everything = set(ids_of_table(clean_db)) | set(ids_of_files(clean_db, ("dropped",)))
            if not do.startswith("archive"):
                run("archive")
                clean_db.execute("call bcp.run_cleanup()")
                check(clean_db, everything)
                assert do == "rewrite" or not ids_of_table(clean_db), "all could be dropped"
            if step:
                signalled = run(do, step, times=chance.randrange(1, 3))
            else:
                signalled = run(do, after=chance.uniform(0.02, 0.6))
            killed[f"{do} {step or 'any time'}"] += bool(signalled)
            wait_for_the_locks(clean_db)
            check(clean_db, everything)
            clean_db.execute("call bcp.run_cleanup()")
            check(clean_db, everything)
            if number % 2:
                run("archive")
                clean_db.execute("call bcp.run_cleanup()")
                check(clean_db, everything)
                names = {file["path"] for one in archives(clean_db) for file in one.files}
                assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.parquet*")} == names
                assert len(list(tmp_path.rglob("*.json"))) == len(archives(clean_db))
        everything = set(ids_of_table(clean_db)) | set(ids_of_files(clean_db, ("dropped",)))
        run("restore")
        assert ids_of_table(clean_db) == Counter(everything)
    sys.stdout.write(f"{runs} runs, killed: {dict(sorted(killed.items()))}\n")
    assert killed.total() >= runs * 3 // 4
