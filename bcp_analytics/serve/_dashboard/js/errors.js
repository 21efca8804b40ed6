// What causes the errors, one row per cause; and one cause with all that is known of it.
import { html, useState } from './lib.js'
import { count, cut, percent, plural, time, visible } from './format.js'
import { filters, here, href, interval, me, param, range } from './state.js'
import { send, useAsk, useView } from './api.js'
import { renew } from './live.js'
import { Chart } from './chart.js'
import { attempt } from './shell.js'
import { Badge, Change, Facts, Json, Pages, Panel, Search, Table, ToolName, broken, errorCount, nameOf } from './parts.js'
import { inTime, zoom } from './overview.js'

const SIZE = 50
const STATES = [null, 'new', 'ongoing', 'regressed', 'resolved']

export function Errors() {
  const { since, until } = range()
  const state = param('state') || null
  const query = param('q')
  const issues = useAsk('error_issues', { since, until, ...filters('bcp_name', 'release'), state, limit: 200 })
  const found = useAsk('search_errors', { since, until, query, limit: 50, ...filters('bcp_name', 'release') }, { skip: !query })
  return html`<h1>Errors</h1>
    <p class="about" role="group" aria-label="State">${STATES.map((one) => html`<a key=${one} class="chip" href=${here({ state: one })} aria-current=${one === state ? 'true' : undefined}>${one || 'all'}</a>`)}</p>
    ${query && html`<${Panel} title="Errors that say this" wide of=${found} note="best match first" empty="No error of this range has these words."><${Table} title="Errors that say this" rows=${found.rows ?? []} link=${(/** @type {any} */ row) => href('/issue', { id: row.fingerprint })} id=${(/** @type {any} */ row) => row.event_id} columns=${[
      { key: 'message', title: 'message', long: true, show: (/** @type {string} */ value) => cut(value, 200) }, { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => broken(nameOf(row.bcp_name, row.tool_name), 60) },
      { key: 'level', title: 'level', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` }, { key: 'happened_at', title: 'when', show: (/** @type {string} */ value) => time(value) }]} /><//>`}
    <${Panel} title="Issues" wide keep of=${issues} note="groups of errors with one cause, most frequent first" tools=${html`<${Search} label="Search messages" />`}>
      ${issues.rows?.length ? html`<${Table} title="Issues" rows=${issues.rows} link=${(/** @type {any} */ row) => href('/issue', { id: row.fingerprint })} id=${(/** @type {any} */ row) => row.fingerprint} columns=${[
        { key: 'message', title: 'message', long: true, show: (/** @type {string} */ value) => cut(value, 160) },
        { key: 'state', title: 'state', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
        { key: 'level', title: 'level', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` },
        { key: 'tool_name', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => broken(nameOf(row.bcp_name, row.tool_name), 60) },
        { key: 'error_type', title: 'type', show: (/** @type {any} */ value) => cut(value ?? '–', 40) },
        { key: 'error_count', title: 'errors', number: true, bar: true, show: errorCount }, { key: 'change', title: 'change', number: true, show: (/** @type {any} */ value) => html`<${Change} value=${value} good="down" />` },
        { key: 'last_seen', title: 'last seen', show: (/** @type {string} */ value) => time(value, false) }]} />`
        : html`<p class="empty">${state ? `No issue of this range is ${state}.` : 'No error was logged in this range. A call that fails without an error in the log is on its tool’s page.'}</p>`}<//>`
}

