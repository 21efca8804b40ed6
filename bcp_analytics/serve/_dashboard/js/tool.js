// One tool: how it does over time, why it fails, who calls it, and what comes before and after.
import { html } from './lib.js'
import { bytes, count, cut, ms, msTick, percent, short, time, visible } from './format.js'
import { ZONE, compares, filters, go, here, href, interval, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Chart, Heat } from './chart.js'
import { Badge, Empty, Facts, Json, Panel, Table, ToolName, errorCount, nameOf, none } from './parts.js'
import { callSeries, inTime, latencySeries, openCalls, zoom } from './overview.js'
import { callLink } from './calls.js'

/** @param {{ of: any, by: string, title: string, own: any }} props */
function Breakdown({ of, by, title, own }) {
  const rows = (of.rows ?? []).slice(0, 12)
  const name = { client_name: 'client', release: 'release', client_model: 'model' }[by]
  return html`<${Panel} title=${title} of=${of} half empty="No call says which.">
    <${Table} title=${title} rows=${rows} columns=${[
      { key: by, title: name, show: (/** @type {any} */ value) => html`<a href=${by === 'client_model' ? href('/calls', { ...own, model: value ?? '' }) : here({ [String(name)]: value ?? '' })}>${value ? cut(value, 40) : none}</a>` },
      { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { ...own, [String(name)]: row[by] ?? '' })}>${count(value)}</a>` }, { key: 'success_rate', title: 'success', number: true, show: percent },
      { key: 'p50_duration_ms', title: 'p50', number: true, show: ms }, { key: 'p95_duration_ms', title: 'p95', number: true, show: ms }]} /><//>`
}

const TRENDS = {
  p95: { key: 'p95_duration_ms', title: 'p95', format: ms, tick: msTick, log: true }, success: { key: 'success_rate', title: 'success', format: percent }, calls: { key: 'call_count', title: 'calls', format: short },
}
const TONES = ['--p50', '--p95', '--p99', '--fine', '--muted']

/** @param {{ of: any, by: string, title: string, chart: any }} props  A figure over time, of each of those with most calls. */
function Trend({ of, by, title, chart }) {
  const chosen = param('trend') ?? 'p95'
  const { key, ...shown } = TRENDS[chosen] ?? TRENDS.p95
  const calls = new Map()
  const values = new Map()
  for (const row of of.rows ?? []) {
    if (row[by] === null) continue
    calls.set(row[by], (calls.get(row[by]) ?? 0) + row.call_count)
    values.set(`${Date.parse(row.time_bucket) / 1000} ${row[by]}`, row[key])
  }
  const most = [...calls].sort((a, b) => b[1] - a[1]).slice(0, TONES.length)
  const series = most.map(([name], i) => ({ name: cut(name, 24), color: TONES[i], values: chart.times.map((/** @type {number} */ at) => values.get(`${at} ${name}`) ?? null) }))
  const choose = html`<label><span class="sr">Figure of ${title}</span><select class="quiet" value=${chosen} onchange=${(/** @type {any} */ e) => go(here({ trend: e.target.value === 'p95' ? null : e.target.value }), true)}>
    ${Object.entries(TRENDS).map(([name, one]) => html`<option key=${name} value=${name}>${one.title}</option>`)}</select></label>`
  return html`<${Panel} title=${title} of=${of} half tools=${choose}>${series.length && chart.times.length ? html`<${Chart} title=${`${shown.title}, ${title.toLowerCase()}`} kind="lines" series=${series} ...${shown} ...${chart} />` : html`<${Empty}>No call says which.<//>`}<//>`
}

/** @param {{ of: any, title: string, columns: string[], empty: string, own: any }} props  Tools that come before or after; `own` is the first of such a pair. */
function Beside({ of, title, columns, empty, own }) {
  const [bundle, tool] = columns
  const pair = (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { ...own.before, bundle: row.bcp_name, tool: row.tool_name, ...own.after && { ...own.after, next: row[tool], nextbundle: row[bundle] }, pair: 'yes', client: null, release: null })}>${count(value)}</a>`
  return html`<${Panel} title=${title} half of=${of} empty=${empty}><${Table} title=${title} rows=${of.rows ?? []} columns=${[
    { key: tool, title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => row[tool] ? html`<${ToolName} row=${{ bcp_name: row[bundle], tool_name: row[tool] }} />` : html`<span class="muted">the end of the session</span>` },
    { key: 'pair_count', title: 'times', number: true, bar: true, show: pair }, { key: 'share', title: 'share', number: true, show: percent }, { key: 'avg_gap_ms', title: 'gap', number: true, show: ms }]} /><//>`
}

