// Setup: a way in for each kind of sender, with a fresh token filled in, until the first event is there.
import { html, useEffect, useState } from './lib.js'
import { cut, plural, time } from './format.js'
import { go, here, href, me, param } from './state.js'
import { send, useAsk, useView } from './api.js'
import { attempt } from './shell.js'
import { Badge, Copy, Panel, Table, nameOf } from './parts.js'

/** @type {Record<string, { title: string, about: string, text: (token: string, url: string) => string }>} */
const WAYS = {
  http: {
    title: 'HTTP',
    about: 'From any language. Each event once: sent again under the same Idempotency-Key, a batch is stored once.',
    text: (token, url) => `curl -X POST '${url}/v1/events/tool_usage' \\
  -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-batch' \\
  -d '[{"bcp_name": "mail", "tool_name": "send", "success": true, "duration_ms": 120, "parameters": {"to": "ada@example.com"}}]'`,
  },
  otel: {
    title: 'OpenTelemetry',
    about: 'From any program or coding agent that exports OTLP. Spans and log records of tool calls become calls.',
    text: (token, url) => [
      `export OTEL_EXPORTER_OTLP_ENDPOINT='${url}'`,
      'export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf',
      `export OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer ${token}'`,
      '# then start your program as ever',
    ].join('\n'),
  },
  proxy: {
    title: 'An MCP server, unchanged',
    about: 'The proxy stands between the client and the server, and records each call. It writes to the database itself, so it needs no token.',
    text: () => [
      "export BCP_ANALYTICS_DSN='postgresql://you@your-database/bcp'",
      'bcp-analytics proxy --bcp time -- mcp-server-time',
    ].join('\n'),
  },
  python: {
    title: 'Python',
    about: 'A decorator on each tool. The collector buffers, retries, and keeps events on disk while the database is away.',
    text: () => [
      'import bcp_analytics',
      '',
      'collector = bcp_analytics.Collector("postgresql://you@your-database/bcp", source="mail-server")',
      '',
      '@collector.tracked("mail")',
      'def send(to: str) -> str: ...',
    ].join('\n'),
  },
  sql: {
    title: 'SQL',
    about: 'From whatever can run SQL, as a role that has bcp_writer.',
    text: () => `select * from bcp.log_tool_usage('mail', 'send', p_parameters => '{"to": "ada@example.com"}',
    p_duration_ms => 840, p_success => true, p_user_id => '42');`,
  },
  agent: {
    title: 'Ask a coding agent',
    about: 'A prompt that has an agent find the right place in your code.',
    text: (token, url) => `Record every tool call of this project in bcp_analytics, which listens at ${url}.
1. Find where tools are dispatched: one place that sees the name of the tool, its arguments, its answer or error, and the time it took.
2. After each call POST a JSON array with one object to ${url}/v1/events/tool_usage, with the header
   Authorization: Bearer ${token}. Read the token from the environment variable BCP_TOKEN; do not write it into the code.
   Members: bcp_name (this project's name), tool_name, start_time (ISO 8601), duration_ms, success (true or false), error_type,
   error_message, parameters (an object), session_id (the same for one conversation), user_id, client_name, event_id (a fresh UUID).
3. Send in the background, and never let a failure to send disturb a tool.
4. Run one tool, and show me the answer of the server: {"accepted": 1, "stored": 1, ...}.
${url}/openapi.json describes the interface.`,
  },
}

/** @param {{ token: string, make: () => void }} props */
function Token({ token, make }) {
  if (me.value?.role !== 'admin') return html`<p>Ask an administrator for a token of the role ingest: <code>bcp-analytics token create NAME --role ingest</code>. Put it where TOKEN stands below.</p>`
  return token ? html`<p class="is-ok">A fresh token of the role ingest is filled in below. It is shown this once: it may send events, and read nothing.</p>`
    : html`<p><button onclick=${make}>Make a token for a sender</button> <span class="muted">of the role ingest, filled in below</span></p>`
}

