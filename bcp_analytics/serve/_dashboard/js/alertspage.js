// Alerts: what is wrong, what was, and the rules that say so, each with what it would have said in the last week.
import { html, useState } from './lib.js'
import { METRICS, count, cut, plural, showMetric, time, visible } from './format.js'
import { href, me, range } from './state.js'
import { send, useAsk, useView } from './api.js'
import { renew } from './live.js'
import { Chart } from './chart.js'
import { attempt } from './shell.js'
import { Badge, Dialog, Panel, Table, nameOf } from './parts.js'
import { inTime } from './overview.js'

/** @param {{ row: any }} props */
function About({ row }) {
  const text = cut(nameOf(row.bcp_name, row.tool_name), 80)
  if (row.tool_name) return html`<a href=${href('/tool', { bundle: row.bcp_name, tool: row.tool_name })}>${text}</a>`
  return row.bcp_name ? html`<a href=${href('/tools', { bundle: row.bcp_name })}>${text}</a>` : text
}

/** @param {{ row: any }} props */
function Acknowledge({ row }) {
  const [open, setOpen] = useState(false)
  const [notes, setNotes] = useState('')
  if (row.acknowledged_at) return html`<span class="muted">by ${cut(row.acknowledged_by, 40)} ${time(row.acknowledged_at, false)}${row.notes && `: ${visible(row.notes)}`}</span>`
  if (me.value?.role !== 'admin') return html`<span class="muted">open</span>`
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (await attempt(() => send('POST', `/v1/alerts/${row.alert_id}/acknowledge`, notes ? { notes } : {}), 'Acknowledged: it stays open until its figure is well.')) {
      setOpen(false)
      renew()
    }
  }
  return html`<button class="quiet" onclick=${() => setOpen(true)}>Acknowledge</button>${open && html`<${Dialog} title="Acknowledge the alert" close=${() => setOpen(false)}><form class="fields" onsubmit=${submit}>
    <label class="all">Note, which is masked <textarea value=${notes} maxlength="5000" oninput=${(/** @type {any} */ e) => setNotes(e.target.value)}></textarea></label><button>Acknowledge</button></form><//>`}`
}

/** @type {import('./parts.js').Column[]} */
const COLUMNS = [
  { key: 'rule_name', title: 'rule', show: (value) => cut(value, 60) },
  { key: 'severity', title: 'severity', show: (value) => html`<${Badge} state=${value} />` },
  { key: 'bcp_name', title: 'about', show: (_, row) => html`<${About} row=${row} />` },
  { key: 'value', title: 'is', show: (value, row) => `${showMetric(row.metric, value)} ${METRICS[row.metric]?.title ?? ''}` },
  { key: 'worst_value', title: 'worst', number: true, show: (value, row) => showMetric(row.metric, value) },
  { key: 'threshold', title: 'limit', number: true, show: (value, row) => showMetric(row.metric, value) },
  { key: 'opened_at', title: 'opened', show: (value) => time(value, false) },
]

const NEW_RULE = { rule_name: '', metric: 'error_rate', fires: 'above', threshold: 0.1, clear_threshold: 0.08, lookback: '15 minutes', objective: null, min_calls: 20,
  for_at_least: '0', scope: 'tool', bcp_name: '', tool_name: '', severity: 'warning', enabled: true, description: '' }
const SENT = Object.keys(NEW_RULE).filter((name) => name !== 'rule_name')
const SCOPES = { all: 'all calls together', bcp: 'each bundle', tool: 'each tool' }

/** @param {{ rule: any }} props  What the rule would have said in the past 7 days, by buckets as long as it looks back. */
function Preview({ rule }) {
  const bad = !Number.isFinite(rule.threshold) || !(rule.min_calls > 0)
  const size = lookbackMs(rule.lookback)
  const found = useView('rule_preview', { metric: rule.metric, fires: rule.fires, threshold: rule.threshold, min_calls: rule.min_calls, scope: rule.scope,
    lookback: `${Math.round(size / 60_000)}m`, objective: rule.objective, bcp_name: rule.bcp_name, tool_name: rule.tool_name }, { skip: bad || !(size >= 60_000), pace: 'never' })
  if (bad || !(size >= 60_000)) return html`<p class="is-fail all" role="alert">Give a limit, and a time of a minute or more to look back.</p>`
  if (found.error) return html`<p class="is-fail all" role="alert">${found.error.message} ${found.error.hint}</p>`
  const { all, times } = inTime(found.rows)
  const wrong = all.filter((row) => row.wrong_count > 0)
  return html`<div class="all" aria-live="polite"><p>${found.rows === null ? 'Looking at the past 7 days.' : html`In the past 7 days it would have been wrong in <b>${plural(wrong.length, 'stretch', 'stretches')}</b> of ${rule.lookback}${wrong.length > 0 ? `, the last one ${time(wrong[wrong.length - 1].time_bucket, false)}, for up to ${plural(Math.max(...wrong.map((row) => row.wrong_count)), rule.scope === 'all' ? 'figure' : rule.scope === 'bcp' ? 'bundle' : 'tool')} at a time` : ''}.`}</p>
    ${times.length > 0 && html`<${Chart} title="the worst figure of each stretch" kind="lines" times=${times} interval=${size} height=${150} format=${(/** @type {any} */ value) => showMetric(rule.metric, value)} series=${[
      { name: 'worst', color: '--good', values: all.map((row) => row.worst_value) }, { name: 'limit', color: '--bad', dash: true, values: all.map(() => rule.threshold) }]} />`}</div>`
}

