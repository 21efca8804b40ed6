"""What messages of the Model Context Protocol become as events: shared by the proxy and the middleware.

Everything here takes messages as they are on the wire (parsed JSON), of any protocol version: of 2024-11-05
to 2025-11-25, whose clients name themselves in `initialize`, and of 2026-07-28, which has neither handshake
nor session and carries client, protocol version and trace in each request's `_meta`. It raises for no
message's sake: peers send what they like.

Error types follow https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/: the code of a protocol error, and
tool_error for a result that says isError.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bcp_analytics._core.own import OWN_SERVER
from bcp_analytics.collector.capture._context import SHARED_FIELDS

if TYPE_CHECKING:
    from datetime import datetime

Json = Any
Fields = dict[str, Any]

CALL = "tools/call"
LIST = "tools/list"
DEFINITION = "tools/definition"
"""Of a row that says what a tool is; its operation is that of lists, so that it is no call either."""
ELICIT = "elicitation/create"
"""The method by which a server asks the person at the client, while a call waits for the answer."""

MAX_DOCUMENT = 262_144
"""Of larger parameters and results, in bytes, the beginning is recorded.

The store keeps 65,536 bytes of a document (its setting max_document_bytes) and cuts after redaction. What is
cut here, before it, loses what could be half of an address that no rule finds, as in bcp_internal.cut_text.
"""
_MAX_DEPTH = 100
"""The store keeps only the size of what is nested deeper (its setting max_json_depth)."""
_MAX_DEFINITIONS = 1_000
"""Tools of one list whose definitions are recorded."""
_MAX_SENT = 10_000
MAX_MESSAGE = 4_000
"""Characters of an error message."""

# As clients write why they gave up: "McpError: MCP error -32001: Request timed out". The store classifies the
# call itself; this only says whether an error goes along with it.
_TOOK_TOO_LONG = re.compile(r"time[ds]?[ _-]?out|deadline[ _-]?exceeded|-32001", re.IGNORECASE)
_WITHOUT_SESSIONS = "2026-07-28"
"""The first version of the protocol that has none."""
_PROTOCOL = "io.modelcontextprotocol/protocolVersion"
_CLIENT = "io.modelcontextprotocol/clientInfo"
_SERVER = "io.modelcontextprotocol/serverInfo"
INTENT = "bcp-analytics/intent"
"""By which a client says in `_meta` why it calls. No convention has such a key yet, so it has our prefix."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_LAST_WORD = re.compile(r'[^\s"]*\Z')
_LONGEST_WORD = 1_000
_BLOBS = {"image": "data", "audio": "data"}


class Sink(Protocol):
    """Where events go: `Collector` and `AsyncCollector` are such, by their synchronous methods."""

    def record(self, *args: Any, **fields: Any) -> Any:  # noqa: ANN401
        """Take in a call: bundle, tool, operation, and the fields of `log_tool_usage`."""

    def record_error(self, *args: Any, **fields: Any) -> Any:  # noqa: ANN401
        """Take in an error: level, message, and the fields of `log_error`."""

    def touch_session(self, *args: Any, **fields: Any) -> Any:  # noqa: ANN401
        """Say that a session is active."""

    def end_session(self, *args: Any, **fields: Any) -> Any:  # noqa: ANN401
        """Say that a session has ended."""


