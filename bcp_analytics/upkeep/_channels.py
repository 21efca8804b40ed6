"""Upkeep of the channels by which alerts reach people."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from bcp_analytics._core.function import Arguments, question, scalar, scalar_or_none


@scalar_or_none(str)
def create_notification_channel(
    channel_name: str,
    kind: Literal["webhook", "slack", "email", "alertmanager", "apprise"],
    *,
    config: Any = None,
    secret: str | None = None,
    min_severity: Literal["warning", "critical"] = "warning",
    rule_names: Sequence[str] | None = None,
    tell_closed: bool = True,
    cooldown: timedelta | str | None = None,
    quiet_hours: str | None = None,
    time_zone: str = "UTC",
    digest: bool | None = None,
) -> Arguments:
    """Makes a channel, by which people are told of alerts that open and close, and once a week of what
    changed.

    Returns the secret of a webhook that was given none, else None: nobody can show it again. `kind` and what
    it takes: webhook, `config` {"url"}, and `secret` that signs (Standard Webhooks); slack, `secret` is the
    URL of the incoming webhook; email, `config` {"host", "port", "tls": "starttls", "tls" or "none",
    "username", "sender", "recipients": [...]}, and `secret` is the password; alertmanager, `config` {"url"},
    and `secret` may be a bearer token; apprise, `secret` is a URL of Apprise. It is told of alerts from
    `min_severity` (warning, or critical) on, of `rule_names` or all rules; that they close, unless
    `tell_closed` is false. Alerts of one rule are one message, and the next about that rule comes after
    `cooldown` (5 minutes). In `quiet_hours`, such as 22:00-07:00, of `time_zone` only critical alerts are
    sent; the others come after. `digest`: whether it gets the digest, on Mondays at 8; every kind but
    alertmanager does by default. For bcp_admin. Raises `InvalidArgument` if an argument cannot be used, the
    name is taken, or the setting notification_hosts does not allow the host.
    """
    return locals()


@scalar(bool)
def alter_notification_channel(
    channel_name: str,
    *,
    enabled: bool | None = None,
    config: Any = None,
    secret: str | None = None,
    min_severity: Literal["warning", "critical"] | None = None,
    rule_names: Sequence[str] | None = None,
    tell_closed: bool | None = None,
    cooldown: timedelta | str | None = None,
    quiet_hours: str | None = None,
    time_zone: str | None = None,
    digest: bool | None = None,
) -> Arguments:
    """Changes a channel, and returns whether there is one of that name.

    What is None stays as it is; keys of `config` are added to those that it has, an empty `rule_names` means
    all rules, and an empty `quiet_hours` none. Where `config` changes to whom a password or a token is sent,
    `secret` has to be given again. With enabled=False nothing is sent, and nothing new is kept for it.
    Otherwise arguments and errors are those of `create_notification_channel`. For bcp_admin.
    """
    return locals()


@scalar(bool)
def delete_notification_channel(channel_name: str) -> Arguments:
    """Deletes a channel, its secret, and what waits to be sent to it; returns whether there was one.

    bcp.notification_log keeps what was. For bcp_admin.
    """
    return locals()


@scalar(UUID)
def test_notification_channel(channel_name: str) -> Arguments:
    """Has a notifier send a message that says it is a test, once, even while the channel is disabled or
    quiet, and returns its id: bcp.notification_log says under it what became of it.

    For bcp_admin. Raises `InvalidArgument` if there is no such channel.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class NotificationChannel:
    """A channel, without its secret."""

    channel_name: str
    kind: Literal["webhook", "slack", "email", "alertmanager", "apprise"]
    enabled: bool
    config: Any
    """What it takes by its kind."""
    has_secret: bool
    min_severity: Literal["warning", "critical"]
    rule_names: Sequence[str] | None
    tell_closed: bool
    cooldown: str
    """As PostgreSQL writes an interval: 00:05:00."""
    quiet_hours: str | None
    time_zone: str
    digest: bool
    created_at: datetime
    pending_count: int
    """Counts what waits to be sent: messages, and alerts that wait for the cool-down, the quiet hours or a
    snooze to end.
    """
    latest_status: Literal["delivered", "retry", "failed"] | None
    """That of the latest attempt in bcp.notification_log, None if there was none."""
    latest_at: datetime | None


@question(NotificationChannel)
def notification_channels() -> Arguments:
    """Which channels are there?

    One row per channel, without its secret. pending_count counts what waits to be sent: messages, and alerts
    that wait for the cool-down, the quiet hours or a snooze to end. latest_status is that of the latest
    attempt in bcp.notification_log, None if there was none. For bcp_admin.
    """
    return locals()