/** @param {{ issue: any }} props  What can be done about it, for who may. */
function Actions({ issue }) {
  const [notes, setNotes] = useState('')
  const [release, setRelease] = useState('')
  const [busy, setBusy] = useState(false)
  const resolved = issue.state === 'resolved'
  if (me.value?.role !== 'admin') return html`<p class="muted">To resolve or reopen it, log in with a token of the role admin.</p>`
  const act = (/** @type {string} */ what, /** @type {any} */ body) => async (/** @type {Event} */ event) => {
    event.preventDefault()
    setBusy(true)
    if (await attempt(() => send('POST', `/v1/issues/${encodeURIComponent(issue.fingerprint)}/${what}`, body), what === 'resolve' ? 'Resolved.' : 'Reopened.')) {
      setNotes('')
      renew()
    }
    setBusy(false)
  }
  const body = { ...notes && { notes } }
  return html`<form class="fields" onsubmit=${act('resolve', { ...body, ...release && { release } })}>
    <label class="all">Note, which is masked <textarea value=${notes} maxlength="5000" oninput=${(/** @type {any} */ e) => setNotes(e.target.value)}></textarea></label>
    <label>Release with the fix, if any <input value=${release} maxlength="200" oninput=${(/** @type {any} */ e) => setRelease(e.target.value)} /></label>
    <div><button disabled=${busy}>${resolved ? 'Resolve again' : release ? 'Resolve in this release' : 'Resolve'}</button>
      ${(resolved || issue.state === 'regressed') && html` <button type="button" class="second" disabled=${busy} onclick=${act('reopen', body)}>Reopen</button>`}</div></form>`
}

/** They stand below what names them, and what a number counts should be seen. */
const showErrors = () => document.getElementById('occurrences')?.scrollIntoView({ block: 'start' })

/** @param {any} row  The calls that an error may be of, whatever the range: senders name no call in an error. */
const callsBehind = (row) => href('/calls', { bundle: row.bcp_name, tool: row.tool_name, session: row.session_id, failed: 'true', client: null, release: null, range: null,
  from: new Date(Date.parse(row.happened_at) - 3_600_000).toISOString(), to: new Date(Date.parse(row.happened_at) + 1000).toISOString() })

