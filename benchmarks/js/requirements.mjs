// The requirements' collector: its anonymiser, and createMany with skipDuplicates as one INSERT of many rows.
//
// node requirements.mjs '{"calls": FILE, "host": ..., "port": ..., "user": ..., "database": ..., "sizes": [100], "rounds": 3}'
//
// Prints for each size the microseconds of CPU that a call costs here (app) and in its backend (db).

import crypto from "node:crypto";
import fs from "node:fs";
import pg from "pg";

const SENSITIVE = ["email", "phone", "ssn", "creditCard", "password"];
const COLUMNS = [
  "bcp_name", "tool_name", "operation", "parameters", "response_data", "user_id", "session_id", "start_time",
  "end_time", "success", "error_message", "ip_address", "user_agent",
];

function isPersonalData(value) {
  if (/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(value)) return true;
  if (/^\+?[\d\s\-()]{10,}$/.test(value)) return true;
  return /^\d{3}-?\d{2}-?\d{4}$/.test(value);
}

function hashValue(value) {
  return crypto.createHash("sha256").update(value).digest("hex").substring(0, 8);
}

function anonymize(value, key = "") {
  if (SENSITIVE.some((field) => key.toLowerCase().includes(field))) return "[REDACTED]";
  if (typeof value === "string") return isPersonalData(value) ? hashValue(value) : value;
  if (Array.isArray(value)) return value.map((one) => anonymize(one));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, anonymize(one, name)]));
}

function insert(calls) {
  const values = [];
  const rows = calls.map((call) => {
    for (const name of COLUMNS) {
      const value = call[name] ?? null;
      const json = name === "parameters" || name === "response_data";
      values.push(json && value !== null ? JSON.stringify(anonymize(value)) : value);
    }
    return `(${COLUMNS.map((_, n) => `$${values.length - COLUMNS.length + n + 1}`).join(",")})`;
  });
  const text =
    `insert into requirements.tool_usage_logs (${COLUMNS.join(",")}) values ${rows.join(",")} on conflict do nothing`;
  return { text, values };
}

function backendMicroseconds(pid) {
  // utime and stime, in hundredths of a second, behind the name in brackets.
  const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

const asked = JSON.parse(process.argv[2]);
const calls = JSON.parse(fs.readFileSync(asked.calls, "utf8"));
const client = new pg.Client({ host: asked.host, port: asked.port, user: asked.user, database: asked.database });
await client.connect();
const pid = (await client.query("select pg_backend_pid() as pid")).rows[0].pid;
const found = Object.fromEntries(asked.sizes.map((size) => [size, { app: [], db: [] }]));
for (let round = 0; round <= asked.rounds; round++) {
  for (const size of asked.sizes) {
    await client.query("truncate requirements.tool_usage_logs");
    const before = process.cpuUsage();
    const db = backendMicroseconds(pid);
    for (let start = 0; start < calls.length; start += size) {
      await client.query(insert(calls.slice(start, start + size)));
    }
    const spent = process.cpuUsage(before);
    // The first round warms both sides.
    if (round > 0) {
      found[size].app.push((spent.user + spent.system) / calls.length);
      found[size].db.push((backendMicroseconds(pid) - db) / calls.length);
    }
  }
}
await client.end();
for (const size of asked.sizes) {
  found[size] = { app: median(found[size].app), db: median(found[size].db) };
}
console.log(JSON.stringify(found));
