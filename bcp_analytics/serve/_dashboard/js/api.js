// Asks the server: all that a page needs in one request, and each panel gets its answer as it comes.
import { visible } from './format.js'
import { signal, useEffect, useState } from './lib.js'
import { me, lengthOf } from './state.js'

export class Failure extends Error {
  /** @param {number} status @param {string} message @param {string} [hint] */
  constructor(status, message, hint = '') {
    super(message)
    this.status = status
    this.hint = hint
  }
}

/** Grow when there is something new: the sooner, the less it costs to ask. */
export const moved = { fast: signal(0), medium: signal(0), slow: signal(0), never: signal(0) }
/** @typedef {keyof typeof moved} Pace */
/** How long the last answers of a pace took, in milliseconds. */
export const took = { fast: 0, medium: 0, slow: 0, never: 0 }
/** Since when the database cannot be reached, as far as requests tell. */
export const away = signal(/** @type {number | null} */ (null))

/** @param {Response} answer */
async function failure(answer) {
  if (answer.status === 401) me.value = null
  let error
  try {
    error = (await answer.json()).error
  } catch {
    error = { message: `The server answered ${answer.status}.` }
  }
  return new Failure(answer.status, error.message, error.hint)
}

/** @param {string} method @param {string} path @param {unknown} [body] */
export async function send(method, path, body) {
  let answer
  try {
    answer = await fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch {
    throw new Failure(0, 'The server cannot be reached.', 'Check that bcp-analytics serve runs.')
  }
  if (!answer.ok) throw await failure(answer)
  const text = await answer.text()
  return text ? (answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text) : null
}

/** @typedef {{ of: string, name: string, takes: Record<string, unknown> }} Asked */

const MOST = 40
// Until a question that could not be answered is asked again, in milliseconds.
const AGAIN = 2000
let waiting = /** @type {{ asked: Asked, pace: Pace, dropped: AbortSignal, done: (rows: any[]) => void, failed: (error: unknown) => void }[]} */ ([])

/** @param {Asked} asked @param {Pace} pace @param {AbortSignal} dropped  Says that nobody wants it any more. @returns {Promise<any[]>} */
function ask(asked, pace, dropped) {
  return new Promise((done, failed) => {
    waiting.push({ asked, pace, dropped, done, failed })
    if (waiting.length === 1) setTimeout(flush, 0)
  })
}

function flush() {
  // Four are answered at a time, and what is to be shown first is among the first of them.
  const paces = Object.keys(moved)
  const all = waiting.filter((one) => !one.dropped.aborted).sort((one, other) => paces.indexOf(one.pace) - paces.indexOf(other.pace))
  waiting = []
  for (let at = 0; at < all.length; at += MOST) void sendBatch(all.slice(at, at + MOST))
}

/** @param {typeof waiting} batch */
async function sendBatch(batch) {
  const begun = performance.now()
  const stop = new AbortController()
  const wanted = new Set(batch)
  for (const one of batch) {
    one.dropped.addEventListener('abort', () => {
      if (!wanted.delete(one)) return
      // It takes at least as long, so that it is not given up each time that it is asked again.
      took[one.pace] = Math.max(took[one.pace], performance.now() - begun)
      // Nobody waits for an answer any more, so the server ends its statements.
      if (wanted.size === 0) stop.abort()
    })
  }
  try {
    const answer = await fetch('/v1/batch', { method: 'POST', body: JSON.stringify(batch.map((one) => one.asked)), signal: stop.signal })
    if (!answer.ok || !answer.body) throw await failure(answer)
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      const lines = (rest + value).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const settled = JSON.parse(line)
        took[batch[settled.at].pace] = performance.now() - begun
        wanted.delete(batch[settled.at])
        settle(batch, settled)
      }
    }
    throw new Failure(0, 'The answer ended early.', 'It is asked again by itself.')
  } catch (error) {
    const known = error instanceof Failure ? error : new Failure(0, 'The server cannot be reached.')
    if (known.status === 503) note(true)
    // To reject what is settled does nothing.
    for (const one of batch) one.failed(known)
  }
}

/** @param {typeof waiting} batch @param {any} answer */
function settle(batch, answer) {
  const one = batch[answer.at]
  if (answer.error) {
    if (answer.status === 503) note(true)
    one.failed(new Failure(answer.status, answer.error.message, answer.error.hint))
  } else {
    note(false)
    one.done(answer.rows)
  }
}

/** @param {boolean} isAway */
function note(isAway) {
  if (!isAway) away.value = null
  else away.value ??= Date.now()
}

/** @param {Asked} asked  Without what is not given. An empty text asks for what names none. */
function plain(asked) {
  const takes = Object.entries(asked.takes).filter(([, value]) => value !== null && value !== undefined)
  return { ...asked, takes: Object.fromEntries(takes) }
}

/**
 * The rows of a question or view, which are asked again as `pace` says. What was there stays while it is asked.
 * @param {string} name @param {Record<string, unknown>} takes
 * @param {{ of?: string, skip?: boolean, pace?: Pace }} [options]
 */
export function useAsk(name, takes, { of = 'query', skip = false, pace = 'slow' } = {}) {
  const asked = plain({ of, name, takes })
  return { asked, ...useRows(skip ? '' : JSON.stringify(asked), (dropped) => ask(asked, pace, dropped), pace) }
}

