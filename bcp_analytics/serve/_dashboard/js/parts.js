// What pages are made of: panels, tables, tiles, and what is said where there is nothing or something failed.
import { html, useLayoutEffect, useRef, useState } from './lib.js'
import { change, count, cut, plural, visible } from './format.js'
import { csvOf, csvText, sqlOf } from './api.js'
import { go, here, href, param, said, say } from './state.js'
import { renew } from './live.js'

/** @param {string} [bundle] @param {string | null} [tool] */
export const nameOf = (bundle, tool) => [bundle, tool].filter(Boolean).join('.') || 'all calls'

/** @param {{ error: any }} props */
export function Failed({ error }) {
  return html`<div class="failed" role="alert"><b>${error.message}</b>${error.hint && html` <span>${error.hint}</span>`}
    <button class="quiet" onclick=${renew}>Ask again</button></div>`
}

/** @param {{ children: any }} props */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`

/**
 * A part of a page about one question: its title, its rows, the SQL for them and the CSV.
 * @param {{ title: string, note?: any, of?: any, empty?: any, wide?: boolean, half?: boolean, children?: any, tools?: any,
 *   id?: string, keep?: boolean }} props
 */
export function Panel({ title, note, of, empty, wide, half, children, tools, id, keep }) {
  const known = !of || of.rows !== null
  const none = of && of.rows && of.rows.length === 0 && empty !== undefined && !keep
  return html`
    <section class=${['panel', wide && 'wide', half && 'half', of?.loading && 'loading'].filter(Boolean).join(' ')} id=${id} aria-label=${title} aria-busy=${Boolean(of?.loading)}>
      <header><h2>${title}${note && html` <small>${note}</small>`}</h2>
        <div class="tools">${tools}${of?.asked && html`<${Get} asked=${of.asked} title=${title} />`}${of?.own && html`<${GetOwn} ...${of.own} title=${title} />`}</div></header>
      ${of?.error && html`<${Failed} error=${of.error} />`}
      ${known ? none ? html`<${Empty}>${empty}<//>` : children : !of.error && html`<p class="wait" aria-hidden="true"></p>`}
    </section>`
}

/** @param {{ asked: any, title: string }} props */
function Get({ asked, title }) {
  const [sql, setSql] = useState('')
  const show = () => sqlOf(asked).then(setSql, (error) => say(error.message))
  return html`<button class="quiet" onclick=${show} title="The same rows in psql">SQL<span class="sr"> of ${title}</span></button>
    <a class="quiet" href=${csvOf(asked)} download=${`${asked.name}.csv`} title="All rows as CSV">CSV<span class="sr"> of ${title}</span></a>
    ${sql && html`<${Dialog} title=${`${title}, as SQL`} close=${() => setSql('')}><${Copy} text=${sql} /><//>`}`
}

/** @param {{ title: string, sql?: string, rows: any[] }} props  The same of rows that are no answer of a question. */
function GetOwn({ title, sql, rows }) {
  const [open, setOpen] = useState(false)
  const save = () => {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([csvText(rows)], { type: 'text/csv' }))
    link.download = `${title.toLowerCase().replaceAll(' ', '_')}.csv`
    link.click()
    URL.revokeObjectURL(link.href)
  }
  return html`${sql && html`<button class="quiet" onclick=${() => setOpen(true)} title="The same rows in psql">SQL<span class="sr"> of ${title}</span></button>`}
    <button class="quiet" onclick=${save} title="All rows as CSV">CSV<span class="sr"> of ${title}</span></button>
    ${open && html`<${Dialog} title=${`${title}, as SQL`} close=${() => setOpen(false)}><${Copy} text=${sql ?? ''} /><//>`}`
}

/** @param {{ text: string, label?: string }} props  Text to be copied. */
export function Copy({ text, label = 'Copy' }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null))
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say('Copied.')
    } catch {
      // A page without TLS may not: then it is selected, to be copied by hand.
      if (box.current) getSelection()?.selectAllChildren(box.current)
      say('Selected: press Ctrl+C.')
    }
  }
  return html`<div class="copy"><pre ref=${box} tabindex="0">${text}</pre><button onclick=${copy}>${label}</button></div>`
}

/** @param {{ title: string, close: () => void, children: any, wide?: boolean }} props */
export function Dialog({ title, close, children, wide }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null))
  useLayoutEffect(() => {
    box.current?.showModal()
  }, [])
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-label=${title} onclose=${close}
    onclick=${(/** @type {any} */ e) => { if (e.target === box.current) box.current?.close() }}>
    <header><h2>${title}</h2><button class="quiet" onclick=${() => box.current?.close()}>Close</button></header>${children}
    ${said.value && html`<p role="status">${said.value}</p>`}</dialog>`
}

/** @param {{ value: number | null | undefined, good?: 'up' | 'down' | '' }} props  A change on the period before. */
export function Change({ value, good = '' }) {
  if (value === null || value === undefined) return ''
  const flat = Math.abs(value) < 0.005
  const tone = flat || !good ? '' : (value > 0) === (good === 'up') ? 'is-ok' : 'is-fail'
  return html`<span class=${`change ${tone}`} title="compared with the period before">${change(value)}</span>`
}

/** @param {{ state: string | null, children?: any }} props */
export const Badge = ({ state, children }) =>
  html`<span class=${`badge is-${String(state).replace(/[^a-z_]/g, '')}`}>${children ?? visible(state)}</span>`

