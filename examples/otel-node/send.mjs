// The OpenTelemetry SDK in Node.js: each span that says it runs a tool is a call.
//
// export BCP_TOKEN=...              as bcp-analytics up --serve says
// npm install && node send.mjs

import { SpanStatusCode } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const url = process.env.BCP_URL ?? "http://127.0.0.1:8787";
const headers = { Authorization: `Bearer ${process.env.BCP_TOKEN}` };

const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces`, headers });
const provider = new NodeTracerProvider({
  // The name of the service becomes bcp_name.
  resource: resourceFromAttributes({ "service.name": "agent-node" }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
const tracer = provider.getTracer("examples");

function lookUp(city) {
  const attributes = { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up" };
  return tracer.startActiveSpan("execute_tool look_up", { attributes }, (span) => {
    try {
      span.setAttribute("gen_ai.tool.call.arguments", JSON.stringify({ city }));
      if (city === "Atlantis") throw new Error("nobody answers");
      return "sunny";
    } catch (error) {
      span.setAttribute("error.type", error.name);
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      span.end();
    }
  });
}

console.log("Berlin:", lookUp("Berlin"));
try {
  lookUp("Atlantis");
} catch (error) {
  console.log("Atlantis:", error.message);
}
await provider.shutdown();

const asked = await fetch(`${url}/v1/query/tool_usage_stats?bcp_name=agent-node`, { headers });
if (!asked.ok) throw new Error(await asked.text());
for (const row of await asked.json()) {
  console.log(row.tool_name, "calls:", row.call_count, "errors:", row.error_count);
}
