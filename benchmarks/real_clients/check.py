"""What is compared: the bytes that passed, and the rows with what the client was told."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from bcp_analytics.mcp._proxy import MAX_LINE

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from benchmarks.real_clients.load import Steps

Told = dict[str, Any]
"""What a client was told of a call: what it `saw`, the error's `code`, the beginning of its `text`."""
NO_ANSWER: Told = {"saw": "no answer"}
GIVEN_UP = {"cancelled", "timeout"}
_REJECTED = {-32600, -32601, -32602}
_CODE = re.compile(r"MCP error (-32\d{3})")
_INVALID = re.compile(
    r"(?:Error executing tool \S+: )?(?:\d+ validation errors? for |Input validation error: )"
)


def trace_id(traceparent: str) -> str:
    """Return the id of a trace, by which a call is found everywhere."""
    return traceparent.split("-")[1]


def calls(steps: Steps) -> dict[str, str]:
    """Return the tools that are called, by trace id."""
    return {trace_id(call["traceparent"]): call["tool"] for step in steps for call in step}


def transcript(kept: Path) -> dict[str, Told]:
    """Return by trace id what the client was told up to now."""
    file = kept.with_suffix(".told")
    text = file.read_text() if file.exists() else ""
    told = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return {trace_id(line.pop("traceparent")): line for line in told}


def outcome(told: Told) -> str:
    """Return the outcome that docs/reference/calls.md promises for what the client was told."""
    saw = told["saw"]
    if saw == "result":
        return "success"
    if saw == "error":
        return "rejected" if told["code"] in _REJECTED else "error"
    if saw != "tool error":
        return str(saw)
    code = _CODE.match(told["text"])
    invalid = _INVALID.match(told["text"]) or (code and int(code[1]) in _REJECTED)
    return "rejected" if invalid else "soft_fail"


class Wire:
    """The messages that passed a tee, and whose calls they are about."""

    def __init__(self, kept: Path) -> None:
        """Read what the tee kept."""
        self.sent, self.got = (kept.with_suffix(way).read_bytes() for way in (".in", ".out"))
        self.listings = 0
        self.requests: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self._lines: list[tuple[str | None, bytes]] = []
        by_id: dict[Any, str] = {}
        for line in self.sent.splitlines():
            message = json.loads(line)
            self.listings += message.get("method") == "tools/list"
            if message.get("method") == "tools/call":
                trace = trace_id(message["params"]["_meta"]["traceparent"])
                self.requests[trace], by_id[message["id"]] = line, trace
        for line in self.got.splitlines():
            message = json.loads(line)
            if "method" not in message:
                trace_of = by_id.get(message.get("id"))
                if trace_of is not None:
                    self.answers[trace_of] = line
            else:
                trace_of = by_id.get(message.get("params", {}).get("progressToken"))
            self._lines.append((trace_of, line))

    def got_without(self, traces: set[str]) -> Counter[bytes]:
        """Return the lines that the client got, except those about these calls."""
        return Counter(line for trace, line in self._lines if trace not in traces)


def differing_bytes(direct: Wire, before: Wire, behind: Wire, given_up: set[str]) -> list[str]:
    """Say where the bytes differ: before and behind the proxy, or with and without it.

    Two runs can be compared by all lines but those about calls that were given up: whether a server still
    says something of these is a matter of moments. Calls at the same time are answered in any order.
    """
    found = []
    if before.sent != behind.sent:
        found.append("the server got other bytes than the client sent")
    if before.got != behind.got:
        found.append("the client got other bytes than the server sent")
    ours, theirs = before.got_without(given_up), direct.got_without(given_up)
    found += [f"only with the proxy: {line[:300]!r}" for line in ours - theirs]
    found += [f"only without the proxy: {line[:300]!r}" for line in theirs - ours]
    return found


@dataclass(frozen=True)
class Row:
    """What the store has of a call or of a list of tools."""

    trace_id: str
    tool_name: str
    operation: str
    outcome: str | None
    error_type: str | None
    request_bytes: int
    wire_bytes: int | None
    protocol: str


def rows(conn: psycopg.Connection[Any], bcp_name: str) -> list[Row]:
    """Return the rows of a run."""
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(
            "select trace_id, tool_name, operation, outcome, error_type, request_bytes,"
            " (attributes ->> 'wire_bytes')::bigint as wire_bytes,"
            " attributes ->> 'protocol_version' as protocol from bcp.tool_usage_logs where bcp_name = %s",
            [bcp_name],
        ).fetchall()


def differing_rows(
    stored: list[Row], told: dict[str, Told], made: dict[str, str], wire: Wire | None = None
) -> list[str]:
    """Say of which calls there is not one row, or one that says other than the client saw."""
    found = []
    by_trace: dict[str, list[Row]] = {}
    for row in stored:
        if row.operation == "tools/call":
            by_trace.setdefault(row.trace_id, []).append(row)
            if row.trace_id not in made:
                found.append(f"a row of a call that nobody made: {row}")
    for trace, tool in made.items():
        mine, call = by_trace.get(trace, []), told.get(trace, NO_ANSWER)
        if call == NO_ANSWER:
            # The server may have made it, and its answer not have arrived.
            if len(mine) > 1:
                found.append(f"{tool}: {len(mine)} rows of one call")
        elif len(mine) != 1:
            found.append(f"{tool}: {len(mine)} rows of a call that was answered: {call}")
        elif wrong := _wrong(mine[0], call, tool, wire):
            found.append(f"{tool}: {mine[0]}, but {wrong}: {call}")
    return found


def _wrong(row: Row, call: Told, tool: str, wire: Wire | None) -> str | None:
    answer = b"" if wire is None else wire.answers.get(row.trace_id, b"")
    # What the proxy does not read has no outcome.
    expected = None if len(answer) > MAX_LINE else outcome(call)
    if (row.tool_name, row.outcome) != (tool, expected):
        return f"it was to be {expected}"
    if call["saw"] == "error" and row.error_type != str(call["code"]):
        return "its code is another"
    if wire is None or call["saw"] in GIVEN_UP:
        return None
    passed = (len(wire.requests[row.trace_id]), len(answer))
    return f"{passed} bytes passed" if passed != (row.request_bytes, row.wire_bytes) else None
