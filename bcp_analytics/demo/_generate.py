"""Seeded traffic for the demo: the same seed, number of calls and end give the same events.

Events come in the order of their time, and each is made when it is asked for. So memory does not grow with
their number.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from bcp_analytics.demo._catalog import CLIENTS, INCIDENTS, TOOLS, Client, Failure, Incident, Tool
from bcp_analytics.demo._payloads import BUILDERS, Person, people

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

Event = dict[str, Any]

DAYS = 30
BATCH_SIZE = 1000
"""The most events of a batch."""

_HOURS = DAYS * 24
_FRIDAY = 4
_PEOPLE = 600
_OPEN_SESSIONS = 14
_CALLS_A_SESSION = 12
_IPV6_SHARE = 0.2
_IDLE = timedelta(minutes=30)
_TIMEOUT_MS = 30_000.0
_LONGEST_MS = 120_000.0
# Streams of event ids.
_CALL, _ERROR, _MARK, _METRIC = 0, 1, 2, 3
_NAMESPACE = UUID("6f1c7c0e-4f0b-5d62-9f0e-0d5a3b1f2c77")


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one kind, and the id that makes sending them again harmless."""

    kind: str
    """tool_usage, errors, metrics or sessions."""
    batch_id: UUID
    events: list[Event]


@dataclass(slots=True)
class _Session:
    session_id: str
    person: Person
    client: Client
    model: str
    ip_address: str
    started: datetime
    latest: datetime


def hour_weight(moment: datetime) -> float:
    """Return how busy `moment` is: two peaks on a working day, quiet nights and week-ends; never 0."""
    hour = moment.hour + moment.minute / 60
    day = 0.12 + math.exp(-(((hour - 9.5) / 2.2) ** 2)) + 0.9 * math.exp(-(((hour - 14.5) / 2.4) ** 2))
    return day * (0.3 if moment.weekday() > _FRIDAY else 1.0)


def calls_by_hour(calls: int, begin: datetime) -> Iterator[tuple[datetime, int]]:
    """Yield each hour from `begin` on and its number of calls, which add up to `calls`."""
    hours = [begin + timedelta(hours=n) for n in range(_HOURS)]
    weights = list(accumulate(hour_weight(hour + timedelta(minutes=30)) for hour in hours))
    sent = 0
    for hour, up_to in zip(hours, weights, strict=True):
        due = round(calls * up_to / weights[-1])
        yield hour, due - sent
        sent = due


def batch_id(seed: int, calls: int, size: int, kind: str, place: int) -> UUID:
    """Return the id of the batch at `place` (from 1 on) among those of its kind."""
    return uuid5(_NAMESPACE, f"{seed}/{calls}/{size}/{kind}/{place}")


def batches(seed: int, calls: int, end: datetime, size: int = BATCH_SIZE) -> Iterator[Batch]:
    """Yield everything that happened in the 30 days before `end`, at most `size` events per batch.

    The first batch is a mark that says where the period ends: see `mark_id`. `end` needs a time zone. Batch
    ids follow from `seed`, `calls`, `size` and the batch's place, event ids from `seed`, `calls` and the
    event's.
    """
    pending: dict[str, list[Event]] = {}
    sent: dict[str, int] = {}

    def ready(kind: str) -> Batch:
        sent[kind] = sent.get(kind, 0) + 1
        return Batch(kind, batch_id(seed, calls, size, kind, sent[kind]), pending.pop(kind))

    traffic = Traffic(seed, calls, end)
    yield Batch("metrics", batch_id(seed, calls, size, "mark", 1), [traffic.mark()])
    for kind, event in traffic.events():
        pending.setdefault(kind, []).append(event)
        if len(pending[kind]) == size:
            yield ready(kind)
    for kind in list(pending):
        yield ready(kind)


def mark_id(seed: int, calls: int) -> str:
    """Return the event id of the metric whose time is the end of the period.

    By it a later run finds that end, and can send the very same traffic again.
    """
    return _event_id(seed, calls, _MARK, 0)


