"""What is wrong now: see `bcp_analytics.queries` for what arguments mean."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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