export function Issue() {
  const id = param('id') ?? ''
  const span = range()
  const { since, until } = span
  const step = interval(span.length, 60)
  const some = { skip: !id }
  const found = useView('issue', { fingerprint: id, since }, some)
  const by = param('by')
  const page = Number(param('page') ?? 0)
  const latestFew = useView('issue_latest', { fingerprint: id, limit: 20 }, some)
  const errors = useView('issue_errors', { fingerprint: id, since, until, by, name: by && param('name'), limit: SIZE, offset: page * SIZE || null }, some)
  const over = useView('issue_over_time', { fingerprint: id, since, until, interval: step.name }, some)
  const spread = useView('issue_spread', { fingerprint: id, since, until, limit: 60 }, some)
  const actions = useView('issue_actions', { fingerprint: id, limit: 50 }, some)
  if (!id) return html`<h1>Issue</h1><p class="empty">Choose an issue from <a href=${href('/errors')}>all errors</a>.</p>`
  const issue = found.rows?.[0]
  if (!issue) return html`<h1>Issue</h1><${Panel} title="Issue" of=${found} empty="There is no issue with this id: it may have been erased, or the link was cut." />`
  const { all, times } = inTime(over.rows)
  const latest = latestFew.rows?.[0]
  const session = latestFew.rows?.find((row) => row.session_id)?.session_id
  return html`<h1>${cut(issue.message, 300)}</h1>
    <p class="about"><${Badge} state=${issue.state} /> <${Badge} state=${issue.level} /> <b>${cut(issue.error_type ?? '', 80)}</b>
      <a href=${href('/tool', { bundle: issue.bcp_name, tool: issue.tool_name })}>${cut(nameOf(issue.bcp_name, issue.tool_name), 100)}</a>
      <span class="muted"><a href=${here({ range: null, from: issue.first_seen, to: new Date(Date.parse(issue.last_seen) + 1).toISOString(), by: null, name: null, page: null })} onclick=${showErrors}>${plural(issue.total_count, 'error')} ever</a>, first ${time(issue.first_seen, false)}, last ${time(issue.last_seen, false)}</span></p>
    <div class="grid">
      <${Panel} title="Errors over time" half of=${over} empty="It did not happen in this range.">${times.length > 0 && html`<${Chart} title="errors over time" kind="bars" times=${times} interval=${step.size} series=${[{ name: 'errors', color: '--bad', values: all.map((row) => row.error_count) }]} height=${150} onRange=${zoom} />`}<//>
      <${Panel} title="What to do" half keep of=${{ ...actions, rows: actions.rows ?? [] }}><${Actions} issue=${issue} />
        ${actions.rows?.map((row) => html`<p key=${row.acted_at} class="muted"><${Badge} state=${row.action} /> ${time(row.acted_at)} by ${cut(row.acted_by, 60)}${row.release && ` in ${cut(row.release, 60)}`}${row.notes && `: ${visible(row.notes)}`}</p>`)}<//>
      ${['tool', 'client', 'release'].map((kind) => {
        const rows = (spread.rows ?? []).filter((row) => row.kind === kind)
        const sum = rows.reduce((total, row) => total + row.error_count, 0)
        return html`<${Panel} key=${kind} title=${`By ${kind}`} of=${spread} empty="It did not happen in this range."><${Table} title=${`By ${kind}`} rows=${rows.slice(0, 8)} columns=${[
          { key: 'name', title: kind, show: (/** @type {any} */ value) => value ? broken(value, 60) : html`<span class="muted">not given</span>` }, { key: 'error_count', title: 'errors', number: true, bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${here({ by: kind, name: row.name, page: null })} onclick=${showErrors}>${count(value)}</a>` },
          { key: 'share', title: 'share', number: true, show: (/** @type {any} */ _, /** @type {any} */ row) => percent(row.error_count / sum) }]} /><//>`
      })}
      <${Panel} title="Where it happened">${session ? html`<p><a href=${href('/session', { id: session })}>The latest session with it</a></p>` : html`<p class="empty">No occurrence names its session.</p>`}
        <p><a href=${href('/calls', { bundle: issue.bcp_name, tool: issue.tool_name, failed: 'true' })}>Failed calls of the tool</a></p><//>
      <${Panel} title="The latest" wide of=${latestFew} empty="No occurrence is in the store any more: retention took them.">${latest && html`
        <h3>Message</h3><${Json} value=${latest.message} />${latest.stack_trace && html`<h3>Stack</h3><${Json} value=${latest.stack_trace} />`}
        ${latest.context && Object.keys(latest.context).length > 0 && html`<h3>Context</h3><${Json} value=${latest.context} />`}${latest.tool_context && html`<h3>Of the tool</h3><${Json} value=${latest.tool_context} />`}
        <${Facts} pairs=${[['when', time(latest.happened_at)], ['code', latest.error_code], ['operation', latest.operation], ['release', latest.release], ['request', latest.request_id], ['trace', latest.trace_id], ['user', latest.user_id], ['event', latest.event_id]]} />`}<//>
      <${Panel} title="Occurrences" wide of=${errors} id="occurrences" note=${by ? html`of the ${by} ${param('name') === null ? 'not given' : cut(param('name'), 60)} <a href=${here({ by: null, name: null, page: null })}>all</a>` : 'in the range, latest first'} empty="It did not happen in this range."><${Table} title="Occurrences" rows=${errors.rows ?? []} id=${(/** @type {any} */ row) => row.event_id} columns=${[
        { key: 'happened_at', title: 'when', show: (/** @type {string} */ value) => time(value) }, { key: 'message', title: 'message', long: true, show: (/** @type {string} */ value) => cut(value, 160) },
        { key: 'tool', title: 'tool', show: (/** @type {any} */ _, /** @type {any} */ row) => row.tool_name ? html`<${ToolName} row=${row} />` : cut(row.bcp_name ?? '–', 40) }, { key: 'client', title: 'client', show: (/** @type {any} */ value) => cut(value ?? '–', 30) },
        { key: 'release', title: 'release', show: (/** @type {any} */ value) => cut(value ?? '–', 30) }, { key: 'user_id', title: 'user', show: (/** @type {any} */ value) => value ? html`<a href=${href('/calls', { user: value })}>${cut(value, 30)}</a>` : '–' },
        { key: 'session_id', title: 'session', show: (/** @type {any} */ value) => value ? html`<a href=${href('/session', { id: value })}>${cut(value, 24)}</a>` : '–' },
        { key: 'calls', title: 'calls', show: (/** @type {any} */ _, /** @type {any} */ row) => row.session_id && row.tool_name ? html`<a href=${callsBehind(row)} title="Failed calls of the tool in this session, of the hour before">failed calls</a>` : '–' }]} />
        <${Pages} page=${page} size=${SIZE} count=${errors.rows?.length ?? 0} /><//>
    </div>`
}
