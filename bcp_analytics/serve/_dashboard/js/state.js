// Where one is: everything that is shown follows from the URL.
import { signal } from './lib.js'

const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) })

export const route = signal(read())
/** Who is logged in: undefined until it is known, null where nobody is. */
export const me = signal(/** @type {{ name: string, role: string } | null | undefined} */ (undefined))
/** What is said for some seconds at the bottom of the page. */
export const said = signal('')

// These go along from page to page; all else belongs to one page.
const SHARED = ['range', 'from', 'to', 'bundle', 'client', 'release', 'compare']
export const RANGES = { '1h': '1 hour', '24h': '24 hours', '7d': '7 days', '30d': '30 days', '90d': '90 days' }

/** @param {string} name */
export const param = (name) => route.value.query.get(name)

/** @param {URLSearchParams} query @param {Record<string, unknown>} changes */
function changed(query, changes) {
  for (const [name, value] of Object.entries(changes)) {
    // An empty text stays: it asks for what names none.
    if (value === null || value === undefined || value === false) query.delete(name)
    else query.set(name, String(value))
  }
  const text = query.toString()
  return text ? `?${text}` : ''
}

/** @param {string} path @param {Record<string, unknown>} [own]  Another page, for the same range and filters. */
export function href(path, own = {}) {
  const query = new URLSearchParams()
  for (const name of SHARED) {
    const value = route.value.query.get(name)
    if (value !== null) query.set(name, value)
  }
  return path + changed(query, own)
}

/** @param {Record<string, unknown>} changes  This page, with other parameters. */
export function here(changes) {
  return route.value.path + changed(new URLSearchParams(route.value.query), changes)
}

/** @param {string} to @param {boolean} [replace] */
export function go(to, replace = false) {
  const moved = to.split('?')[0] !== location.pathname
  history[replace ? 'replaceState' : 'pushState'](null, '', to)
  route.value = read()
  if (moved) scrollTo(0, 0)
}

addEventListener('popstate', () => { route.value = read() })
addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = /** @type {Element} */ (event.target).closest?.('a[href^="/"]')
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute('download')) return
  event.preventDefault()
  go(link.getAttribute('href') ?? '/')
})

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** @param {string} text  Such as 24h. */
export function lengthOf(text) {
  const found = /^(\d{1,6})([mhdw])$/.exec(text)
  return found ? Number(found[1]) * UNITS[found[2]] : NaN
}

/**
 * The range: since and until as the server reads them, how long it is, and the period before. A relative one stays
 * relative, so that it moves on.
 */
export function range() {
  const from = Date.parse(param('from') ?? '')
  const to = Date.parse(param('to') ?? '')
  if (from < to) {
    const iso = (/** @type {number} */ at) => new Date(at).toISOString()
    const length = to - from
    const before = { since: iso(Math.max(from - length, -62_135_596_800_000)), until: iso(from) }
    return { name: 'custom', since: iso(from), until: iso(to), length, before }
  }
  const asked = param('range') ?? '24h'
  const length = lengthOf(asked)
  const name = length > 0 && length <= 50 * 366 * 86_400_000 ? asked : '24h'
  const number = parseInt(name, 10)
  const before = { since: `${2 * number}${name.at(-1)}`, until: name }
  return { name, since: name, until: 'now', length: lengthOf(name), before }
}

const STEPS = /** @type {[string, number][]} */ ([
  ['1m', 60_000], ['5m', 300_000], ['15m', 900_000], ['1h', 3_600_000], ['3h', 10_800_000], ['6h', 21_600_000],
  ['12h', 43_200_000], ['1d', 86_400_000], ['7d', 604_800_000], ['1mo', 30 * 86_400_000],
])

/** @param {number} length @param {number} [most]  The shortest interval that makes no more buckets than `most`. */
export function interval(length, most = 100) {
  const [name, size] = STEPS.find((step) => length <= step[1] * most) ?? STEPS[STEPS.length - 1]
  return { name, size }
}

/** @param {string[]} names  The filters of the URL, by the names of the questions' parameters. */
export function filters(...names) {
  const all = { bcp_name: param('bundle'), client_name: param('client'), release: param('release') }
  const found = {}
  for (const name of names) if (all[name] !== null) found[name] = all[name]
  return found
}

/** Whether any of the filters that go along is set. */
export const filtered = () => Object.keys(filters('bcp_name', 'client_name', 'release')).length > 0

export const compares = () => param('compare') !== 'off'
/** The name of the browser's time zone, by whose days and hours the store counts. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

let saying = 0
/** @param {string} text */
export function say(text) {
  said.value = text
  clearTimeout(saying)
  saying = window.setTimeout(() => { said.value = '' }, 6000)
}
