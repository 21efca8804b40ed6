// What a client says, as the one engine should hear it: every client's prepared statements get names of their own,
// and the few SQL commands that would touch other clients' state are noticed or replaced.
import { closeStatement, cstr, message, query, readCstr } from './wire.mjs'
import { clip, quoteIdent, statements } from './sqlscan.mjs'

/** @typedef {import('./sqlscan.mjs').Token} Token */
/** @typedef {import('./client.mjs').Client} Client */

/**
 * A LISTEN or UNLISTEN ('+' or '-' and the channel, null for all), or what may undo it: a savepoint's life.
 * @typedef {['+' | 'savepoint' | 'release' | 'rollback', string] | ['-', string | null]} Listening
 */

/**
 * What a batch does that decides what the server does around it.
 * @typedef {object} Notes
 * @property {boolean} settings it may change settings
 * @property {boolean} resets it may set some back to their defaults
 * @property {boolean} roles it may make or change roles
 * @property {boolean} temp it may make temporary objects
 * @property {boolean} hold it may open cursors WITH HOLD
 * @property {boolean} advisory it may take advisory locks
 * @property {boolean} discardAll it is DISCARD ALL
 * @property {boolean} [ownUnnamed] it has parsed the unnamed statement itself
 * @property {Listening[]} listens
 * @property {Set<string>} names custom settings, which pg_settings does not list
 * @property {Record<string, number>} swallow how many answers to messages of ours the client must not see, by type
 * @property {[string, string][]} tags command tags to put right: what the engine says, what the client meant
 */

/**
 * The part of a client that says how its SQL is read.
 * @typedef {object} Speaker
 * @property {string} prefix what its statements' names begin with in the engine
 * @property {string} user
 * @property {Map<string, Notes>} statements its prepared statements, by their names in the engine
 * @property {string} status of its transaction: I, T or E
 * @property {Map<string, string>} reported the parameters that it was told of
 */

const NEEDS_A_LOOK =
  /\b(?:prepare|execute|deallocate|discard|listen|unlisten|session|session_authorization|temp|temporary|pg_temp|hold|set|reset|set_config|load|role|user|group|savepoint|release|rollback)\b|advisory/i
