"""Those who send by OTLP, themselves: the OpenTelemetry SDK and its exporters, FastMCP and the MCP SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.serve.conftest import Running, make_token

# In a process of its own, because the tracer of a process is set once.
PREAMBLE = """
import asyncio, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url, token = sys.argv[1:]
exporter = OTLPSpanExporter(
    url + "/v1/traces", headers={"Authorization": f"Bearer {token}"}, compression=Compression.Gzip)
provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
SDK = """
tracer = trace.get_tracer("ours")
for n in range(600):
    attributes = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up", "n": [n, n], "b": True}
    try:
        with tracer.start_as_current_span("execute_tool look_up", attributes=attributes):
            with tracer.start_as_current_span("inner", kind=trace.SpanKind.CLIENT):
                pass
            if n % 3 == 0:
                raise TimeoutError("took too long")
    except TimeoutError:
        pass
"""
FASTMCP = """
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError

inner = FastMCP("inner")
shop = FastMCP("shop")

@inner.tool
def price(item: str) -> int:
    return 7

@shop.tool
def fail() -> int:
    raise ToolError("sold out")

shop.mount(inner, "inner")

async def main():
    async with Client(shop) as client:
        await client.list_tools()
        for _ in range(3):
            await client.call_tool("inner_price", {"item": "tea"})
        try:
            await client.call_tool("fail")
        except ToolError:
            pass

asyncio.run(main())
"""
MCP_SDK = """
import mcp
from mcp.server.mcpserver import MCPServer

shop = MCPServer("shop")

@shop.tool()
def price(item: str) -> int:
    return 7

@shop.tool()
def fail() -> int:
    raise ValueError("sold out")

async def main():
    async with mcp.Client(shop) as client:
        await client.list_tools()
        for _ in range(3):
            await client.call_tool("price", {"item": "tea"})
        await client.call_tool("fail", {})

asyncio.run(main())
"""
END = """
provider.shutdown()
"""
NODE = """
const { SpanStatusCode } = require('@opentelemetry/api');
const { NodeTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const [url, token] = process.argv.slice(1);

async function main() {
  for (const encoding of ['proto', 'http']) {
    const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-' + encoding);
    const exporter = new OTLPTraceExporter({
      url: url + '/v1/traces', headers: { Authorization: 'Bearer ' + token }, compression: 'gzip' });
    const provider = new NodeTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'shop-' + encoding }),
      spanProcessors: [new BatchSpanProcessor(exporter)] });
    const attributes = { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'look_up' };
    for (let n = 0; n < 3; n++) {
      const span = provider.getTracer('ours').startSpan('execute_tool look_up', { attributes });
      if (n === 2) {
        span.recordException(new RangeError('too far'));
        span.setStatus({ code: SpanStatusCode.ERROR, message: 'too far' });
      }
      span.end();
    }
    await provider.shutdown();
  }
}
main();
"""
NODE_MODULES = Path(os.environ.get("BCP_TEST_NODE_MODULES", "node_modules")).absolute()


def run(server: Running, program: str, role: str = "ingest") -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program + END, server.url, server.tokens[role]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The exporter says here what it could not send.
    assert "Failed to export" not in done.stderr


def calls(server: Running) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.dsn) as conn:
        return conn.execute(
            "select bcp_name, tool_name, operation, outcome, error_type, count(*) from bcp.tool_usage_logs"
            " group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4"
        ).fetchall()


def test_the_sdk_of_opentelemetry(server: Running) -> None:
    run(server, SDK)
    assert calls(server) == [
        ("shop", "look_up", "call", "success", None, 400),
        ("shop", "look_up", "call", "timeout", "TimeoutError", 200),
    ]
    with psycopg.connect(server.dsn) as conn:
        assert conn.execute(
            "select error_type, message, count(*), bool_and(stack_trace like 'Traceback %took too long%')"
            " from bcp.error_logs group by 1, 2"
        ).fetchall() == [("TimeoutError", "took too long", 200, True)]


@pytest.mark.parametrize(
    ("program", "tool"), [(FASTMCP, "inner_price"), (MCP_SDK, "price")], ids=["fastmcp", "mcp"]
)
def test_a_call_that_server_and_client_report_is_one_row(server: Running, program: str, tool: str) -> None:
    run(server, program)
    assert calls(server) == [
        ("shop", "fail", "tools/call", "soft_fail", "tool_error", 1),
        ("shop", tool, "tools/call", "success", None, 3),
        ("shop", "tools/list", "tools/list", "success", None, 1),
    ]


def test_the_clients_view_of_fastmcp(server: Running) -> None:
    server.tokens["client"] = make_token(server.dsn, "agent", "ingest", vantage="client")
    run(server, FASTMCP, "client")
    assert calls(server) == [
        ("shop", "fail", "tools/call", "soft_fail", "tool_error", 1),
        ("shop", "inner_price", "tools/call", "success", None, 3),
        ("shop", "tools/list", "tools/list", "success", None, 1),
    ]


@pytest.mark.skipif(
    not (NODE_MODULES / "@opentelemetry/sdk-trace-node").is_dir() or shutil.which("node") is None,
    reason="BCP_TEST_NODE_MODULES names no folder with @opentelemetry/sdk-trace-node and both exporters",
)
def test_the_sdk_of_opentelemetry_for_node(server: Running) -> None:
    done = subprocess.run(
        ["node", "-e", NODE, server.url, server.tokens["ingest"]],
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert calls(server) == [
        (name, "look_up", "call", outcome, error, number)
        for name in ("shop-http", "shop-proto")
        for outcome, error, number in (("error", "RangeError", 1), ("success", None, 2))
    ]
