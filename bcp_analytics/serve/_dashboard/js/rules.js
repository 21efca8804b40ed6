// The rules that say what is wrong, each with what it would have said in the past week.
import { html, useState } from './lib.js'
import { METRICS, count, cut, plural, showMetric, span, time } from './format.js'
import { href, me } from './state.js'
import { send, useSent, useView } from './api.js'
import { renew } from './live.js'
import { attempt } from './shell.js'
import { Badge, Dialog, Panel, Table, nameOf } from './parts.js'

const SNOOZES = { 1: 'for an hour', 4: 'for 4 hours', 24: 'for a day', 168: 'for a week', 0: 'no more' }
/** @param {any} row */
const snoozed = (row) => Date.parse(row.snoozed_until) > Date.now()

/** @param {{ path: string, row: any }} props  Has nobody told of a rule or an alert for a time. */
export function Snooze({ path, row }) {
  const name = cut(row.rule_name, 60)
  const choose = async (/** @type {any} */ event) => {
    const hours = Number(event.target.value)
    event.target.value = ''
    const until = hours ? new Date(Date.now() + hours * 3_600_000).toISOString() : null
    if (await attempt(() => send('POST', path, { until }), hours ? `Nobody is told of ${name} ${SNOOZES[hours]}.` : `People are told of ${name} again.`)) renew()
  }
  return html`<label><span class="sr">Snooze ${name}</span><select class="quiet" value="" onchange=${choose}><option value="">Snooze</option>
    ${Object.entries(SNOOZES).filter(([hours]) => hours !== '0' || snoozed(row)).map(([hours, text]) => html`<option key=${hours} value=${hours}>${text}</option>`)}</select></label>`
}

const NEW_RULE = { rule_name: '', metric: 'error_rate', fires: 'above', threshold: 0.1, clear_threshold: 0.08, lookback: '15 minutes', objective: null, min_calls: 20,
  for_at_least: '0', scope: 'tool', bcp_name: '', tool_name: '', severity: 'warning', enabled: true, description: '' }
const SENT = Object.keys(NEW_RULE).filter((name) => name !== 'rule_name')
const SCOPES = { all: 'all calls together', bcp: 'each bundle', tool: 'each tool' }

/** @param {any} rule  What is sent of it. */
const bodyOf = (rule) => ({ ...Object.fromEntries(SENT.map((name) => [name, rule[name]])), bcp_name: rule.bcp_name || null, tool_name: rule.tool_name || null,
  description: rule.description || `${METRICS[rule.metric].title} ${rule.fires} ${rule.threshold}` })
/** @param {string} name @param {string} [what] */
const pathOf = (name, what = '') => `/v1/alert-rules/${encodeURIComponent(name)}${what}`

/** @param {any} rule @param {any} row  The calls that an alert of a rule would have been computed from. */
const counted = (rule, row) => href('/calls', { bundle: row.bcp_name ?? (rule.bcp_name || null), tool: row.tool_name ?? (rule.tool_name || null), operation: rule.operation,
  client: null, release: null, range: null, from: row.counted_from, to: row.counted_until, metric: rule.metric })