const CHANGES_SETTINGS = /\b(?:set|reset|set_config|discard|load)\b/i
const RESETS_SETTINGS = /\b(?:reset|default)\b/i
const CHANGES_ROLES = /\b(?:role|user|group)\b/i
const MAKES_TEMP = /\b(?:temp|temporary|pg_temp)\b/i
const SET_CONFIG = /set_config\s*\(\s*'([a-z_]\w*\.[a-z_]\w*)'/gi
// The engine's own user is the superuser: a client's default is whom it logged in as.
const OWN_USER =
  /^(?:reset (?:session authorization|session_authorization)|set (local |session )?(?:session authorization|session_authorization (?:=|to)) default)$/
/** @type {('settings' | 'resets' | 'roles' | 'temp' | 'hold' | 'advisory')[]} */
const FLAGS = ['settings', 'resets', 'roles', 'temp', 'hold', 'advisory']

/**
 * What a prepared statement's text does counts when it runs, in whatever batch that is.
 * @param {Notes | undefined} statement
 * @param {Notes} notes
 */
function runs(statement, notes) {
  if (!statement) return
  for (const key of FLAGS) notes[key] ||= statement[key]
  for (const name of statement.names) notes.names.add(name)
  notes.listens.push(...statement.listens)
}

/** @returns {Notes} */
export const newNotes = () => ({
  settings: false, roles: false, temp: false, hold: false, advisory: false, resets: false, discardAll: false,
  listens: [], names: new Set(), swallow: {}, tags: [],
})

/** @param {Token[]} tokens */
const plainWords = (tokens) => tokens.map(({ kind, text }) => kind === 'word' || kind === 'symbol' ? text : '?')

/**
 * SQL of one client with its statements' names made unique: the text, and frames to run before it.
 * @param {string} sql
 * @param {Speaker} client
 * @param {Notes} notes
 * @returns {[string, Buffer[]]}
 */
export function rewriteSql(sql, { prefix, user, statements: prepared, status, reported }, notes) {
  if (!NEEDS_A_LOOK.test(sql)) return [sql, []]
  if (CHANGES_SETTINGS.test(sql)) {
    notes.settings = true
    notes.resets ||= RESETS_SETTINGS.test(sql)
    for (const [, name] of sql.matchAll(SET_CONFIG)) notes.names.add(name.toLowerCase())
  }
  if (CHANGES_ROLES.test(sql)) notes.roles = true
  if (MAKES_TEMP.test(sql)) notes.temp = true
  if (/\bhold\b/i.test(sql)) notes.hold = true
  if (/advisory/i.test(sql)) notes.advisory = true
  /** @type {Buffer[]} */
  const before = []
  /** @type {[number, number, string][]} */
  const edits = []
  const all = statements(sql, reported.get('standard_conforming_strings') === 'off')
  const made = new Set() // statements that this text itself prepares
  const own = (/** @type {string} */ name) => clip(prefix + name)
  const rename = (/** @type {Token} */ token) => edits.push([token.start, token.end, quoteIdent(own(token.text))])
  const forgetAll = () => {
    for (const name of prepared.keys()) {
      if (made.has(name)) continue // not yet there when the frames before this text run
      before.push(closeStatement(name))
      notes.swallow['3'] = (notes.swallow['3'] ?? 0) + 1
      prepared.delete(name)
    }
  }
  // DISCARD PLANS does nothing a client can see; it stands in for commands that reach too far.
  const standIn = (/** @type {Token[]} */ tokens, /** @type {string} */ tag) => {
    edits.push([tokens[0].start, tokens[tokens.length - 1].end, 'DISCARD PLANS'])
    notes.tags.push(['DISCARD PLANS', tag])
  }
  for (const tokens of all) {
    const [first, second, third] = tokens
    const executed = executedInside(tokens)
    if (executed) {
      rename(executed)
      runs(prepared.get(own(executed.text)), notes)
    }
    if (first.kind !== 'word') continue
    const ownUser = OWN_USER.exec(plainWords(tokens).join(' '))
    if (first.text === 'prepare' && second && third?.kind !== 'string') { // PREPARE TRANSACTION takes a string
      rename(second)
      made.add(own(second.text))
      // It does what the whole text does: too much does no harm. But no such statement can listen.
      prepared.set(own(second.text), { ...notes, listens: [] })
    } else if (first.text === 'execute' && second) {
      rename(second)
      runs(prepared.get(own(second.text)), notes)
    } else if (first.text === 'deallocate' && second) {
      const target = second.text === 'prepare' && second.kind === 'word' && third ? third : second
      if (target.text === 'all' && target.kind === 'word') {
        forgetAll()
        standIn(tokens, 'DEALLOCATE ALL')
      } else {
        rename(target)
        made.delete(own(target.text))
        prepared.delete(own(target.text))
      }
    } else if (first.text === 'discard' && second?.text === 'all' && all.length === 1 && status === 'I') {
      forgetAll()
      notes.discardAll = true
      standIn(tokens, 'DISCARD ALL')
    } else if (ownUser) {
      const scope = ownUser[1] ?? ''
      edits.push([first.start, tokens[tokens.length - 1].end, `set ${scope}session authorization ${quoteIdent(user)}`])
      notes.tags.push(['SET', first.text.toUpperCase()])
    } else if (first.text === 'set') {
      const name = customSetting(tokens)
      if (name) notes.names.add(name)
    } else {
      const listening = listens(tokens)
      if (listening) notes.listens.push(listening)
    }
  }
  let out = sql
  for (const [from, to, text] of edits.reverse()) out = out.slice(0, from) + text + out.slice(to)
  return [out, before]
}

/**
 * What LISTEN, UNLISTEN, SAVEPOINT, RELEASE and ROLLBACK TO mean for what the client listens to.
 * @param {Token[]} tokens
 * @returns {Listening | null}
 */
function listens(tokens) {
  const [first, second] = tokens
  if (!second) return null
  switch (first.text) {
    case 'listen': return ['+', second.text]
    case 'unlisten': return ['-', second.kind === 'symbol' ? null : second.text]
    case 'savepoint': return ['savepoint', second.text]
    case 'release': return ['release', savepoint(tokens, 1)]
    case 'rollback': {
      const to = plainWords(tokens).indexOf('to')
      return to < 0 ? null : ['rollback', savepoint(tokens, to + 1)]
    }
    default: return null
  }
}

/**
 * The name in [SAVEPOINT] name, which may itself be "savepoint".
 * @param {Token[]} tokens
 * @param {number} at
 */
const savepoint = (tokens, at) => (tokens[at + 1] ?? tokens[at])?.text ?? ''

/**
 * The name of a custom setting, as in SET [SESSION | LOCAL] my.setting TO ..., which pg_settings does not list.
 * @param {Token[]} tokens
 */
function customSetting(tokens) {
  const words = plainWords(tokens)
  let at = ['session', 'local'].includes(words[1]) && !['.', '=', 'to'].includes(words[2]) ? 2 : 1
  const parts = [tokens[at]?.text]
  for (; words[at + 1] === '.' && tokens[at + 2]; at += 2) parts.push(tokens[at + 2].text)
  return parts.length > 1 ? parts.join('.').toLowerCase() : null
}

/**
 * The statement's name in EXPLAIN ... EXECUTE name and [EXPLAIN ...] CREATE TABLE ... AS EXECUTE name.
 * @param {Token[]} tokens
 */
function executedInside(tokens) {
  const words = plainWords(tokens)
  let at = 0
  if (words[0] === 'explain') {
    at = words[1] === '(' ? words.indexOf(')') + 1 : 1
    while (['analyze', 'analyse', 'verbose'].includes(words[at])) at++
  }
  if (words[at] === 'create') {
    const table = words.indexOf('table', at)
    if (table < 0 || table > at + 3) return null
    at = words.indexOf('as', table) + 1
  }
  return at > 0 && words[at] === 'execute' ? tokens[at + 1] : null
}

/**
 * A client's frontend message as the engine should get it.
 * @param {Buffer} frame
 * @param {Client} client
 * @param {Notes} notes
 */
export function rewriteFrame(frame, client, notes) {
  const { prefix, statements: mine } = client
  switch (String.fromCharCode(frame[0])) {
    case 'Q': {
      const [sql] = readCstr(frame, 5)
      const [text, before] = rewriteSql(sql, client, notes)
      client.unnamed = null // a simple query ends the unnamed statement
      return [...before, text === sql ? frame : query(text)]
    }
    case 'P': {
      const [name, afterName] = readCstr(frame, 5)
      const [sql, afterSql] = readCstr(frame, afterName)
      const own = newNotes()
      const [text, before] = rewriteSql(sql, client, own)
      if (name) mine.set(clip(prefix + name), own)
      else client.unnamedNotes = own
      notes.tags.push(...own.tags)
      notes.discardAll ||= own.discardAll
      if (own.swallow['3']) notes.swallow['3'] = (notes.swallow['3'] ?? 0) + own.swallow['3']
      if (name === '' && text === sql) {
        client.unnamed = frame
        notes.ownUnnamed = true
        return [...before, frame]
      }
      const out = message('P', cstr(name && clip(prefix + name)), cstr(text), frame.subarray(afterSql))
      if (!name) {
        client.unnamed = out
        notes.ownUnnamed = true
      }
      return [...before, out]
    }
    case 'B': {
      const [portal, afterPortal] = readCstr(frame, 5)
      const [name, afterName] = readCstr(frame, afterPortal)
      runs(name ? mine.get(clip(prefix + name)) : client.unnamedNotes, notes)
      if (!name) return unnamed(frame, client, notes)
      return [message('B', cstr(portal), cstr(clip(prefix + name)), frame.subarray(afterName))]
    }
    case 'D':
    case 'C': {
      const [name] = readCstr(frame, 6)
      if (frame[5] !== 0x53) return [frame] // a portal: it ends with the transaction, which holds the turn
      if (!name) return frame[0] === 0x44 ? unnamed(frame, client, notes) : [frame]
      if (frame[0] === 0x43) mine.delete(clip(prefix + name))
      return [message(String.fromCharCode(frame[0]), Buffer.from('S'), cstr(clip(prefix + name)))]
    }
    default:
      return [frame]
  }
}

/**
 * Others may have used the engine's unnamed statement since this client's last turn: parse it again.
 * @param {Buffer} frame
 * @param {Client} client
 * @param {Notes} notes
 */
function unnamed(frame, client, notes) {
  if (notes.ownUnnamed || !client.unnamed || !client.lostUnnamed) return [frame]
  client.lostUnnamed = false
  notes.swallow['1'] = (notes.swallow['1'] ?? 0) + 1
  return [client.unnamed, frame]
}
