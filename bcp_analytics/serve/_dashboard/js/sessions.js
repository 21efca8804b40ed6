// Sessions, and what happened in one: gaps, sizes, what the model's context came to, and loops.
import { html } from './lib.js'
import { ago, bytes, count, cut, ms, plural, short, time } from './format.js'
import { ZONE, filters, here, href, param, range } from './state.js'
import { useAsk, useView } from './api.js'
import { Empty, Pages, Panel, Search, Table, ToolName, none } from './parts.js'
import { Outcome, callLink } from './calls.js'

const SIZE = 50
/** What a list of sessions may be cut down to, and how its mark reads. */
const ONLY = { begun: 'that began in the range', single: 'of one call', failed: 'with a failed call' }

/** They stand below what counts them. */
const showSessions = () => document.getElementById('sessions')?.scrollIntoView({ block: 'start' })

export function Sessions() {
  const { since, until } = range()
  const page = Number(param('page') ?? 0)
  const sort = param('sort') ?? 'last'
  const only = Object.entries(ONLY).filter(([name]) => param(name))
  const users = param('users') !== null
  const whose = useView('session_users', { since, until, ...filters('client_name'), limit: SIZE, offset: page * SIZE || null }, { skip: !users })
  const found = useView('sessions', { since, until, ...filters('client_name'), user_id: param('user'), search: param('q'), ...Object.fromEntries(only.map(([name]) => [name, 'true'])), sort, limit: SIZE, offset: page * SIZE || null }, { skip: users })
  const stats = useAsk('session_stats', { since, until, interval: 'none', ...filters('client_name'), time_zone: ZONE })
  const rows = found.rows ?? []
  const chips = [['user', param('user')], ...only].filter(([, value]) => value !== null)
  // As many as the number, which counts those that began in the range.
  const counted = (/** @type {Record<string, string>} */ own) => (/** @type {number} */ value, /** @type {any} */ row) =>
    value ? html`<a href=${here({ users: null, single: null, failed: null, user: null, page: null, client: row.client_name ?? '', begun: 'yes', ...own })} onclick=${showSessions}>${count(value)}</a>` : '0'
  return html`<h1>Sessions</h1>
    <${Panel} title="By client" wide of=${stats} note="sessions that began in the range" empty="No session began in this range."><${Table} title="By client" rows=${stats.rows ?? []} columns=${[
      { key: 'client_name', title: 'client', show: (/** @type {any} */ value) => html`<a href=${here({ client: value ?? '', page: null })}>${value ? cut(value, 60) : none}</a>` },
      { key: 'session_count', title: 'sessions', number: true, bar: true, show: counted({}) }, { key: 'user_count', title: 'users', number: true, show: counted({ users: 'yes' }) }, { key: 'calls_per_session', title: 'calls each', number: true, show: count },
      { key: 'single_call_count', title: 'of one call', number: true, show: counted({ single: 'yes' }) }, { key: 'error_count', title: 'failed', number: true, show: counted({ failed: 'yes', sort: 'errors' }) }, { key: 'p50_duration_ms', title: 'p50 length', number: true, show: ms }, { key: 'p95_duration_ms', title: 'p95 length', number: true, show: ms }]} /><//>
    ${users ? html`<${Users} of=${whose} page=${page} />` : html`${chips.length > 0 && html`<p class="about">${chips.map(([name, value]) => html`<span class="chip" key=${name}>${name === 'user' ? html`user <b>${value ? cut(value, 60) : 'not given'}</b>` : value} <a href=${here({ [String(name)]: null, page: null })} aria-label=${`Not only ${name}`}>×</a></span>`)}</p>`}
    <${Panel} title="Sessions" wide keep id="sessions" of=${found} note=${param('begun') ? 'that began in the range' : 'active in the range'} tools=${html`<${Search} label="Find a session id" />`}>${rows.length ? html`<${Table} title="Sessions" rows=${rows} sort=${sort} link=${(/** @type {any} */ row) => href('/session', { id: row.session_id })} id=${(/** @type {any} */ row) => row.session_id} columns=${[
      { key: 'session_id', title: 'session', show: (/** @type {string} */ value) => cut(value, 40) }, { key: 'last_activity', title: 'last active', sort: 'last', show: (/** @type {string} */ value) => html`<time datetime=${value} title=${time(value)}>${ago(value)}</time>` },
      { key: 'client_name', title: 'client', show: (/** @type {any} */ value, /** @type {any} */ row) => cut([value, row.client_version].filter(Boolean).join(' ') || '–', 40) },
      { key: 'user_id', title: 'user', show: (/** @type {any} */ value) => value ? html`<a href=${here({ user: value, page: null })}>${cut(value, 30)}</a>` : '–' },
      { key: 'call_count', title: 'calls', number: true, sort: 'calls', bar: true, show: (/** @type {number} */ value, /** @type {any} */ row) => html`<a href=${callsOf(row)}>${count(value)}</a>` }, { key: 'error_count', title: 'failed', number: true, sort: 'errors', show: (/** @type {number} */ value, /** @type {any} */ row) => value ? html`<a href=${callsOf(row, { failed: 'true' })}>${count(value)}</a>` : '0' }, { key: 'duration_ms', title: 'length', number: true, sort: 'duration', show: ms }]} />
      <${Pages} page=${page} size=${SIZE} count=${rows.length} />` : html`<p class="empty">${param('q') || chips.length ? 'No session of this range fits.' : 'No session was active in this range. Senders name a session by session_id; the proxy and the middleware do it by themselves.'}</p>`}<//>`}`
}

