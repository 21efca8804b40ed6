"""Pairs the requests of a client with the answers of a server, and records the calls among them."""

from __future__ import annotations

import json
import re
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bcp_analytics._render.visible import visible_line
from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._proxy._lines import Line, Lines
from bcp_analytics.mcp._proxy._outline import Outline

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics.mcp._events import Fields, Json, Sink

MAX_LINE = 8 * 1024 * 1024
"""A longer line is passed on like any other, but not read."""
_MAX_OPEN = 4_096
_MAX_OPEN_BYTES = 64 * 1024 * 1024

_NUMBER = re.compile(r"-?[0-9]{1,15}")

# It was answered, or may have been: nothing says that it failed.
_UNREAD: dict[str, Any] = {"error_type": "answer_unread"}
_UNKNOWN: dict[str, Any] = {"error_type": "no_answer"}


@dataclass(frozen=True, slots=True)
class Moment:
    """When bytes came, by the clock that durations are taken from and by the wall's."""

    monotonic_ns: int
    epoch_s: float


@dataclass(slots=True)
class Counts:
    """What was seen and recorded."""

    calls: int = 0
    listings: int = 0
    failed_calls: int = 0
    unread_lines: int = 0
    """Lines that are no JSON for Python, longer than `MAX_LINE`, or that came too fast."""
    unread_bytes: int = 0
    unrecorded: int = 0
    """Events that the recording itself raised for."""


@dataclass(slots=True)
class _Open:
    """A request that has no answer yet."""

    method: str
    params: Json
    size: int
    held: int
    """Of these bytes, about how many are kept until the answer comes."""
    began: Moment
    waits: list[tuple[int, int]] = field(default_factory=list)
    """When a person was waited for, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What the server asks the person at the client, and has no answer to yet."""

    asked_ns: int
    calls: list[_Open]
    """Those that were open then: one of them waits, and nothing says which."""


Key = tuple[str, Any]


