// The overview: how things are, what has changed, and where to look.
import { html } from './lib.js'
import { bytes, count, cut, ms, msTick, percent, plural, short, showMetric, time } from './format.js'
import { ZONE, compares, filtered, filters, go, here, href, interval, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { alerts, metric } from './live.js'
import { Chart, Spark } from './chart.js'
import { Badge, Change, Empty, Panel, Table, ToolName, errorCount, nameOf, none as notGiven } from './parts.js'

/** @param {any[] | null} rows  Buckets, which come latest first. */
export function inTime(rows) {
  const all = [...(rows ?? [])].reverse()
  return { all, times: all.map((row) => Date.parse(row.time_bucket) / 1000) }
}

/** @param {any[]} rows */
export function callSeries(rows) {
  const unknown = rows.map((row) => row.call_count - row.success_count - row.error_count)
  const series = [
    { name: 'succeeded', color: '--good', values: rows.map((row) => row.success_count) },
    { name: 'failed', color: '--bad', values: rows.map((row) => row.error_count) },
  ]
  return unknown.some((v) => v > 0) ? [...series, { name: 'not known', color: '--muted', values: unknown }] : series
}

/** @param {any[]} rows @param {any[]} [before]  The same buckets of the period before, in order. */
export function latencySeries(rows, before = []) {
  const series = ['p50', 'p95', 'p99'].map((name) =>
    ({ name, color: `--${name}`, values: rows.map((row) => row[`${name}_duration_ms`]) }))
  const old = rows.map((_, i) => before[i]?.p95_duration_ms ?? null)
  return old.some((v) => v !== null) ? [...series, { name: 'p95 before', color: '--muted', dash: true, values: old }] : series
}

export const zoom = (/** @type {Date} */ from, /** @type {Date} */ to) =>
  go(here({ range: null, from: from.toISOString(), to: to.toISOString(), page: null }))

/** @param {Record<string, unknown>} own */
export const openCalls = (own = {}) => (/** @type {Date} */ from, /** @type {Date} */ to) =>
  go(href('/calls', { ...own, range: null, from: from.toISOString(), to: to.toISOString() }))

/** @param {number | null | undefined} now @param {number | null | undefined} before */
const relative = (now, before) => now === null || now === undefined || !before ? null : now / before - 1

/** @param {number} difference  Of two shares. */
function points(difference) {
  const size = Math.abs(100 * difference).toFixed(1)
  return size === '0.0' ? '±0 points' : `${difference > 0 ? '+' : '−'}${size} points`
}

/** @param {{ title: string, value: string, to: string, values?: any[], tone?: string, now?: string, children?: any }} props */
function Tile({ title, value, to, values, tone, now, children }) {
  return html`<a class="tile" href=${to}><span>${title}</span><strong>${value}</strong><small>${children}</small>
    ${values && html`<${Spark} values=${values} tone=${tone} />`}${now && html`<em>${now}</em>`}</a>`
}

/** @param {{ rows: any[], totals: any, before: any, sessions: any, sessionsBefore: any, begun: number[], minutes: number }} props */
function Tiles({ rows, totals, before, sessions, sessionsBefore, begun, minutes }) {
  const live = Object.keys(filters('client_name', 'release')).length ? null
    : param('bundle') ? metric.value?.bundles.find((/** @type {any} */ row) => row.bcp_name === param('bundle')) : metric.value?.all
  const judged = totals.success_count + totals.error_count
  const judgedBefore = (before?.success_count ?? 0) + (before?.error_count ?? 0)
  const success = judged ? totals.success_count / judged : null
  const successBefore = judgedBefore ? before.success_count / judgedBefore : null
  const perMinute = totals.call_count / minutes
  return html`<section class="tiles" aria-label="Totals">
    <${Tile} title="Calls a minute" value=${perMinute > 0 && perMinute < 0.01 ? '< 0.01' : count(Number(perMinute.toPrecision(3)))} to=${href('/calls')} values=${rows.map((row) => row.call_count)} now=${live && `${count(live.calls)} in the last minute`}>
      <b data-total>${count(totals.call_count)}</b> ${totals.call_count === 1 ? 'call' : 'calls'} <${Change} value=${relative(totals.call_count, before?.call_count)} /><//>
    <${Tile} title="Success" value=${percent(success)} to=${href('/calls', { failed: 'true' })} tone="--bad" values=${rows.map((row) => row.error_count)} now=${live && live.success_rate !== null && `${percent(live.success_rate)} in the last minute`}>
      ${count(totals.error_count)} failed ${successBefore !== null && success !== null && html`<span class=${Math.abs(success - successBefore) < 0.0005 ? 'change' : `change ${success > successBefore ? 'is-ok' : 'is-fail'}`}>${points(success - successBefore)}</span>`}<//>
    <${Tile} title="p95 duration" value=${ms(totals.p95_duration_ms)} to=${href('/calls', { slow: Math.floor(totals.p95_duration_ms ?? 0) || 1 })} tone="--p95" values=${rows.map((row) => row.p95_duration_ms)} now=${live && live.p95_duration_ms !== null && `${ms(live.p95_duration_ms)} in the last minute`}>
      p50 ${ms(totals.p50_duration_ms)} <${Change} value=${relative(totals.p95_duration_ms, before?.p95_duration_ms)} good="down" /><//>
    <${Tile} title="Sessions" value=${short(sessions?.session_count ?? 0)} to=${href('/sessions', { begun: 'yes' })} values=${begun}>
      ${count(Number((sessions?.calls / (sessions?.session_count || 1) || 0).toPrecision(3)))} calls each <${Change} value=${relative(sessions?.session_count, sessionsBefore?.session_count)} /><//>
  </section>`
}

/** @param {any[] | null} rows  Sessions by client, as one. */
const added = (rows) => rows && rows.reduce((sum, row) =>
  ({ session_count: sum.session_count + row.session_count, calls: sum.calls + row.call_count }), { session_count: 0, calls: 0 })

/** @param {any[] | null} rows @param {number[]} times  Sessions that began in each bucket, of all clients. */
function inBuckets(rows, times) {
  const sums = new Map()
  for (const row of rows ?? []) {
    const at = Date.parse(row.time_bucket) / 1000
    sums.set(at, (sums.get(at) ?? 0) + row.session_count)
  }
  return times.map((at) => sums.get(at) ?? 0)
}

/** @param {any} row  What is worth saying about how a tool has changed. */
function Story({ row }) {
  const fell = (row.success_rate ?? 1) - (row.previous_success_rate ?? 1)
  return html`<ul class="story">
    ${Math.abs(row.call_change ?? 0) >= 0.25 && html`<li><${Change} value=${row.call_change} /> calls</li>`}
    ${Math.abs(row.p95_change ?? 0) >= 0.25 && html`<li>p95 <${Change} value=${row.p95_change} good="down" />, now ${ms(row.p95_duration_ms)}</li>`}
    ${Math.abs(fell) >= 0.01 && html`<li class=${fell < 0 ? 'is-fail' : 'is-ok'}>${percent(row.success_rate)} succeed, before ${percent(row.previous_success_rate)}</li>`}</ul>`
}

/** @param {any} row */
const tells = (row) => row.call_count >= 20 && row.previous_call_count >= 20 &&
  (Math.abs(row.call_change ?? 0) >= 0.25 || Math.abs(row.p95_change ?? 0) >= 0.25 || Math.abs((row.success_rate ?? 1) - (row.previous_success_rate ?? 1)) >= 0.01)

/** @param {{ since: string, until: string }} props */
function Changed({ since, until }) {
  const issues = useAsk('error_issues', { since, until, ...filters('bcp_name', 'release'), limit: 30 })
  const found = (issues.rows ?? []).filter((row) => row.state === 'new' || row.state === 'regressed').slice(0, 6)
  return html`<${Panel} title="New and regressed issues" half of=${issues} note="by how often">
    ${found.length ? html`<${Table} title="New and regressed issues" rows=${found} link=${(/** @type {any} */ row) => href('/issue', { id: row.fingerprint })} id=${(/** @type {any} */ row) => row.fingerprint} columns=${[
      { key: 'message', title: 'message', show: (/** @type {string} */ value) => cut(value, 90), long: true },
      { key: 'state', title: 'state', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
      { key: 'error_count', title: 'errors', number: true, show: errorCount }]} />` : html`<${Empty}>No cause of errors is new in this range, and none came back.<//>`}<//>`
}

/** @param {{ rows: any[] }} props */
function Alarms({ rows }) {
  if (!rows.length) return null
  return html`<section class="alarms" aria-label="Open alerts">${rows.slice(0, 4).map((/** @type {any} */ row) => html`<a key=${row.alert_id} href=${href('/alerts')} class=${`alarm is-${row.severity}`}>
    <b>${row.severity}</b> ${cut(nameOf(row.bcp_name, row.tool_name), 60)}: ${showMetric(row.metric, row.value)} <span class="muted">${cut(row.rule_name, 40)}, since ${time(row.opened_at, false)}</span></a>`)}
    ${rows.length > 4 && html`<a href=${href('/alerts')} class="alarm">${count(rows.length - 4)} more</a>`}</section>`
}

/** @param {{ rows: any[], of: any, title: string, rank: string, column: any, empty: string, keep: (row: any) => boolean, sort: string }} props */
function Ranked({ rows, of, title, rank, column, empty, keep, sort }) {
  const found = [...rows].sort((a, b) => a[rank] - b[rank]).filter(keep).slice(0, 6)
  return html`<${Panel} title=${title} of=${of} tools=${html`<a class="quiet" href=${href('/tools', { sort })}>All</a>`}>
    ${found.length ? html`<${Table} title=${title} rows=${found} id=${(/** @type {any} */ row) => `${row.bcp_name}.${row.tool_name}`} columns=${[
      { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` }, column]} />` : html`<${Empty}>${empty}<//>`}<//>`
}

export function Overview() {
  const span = range()
  const { since, until, before: old } = span
  const step = interval(span.length)
  const names = ['bcp_name', 'client_name', 'release']
  const asked = { ...filters(...names), time_zone: ZONE }
  const totals = useAsk('usage_over_time', { since, until, interval: 'none', ...asked }, { pace: 'fast' })
  const before = useAsk('usage_over_time', { ...old, interval: 'none', ...asked }, { skip: !compares() })
  const usage = useAsk('usage_over_time', { since, until, interval: step.name, ...asked }, { pace: 'medium' })
  const usageBefore = useAsk('usage_over_time', { ...old, interval: step.name, ...asked }, { skip: !compares() })
  const client = filters('client_name')
  const alarms = useAsk('active_alerts', {}, { pace: 'fast' })
  const open = alerts.value?.open ?? alarms.rows
  const placed = Boolean(open || alarms.error)
  const sessions = useAsk('session_stats', { since, until, interval: 'none', ...client })
  const sessionsBefore = useAsk('session_stats', { ...old, interval: 'none', ...client }, { skip: !compares() })
  const sessionsOver = useAsk('session_stats', { since, until, interval: step.name, ...client, time_zone: ZONE })
  const ranks = useView('tool_ranks', { since, until, limit: 6, ...filters(...names) })
  const releases = useView('releases', { since, until, limit: 50, ...filters('bcp_name') }, { pace: 'never' })
  const { all, times } = inTime(usage.rows)
  const begun = inBuckets(sessionsOver.rows, times)
  const markers = (releases.rows ?? []).filter((row) => row.is_new).map((row) => ({ at: Date.parse(row.first_seen), text: cut(row.release, 16) }))
    .reverse()
  const ranked = ranks.rows ?? []
  const changed = [...ranked].sort((a, b) => a.by_change - b.by_change).filter(tells).slice(0, 6)
  const none = totals.rows !== null && !totals.rows[0]?.call_count
  const chart = { times, interval: step.size, markers, onRange: zoom, onOpen: openCalls() }
  return html`<h1 class="sr">Overview</h1><${Alarms} rows=${open ?? []} />
    ${none && html`<${NoCalls} />`}
    ${totals.rows?.[0] && placed ? html`<${Tiles} rows=${all} totals=${totals.rows[0]} before=${compares() ? before.rows?.[0] : null} sessions=${added(sessions.rows)} sessionsBefore=${compares() ? added(sessionsBefore.rows) : null} begun=${begun} minutes=${span.length / 60_000} />` : html`<section class=${placed ? 'tiles' : 'tiles unplaced'} aria-hidden="true">${[1, 2, 3, 4].map((i) => html`<div key=${i} class="tile wait"></div>`)}</section>`}
    <div class=${placed ? 'grid' : 'grid unplaced'}>
      <${Panel} title="Calls" half note=${`by ${step.name}, by how they ended`} of=${usage}>${times.length > 0 && html`<${Chart} title="calls over time" kind="bars" series=${callSeries(all)} format=${short} ...${chart} />`}<//>
      <${Panel} title="Latency" half note="logarithmic scale" of=${usage}>${times.length > 0 && html`<${Chart} title="latency over time" kind="lines" log series=${latencySeries(all, inTime(usageBefore.rows).all)} format=${ms} tick=${msTick} ...${chart} />`}<//>
      <${Panel} title="What changed" half note="tools, against the period before" of=${ranks}>${changed.length ? html`<${Table} title="What changed" rows=${changed} columns=${[
        { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${ToolName} row=${row} />` },
        { key: 'call_change', title: 'change', show: (/** @type {any} */ _, /** @type {any} */ row) => html`<${Story} row=${row} />`, long: true }]} />`
        : html`<${Empty}>No tool with 20 calls in both periods differs by a quarter, or by one point of success.<//>`}<//>
      <${Changed} since=${since} until=${until} />
      <${Ranked} title="Most called" sort="calls" rank="by_calls" rows=${ranked} of=${ranks} keep=${(/** @type {any} */ row) => row.call_count > 0} empty="No tool was called." column=${{ key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name })}>${count(value)}</a>` }} />
      <${Ranked} title="Slowest" sort="p95" rank="by_p95" rows=${ranked} of=${ranks} keep=${(/** @type {any} */ row) => row.p95_duration_ms !== null} empty="No call was timed." column=${{ key: 'p95_duration_ms', title: 'p95', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, slow: Math.floor(value) || 1 })}>${ms(value)}</a>` }} />
      <${Ranked} title="Failing" sort="errors" rank="by_errors" rows=${ranked} of=${ranks} keep=${(/** @type {any} */ row) => row.error_count > 0} empty="No call failed." column=${{ key: 'error_count', title: 'failed', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { bundle: row.bcp_name, tool: row.tool_name, failed: 'true' })}>${count(value)}</a>` }} />
      <${Panel} title="Clients" of=${sessions} empty="No session began." tools=${html`<a class="quiet" href=${href('/people')}>All</a>`}>
        <${Table} title="Clients" rows=${[...(sessions.rows ?? [])].sort((a, b) => b.session_count - a.session_count).slice(0, 6)} columns=${[
          { key: 'client_name', title: 'client', show: (/** @type {string} */ value) => html`<a href=${here({ client: value ?? '' })}>${value ? cut(value, 40) : notGiven}</a>` },
          { key: 'session_count', title: 'sessions', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/sessions', { client: row.client_name ?? '', begun: 'yes' })}>${count(value)}</a>` }]} /><//>
    </div>
    <p class="muted">${ranked[0] && html`<a href=${href('/tools')}>${plural(ranked[0].tool_count, 'tool was', 'tools were')} called</a>; the answers of those shown were ${bytes(ranked.reduce((sum, row) => sum + row.response_bytes, 0))}.`}</p>`
}

/** What to do where there are no calls, in the range or at all. */
function NoCalls() {
  const any = useView('any_call', {}, { pace: 'fast' })
  if (any.rows === null) return null
  return any.rows[0].any_call ? html`<section class="panel hint"><p>No call in this range. <a href=${here({ range: '30d', from: null, to: null })}>Look at the last 30 days</a>${filtered() ? html`, or <a href=${here({ bundle: null, client: null, release: null })}>without filters</a>` : ''}.</p></section>`
    : html`<section class="panel hint"><h2>There is no call yet</h2><p>This store is empty. <a href=${href('/setup')}>Set up the first sender</a>: it takes a minute, and this page shows the first call as it comes.</p></section>`
}
