// What stands round every page: the way in, the pages, the range and filters, the pill, and the keys.
import { computed, effect, html, signal, useEffect, useState } from './lib.js'
import { cut, plural, time } from './format.js'
import { RANGES, compares, go, here, href, me, param, range, route, said, say } from './state.js'
import { away, send, useView } from './api.js'
import { alerts, link } from './live.js'
import { nextTheme, theme } from './theme.js'
import { Dialog } from './parts.js'

/** By key after g: path and title. */
export const PAGES = /** @type {[string, string, string][]} */ ([
  ['o', '/', 'Overview'], ['l', '/live', 'Live'], ['t', '/tools', 'Tools'], ['e', '/errors', 'Errors'],
  ['s', '/sessions', 'Sessions'], ['p', '/people', 'People'], ['c', '/context', 'Context'], ['a', '/alerts', 'Alerts'],
  ['h', '/health', 'Health'], ['u', '/setup', 'Setup'],
])
const OF = { '/tool': '/tools', '/issue': '/errors', '/session': '/sessions' }

const help = signal(false)
const clock = signal(Date.now())
setInterval(() => { if (!document.hidden) clock.value = Date.now() }, 1000)

const pill = computed(() => {
  if (away.value !== null) return { tone: 'bad', text: `Database away since ${time(new Date(away.value))}` }
  const { how, at } = link.value
  if (how === 'live') return { tone: 'good', text: 'Live' }
  if (how === 'polling') return { tone: 'good', text: `Every ${at / 1000} s` }
  if (how === 'waiting') {
    return { tone: 'warn', text: `Reconnecting in ${Math.max(0, Math.ceil((at - clock.value) / 1000))} s` }
  }
  return { tone: 'muted', text: 'Connecting' }
})

function Pill() {
  const { tone, text } = pill.value
  // Only what it says of itself is read out, and not each second of it.
  return html`<span class=${`pill ${tone}`} title="How fresh the figures are"><i aria-hidden="true"></i><span role="status">${text.replace(/ in \d+ s$/, '')}</span>${/ in \d+ s$/.exec(text)?.[0] ?? ''}</span>`
}

/** @param {{ name: string, label: string, values: string[], none?: boolean }} props  `none` where calls may have none. */
function Choice({ name, label, values, none }) {
  const value = param(name)
  const named = values.filter(Boolean)
  const all = [...value && !named.includes(value) ? [value] : [], ...named, ...none || value === '' ? [''] : []]
  // Of the empty one is any, so the others begin with a sign.
  return html`<select aria-label=${label} disabled=${!all.length} value=${value === null ? '' : `=${value}`} onchange=${(/** @type {any} */ e) => go(here({ [name]: e.target.value ? e.target.value.slice(1) : null, page: null }))}>
    <option value="">${`Any ${label}`}</option>${all.map((one) => html`<option key=${one} value=${`=${one}`} title=${one ? cut(one, 300) : null}>${one ? cut(one, 40) : `No ${label} given`}</option>`)}</select>`
}

function Range() {
  const [custom, setCustom] = useState(false)
  const now = range()
  const chosen = now.name in RANGES ? now.name : 'custom'
  const choose = (/** @type {any} */ event) => {
    if (event.target.value === 'custom') {
      setCustom(true)
      event.target.value = chosen
    } else go(here({ range: event.target.value === '24h' ? null : event.target.value, from: null, to: null, page: null }))
  }
  return html`<select aria-label="Range" value=${chosen} onchange=${choose}>
      ${Object.entries(RANGES).map(([name, text]) => html`<option key=${name} value=${name}>Last ${text}</option>`)}
      <option value="custom">${now.name === 'custom' ? `${time(now.since, false)} to ${time(now.until, false)}` : chosen === 'custom' ? `Last ${now.name}` : 'Custom…'}</option></select>
    ${chosen === 'custom' && html`<a class="quiet" href=${here({ range: null, from: null, to: null })}>24 h</a>`}
    ${custom && html`<${Custom} close=${() => setCustom(false)} />`}`
}