export function Setup() {
  const way = WAYS[param('way') ?? ''] ? String(param('way')) : 'http'
  const [token, setToken] = useState('')
  const [opened] = useState(new Date().toISOString())
  const recent = useAsk('recent_calls', { since: '24h', limit: 20 }, { pace: 'fast' })
  const any = useView('any_call', {}, { pace: 'fast' })
  const fresh = (recent.rows ?? []).filter((row) => row.stored_at > opened)
  const make = () => attempt(async () => {
    const stamp = new Date().toISOString().slice(0, 19).replace('T', ' ')
    setToken((await send('POST', '/v1/tokens', { name: `setup ${stamp}`, role: 'ingest' })).token)
  }, 'Made. It is shown this once.')
  const { title, about, text } = WAYS[way]
  const done = fresh.length > 0
  const tabs = Object.keys(WAYS)
  const key = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step) go(here({ way: tabs[(tabs.indexOf(way) + step + tabs.length) % tabs.length] }), true)
  }
  useEffect(() => {
    if (document.activeElement?.getAttribute('role') === 'tab') document.getElementById(`tab-${way}`)?.focus()
  }, [way])
  return html`<h1>Setup</h1>
    <section class=${`panel hint ${done ? 'done' : ''}`} role="status"><p>${done ? html`<${Badge} state="ok">It works.<//> ${plural(fresh.length, 'call')} arrived since you opened this page: ${cut(nameOf(fresh[0].bcp_name, fresh[0].tool_name), 80)} at ${time(fresh[0].stored_at)}. <a href=${href('/')}>Look at the overview</a>.`
      : any.rows?.[0]?.any_call ? 'This store has calls. This turns green when another one arrives.' : 'Waiting for the first call. This turns green as it arrives.'}</p></section>
    <section class="panel" aria-label="Ways in"><div class="tabs" role="tablist" aria-label="Ways in" onkeydown=${key}>${tabs.map((name) => html`<button key=${name} id=${`tab-${name}`} role="tab" class="quiet" aria-selected=${name === way} aria-controls="way" tabindex=${name === way ? 0 : -1} onclick=${() => go(here({ way: name }), true)}>${WAYS[name].title}</button>`)}</div>
      <div id="way" role="tabpanel" aria-labelledby=${`tab-${way}`}><h2 class="sr">${title}</h2><p>${about}</p>${['http', 'otel', 'agent'].includes(way) && html`<${Token} token=${token} make=${make} />`}
      <${Copy} text=${text(token || 'TOKEN', location.origin)} /></div></section>
    <${Tokens} made=${token} />`
}

/** @param {{ made: string }} props */
function Tokens({ made }) {
  const [rows, setRows] = useState(/** @type {any[]} */ ([]))
  const [tick, setTick] = useState(0)
  const admin = me.value?.role === 'admin'
  useEffect(() => {
    if (admin) send('GET', '/v1/tokens').then(setRows, () => null)
  }, [made, tick])
  if (!admin) return null
  const revoke = async (/** @type {string} */ name) => {
    if (confirm(`Revoke the token ${cut(name, 100)}? Who has it is refused within five seconds.`) && await attempt(() => send('DELETE', `/v1/tokens/${encodeURIComponent(name)}`), 'Revoked.')) setTick(tick + 1)
  }
  return html`<${Panel} title="Tokens" wide of=${{ rows, own: { sql: 'select * from bcp.api_tokens();', rows } }} note="the tokens themselves are not stored"><${Table} title="Tokens" rows=${rows.slice(0, 100)} columns=${[
    { key: 'token_name', title: 'name', show: (/** @type {string} */ value) => cut(value, 60) }, { key: 'role', title: 'role', show: (/** @type {string} */ value, /** @type {any} */ row) => [value, row.vantage].filter(Boolean).join(', ') },
    { key: 'state', title: 'state', show: (/** @type {string} */ value) => html`<${Badge} state=${value === 'valid' ? 'ok' : 'unknown'}>${value}<//>` }, { key: 'created_at', title: 'made', show: (/** @type {string} */ value) => time(value, false) },
    { key: 'expires_at', title: 'expires', show: (/** @type {any} */ value) => value ? time(value, false) : 'never' }, { key: 'last_used_at', title: 'last used', show: (/** @type {any} */ value) => value ? time(value, false) : 'never' },
    { key: 'revoke', title: 'revoke', show: (/** @type {any} */ _, /** @type {any} */ row) => row.state === 'valid' ? html`<button class="quiet" onclick=${() => revoke(row.token_name)}>Revoke<span class="sr"> ${cut(row.token_name, 60)}</span></button>` : '' }]} /><//>`
}