def mapping(value: Json) -> Mapping[str, Any]:
    """Return the value where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def string(value: Json) -> str | None:
    """Return the value where it is a string and not empty."""
    return value if isinstance(value, str) and value else None


def encoded_size(value: Json) -> int:
    """Return the bytes of a value as compact JSON in UTF-8."""
    return text_bytes(json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str))


def has_sessions(protocol_version: str | None) -> bool:
    """Say whether an id of a session over HTTP is one, and not another one for each call."""
    return protocol_version is None or protocol_version < _WITHOUT_SESSIONS


def durations(began_ns: int, ended_ns: int, waits: list[tuple[int, int]]) -> Fields:
    """Return how long a call took without the times, from and to, in which it waited for a person; and these.

    Times may overlap, where the server asked twice at once.
    """
    waited, up_to = 0, began_ns
    for since, until in sorted(waits):
        waited += max(min(until, ended_ns) - max(since, up_to), 0)
        up_to = max(up_to, until)
    fields: Fields = {"duration_ms": (ended_ns - began_ns - waited) / 1e6}
    return fields | {"waited_ms": waited / 1e6} if waits else fields


def client_of(implementation: Json) -> Fields:
    """Return the fields that an Implementation, as in clientInfo, says of the client."""
    found = mapping(implementation)
    fields = {"client_name": string(found.get("name")), "client_version": string(found.get("version"))}
    return {name: value for name, value in fields.items() if value is not None}


def server_of(implementation: Json) -> Fields:
    """Return the fields that an Implementation, as in serverInfo, says of the server."""
    release = string(mapping(implementation).get("version"))
    return {} if release is None else {"release": release}


def is_own(result: Json) -> bool:
    """Say whether it is the store's own server that answers `initialize` or `server/discover` so."""
    answered = mapping(result)
    servers = (answered.get("serverInfo"), mapping(answered.get("_meta")).get(_SERVER))
    return any(mapping(server).get("name") == OWN_SERVER for server in servers)


def fields_of_meta(meta: Json) -> Fields:
    """Return what a request's `_meta` says: from 2026-07-28 on client and protocol version; trace; intent.

    https://www.w3.org/TR/trace-context/#traceparent-header has the form of traceparent.
    """
    found = mapping(meta)
    fields = _peer_of(found)
    if trace := _TRACEPARENT.fullmatch(string(found.get("traceparent")) or ""):
        fields["trace_id"], fields["parent_span_id"] = trace[1], trace[2]
    return fields | fields_of_intent(string(found.get(INTENT)))


def fields_of_intent(intent: str | None) -> Fields:
    """Return why an agent calls, where it says so."""
    return {} if intent is None else {"intent": _short(intent)}


def _peer_of(meta: Mapping[str, Any]) -> Fields:
    fields = client_of(meta.get(_CLIENT))
    if (version := string(meta.get(_PROTOCOL))) is not None:
        fields["protocol_version"] = version
    return fields


def fields_of_handshake(request: Json, result: Json) -> Fields:
    """Return what `initialize` or `server/discover` says, from its params and its result, for all calls."""
    asked, answered = mapping(request), mapping(result)
    fields = client_of(asked.get("clientInfo")) | _peer_of(mapping(asked.get("_meta")))
    fields |= server_of(answered.get("serverInfo")) | server_of(mapping(answered.get("_meta")).get(_SERVER))
    # The server decides on the version: the client only proposes one.
    if (version := string(answered.get("protocolVersion"))) is not None:
        fields["protocol_version"] = version
    return fields


def fitting(value: Json, size: int) -> Json:
    """Return a document, given its bytes on the wire, as small as it has to be to be sent on.

    Images and sound in it become their size; of what is still too large the beginning stays.
    """
    small = _without_blobs(value)
    if size > MAX_DOCUMENT and (small is value or encoded_size(small) > MAX_DOCUMENT):
        return _beginning(small, MAX_DOCUMENT, _MAX_DEPTH)[0]
    return small


def _beginning(value: Json, room: int, depth: int) -> tuple[Json, int]:
    """Return what of a document takes at most `room` bytes, from its beginning on, and the room left."""
    if isinstance(value, str):
        size = encoded_size(value)
        return (value, room - size) if size <= room else (_head(value, room), 0)
    if not isinstance(value, Mapping | list):
        return value, room - encoded_size(value)
    if depth == 0:
        return {"_omitted": f"{encoded_size(value)} bytes"}, room
    kept: list[tuple[Json, Json]] = []
    for key, member in value.items() if isinstance(value, Mapping) else enumerate(value):
        room -= 4 + (encoded_size(key) if isinstance(value, Mapping) else 0)
        if room <= 0:
            break
        inner, room = _beginning(member, room, depth - 1)
        kept.append((key, inner))
    return (dict(kept) if isinstance(value, Mapping) else [inner for _, inner in kept]), room


