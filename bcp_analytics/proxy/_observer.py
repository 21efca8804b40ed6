"""Pairs the requests of a client with the answers of a server, and records the calls among them."""

from __future__ import annotations

import json
import re
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bcp_analytics import _mcp_events as events
from bcp_analytics._visible import visible_line
from bcp_analytics.proxy._lines import Line, Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from bcp_analytics._mcp_events import Fields, Json, Sink

MAX_LINE = 8 * 1024 * 1024
"""A longer line is passed on like any other, but not read."""
_MAX_OPEN = 4_096
_MAX_OPEN_BYTES = 64 * 1024 * 1024

# Where an answer too long to be read has its id: https://www.jsonrpc.org/specification has no order of keys,
# but libraries write these.
_ID = rb'"id"\s*:\s*(-?[0-9]{1,15}|"[^"\\]{1,100}")'
_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"'
_ID_AHEAD = re.compile(rb"\s*\{\s*(?:" + _VERSION + rb"\s*,\s*)?" + _ID + rb'\s*,\s*"result"\s*:')
_RESULT_AHEAD = re.compile(rb'\s*\{\s*"result"\s*:')
_ID_BEHIND = re.compile(rb",\s*" + _VERSION + rb"\s*,\s*" + _ID + rb"\s*\}\s*$")


_UNREAD: dict[str, Any] = {"error_type": "answer_unread"}


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
    """Lines that are no JSON, longer than `MAX_LINE`, or that came too fast."""
    unread_bytes: int = 0
    unrecorded: int = 0
    """Events that the recording itself raised for."""


@dataclass(slots=True)
class _Open:
    """A request that has no answer yet."""

    method: str
    params: Json
    size: int
    began: Moment


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
        why = "The client left" if client_left else f"The server ended with exit code {exit_code}"
        for key in list(self._open):
            open_call = self._take(key)
            if open_call is None:
                continue
            if self._unread_answers and not client_left:
                # Its answer may be among those that were not read.
                fields: Fields = _UNREAD
            else:
                reason = f"{why} before the call was answered."
                fields = (
                    events.cancelled("client", reason, "no_answer")
                    if client_left
                    else events.failed("no_answer", reason)
                )
            self._record(key, open_call, fields, at)
        if exit_code and not client_left:
            about = {"error_type": "server_ended", "bcp_name": self._bcp_name} | self._who
            self._error("error", f"{why}.", about)
        self._send(self._sink.end_session, self._who["session_id"], time=_time(at))

    def _read(self, line: Line, at: Moment, *, from_client: bool) -> None:
        if line.tail is not None or line.torn:
            self._unread(line.size)
            if not from_client:
                self._read_ends(line, at)
            return
        if not line.data.strip():
            return
        try:
            found = json.loads(line.data)
        except (ValueError, RecursionError):
            self._unread(line.size)
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

    def _read_ends(self, line: Line, at: Moment) -> None:
        """Find out whose answer a line is that is too long to be read."""
        found = None if line.torn else _ID_AHEAD.match(line.data)
        if found is None and not line.torn and _RESULT_AHEAD.match(line.data):
            found = _ID_BEHIND.search(line.tail or b"")
        if found is None:
            self._unread_answers = True
            return
        key = _key(json.loads(found[1]))
        open_call = self._take(key)
        if open_call is not None:
            self._record(key, open_call, _UNREAD | {"response_bytes": line.size}, at)

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
            # What the server asks of the client has ids of its own, and is none of ours.
            self._answer(message, size, at)

    def _ask(self, key: Key, method: str, params: Json, size: int, at: Moment) -> None:
        if method not in {events.CALL, events.LIST, "initialize", "server/discover"}:
            return
        # An id used anew, or more open calls than fit: the older one is given up.
        older = key if key in self._open or len(self._open) < _MAX_OPEN else next(iter(self._open))
        if (lost := self._take(older)) is not None:
            self._record(older, lost, {"error_type": "no_answer"}, at)
        if size > events.MAX_DOCUMENT or self._open_bytes + size > _MAX_OPEN_BYTES:
            found = events.mapping(params)
            kept = {name: found[name] for name in ("name", "cursor", "_meta", "clientInfo") if name in found}
            params = kept | {"arguments": {"_omitted": f"{size} bytes"}}
        self._open[key] = _Open(method, params, size, at)
        self._open_bytes += size

    def _take(self, key: Key) -> _Open | None:
        found = self._open.pop(key, None)
        if found is not None:
            self._open_bytes -= found.size
        return found

    def _cancel(self, params: Any, at: Moment) -> None:  # noqa: ANN401
        key = _key(params.get("requestId"))
        open_call = self._take(key)
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
        key = _key(message["id"])
        open_call = self._take(key)
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
        self._record(key, open_call, fields | {"response_bytes": size}, at)

    def _greet(self, params: Json, result: Json) -> None:
        known = self._peers
        self._peers = known | events.fields_of_handshake(params, result)
        if self._peers.get("client_name") != known.get("client_name"):
            self._touch()

    def _touch(self) -> None:
        client = {name: value for name, value in self._peers.items() if name.startswith("client_")}
        self._send(self._sink.touch_session, **self._who, **client)

    def _record(self, key: Key, call: _Open, fields: Fields, at: Moment) -> None:
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
        fields = self._who | said | fields
        fields |= {
            "parameters": parameters,
            "request_id": str(key[1]),
            "request_bytes": call.size,
            "start_time": _time(call.began),
            "duration_ms": (at.monotonic_ns - call.began.monotonic_ns) / 1e6,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        self._send(self._sink.record, self._bcp_name, tool, call.method, **fields)
        level = events.level_of(fields)
        self.counts.failed_calls += call.method == events.CALL and fields.get("success") is False
        if level is not None:
            about = events.error_of(self._bcp_name, tool, call.method, fields)
            self._error(level, fields["error_message"], about | {"timestamp": _time(at)})

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
    """Return what a request is found by: the ids 1 and "1" are two, whatever Python says of 1 and True."""
    if isinstance(request_id, str | int | float | None):
        return type(request_id).__name__, request_id
    return "other", json.dumps(request_id)


def _time(at: Moment) -> datetime:
    return datetime.fromtimestamp(at.epoch_s, UTC)


def say(sentence: str) -> None:
    """Write a line to stderr; stdout is the protocol's."""
    try:
        sys.stderr.write(f"bcp-analytics proxy: {visible_line(sentence)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
