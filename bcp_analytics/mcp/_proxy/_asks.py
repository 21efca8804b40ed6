"""What the proxy changes in messages where agents are asked, and nothing else of them.

In what the client sends the argument is taken out, and a call of the tool for what is missing is answered. In
the server's lists both are added. The recording gets the argument by the name under which any client may say
why it calls. What cannot be read, or is too long to be held, passes as it is.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bcp_analytics.mcp import _events as events
from bcp_analytics.mcp._asking import ARGUMENT, MORE, MORE_TOOL, SCHEMA, more_answer
from bcp_analytics.mcp._proxy import _splice as splice
from bcp_analytics.mcp._proxy._conversation import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bcp_analytics.mcp._asking import Asking
    from bcp_analytics.mcp._proxy._splice import Edit, Part

LINE: Final = re.compile(rb"\n")
EVENT: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
WHOLE: Final = re.compile(rb"(?!)")
"""Ends nowhere but where the stream does."""
_LONGEST_END: Final = 4
_MAX_PINGED: Final = 4_096
_ESCAPE: Final = b"\\u00"
"""A letter may be written so, in any of the words that are looked for."""
_OF_CLIENT: Final = (b'"context"', MORE.encode(), b"list", _ESCAPE)
_OF_SERVER: Final = (b'"tools"', _ESCAPE)


class Said(NamedTuple):
    """What becomes of a client's message."""

    passed: bytes
    """What the server gets; nothing where the proxy answers."""
    recorded: bytes
    answer: bytes = b""
    lists: bool = False
    """Whether the answer may have to be changed."""


class Talk:
    """Changes the messages of a connection, or over HTTP of an exchange."""

    def __init__(self, asking: Asking, version: str | None = None) -> None:
        """`version` is that of the protocol, where the transport says it."""
        self._asking = asking
        self._version = version
        self._pinged: OrderedDict[str, str] = OrderedDict()

    def of_client(self, message: bytes) -> Said:
        """Take a message, or a batch, of the client; never raises."""
        same = Said(message, message)
        if not any(mark in message for mark in _OF_CLIENT):
            return same
        text = _text(message)
        try:
            whole = splice.whole(text)
            if isinstance(whole.value, list):
                return self._batch(text, splice.elements(text, whole.at), same)
            if not isinstance(whole.value, Mapping):
                return same
            return self._one(text, whole, same)
        except (ValueError, RecursionError, IndexError):
            return same

    def of_server(self, message: bytes) -> bytes:
        """Return a message, or a batch, of the server as the client gets it; never raises."""
        if not self._pinged and not any(mark in message for mark in _OF_SERVER):
            return message
        text = _text(message)
        try:
            whole = splice.whole(text)
            answers = splice.elements(text, whole.at) if isinstance(whole.value, list) else [whole]
            edits = [edit for answer in answers for edit in self._answered(text, answer)]
        except (ValueError, RecursionError, IndexError):
            return message
        return _bytes(splice.edited(text, edits)) if edits else message

    def of_event(self, event: bytes) -> bytes:
        """Return an event of a stream as the client gets it."""
        lines = event.splitlines(keepends=True)
        data = [number for number, line in enumerate(lines) if line.startswith(b"data:")]
        if not data:
            return event
        message = b"\n".join(lines[number][5:].removeprefix(b" ").rstrip(b"\r\n") for number in data)
        changed = self.of_server(message)
        if changed is message:
            return event
        first, ending = data[0], lines[data[0]][len(lines[data[0]].rstrip(b"\r\n")) :]
        # A text of JSON has no line ends: they are between its parts.
        lines[first] = b"data: " + changed.replace(b"\n", b" ") + ending
        return b"".join(line for number, line in enumerate(lines) if number == first or number not in data)

    def _one(self, text: str, message: Part, same: Said) -> Said:
        call = _Call.read(text, message)
        if call is None:
            return same._replace(lists=message.value.get("method") == events.LIST)
        if self._is_more(call):
            answer = _answer(call.id, self._version_of(call))
            return Said(b"", _bytes(splice.edited(text, call.moved(text))), answer.encode())
        if not self._is_asked(call):
            return same
        return Said(
            _bytes(splice.edited(text, [call.stripped(text)])),
            _bytes(splice.edited(text, call.moved(text))),
        )

    def _batch(self, text: str, messages: list[Part], same: Said) -> Said:
        """Take a batch: what is not for the server is a ping there, whose answer becomes that of the call."""
        passed: list[Edit] = []
        recorded: list[Edit] = []
        lists = False
        for message in messages:
            if not isinstance(message.value, Mapping):
                continue
            call = _Call.read(text, message)
            if call is None:
                lists |= message.value.get("method") == events.LIST
            elif self._is_more(call):
                self._pinged[call.id] = _answer(call.id, self._version_of(call))
                if len(self._pinged) > _MAX_PINGED:
                    self._pinged.popitem(last=False)
                ping = f'{{"jsonrpc":"2.0","id":{call.id},"method":"ping"}}'
                passed.append((message.at, message.end, ping))
                recorded += call.moved(text)
            elif self._is_asked(call):
                passed.append(call.stripped(text))
                recorded += call.moved(text)
        if not passed:
            return same._replace(lists=lists)
        return Said(
            _bytes(splice.edited(text, passed)),
            _bytes(splice.edited(text, recorded)),
            lists=lists or bool(self._pinged),
        )

    def _is_more(self, call: _Call) -> bool:
        return self._asking.answers(call.name.value)

    def _is_asked(self, call: _Call) -> bool:
        given = None if call.arguments is None else call.arguments.value
        return self._asking.take(call.name.value, given)[0] is not given

    def _version_of(self, call: _Call) -> str | None:
        meta = call.params.value.get("_meta")
        version: str | None = events.fields_of_meta(meta).get("protocol_version")
        return version or self._version

    def _answered(self, text: str, answer: Part) -> Iterator[Edit]:
        if not isinstance(answer.value, Mapping) or "method" in answer.value:
            return
        if self._pinged and (given := self._pinged.pop(json.dumps(answer.value.get("id")), None)):
            yield answer.at, answer.end, given
            return
        result = events.mapping(answer.value.get("result"))
        tools = result.get("tools")
        # No other answer of the protocol has such a list, so nobody need remember who asked.
        if not isinstance(tools, list) or not all(_is_tool(tool) for tool in tools):
            return
        found = splice.by_name(text, splice.by_name(text, answer.at)["result"].at)["tools"]
        for tool in splice.elements(text, found.at):
            schema = splice.by_name(text, tool.at)["inputSchema"]
            if self._asking.schema(tool.value["name"], schema.value) is not schema.value:
                yield _with_argument(text, schema)
        if self._asking.offers and not result.get("nextCursor"):
            yield splice.with_element(found, _json(MORE_TOOL))


