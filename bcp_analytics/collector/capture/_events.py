"""Events as the collector keeps them: a kind, and a copy of the fields.

The caller may change what it passed as soon as record() has returned, so record() must copy. Measured on a
call with a document of 400 bytes: JSON 14 us, `copy.deepcopy` 26, `marshal` 1.6, a pickler that takes nothing
but exact built-in types 2.3. So record() pickles, and the thread that sends makes the JSON. marshal would
take everything that has a buffer, such as a number of numpy, for bytes; a pickler that takes all types would
run their code and keep classes by reference. Two kinds of events are encoded at once: those that the pickler
refuses, and those of a durable collector, which must be on disk as JSON before record() returns.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import time
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from uuid import uuid4

from bcp_analytics._core.encode import encode_event

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLS: Final = 0
ERRORS: Final = 1
METRICS: Final = 2
SESSIONS: Final = 3
KINDS: Final = (CALLS, ERRORS, METRICS, SESSIONS)

_LATE_S: Final = 3600.0
FRESH: Final = sys.maxsize
"""An event is late if it is older than an hour: younger ones of a batch touch two hourly buckets at the most.
Late events are batched by UTC day, and no finer: each invalidates its whole day anyway, since the aggregates
of users and sessions have daily buckets, made from the rows."""

MAX_EVENT_BYTES: Final = 16 * 2**20
"""A larger event is recorded without its documents. This is four times what the store takes by default, and
far below what breaks the connection: an event of that size would hold up all others for good."""

_DOCUMENTS: Final = ("parameters", "response_data", "context", "tool_context", "labels", "stack_trace")
_NAMES: Final = (
    *("bcp_name", "tool_name", "metric_name", "session_id", "level", "message"),
    *("event_id", "start_time", "end_time", "timestamp"),
)

# Our own generator: two processes that call random.seed(1) would make the same ids. A fork seeds it anew.
_random = Random()  # noqa: S311 - ids are no secret
os.register_at_fork(after_in_child=_random.seed)


class Encoded(str):
    """JSON text of a value that was encoded before its event was."""

    __slots__ = ()


class _NotPlainError(Exception):
    """Something is of a type that JSON does not have."""


class _Copier(pickle.Pickler):
    """Pickles exactly the built-in types, and runs no code of any object."""

    def reducer_override(self, _: object) -> NoReturn:
        raise _NotPlainError


class Snapshot(NamedTuple):
    """An event: `data` is JSON in ASCII, or where not `is_json`, what `_Copier` made; `day`: of `day_of`."""

    data: bytes
    is_json: bool
    day: int = FRESH

    def payload(self) -> bytes:
        """Return the event as JSON in ASCII, encoding it now where it is not yet."""
        return self.data if self.is_json else encode(pickle.loads(self.data))  # noqa: S301 - our own


def new_event_id() -> str:
    """Return a new UUIDv7 (RFC 9562, 5.7), its time finer than milliseconds (6.2, method 3)."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    tail = _random.getrandbits(62) | 0x8000000000000000
    digits = f"{milliseconds:012x}7{rest * 4096 // 1_000_000:03x}{tail:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def given_id(value: object) -> str:
    """Return a caller's event id as text, a new one where it has none."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - it is the caller's code
        return new_event_id()


def new_batch_id() -> str:
    """Return a new id for a batch."""
    return str(uuid4())


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat()


def snapshot(kind: int, event: dict[str, Any], *, as_json: bool) -> Snapshot:
    """Return a copy of an event that later changes do not reach; raises for nothing in it."""
    day = day_of(kind, event)
    copy = None if as_json else _copy(event)
    return Snapshot(encode(event), True, day) if copy is None else Snapshot(copy, False, day)  # noqa: FBT003


def read_back(kind: int, payload: bytes) -> Snapshot:
    """Return an event that was written as JSON."""
    return Snapshot(payload, True, day_of(kind, payload))  # noqa: FBT003


def day_of(kind: int, event: Mapping[str, Any] | bytes) -> int:
    """Return the UTC day, from 1970, of an event that is late; `FRESH` where it is not, or has no time."""
    if kind == SESSIONS:
        return FRESH
    try:
        fields: Mapping[str, Any] = json.loads(event) if isinstance(event, bytes) else event
        at = _seconds(fields.get("start_time" if kind == CALLS else "timestamp"))
        if at is None and kind == CALLS:
            at = _seconds(fields.get("end_time"))
            if at is not None and "duration_ms" in fields:
                at -= fields["duration_ms"] / 1000
        return FRESH if at is None or at > time.time() - _LATE_S else int(at // 86400)
    except Exception:  # noqa: BLE001 - it is the database's to refuse
        return FRESH


def _seconds(value: Any) -> float | None:  # noqa: ANN401 - whatever the caller gave
    if value is None:
        return None
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def copied(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a value as a later snapshot may take it: a copy, or `Encoded`."""
    copy = _copy(value)
    return Encoded(encode_event(value)) if copy is None else pickle.loads(copy)  # noqa: S301 - our own


def _copy(value: object) -> bytes | None:
    """Return a copy, None where something is not plain, or nested too deep."""
    file = io.BytesIO()
    try:
        _Copier(file, 5).dump(value)
    except Exception:  # noqa: BLE001 - the encoder says more about it
        return None
    return file.getvalue()


def encode(event: Mapping[str, Any]) -> bytes:
    """Return an event as a JSON object in ASCII; raises for nothing in it."""
    ready = {name: value for name, value in event.items() if type(value) is Encoded}
    if ready:
        rest = encode_event({name: value for name, value in event.items() if name not in ready})
        text = ",".join([rest[:-1], *(f'"{name}":{value}' for name, value in ready.items())]) + "}"
    else:
        text = encode_event(event)
    if len(text) > MAX_EVENT_BYTES:
        text = _outline(event, len(text))
    return text.encode("ascii")


def _outline(event: Mapping[str, Any], size: int) -> str:
    small = {name: value for name, value in event.items() if name not in _DOCUMENTS}
    text = encode_event(small | {"omitted_bytes": size})
    if len(text) > MAX_EVENT_BYTES:
        names = {name: str(event[name])[:500] for name in _NAMES if name in event}
        text = encode_event(names | {"omitted_bytes": size})
    return text