/** @param {{ close: () => void }} props */
function Custom({ close }) {
  const local = (/** @type {number} */ at) => new Date(at - 60_000 * new Date(at).getTimezoneOffset()).toISOString().slice(0, 16)
  const now = range()
  const until = now.name === 'custom' ? Date.parse(now.until) : Date.now()
  const [from, setFrom] = useState(local(until - now.length))
  const [to, setTo] = useState(local(until))
  const bad = !(Date.parse(from) < Date.parse(to))
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    if (bad) return
    go(here({ range: null, from: new Date(from).toISOString(), to: new Date(to).toISOString(), page: null }))
    close()
  }
  return html`<${Dialog} title="Range" close=${close}><form class="fields" onsubmit=${submit}>
    <label>From <input type="datetime-local" value=${from} oninput=${(/** @type {any} */ e) => setFrom(e.target.value)} required /></label>
    <label>To <input type="datetime-local" value=${to} oninput=${(/** @type {any} */ e) => setTo(e.target.value)} required /></label>
    ${bad && html`<p class="is-fail" role="alert">The end must come after the beginning.</p>`}
    <button disabled=${bad}>Show</button></form><//>`
}

function Filters() {
  const { since, until } = range()
  const choices = useView('choices', { since, until, limit: 200 }, { pace: 'never' })
  const releases = useView('releases', { since, until, limit: 50 }, { pace: 'never' })
  const names = (/** @type {string} */ kind) => (choices.rows ?? []).filter((row) => row.kind === kind).map((row) => row.name)
  return html`<div class="filters" role="search" aria-label="Range and filters"><${Range} />
    <label class="check"><input type="checkbox" checked=${compares()} onchange=${(/** @type {any} */ e) => go(here({ compare: e.target.checked ? null : 'off' }))} />compare</label>
    <${Choice} name="bundle" label="bundle" values=${names('bundle')} />
    <${Choice} name="client" label="client" values=${names('client')} none />
    <${Choice} name="release" label="release" values=${[...new Set((releases.rows ?? []).map((row) => row.release))]} none /></div>`
}

async function leave() {
  await send('DELETE', '/v1/session').catch(() => null)
  me.value = null
}

