"""A FastMCP server whose own OpenTelemetry spans go to bcp-analytics serve: it knows nothing of the store.

export BCP_TOKEN=...              as bcp-analytics up --serve says
python fastmcp_spans.py
"""

import asyncio
import json
import os
from urllib.request import Request, urlopen

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from shop import server, shop_at

URL = os.environ.get("BCP_URL", "http://127.0.0.1:8787")
HEADERS = {"Authorization": f"Bearer {os.environ['BCP_TOKEN']}"}

# The name of the service becomes bcp_name.
provider = TracerProvider(resource=Resource.create({"service.name": "shop-spans"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{URL}/v1/traces", headers=HEADERS)))
trace.set_tracer_provider(provider)

# Client and server report each call. The server's span is the call, the client's is ignored.
asyncio.run(shop_at(server))
provider.shutdown()

question = f"{URL}/v1/query/tool_usage_stats?bcp_name=shop-spans"
for row in json.load(urlopen(Request(question, headers=HEADERS))):
    print(row["tool_name"], "calls:", row["call_count"], "errors:", row["error_count"])