export function Tool() {
  const bundle = param('bundle')
  const name = param('tool')
  if (!bundle || !name) return html`<h1>Tool</h1><${Empty}>Choose a tool from <a href=${href('/tools')}>all tools</a>.<//>`
  return html`<${Inside} bundle=${bundle} name=${name} />`
}

/** @param {{ bundle: string, name: string }} props */
function Inside({ bundle, name }) {
  const span = range()
  const { since, until, before: old } = span
  const step = interval(span.length)
  const own = { bundle, tool: name }
  // An outcome has several types of errors, so the calls of a cause are those of both.
  const behind = (/** @type {any} */ row) => ({ ...own, failed: 'true', outcome: row.outcome, type: row.error_type, cause: 'yes', client: null, release: null })
  const takes = { bcp_name: bundle, tool_name: name, ...filters('client_name', 'release') }
  const zoned = { ...takes, time_zone: ZONE }
  const usage = useAsk('usage_over_time', { since, until, interval: step.name, ...zoned }, { pace: 'medium' })
  const totals = useAsk('usage_over_time', { since, until, interval: 'none', ...zoned }, { pace: 'fast' })
  const usageBefore = useAsk('usage_over_time', { ...old, interval: step.name, ...zoned }, { skip: !compares() })
  const heat = useAsk('latency_heatmap', { since, until, interval: step.name, ...zoned })
  const causes = useView('causes', { since, until, bcp_name: bundle, tool_name: name, limit: 15 })
  const failures = useAsk('failed_calls', { since, until, limit: 8, ...takes })
  const issues = useAsk('error_issues', { since, until, bcp_name: bundle, tool_name: name, limit: 8 })
  const after = useAsk('tool_sequences', { since, until, bcp_name: bundle, tool_name: name, limit: 8 })
  const before = useView('tools_before', { since, until, bcp_name: bundle, tool_name: name, limit: 8 })
  const retries = useAsk('tool_retries', { since, until, limit: 1, ...takes })
  const users = useAsk('top_users', { since, until, limit: 8, ...takes })
  const clients = useAsk('usage_breakdown', { since, until, by: 'client_name', ...takes })
  const releases = useAsk('usage_breakdown', { since, until, by: 'release', ...takes })
  const models = useAsk('usage_breakdown', { since, until, by: 'client_model', ...takes })
  const byRelease = useAsk('usage_breakdown', { since, until, by: 'release', interval: step.name, ...zoned })
  const byClient = useAsk('usage_breakdown', { since, until, by: 'client_name', interval: step.name, ...zoned })
  const cost = useAsk('context_cost', { since, until, limit: 1, ...takes })
  const marks = useView('releases', { since, until, bcp_name: bundle, tool_name: name, limit: 20 }, { pace: 'never' })
  const { all, times } = inTime(usage.rows)
  const markers = (marks.rows ?? []).filter((row) => row.is_new).map((row) => ({ at: Date.parse(row.first_seen), text: cut(row.release, 16) })).reverse()
  const chart = { times, interval: step.size, markers, onRange: zoom, onOpen: openCalls(own) }
  const total = totals.rows?.[0]
  const judged = total ? total.success_count + total.error_count : 0
  return html`<h1 title=${visible(name).slice(0, 1000)}>${cut(nameOf(bundle, name), 160)}</h1>
    ${total && html`<dl class="now">${[
      ['calls', html`<a href=${href('/calls', own)}>${count(total.call_count)}</a>`], ['failed', html`<a href=${href('/calls', { ...own, failed: 'true' })}>${count(total.error_count)}</a>`],
      ['success', percent(judged ? total.success_count / judged : null)], ['p50', ms(total.p50_duration_ms)], ['p95', html`<a href=${href('/calls', { ...own, slow: Math.floor(total.p95_duration_ms ?? 0) || 1 })}>${ms(total.p95_duration_ms)}</a>`], ['p99', ms(total.p99_duration_ms)],
      ['tokens', html`<a href=${href('/calls', own)}>${count(cost.rows?.[0]?.tokens)}</a>`], ['an answer', bytes(cost.rows?.[0]?.avg_response_bytes && Math.round(cost.rows[0].avg_response_bytes))],
      ['failures tried again', percent(retries.rows?.[0]?.retry_rate)], ['which then succeed', percent(retries.rows?.[0]?.retry_success_rate)],
    ].map(([title, value]) => html`<div key=${title}><dt>${title}</dt><dd>${value}</dd></div>`)}</dl>`}
    ${total && !total.call_count && html`<section class="panel hint"><p>Nobody called this tool in this range. <a href=${here({ range: '90d', from: null, to: null })}>Look at the last 90 days</a>.</p></section>`}
    <div class="grid">
      <${Panel} title="Calls" half note=${`by ${step.name}`} of=${usage}>${times.length > 0 && html`<${Chart} title="calls over time" kind="bars" series=${callSeries(all)} format=${short} ...${chart} />`}<//>
      <${Panel} title="Latency" half note="logarithmic scale" of=${usage}>${times.length > 0 && html`<${Chart} title="latency over time" kind="lines" log series=${latencySeries(all, inTime(usageBefore.rows).all)} format=${ms} tick=${msTick} ...${chart} />`}<//>
      <${Panel} title="Durations" half note="darker: more calls" of=${heat} empty="No call was timed."><${Heat} title="durations over time" rows=${heat.rows ?? []} times=${times} interval=${step.size} show=${msTick} onOpen=${openCalls(own)} /><//>
      <div class="stack half"><${Panel} title="Causes of failures" of=${causes} empty="No call failed."><${Table} title="Causes of failures" rows=${causes.rows ?? []} columns=${[
        { key: 'error_type', title: 'cause', show: (/** @type {any} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', behind(row))}>${cut(value ?? row.outcome ?? 'not given', 60)}</a>` },
        { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', behind(row))}>${count(value)}</a>` }, { key: 'last_seen', title: 'last', show: (/** @type {string} */ value) => time(value, false) },
        { key: 'error_message', title: 'latest message', long: true, show: (/** @type {string} */ value) => cut(value ?? '', 160) }]} /><//>
      <${Panel} title="Issues" of=${issues} empty="No error of this tool was logged."><${Table} title="Issues" rows=${issues.rows ?? []} link=${(/** @type {any} */ row) => href('/issue', { id: row.fingerprint })} columns=${[
        { key: 'message', title: 'message', long: true, show: (/** @type {string} */ value) => cut(value, 120) }, { key: 'state', title: 'state', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` }, { key: 'error_count', title: 'errors', number: true, show: errorCount }]} /><//></div>
      <${Panel} title="Arguments of failures" wide of=${failures} empty="No call failed."><div class="examples">${(failures.rows ?? []).slice(0, 6).map((row) => html`<article key=${row.event_id}>
        <a class="row" href=${callLink(row)}>${time(row.start_time)} ${cut(row.error_type ?? row.outcome ?? '', 60)}</a><${Json} value=${row.parameters} /></article>`)}</div><//>
      <${Trend} of=${byRelease} by="release" title="Trend by release" chart=${chart} /><${Trend} of=${byClient} by="client_name" title="Trend by client" chart=${chart} />
      <${Breakdown} of=${releases} by="release" title="By release" own=${own} /><${Breakdown} of=${clients} by="client_name" title="By client" own=${own} />
      <${Breakdown} of=${models} by="client_model" title="By model" own=${own} />
      <${Panel} title="Who calls it" half of=${users} empty="No call names its user."><${Table} title="Who calls it" rows=${users.rows ?? []} columns=${[
        { key: 'user_id', title: 'user', show: (/** @type {string} */ value) => html`<a href=${href('/calls', { ...own, user: value })}>${cut(value, 40)}</a>` },
        { key: 'call_count', title: 'calls', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${href('/calls', { ...own, user: row.user_id })}>${count(value)}</a>` }, { key: 'success_rate', title: 'success', number: true, show: percent }]} /><//>
      <${Beside} of=${before} title="What comes before" own=${{ before: { next: name, nextbundle: bundle } }} columns=${['bcp_name', 'tool_name']} empty="It is the first call of its sessions, or no call names its session." />
      <${Beside} of=${after} title="What comes after" own=${{ after: own }} columns=${['next_bcp_name', 'next_tool_name']} empty="No call of it names its session." />
      <${Panel} title="Context cost" of=${cost} half empty="No call returned anything."><${Facts} pairs=${[['answers', bytes(cost.rows?.[0]?.response_bytes)], ['tokens', html`<a href=${href('/calls', own)}>${count(cost.rows?.[0]?.tokens)}</a>`], ['given by senders', count(cost.rows?.[0]?.given_tokens)], ['calls', html`<a href=${href('/calls', own)}>${count(cost.rows?.[0]?.call_count)}</a>`]]} /><//>
    </div>`
}
