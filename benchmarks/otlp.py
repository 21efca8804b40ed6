"""How many spans a second the server takes in by OTLP: each one a call of a tool, by two senders at once.

    python -m benchmarks.otlp

The spans are those of an MCP server by the conventions; of half of them arguments and results are recorded.
A request has 512, as the OpenTelemetry SDK sends them, and the server answers when they are committed.
Prints the rates of protobuf and of JSON. `measure` is for the benchmark of the stream.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2
import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.server import server

if TYPE_CHECKING:
    from collections.abc import Iterator

SPANS = 512
REQUESTS = 12
SENDERS = 2
ROUNDS = 5
TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
_SERVER = (
    "import sys; from bcp_analytics.serve import Config, run; "
    "run(Config(dsn=sys.argv[1], port=int(sys.argv[2]), access_log=False))"
)


def request(number: int) -> ExportTraceServiceRequest:
    """Return spans that no other request has."""
    found = ExportTraceServiceRequest()
    group = found.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "files"
    scope = group.scope_spans.add()
    scope.scope.name = "mcp-python-sdk"
    now = time.time_ns()
    for n in range(SPANS):
        tool = f"tool_{n % 20}"
        attributes = {
            "mcp.method.name": "tools/call",
            "mcp.protocol.version": "2025-11-25",
            "jsonrpc.request.id": str(n),
            "mcp.session.id": f"session-{number}-{n % 10}",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
        }
        if n % 2:
            attributes["gen_ai.tool.call.arguments"] = json.dumps({"path": f"/data/{n}", "limit": 2000})
            attributes["gen_ai.tool.call.result"] = json.dumps({"lines": n, "text": "some text " * 20})
        span = scope.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=(number * SPANS + n + 1).to_bytes(8, "big"),
            name=f"tools/call {tool}",
            kind=2,
            start_time_unix_nano=now - 60_000_000_000 + n * 1_000_000,
            end_time_unix_nano=now - 60_000_000_000 + n * 1_000_000 + 7_000_000,
        )
        for key, value in attributes.items():
            span.attributes.add(key=key).value.string_value = value
    return found


def in_json(given: ExportTraceServiceRequest) -> bytes:
    """Return a request as OTLP in JSON has it, as far as `request` uses it."""
    group = given.resource_spans[0]

    def pairs(attributes: Iterator[object]) -> list[dict[str, object]]:
        return [{"key": a.key, "value": {"stringValue": a.value.string_value}} for a in attributes]  # type: ignore[attr-defined]

    spans = [
        {
            "traceId": s.trace_id.hex(),
            "spanId": s.span_id.hex(),
            "name": s.name,
            "kind": s.kind,
            "startTimeUnixNano": str(s.start_time_unix_nano),
            "endTimeUnixNano": str(s.end_time_unix_nano),
            "attributes": pairs(iter(s.attributes)),
        }
        for s in group.scope_spans[0].spans
    ]
    scope = {"scope": {"name": group.scope_spans[0].scope.name}, "spans": spans}
    resource = {"attributes": pairs(iter(group.resource.attributes))}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode()


@contextmanager
def serving(dsn: str, port: int) -> Iterator[str]:
    """Run a server in a process of its own, and give a token for sending."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute("select bcp.create_api_token('benchmark', 'ingest')").fetchone()
    assert row is not None  # noqa: S101
    process = subprocess.Popen([sys.executable, "-c", _SERVER, dsn, str(port)], stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        for _ in range(200):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield str(row[0])
    finally:
        process.terminate()
        process.wait(30)


def measure(port: int, token: str, encoding: str, first: int) -> float:
    """Return spans a second of one round; `first` numbers its requests."""
    given = [request(first + n) for n in range(REQUESTS)]
    bodies = [r.SerializeToString() if encoding == "protobuf" else in_json(r) for r in given]
    headers = {"content-type": TYPES[encoding], "authorization": f"Bearer {token}"}
    failed: list[str] = []

    def send(mine: list[bytes]) -> None:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            for body in mine:
                answer = client.post("/v1/traces", content=body)
                if answer.status_code != 200 or answer.content not in (b"", b"{}"):  # noqa: PLR2004
                    failed.append(answer.text)

    senders = [threading.Thread(target=send, args=(bodies[n::SENDERS],)) for n in range(SENDERS)]
    begin = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    took = time.perf_counter() - begin
    if failed:
        raise RuntimeError(failed[0])
    return REQUESTS * SPANS / took


def main() -> None:
    port = 18_787
    with server() as conn, serving(conn.info.dsn, port) as token:
        rates: dict[str, list[float]] = {encoding: [] for encoding in TYPES}
        for n in range(ROUNDS + 1):
            for m, encoding in enumerate(TYPES):
                rate = measure(port, token, encoding, 1 + REQUESTS * (n * len(TYPES) + m))
                # The first round makes chunks and plans.
                if n:
                    rates[encoding].append(rate)
        row = conn.execute("select count(*) from bcp.tool_usage_logs where bcp_name = 'files'").fetchone()
        expected = (ROUNDS + 1) * len(TYPES) * REQUESTS * SPANS
        if row != (expected,):
            raise RuntimeError(f"stored {row}, not {expected}")
    for encoding, found in rates.items():
        print(f"{encoding}: {statistics.median(found):,.0f} spans/s, {min(found):,.0f} to {max(found):,.0f}")


if __name__ == "__main__":
    main()
