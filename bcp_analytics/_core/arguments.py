"""What the arguments of all questions share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from bcp_analytics._core.encode import document, text

ErrorLevel = Literal["debug", "info", "warn", "error", "fatal"]
Outcome = Literal["success", "soft_fail", "error", "timeout", "cancelled", "rejected"]
Id = str | int
"""Id of a user or session; a number is the same as its text."""
EventId = str | int | UUID
"""Id that a sender gave an event, or the UUID that was made of it."""


def utc(time: datetime | None) -> datetime | None:
    """Return a time that has a zone: UTC where it names none."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def as_sent(name: str, value: Any) -> object:  # noqa: ANN401 - any argument of a question
    """Return an argument of a question as SQL takes it: a time without a zone is UTC, an id is text."""
    if isinstance(value, datetime):
        return utc(value)
    match name:
        case "user_id" | "session_id" | "event_id":
            return text(name, value)
        case "contains":
            return document(name, value)
        case "percentiles" | "bands":
            return [float(share) for share in value]
        case "by" if not isinstance(value, str):
            return list(value)
        case _:
            return value
