"""Channels: which are taken, who may have to do with them, and where their secrets do not go."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from bcp_analytics import (
    InvalidArgument,
    alter_notification_channel,
    delete_notification_channel,
    notification_channels,
)
from bcp_analytics import test_notification_channel as send_test
from tests.security.roles import acting_as, refused
from tests.sql.events import rows
from tests.sql.notifying import at, channel, claim, record

Db = psycopg.Connection[Any]


@pytest.fixture
def conn(db: Db) -> Db:
    """Give a store at noon on a Monday."""
    at(db, "12:00")
    return db


def test_a_test_is_sent_once_even_where_nothing_else_is(conn: Db) -> None:
    channel(conn, quiet_hours="00:00-23:59")
    alter_notification_channel(conn, "hook", enabled=False)
    delivery_id = send_test(conn, "hook")
    [told] = claim(conn)
    assert (told["delivery_id"], told["about"]) == (delivery_id, "test")
    assert record(conn, told, "HTTP 500") == "failed"
    with pytest.raises(InvalidArgument, match="no channel"), conn.transaction():
        send_test(conn, "nothing")
    [health] = rows(conn, "select status from bcp.health() where check_name = 'notifications'")
    assert health["status"] == "ok"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "pigeon"}, "p_kind is none of"),
        ({"config": {"url": "ftp://example.com"}}, "cannot be read"),
        ({"config": {"url": "https://me:secret@example.com/"}}, "cannot be read"),
        ({"config": {"url": "https://example.com\\@10.0.0.1/"}}, "cannot be read"),
        ({"config": {"url": "http://example.com/x"}}, "notification_hosts does not allow"),
        ({"config": {"url": "https://example.com/", "headers": {}}}, "cannot be set up so"),
        ({"secret": "short"}, "cannot be set up so"),
        ({"kind": "slack", "config": {}}, "cannot be set up so"),
        ({"kind": "slack", "config": {}, "secret": "https://hooks.slack.com/a\nb"}, "cannot be set up so"),
        ({"kind": "apprise", "config": {}, "secret": "discord://a/b"}, "does not allow 'apprise:discord'"),
        ({"kind": "alertmanager", "digest": True}, "takes no digest"),
        ({"kind": "email", "config": {"host": "mail.example.com"}}, "cannot be set up so"),
        ({"quiet_hours": "10pm"}, "p_quiet_hours cannot be read"),
        ({"time_zone": "Mars/Base"}, "not a time zone"),
        ({"cooldown": "8 days"}, "p_cooldown"),
        ({"rule_names": ["nothing"]}, "no rule has"),
        ({"min_severity": "low"}, "p_min_severity is none of"),
    ],
)
def test_a_channel_that_could_not_work_is_refused(conn: Db, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        channel(conn, **options)
    assert caught.value.hint
    for secret in ("hooks.slack.com/a", "short", "discord://a"):
        assert secret not in str(caught.value)


def test_a_mail_needs_addresses_that_are_addresses(conn: Db) -> None:
    good = {"host": "mail.example.com", "sender": "a@example.com", "recipients": ["b@example.com"]}
    channel(conn, "mail", kind="email", config=good)
    for bad in (
        {"recipients": []},
        {"recipients": ["b@example.com\r\nBcc: c@example.com"]},
        {"recipients": ["b@example.com, c@example.com"]},
        {"sender": "Ada <a@example.com>"},
        {"port": "25; drop"},
        {"tls": "maybe"},
        {"tls": None},
        {"port": None},
        {"username": "ada"},
        {"host": "mail.example.com:25"},
    ):
        with pytest.raises(InvalidArgument), conn.transaction():
            channel(conn, "other", kind="email", config=good | bad)


@pytest.mark.parametrize(
    ("allowed", "url", "reach"),
    [
        ("*", "https://example.com/", "public"),
        ("*", "http://example.com/", "refused"),
        ("", "https://example.com/", "refused"),
        ("a.b, example.com", "http://EXAMPLE.com:8080/", "named"),
        ("*.example.com", "https://x.example.com/", "named"),
        ("*.example.com", "https://example.com/", "refused"),
        ("*.example.com", "https://evilexample.com/", "refused"),
        ("*.example.com", "https://xyexample.com/", "refused"),
        ("*, 127.0.0.1", "http://127.0.0.1:9/", "named"),
        ("*, ::1", "http://[::1]:9/", "named"),
        ("example.com", "https://example.com.evil.org/", "refused"),
        ("example_com", "https://examplescom/", "refused"),
    ],
)
def test_hosts_are_allowed_by_the_setting(conn: Db, allowed: str, url: str, reach: str) -> None:
    conn.execute("update bcp.settings set value = %s where name = 'notification_hosts'", [allowed])
    [row] = rows(
        conn,
        "select reach from bcp_internal.notification_target('webhook', %s, null)",
        [Jsonb({"url": url})],
    )
    assert row["reach"] == reach


def test_channels_are_changed_listed_and_deleted_and_secrets_stay(conn: Db) -> None:
    secret = channel(conn)
    assert secret is not None
    assert secret.startswith("whsec_")
    with pytest.raises(InvalidArgument, match="there is a channel named"), conn.transaction():
        channel(conn)
    assert channel(conn, "own", secret="whsec_" + "QUFB" * 8) is None
    assert alter_notification_channel(conn, "hook", quiet_hours="22:00-06:00", rule_names=["slow"])
    assert alter_notification_channel(conn, "hook", rule_names=[], cooldown="1 hour")
    assert not alter_notification_channel(conn, "nothing", cooldown="1 hour")
    [hook, _] = notification_channels(conn)
    assert (hook.quiet_hours, hook.rule_names, hook.cooldown, hook.has_secret, hook.latest_status) == (
        *("22:00-06:00", None, "01:00:00", True, None),
    )
    assert secret not in repr(notification_channels(conn))
    assert delete_notification_channel(conn, "hook")
    assert not delete_notification_channel(conn, "hook")


def test_a_secret_goes_to_nobody_else_than_it_was_given_for(conn: Db) -> None:
    mail = {
        "host": "mail.example.com",
        "username": "ada",
        "sender": "a@example.com",
        "recipients": ["b@example.com"],
    }
    channel(conn, "mail", kind="email", config=mail, secret="password")
    channel(conn, "am", kind="alertmanager", config={"url": "https://example.com"}, secret="token")
    for name, change in (
        ("mail", {"host": "evil.example.org"}),
        ("mail", {"port": 25}),
        ("mail", {"tls": "tls"}),
        ("am", {"url": "https://evil.example.org"}),
    ):
        with pytest.raises(InvalidArgument, match="would change"), conn.transaction():
            alter_notification_channel(conn, name, config=change)
        with pytest.raises(InvalidArgument, match="would change"), conn.transaction():
            alter_notification_channel(conn, name, config=change, secret="")
    assert alter_notification_channel(
        conn, "mail", config={"recipients": ["c@example.com"], "host": mail["host"]}
    )
    assert alter_notification_channel(conn, "mail", config={"host": "other.example.com"}, secret="password")
    assert alter_notification_channel(conn, "am", config={"url": "https://other.example.com"}, secret="token")


def test_nobody_but_an_administrator_has_to_do_with_channels(db: Db) -> None:
    channel(db)
    for role in ("bcp_reader", "bcp_writer"):
        for statement in (
            "select * from bcp.notification_channels()",
            "select * from bcp_internal.claim_notifications()",
            "select bcp.test_notification_channel('hook')",
            "select * from bcp_internal.notification_channels",
            "select * from bcp_internal.notification_outbox",
            "select * from bcp_internal.notification_deliveries",
            "select bcp.snooze_alert(1)",
            "select bcp.put_alert_rule('slow', '{}')",
            f"select bcp_internal.record_notification('{uuid4()}', 1, null)",
        ):
            with acting_as(db, role):
                assert refused(db, statement), (role, statement)
    with acting_as(db, "bcp_admin"):
        assert refused(db, "select secret from bcp_internal.notification_channels")
