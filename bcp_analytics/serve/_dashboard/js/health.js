// Whether the store itself is well: its checks, how late events are, the ledger, and what was not taken.
import { html } from './lib.js'
import { ago, bytes, count, cut, ms, time } from './format.js'
import { range } from './state.js'
import { useAsk, useView } from './api.js'
import { Badge, Json, Panel, Table } from './parts.js'

export function Health() {
  const { since, until } = range()
  const checks = useAsk('health', {})
  const lag = useView('lag', { since })
  const ledger = useView('ledger', { since, until, limit: 50 })
  const rejections = useView('rejections', { since, until, limit: 50 })
  const rejected = useView('rejected', { since, until, limit: 5 })
  const ignored = useView('otlp_ignored', { since, until, limit: 50 })
  const collectors = useView('collectors', { since, limit: 50 })
  const order = { fail: 0, warn: 1, ok: 2 }
  const late = lag.rows?.[0]
  return html`<h1>Health</h1><div class="grid">
    <${Panel} title="Checks" half of=${checks} note="now, whatever the range"><${Table} title="Checks" rows=${[...(checks.rows ?? [])].sort((a, b) => order[a.status] - order[b.status])} columns=${[
      { key: 'check_name', title: 'check', show: (/** @type {string} */ value) => html`<b>${cut(value, 60)}</b>` }, { key: 'status', title: 'status', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
      { key: 'value', title: 'value', show: (/** @type {any} */ value) => cut(value ?? '', 60) }, { key: 'detail', title: 'what to look at', long: true, show: (/** @type {any} */ value) => cut(value ?? '', 400) }]} /><//>
    <div class="half stack">
    <${Panel} title="How late calls come" half of=${lag} note="from the end of a call until it was stored, of the last 1,000">${late?.last_stored ? html`<dl class="now plain">${[['half within', ms(1000 * late.p50_lag_s)], ['99 % within', ms(1000 * late.p99_lag_s)], ['last stored', ago(late.last_stored)], ['which began', time(late.last_start)]].map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>` : html`<p class="empty">No call was stored in this range.</p>`}<//>
    <${Panel} title="Rejected events, and why" half of=${rejections} empty="No event was rejected."><${Table} title="Rejected events, and why" rows=${rejections.rows ?? []} columns=${[
      { key: 'reason', title: 'why', long: true, show: (/** @type {string} */ value) => cut(value, 240) }, { key: 'reason_code', title: 'code' }, { key: 'kind', title: 'kind' }, { key: 'source', title: 'source', show: (/** @type {string} */ value) => cut(value, 40) }, { key: 'event_count', title: 'events', number: true, bar: true, show: count }, { key: 'last_rejected', title: 'last', show: (/** @type {string} */ value) => time(value, false) }]} />
      ${(rejected.rows ?? []).map((row) => html`<details key=${row.rejected_at}><summary>${time(row.rejected_at)} ${cut(row.reason, 100)}, ${bytes(row.event_bytes)}</summary><${Json} value=${row.event} /></details>`)}<//>
    <${Panel} title="What OpenTelemetry ignored" half of=${ignored} note="servers add it once a minute" empty="Nothing was ignored: every record that came was a tool call, or none came."><${Table} title="What OpenTelemetry ignored" rows=${ignored.rows ?? []} columns=${[
      { key: 'signal', title: 'signal' }, { key: 'reason', title: 'why', long: true, show: (/** @type {string} */ value) => cut(value, 200) }, { key: 'record_count', title: 'records', number: true, bar: true, show: count }, { key: 'last_ignored', title: 'last', show: (/** @type {string} */ value) => time(value, false) }]} /><//></div>
    <${Panel} title="Ledger" wide of=${ledger} note="accepted = stored + duplicates + rejected" empty="Nothing came in during this range."><${Table} title="Ledger" rows=${ledger.rows ?? []} columns=${[
      { key: 'source', title: 'source', show: (/** @type {string} */ value) => cut(value, 60) }, ...['accepted', 'stored', 'duplicates', 'rejected', 'repaired'].map((key) => ({ key, title: key, number: true, bar: key === 'accepted', show: (/** @type {number} */ value) => key === 'rejected' && value ? html`<b class="is-fail">${count(value)}</b>` : count(value) })),
      { key: 'last_hour', title: 'last hour', show: (/** @type {string} */ value) => time(value, false) }]} /><//>
    <${Panel} title="Collectors" wide of=${collectors} empty="No collector reported in this range: the Python collector, the proxy and the middleware do."><${Table} title="Collectors" rows=${collectors.rows ?? []} columns=${[
      { key: 'source', title: 'source', show: (/** @type {string} */ value) => cut(value, 60) }, ...['recorded', 'sent', 'spooled'].map((key) => ({ key, title: key, number: true, show: count })), { key: 'spooled_bytes', title: 'on disk', number: true, show: bytes },
      { key: 'dropped', title: 'lost', number: true, show: (/** @type {number} */ value) => value ? html`<b class="is-fail">${count(value)}</b>` : '0' }, { key: 'last_error', title: 'last error', long: true, show: (/** @type {any} */ value) => cut(value ?? '–', 200) }, { key: 'reported_at', title: 'reported', show: (/** @type {string} */ value) => ago(value) }]} /><//></div>`
}