class _Call(NamedTuple):
    """A call of a tool, and where its parts are."""

    id: str
    params: Part
    name: Part
    arguments: Part | None
    meta: Part | None

    @classmethod
    def read(cls, text: str, message: Part) -> _Call | None:
        """Return None where it is none that anybody answers."""
        given = message.value
        if given.get("method") != events.CALL or not isinstance(given.get("id"), str | int | float):
            return None
        params = splice.by_name(text, message.at).get("params")
        if params is None or not isinstance(params.value, Mapping):
            return None
        found = splice.by_name(text, params.at)
        if "name" not in found or not isinstance(found["name"].value, str):
            return None

        def mapping(name: str) -> Part | None:
            part = found.get(name)
            return part if part is not None and isinstance(part.value, Mapping) else None

        return cls(json.dumps(given["id"]), params, found["name"], mapping("arguments"), mapping("_meta"))

    def stripped(self, text: str) -> Edit:
        """Return the edit that takes the argument out."""
        assert self.arguments is not None  # noqa: S101 - for the type checker
        parts = splice.members(text, self.arguments.at)
        return self.arguments.at, self.arguments.end, splice.without(text, parts, ARGUMENT)

    def moved(self, text: str) -> list[Edit]:
        """Return the edits that make the argument the reason of the call."""
        if self.arguments is None or ARGUMENT not in self.arguments.value:
            return []
        why = splice.by_name(text, self.arguments.at)[ARGUMENT]
        reason = text[why.at : why.end]
        if self.meta is not None:
            said = splice.with_member(self.meta, events.INTENT, reason)
        else:
            said = splice.with_member(self.params, "_meta", f"{{{json.dumps(events.INTENT)}:{reason}}}")
        return [self.stripped(text), said]


class Frames:
    """Cuts a stream into the messages in it, and has each changed; what is too long passes in parts."""

    def __init__(self, end: re.Pattern[bytes], change: Callable[[bytes], bytes]) -> None:
        """`end` is what a message ends with."""
        self._end = end
        self._change = change
        self._held = bytearray()
        self._torn = False

    @property
    def torn(self) -> bool:
        """Whether a message has been handed on in part."""
        return self._torn

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes, and return those that can be passed on."""
        at, begin = max(len(self._held) - _LONGEST_END, 0), 0
        self._held += chunk
        while found := self._end.search(self._held, at):
            message = bytes(self._held[begin : found.end()])
            torn, self._torn = self._torn, False
            yield message if torn else self._change(message)
            begin = at = found.end()
        del self._held[:begin]
        if self._torn or len(self._held) > MAX_LINE:
            self._torn = True
            # An end may have begun.
            size = max(len(self._held) - _LONGEST_END, 0)
            passed = bytes(self._held[:size])
            del self._held[:size]
            if passed:
                yield passed

    def end(self, *, whole: bool = True) -> bytes:
        """Return what came after the last end; `whole` where the stream ended as it should."""
        rest = bytes(self._held)
        self._held.clear()
        return self._change(rest) if rest and whole and not self._torn else rest


def frames_of(content_type: str, talk: Talk) -> Frames | None:
    """Return what changes a body of HTTP, None where it is no message."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return Frames(EVENT, talk.of_event)
    if kind == "application/json" or kind.endswith("+json"):
        return Frames(WHOLE, talk.of_server)
    return None


def _with_argument(text: str, schema: Part) -> Edit:
    properties = splice.by_name(text, schema.at).get("properties")
    if properties is None:
        return splice.with_member(schema, "properties", _json({ARGUMENT: SCHEMA}))
    return splice.with_member(properties, ARGUMENT, _json(SCHEMA))


def _is_tool(tool: Any) -> bool:  # noqa: ANN401 - any JSON
    named = isinstance(tool, Mapping) and isinstance(tool.get("name"), str)
    return named and isinstance(tool.get("inputSchema"), Mapping)


def _answer(request_id: str, version: str | None) -> str:
    return f'{{"jsonrpc":"2.0","id":{request_id},"result":{_json(more_answer(version))}}}'


def _json(found: Any) -> str:  # noqa: ANN401
    return json.dumps(found, separators=(",", ":"))


def _text(message: bytes) -> str:
    # What is no UTF-8 comes out again as it was.
    return message.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
