"""The OpenTelemetry SDK in Python: each span that says it runs a tool is a call.

export BCP_TOKEN=...              as bcp-analytics up --serve says
python otel_python.py
"""

import json
import os
from urllib.request import Request, urlopen

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

URL = os.environ.get("BCP_URL", "http://127.0.0.1:8787")
HEADERS = {"Authorization": f"Bearer {os.environ['BCP_TOKEN']}"}

provider = TracerProvider(resource=Resource.create({"service.name": "agent-python"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{URL}/v1/traces", headers=HEADERS)))
tracer = provider.get_tracer("examples")


def look_up(city: str) -> str:
    """Run a tool, in a span with the names of OpenTelemetry's conventions for agents."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up"}
    with tracer.start_as_current_span("execute_tool look_up", attributes=attributes) as span:
        span.set_attribute("gen_ai.tool.call.arguments", json.dumps({"city": city}))
        if city == "Atlantis":
            raise TimeoutError("nobody answers")
        return "sunny"


print("Berlin:", look_up("Berlin"))
try:
    look_up("Atlantis")
except TimeoutError as error:
    print("Atlantis:", error)
provider.shutdown()

question = f"{URL}/v1/query/tool_usage_stats?bcp_name=agent-python"
for row in json.load(urlopen(Request(question, headers=HEADERS))):
    print(row["tool_name"], "calls:", row["call_count"], "errors:", row["error_count"])
