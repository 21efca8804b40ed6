// Calls by HTTP from JavaScript, and a question. No package: Node.js 20, Deno and Bun have fetch.
//
// export BCP_TOKEN=...              as bcp-analytics up --serve says
// node fetch.mjs

const url = process.env.BCP_URL ?? "http://127.0.0.1:8787";
const headers = { Authorization: `Bearer ${process.env.BCP_TOKEN}` };

const calls = [
  { bcp_name: "mail", tool_name: "send", duration_ms: 840, success: true, parameters: { to: "ada@example.com" } },
  { bcp_name: "mail", tool_name: "send", duration_ms: 12, success: false, error_type: "Refused" },
  { bcp_name: "mail", duration_ms: 3 }, // has no tool, so it is rejected, alone
];

// With 429, 503 or 504 send the same request again after Retry-After: the key keeps it from counting twice.
const sent = await fetch(`${url}/v1/events/tool_usage`, {
  method: "POST",
  headers: { ...headers, "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
  body: JSON.stringify(calls),
});
if (!sent.ok) throw new Error(await sent.text());
console.log(await sent.text());

const asked = await fetch(`${url}/v1/query/tool_usage_stats?bcp_name=mail`, { headers });
if (!asked.ok) throw new Error(await asked.text());
for (const row of await asked.json()) {
  console.log(row.tool_name, "calls:", row.call_count, "errors:", row.error_count);
}