/** @param {{ children: any }} props */
export function Shell({ children }) {
  const { path } = route.value
  const current = OF[path] ?? path
  const open = alerts.value?.open?.length ?? 0
  // On a phone there is no room for all of them.
  useEffect(() => document.querySelector('.top nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }), [current, open])
  return html`<a class="skip" href="#main" onclick=${(/** @type {any} */ e) => { e.preventDefault(); document.getElementById('main')?.focus() }}>To the content</a>
    <header class="top"><a class="brand" href=${href('/')}>bcp<span>_analytics</span></a>
      <nav aria-label="Pages">${PAGES.map(([key, to, title]) => html`<a key=${to} href=${href(to)} aria-current=${to === current ? 'page' : undefined} title=${`${title} (g ${key})`}>${title}${to === '/alerts' && open > 0 && html`<b class="count" aria-label=${plural(open, 'open alert')}>${open}</b>`}</a>`)}</nav>
      <div class="me"><${Pill} /><button class="quiet" onclick=${nextTheme} title="Theme: as the system, light, dark">${`Theme: ${theme.value}`}</button>
        <button class="quiet" onclick=${() => { help.value = true }} title="Keys (?)">?<span class="sr"> Keys</span></button>
        <button class="quiet" onclick=${leave} title=${`Logged in as ${me.value?.name}, ${me.value?.role}`}>Log out</button></div></header>
    ${path !== '/setup' && path !== '/live' && html`<${Filters} />`}
    <main id="main" tabindex="-1" class=${away.value !== null ? 'old' : ''}>${children}</main>
    <footer class="foot">Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}. Percentiles are within 1 % of exact. Everything is as stored: masked.</footer>
    <${Said} />${help.value && html`<${Help} />`}`
}

export const Said = () => html`<div class="said" role="status">${said.value && html`<p>${said.value}</p>`}</div>`

function Help() {
  const keys = [['/', 'search, or the first filter'], ['j  k', 'next and previous row'], ['Enter', 'open the row'], ['?', 'this'],
    ...PAGES.map(([key, , title]) => [`g ${key}`, title])]
  return html`<${Dialog} title="Keys" close=${() => { help.value = false }}><dl class="keys">${keys.map(([key, what]) =>
    html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <p class="muted">On a chart: the arrow keys move its cursor, Enter opens the calls there. Drag over it to look closer.</p><//>`
}

let before = ''
/** @param {number} step */
function moveRow(step) {
  // A row is what its first cell leads to.
  const rows = [...document.querySelectorAll('main a.row, main tbody td:first-child a')]
  if (!rows.length) return
  const at = rows.indexOf(/** @type {Element} */ (document.activeElement))
  const next = /** @type {HTMLElement} */ (rows[Math.min(rows.length - 1, Math.max(0, at + step))])
  next.focus()
  next.scrollIntoView({ block: 'nearest' })
}

addEventListener('keydown', (event) => {
  const target = /** @type {HTMLElement} */ (event.target)
  if (event.ctrlKey || event.metaKey || event.altKey || !me.value || document.querySelector('dialog[open]')) return
  if (target.matches?.('input, select, textarea')) {
    if (event.key === 'Escape') target.blur()
    return
  }
  const page = before === 'g' && PAGES.find(([key]) => key === event.key)
  before = event.key
  if (page) go(href(page[1]))
  else if (event.key === 'j') moveRow(1)
  else if (event.key === 'k') moveRow(-1)
  else if (event.key === '?') help.value = true
  else if (event.key === '/') /** @type {HTMLElement | null} */ (document.querySelector('[data-search]') ?? document.querySelector('.filters select'))?.focus()
  else return
  event.preventDefault()
})

export function Login() {
  const [token, setToken] = useState('')
  const [error, setError] = useState(/** @type {any} */ (null))
  const [busy, setBusy] = useState(false)
  useEffect(() => document.getElementById('token')?.focus(), [])
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    setBusy(true)
    try {
      me.value = await send('POST', '/v1/session', { token: token.trim() })
    } catch (problem) {
      setError(problem)
      setBusy(false)
    }
  }
  return html`<main class="login"><form onsubmit=${submit} class="panel">
    <h1 class="brand">bcp<span>_analytics</span></h1>
    <p>What your tools do, live, from your own database.</p>
    <label for="token">Token</label>
    <input id="token" type="password" autocomplete="current-password" spellcheck=${false} value=${token} required
      oninput=${(/** @type {any} */ e) => setToken(e.target.value)} aria-describedby="token-help" aria-invalid=${Boolean(error)} />
    ${error && html`<p class="is-fail" role="alert">${error.status === 403 ? 'A token that only sends events cannot look at them: use one of the role reader or admin.' : error.message}</p>`}
    <button disabled=${busy}>Log in</button>
    <p id="token-help" class="muted">A token of the role <b>admin</b> or <b>reader</b>. To make one, run:</p>
    <pre tabindex="0">bcp-analytics token create me --role admin</pre>
    <p class="muted">It stays out of the page: the browser keeps a session that no script can read, for half a day.</p></form></main>`
}

effect(() => {
  const found = PAGES.find(([, path]) => path === (OF[route.value.path] ?? route.value.path))
  document.title = `${found ? `${found[2]} · ` : ''}bcp_analytics`
})

/** @param {() => Promise<unknown>} act @param {string} done  Does something that only administrators may. */
export async function attempt(act, done) {
  try {
    await act()
    say(done)
    return true
  } catch (error) {
    const refused = /** @type {any} */ (error)
    say(refused.status === 403 ? 'This needs a token of the role admin; yours is of the role reader.' : `${refused.message} ${refused.hint ?? ''}`)
    return false
  }
}
