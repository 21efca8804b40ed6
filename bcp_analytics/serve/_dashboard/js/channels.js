// Channels, by which people are told of alerts: made here with a secret that nothing shows again, and tested.
import { html, useState } from './lib.js'
import { count, cut, time } from './format.js'
import { ZONE, me, range } from './state.js'
import { send, useAsk, useSent } from './api.js'
import { renew } from './live.js'
import { attempt } from './shell.js'
import { Badge, Copy, Dialog, Panel, Table } from './parts.js'

const URL_FIELD = { url: { title: 'URL', type: 'url', required: true } }
/** @type {Record<string, { config: Record<string, any>, secret: string, required?: boolean }>} */
const KINDS = {
  webhook: { config: URL_FIELD, secret: 'Key that signs: leave it empty to have one made' },
  slack: { config: {}, secret: 'URL of the incoming webhook', required: true },
  email: {
    config: {
      host: { title: 'SMTP server', required: true }, port: { title: 'Port', type: 'number', min: 1, max: 65535, placeholder: '587' }, tls: { title: 'TLS', of: ['starttls', 'tls', 'none'] },
      username: { title: 'User' }, sender: { title: 'From', type: 'email', required: true }, recipients: { title: 'To, with commas between', required: true },
    },
    secret: 'Password of the user',
  },
  alertmanager: { config: URL_FIELD, secret: 'Bearer token, if it wants one' },
  apprise: { config: {}, secret: 'URL of Apprise', required: true },
}
const SHOWN = { delivered: 'success', retry: 'warn', failed: 'failed' }

/** @param {{ status: string }} props */
const Status = ({ status }) => html`<${Badge} state=${SHOWN[status] ?? 'unknown'}>${cut(status, 20)}<//>`
/** @param {string} name @param {string} [what] */
const pathOf = (name, what = '') => `/v1/channels/${encodeURIComponent(name)}${what}`

/** @param {string} kind @param {Record<string, string>} draft */
function configOf(kind, draft) {
  const given = Object.keys(KINDS[kind].config).filter((name) => draft[name]).map((name) => {
    const value = draft[name].trim()
    return [name, name === 'port' ? Number(value) : name === 'recipients' ? value.split(',').map((one) => one.trim()).filter(Boolean) : value]
  })
  return Object.fromEntries(given)
}

/** @param {{ close: () => void, made: (key: string) => void }} props */
function Create({ close, made }) {
  const [draft, setDraft] = useState(/** @type {Record<string, string>} */ ({ kind: 'webhook', min_severity: 'warning', time_zone: ZONE, cooldown: '5 minutes', tls: 'starttls' }))
  const { config, secret, required } = KINDS[draft.kind]
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => setDraft((before) => ({ ...before, [name]: event.target.value }))
  const field = (/** @type {string} */ name, /** @type {any} */ { title, of, wide, ...more }) => html`<label key=${name} class=${wide ? 'all' : ''}>${title} ${of
    ? html`<select value=${draft[name]} onchange=${set(name)}>${of.map((/** @type {string} */ one) => html`<option key=${one} value=${one}>${one}</option>`)}</select>`
    : html`<input ...${more} value=${draft[name] ?? ''} oninput=${set(name)} />`}</label>`
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    const { channel_name, kind, min_severity, cooldown, time_zone } = draft
    const body = { channel_name, kind, config: configOf(kind, draft), min_severity, cooldown, time_zone, quiet_hours: draft.quiet_hours || null, secret: draft.secret || null }
    let key = ''
    if (await attempt(async () => { key = (await send('POST', '/v1/channels', body)).secret ?? '' }, 'Made: test it.')) {
      close()
      made(key)
      renew()
    }
  }
  return html`<${Dialog} wide title="New channel" close=${close}><form class="fields" onsubmit=${submit} autocomplete="off">
    ${field('channel_name', { title: 'Name', required: true, maxlength: 200 })}${field('kind', { title: 'Kind', of: Object.keys(KINDS) })}
    ${Object.entries(config).map(([name, more]) => field(name, more))}
    ${field('secret', { title: `${secret}. Nothing shows it again`, type: 'password', wide: true, autocomplete: 'new-password', maxlength: 4000, required })}
    ${field('min_severity', { title: 'From severity', of: ['warning', 'critical'] })}${field('cooldown', { title: 'Between messages of a rule', required: true })}
    ${field('quiet_hours', { title: 'Quiet hours, but for what is critical', placeholder: '22:00-07:00' })}${field('time_zone', { title: 'Time zone', required: true })}
    <div class="all"><button>Make the channel</button></div></form><//>`
}