class Observer:
    """Reads both directions of a connection, and sends what it understands to a sink; never raises."""

    def __init__(
        self,
        bcp_name: str,
        sink: Sink,
        *,
        session_id: str,
        user_id: str | None = None,
        say: Callable[[str], None],
    ) -> None:
        """`say` is called once, should recording fail."""
        self.counts = Counts()
        self._bcp_name = bcp_name
        self._sink = sink
        self._say = say
        self._who: Fields = {"session_id": session_id} | ({"user_id": user_id} if user_id else {})
        self._peers: Fields = {}
        self._lines = {True: Lines(MAX_LINE), False: Lines(MAX_LINE)}
        self._open: OrderedDict[Key, _Open] = OrderedDict()
        self._open_bytes = 0
        self._questions: OrderedDict[Key, _Question] = OrderedDict()
        self._unread_answers = False
        self._touch()

    def take(self, item: bytes | int | None, at: Moment, from_client: bool) -> None:  # noqa: FBT001
        """Take what a `Tap` yields."""
        if item is None:
            self.end(at, from_client=from_client)
        elif isinstance(item, int):
            self.gap(item, from_client=from_client)
        else:
            self.feed(item, at, from_client=from_client)

    def feed(self, chunk: bytes, at: Moment, *, from_client: bool) -> None:
        """Take bytes that were passed on."""
        for line in self._lines[from_client].feed(chunk):
            self._read(line, at, from_client=from_client)

    def gap(self, size: int, *, from_client: bool) -> None:
        """Note that bytes were passed on without being given to `feed`."""
        self._lines[from_client].gap(size)
        self.counts.unread_bytes += size

    def end(self, at: Moment, *, from_client: bool) -> None:
        """Note that a direction ended; what came after its last newline is read as a line."""
        line = self._lines[from_client].end()
        if line is not None:
            self._read(line, at, from_client=from_client)

    def finish(self, at: Moment, *, client_left: bool, exit_code: int) -> None:
        """Record calls that nobody will answer any more, why the server ended, and the end of the session."""
        why = f"The server ended with exit code {exit_code}"
        crashed = bool(exit_code) and not client_left
        for key in list(self._open):
            open_call = self._take(key)
            if open_call is None:
                continue
            if self._unread_answers:
                # Its answer may be among those that could not be read.
                self._record(key, open_call, _UNREAD, None)
            elif crashed:
                fields = events.failed("no_answer", f"{why} before the call was answered.")
                self._record(key, open_call, fields, at)
            else:
                self._record(key, open_call, _UNKNOWN, None)
        if crashed:
            about = {"error_type": "server_ended", "bcp_name": self._bcp_name} | self._who
            self._error("error", f"{why}.", about)
        self._send(self._sink.end_session, self._who["session_id"], time=_time(at))

    def _read(self, line: Line, at: Moment, *, from_client: bool) -> None:
        outline = line.outline
        if outline is None:
            if not line.data.strip():
                return
            try:
                # Some tools send a file as it is, in whatever encoding, and clients read it as leniently.
                found = json.loads(line.data.decode("utf-8-sig", "replace"))
            except (ValueError, RecursionError):
                outline = Outline(line.data)
        if outline is not None:
            self._unread(line.size)
            self._read_outline(outline.found, line.size, at, from_client=from_client)
            return
        try:
            # The protocol of 2025-03-26 had batches.
            if isinstance(found, list):
                for message in found:
                    self._message(message, events.encoded_size(message), at, from_client=from_client)
            else:
                self._message(found, line.size, at, from_client=from_client)
        except Exception as error:  # noqa: BLE001 - whatever a peer sent, copying must go on
            self._complain(error)

    def _unread(self, size: int) -> None:
        self.counts.unread_lines += 1
        self.counts.unread_bytes += size

    def _read_outline(self, found: dict[str, Any], size: int, at: Moment, *, from_client: bool) -> None:
        """Take what is known of a message that cannot be read."""
        method = events.string(found.get("method"))
        if from_client:
            if method is None and "id" in found:
                self._person_answered(_key(found["id"]), at)
            elif method is not None and "id" in found:
                params = {"name": found.get("name"), "arguments": {"_omitted": f"{size} bytes"}}
                self._ask(_key(found["id"]), method, params, size, at)
        elif method is None and "id" not in found:
            self._unread_answers = True
        elif method is None:
            key, open_call = self._asked(found["id"])
            if open_call is not None:
                self._record(key, open_call, _UNREAD | {"response_bytes": size, "wire_bytes": size}, at)

    def _message(self, message: Json, size: int, at: Moment, *, from_client: bool) -> None:
        if not isinstance(message, dict):
            self._unread(size)
            return
        method = events.string(message.get("method"))
        if from_client:
            if method is not None and message.get("id") is not None:
                self._ask(_key(message["id"]), method, message.get("params"), size, at)
            elif method == "notifications/cancelled":
                self._cancel(events.mapping(message.get("params")), at)
            elif method is None:
                self._person_answered(_key(message.get("id")), at)
        elif method is None:
            # A message with a method is a request of the server, whose ids are apart from the client's.
            self._answer(message, size, at)
        elif method == events.ELICIT and message.get("id") is not None:
            self._ask_person(_key(message["id"]), at)

    def _ask_person(self, key: Key, at: Moment) -> None:
        calls = [call for call in self._open.values() if call.method == events.CALL]
        self._questions[key] = _Question(at.monotonic_ns, calls)
        if len(self._questions) > _MAX_OPEN:
            self._questions.popitem(last=False)

    def _person_answered(self, key: Key, at: Moment) -> None:
        question = self._questions.pop(key, None)
        if question is not None:
            waiting = [call for call in question.calls if any(call is other for other in self._open.values())]
            if len(waiting) == 1:
                waiting[0].waits.append((question.asked_ns, at.monotonic_ns))

    def _ask(self, key: Key, method: str, params: Json, size: int, at: Moment) -> None:
        if method not in {events.CALL, events.LIST, "initialize", "server/discover"}:
            return
        # Give up an older call where its id is used again, or where more calls are open than fit.
        older = key if key in self._open or len(self._open) < _MAX_OPEN else next(iter(self._open))
        if (lost := self._take(older)) is not None:
            self._record(older, lost, _UNKNOWN, None)
        held = min(size, events.MAX_DOCUMENT)
        if size > events.MAX_DOCUMENT or self._open_bytes + held > _MAX_OPEN_BYTES:
            found = events.mapping(params)
            kept = {name: found[name] for name in ("name", "cursor", "_meta", "clientInfo") if name in found}
            if self._open_bytes + held > _MAX_OPEN_BYTES:
                held, arguments = 0, {"_omitted": f"{size} bytes"}
            else:
                arguments = events.fitting(found.get("arguments"), size)
            params = kept | {"arguments": arguments}
        self._open[key] = _Open(method, params, size, held, at)
        self._open_bytes += held

    def _asked(self, request_id: Json) -> tuple[Key, _Open | None]:
        """Take the request that a message of either side names by its id."""
        key = _key(request_id)
        if key not in self._open:
            key = _other_form(key)
        return key, self._take(key)

    def _take(self, key: Key) -> _Open | None:
        found = self._open.pop(key, None)
        if found is not None:
            self._open_bytes -= found.held
        return found

    def _cancel(self, params: Any, at: Moment) -> None:  # noqa: ANN401
        key, open_call = self._asked(params.get("requestId"))
        if open_call is not None:
            reason = events.string(params.get("reason")) or "The client cancelled the call."
            self._record(key, open_call, events.cancelled("client", reason), at)

    def _answer(self, message: dict[str, Any], size: int, at: Moment) -> None:
        error = message.get("error")
        if message.get("id") is None:
            if error is not None:
                fields = events.fields_of_error(error)
                about = {"error_type": fields["error_type"], "bcp_name": self._bcp_name} | self._who
                self._error("error", fields["error_message"], about)
            return
        key, open_call = self._asked(message["id"])
        if open_call is None:
            return
        if open_call.method in {"initialize", "server/discover"}:
            self._greet(open_call.params, message.get("result"))
            return
        if error is not None:
            fields = events.fields_of_error(error)
        elif open_call.method == events.LIST:
            fields = events.fields_of_listing(message.get("result"))
        else:
            fields = events.fields_of_result(message.get("result"), size)
        self._record(key, open_call, fields | {"wire_bytes": size}, at)

    def _greet(self, params: Json, result: Json) -> None:
        known = self._peers
        self._peers = known | events.fields_of_handshake(params, result)
        if self._peers.get("client_name") != known.get("client_name"):
            self._touch()

    def _touch(self) -> None:
        client = {name: value for name, value in self._peers.items() if name.startswith("client_")}
        self._send(self._sink.touch_session, **self._who, **client)

    def _record(self, key: Key, call: _Open, fields: Fields, at: Moment | None) -> None:
        """Record a call that ended at `at`; None where nobody knows when."""
        params = events.mapping(call.params)
        said = self._peers | events.fields_of_meta(params.get("_meta"))
        if call.method == events.LIST:
            tool, parameters = events.LIST, {"cursor": params["cursor"]} if params.get("cursor") else None
            self.counts.listings += 1
        elif call.method == events.CALL:
            tool, parameters = str(params.get("name") or "(no name)"), params.get("arguments")
            self.counts.calls += 1
        else:
            return
        if at is not None:
            # An answer that came while nobody had answered the question of the server.
            asked = [q.asked_ns for q in self._questions.values() if len(q.calls) == 1 and q.calls[0] is call]
            waits = call.waits + [(asked_ns, at.monotonic_ns) for asked_ns in asked]
            fields = fields | events.durations(call.began.monotonic_ns, at.monotonic_ns, waits)
        fields = self._who | said | fields
        fields |= {
            "parameters": parameters,
            "request_id": str(key[1]),
            "request_bytes": call.size,
            "start_time": _time(call.began),
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        self._send(self._sink.record, self._bcp_name, tool, call.method, **fields)
        level = events.level_of(fields)
        self.counts.failed_calls += call.method == events.CALL and fields.get("success") is False
        if level is not None:
            about = events.error_of(self._bcp_name, tool, call.method, fields)
            when = {} if at is None else {"timestamp": _time(at)}
            self._error(level, fields["error_message"], about | when)

    def _error(self, level: str, message: str, fields: Fields) -> None:
        self._send(self._sink.record_error, level, message, **fields)

    def _send(self, send: Callable[..., Any], *args: Any, **fields: Any) -> None:  # noqa: ANN401
        try:
            send(*args, **fields)
        except Exception as error:  # noqa: BLE001 - recording must not be felt by those who are recorded
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self.counts.unrecorded += 1
        if self.counts.unrecorded == 1:
            self._say(f"recording failed, the connection goes on: {type(error).__name__}: {error}")


def _key(request_id: Json) -> Key:
    """Return what a request is found by: 3 and 3.0 are one id, 1, "1" and True three."""
    if isinstance(request_id, float) and request_id.is_integer():
        request_id = int(request_id)
    if isinstance(request_id, str | int | float | None):
        return type(request_id).__name__, request_id
    return "other", json.dumps(request_id)


def _other_form(key: Key) -> Key:
    """Return the key of a number's text or of a text's number: servers answer so, and clients take it."""
    kind, request_id = key
    if kind == "int":
        return "str", str(request_id)
    if kind == "str" and _NUMBER.fullmatch(request_id):
        return "int", int(request_id)
    return key


def _time(at: Moment) -> datetime:
    return datetime.fromtimestamp(at.epoch_s, UTC)


def say(sentence: str) -> None:
    """Write a line to stderr; stdout is the protocol's."""
    try:
        sys.stderr.write(f"bcp-analytics proxy: {visible_line(sentence)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
