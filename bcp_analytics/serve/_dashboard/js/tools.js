// All tools, those that are never called, and those that no list names.
import { html } from './lib.js'
import { bytes, count, ms, percent, time } from './format.js'
import { filters, href, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Change, Pages, Panel, Search, Table, ToolName } from './parts.js'

const SIZE = 50

/** @type {import('./parts.js').Column[]} */
const COLUMNS = [
  { key: 'tool_name', title: 'tool', sort: 'name', show: (_, row) => html`<${ToolName} row=${row} />` },
  { key: 'call_count', title: 'calls', number: true, sort: 'calls', bar: true, show: (value, row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name })}>${count(value)}</a>` },
  { key: 'call_change', title: 'change', number: true, sort: 'change', show: (value) => html`<${Change} value=${value} />` },
  { key: 'error_count', title: 'failed', number: true, sort: 'errors', show: (value, row) => value ? html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, failed: 'true' })}>${count(value)}</a>` : '0' },
  { key: 'success_rate', title: 'success', number: true, sort: 'success', show: percent },
  { key: 'p50_duration_ms', title: 'p50', number: true, sort: 'p50', show: ms },
  { key: 'p95_duration_ms', title: 'p95', number: true, sort: 'p95', show: ms },
  { key: 'p95_change', title: 'p95 change', number: true, sort: 'slower', show: (value) => html`<${Change} value=${value} good="down" />` },
  { key: 'p99_duration_ms', title: 'p99', number: true, sort: 'p99', show: ms },
  { key: 'response_bytes', title: 'answers', number: true, sort: 'answers', show: bytes },
]

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
        { key: 'context_bytes', title: 'in the context', number: true, show: bytes, bar: true }, { key: 'listing_count', title: 'lists', number: true, show: count },
        { key: 'last_listed', title: 'last listed', show: (/** @type {string} */ value) => time(value, false) }]} more=${unused.rows && unused.rows.length > 50 && html`<p class="muted">${count(unused.rows.length - 50)} more are in the CSV.</p>`} /><//>
    <${Panel} title="Called and never listed" half of=${unknown} note="made up by a model, or taken away" empty="No tool was called that its bundle's lists do not have.">
      <${Table} title="Called and never listed" rows=${(unknown.rows ?? []).slice(0, 50)} columns=${[name,
        { key: 'call_count', title: 'calls', number: true, show: count, bar: true }, { key: 'error_count', title: 'failed', number: true, show: count }]} more=${unknown.rows && unknown.rows.length > 50 && html`<p class="muted">${count(unknown.rows.length - 50)} more are in the CSV.</p>`} /><//></div>`
}
