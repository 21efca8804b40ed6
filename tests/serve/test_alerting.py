"""Rules, channels and snoozes by HTTP, for administrators, and that the server sends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.notify.receivers import Receiver, receiving
from tests.notify.test_notifier import allow, open_alerts, until
from tests.serve.conftest import ROLES, Running, make_token, serving
from tests.sql.events import ingest, usage


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def make(server: Running, receiver: Receiver, name: str = "on call/1", **more: Any) -> Any:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        allow(conn, "127.0.0.1")
    body = {"channel_name": name, "kind": "webhook", "config": {"url": receiver.url}, "digest": False} | more
    answer = server.send("POST", "/v1/channels", role="admin", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["secret"]


def test_a_channel_is_made_tested_changed_and_deleted(server: Running, receiver: Receiver) -> None:
    secret = make(server, receiver)
    tested = server.send("POST", "/v1/channels/on call%2F1/test", role="admin").json()
    assert (tested["status"], tested["error"]) == ("delivered", None)
    [got] = receiver.got
    got.check(secret)
    assert got.headers["webhook-id"] == f"msg_{tested['delivery_id']}"
    receiver.answer = lambda _: (500, {}, b"")
    tested = server.send("POST", "/v1/channels/on call%2F1/test", role="admin").json()
    assert (tested["status"], tested["error"]) == ("failed", "HTTP 500")
    changed = server.send(
        "PATCH", "/v1/channels/on call%2F1", role="admin", json={"quiet_hours": "22:00-07:00"}
    )
    assert changed.status_code == 204
    [row] = server.send("GET", "/v1/channels", role="admin").json()
    assert (row["channel_name"], row["quiet_hours"], row["latest_status"]) == (
        "on call/1",
        "22:00-07:00",
        "failed",
    )
    assert secret not in str(row)
    history = server.send(
        "GET", "/v1/query/notification_history?channel_name=on%20call%2F1", role="reader"
    ).json()
    assert [(h["status"], h["error"]) for h in history] == [("failed", "HTTP 500"), ("delivered", None)]
    assert server.send("DELETE", "/v1/channels/on call%2F1", role="admin").status_code == 204
    for method, path in (("DELETE", "on call%2F1"), ("PATCH", "on call%2F1")):
        assert server.send(method, f"/v1/channels/{path}", role="admin", json={}).status_code == 404
    assert server.send("POST", "/v1/channels/on call%2F1/test", role="admin").status_code == 400


def test_the_server_sends_what_opens(server: Running, receiver: Receiver) -> None:
    secret = make(server, receiver)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        open_alerts(conn, "errors")
        asyncio.run(until(lambda: receiver.got))
    receiver.got[0].check(secret)


def test_a_server_that_is_told_not_to_send_does_not(dsn: str, receiver: Receiver) -> None:
    tokens = {role: make_token(dsn, role, role) for role in ROLES}
    with serving(dsn, notify=False) as running, psycopg.connect(dsn, autocommit=True) as conn:
        running.tokens = tokens
        make(running, receiver)
        open_alerts(conn, "errors")
        # A test is asked for, so it is sent.
        assert (
            running.send("POST", "/v1/channels/on call%2F1/test", role="admin").json()["status"]
            == "delivered"
        )
        assert conn.execute("select from bcp_internal.notifier").fetchall() == []
    assert [got.json["type"] for got in receiver.got] == ["channel.test"]


def test_a_rule_is_looked_at_made_and_snoozed(server: Running) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        start = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
        assert ingest(conn, [usage(start_time=start, success=False)] * 30)[1] == 30
    rule = {
        "metric": "error_rate",
        "fires": "above",
        "threshold": 0.5,
        "scope": "tool",
        "description": "Half fail.",
    }
    asked = server.send("POST", "/v1/alert-rules/half/preview", role="reader", json=rule)
    [found] = asked.json()
    assert (found["tool_name"], found["worst_value"], found["call_count"]) == ("read", 1, 30)
    assert server.send("PUT", "/v1/alert-rules/half", role="admin", json=rule).status_code == 204
    changes = {"threshold": 2, "clear_threshold": 2}
    assert server.send("POST", "/v1/alert-rules/half/preview", role="reader", json=changes).json() == []
    rules = {row["rule_name"]: row for row in server.send("GET", "/v1/alert-rules", role="reader").json()}
    assert (rules["half"]["threshold"], rules["half"]["clear_threshold"]) == (0.5, 0.5)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (
        server.send("POST", "/v1/alert-rules/half/snooze", role="admin", json={"until": later}).status_code
        == 204
    )
    rules = {row["rule_name"]: row for row in server.send("GET", "/v1/alert-rules", role="reader").json()}
    assert rules["half"]["snoozed_until"] is not None
    assert server.send("DELETE", "/v1/alert-rules/half", role="admin").status_code == 204
    assert server.send("DELETE", "/v1/alert-rules/half", role="admin").status_code == 404


def test_an_alert_is_acknowledged_and_snoozed(server: Running) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        open_alerts(conn, "errors")
    [alert] = server.send("GET", "/v1/query/active_alerts", role="reader").json()
    path = f"/v1/alerts/{alert['alert_id']}"
    assert server.send("POST", f"{path}/acknowledge", role="admin", json={"notes": "mine"}).status_code == 204
    assert (
        server.send("POST", f"{path}/snooze", role="admin", json={"until": "2100-01-01"}).status_code == 204
    )
    [alert] = server.send("GET", "/v1/query/alert_history", role="reader").json()
    assert (alert["notes"], alert["snoozed_until"]) == ("mine", "2100-01-01T00:00:00+00:00")
    assert server.send("POST", f"{path}/snooze", role="admin", json={"until": None}).status_code == 204
    assert (
        server.send("POST", "/v1/alerts/999999/snooze", role="admin", json={"until": None}).status_code == 404
    )
    huge = f"/v1/alerts/{10**30}"
    assert server.send("POST", f"{huge}/snooze", role="admin", json={"until": None}).status_code == 404
    assert server.send("POST", f"{huge}/acknowledge", role="admin", json={}).status_code == 404
    assert server.send("POST", "/v1/alerts/999999/acknowledge", role="admin", json={}).status_code == 400
