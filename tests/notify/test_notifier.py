"""The notifier on a store: what is in the outbox arrives, and goes on after faults."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics import create_notification_channel, notification_history
from bcp_analytics import test_notification_channel as send_test
from bcp_analytics.cli._app import app
from bcp_analytics.notify import Notifier
from bcp_analytics.notify._notifier import _Store
from tests.notify.receivers import Received, Receiver, receiving

Db = psycopg.Connection[Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def allow(conn: Db, *hosts: str) -> None:
    conn.execute("update bcp.settings set value = %s where name = 'notification_hosts'", [", ".join(hosts)])


def hook(conn: Db, receiver: Receiver, name: str = "hook", **options: Any) -> str:
    allow(conn, "127.0.0.1", "localhost")
    secret = create_notification_channel(
        conn, name, "webhook", config={"url": receiver.url}, digest=False, **options
    )
    assert secret is not None
    return secret


def open_alerts(conn: Db, *rules: str) -> None:
    """Open an alert for each of these rules, and tell of it, as the job does."""
    for rule in rules:
        conn.execute(
            "with opened as (insert into bcp.alerts as a (rule_name, tool_name, metric, severity,"
            " threshold, value, worst_value, calls, pending_since, opened_at,"
            " evaluated_at) values (%s, 'send', 'error_rate', 'warning', 0.05, 0.5, 0.5, 50, now(), now(),"
            " now()) returning a)"
            " select bcp_internal.tell_alerts(array_agg(a)) from opened",
            [rule],
        )


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - another thread makes it so
            await asyncio.sleep(0.01)


def run(notifier: Notifier, meanwhile: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        task = asyncio.create_task(notifier.run())
        try:
            await meanwhile()
        finally:
            notifier.stop()
            await task

    asyncio.run(main())


def test_an_alert_arrives_within_a_moment(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    secret = hook(clean_db, receiver)
    notifier = Notifier(dsn, poll=3600)

    async def meanwhile() -> None:
        # It waits for a NOTIFY alone: it looks at the store only once an hour.
        await until(lambda: clean_db.execute("select from bcp_internal.notifier").fetchall())
        await asyncio.to_thread(open_alerts, clean_db, "errors")
        await until(lambda: receiver.got)

    run(notifier, meanwhile)
    [got] = receiver.got
    got.check(secret)
    assert got.json["data"]["rule_name"] == "errors"
    [attempt] = notification_history(clean_db)
    assert (attempt.status, f"msg_{attempt.delivery_id}") == ("delivered", got.headers["webhook-id"])


def test_without_a_notify_it_looks_by_itself(
    clean_db: Db, dsn: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Store, "wait", lambda _, seconds: asyncio.sleep(seconds))
    hook(clean_db, receiver)
    notifier = Notifier(dsn, poll=0.05)

    async def meanwhile() -> None:
        await until(lambda: clean_db.execute("select from bcp_internal.notifier").fetchall())
        open_alerts(clean_db, "errors")
        await until(lambda: receiver.got)

    run(notifier, meanwhile)
    assert len(receiver.got) == 1


def test_a_channel_that_is_slow_leaves_the_others_their_places(
    clean_db: Db, dsn: str, receiver: Receiver
) -> None:
    hook(clean_db, receiver, "slow", rule_names=["errors", "slow", "load", "budget_fast", "budget_slow"])
    hook(clean_db, receiver, "fast", rule_names=["low_success"])
    told = threading.Event()
    together: list[int] = []
    waiting = threading.Semaphore(0)

    def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
        if got.json["data"]["channel_name"] == "fast":
            told.set()
        elif not told.is_set():
            waiting.release()
            together.append(1)
            # Until the other one has been told: were all places its own, that would never be.
            assert told.wait(15)
        return 204, {}, b""

    receiver.answer = answer
    open_alerts(clean_db, "errors", "slow", "load", "budget_fast", "budget_slow")
    notifier = Notifier(dsn, poll=0.05)

    async def meanwhile() -> None:
        await asyncio.to_thread(waiting.acquire)
        await asyncio.to_thread(open_alerts, clean_db, "low_success")
        await until(lambda: len(receiver.got) == 6)

    run(notifier, meanwhile)
    assert len(together) == 1
    assert {attempt.status for attempt in notification_history(clean_db)} == {"delivered"}


def test_once_sends_what_is_due_and_ends(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver)
    hook(clean_db, receiver, "failing", rule_names=["slow"])
    receiver.answer = lambda got: (500 if got.json["data"]["channel_name"] == "failing" else 200, {}, b"")
    open_alerts(clean_db, "errors", "slow", "load", "budget_fast", "budget_slow", "low_success")
    assert asyncio.run(Notifier(dsn).once()) == {"delivered": 6, "retry": 1}
    assert asyncio.run(Notifier(dsn).once()) == {}
    assert len(receiver.got) == 7


def test_a_slow_channel_holds_up_no_other(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver, "slow one", rule_names=["slow"])
    hook(clean_db, receiver, "quick", rule_names=["errors"])
    done: list[str] = []

    def answer(got: Any) -> tuple[int, dict[str, str], bytes]:
        name = got.json["data"]["channel_name"]
        while name == "slow one" and "quick" not in done:
            time.sleep(0.01)
        done.append(name)
        return 200, {}, b""

    receiver.answer = answer
    open_alerts(clean_db, "slow", "errors")
    assert asyncio.run(Notifier(dsn).once()) == {"delivered": 2}
    assert done == ["quick", "slow one"]


def test_what_was_sent_while_the_database_was_lost_is_not_sent_again(
    clean_db: Db,
    dsn: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook(clean_db, receiver)
    record, lost = _Store.record, []

    async def losing(store: _Store, *arguments: Any) -> Any:
        if not lost:
            lost.append(True)
            await store._conn.close()
        return await record(store, *arguments)

    monkeypatch.setattr(_Store, "record", losing)
    monkeypatch.setattr("bcp_analytics.notify._notifier._PATIENCE", 0.01)
    open_alerts(clean_db, "errors")

    def recorded() -> list[Any]:
        return notification_history(clean_db)

    async def meanwhile() -> None:
        await until(recorded)

    with caplog.at_level(logging.WARNING):
        run(Notifier(dsn, poll=0.05, lease=0.2), meanwhile)
    assert lost
    assert len(receiver.got) == 1
    assert [r.message for r in caplog.records] == ["The notifier has no database: OperationalError"]


def test_stopping_waits_for_what_is_under_way(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver)
    notifier = Notifier(dsn, poll=3600)
    stopped: list[bool] = []

    def answer(_: Any) -> tuple[int, dict[str, str], bytes]:
        while not stopped:
            time.sleep(0.01)
        return 200, {}, b""

    receiver.answer = answer
    open_alerts(clean_db, "errors")

    async def meanwhile() -> None:
        await until(lambda: receiver.got)
        notifier.stop()
        stopped.append(True)

    run(notifier, meanwhile)
    assert [a.status for a in notification_history(clean_db)] == ["delivered"]


def test_a_test_is_sent_by_whoever_comes_first(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver)
    delivery_id = send_test(clean_db, "hook")
    assert asyncio.run(Notifier(dsn).once()) == {"delivered": 1}
    outcome = asyncio.run(Notifier(dsn).one(delivery_id))
    assert outcome is not None
    assert (outcome.status, outcome.error, outcome.channel_name) == ("delivered", None, "hook")
    assert len(receiver.got) == 1


def command(dsn: str, *args: str, **options: Any) -> Any:
    env = {"BCP_ANALYTICS_DSN": dsn} | options.pop("env", {})
    return CliRunner().invoke(app, [*args], env=env, **options)


def test_channels_by_the_command_line(clean_db: Db, dsn: str, receiver: Receiver, tmp_path: Path) -> None:
    allow(clean_db, "127.0.0.1")
    made = command(dsn, "channel", "create", "on-call", "--kind", "webhook", "--url", receiver.url)
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    tested = command(dsn, "channel", "test", "on-call")
    assert tested.stdout == "Delivered.\n", tested.output
    receiver.got[0].check(secret)
    receiver.answer = lambda _: (500, {}, b"")
    failed = command(dsn, "channel", "test", "on-call")
    assert failed.exit_code == 1
    assert "HTTP 500" in failed.stderr
    # A secret comes from a file, stdin or the environment.
    url = f"{receiver.url}/services/token"
    (tmp_path / "url").write_text(url + "\n")
    for name, how in {
        "by file": {"args": ("--secret-file", str(tmp_path / "url"))},
        "by stdin": {"args": ("--secret-file", "-"), "input": url},
        "by variable": {"args": (), "env": {"BCP_CHANNEL_SECRET": url}},
    }.items():
        more: Any = dict(how)
        made = command(dsn, "channel", "create", name, "--kind", "slack", *more.pop("args"), **more)
        assert made.exit_code == 0, made.output
        assert url not in made.output
    listed = command(dsn, "channel", "list", "--format", "json")
    assert "by variable" in listed.stdout
    assert "token" not in listed.stdout
    assert secret not in listed.stdout
    assert command(dsn, "channel", "alter", "on-call", "--disable", "--rule", "slow").stdout == "Changed.\n"
    assert command(dsn, "channel", "alter", "nothing", "--disable").exit_code == 1
    assert command(dsn, "channel", "delete", "by file").stdout == "Deleted.\n"
    assert command(dsn, "channel", "delete", "by file").exit_code == 1
    refused = command(
        dsn, "channel", "create", "x", "--kind", "slack", input="", env={"BCP_CHANNEL_SECRET": "ftp://t"}
    )
    assert refused.exit_code == 1
    assert "ftp://t" not in refused.output
    mail = command(
        *(dsn, "channel", "create", "mail", "--kind", "email", "--smtp", "smtp.example.com:2525"),
        *("--from", "a@example.com", "--to", "b@example.com", "--to", "c@example.com"),
    )
    assert "notification_hosts does not allow" in mail.stderr


def test_notify_once_by_the_command_line(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver)
    open_alerts(clean_db, "errors")
    done = command(dsn, "notify", "--once")
    assert done.stdout == "1 attempt: 1 delivered, 0 retry, 0 failed.\n", done.output


def test_notify_runs_until_a_signal(clean_db: Db, dsn: str, receiver: Receiver) -> None:
    hook(clean_db, receiver)
    with subprocess.Popen(
        [sys.executable, "-m", "bcp_analytics", "notify", "--dsn", dsn], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "Sending; Ctrl-C stops it.\n"
            open_alerts(clean_db, "errors")
            asyncio.run(until(lambda: receiver.got and notification_history(clean_db)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert process.stderr.read() == "stopped\n"
        finally:
            process.kill()
    assert len(receiver.got) == 1
