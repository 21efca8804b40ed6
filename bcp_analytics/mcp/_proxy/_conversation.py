"""Pairs the requests of a client with the answers of a server, and records the calls among them.

However the messages came: over stdio there is one conversation, over HTTP one for each session.
"""

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
from bcp_analytics.mcp._proxy._outline import Outline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bcp_analytics.mcp._events import Fields, Json, Sink
    from bcp_analytics.mcp._proxy._lines import Line

MAX_LINE = 8 * 1024 * 1024
"""A longer message is passed on like any other, but not read."""
_MAX_OPEN = 4_096
_MAX_OPEN_BYTES = 64 * 1024 * 1024

_NUMBER = re.compile(r"-?[0-9]{1,15}")

UNKNOWN: dict[str, Any] = {"error_type": "no_answer"}
"""Of a call that was answered, or may have been: nothing says that it failed."""
UNREAD: dict[str, Any] = {"error_type": "answer_unread"}
"""Of a call whose answer passed, and could not be read."""


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
    """Messages that are no JSON for Python, longer than `MAX_LINE`, or that came too fast."""
    unread_bytes: int = 0
    unrecorded: int = 0
    """Events that the recording itself raised for."""


@dataclass(slots=True, eq=False)
class Request:
    """A request that has no answer yet."""

    conversation: Conversation
    key: Key
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
    calls: list[Request]
    """Those that were open then: one of them waits, and nothing says which."""


Key = tuple[str, Any]


class Journal:
    """What all conversations share: where events go, what was counted, and the bounds of what is kept."""

    def __init__(self, bcp_name: str, sink: Sink, say: Callable[[str], None]) -> None:
        """`say` is called once, should recording fail."""
        self.bcp_name = bcp_name
        self.sink = sink
        self.counts = Counts()
        self.open: dict[Request, None] = {}
        """The requests that have no answer yet, oldest first."""
        self.open_bytes = 0
        self.definitions = events.Definitions()
        self.own = False
        """Whether the server is the store's own, whose calls are not recorded."""
        self._say = say

    def send(self, send: Callable[..., Any], *args: Any, **fields: Any) -> None:  # noqa: ANN401
        """Call a method of the sink."""
        try:
            send(*args, **fields)
        except Exception as error:  # noqa: BLE001 - recording must not be felt by those who are recorded
            self.complain(error)

    def error(self, level: str, message: str, fields: Fields) -> None:
        """Record an error."""
        self.send(self.sink.record_error, level, message, **fields)

    def complain(self, error: Exception) -> None:
        """Count a failure of the recording, and say the first."""
        self.counts.unrecorded += 1
        if self.counts.unrecorded == 1:
            self._say(f"recording failed, the connection goes on: {type(error).__name__}: {error}")

    def unread(self, size: int) -> None:
        """Count a message that cannot be read."""
        self.counts.unread_lines += 1
        self.counts.unread_bytes += size


