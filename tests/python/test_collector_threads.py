"""Collector: its thread, other threads, forks and the end of the program."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from bcp_analytics import Collector
from tests.python.collector_fakes import Deadly, Sender, balanced, make, stored


def test_the_thread_sends_a_full_buffer_and_errors_at_once(tmp_path: Path) -> None:
    arrived = threading.Event()

    class Telling(Sender):
        def send(self, batch: Any) -> Any:
            result = super().send(batch)
            arrived.set()
            return result

    sender = Telling()
    with Collector(
        "", source="test", spool=tmp_path, flush_interval_s=3600, buffer_size=10, _sender=sender
    ) as collector:
        for _ in range(9):
            collector.record("mail", "send")
        assert not arrived.wait(0.05)
        collector.record("mail", "send")
        assert arrived.wait(10)
        arrived.clear()
        collector.record_error("warn", "wait")
        assert not arrived.wait(0.05)
        collector.record_error("error", "now")
        assert arrived.wait(10)
    assert len(stored(sender)) == 12


def test_an_interval_that_is_over_sends_too(tmp_path: Path) -> None:
    arrived = threading.Event()

    class Telling(Sender):
        def send(self, batch: Any) -> Any:
            arrived.set()
            return super().send(batch)

    with Collector("", source="test", spool=tmp_path, flush_interval_s=0.01, _sender=Telling()) as collector:
        collector.record("mail", "send")
        assert arrived.wait(10)


def test_many_threads_record_at_once(tmp_path: Path) -> None:
    sender = Sender()
    with Collector("", source="test", spool=tmp_path, durable=True, _sender=sender) as collector:

        def work(_: int) -> list[str]:
            return [collector.record("mail", "send", parameters={"n": n}) for n in range(300)]

        with ThreadPoolExecutor(6) as pool:
            ids = set(chain.from_iterable(pool.map(work, range(6))))
        assert collector.flush(30)
        assert balanced(collector)
    assert ids == set(sender.database.events)
    assert sender.database.copies == []


def test_a_hanging_send_neither_blocks_record_nor_close_nor_loses(tmp_path: Path) -> None:
    go, entered = threading.Event(), threading.Event()

    class Hanging(Sender):
        def send(self, batch: Any) -> Any:
            entered.set()
            go.wait(60)
            return super().send(batch)

    sender = Hanging()
    collector = Collector("", source="test", spool=tmp_path, buffer_size=1, _sender=sender)
    collector.record("mail", "send")
    assert entered.wait(10)
    for _ in range(12_000):
        collector.metric("m", 1)
    s = collector.stats()
    assert s.spooled > 0, "memory is bounded"
    assert balanced(collector)
    assert not collector.flush(0.01)
    collector.close(0.01)
    assert (collector.stats().spooled, collector.stats().buffered) == (12_001, 0)
    go.set()
    assert collector._core._thread is not None
    collector._core._thread.join(10)
    with make(tmp_path, Sender(sender.database)) as collector:
        collector.flush()
    assert len(sender.database.events) == 12_001


def test_a_thread_that_died_costs_nothing(tmp_path: Path) -> None:
    collector = Collector("", source="test", spool=tmp_path, flush_interval_s=3600, _sender=Deadly())
    collector.record("mail", "send")
    assert not collector.flush(1)
    thread = collector._core._thread
    assert thread is not None
    thread.join(10)
    collector.record("mail", "send")
    collector.flush(10)
    collector.close()
    assert (collector.stats().spooled, collector.stats().dropped) == (2, 0)


_AT_EXIT = """
import sys
from tests.python.collector_fakes import Sender
from bcp_analytics import Collector
sender = Sender()
sender.close = lambda: print(len(sender.database.events), flush=True)
collector = Collector("", source="test", spool=sys.argv[1], _sender=sender)
for _ in range(7):
    collector.record("mail", "send")
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "raise ValueError"])
def test_the_end_of_the_program_drains(tmp_path: Path, end: str) -> None:
    code = _AT_EXIT.format(end=end)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split()[0] == "7", done.stderr


def test_a_forked_child_begins_anew_and_the_parent_sends_its_own(tmp_path: Path) -> None:
    class Shared(Sender):
        """Writes what it gets to a file, since memory is not shared."""

        def send(self, batch: Any) -> Any:
            with (tmp_path / f"sent-{os.getpid()}").open("a") as file:
                file.writelines(f"{json.loads(p)['tool_name']}\n" for p in batch.payloads)
            return super().send(batch)

    collector = Collector(
        "", source="test", spool=tmp_path / "s", flush_interval_s=3600, durable=True, _sender=Shared()
    )
    collector.record("mail", "parent")
    instance = collector._core._reporter.instance
    child = os.fork()
    if child == 0:
        try:
            clean = collector.stats().recorded == 0 and collector._core._reporter.instance != instance
            collector.record("mail", "child")
            sent = collector.flush(20)
            os._exit(0 if clean and sent and len(list((tmp_path / "s").rglob("*.seg"))) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / f"sent-{child}").read_text() == "child\n"
    # The child left without closing. Its lock went with it, the parent's lock did not.
    with make(tmp_path / "s", Sender()) as other:
        assert other.stats().adopted == 0
    collector.close()
    assert (tmp_path / f"sent-{os.getpid()}").read_text() == "parent\n"


_POOL = """
import multiprocessing, sys
from bcp_analytics import Collector
from tests.python.collector_fakes import Sender

def work(folder):
    sender = Sender()
    sender.close = lambda: print("sent", len(sender.database.events), flush=True)
    Collector("", source="test", spool=folder, _sender=sender).record("mail", "send")

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1],))
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_drains_too(tmp_path: Path, method: str) -> None:
    (tmp_path / "pool.py").write_text(_POOL)
    done = subprocess.run(
        [sys.executable, tmp_path / "pool.py", tmp_path / "spool", method],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.split()[:2] == ["sent", "1"], done.stderr


def test_a_log_handler_may_record_with_the_same_collector(tmp_path: Path) -> None:
    class Recording(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other = threading.Thread(target=collector.record_error, args=("error", record.getMessage()))
            other.start()
            other.join(20)
            assert not other.is_alive(), "the collector's lock is held while a line is written"

    handler = Recording()
    logging.getLogger("bcp_analytics").addHandler(handler)
    sender = Sender()
    sender.mode = "away"
    try:
        with make(tmp_path, sender) as collector:
            collector.record("mail", "send")
            collector.flush()
            assert collector.stats().recorded == 2
    finally:
        logging.getLogger("bcp_analytics").removeHandler(handler)
