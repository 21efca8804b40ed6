// Channels, by which people are told of alerts: made here with a secret that nothing shows again, and tested.
import { html, useState } from './lib.js'
import { count, cut, time } from './format.js'
import { ZONE, me, range } from './state.js'
import { send, useAsk, useSent, useView } from './api.js'
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
const SHOWN = { delivered: 'success', retry: 'warn', failed: 'failed', expired: 'failed' }

/** @param {{ status: string }} props */
const Status = ({ status }) => html`<${Badge} state=${SHOWN[status] ?? 'unknown'}>${cut(status, 20)}<//>`
/** @param {string} name @param {string} [what] */
const pathOf = (name, what = '') => `/v1/channels/${encodeURIComponent(name)}${what}`

/** @param {string} kind @param {Record<string, any>} draft */
function configOf(kind, draft) {
  const given = Object.keys(KINDS[kind].config).filter((name) => draft[name]).map((name) => {
    const value = String(draft[name]).trim()
    return [name, name === 'port' ? Number(value) : name === 'recipients' ? value.split(',').map((one) => one.trim()).filter(Boolean) : value]
  })
  return Object.fromEntries(given)
}

const NEW = { kind: 'webhook', min_severity: 'warning', time_zone: ZONE, cooldown: '5 minutes', tls: 'starttls', rule_names: [], tell_closed: true, digest: true }

/** @param {any} row  A channel as its form has it. */
const draftOf = (row) => ({ ...row, ...row.config, recipients: row.config.recipients?.join(', '), rule_names: row.rule_names ?? [], quiet_hours: row.quiet_hours ?? '' })

/** @param {{ chosen: string[], choose: (names: string[]) => void }} props  None chosen means all. */
function RuleNames({ chosen, choose }) {
  const rules = useView('alert_rules', {}, { pace: 'never' })
  const known = (rules.rows ?? []).map((row) => row.rule_name)
  const toggle = (/** @type {string} */ name) => choose(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name])
  return html`<fieldset class="all"><legend>Of these rules; of all where none is chosen</legend>
    ${[...known, ...chosen.filter((name) => rules.rows && !known.includes(name))].map((name) => html`<label key=${name} class="check"><input type="checkbox" checked=${chosen.includes(name)} onchange=${() => toggle(name)} />${cut(name, 60)}${!known.includes(name) && ', which is gone'}</label>`)}</fieldset>`
}

/** @param {{ channel: any, close: () => void, made: (key: string) => void }} props  A channel to change, or null for a new one. */
function Edit({ channel, close, made }) {
  const [draft, setDraft] = useState(/** @type {any} */ (channel ? draftOf(channel) : NEW))
  const { config, secret, required } = KINDS[draft.kind]
  const put = (/** @type {string} */ name, /** @type {any} */ value) => setDraft((/** @type {any} */ before) => ({ ...before, [name]: value }))
  const field = (/** @type {string} */ name, /** @type {any} */ { title, of, wide, ...more }) => html`<label key=${name} class=${wide ? 'all' : ''}>${title} ${of
    ? html`<select disabled=${more.disabled} value=${draft[name]} onchange=${(/** @type {any} */ event) => put(name, event.target.value)}>${of.map((/** @type {string} */ one) => html`<option key=${one} value=${one}>${one}</option>`)}</select>`
    : html`<input ...${more} value=${draft[name] ?? ''} oninput=${(/** @type {any} */ event) => put(name, event.target.value)} />`}</label>`
  const check = (/** @type {string} */ name, /** @type {string} */ title) => html`<label class="check"><input type="checkbox" checked=${draft[name]} onchange=${(/** @type {any} */ event) => put(name, event.target.checked)} />${title}</label>`
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    const { channel_name, kind, min_severity, cooldown, time_zone, tell_closed, quiet_hours } = draft
    // Rules that it had already may be gone, and could not be named again.
    const same = JSON.stringify(draft.rule_names) === JSON.stringify(channel?.rule_names ?? [])
    const body = { config: configOf(kind, draft), min_severity, cooldown, time_zone, tell_closed, quiet_hours: quiet_hours ?? '', secret: draft.secret || null, rule_names: same ? null : draft.rule_names, digest: kind !== 'alertmanager' && draft.digest }
    let key = ''
    const change = async () => {
      if (channel) await send('PATCH', pathOf(channel_name), body)
      else key = (await send('POST', '/v1/channels', { channel_name, kind, ...body })).secret ?? ''
    }
    if (await attempt(change, channel ? 'Changed: test it.' : 'Made: test it.')) {
      close()
      if (key) made(key)
      renew()
    }
  }
  const title = channel ? `${secret.split(':')[0]}. Empty keeps ${channel.has_secret ? 'the one that it has: give it again where it would be sent elsewhere' : 'it so'}` : `${secret}. Nothing shows it again`
  return html`<${Dialog} wide title=${channel ? `Channel ${cut(channel.channel_name, 60)}` : 'New channel'} close=${close}><form class="fields" onsubmit=${submit} autocomplete="off">
    ${field('channel_name', { title: 'Name', required: true, maxlength: 200, readonly: Boolean(channel) })}${field('kind', { title: 'Kind', of: Object.keys(KINDS), disabled: Boolean(channel) })}
    ${Object.entries(config).map(([name, more]) => field(name, more))}
    ${field('secret', { title, type: 'password', wide: true, autocomplete: 'new-password', maxlength: 4000, required: required && !channel })}
    ${field('min_severity', { title: 'From severity', of: ['warning', 'critical'] })}${field('cooldown', { title: 'Between messages of a rule', required: true })}
    ${field('quiet_hours', { title: 'Quiet hours, but for what is critical', placeholder: '22:00-07:00' })}${field('time_zone', { title: 'Time zone', required: true })}
    ${check('tell_closed', 'tells that alerts close')}${draft.kind !== 'alertmanager' && check('digest', 'gets the weekly digest')}
    <${RuleNames} chosen=${draft.rule_names} choose=${(/** @type {string[]} */ names) => put('rule_names', names)} />
    <div class="all"><button>${channel ? 'Save the channel' : 'Make the channel'}</button></div></form><//>`
}