/**
 * @typedef {{ key: string, title: string, show?: (value: any, row: any) => any, number?: boolean, sort?: string,
 *   bar?: boolean, long?: boolean, wrap?: boolean }} Column
 * @param {{ title: string, columns: Column[], rows: any[], link?: (row: any) => string, sort?: string, up?: boolean,
 *   id?: (row: any) => unknown, more?: any }} props  Rows as a table; on a narrow screen each row is a block.
 */
export function Table({ title, columns, rows, link, sort, up, id, more }) {
  const most = Object.fromEntries(columns.filter((c) => c.bar).map((c) => [c.key, Math.max(0, ...rows.map((row) => row[c.key] ?? 0))]))
  return html`<div class="scroll"><table aria-label=${title}>
    <thead><tr>${columns.map((c) => html`<th scope="col" key=${c.key} class=${c.number ? 'number' : ''}
      aria-sort=${c.sort && c.sort === sort ? up ? 'ascending' : 'descending' : undefined}>
      ${c.sort ? html`<a href=${here({ sort: c.sort, up: c.sort === sort && !up ? 'yes' : null, page: null })}>${c.title}<span aria-hidden="true">${c.sort === sort ? up ? ' ↑' : ' ↓' : ''}</span></a>` : c.title}</th>`)}</tr></thead>
    <tbody>${rows.map((row, i) => html`<tr key=${id ? id(row) : i}>${columns.map((c, n) => {
      const value = row[c.key]
      const shown = c.show ? c.show(value, row) : value === null || value === undefined ? '–' : cut(value)
      const bar = c.bar && most[c.key] > 0 ? { '--bar': (value ?? 0) / most[c.key] } : undefined
      return html`<td key=${c.key} data-heading=${c.title} style=${bar}
        class=${[c.number ? 'number' : 'text', c.long && 'long', bar && 'bar'].filter(Boolean).join(' ')}>${link && n === 0 ? html`<a class="row" href=${link(row)}>${shown}</a>` : shown}</td>`
    })}</tr>`)}</tbody></table></div>${more}`
}

/** @param {{ row: any, of?: Record<string, unknown> }} props  The name of a tool, which leads to its page. */
export const ToolName = ({ row, of = {} }) => html`<a href=${href('/tool', { bundle: row.bcp_name, tool: row.tool_name, ...of })}
  title=${visible(nameOf(row.bcp_name, row.tool_name)).slice(0, 500)}><span class="muted">${cut(row.bcp_name, 30)}.</span><wbr />${cut(row.tool_name, 60)}</a>`

/** @param {string} text @param {number} most  A name that breaks between its words, where there is no room for it. */
export const broken = (text, most) => cut(text, most).split(/(?<=[._-])/).map((part) => html`${part}<wbr />`)

/** How a name reads that nobody gave, where it is a link. */
export const none = 'not given'

/** @param {number} value @param {any} row  How many errors an issue has, which leads to them. */
export const errorCount = (value, row) => html`<a href=${href('/issue', { id: row.fingerprint })}>${count(value)}</a>`

/** @param {number} value @param {any} row  How many lists name a tool, which leads to them. No filter but the bundle counts. */
export const listings = (value, row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, lists: 'yes', client: null, release: null })}>${count(value)}</a>`

/** @param {{ page: number, size: number, count: number, total?: number | null }} props */
export function Pages({ page, size, count: shown, total }) {
  const first = page * size
  if (page === 0 && shown < size) return null
  return html`<nav class="pages" aria-label="More rows">
    ${page > 0 ? html`<a href=${here({ page: page - 1 || null })} rel="prev">Previous</a>` : html`<span class="muted">Previous</span>`}
    <span>${first + 1} to ${first + shown}${total ? ` of ${plural(total, 'row')}` : ''}</span>
    ${shown === size && (!total || first + shown < total) ? html`<a href=${here({ page: page + 1 })} rel="next">Next</a>` : html`<span class="muted">Next</span>`}</nav>`
}

/** @param {{ label: string, name?: string }} props  A field that searches in this page's list. */
export function Search({ label, name = 'q' }) {
  const value = param(name) ?? ''
  const timer = useRef(0)
  const input = (/** @type {any} */ event) => {
    clearTimeout(timer.current)
    const text = event.target.value
    timer.current = window.setTimeout(() => go(here({ [name]: text || null, page: null }), true), 250)
  }
  return html`<label class="search"><span class="sr">${label}</span><input type="search" placeholder=${label} value=${value} oninput=${input} data-search /></label>`
}

/** @param {{ value: unknown }} props  A document as it is stored: text, and nothing else. */
export function Json({ value }) {
  if (value === null || value === undefined) return html`<p class="empty">Not given.</p>`
  const line = typeof value === 'string' ? value : JSON.stringify(value)
  const text = typeof value === 'string' || line.length < 90 ? line : JSON.stringify(value, null, 2)
  return html`<pre class="json" tabindex="0">${visible(text)}</pre>`
}

/** @param {{ pairs: [string, any][] }} props */
export const Facts = ({ pairs }) => html`<dl class="facts">${pairs.filter(([, value]) => value !== null && value !== undefined && value !== '')
  .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${typeof value === 'string' ? visible(value) : value}</dd></div>`)}</dl>`
