// Alerts: what is wrong, what was, the rules that say so, and who is told of it.
import { html, useState } from './lib.js'
import { METRICS, cut, showMetric, time, visible } from './format.js'
import { href, me, range } from './state.js'
import { send, useAsk } from './api.js'
import { renew } from './live.js'
import { attempt } from './shell.js'
import { Badge, Dialog, Panel, Table, nameOf } from './parts.js'
import { Channels, Log } from './channels.js'
import { Rules, Snooze } from './rules.js'

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

/** @type {import('./parts.js').Column} */
const SNOOZED = { key: 'snoozed_until', title: 'told', show: (value, row) => html`${Date.parse(value) > Date.now() && html`<span class="muted">to nobody until ${time(value, false)}</span> `}
  ${me.value?.role === 'admin' ? html`<${Snooze} path=${`/v1/alerts/${row.alert_id}/snooze`} row=${row} />` : !(Date.parse(value) > Date.now()) && 'to the channels'}` }

export function Alerts() {
  const { since, until } = range()
  const open = useAsk('active_alerts', {}, { pace: 'fast' })
  const history = useAsk('alert_history', { since, until, limit: 200 })
  const closed = (history.rows ?? []).filter((row) => row.closed_at)
  // Whatever the range: it has every alert that is open, with what active_alerts leaves out.
  const recent = useAsk('alert_history', { since: '1h', limit: 1000 })
  const silent = new Map((recent.rows ?? []).map((row) => [row.alert_id, row.snoozed_until]))
  const alerts = (open.rows ?? []).map((row) => ({ ...row, snoozed_until: silent.get(row.alert_id) }))
  const [fresh, taken] = [alerts.filter((row) => !row.acknowledged_at), alerts.filter((row) => row.acknowledged_at)]
  const acknowledged = { key: 'acknowledged_at', title: 'acknowledged', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${Acknowledge} row=${row} />` }
  const table = (/** @type {string} */ title, /** @type {any[]} */ rows, /** @type {any[]} */ more) => html`<${Table} title=${title} rows=${rows} id=${(/** @type {any} */ row) => row.alert_id} columns=${[...COLUMNS, ...more]} />`
  return html`<h1>Alerts</h1>
    ${me.value?.role !== 'admin' && html`<p class="muted">You see all of it with a token of the role reader. To acknowledge and snooze alerts and to change rules and channels, log in with one of the role admin.</p>`}
    <div class="grid">
    <${Panel} title="Open" wide keep of=${open} note="now, whatever the range">${fresh.length ? table('Open', fresh, [acknowledged, SNOOZED]) : html`<p class="empty">${alerts.length ? 'Somebody takes care of every open alert.' : 'No alert is open.'}</p>`}<//>
    ${taken.length > 0 && html`<${Panel} title="Acknowledged" wide keep of=${open} note="still open, and somebody takes care">${table('Acknowledged', taken, [acknowledged, SNOOZED])}<//>`}
    <${Rules} />
    <${Channels} />
    <${Log} />
    <${Panel} title="History" wide keep of=${history} note="closed in the range">${closed.length ? table('History', closed, [
      { key: 'closed_at', title: 'closed', show: (/** @type {string} */ value) => time(value, false) }, { key: 'acknowledged_by', title: 'taken care of by', show: (/** @type {any} */ value) => cut(value ?? '–', 40) },
      { key: 'notes', title: 'note', long: true, show: (/** @type {any} */ value) => cut(value ?? '', 160) }]) : html`<p class="empty">No alert closed in this range.</p>`}<//></div>`
}