/** @param {{ of: any, page: number }} props  The users that a number counts, in place of the sessions. */
function Users({ of, page }) {
  const rows = of.rows ?? []
  const sessions = (/** @type {Record<string, string>} */ own) => (/** @type {number} */ value, /** @type {any} */ row) =>
    value ? html`<a href=${here({ users: null, user: row.user_id, page: null, begun: 'yes', ...own })}>${count(value)}</a>` : '0'
  return html`<p class="about"><span class="chip">users of these sessions <a href=${here({ users: null, page: null })} aria-label="Sessions instead of users">×</a></span></p>
    <${Panel} title="Users" wide id="sessions" of=${of} note="of sessions that began in the range" empty="No such session names its user."><${Table} title="Users" rows=${rows} link=${(/** @type {any} */ row) => href('/calls', { user: row.user_id })} columns=${[
      { key: 'user_id', title: 'user, as stored', show: (/** @type {string} */ value) => cut(value, 60) },
      { key: 'session_count', title: 'sessions', number: true, bar: true, show: sessions({}) },
      { key: 'error_count', title: 'failed', number: true, show: sessions({ failed: 'yes', sort: 'errors' }) }, { key: 'last_activity', title: 'last active', show: (/** @type {string} */ value) => time(value) }]} />
      <${Pages} page=${page} size=${SIZE} count=${rows.length} total=${rows[0]?.user_count} /><//>`
}

/** @param {any} one @param {Record<string, string>} [own]  A session's calls, whatever the range. */
const callsOf = (one, own = {}) => href('/calls', { ...own, session: one.session_id, bundle: null, client: null, release: null, range: null,
  from: new Date(Date.parse(one.started_at) - 1000).toISOString(), to: new Date(Date.parse(one.last_activity) + 86_400_000).toISOString() })

export function Session() {
  const id = param('id') ?? ''
  const session = useView('session', { session_id: id }, { skip: !id })
  const found = useView('timeline', { session_id: id, limit: 2000 }, { skip: !id })
  const one = session.rows?.[0]
  if (!id) return html`<h1>Session</h1><${Empty}>Choose a session from <a href=${href('/sessions')}>all sessions</a>.<//>`
  const rows = found.rows ?? []
  const looping = rows.filter((row) => row.in_loop).length
  const longest = Math.max(1, ...rows.map((row) => row.since_previous_ms ?? 0))
  return html`<h1>Session ${cut(id, 80)}</h1>
    ${one ? html`<dl class="now">${[['calls', html`<a href=${callsOf(one)}>${count(one.call_count)}</a>`], ['failed', one.error_count ? html`<a href=${callsOf(one, { failed: 'true' })}>${count(one.error_count)}</a>` : '0'], ['length', ms(Date.parse(one.ended_at ?? one.last_activity) - Date.parse(one.started_at))],
      ['answers in all', bytes(rows.at(-1)?.context_bytes ?? 0)], ['client', cut([one.client_name, one.client_version].filter(Boolean).join(' ') || '–', 40)], ['user', one.user_id ? html`<a href=${href('/calls', { user: one.user_id })}>${cut(one.user_id, 30)}</a>` : '–'], ['began', time(one.started_at)], ['end', one.ended_at ? time(one.ended_at) : 'open']].map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
      : session.rows && html`<p class="empty">The store knows no session of this id.</p>`}
    ${looping > 0 && html`<section class="panel hint"><p><b>It went in circles:</b> ${plural(looping, 'call')} repeat the call before, with the same arguments. They are marked below.</p></section>`}
    <${Panel} title="What happened" wide of=${found} note="in order of time; the bar is the gap before" empty="Nothing of this session is in the store any more: retention took it."><${Table} title="What happened" rows=${rows} link=${(/** @type {any} */ row) => row.kind === 'call' ? callLink(row) : here({})} columns=${[
      { key: 'happened_at', title: 'when', show: (/** @type {string} */ value) => time(value) },
      { key: 'since_previous_ms', title: 'gap', number: true, show: (/** @type {any} */ value) => html`<span class="gap" style=${{ '--share': (value ?? 0) / longest }}>${value ? `+ ${ms(value)}` : ''}</span>` },
      { key: 'kind', title: 'what', show: (/** @type {string} */ value, /** @type {any} */ row) => value === 'call' ? html`<${ToolName} row=${row} />${row.operation !== 'tools/call' ? html` <span class="muted">${cut(row.operation, 30)}</span>` : ''}${row.in_loop ? html` <span class="is-warn">loop</span>` : ''}` : html`<b class=${value === 'error' ? 'is-fail' : 'muted'}>${value}</b>` },
      { key: 'outcome', title: 'outcome', long: true, show: (/** @type {any} */ _, /** @type {any} */ row) => row.kind === 'call' ? html`<${Outcome} row=${row} /> ${cut(row.message ?? '', 120)}` : cut(row.message ?? '', 200) },
      { key: 'duration_ms', title: 'duration', number: true, show: (/** @type {any} */ value, /** @type {any} */ row) => row.kind === 'call' ? ms(value) : '' },
      { key: 'response_bytes', title: 'answer', number: true, show: (/** @type {any} */ value, /** @type {any} */ row) => row.kind === 'call' ? bytes(value) : '' },
      { key: 'context_bytes', title: 'context so far', number: true, show: (/** @type {number} */ value) => `${short(Math.round(value / 4))} tokens` }]} />
      <p class="muted">Tokens are estimated as four bytes each.</p><//>`
}