export function Channels() {
  const admin = me.value?.role === 'admin'
  const channels = useSent('GET', '/v1/channels', undefined, { skip: !admin })
  const [creating, setCreating] = useState(false)
  const [key, setKey] = useState('')
  const [tested, setTested] = useState(/** @type {Record<string, any>} */ ({}))
  if (!admin) return html`<${Panel} title="Channels" wide><p class="empty">Who is told of alerts is shown to tokens of the role admin.</p><//>`
  const act = async (/** @type {() => Promise<unknown>} */ what, /** @type {string} */ done) => { if (await attempt(what, done)) renew() }
  const test = async (/** @type {string} */ name) => {
    setTested((before) => ({ ...before, [name]: { status: 'sending' } }))
    let outcome = null
    await attempt(async () => { outcome = await send('POST', pathOf(name, '/test')) }, `The test of ${cut(name, 60)} is over.`)
    setTested((before) => ({ ...before, [name]: outcome }))
    renew()
  }
  const remove = (/** @type {string} */ name) => confirm(`Delete the channel ${name.slice(0, 100)}? What waits to be sent to it is lost.`) && act(() => send('DELETE', pathOf(name)), 'Deleted.')
  return html`<${Panel} title="Channels" wide of=${channels} note="who is told" empty="Nobody is told of alerts: make a channel." tools=${html`<button onclick=${() => setCreating(true)}>New channel</button>`}>
    <${Table} title="Channels" rows=${channels.rows ?? []} id=${(/** @type {any} */ row) => row.channel_name} columns=${[
      { key: 'channel_name', title: 'channel', show: (/** @type {string} */ value, /** @type {any} */ row) => html`<b>${cut(value, 60)}</b>${!row.enabled && html` <span class="muted">off</span>`}` }, { key: 'kind', title: 'kind' },
      { key: 'config', title: 'goes to', show: (/** @type {any} */ value) => cut(value.url ?? value.recipients?.join(', ') ?? 'a secret URL', 60) },
      { key: 'min_severity', title: 'from', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` }, { key: 'rule_names', title: 'of', show: (/** @type {any} */ value) => value ? cut(value.join(', '), 60) : 'all rules' },
      { key: 'quiet_hours', title: 'quiet', show: (/** @type {any} */ value, /** @type {any} */ row) => value ? `${cut(value, 20)} ${cut(row.time_zone, 30)}` : '–' }, { key: 'pending_count', title: 'waiting', number: true, show: count },
      { key: 'latest_status', title: 'latest', show: (/** @type {any} */ value, /** @type {any} */ row) => value ? html`<${Status} status=${value} /> ${time(row.latest_at, false)}` : '–' },
      { key: 'test', title: 'change', long: true, show: (/** @type {any} */ _, /** @type {any} */ { channel_name: name, enabled }) => html`<span class="acts"><button class="quiet" onclick=${() => test(name)}>Test<span class="sr"> ${cut(name, 60)}</span></button>
        <button class="quiet" onclick=${() => act(() => send('PATCH', pathOf(name), { enabled: !enabled }), enabled ? 'It is off.' : 'It is on.')}>${enabled ? 'Turn off' : 'Turn on'}<span class="sr"> ${cut(name, 60)}</span></button>
        <button class="quiet" onclick=${() => remove(name)}>Delete<span class="sr"> ${cut(name, 60)}</span></button></span>
        ${tested[name] && html` <span role="status">Test: <${Status} status=${tested[name].status} /> ${cut(tested[name].error ?? '', 120)}</span>`}` }]} /><//>
    ${creating && html`<${Create} close=${() => setCreating(false)} made=${setKey} />`}
    ${key && html`<${Dialog} title="The key that signs" close=${() => setKey('')}><p>Give it to the receiver, who checks each message by it. It is shown this once.</p><${Copy} text=${key} /><//>`}`
}

/** Each attempt to deliver a message. */
export function Log() {
  const { since, until } = range()
  const log = useAsk('notification_history', { since, until, limit: 50 })
  return html`<${Panel} title="Who was told" wide of=${log} note="latest first" empty="Nobody was told of anything in this range."><${Table} title="Who was told" rows=${log.rows ?? []} id=${(/** @type {any} */ row) => `${row.delivery_id} ${row.attempt}`} columns=${[
    { key: 'logged_at', title: 'when', show: (/** @type {string} */ value) => time(value) }, { key: 'channel_name', title: 'channel', show: (/** @type {any} */ value) => cut(value ?? '–', 60) }, { key: 'about', title: 'about' },
    { key: 'rule_name', title: 'rule', show: (/** @type {any} */ value) => cut(value ?? '–', 60) }, { key: 'attempt', title: 'attempt', number: true, show: count },
    { key: 'status', title: 'outcome', show: (/** @type {string} */ value) => html`<${Status} status=${value} />` }, { key: 'error', title: 'why', show: (/** @type {any} */ value) => cut(value ?? '–', 120) }]} /><//>`
}
