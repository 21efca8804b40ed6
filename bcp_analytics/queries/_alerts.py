"""What is wrong now: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from bcp_analytics._core.function import Arguments, question


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """An open alert."""

    alert_id: int
    """What `acknowledge_alert` takes."""
    rule_name: str
    severity: Literal["warning", "critical"]
    bcp_name: str | None
    """None where the rule is about all calls."""
    tool_name: str | None
    """None where the rule is not about tools."""
    metric: Literal["avg_duration_ms", "success_rate", "error_rate", "throughput", "burn_rate"]
    value: float
    """The metric at the latest evaluation that had it; throughput is calls a minute."""
    worst_value: float
    threshold: float
    call_count: int
    """Calls that value is of."""
    opened_at: datetime
    evaluated_at: datetime
    """When the rule was looked at last."""
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    notes: str | None
    description: str | None
    """Of the rule, None where that is gone."""


@question(ActiveAlert)
def active_alerts(*, bcp_name: str | None = None, tool_name: str | None = None) -> Arguments:
    """What is wrong now?

    One row per open alert, critical ones first, then latest first. metric, value and threshold are those of
    bcp.alert_rules; evaluated_at says how old the answer is. A job evaluates every minute and sends NOTIFY
    bcp_alerts for each change. Closed alerts are in bcp.alerts.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert that was open at some time of the range."""

    alert_id: int
    rule_name: str
    severity: Literal["warning", "critical"]
    bcp_name: str | None
    """None where the rule is about all calls."""
    tool_name: str | None
    """None where the rule is not about tools."""
    metric: Literal["avg_duration_ms", "success_rate", "error_rate", "throughput", "burn_rate"]
    value: float
    """The metric at the latest evaluation that had it; throughput is calls a minute."""
    worst_value: float
    threshold: float
    call_count: int
    """Calls that value is of."""
    opened_at: datetime
    closed_at: datetime | None
    """Null while it is open."""
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_until: datetime | None
    notes: str | None


@question(PastAlert)
def alert_history(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    rule_name: str | None = None,
    limit: int = 100,
) -> Arguments:
    """What was wrong, and when?

    One row per alert that was open at any time of the range, latest first, at most `limit` (1 to 10000).
    closed_at is None while it is open. metric, value and threshold are those of bcp.alert_rules. The range is
    [`since`, `until`), the last 24 hours by default.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class NotificationAttempt:
    """An attempt to deliver a message to a channel."""

    logged_at: datetime
    channel_name: str
    delivery_id: UUID
    """The same for each attempt; of a webhook it is the header webhook-id."""
    about: Literal["alerts", "digest", "test"]
    """What the message was about."""
    rule_name: str | None
    attempt: int
    """1 is the first."""
    status: Literal["delivered", "retry", "failed"]
    """Delivered, retry if another attempt follows, failed, or expired if it waited for 14 days."""
    error: str | None
    """What went wrong, in a few words; None if nothing did."""


@question(NotificationAttempt)
def notification_history(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    channel_name: str | None = None,
    delivery_id: UUID | None = None,
    limit: int = 100,
) -> Arguments:
    """Who was told, and did it arrive?

    One row per attempt to deliver a message to a channel, latest first, at most `limit` (1 to 10000). about
    is alerts, digest or test; status is delivered, retry if another attempt follows, failed, or expired if it
    waited for 14 days. error says in a few words what went wrong, None if nothing did. The range is [`since`,
    `until`), the last 24 hours by default; attempts are kept for 90 days.

    Arguments mean what `bcp_analytics.queries` says.
    """
    return locals()
