// People and the clients they use; and what their context is filled with.
import { html } from './lib.js'
import { bytes, count, cut, ms, percent, plural, time } from './format.js'
import { ZONE, filters, go, here, href, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Chart } from './chart.js'
import { Pages, Panel, Table, ToolName, broken, listings, nameOf, none } from './parts.js'
import { Outcome, callLink } from './calls.js'
import { inTime } from './overview.js'

const SIZE = 50
const DAY = 86_400_000
/** No list of log-ins, nor anything of one. */
const NONE = { by: null, method: null, people: null, user: null, failed: null, page: null }
const ORDERS = { calls: 'most calls', errors: 'most failures', cost: 'most bytes of answers' }

/** The log-ins that a number counts. Those to this server are no calls. */
function LogIns() {
  const { since, until } = range()
  const method = param('method')
  const bundle = param('by')
  const failed = param('failed') === 'true'
  const page = Number(param('page') ?? 0)
  const people = param('people') !== null
  const takes = { since, until, bcp_name: bundle, method, limit: SIZE, offset: page * SIZE || null }
  const skip = !method || !bundle
  const users = useView('log_in_users', takes, { skip: skip || !people })
  const listed = useView('log_ins', { ...takes, user_id: param('user'), failed: failed ? 'true' : null }, { skip: skip || people })
  const found = people ? users : listed
  const rows = found.rows ?? []
  if (skip) return null
  if (people) return html`<p class="about"><span class="chip">log-ins by <b>${cut(nameOf(bundle, method), 60)}</b> <a href=${here(NONE)} aria-label="No list of log-ins">×</a></span></p>
    <${Panel} title="People who got in" wide of=${found} note="most attempts first" empty="Nobody who is named got in this way."><${Table} title="People who got in" rows=${rows} columns=${[
      { key: 'user_id', title: 'user, as stored', show: (/** @type {string} */ value) => cut(value, 60) },
      { key: 'attempts', title: 'attempts', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${here({ ...NONE, by: bundle, method, user: row.user_id })}>${count(value)}</a>` },
      { key: 'failures', title: 'failed', number: true, show: (/** @type {number} */ value, /** @type {any} */ row) => value ? html`<a href=${here({ ...NONE, by: bundle, method, user: row.user_id, failed: 'true' })}>${count(value)}</a>` : '0' },
      { key: 'last_attempt', title: 'last', show: (/** @type {string} */ value) => time(value) }]} />
      <${Pages} page=${page} size=${SIZE} count=${rows.length} total=${rows[0]?.user_count} /><//>`
  return html`<p class="about"><span class="chip">log-ins by <b>${cut(nameOf(bundle, method), 60)}</b> <a href=${here(NONE)} aria-label="No list of log-ins">×</a></span>
      ${param('user') && html`<span class="chip">user <b>${cut(param('user'), 60)}</b> <a href=${here({ user: null, page: null })} aria-label="Any user">×</a></span>`}
      <label class="check"><input type="checkbox" checked=${failed} onchange=${(/** @type {any} */ e) => go(here({ failed: e.target.checked ? 'true' : null, page: null }))} />failed only</label></p>
    <${Panel} title="Log-ins, one by one" wide of=${found} note="latest first" empty="No such log-in is in this range."><${Table} title="Log-ins, one by one" rows=${rows} columns=${[
      { key: 'happened_at', title: 'when', show: (/** @type {string} */ value, /** @type {any} */ row) => row.event_id ? html`<a href=${callLink(row)}>${time(value)}</a>` : time(value) },
      { key: 'success', title: 'outcome', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${Outcome} row=${row} />` }, { key: 'attempts', title: 'attempts', number: true, bar: true, show: count },
      { key: 'who', title: 'who', show: (/** @type {any} */ value) => cut(value ?? '–', 60) }, { key: 'network', title: 'from' }]} />
      <${Pages} page=${page} size=${SIZE} count=${rows.length} /><//>`
}

