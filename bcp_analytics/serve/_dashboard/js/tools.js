// All tools, those that are never called, those that no list names, what agents wanted, and how tools changed.
import { html, useState } from './lib.js'
import { bytes, count, cut, ms, percent, time } from './format.js'
import { filters, href, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Change, Dialog, Json, Pages, Panel, Search, Table, ToolName, listings } from './parts.js'

const SIZE = 50
const DAY = 86_400_000
/** @param {number} value @param {any} row */
const calls = (value, row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name })}>${count(value)}</a>`
/** @param {number} value @param {any} row */
const failed = (value, row) => value ? html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, failed: 'true' })}>${count(value)}</a>` : '0'

/** @type {import('./parts.js').Column[]} */
const COLUMNS = [
  { key: 'tool_name', title: 'tool', sort: 'name', show: (_, row) => html`<${ToolName} row=${row} />` },
  { key: 'call_count', title: 'calls', number: true, sort: 'calls', bar: true, show: calls },
  { key: 'call_change', title: 'change', number: true, sort: 'change', show: (value) => html`<${Change} value=${value} />` },
  { key: 'error_count', title: 'failed', number: true, sort: 'errors', show: failed },
  { key: 'success_rate', title: 'success', number: true, sort: 'success', show: percent },
  { key: 'p50_duration_ms', title: 'p50', number: true, sort: 'p50', show: ms },
  { key: 'p95_duration_ms', title: 'p95', number: true, sort: 'p95', show: ms },
  { key: 'p95_change', title: 'p95 change', number: true, sort: 'slower', show: (value) => html`<${Change} value=${value} good="down" />` },
  { key: 'p99_duration_ms', title: 'p99', number: true, sort: 'p99', show: ms },
  { key: 'response_bytes', title: 'answers', number: true, sort: 'answers', show: bytes },
]

/** @param {{ row: any }} props  What a tool says of itself, and what it said before. */
function Compare({ row }) {
  const [open, setOpen] = useState(false)
  return html`<button class="quiet" onclick=${() => setOpen(true)}>Compare<span class="sr"> ${cut(row.tool_name, 60)}</span></button>${open && html`<${Dialog} wide title=${`${cut(row.tool_name, 60)}, changed ${time(row.changed_at)}`} close=${() => setOpen(false)}>
    <h3>Description</h3><${Json} value=${row.description} /><h3>Before</h3><${Json} value=${row.previous_description} />
    <h3>Input</h3><${Json} value=${row.input_schema} /><h3>Before</h3><${Json} value=${row.previous_input_schema} /><//>`}`
}

/** @param {(value: any) => any} show @param {string} key  A figure before and after. */
const both = (show, key) => (/** @type {any} */ value, /** @type {any} */ row) => html`<span class="muted">${show(row[`previous_${key}`])} →</span> ${show(value)}`

/** @param {number} value @param {any} row  How many calls a tool had in a day before its change, and after. */
function beside(value, row) {
  const at = Date.parse(row.changed_at)
  const link = (/** @type {number} */ from, /** @type {number} */ number) => number ? html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, client: null, release: null, range: null, from: new Date(from).toISOString(), to: new Date(from + DAY).toISOString() })}>${count(number)}</a>` : '0'
  return html`${link(at - DAY, row.previous_call_count)} <span class="muted">→</span> ${link(at, value)}`
}

/** Why agents call, what they looked for in vain, and what changed in the tools. */
function Wishes() {
  const { since, until } = range()
  const filtered = filters('bcp_name', 'client_name', 'release')
  const intents = useAsk('intents', { since, until, limit: 20, ...filtered })
  const missing = useAsk('missing_tools', { since, until, limit: 20, ...filtered })
  const changes = useAsk('tool_changes', { since, until, limit: 20, ...filters('bcp_name') })
  const name = { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` }
  return html`<${Panel} title="Why agents call" half of=${intents} note="the same words are one" empty="No call of this range says its intent.">
      <${Table} title="Why agents call" rows=${intents.rows ?? []} columns=${[
        { key: 'intent', title: 'intent, masked', long: true, show: (/** @type {string} */ value) => cut(value, 160) }, { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { intent: row.intent })}>${count(value)}</a>` },
        { key: 'success_rate', title: 'success', number: true, show: percent }, { ...name, title: 'mostly' }]} /><//>
    <${Panel} title="Tools that agents miss" half of=${missing} empty="No agent asked for a tool that is not there, or no server offers get_more_tools.">
      <${Table} title="Tools that agents miss" rows=${missing.rows ?? []} columns=${[
        { key: 'intent', title: 'wish, masked', long: true, show: (/** @type {any} */ value) => value === null ? html`<span class="muted">not said</span>` : cut(value, 160) }, { key: 'bcp_name', title: 'bundle', show: (/** @type {string} */ value) => cut(value, 40) },
        { key: 'request_count', title: 'times', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: 'get_more_tools', intent: row.intent ?? '' })}>${count(value)}</a>` }, { key: 'last_seen', title: 'last', show: (/** @type {string} */ value) => time(value, false) }]} /><//>
    <${Panel} title="What changed in the tools" wide of=${changes} note="figures of a day before and after" empty="No list of this range defines a tool anew or lacks one that lists had.">
      <${Table} title="What changed in the tools" rows=${changes.rows ?? []} columns=${[name,
        { key: 'changed_at', title: 'when', show: (/** @type {string} */ value) => time(value, false) }, { key: 'change', title: 'what' },
        { key: 'description', title: 'says now', long: true, show: (/** @type {any} */ value) => cut(value ?? '–', 160) },
        { key: 'call_count', title: 'calls', number: true, show: beside }, { key: 'success_rate', title: 'success', number: true, show: both(percent, 'success_rate') },
        { key: 'p95_duration_ms', title: 'p95', number: true, show: both(ms, 'p95_duration_ms') }, { key: 'context_bytes', title: 'in the context', number: true, show: both(bytes, 'context_bytes') },
        { key: 'compare', title: 'both', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${Compare} row=${row} />` }]} /><//>`
}

