"""What the arguments of all questions share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from bcp_analytics._encode import text

if TYPE_CHECKING:
    from bcp_analytics._function import Arguments

ErrorLevel = Literal["debug", "info", "warn", "error", "fatal"]
Outcome = Literal["success", "soft_fail", "error", "timeout", "cancelled", "rejected"]
Id = str | int
"""Id of a user or session; a number is the same as its text."""


def within(since: datetime | None, until: datetime | None, **others: object) -> Arguments:
    """Return the arguments of a question about a range; a time without a zone is UTC, and ids become text."""
    ids = {name: text(name, others[name]) for name in ("user_id", "session_id") if name in others}
    return {"since": utc(since), "until": utc(until)} | others | ids


def utc(time: datetime | None) -> datetime | None:
    """Return a time that has a zone: UTC where it names none."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