export function Channels() {
  const admin = me.value?.role === 'admin'
  const channels = useSent('GET', '/v1/channels', undefined, { skip: !admin })
  // null for a new one.
  const [edited, setEdited] = useState(/** @type {any} */ (undefined))
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
  const remove = (/** @type {string} */ name) => confirm(`Delete the channel ${cut(name, 100)}? What waits to be sent to it is lost.`) && act(() => send('DELETE', pathOf(name)), 'Deleted.')
  return html`<${Panel} title="Channels" wide of=${{ ...channels, own: { sql: 'select * from bcp.notification_channels();', rows: channels.rows ?? [] } }} note="who is told" empty="Nobody is told of alerts: make a channel." tools=${html`<button onclick=${() => setEdited(null)}>New channel</button>`}>
    <${Table} title="Channels" rows=${channels.rows ?? []} id=${(/** @type {any} */ row) => row.channel_name} columns=${[
      { key: 'channel_name', title: 'channel', show: (/** @type {string} */ value, /** @type {any} */ row) => html`<b>${cut(value, 60)}</b>${!row.enabled && html` <span class="muted">off</span>`}` }, { key: 'kind', title: 'kind' },
      { key: 'config', title: 'goes to', show: (/** @type {any} */ value) => cut(value.url ?? value.recipients?.join(', ') ?? 'a secret URL', 60) },
      { key: 'min_severity', title: 'from', show: (/** @type {string} */ value) => html`<${Badge} state=${value} />` }, { key: 'rule_names', title: 'of', show: (/** @type {any} */ value) => value ? cut(value.join(', '), 60) : 'all rules' },
      { key: 'quiet_hours', title: 'quiet', show: (/** @type {any} */ value, /** @type {any} */ row) => value ? `${cut(value, 20)} ${cut(row.time_zone, 30)}` : '–' }, { key: 'pending_count', title: 'waiting', number: true, show: count },
      { key: 'latest_status', title: 'latest', show: (/** @type {any} */ value, /** @type {any} */ row) => value ? html`<${Status} status=${value} /> ${time(row.latest_at, false)}` : '–' },
      { key: 'test', title: 'change', long: true, show: (/** @type {any} */ _, /** @type {any} */ row) => { const { channel_name: name, enabled } = row; return html`<span class="acts"><button class="quiet" onclick=${() => test(name)}>Test<span class="sr"> ${cut(name, 60)}</span></button>
        <button class="quiet" onclick=${() => setEdited(row)}>Edit<span class="sr"> ${cut(name, 60)}</span></button>
        <button class="quiet" onclick=${() => act(() => send('PATCH', pathOf(name), { enabled: !enabled }), enabled ? 'It is off.' : 'It is on.')}>${enabled ? 'Turn off' : 'Turn on'}<span class="sr"> ${cut(name, 60)}</span></button>
        <button class="quiet" onclick=${() => remove(name)}>Delete<span class="sr"> ${cut(name, 60)}</span></button></span>
        ${tested[name] && html` <span role="status">Test: <${Status} status=${tested[name].status} /> ${cut(tested[name].error ?? '', 120)}</span>`}` } }]} /><//>
    ${edited !== undefined && html`<${Edit} channel=${edited} close=${() => setEdited(undefined)} made=${setKey} />`}
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