/** @param {{ rule: any }} props  The alerts that the rule would have opened in the past 7 days. */
function Preview({ rule }) {
  const bad = !Number.isFinite(rule.threshold) || !Number.isFinite(rule.clear_threshold) || !(rule.min_calls > 0)
  const found = useSent('POST', pathOf(rule.rule_name || 'new', '/preview'), bodyOf(rule), { skip: bad, pace: 'never', pause: 300 })
  if (bad) return html`<p class="is-fail all" role="alert">Give a limit, where it is well again, and a number of calls.</p>`
  if (found.error) return html`<p class="is-fail all" role="alert">${found.error.message} ${found.error.hint}</p>`
  if (found.rows === null) return html`<p class="all muted">Looking at the past 7 days.</p>`
  const rows = [...found.rows].sort((one, other) => Date.parse(other.opened_at) - Date.parse(one.opened_at))
  return html`<div class="all" aria-busy=${found.loading}><p aria-live="polite">In the past 7 days it would have opened <b>${plural(rows.length, 'alert')}</b>${rows.length > 0 && `, the last one ${time(rows[0].opened_at, false)}`}.</p>
    ${rows.length > 0 && html`<${Table} title="What it would have opened" rows=${rows.slice(0, 8)} columns=${[
      { key: 'bcp_name', title: 'about', show: (/** @type {any} */ _, /** @type {any} */ row) => cut(nameOf(row.bcp_name, row.tool_name), 60) },
      { key: 'opened_at', title: 'opened', show: (/** @type {string} */ value) => time(value, false) }, { key: 'closed_at', title: 'closed', show: (/** @type {any} */ value) => value ? time(value, false) : 'still open' },
      { key: 'worst_value', title: 'worst', number: true, show: (/** @type {number} */ value) => showMetric(rule.metric, value) }, { key: 'call_count', title: 'calls', number: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a target="_blank" title="In a tab of its own" href=${counted(rule, row)}>${count(value)}</a>` }]}
      more=${rows.length > 8 && html`<p class="muted">${count(rows.length - 8)} more before these.</p>`} />`}</div>`
}

/** @param {{ rule: any, close: () => void }} props */
function Edit({ rule, close }) {
  const [draft, setDraft] = useState(rule)
  const existing = Boolean(rule.rule_name)
  const set = (/** @type {string} */ name, number = false) => (/** @type {any} */ event) => {
    const { type, checked, value } = event.target
    setDraft((/** @type {any} */ before) => {
      const next = { ...before, [name]: type === 'checkbox' ? checked : number ? value === '' ? NaN : Number(value) : value }
      if (name === 'metric') Object.assign(next, { fires: value === 'success_rate' ? 'below' : 'above', objective: value === 'burn_rate' ? before.objective ?? 0.95 : null })
      if (name === 'threshold') next.clear_threshold = next.threshold
      return next
    })
  }
  const field = (/** @type {string} */ name, /** @type {any} */ more = {}) => html`<input ...${more} value=${Number.isNaN(draft[name]) ? '' : draft[name] ?? ''} oninput=${set(name, more.type === 'number')} />`
  const choice = (/** @type {string} */ name, /** @type {Record<string, string>} */ of) => html`<select value=${draft[name]} onchange=${set(name)}>${Object.entries(of).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select>`
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (await attempt(() => send('PUT', pathOf(draft.rule_name), bodyOf(draft)), 'Saved: the next evaluation, within a minute, goes by it.')) {
      close()
      renew()
    }
  }
  return html`<${Dialog} wide title=${existing ? `Rule ${cut(rule.rule_name, 60)}` : 'New rule'} close=${close}><form class="fields" onsubmit=${submit}>
    <label>Name ${field('rule_name', { required: true, maxlength: 200, readonly: existing })}</label>
    <label>Figure ${choice('metric', Object.fromEntries(Object.entries(METRICS).map(([key, value]) => [key, value.title])))}</label>
    <label>Is wrong when ${choice('fires', { above: 'above', below: 'below' })}</label>
    <label>Limit${draft.metric.endsWith('rate') && draft.metric !== 'burn_rate' ? ', from 0 to 1' : draft.metric === 'avg_duration_ms' ? ', in ms' : ''} ${field('threshold', { type: 'number', step: 'any', required: true })}</label>
    <label>Is well again at ${field('clear_threshold', { type: 'number', step: 'any', required: true })}</label>
    <label>Looks back ${field('lookback', { required: true })}</label>
    ${draft.metric === 'burn_rate' && html`<label>Objective, from 0 to 1 ${field('objective', { type: 'number', step: 'any', required: true })}</label>`}
    <label>From how many calls ${field('min_calls', { type: 'number', min: 1, required: true })}</label>
    <label>Opens after ${field('for_at_least', { required: true })}</label>
    <label>For ${choice('scope', SCOPES)}</label>
    <label>Only of bundle ${field('bcp_name', { maxlength: 1000 })}</label><label>Only of tool ${field('tool_name', { maxlength: 1000 })}</label>
    <label>Severity ${choice('severity', { warning: 'warning', critical: 'critical' })}</label>
    <label class="check"><input type="checkbox" checked=${draft.enabled} onchange=${set('enabled')} />enabled</label>
    <label class="all">Description ${field('description', { maxlength: 2000 })}</label>
    <${Preview} rule=${draft} /><div class="all"><button>Save the rule</button></div></form><//>`
}

export function Rules() {
  const rules = useView('alert_rules', {})
  const [edited, setEdited] = useState(/** @type {any} */ (null))
  const admin = me.value?.role === 'admin'
  const remove = async (/** @type {string} */ name) => {
    if (confirm(`Delete the rule ${cut(name, 100)}? Its open alerts close at the next evaluation.`) && await attempt(() => send('DELETE', pathOf(name)), 'Deleted.')) renew()
  }
  return html`<${Panel} title="Rules" wide of=${rules} note="a job evaluates them every minute" empty="There is no rule: without one nothing opens." tools=${admin && html`<button onclick=${() => setEdited(NEW_RULE)}>New rule</button>`}>
    <${Table} title="Rules" rows=${rules.rows ?? []} id=${(/** @type {any} */ row) => row.rule_name} columns=${[
      { key: 'rule_name', title: 'name', show: (/** @type {string} */ value, /** @type {any} */ row) => html`<b>${cut(value, 60)}</b>${!row.enabled && html` <span class="muted">off</span>`}${snoozed(row) && html` <span class="muted">told to nobody until ${time(row.snoozed_until, false)}</span>`}` },
      { key: 'metric', title: 'is wrong when', show: (/** @type {string} */ value, /** @type {any} */ row) => `${METRICS[value]?.title ?? value} ${row.fires} ${showMetric(value, row.threshold).replace(' %', '\u00a0%')}` },
      { key: 'scope', title: 'for', show: (/** @type {string} */ value, /** @type {any} */ row) => row.bcp_name || row.tool_name ? cut(nameOf(row.bcp_name, row.tool_name), 60) : SCOPES[value] },
      { key: 'lookback', title: 'looks back', show: span }, { key: 'min_calls', title: 'from calls', number: true, show: count }, { key: 'severity', title: 'severity', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
      { key: 'description', title: 'description', long: true, show: (/** @type {string} */ value, /** @type {any} */ row) => html`${cut(value, 200)}${row.last_error && html` <b class="is-fail">fails with ${cut(row.last_error, 10)}</b>`}` },
      { key: 'edit', title: admin ? 'change' : 'look', long: true, show: (/** @type {any} */ _, /** @type {any} */ row) => html`<span class="acts"><button class="quiet" onclick=${() => setEdited(row)}>${admin ? 'Edit' : 'Preview'}<span class="sr"> ${cut(row.rule_name, 60)}</span></button>${admin && html`<${Snooze} path=${pathOf(row.rule_name, '/snooze')} row=${row} /><button class="quiet" onclick=${() => remove(row.rule_name)}>Delete<span class="sr"> ${cut(row.rule_name, 60)}</span></button>`}</span>` }]} /><//>
    ${edited && (admin ? html`<${Edit} rule=${edited} close=${() => setEdited(null)} />` : html`<${Dialog} wide title=${`Rule ${cut(edited.rule_name, 60)}`} close=${() => setEdited(null)}><${Preview} rule=${edited} /><//>`)}`
}
