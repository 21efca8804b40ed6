"""What spans and log records have in common, whichever encoding they came in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

Attributes = Mapping[str, Any]
Span = "span"
Log = "log"

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")

MAX_UINT64 = 2**64 - 1
MAX_PARTS = 1_000_000
"""How many resources, scopes, records, attributes and values a request may have together.

Of empty ones a body of a megabyte holds half a million, and each becomes an object.
"""


class Malformed(Exception):  # noqa: N818 - of the message
    """The body is no message of OTLP. `where` names the place, and the message never repeats a value."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class TooMany(Exception):  # noqa: N818 - parts
    """The body has more parts than MAX_PARTS."""


@dataclass(slots=True)
class Budget:
    """How many parts a request may still have."""

    left: int = MAX_PARTS

    def spend(self, parts: Sized) -> None:
        """Count parts; raises `TooMany`."""
        self.left -= len(parts)
        if self.left < 0:
            raise TooMany


@dataclass(slots=True)
class Event:
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(slots=True)
class Record:
    """A span or a log record, with what its resource and its scope say. Times are nanoseconds, 0 for none."""

    signal: str
    resource: Attributes
    scope: Attributes
    """Its attributes, and its name and version."""
    attributes: Attributes
    own: dict[str, Any]
    """Its fields that mappings may name: of a span name, kind and status; of a log record event, body, time,
    observed_time and severity."""
    trace_id: str | None
    """Hexadecimal; None where there is no valid one."""
    span_id: str | None
    start_ns: int
    end_ns: int
    status_message: str | None
    events: Iterator[Event] | tuple[()]
    digest: Callable[[], bytes]
    """Returns what only the same record has, for those that have no id."""
    parent_span_id: str | None = field(default=None)


def resource_of(attributes: dict[str, Any]) -> Attributes:
    """Return the attributes of a resource without the name that SDKs give to a service that has none."""
    if str(attributes.get("service.name", "")).startswith("unknown_service"):
        del attributes["service.name"]
    return attributes


def scope_of(name: str, version: str, attributes: dict[str, Any]) -> Attributes:
    return attributes | {"name": name, "version": version}


def kind_of(number: int) -> str:
    return KINDS[number] if 0 <= number < len(KINDS) else KINDS[0]


def status_of(number: int) -> str:
    return STATUSES[number] if 0 <= number < len(STATUSES) else STATUSES[0]


def valid_id(found: str, digits: int) -> str | None:
    """Return an id in lower case; None where it has another length or is all zeroes, which means invalid."""
    return found.lower() if len(found) == digits and found.strip("0") else None


def event_names(event_name: str, attributes: Attributes, body: object) -> tuple[str, ...]:
    """Return what may be the name of the event that a log record is.

    The field is younger than the attribute, and some senders write the name into the body.
    """
    return tuple(n for n in (event_name, attributes.get("event.name"), body) if isinstance(n, str) and n)