export function People() {
  const { since, until, length } = range()
  const order = param('order') ?? 'calls'
  const filtered = filters('bcp_name', 'client_name', 'release')
  const users = useAsk('top_users', { since, until, limit: 50, order, ...filtered })
  const active = useAsk('active_users', { since: length < 7 * DAY ? '7d' : since, until, time_zone: ZONE, ...filtered })
  const clients = useAsk('usage_breakdown', { since, until, by: 'client_name,client_version', ...filtered })
  const models = useAsk('usage_breakdown', { since, until, by: 'client_model', ...filtered })
  const logins = useAsk('authentication_stats', { since, until, ...filters('bcp_name') })
  const { all, times } = inTime((active.rows ?? []).map((row) => ({ ...row, time_bucket: row.day })))
  return html`<h1>People and clients</h1><${LogIns} /><div class="grid">
    <${Panel} title="Active people" half of=${active} note=${length < 7 * DAY ? 'a day, over 7 days' : 'a day'} empty="No call names its user: send user_id, which may be a hash.">${times.length > 0 && html`<${Chart} title="active people a day" kind="lines" times=${times} interval=${DAY} series=${[
      { name: 'that day', color: '--good', values: all.map((row) => row.daily_users) }, { name: 'in 7 days', color: '--p95', values: all.map((row) => row.weekly_users) }, { name: 'in 30 days', color: '--muted', values: all.map((row) => row.monthly_users) }, { name: 'new', color: '--fine', dash: true, values: all.map((row) => row.new_users) }]} />`}<//>
    <${Panel} title="Log-ins" half of=${logins} empty="No log-in was recorded in this range."><${Table} title="Log-ins" rows=${logins.rows ?? []} columns=${[
      { key: 'method', title: 'method', show: (/** @type {any} */ value, /** @type {any} */ row) => broken(nameOf(row.bcp_name, value), 60) }, { key: 'attempt_count', title: 'attempts', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${here({ ...NONE, by: row.bcp_name, method: row.method })}>${count(value)}</a>` },
      { key: 'failure_count', title: 'failed', number: true, show: (/** @type {number} */ value, /** @type {any} */ row) => value ? html`<a href=${here({ ...NONE, by: row.bcp_name, method: row.method, failed: 'true' })}>${count(value)}</a>` : '0' },
      { key: 'user_count', title: 'people', number: true, show: (/** @type {number} */ value, /** @type {any} */ row) => value ? html`<a href=${here({ ...NONE, by: row.bcp_name, method: row.method, people: 'yes' })}>${count(value)}</a>` : '0' }, { key: 'top_failure', title: 'most frequent failure', show: (/** @type {any} */ value) => cut(value ?? '–', 60) }]} /><//>
    <${Panel} title="Clients" half of=${clients} empty="No call says which client made it."><${Table} title="Clients" rows=${(clients.rows ?? []).slice(0, 30)} columns=${[
      { key: 'client_name', title: 'client', show: (/** @type {any} */ value, /** @type {any} */ row) => value ? html`<a href=${here({ client: value })}>${cut([value, row.client_version].filter(Boolean).join(' '), 50)}</a>` : html`<a href=${here({ client: '' })}>${none} ${cut(row.client_version ?? '', 50)}</a>` },
      { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { client: row.client_name ?? '', version: row.client_version ?? '' })}>${count(value)}</a>` }, { key: 'success_rate', title: 'success', number: true, show: percent }, { key: 'p95_duration_ms', title: 'p95', number: true, show: ms }]} /><//>
    <${Panel} title="Models" half of=${models} empty="No call says which model made it."><${Table} title="Models" rows=${(models.rows ?? []).slice(0, 30)} columns=${[
      { key: 'client_model', title: 'model', show: (/** @type {any} */ value) => html`<a href=${href('/calls', { model: value ?? '' })}>${value ? cut(value, 50) : none}</a>` },
      { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { model: row.client_model ?? '' })}>${count(value)}</a>` }, { key: 'success_rate', title: 'success', number: true, show: percent }, { key: 'p95_duration_ms', title: 'p95', number: true, show: ms }]} /><//>
    <${Panel} title="People" wide of=${users} empty="No call in this range names its user." tools=${html`<label><span class="sr">Order</span><select value=${order} onchange=${(/** @type {any} */ e) => go(here({ order: e.target.value === 'calls' ? null : e.target.value }))}>${Object.entries(ORDERS).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select></label>`}>
      <${Table} title="People" rows=${users.rows ?? []} id=${(/** @type {any} */ row) => row.user_id} link=${(/** @type {any} */ row) => href('/calls', { user: row.user_id })} columns=${[
        { key: 'user_id', title: 'user, as stored', show: (/** @type {string} */ value) => cut(value, 60) }, { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { user: row.user_id })}>${count(value)}</a>` }, { key: 'share', title: 'share', number: true, show: percent },
        { key: 'error_count', title: 'failed', number: true, show: (/** @type {number} */ value, /** @type {any} */ row) => value ? html`<a href=${href('/calls', { user: row.user_id, failed: 'true' })}>${count(value)}</a>` : '0' },
        { key: 'success_rate', title: 'success', number: true, show: percent }, { key: 'response_bytes', title: 'answers', number: true, show: bytes },
        { key: 'sessions', title: 'sessions', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<a href=${href('/sessions', { user: row.user_id })}>sessions</a>` }]} /><//></div>`
}

