"""Upkeep of issues, alerts and their rules."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bcp_analytics._core.function import Arguments, question, scalar


@scalar(datetime)
def resolve_issue(fingerprint: str, *, notes: str | None = None, release: str | None = None) -> Arguments:
    """Says that an issue of `error_issues` is fixed, and returns the time of that: now.

    `release` is the release with the fix: then errors of earlier releases, or without a release, do not make
    the issue regress; without `release` any later error does. `notes` are masked. Called again, it replaces
    the time and the release. For bcp_admin. Raises `InvalidArgument` if there is no such issue.
    """
    return locals()


@scalar(datetime)
def reopen_issue(fingerprint: str, *, notes: str | None = None) -> Arguments:
    """Undoes `resolve_issue`, and returns the time of that: now.

    The issue is new or ongoing again. `notes` are masked. For bcp_admin. Raises `InvalidArgument` if there is
    no such issue.
    """
    return locals()


@scalar(datetime)
def acknowledge_alert(alert_id: int, *, notes: str | None = None) -> Arguments:
    """Records that somebody takes care of an open alert, and returns the time of that: now.

    The alert stays open until its metric is well. `notes` are masked. For bcp_admin. Raises `InvalidArgument`
    if there is no such alert.
    """
    return locals()


@scalar(bool)
def snooze_alert(alert_id: int, *, until: datetime | None = None) -> Arguments:
    """Has nobody notified of an open alert before `until`, as `snooze_alert_rule` does for all of a rule;
    returns whether there is such an alert.

    For bcp_admin.
    """
    return locals()


@scalar(bool)
def snooze_alert_rule(rule_name: str, *, until: datetime | None = None) -> Arguments:
    """Has nobody notified of the alerts of a rule before `until`, and returns whether there is such a rule;
    None ends that.

    What is still open then is told then; what opened and closed meanwhile is told to nobody, and stays in
    bcp.alerts. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class PreviewedAlert:
    """An alert that a rule would have opened."""

    bcp_name: str | None
    """None where the rule is about all calls."""
    tool_name: str | None
    """None where the rule is not about tools."""
    opened_at: datetime
    closed_at: datetime | None
    """Null where it would still be open at the end."""
    worst_value: float
    """The metric at its worst."""
    call_count: int
    """The most calls that it was computed from: those that began from counted_from until counted_until."""
    counted_from: datetime
    counted_until: datetime


@question(PreviewedAlert)
def alert_preview(
    rule_name: str, *, changes: Any = None, since: datetime | None = None, until: datetime | None = None
) -> Arguments:
    """When would this rule have fired?

    One row per alert that it would have opened in the range, by bundle, tool and time. closed_at is None
    where it would still be open at the end. worst_value is the metric at its worst. call_count is the most
    calls that it was computed from: those that began in [counted_from, counted_until), and ended well or not;
    with the metric avg_duration_ms those that have a duration, with throughput all. `changes` has columns of
    bcp.alert_rules that differ from the stored rule, or a rule that is not stored. It is evaluated in steps
    of five minutes, or of one minute where lookback or short_lookback is no multiple of five. Reads
    aggregates. The range is [`since`, `until`), the last 7 days by default and 31 days at most. Raises
    `InvalidArgument` if the rule cannot be. For bcp_reader.
    """
    return locals()


@scalar(bool)
def put_alert_rule(rule_name: str, changes: Any) -> Arguments:
    """Changes the columns of a rule that `changes` has, or makes a rule of them; always true.

    A new rule needs at least metric, fires and threshold. `alert_preview` says what it would have found. For
    bcp_admin, who may also change bcp.alert_rules itself. Raises `InvalidArgument` if the rule cannot be.
    """
    return locals()


@scalar(bool)
def delete_alert_rule(rule_name: str) -> Arguments:
    """Deletes a rule, and returns whether there was one.

    Its open alerts close at the next evaluation. For bcp_admin.
    """
    return locals()
