// Numbers, times and texts as people read them. Nothing here knows the page.

const whole = new Intl.NumberFormat('en')
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const NONE = '–'

/** @param {number | null | undefined} value */
export function count(value) {
  if (value === null || value === undefined) return NONE
  return Number.isInteger(value) ? whole.format(value) : three.format(value)
}

/** @param {number | null | undefined} value  A count in little room. */
export function short(value) {
  if (value === null || value === undefined) return NONE
  if (Math.abs(value) < 1e5) return count(value)
  const [unit, divisor] = value >= 1e9 ? ['G', 1e9] : value >= 1e6 ? ['M', 1e6] : ['k', 1e3]
  return `${three.format(value / divisor)} ${unit}`
}

/** @param {number | null | undefined} value  From 0 to 1: never 100 % where it is not all. */
export function percent(value) {
  if (value === null || value === undefined) return NONE
  const share = 100 * value
  if (share === 0 || share === 100) return `${share} %`
  if (share > 99.99) return '> 99.99 %'
  if (share < 0.01) return '< 0.01 %'
  const digits = share > 99 || share < 1 ? 2 : 1
  return `${(Math.floor(share * 10 ** digits) / 10 ** digits).toFixed(digits)} %`
}

/** @param {number | null | undefined} value  Milliseconds. */
export function ms(value) {
  if (value === null || value === undefined) return NONE
  const sign = value < 0 ? '−' : ''
  const size = Math.abs(value)
  if (size < 1) return size === 0 ? '0 ms' : `${sign}${size.toPrecision(2)} ms`
  if (size < 999.5) return `${sign}${size < 10 ? size.toFixed(1) : Math.round(size)} ms`
  if (size < 59_950) return `${sign}${(size / 1000).toFixed(size < 10_000 ? 2 : 1)} s`
  const seconds = Math.round(size / 1000)
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)} min ${seconds % 60} s`
  if (size < 172_800_000) return `${sign}${(size / 3_600_000).toFixed(1)} h`
  return `${sign}${count(Math.round(size / 86_400_000))} days`
}

/** @param {string} value  An interval as PostgreSQL writes it, of which 01:30:00 is an hour and a half. */
export function span(value) {
  const clock = /^(\d\d):(\d\d):(\d\d)$/.exec(value)
  if (!clock) return value
  return ['h', 'min', 's'].map((unit, at) => Number(clock[at + 1]) && `${Number(clock[at + 1])} ${unit}`).filter(Boolean).join(' ') || '0 s'
}

/** @param {number} value  Milliseconds beside an axis. */
export const msTick = (value) => value < 1000 ? `${three.format(value)} ms` : `${three.format(value / 1000)} s`

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return NONE
  for (const [unit, size] of /** @type {[string, number][]} */ ([['GB', 1e9], ['MB', 1e6], ['kB', 1e3]])) {
    if (value >= size) return `${three.format(value / size)} ${unit}`
  }
  return `${whole.format(value)} B`
}

/** @param {number | null | undefined} value  A share of the value before: 0.5 is half as much again. */
export function change(value) {
  if (value === null || value === undefined) return ''
  if (value >= 9) return `${three.format(value + 1)} times`
  const rounded = Math.round(value * 100)
  return rounded === 0 ? '±0 %' : `${rounded > 0 ? '+' : '−'}${Math.abs(rounded)} %`
}

/** @param {number} number @param {string} one @param {string} [many] */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const hours = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const year = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })

/** @param {Date} at */
export const day = (at) => days.format(at)
/** @param {Date} at */
export const minutes = (at) => hours.format(at)

/** @param {string | Date | null | undefined} value @param {boolean} [seconds] */
export function time(value, seconds = true) {
  if (!value) return NONE
  const at = new Date(value)
  if (Number.isNaN(at.getTime())) return NONE
  const now = new Date()
  const hour = (seconds ? clock : hours).format(at)
  if (at.toDateString() === now.toDateString()) return hour
  return `${(at.getFullYear() === now.getFullYear() ? days : year).format(at)} ${hour}`
}

/** @param {Date} at @param {number} interval  Milliseconds of a bucket. */
export function bucket(at, interval) {
  if (interval >= 86_400_000) return year.format(at)
  return `${day(at)} ${minutes(at)}`
}

/** @param {string | null | undefined} value */
export function ago(value) {
  if (!value) return NONE
  const seconds = Math.max(0, (Date.now() - new Date(value).getTime()) / 1000)
  if (seconds < 5) return 'now'
  if (seconds < 90) return `${Math.round(seconds)} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} days ago`
}

// What nobody sees and what may reorder text, as in bcp_analytics/_render/visible.py.
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/g

/** @param {unknown} value  A text of an event, with such characters shown. */
export function visible(value) {
  return String(value).replace(HIDDEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** @param {unknown} value @param {number} [most]  The same, cut: a name may have 4,000 characters. */
export function cut(value, most = 80) {
  const text = visible(value)
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}

export const METRICS = {
  avg_duration_ms: { title: 'mean duration', show: ms },
  success_rate: { title: 'success rate', show: percent },
  error_rate: { title: 'error rate', show: percent },
  throughput: { title: 'calls a minute', show: count },
  burn_rate: { title: 'times the error budget', show: count },
}

/** @param {string} metric @param {number} value */
export function showMetric(metric, value) {
  const found = METRICS[metric]
  return found ? found.show(value) : count(value)
}