/** @param {string} text  Such as 15 minutes or 01:00:00, in milliseconds. */
function lookbackMs(text) {
  const clock = /^(?:(\d+) days? ?)?(?:(\d+):(\d\d):(\d\d))?$/.exec(text)
  if (clock && text) return ((Number(clock[1] ?? 0) * 24 + Number(clock[2] ?? 0)) * 60 + Number(clock[3] ?? 0)) * 60_000 + Number(clock[4] ?? 0) * 1000
  const found = /^(\d+) ?(m|min|minutes?|h|hours?|d|days?)$/.exec(text.trim())
  return found ? Number(found[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[found[2][0]] : NaN
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
    const body = Object.fromEntries(SENT.map((name) => [name, draft[name]]))
    const filled = { ...body, bcp_name: body.bcp_name || null, tool_name: body.tool_name || null, description: body.description || `${METRICS[body.metric].title} ${body.fires} ${body.threshold}` }
    if (await attempt(() => send('PUT', `/v1/alert-rules/${encodeURIComponent(draft.rule_name)}`, filled), 'Saved: the next evaluation, within a minute, goes by it.')) {
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

function Rules() {
  const rules = useView('alert_rules', {})
  const [edited, setEdited] = useState(/** @type {any} */ (null))
  const admin = me.value?.role === 'admin'
  const remove = async (/** @type {string} */ name) => {
    if (confirm(`Delete the rule ${name.slice(0, 100)}? Its open alerts close at the next evaluation.`) && await attempt(() => send('DELETE', `/v1/alert-rules/${encodeURIComponent(name)}`), 'Deleted.')) renew()
  }
  return html`<${Panel} title="Rules" wide of=${rules} note="a job evaluates them every minute" empty="There is no rule: without one nothing opens." tools=${admin && html`<button onclick=${() => setEdited(NEW_RULE)}>New rule</button>`}>
    <${Table} title="Rules" rows=${rules.rows ?? []} id=${(/** @type {any} */ row) => row.rule_name} columns=${[
      { key: 'rule_name', title: 'name', show: (/** @type {string} */ value, /** @type {any} */ row) => html`<b>${cut(value, 60)}</b>${!row.enabled && html` <span class="muted">off</span>`}` },
      { key: 'metric', title: 'is wrong when', show: (/** @type {string} */ value, /** @type {any} */ row) => `${METRICS[value]?.title ?? value} ${row.fires} ${showMetric(value, row.threshold)}` },
      { key: 'scope', title: 'for', show: (/** @type {string} */ value, /** @type {any} */ row) => row.bcp_name || row.tool_name ? cut(nameOf(row.bcp_name, row.tool_name), 60) : SCOPES[value] },
      { key: 'lookback', title: 'looks back' }, { key: 'min_calls', title: 'from calls', number: true, show: count }, { key: 'severity', title: 'severity', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
      { key: 'description', title: 'description', long: true, show: (/** @type {string} */ value, /** @type {any} */ row) => html`${cut(value, 200)}${row.last_error && html` <b class="is-fail">fails with ${cut(row.last_error, 10)}</b>`}` },
      { key: 'edit', title: admin ? 'change' : 'look', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<span class="acts"><button class="quiet" onclick=${() => setEdited(row)}>${admin ? 'Edit' : 'Preview'}<span class="sr"> ${cut(row.rule_name, 60)}</span></button>${admin && html`<button class="quiet" onclick=${() => remove(row.rule_name)}>Delete<span class="sr"> ${cut(row.rule_name, 60)}</span></button>`}</span>` }]} />
    ${edited && (admin ? html`<${Edit} rule=${edited} close=${() => setEdited(null)} />` : html`<${Dialog} wide title=${`Rule ${cut(edited.rule_name, 60)}`} close=${() => setEdited(null)}><${Preview} rule=${edited} /><//>`)}<//>`
}

export function Alerts() {
  const { since, until } = range()
  const open = useAsk('active_alerts', {}, { pace: 'fast' })
  const history = useView('alert_history', { since, until, limit: 100 })
  const closed = (history.rows ?? []).filter((row) => row.closed_at)
  return html`<h1>Alerts</h1><div class="grid">
    <${Panel} title="Open" wide of=${open} note="now, whatever the range" empty="No alert is open."><${Table} title="Open" rows=${open.rows ?? []} id=${(/** @type {any} */ row) => row.alert_id} columns=${[...COLUMNS,
      { key: 'acknowledged_at', title: 'acknowledged', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${Acknowledge} row=${row} />` }]} /><//>
    <${Rules} />
    <${Panel} title="History" wide keep of=${history} note="closed in the range">${closed.length ? html`<${Table} title="History" rows=${closed} id=${(/** @type {any} */ row) => row.alert_id} columns=${[...COLUMNS,
      { key: 'closed_at', title: 'closed', show: (/** @type {string} */ value) => time(value, false) }, { key: 'notes', title: 'note', long: true, show: (/** @type {any} */ value) => cut(value ?? '', 160) }]} />` : html`<p class="empty">No alert closed in this range.</p>`}<//></div>`
}
