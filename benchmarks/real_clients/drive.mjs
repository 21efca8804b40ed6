// Makes the calls of a plan by the TypeScript SDK, as drive.py does by the Python one: drive.mjs PLAN.

import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));

async function make(client, call) {
    let progress = 0;
    const abort = new AbortController();
    const options = { signal: abort.signal, timeout: (call.timeout_s ?? plan.stalled_s) * 1000 };
    if (call.progress) options.onprogress = () => { progress += 1; };
    if (call.cancel_s) setTimeout(() => abort.abort(), call.cancel_s * 1000);
    const params = { name: call.tool, arguments: call.arguments, _meta: { traceparent: call.traceparent } };
    let result;
    try {
        result = await client.callTool(params, undefined, options);
    } catch (error) {
        if (abort.signal.aborted) return { saw: "cancelled" };
        if (!(error instanceof McpError) || error.code === ErrorCode.ConnectionClosed)
            return { saw: "no answer" };
        if (error.code === ErrorCode.RequestTimeout) return { saw: call.timeout_s ? "timeout" : "no answer" };
        return { saw: "error", code: error.code, text: error.message.slice(0, 500) };
    }
    const text = result.content.filter((part) => part.type === "text").map((part) => part.text).join(" ");
    return { saw: result.isError ? "tool error" : "result", text: text.slice(0, 500), progress };
}

async function one(client, call) {
    const told = await make(client, call);
    appendFileSync(plan.transcript, JSON.stringify({ traceparent: call.traceparent, ...told }) + "\n");
    return told.saw !== "no answer";
}

writeFileSync(plan.transcript, "");
const client = new Client({ name: "mcp-typescript", version: "1.5" });
const [command, ...args] = plan.command ?? [];
await client.connect(plan.url
    ? new StreamableHTTPClientTransport(new URL(plan.url))
    : new StdioClientTransport({ command, args, env: plan.environment }));
await client.listTools();
for (const step of plan.steps) {
    const told = await Promise.all(step.map((call) => one(client, call)));
    if (!told.every(Boolean)) break;
}
await client.close();