class Conversation:
    """Takes what a client and a server say, and records what it understands; never raises."""

    def __init__(self, journal: Journal, who: Fields, about: Fields | None = None) -> None:
        """`who` has session and user, where they are known, and `about` what else is known of each call."""
        self.who = who
        self._journal = journal
        self._peers: Fields = about or {}
        self._open: dict[Key, Request] = {}
        self._questions: OrderedDict[Key, _Question] = OrderedDict()
        self._unread_answers = False
        self.touch()

    @property
    def release(self) -> str | None:
        """The server's version, where it has said so."""
        return self._peers.get("release")

    def read(
        self, line: Line, at: Moment, *, from_client: bool, to: list[Request] | None = None
    ) -> list[Request]:
        """Take a message, or a batch, and return the requests that it makes.

        `to` are the requests to which a message of the server belongs, where the transport says so.
        """
        found, outline = _parsed(line)
        if outline is not None:
            self._journal.unread(line.size)
            if not from_client:
                self._server_outline(outline.found, line.size, at, to or [])
                return []
            made = self._client_outline(outline.found, line.size, at)
            return [] if made is None else [made]
        made_now: list[Request] = []
        try:
            for message, size in found:
                if not isinstance(message, dict):
                    self._journal.unread(size)
                elif not from_client:
                    self._from_server(message, size, at, to)
                elif (made := self._from_client(message, size, at)) is not None:
                    made_now.append(made)
        except Exception as error:  # noqa: BLE001 - whatever a peer sent, copying must go on
            self._journal.complain(error)
        return made_now

    def give_up(self, requests: Iterable[Request], fields: Fields, at: Moment | None) -> None:
        """Record those of the requests that are still open: nobody will answer them any more."""
        if self._unread_answers:
            # The answer may be among those that could not be read.
            fields, at = UNREAD, None
        for request in requests:
            if self._open.get(request.key) is request:
                self._take(request.key)
                self._record(request, fields, at)

    def give_up_all(self, fields: Fields, at: Moment | None) -> None:
        """Record all requests that are still open."""
        self.give_up(list(self._open.values()), fields, at)

    def touch(self) -> None:
        """Say that the session is active, where there is one."""
        if "session_id" in self.who:
            names = ("user_agent", "ip_address", "client_name", "client_version")
            client = {name: self._peers[name] for name in names if name in self._peers}
            self._journal.send(self._journal.sink.touch_session, **self.who, **client)

    def end_session(self, at: Moment) -> None:
        """Say that the session has ended."""
        self._journal.send(self._journal.sink.end_session, self.who["session_id"], time=time_of(at))

    def _client_outline(self, found: dict[str, Any], size: int, at: Moment) -> Request | None:
        """Take what is known of a message that cannot be read."""
        method = events.string(found.get("method"))
        if "id" not in found:
            return None
        if method is None:
            self._person_answered(_key(found["id"]), at)
            return None
        params = {"name": found.get("name"), "arguments": {"_omitted": f"{size} bytes"}}
        return self._ask(_key(found["id"]), method, params, size, at)

    def _server_outline(self, found: dict[str, Any], size: int, at: Moment, to: list[Request]) -> None:
        fields = UNREAD | {"response_bytes": size, "wire_bytes": size}
        if events.string(found.get("method")) is not None:
            return
        if "id" in found:
            if (request := self._asked(found["id"])) is not None:
                self._record(request, fields, at)
        elif to:
            self.give_up(to, fields, at)
        else:
            self._unread_answers = True

    def _from_client(self, message: dict[str, Any], size: int, at: Moment) -> Request | None:
        method = events.string(message.get("method"))
        if method is not None and message.get("id") is not None:
            return self._ask(_key(message["id"]), method, message.get("params"), size, at)
        if method == "notifications/cancelled":
            self._cancel(events.mapping(message.get("params")), at)
        elif method is None:
            self._person_answered(_key(message.get("id")), at)
        return None

    def _from_server(self, message: dict[str, Any], size: int, at: Moment, to: list[Request] | None) -> None:
        method = events.string(message.get("method"))
        if method is None:
            # A message with a method is a request of the server, whose ids are apart from the client's.
            self._answer(message, size, at, to or [])
        elif method == events.ELICIT and message.get("id") is not None:
            self._ask_person(_key(message["id"]), at, to)

    def _ask_person(self, key: Key, at: Moment, to: list[Request] | None) -> None:
        calls = [call for call in to or self._open.values() if call.method == events.CALL]
        self._questions[key] = _Question(at.monotonic_ns, calls)
        if len(self._questions) > _MAX_OPEN:
            self._questions.popitem(last=False)

    def _person_answered(self, key: Key, at: Moment) -> None:
        question = self._questions.pop(key, None)
        if question is not None:
            waiting = [call for call in question.calls if self._open.get(call.key) is call]
            if len(waiting) == 1:
                waiting[0].waits.append((question.asked_ns, at.monotonic_ns))

    def _ask(self, key: Key, method: str, params: Json, size: int, at: Moment) -> Request | None:
        if method not in {events.CALL, events.LIST, "initialize", "server/discover"}:
            return None
        journal = self._journal
        # Give up an older call where its id is used again, or where more calls are open than fit.
        older = self._open.get(key)
        if older is None and len(journal.open) >= _MAX_OPEN:
            older = next(iter(journal.open))
        if older is not None:
            older.conversation.lose(older)
        held = min(size, events.MAX_DOCUMENT)
        if size > events.MAX_DOCUMENT or journal.open_bytes + held > _MAX_OPEN_BYTES:
            found = events.mapping(params)
            kept = {name: found[name] for name in ("name", "cursor", "_meta", "clientInfo") if name in found}
            if journal.open_bytes + held > _MAX_OPEN_BYTES:
                held, arguments = 0, {"_omitted": f"{size} bytes"}
            else:
                arguments = events.fitting(found.get("arguments"), size)
            params = kept | {"arguments": arguments}
        request = Request(self, key, method, params, size, held, at)
        self._open[key] = request
        journal.open[request] = None
        journal.open_bytes += held
        return request

    def lose(self, request: Request) -> None:
        """Record a request that cannot be kept until its answer comes."""
        self._take(request.key)
        self._record(request, UNKNOWN, None)

    def _asked(self, request_id: Json) -> Request | None:
        """Take the request that a message of either side names by its id."""
        key = _key(request_id)
        return self._take(key if key in self._open else _other_form(key))

    def _take(self, key: Key) -> Request | None:
        found = self._open.pop(key, None)
        if found is not None:
            self._journal.open_bytes -= found.held
            del self._journal.open[found]
        return found

    def _cancel(self, params: Any, at: Moment) -> None:  # noqa: ANN401
        request = self._asked(params.get("requestId"))
        if request is not None:
            reason = events.string(params.get("reason")) or "The client cancelled the call."
            self._record(request, events.cancelled("client", reason), at)

    def _answer(self, message: dict[str, Any], size: int, at: Moment, to: list[Request]) -> None:
        error = message.get("error")
        if message.get("id") is None:
            if error is not None:
                self._answer_without_id(error, size, at, to)
            return
        request = self._asked(message["id"])
        if request is None:
            return
        if request.method in {"initialize", "server/discover"}:
            self._greet(request.params, message.get("result"))
            return
        if error is not None:
            fields = events.fields_of_error(error)
        elif request.method == events.LIST:
            fields = events.fields_of_listing(message.get("result"))
        else:
            fields = events.fields_of_result(message.get("result"), size)
        self._record(request, fields | {"wire_bytes": size}, at)
        if request.method == events.LIST and error is None:
            self._define(message.get("result"), at)

    def _define(self, result: Json, at: Moment) -> None:
        """Record what the tools of a list are."""
        journal = self._journal
        about = {} if self.release is None else {"release": self.release}
        if not journal.own:
            for one in journal.definitions.of(journal.bcp_name, result, time_of(at), about):
                journal.send(journal.sink.record, journal.bcp_name, events.DEFINITION, events.LIST, **one)

    def _answer_without_id(self, error: Json, size: int, at: Moment, to: list[Request]) -> None:
        """Take an error that names no request; the transport may say which it answers."""
        fields = events.fields_of_error(error)
        if to:
            self.give_up(to, fields | {"wire_bytes": size}, at)
            return
        about = {"error_type": fields["error_type"], "bcp_name": self._journal.bcp_name} | self.who
        self._journal.error("error", fields["error_message"], about)

    def _greet(self, params: Json, result: Json) -> None:
        known = self._peers
        self._journal.own |= events.is_own(result)
        self._peers = known | events.fields_of_handshake(params, result)
        if self._peers.get("client_name") != known.get("client_name"):
            self.touch()

    def _record(self, call: Request, fields: Fields, at: Moment | None) -> None:
        """Record a call that ended at `at`; None where nobody knows when."""
        journal = self._journal
        if journal.own:
            return
        params = events.mapping(call.params)
        said = self._peers | events.fields_of_meta(params.get("_meta"))
        if call.method == events.LIST:
            tool, parameters = events.LIST, {"cursor": params["cursor"]} if params.get("cursor") else None
            journal.counts.listings += 1
        elif call.method == events.CALL:
            tool, parameters = str(params.get("name") or "(no name)"), params.get("arguments")
            journal.counts.calls += 1
        else:
            return
        if at is not None:
            # An answer that came while nobody had answered the question of the server.
            asked = [q.asked_ns for q in self._questions.values() if len(q.calls) == 1 and q.calls[0] is call]
            waits = call.waits + [(asked_ns, at.monotonic_ns) for asked_ns in asked]
            fields = fields | events.durations(call.began.monotonic_ns, at.monotonic_ns, waits)
        fields = self.who | said | fields
        fields |= {
            "parameters": parameters,
            "request_id": str(call.key[1]),
            "request_bytes": call.size,
            "start_time": time_of(call.began),
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        journal.send(journal.sink.record, journal.bcp_name, tool, call.method, **fields)
        level = events.level_of(fields)
        journal.counts.failed_calls += call.method == events.CALL and fields.get("success") is False
        if level is not None:
            about = events.error_of(journal.bcp_name, tool, call.method, fields)
            when = {} if at is None else {"timestamp": time_of(at)}
            journal.error(level, fields["error_message"], about | when)


def _parsed(line: Line) -> tuple[Iterable[tuple[Json, int]], Outline | None]:
    """Return the messages with their sizes, or the outline of what cannot be read."""
    if line.outline is not None:
        return (), line.outline
    if not line.data.strip():
        return (), None
    try:
        # Some tools send a file as it is, in whatever encoding, and clients read it as leniently.
        found = json.loads(line.data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return (), Outline(line.data)
    if isinstance(found, list):
        # The protocol of 2025-03-26 had batches.
        return ((message, events.encoded_size(message)) for message in found), None
    return [(found, line.size)], None


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


def time_of(at: Moment) -> datetime:
    """Return the time by the wall's clock."""
    return datetime.fromtimestamp(at.epoch_s, UTC)


def say(sentence: str) -> None:
    """Write a line to stderr; stdout is the protocol's."""
    try:
        sys.stderr.write(f"bcp-analytics proxy: {visible_line(sentence)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