export function Context() {
  const { since, until } = range()
  const filtered = filters('bcp_name', 'client_name', 'release')
  const tools = useAsk('context_cost', { since, until, limit: 50, ...filtered })
  const sessions = useAsk('context_cost', { since, until, by: 'session', limit: 20, ...filtered })
  const unused = useAsk('unused_tools', { since, until, ...filters('bcp_name') })
  // A list of tools is no call, so it is found by its operation alone.
  const behind = (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', row.session_id ? { session: row.session_id } : { bundle: row.bcp_name, tool: row.tool_name, operation: row.tool_name.startsWith('tools/') ? 'tools/list' : null })}>${count(value)}</a>`
  const costs = [
    { key: 'tokens', title: 'tokens', number: true, bar: true, show: behind }, { key: 'share', title: 'share', number: true, show: percent },
    { key: 'call_count', title: 'calls', number: true, show: behind },
    { key: 'avg_response_bytes', title: 'an answer', number: true, show: (/** @type {any} */ value) => bytes(value === null ? null : Math.round(value)) }]
  return html`<h1>Context</h1><p class="muted">What fills the model’s context: answers of tools, and lists of tools. Tokens are those that senders gave, and for other calls an estimate by bytes.</p><div class="grid">
    <${Panel} title="By tool" half of=${tools} empty="No call of this range returned anything."><${Table} title="By tool" rows=${tools.rows ?? []} columns=${[{ key: 'tool_name', title: 'tool', show: (/** @type {any} */ value, /** @type {any} */ row) => value === 'tools/list' ? html`<b>the list of tools</b> <span class="muted">${cut(row.bcp_name, 30)}</span>` : html`<${ToolName} row=${row} />` }, ...costs]} /><//>
    <${Panel} title="By session" half of=${sessions} empty="No call of this range names its session."><${Table} title="By session" rows=${sessions.rows ?? []} link=${(/** @type {any} */ row) => href('/session', { id: row.session_id })} columns=${[{ key: 'session_id', title: 'session', show: (/** @type {any} */ value) => cut(value ?? 'none', 30) }, ...costs]} /><//>
    <${Panel} title="Listed and never called" wide of=${unused} note=${unused.rows?.length ? `${plural(unused.rows.length, 'tool')}, in the context at every listing` : ''} empty="Every tool that was listed was called, or no list was recorded."><${Table} title="Listed and never called" rows=${(unused.rows ?? []).slice(0, 100)} columns=${[
      { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` }, { key: 'context_bytes', title: 'in the context', number: true, bar: true, show: bytes }, { key: 'listing_count', title: 'lists', number: true, show: listings }, { key: 'last_listed', title: 'last listed', show: (/** @type {string} */ value) => time(value, false) }]} /><//></div>`
}