def _head(text: str, room: int) -> str:
    """Return the beginning of a text, by the rule of bcp_internal.without_last_word, marked with its size."""
    head = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    word = _LAST_WORD.search(head[-_LONGEST_WORD:])
    return f"{head[: len(head) - len(word[0] if word else '')]} [TRUNCATED {text_bytes(text)} bytes]"


def _without_blobs(value: Json) -> Json:
    content = mapping(value).get("content")
    if not isinstance(content, list):
        return value
    parts = [_without_blob(part) for part in content]
    return value if parts == content else {**value, "content": parts}


def _without_blob(part: Json) -> Json:
    found = mapping(part)
    resource = mapping(found.get("resource"))
    if (blob := string(resource.get("blob"))) is not None:
        return {**found, "resource": {**resource, "blob": f"<{len(blob)} characters of base64>"}}
    key = _BLOBS.get(string(found.get("type")) or "")
    if key is not None and (blob := string(found.get(key))) is not None:
        return {**found, key: f"<{len(blob)} characters of base64>"}
    return part


def model_bytes(result: Json) -> int:
    """Return the bytes of text in a result that reach a model, UTF-8.

    That is its content: text as it is, without JSON's escapes, also of a resource; links and parts of unknown
    kind as JSON. The same once more as structuredContent is for programs, and counts only where there is no
    content. Images and sound are no text: what they cost depends on their pixels and seconds.
    """
    found = mapping(result)
    content = found.get("content")
    if isinstance(content, list) and content:
        return sum(_part_bytes(part) for part in content)
    structured = found.get("structuredContent")
    if structured is not None:
        return encoded_size(structured)
    return 0 if content == [] else encoded_size(result)


def _part_bytes(part: Json) -> int:
    found = mapping(part)
    resource = mapping(found.get("resource"))
    for text in (found.get("text"), resource.get("text")):
        if isinstance(text, str):
            return text_bytes(text)
    if "blob" in resource or _BLOBS.get(string(found.get("type")) or "", "") in found:
        return 0
    return encoded_size(part)


