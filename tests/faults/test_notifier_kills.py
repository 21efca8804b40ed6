"""Notifiers that are killed while they send: every alert and the digest arrive, each once by its webhook-id.

BCP_TEST_KILLS=50 kills so often, and BCP_TEST_ALERTS=500 opens so many alerts.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import psycopg
import pytest

from bcp_analytics import create_notification_channel
from tests.faults.test_collector_kills import note
from tests.notify.receivers import Received, receiving
from tests.sql.events import ingest, usage

KILLS = int(os.environ.get("BCP_TEST_KILLS", "5"))
ALERTS = int(os.environ.get("BCP_TEST_ALERTS", "40"))
# Seconds: after this a message whose notifier was killed is due again.
LEASE = 1
PROGRAM = f"""
import asyncio, sys
from bcp_analytics.notify import Notifier
print("runs", flush=True)
asyncio.run(Notifier(sys.argv[1], lease={LEASE}, poll=0.05).run())
"""


def start(dsn: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, dsn], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def set_up(conn: psycopg.Connection[Any], url: str) -> None:
    """Make a channel that is due a digest, and a rule for each bundle, so that each alert is a message."""
    conn.execute("update bcp.settings set value = '127.0.0.1' where name = 'notification_hosts'")
    conn.execute("select set_config('bcp.now', (now() - interval '8 days')::text, false)")
    create_notification_channel(conn, "hook", "webhook", config={"url": url}, cooldown="0")
    conn.execute("select set_config('bcp.now', '', false)")
    conn.execute("delete from bcp.alert_rules")
    conn.execute(
        "insert into bcp.alert_rules (rule_name, metric, fires, threshold, clear_threshold, lookback, scope,"
        " bcp_name, description) select 'rule ' || n, 'error_rate', 'above', 0.5, 0.5, '1 hour', 'bcp',"
        " 'bundle ' || n, 'It fails.' from generate_series(1, %s) n",
        [ALERTS],
    )
    failed = [usage(bcp_name=f"bundle {n}", success=False) for n in range(1, ALERTS + 1)]
    assert ingest(conn, failed)[1] == ALERTS


def waiting(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(
        "select (select count(*) from bcp_internal.notification_outbox where delivery_id is null)"
        " + (select count(*) from bcp_internal.notification_deliveries where state = 'pending')"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(900)
def test_kills_of_the_notifier(clean_db: psycopg.Connection[Any], dsn: str, record_property: Any) -> None:
    chance = random.Random(19)  # noqa: S311 - no secret
    slowest = 0.02

    def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        # Some are killed before the answer, some after it, some before the database knows.
        time.sleep(chance.random() * slowest)
        return 204, {}, b""

    with receiving() as receiver:
        receiver.answer = answer
        set_up(clean_db, receiver.url)
        process = start(dsn)
        try:
            # In as many parts as there are kills, so that each kill finds work.
            for n in range(KILLS):
                before = len(receiver.got)
                clean_db.execute(
                    "select bcp_internal.evaluate_rule(r) from bcp.alert_rules r"
                    " where r.enabled and substr(r.rule_name, 6)::integer %% %s = %s",
                    [KILLS, n],
                )
                wanted = before + chance.randrange(1, max(2, ALERTS // KILLS))
                until = time.monotonic() + 60
                while len(receiver.got) < wanted and waiting(clean_db):
                    assert time.monotonic() < until
                    time.sleep(0.001)
                kill(process)
                process = start(dsn)
            until = time.monotonic() + 120
            while waiting(clean_db):
                assert time.monotonic() < until, "messages are still waiting"
                time.sleep(0.05)
        finally:
            kill(process)
        got = list(receiver.got)

    # What a receiver keeps that drops a webhook-id that it knows.
    kept: dict[str, Any] = {}
    for one in got:
        body = one.json
        assert json.dumps(kept.setdefault(one.headers["webhook-id"], body)) == json.dumps(body)
    opened = Counter(
        alert["alert_id"]
        for body in kept.values()
        if body["type"] == "alerts.changed"
        for alert in body["data"]["alerts"]
        if alert["event"] == "opened"
    )
    digests = [body for body in kept.values() if body["type"] == "digest.weekly"]
    stored = {row[0] for row in clean_db.execute("select alert_id from bcp.alerts").fetchall()}
    assert len(stored) == ALERTS
    assert set(opened) == stored
    assert set(opened.values()) == {1}
    assert len(digests) == 1
    # Each message is written down as delivered once, and each repeat is of a message under way at a kill.
    logged = clean_db.execute(
        "select count(*), count(distinct delivery_id) from bcp.notification_log where status = 'delivered'"
    ).fetchone()
    assert logged == (len(kept), len(kept))
    repeats = len(got) - len(kept)
    assert repeats <= 4 * KILLS
    note(record_property, kills=KILLS, alerts=ALERTS, messages=len(kept), requests=len(got), repeats=repeats)
