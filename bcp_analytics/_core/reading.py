"""Arguments as people write them, on a command line or in a URL. What cannot be read is a `ValueError`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as clock
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS = {"today": 0, "yesterday": 1}
_INTERVAL_UNITS = _UNITS | {"mo": "months", "y": "years"}
_INTERVAL = re.compile(r"(\d{1,6})\s*(s|m|h|d|w|mo|y)")


def read_zone(name: str) -> tzinfo:
    """Return a time zone by its name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"there is no time zone {name!r}: use a name such as UTC or Europe/Berlin."
        ) from None


def read_length(value: str) -> timedelta | None:
    """Read 30m, 24h, 7d or 2w; None where it is nothing of the kind. Raises `OverflowError` if too long."""
    found = _LENGTH.fullmatch(value)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def read_time(value: str, zone: tzinfo, now: Callable[[], datetime]) -> datetime:
    """Read 24h (that long before now), now, the beginning of today or yesterday, or an ISO 8601 time.

    Days are those of `zone`, as is a time that names none.
    """
    try:
        if value == "now":
            return now()
        if length := read_length(value):
            return now() - length
        if value in _DAYS:
            day = now().astimezone(zone).date() - timedelta(days=_DAYS[value])
            return datetime.combine(day, clock(), zone).astimezone(UTC)
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{value!r} is not a time: write 30m, 24h, 7d or 2w for that long ago, today or yesterday for "
            "when it began, or ISO 8601 such as 2026-01-31 or 2026-01-31T18:00Z."
        ) from None


def read_interval(value: str) -> str | None:
    """Read 15m, 1h, 1d, 1w, 1mo, or none; return it as PostgreSQL reads it."""
    if value == "none":
        return None
    if found := _INTERVAL.fullmatch(value):
        return f"{found[1]} {_INTERVAL_UNITS[found[2]]}"
    raise ValueError(
        f"{value!r} is not an interval: write 15m, 1h, 1d, 1w or 1mo, or none for the whole range."
    )


def read_numbers(value: str) -> list[float]:
    """Read numbers with commas between them."""
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        raise ValueError(
            f"{value!r} is not a list of numbers: write them with commas, such as 0.5,0.95,0.99."
        ) from None
