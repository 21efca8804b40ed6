// Calls: the list of those behind a number, and one of them with all that is stored of it.
import { html, useEffect, useState } from './lib.js'
import { bytes, count, cut, ms, time, visible } from './format.js'
import { filters, go, here, href, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Badge, Dialog, Facts, Failed, Json, Pages, Panel, Table, ToolName } from './parts.js'

/** @param {any} row */
export const callLink = (row) => here({ call: row.event_id, at: row.start_time ?? row.happened_at })

/** @param {any} row */
export const Outcome = ({ row }) => {
  const failed = row.success === false || ['error', 'timeout', 'rejected', 'soft_fail'].includes(row.outcome)
  const state = row.outcome ?? (row.success === true ? 'success' : failed ? 'error' : 'unknown')
  return html`<${Badge} state=${failed ? 'failed' : state === 'success' ? 'success' : 'unknown'}>${cut(state, 20)}${row.error_type ? `: ${cut(row.error_type, 40)}` : ''}<//>`
}

/** @type {import('./parts.js').Column[]} */
export const CALL_COLUMNS = [
  { key: 'start_time', title: 'began', show: (value) => html`<time datetime=${value} title=${value}>${time(value)}</time>` },
  { key: 'tool_name', title: 'tool', show: (_, row) => html`<${ToolName} row=${row} />` },
  { key: 'outcome', title: 'outcome', show: (_, row) => html`<${Outcome} row=${row} />` },
  { key: 'duration_ms', title: 'duration', number: true, show: ms },
  { key: 'client_name', title: 'client', show: (value) => value ? cut(value, 30) : '–' },
  { key: 'user_id', title: 'user', show: (value) => value ? cut(value, 24) : '–' },
  { key: 'session_id', title: 'session', show: (value) => value ? html`<a href=${href('/session', { id: value })}>${cut(value, 16)}</a>` : '–' },
  { key: 'response_bytes', title: 'answer', number: true, show: bytes },
]

const SIZE = 50
/** What tells a list of its own, or a place in a list, which another filter is not about. */
const FIRST = Object.fromEntries(['pair', 'next', 'nextbundle', 'cause', 'type', 'lists', 'metric', 'page', 'after', 'until'].map((name) => [name, null]))

/** The calls that a number on another page counts. */
export function Calls() {
  const { since, until } = range()
  const takes = {
    since, until: param('until') ?? until, ...filters('bcp_name', 'client_name', 'release'), tool_name: param('tool'), user_id: param('user'),
    session_id: param('session'), outcome: param('outcome'), failed: param('failed'), client_model: param('model'), client_version: param('version'),
    operation: param('operation'), intent: param('intent'),
  }
  const slow = param('slow')
  const page = Number(param('page') ?? 0)
  // Whatever client and release: none of these numbers is about them.
  const its = { since, until, bcp_name: param('bundle'), tool_name: takes.tool_name, limit: SIZE, offset: page * SIZE || null }
  const [view, own] = param('cause') ? ['cause_calls', { ...its, outcome: takes.outcome, error_type: param('type') }]
    : param('pair') ? ['sequence_calls', { ...its, next_bcp_name: param('nextbundle'), next_tool_name: param('next') }]
      : param('lists') ? ['listing_calls', its]
        : param('metric') ? ['rule_calls', { ...its, operation: takes.operation, metric: param('metric') }] : ['', null]
  const of = useView(view, own ?? {}, { skip: !own })
  const listed = useAsk(slow ? 'slow_calls' : 'find_calls', slow
    ? { ...takes, intent: null, min_duration_ms: slow, limit: 100 }
    : { ...takes, limit: SIZE, after: param('after') }, { pace: param('after') ? 'never' : 'slow', skip: Boolean(own) })
  const found = own ? of : listed
  const last = found.rows?.at(-1)
  const about = [['tool', takes.tool_name], ['user', takes.user_id], ['session', takes.session_id], ['outcome', takes.outcome], ['model', takes.client_model], ['version', takes.client_version], ['operation', takes.operation], ['intent', takes.intent], ['type', param('type')], ['then', param('pair') ? param('next') ?? 'the end of the session' : null]]
    .filter(([, value]) => value !== null)
  return html`<h1>Calls</h1><p class="about">${about.map(([name, value]) => html`<span class="chip" key=${name}>${name} <b>${value ? cut(value, 60) : name === 'intent' ? 'not said' : 'not given'}</b> <a href=${here({ ...FIRST, [String(name)]: null })} aria-label=${`Any ${name}`}>×</a></span>`)}
      <label class="check"><input type="checkbox" checked=${param('failed') === 'true'} onchange=${(/** @type {any} */ e) => go(here({ ...FIRST, failed: e.target.checked ? 'true' : null }))} />failed only</label></p>
    <${Panel} title=${slow ? `Calls of ${ms(Number(slow))} and more` : 'Calls'} wide of=${found} note=${slow ? 'slowest first' : param('lists') ? 'lists of tools that name this one, latest first' : param('metric') ? 'that the rule counts, latest first' : 'latest first'}
      empty="No call in this range fits. Choose a longer range, or fewer filters.">
      <${Table} title="Calls" columns=${CALL_COLUMNS} rows=${found.rows ?? []} link=${callLink} id=${own ? undefined : (/** @type {any} */ row) => row.event_id} />
      ${own && html`<${Pages} page=${page} size=${SIZE} count=${found.rows?.length ?? 0} />`}
      ${!slow && !own && (found.rows?.length === SIZE || param('after')) && html`<nav class="pages" aria-label="More rows">
        ${param('after') ? html`<a href=${here({ after: null, until: null })}>Newest</a>` : html`<span class="muted">Newest</span>`}
        ${found.rows?.length === SIZE ? html`<a rel="next" href=${here({ after: last.event_id, until: last.start_time })}>Older</a>` : html`<span class="muted">Older</span>`}</nav>`}<//>`
}