def text_bytes(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def fields_of_result(result: Json, size: int) -> Fields:
    """Return what was seen of a call that was answered with a result of `size` bytes."""
    found = mapping(result)
    data = fitting(result, size)
    fields: Fields = {"response_data": data, "response_bytes": model_bytes(result)}
    if found.get("isError") is True:
        message = _text_of(found.get("content")) or "The tool reported an error without a message."
        # Keep this where the rest is left out: it tells the store that the tool failed, not the protocol.
        return fields | {"response_data": data | {"isError": True}} | failed(None, message)
    kind = found.get("resultType", "task" if "task" in found and "content" not in found else "complete")
    if kind != "complete":
        # A question back to the user, or a task that goes on: this call has neither succeeded nor failed.
        return fields | {"result_type": string(kind)}
    return fields | {"success": True}


def fields_of_error(error: Json) -> Fields:
    """Return code and message of a call that was answered with an error of the protocol."""
    found = mapping(error)
    message = string(found.get("message")) or "The server reported an error without a message."
    fields = failed(str(found.get("code")), message) | {"response_bytes": text_bytes(message)}
    if (data := found.get("data")) is not None:
        fields["response_data"] = fitting({"error": {"data": data}}, encoded_size(data))
    return fields


def failed(error_type: str | None, message: str) -> Fields:
    """Return the fields of a call that failed. What kind of failure it was, the store says."""
    fields: Fields = {"success": False, "error_message": _short(message)}
    return fields if error_type is None else fields | {"error_type": error_type}


def cancelled(by: str, reason: str, error_type: str | None = None) -> Fields:
    """Return the fields of a call that somebody gave up, such as the client, and why."""
    fields: Fields = {"cancelled_by": by, "error_message": _short(reason)}
    return fields if error_type is None else fields | {"error_type": error_type}


def fields_of_listing(result: Json) -> Fields:
    """Return a list of tools in short: of each its name, and the bytes that it costs the model's context.

    A model is given name, description and input schema of every tool that is listed, so these count, as
    compact JSON in UTF-8. A list, not an object by name, so that no tool's name is taken for a sensitive key.
    """
    listed = mapping(result).get("tools")
    tools = [tool for tool in listed if isinstance(tool, Mapping)] if isinstance(listed, list) else []
    short = [
        {"name": tool.get("name"), "bytes": context_bytes(tool), "digest": digest_of(tool)} for tool in tools
    ]
    size = sum(context_bytes(tool) for tool in tools)
    return {
        "response_data": {"tools": short},
        "response_bytes": size,
        "tool_count": len(short),
        "context_bytes": size,
        "more": mapping(result).get("nextCursor") is not None,
        "success": True,
    }


def digest_of(tool: Mapping[str, Any]) -> str:
    """Return what a tool's name, description and input schema are told apart by."""
    known = [tool.get(key) for key in ("name", "description", "inputSchema")]
    text = json.dumps(known, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Definitions:
    """What tools are, for those who want to know when that changed: each once a day, however often listed.

    The day is part of the event's id, so the store drops what other processes send of the same tool.
    """

    def __init__(self) -> None:
        """Begin with none sent."""
        self._sent: set[str] = set()

    def of(self, bcp_name: str, result: Json, at: datetime, about: Fields) -> Iterator[Fields]:
        """Return the fields of the calls that tell what the tools of a list are, of those not sent today."""
        listed = mapping(result).get("tools")
        for tool in listed[:_MAX_DEFINITIONS] if isinstance(listed, list) else ():
            name = string(mapping(tool).get("name"))
            if name is None:
                continue
            digest = digest_of(tool)
            key = json.dumps([bcp_name, name, digest, at.date().isoformat()])
            if key in self._sent:
                continue
            if len(self._sent) >= _MAX_SENT:
                self._sent.clear()
            self._sent.add(key)
            described = {
                "description": string(tool.get("description")),
                "inputSchema": tool.get("inputSchema"),
            }
            data = {name: value for name, value in described.items() if value is not None}
            yield about | {
                "event_id": f"definition-{hashlib.sha256(key.encode()).hexdigest()[:32]}",
                "start_time": at,
                "response_data": fitting(data | {"bytes": context_bytes(tool)}, encoded_size(data)),
                "response_bytes": 0,
                "success": True,
                "defines": name,
                "digest": digest,
            }


def context_bytes(tool: Mapping[str, Any]) -> int:
    """Return the bytes of a tool's name, description and input schema."""
    texts = [string(tool.get(key)) or "" for key in ("name", "description")]
    schema = encoded_size(tool["inputSchema"]) if tool.get("inputSchema") is not None else 0
    return sum(map(text_bytes, texts)) + schema


def level_of(fields: Fields) -> str | None:
    """Return the level of the error that goes with a call, None for a call that is no error."""
    if "cancelled_by" in fields:
        return "error" if _TOOK_TOO_LONG.search(fields["error_message"]) else None
    if fields.get("success") is not False:
        return None
    return "warn" if mapping(fields.get("response_data")).get("isError") is True else "error"


_OF_ERRORS = ("error_type", *SHARED_FIELDS)


def error_of(bcp_name: str, tool_name: str, operation: str, fields: Fields) -> Fields:
    """Return the error that goes with a call that failed, for `Sink.record_error`."""
    return {name: fields[name] for name in _OF_ERRORS if fields.get(name) is not None} | {
        "bcp_name": bcp_name,
        "tool_name": tool_name,
        "operation": operation,
        "tool_context": {"tool": tool_name, "parameters": fields.get("parameters")},
    }


def _text_of(content: Json) -> str:
    parts = content if isinstance(content, list) else ()
    return "\n".join(text for part in parts if (text := string(mapping(part).get("text"))) is not None)


def _short(message: str) -> str:
    """Cut a message between words: no rule of the anonymiser would find half an address."""
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[:MAX_MESSAGE].rpartition(' ')[0]}..."