/**
 * The same of a path that is neither, which a panel can show no SQL of. What changes while somebody types is sent when
 * they pause.
 * @param {string} method @param {string} path @param {unknown} [body]
 * @param {{ skip?: boolean, pace?: Pace, pause?: number }} [options]
 */
export function useSent(method, path, body, { skip = false, pace = 'slow', pause = 0 } = {}) {
  return useRows(skip ? '' : JSON.stringify([method, path, body]), () => send(method, path, body), pace, pause)
}

/** @param {string} key @param {(dropped: AbortSignal) => Promise<any[]>} get @param {Pace} pace @param {number} [pause] */
function useRows(key, get, pace, pause = 0) {
  const [state, set] = useState({ key: '', rows: /** @type {any[] | null} */ (null), error: /** @type {any} */ (null) })
  const [tries, again] = useState(0)
  const tick = moved[pace].value
  useEffect(() => {
    if (!key) return undefined
    let wanted = true
    let timer = 0
    const stop = new AbortController()
    const begin = () => void get(stop.signal).then(
      (rows) => { if (wanted) set({ key, rows, error: null }) },
      (error) => {
        if (!wanted) return
        set((before) => ({ ...before, key, error }))
        // What nobody could answer for now is asked again by itself.
        if (error.status === 503 || error.status === 0) timer = window.setTimeout(() => { if (!document.hidden) again((n) => n + 1) }, AGAIN)
      },
    )
    if (pause) timer = window.setTimeout(begin, pause)
    else begin()
    return () => {
      wanted = false
      stop.abort()
      clearTimeout(timer)
    }
  }, [key, tick, tries])
  return { rows: state.rows, error: state.error, loading: key !== '' && state.key !== key }
}

/** @param {string} name @param {Record<string, unknown>} takes @param {{ skip?: boolean, pace?: any }} [options] */
export const useView = (name, takes, options = {}) => useAsk(name, takes, { ...options, of: 'views' })

/** @param {Asked} asked */
export function csvOf({ of, name, takes }) {
  const query = new URLSearchParams({ ...takes, format: 'csv', spreadsheet: 'true' })
  return `/v1/${of}/${name}?${query}`
}

// What a spreadsheet takes for a formula, as in bcp_analytics/_render/tables.py.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/

/** @param {any[]} rows  As CSV, in which a spreadsheet finds no formula: as the server writes it. */
export function csvText(rows) {
  const names = Object.keys(rows[0] ?? {})
  const field = (/** @type {any} */ value) => {
    const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
    const safe = typeof value === 'string' && FORMULA.test(text) ? `'${visible(text)}` : visible(text)
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => `${line.map(field).join(',')}\r\n`).join('')
}

const LISTS = new Set(['percentiles', 'bands', 'by'])
const TIMES = new Set(['since', 'until', 'at', 'before'])
const WORDS = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week', mo: 'month', y: 'year' }

/** @param {unknown} value */
function quote(value) {
  const text = String(value).replaceAll("'", "''")
  if (visible(text) === text && !/[\n\t]/.test(text)) return `'${text}'`
  // A terminal that it is pasted into would obey them: Ctrl-C ends the statement, and what follows is a command.
  return `E'${visible(text.replaceAll('\\', '\\\\')).replaceAll('\n', '\\n').replaceAll('\t', '\\t')}'`
}

/** @param {string} name @param {unknown} value  A value as SQL. */
function literal(name, value) {
  const text = String(value)
  if (TIMES.has(name)) {
    if (text === 'now') return 'now()'
    const length = lengthOf(text)
    if (!Number.isNaN(length)) return `now() - interval '${words(text)}'`
  }
  if (name === 'interval') return text === 'none' ? 'null' : quote(words(text))
  return LISTS.has(name) ? quote(`{${text}}`) : quote(text)
}

/** @param {string} text  24h as 24 hours. */
function words(text) {
  const found = /^(\d+)(mo|[smhdwy])$/.exec(text)
  return found ? `${found[1]} ${WORDS[found[2]]}${found[1] === '1' ? '' : 's'}` : text
}

let views = /** @type {Promise<any> | null} */ (null)

/** @param {Asked} asked @returns {Promise<string>}  What to run in psql for the same rows. */
export async function sqlOf({ of, name, takes }) {
  if (of === 'query') {
    const given = Object.entries(takes).map(([key, value]) => `p_${key} => ${literal(key, value)}`)
    const inside = given.join(',\n    ')
    return `select *\nfrom bcp.${name}(${inside ? `\n    ${inside}` : ''});`
  }
  views ??= send('GET', '/v1/views').catch((error) => {
    views = null
    throw error
  })
  const view = (await views)[name]
  const filled = view.sql.replace(/(?<!:):([a-z_]+)/g, (/** @type {string} */ _, /** @type {string} */ key) => {
    const value = takes[key] ?? { since: '24h', until: 'now', limit: 50, offset: 0, ascending: false, failed: false, begun: false, single: false }[key]
    const text = value === undefined ? 'null' : literal(key, value)
    const inBrackets = text.includes(' - ') ? `(${text})` : text
    return `${inBrackets}::${view.takes[key]}`
  })
  return `${filled};`
}
