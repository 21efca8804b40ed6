// The newest calls, as they come. The list holds still while somebody reads it.
import { html, useEffect, useRef, useState } from './lib.js'
import { bytes, count, cut, ms, percent, time } from './format.js'
import { go, here, href, me, param } from './state.js'
import { useAsk } from './api.js'
import { metric } from './live.js'
import { Panel, Table, ToolName } from './parts.js'
import { CALL_COLUMNS, Outcome, callLink } from './calls.js'

const MOST = 100

/** @param {any[]} now @param {any[]} newer  Calls, the newest first, each once. */
function merged(now, newer) {
  const known = new Set(now.map((row) => row.event_id))
  return [...newer.filter((row) => !known.has(row.event_id)), ...now].slice(0, 2 * MOST)
}

/** @param {any} a @param {any} b  As the server orders them. */
function newestFirst(a, b) {
  if (a.stored_at !== b.stored_at) return a.stored_at < b.stored_at ? 1 : -1
  return a.event_id < b.event_id ? -1 : 1
}

/** @type {import('./parts.js').Column[]} */
const COLUMNS = [
  { key: 'stored_at', title: 'stored', show: (value) => html`<time datetime=${value}>${time(value)}</time>` },
  { key: 'tool_name', title: 'tool', show: (_, row) => html`<${ToolName} row=${row} />` },
  { key: 'outcome', title: 'outcome', show: (_, row) => html`<${Outcome} row=${row} />` },
  { key: 'duration_ms', title: 'duration', number: true, show: ms },
  CALL_COLUMNS[4], CALL_COLUMNS[6],
]

/** @param {Record<string, unknown>} [own]  A number of the last minute, which leads to its calls. */
const minute = (own = {}) => (/** @type {number} */ value, /** @type {any} */ row) =>
  value ? html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, ...own, range: '1m', from: null, to: null })}>${count(value)}</a>` : '0'

/** @param {number} value  The calls of the UTC day, whatever the bundle. */
function today(value) {
  const from = new Date().setUTCHours(0, 0, 0, 0)
  return html`<a href=${href('/calls', { bundle: null, client: null, release: null, range: null, from: new Date(from).toISOString(), to: new Date(from + 86_400_000).toISOString() })}>${count(value)}</a>`
}

/** @param {{ row: any }} props */
function Now({ row }) {
  const facts = [['calls in the last minute', minute()(row.calls, row)], ['failed', minute({ failed: 'true' })(row.errors, row)], ['success', percent(row.success_rate)], ['p50', ms(row.p50_duration_ms)],
    ['p95', ms(row.p95_duration_ms)], ['answers', bytes(row.response_bytes)], ['today (UTC)', today(row.calls_today)]]
  return html`<dl class="now" aria-label="The last minute">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

export function Live() {
  const failed = param('failed') === 'true'
  const bundle = param('bundle')
  const first = useAsk('recent_calls', { since: '24h', limit: MOST, failed: failed ? 'true' : null, bcp_name: bundle }, { pace: 'fast' })
  const [shown, setShown] = useState(/** @type {any[]} */ ([]))
  const waiting = useRef(/** @type {any[]} */ ([]))
  const [held, setHeld] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  const still = held || scrolled
  const fits = (/** @type {any} */ row) => (!failed || row.success === false) && (!bundle || row.bcp_name === bundle)
  const message = metric.value
  const latest = [...(message?.recent_calls ?? []), ...(first.rows ?? [])].filter(fits)
  waiting.current = merged(merged(shown, waiting.current.filter(fits)), latest).sort(newestFirst)
  const known = new Set(shown.map((row) => row.event_id))
  const at = waiting.current.findIndex((row) => known.has(row.event_id))
  const fresh = at < 0 ? waiting.current.length : at
  const take = () => setShown(waiting.current.slice(0, MOST))
  useEffect(() => {
    const look = () => setScrolled(scrollY > 80)
    addEventListener('scroll', look, { passive: true })
    return () => removeEventListener('scroll', look)
  }, [])
  useEffect(() => {
    waiting.current = []
    setShown([])
  }, [failed, bundle])
  useEffect(() => {
    if (fresh > 0 && (!still || !shown.length)) take()
  }, [fresh, still, shown.length])
  const busiest = (message?.tools ?? []).filter((/** @type {any} */ row) => row.calls > 0 && (!bundle || row.bcp_name === bundle)).slice(0, 8)
  return html`<h1>Live</h1>
    <p class="about"><label class="check"><input type="checkbox" checked=${failed} onchange=${(/** @type {any} */ e) => go(here({ failed: e.target.checked ? 'true' : null }))} />failed only</label>
      ${bundle && html`<span class="chip">bundle <b>${cut(bundle)}</b> <a href=${here({ bundle: null })} aria-label="Any bundle">×</a></span>`}
      ${still && fresh > 0 && shown.length > 0 && html`<button class="fresh" onclick=${() => { scrollTo(0, 0); setScrolled(false); take() }}>${count(fresh)} new</button>`}</p>
    ${message && html`<${Now} row=${message.all} />`}
    ${me.value?.role === 'reader' && html`<p class="muted">With a token of the role reader this page asks every 5 seconds. With one of the role admin it gets each second what is new.</p>`}
    <div class="grid"><${Panel} title="Newest calls" wide of=${first} note=${still && fresh ? 'held while you read' : 'as they come'} keep>
      ${shown.length ? html`<div onmouseenter=${() => setHeld(true)} onmouseleave=${() => setHeld(false)}
        onfocusin=${() => setHeld(true)} onfocusout=${(/** @type {any} */ e) => { if (!e.currentTarget.contains(e.relatedTarget)) setHeld(false) }}>
        <${Table} title="Newest calls" columns=${COLUMNS} rows=${shown} link=${callLink} id=${(/** @type {any} */ row) => row.event_id} /></div>`
        : first.rows !== null && html`<p class="empty">${failed ? 'No call failed in the last 24 hours.' : 'No call was stored in the last 24 hours.'} New ones appear here within a second.</p>`}<//>
    ${busiest.length > 0 && html`<${Panel} title="Busiest in the last minute" wide of=${{ rows: busiest, asked: { of: 'views', name: 'tools', takes: { since: '1m', until: 'now', sort: 'calls', limit: 8 } } }}><${Table} title="Busiest in the last minute" rows=${busiest} columns=${[
      { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` },
      { key: 'calls', title: 'calls', number: true, bar: true, show: minute() }, { key: 'errors', title: 'failed', number: true, show: minute({ failed: 'true' }) },
      { key: 'p95_duration_ms', title: 'p95', number: true, show: ms }]} /><//>`}</div>`
}