export function Tools() {
  const { since, until } = range()
  const page = Number(param('page') ?? 0)
  const sort = param('sort') ?? 'calls'
  const tools = useView('tools', {
    since, until, ...filters('bcp_name', 'client_name', 'release'), search: param('q'), sort, ascending: param('up') ? 'true' : null, limit: SIZE, offset: page * SIZE || null,
  })
  const bundle = filters('bcp_name')
  const unused = useAsk('unused_tools', { since, until, ...bundle })
  const unknown = useAsk('unknown_tools', { since, until, ...bundle })
  const rows = tools.rows ?? []
  const name = { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` }
  return html`<h1>Tools</h1>
    <${Panel} title="Tools" wide keep of=${tools} note=${rows[0] ? `${count(rows[0].tool_count)} called in this range or the one before` : ''} tools=${html`<${Search} label="Find a tool" />`}>
      ${rows.length ? html`<${Table} title="Tools" columns=${COLUMNS} rows=${rows} sort=${sort} up=${Boolean(param('up'))} id=${(/** @type {any} */ row) => `${row.bcp_name}.${row.tool_name}`} />
        <${Pages} page=${page} size=${SIZE} count=${rows.length} total=${rows[0].tool_count} />`
        : html`<p class="empty">${param('q') ? 'No tool that was called has this in its name.' : page ? 'There are no more tools.' : 'No tool was called in this range: choose a longer one, or '}${!param('q') && !page && html`<a href=${href('/setup')}>set up a sender</a>.`}</p>`}<//>
    <div class="grid"><${Panel} title="Listed and never called" half of=${unused} note="each costs the context its bytes at every listing" empty="Every tool that was listed was called, or no list was recorded.">
      <${Table} title="Listed and never called" rows=${(unused.rows ?? []).slice(0, 50)} columns=${[name,
        { key: 'context_bytes', title: 'in the context', number: true, show: bytes, bar: true }, { key: 'listing_count', title: 'lists', number: true, show: listings },
        { key: 'last_listed', title: 'last listed', show: (/** @type {string} */ value) => time(value, false) }]} more=${unused.rows && unused.rows.length > 50 && html`<p class="muted">${count(unused.rows.length - 50)} more are in the CSV.</p>`} /><//>
    <${Panel} title="Called and never listed" half of=${unknown} note="made up by a model, or taken away" empty="No tool was called that its bundle's lists do not have.">
      <${Table} title="Called and never listed" rows=${(unknown.rows ?? []).slice(0, 50)} columns=${[name,
        { key: 'call_count', title: 'calls', number: true, show: calls, bar: true }, { key: 'error_count', title: 'failed', number: true, show: failed }]} more=${unknown.rows && unknown.rows.length > 50 && html`<p class="muted">${count(unknown.rows.length - 50)} more are in the CSV.</p>`} /><//><${Wishes} /></div>`
}
