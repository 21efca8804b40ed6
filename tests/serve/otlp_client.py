"""Sends OTLP, and reads what is answered by the encoding alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.serve.conftest import Running

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ENCODINGS = (PROTOBUF, JSON)


def post(server: Running, path: str, body: bytes, encoding: str = JSON, **headers: str) -> httpx2.Response:
    return server.send(
        "POST", path, role="ingest", content=body, headers={"content-type": encoding} | headers
    )


def status_of(answer: httpx2.Response) -> tuple[int, str]:
    """Return code and message of a google.rpc.Status, as any reader of protobuf or JSON finds them."""
    if answer.headers["content-type"] == JSON:
        found = answer.json()
        return found["code"], found["message"]
    assert answer.headers["content-type"] == PROTOBUF
    # A message that has a number in field 1 and text in field 2 reads it, whatever it is called.
    fields = dict(wire(answer.content))
    return fields[1], fields[2].decode()


def wire(body: bytes) -> Iterator[tuple[int, Any]]:
    """Read the fields of a protobuf message by its encoding alone."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(body):
        tag = varint()
        value: Any = varint()
        if tag & 7 == 2:
            value, at = body[at : at + value], at + value
        yield tag >> 3, value


def spans(*given: dict[str, Any], **resource: str) -> bytes:
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in resource.items()]
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(given)}]}]}
    ).encode()


def span(n: int, **attributes: str) -> dict[str, Any]:
    known = {"gen_ai.operation.name": "execute_tool"} | attributes
    return {
        "traceId": f"{n:032x}",
        "spanId": f"{n:016x}",
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in known.items()],
    }