/** One call, over whatever page names it in its URL. */
export function OneCall() {
  const id = param('call')
  const at = param('at')
  return id && at ? html`<${Dialog} wide key=${id} title="A call, as it is stored" close=${() => go(here({ call: null, at: null }), true)}><${Inside} id=${id} at=${at} /><//>` : null
}

/** @param {{ id: string, at: string }} props */
function Inside({ id, at }) {
  const found = useView('call', { id, at }, { pace: 'never' })
  const [tried, setTried] = useState(false)
  const call = found.rows?.[0]
  useEffect(() => setTried(found.rows !== null), [found.rows])
  if (found.error) return html`<${Failed} error=${found.error} />`
  if (!call) return tried ? html`<p class="empty">This call is not in the store any more: retention or an erasure took it.</p>` : html`<p class="wait"></p>`
  return html`<p class="about"><${ToolName} row=${call} of=${{ call: null, at: null }} /> <${Outcome} row=${call} /> <b>${ms(call.duration_ms)}</b> <span class="muted">${time(call.start_time)}</span></p>
    ${call.intent && html`<h3>Intent, as the agent said it</h3><${Json} value=${call.intent} />`}
    ${call.error_message && html`<h3>Error</h3><${Json} value=${call.error_message} />`}
    <h3>Arguments <small>${bytes(call.request_bytes)}</small></h3><${Json} value=${call.parameters} />
    <h3>Answer <small>${bytes(call.response_bytes)}${call.response_tokens !== null && `, ${count(call.response_tokens)} tokens`}</small></h3><${Json} value=${call.response_data} />
    <h3>The rest</h3><${Facts} pairs=${[
      ['session', call.session_id && html`<a href=${href('/session', { id: call.session_id })}>${cut(call.session_id, 80)}</a>`],
      ['user', call.user_id && html`<a href=${href('/calls', { user: call.user_id })}>${cut(call.user_id, 80)}</a>`],
      ['client', [call.client_name, call.client_version].filter(Boolean).join(' ')], ['model', call.client_model], ['release', call.release],
      ['operation', call.operation], ['began', call.start_time], ['ended', call.end_time], ['stored', call.created_at], ['request', call.request_id],
      ['trace', call.trace_id], ['address', call.ip_address], ['user agent', call.user_agent], ['event', call.event_id],
      ['answer looks like a failure', call.suspect_success === true ? 'yes' : null],
    ]} />
    ${call.attributes && html`<h3>Attributes</h3><${Json} value=${call.attributes} />`}
    <p class="muted">${visible('Masked when it was stored. Nothing here is markup or a link, whatever it says.')}</p>`
}