class Traffic:
    """Calls, errors, sessions and metrics of the period."""

    def __init__(self, seed: int, calls: int, end: datetime) -> None:
        """Draw the people and place the incidents; `end` needs a time zone."""
        self._rng = random.Random(f"{seed}/{calls}")  # noqa: S311
        self._calls = calls
        self._end = end.astimezone(UTC)
        self._begin = self._end - timedelta(days=DAYS)
        self._seed = seed
        self._tool_weights = list(accumulate(tool.weight for tool in TOOLS))
        self._client_weights = [client.weight for client in CLIENTS]
        self._incidents = {(i.bcp, i.tool): (self._incident_begin(i), i) for i in INCIDENTS}
        self._open: list[_Session] = []
        self._sessions = 0
        self.people = people(self._rng, _PEOPLE)

    def mark(self) -> Event:
        """Return the metric that says where the period ends."""
        return {
            "event_id": self._id(_MARK, 0),
            "metric_name": "demo_calls",
            "metric_value": self._calls,
            "timestamp": _stamp(self._end),
        }

    def events(self) -> Iterator[tuple[str, Event]]:
        """Yield kind and event, calls in the order of their start."""
        number = 0
        for hour, count in calls_by_hour(self._calls, self._begin):
            failed = 0
            for offset in sorted(self._rng.random() * 3600 for _ in range(count)):
                number += 1
                call, failure = yield from self._call(number, hour + timedelta(seconds=offset))
                if failure is not None:
                    failed += 1
                    yield "errors", self._error(number, call, failure)
            yield from self._metrics(hour, count, failed)
        for session in self._open:
            yield "sessions", _session_event(session, ended=False)

    def _call(
        self, number: int, start: datetime
    ) -> Generator[tuple[str, Event], None, tuple[Event, Failure | None]]:
        """Yield the call, and before it a session that ends to make room; return the call and its failure."""
        rng = self._rng
        tool = TOOLS[bisect(self._tool_weights, rng.random() * self._tool_weights[-1])]
        place = rng.randrange(_OPEN_SESSIONS)
        if place >= len(self._open):
            place = len(self._open)
            self._open.append(self._new_session(start))
        elif rng.random() * _CALLS_A_SESSION < 1 or start - self._open[place].latest > _IDLE:
            yield "sessions", _session_event(self._open[place], ended=True)
            self._open[place] = self._new_session(start)
        session = self._open[place]

        duration, failure = self._outcome(tool, start)
        # Nothing has happened after now, so cut a call there that would still be running.
        duration = min(duration, (self._end - start) / timedelta(milliseconds=1))
        session.latest = start + timedelta(milliseconds=duration)
        parameters, answer = BUILDERS[tool.bcp, tool.name](rng, session.person)
        call: Event = {
            "event_id": self._id(_CALL, number),
            "bcp_name": tool.bcp,
            "tool_name": tool.name,
            "operation": rng.choice(tool.operations),
            "start_time": _stamp(start),
            "duration_ms": round(duration, 3),
            "success": failure is None,
            "outcome": failure.outcome if failure else "success",
            "parameters": parameters,
            "user_id": f"u{session.person.number}",
            "session_id": session.session_id,
            "request_id": f"req-{number}",
            "client_name": session.client.name,
            "client_version": session.client.version,
            "client_model": session.model,
            "release": tool.releases[start >= self._begin + timedelta(days=DAYS / 2)],
            "ip_address": session.ip_address,
            "user_agent": session.client.user_agent,
        }
        if failure is None:
            call["response_data"] = answer
            call["response_bytes"] = int(rng.lognormvariate(6.5, 1.1)) + 40
        else:
            call["error_type"] = failure.error_type
            call["error_message"] = failure.message.format(
                n=rng.randrange(1, 10**5), email=session.person.email
            )
        yield "tool_usage", call
        return call, failure

    def _outcome(self, tool: Tool, start: datetime) -> tuple[float, Failure | None]:
        """Return the duration in milliseconds, and how the call failed."""
        rng = self._rng
        duration = rng.lognormvariate(math.log(tool.median_ms), tool.sigma)
        if rng.random() < tool.tail:
            duration *= 2 + rng.paretovariate(1.2)
        incident = self._incident(tool, start)
        failure = None
        if incident is not None:
            duration *= incident.slowdown
            if rng.random() < incident.error_rate:
                failure = incident.failure
        if failure is None and rng.random() < tool.error_rate:
            failure = rng.choice(tool.failures)
        if failure is not None and failure.outcome == "timeout":
            duration = _TIMEOUT_MS + rng.random() * 40
        return min(duration, _LONGEST_MS), failure

    def _incident_begin(self, incident: Incident) -> datetime:
        day = self._end.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=incident.days_ago)
        # On a working day: at a week-end nobody would notice.
        day -= timedelta(days=max(0, day.weekday() - _FRIDAY))
        return day + timedelta(hours=incident.begins)

    def _incident(self, tool: Tool, start: datetime) -> Incident | None:
        begin, incident = self._incidents.get((tool.bcp, tool.name), (None, None))
        if begin is None or incident is None or not begin <= start < begin + timedelta(hours=incident.hours):
            return None
        return incident

    def _new_session(self, start: datetime) -> _Session:
        rng = self._rng
        self._sessions += 1
        client = rng.choices(CLIENTS, self._client_weights)[0]
        # Networks that are reserved for documentation: RFC 5737 and RFC 3849.
        ip_address = (
            f"2001:db8:{rng.randrange(64):x}::{rng.randrange(1, 2**16):x}"
            if rng.random() < _IPV6_SHARE
            else f"{rng.choice(('198.51.100', '203.0.113', '192.0.2'))}.{rng.randrange(1, 255)}"
        )
        return _Session(
            f"s-{self._sessions}-{rng.getrandbits(32):08x}",
            rng.choice(self.people),
            client,
            rng.choice(client.models),
            ip_address,
            start,
            start,
        )

    def _error(self, number: int, call: Event, failure: Failure) -> Event:
        folder, tool = f"/srv/{call['bcp_name']}", call["tool_name"]
        trace = (
            "Traceback (most recent call last):\n"
            f'  File "{folder}/server.py", line {self._rng.randrange(40, 90)}, in handle\n'
            f"    return {tool}(**arguments)\n"
            f'  File "{folder}/{tool}.py", line {self._rng.randrange(10, 40)}, in {call["operation"]}\n'
            f"{failure.error_type}: {call['error_message']}"
        )
        return {
            "event_id": self._id(_ERROR, number),
            "timestamp": _stamp(
                datetime.fromisoformat(call["start_time"]) + timedelta(milliseconds=call["duration_ms"])
            ),
            "level": failure.level,
            "message": call["error_message"],
            "error_type": failure.error_type,
            "error_code": failure.error_code,
            "stack_trace": trace if failure.level in {"error", "fatal"} else None,
            "context": {"release": call["release"], "attempt": 1 + number % 3},
            "tool_context": {
                "bcp": call["bcp_name"],
                "tool": call["tool_name"],
                "operation": call["operation"],
                "parameters": call["parameters"],
            },
            "user_id": call["user_id"],
            "session_id": call["session_id"],
            "request_id": call["request_id"],
            "release": call["release"],
        }

    def _metrics(self, hour: datetime, calls: int, failed: int) -> Iterator[tuple[str, Event]]:
        number = int((hour - self._begin) / timedelta(hours=1))
        for place, (name, value) in enumerate((
            ("queue_depth", round(self._rng.expovariate(1) * calls / 20, 2)),
            ("calls_per_hour", calls),
            ("failed_calls_per_hour", failed),
        )):  # fmt: skip
            yield (
                "metrics",
                {
                    "event_id": self._id(_METRIC + place, number),
                    "metric_name": name,
                    "metric_value": value,
                    "timestamp": _stamp(hour + timedelta(minutes=59)),
                    "labels": {"region": "eu-central"},
                    "aggregation_period": "1h",
                },
            )

    def _id(self, stream: int, number: int) -> str:
        return _event_id(self._seed, self._calls, stream, number)


def _event_id(seed: int, calls: int, stream: int, number: int) -> str:
    # UUIDv8 (RFC 9562, 5.8) that grows with the number, so that the keys of a batch are neighbours.
    value = _id_prefix(seed, calls) | stream << 48 | number
    value = value & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


@cache
def _id_prefix(seed: int, calls: int) -> int:
    return int.from_bytes(sha256(f"{seed}/{calls}".encode()).digest()[:8], "big") << 64


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _session_event(session: _Session, *, ended: bool) -> Event:
    return {
        "session_id": session.session_id,
        "user_id": f"u{session.person.number}",
        "client_name": session.client.name,
        "client_version": session.client.version,
        "ip_address": session.ip_address,
        "user_agent": session.client.user_agent,
        "started_at": _stamp(session.started),
        "last_activity": _stamp(session.latest),
        "ended_at": _stamp(session.latest) if ended else None,
    }
