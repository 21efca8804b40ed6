"""What the arguments of the SQL functions may be, and how each is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from bcp_analytics._core.encode import document, encode_batch, text

if TYPE_CHECKING:
    from collections.abc import Callable

ErrorLevel = Literal["debug", "info", "warn", "error", "fatal"]
Outcome = Literal["success", "soft_fail", "error", "timeout", "cancelled", "rejected"]
IssueState = Literal["new", "ongoing", "regressed", "resolved"]
BreakdownColumn = Literal["bcp_name", "tool_name", "client_name", "client_version", "client_model", "release"]
Id = str | int
"""Id of a user or session; a number is the same as its text."""
EventId = str | int | UUID
"""Id that a sender gave an event, or the UUID that was made of it."""
Address = str | IPv4Address | IPv6Address
"""Address of a client on the network."""


def utc(time: datetime | None) -> datetime | None:
    """Return a time that has a zone: UTC where it names none."""
    return time.replace(tzinfo=UTC) if isinstance(time, datetime) and time.tzinfo is None else time


def _as_it_is(_: str, value: Any) -> object:  # noqa: ANN401
    return value


# By the type in the signature of a twin. All other types are sent as text.
_SENDERS: dict[str, Callable[[str, Any], object]] = {
    "bool": _as_it_is,
    "int": _as_it_is,
    "float": _as_it_is,
    "timedelta | str": _as_it_is,
    "datetime": lambda _, value: utc(value),
    "Any": document,
    "dict[str, Any]": document,
    "Events": lambda _, value: encode_batch(value),
    "Sequence[float]": lambda _, value: [float(share) for share in value],
    "Sequence[int]": lambda _, value: [int(count) for count in value],
    "Sequence[str]": lambda name, value: [text(name, one) for one in value],
    "Sequence[BreakdownColumn]": lambda _, value: value if isinstance(value, str) else list(value),
}


def sender(annotation: str) -> Callable[[str, Any], object]:
    """Return what makes of an argument's name and value what SQL takes; it may raise `InvalidDocument`."""
    return _SENDERS.get(annotation.removesuffix(" | None"), text)
