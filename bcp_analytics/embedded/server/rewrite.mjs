// What a client says, as the one engine should hear it: every client's prepared statements get names of their own,
// and the few SQL commands that would touch other clients' state are noticed or replaced.
import { closeStatement, cstr, message, query, readCstr } from './wire.mjs'
import { quoteIdent, statements } from './sqlscan.mjs'

const NEEDS_A_LOOK = /\b(?:prepare|execute|deallocate|discard|listen|unlisten|session|temp|temporary|pg_temp|hold|set|reset|set_config|load|role|user|group|savepoint|rollback)\b|advisory/i
const CHANGES_SETTINGS = /\b(?:set|reset|set_config|discard|load)\b/i
const RESETS_SETTINGS = /\b(?:reset|default)\b/i
const CHANGES_ROLES = /\b(?:role|user|group)\b/i
const MAKES_TEMP = /\b(?:temp|temporary|pg_temp)\b/i
const SETTING_NAMES = /\bset\s+(?:session\s+|local\s+)?([a-z_]\w*\.[a-z_]\w*)|set_config\s*\(\s*'([a-z_]\w*\.[a-z_]\w*)'/gi

/** What a prepared statement's text does counts when it runs, in whatever batch that is. */
function runs(statement, notes) {
  for (const key of ['settings', 'resets', 'roles', 'temp', 'hold', 'advisory']) notes[key] ||= statement?.[key] ?? false
  for (const name of statement?.names ?? []) notes.names.add(name)
  notes.listens.push(...statement?.listens ?? [])
}

/** Notes about a batch that decide what the server does around it. */
export const newNotes = () => ({
  settings: false, roles: false, temp: false, hold: false, advisory: false, resets: false, discardAll: false,
  listens: [], // ['+', channel], ['-', channel] or ['-', '*']; ['savepoint', name], ['rollback', name]
  names: new Set(), // custom settings, which pg_settings does not list
  swallow: {}, // how many answers to messages of ours the client must not see, by type
  tags: [], // [said, meant]: command tags to put right
})

/**
 * SQL of one client with its statement names made unique. Returns [sql, frames to run before it].
 * A client's `statements` are its engine-side names, `prefix` what they begin with.
 */
export function rewriteSql(sql, { prefix, user, statements: statementsOf, status }, notes) {
  const idle = status === 'I'
  if (!NEEDS_A_LOOK.test(sql)) return [sql, []]
  if (CHANGES_SETTINGS.test(sql)) {
    notes.settings = true
    notes.resets ||= RESETS_SETTINGS.test(sql)
    for (const found of sql.matchAll(SETTING_NAMES)) notes.names.add((found[1] ?? found[2]).toLowerCase())
  }
  if (CHANGES_ROLES.test(sql)) notes.roles = true
  if (MAKES_TEMP.test(sql)) notes.temp = true
  if (/\bhold\b/i.test(sql)) notes.hold = true
  if (/advisory/i.test(sql)) notes.advisory = true
  const before = []
  const edits = []
  const all = statements(sql)
  const forgetAll = () => {
    for (const name of statementsOf.keys()) before.push(closeStatement(name))
    notes.swallow['3'] = (notes.swallow['3'] ?? 0) + statementsOf.size
    statementsOf.clear()
  }
  // DISCARD PLANS does nothing a client can see; it stands in for commands that reach too far.
  const standIn = (statement, tag) => {
    edits.push([statement.tokens[0].start, statement.tokens.at(-1).end, 'DISCARD PLANS'])
    notes.tags.push(['DISCARD PLANS', tag])
  }
  for (const statement of all) {
    const [first, second, third] = statement.tokens
    const inner = executedInside(statement.tokens)
    if (inner) {
      edits.push([inner.start, inner.end, quoteIdent(prefix + inner.text)])
      runs(statementsOf.get(prefix + inner.text), notes)
    }
    if (first.kind !== 'word') continue
    if (first.text === 'prepare' && second && second.text !== 'transaction') {
      const name = prefix + second.text
      statementsOf.set(name, notes) // the whole text's: too much does no harm
      edits.push([second.start, second.end, quoteIdent(name)])
    } else if (first.text === 'execute' && second) {
      runs(statementsOf.get(prefix + second.text), notes)
      edits.push([second.start, second.end, quoteIdent(prefix + second.text)])
    } else if (first.text === 'deallocate' && second) {
      const target = second.text === 'prepare' && second.kind === 'word' && third ? third : second
      if (target.text === 'all' && target.kind === 'word') {
        forgetAll()
        standIn(statement, 'DEALLOCATE ALL')
      } else {
        statementsOf.delete(prefix + target.text)
        edits.push([target.start, target.end, quoteIdent(prefix + target.text)])
      }
    } else if (first.text === 'discard' && second?.text === 'all' && all.length === 1 && idle) {
      forgetAll()
      notes.discardAll = true
      standIn(statement, 'DISCARD ALL')
    } else if (namesOwnUser(statement.tokens)) {
      // The engine's own user is the superuser: a client's default is whom it logged in as.
      edits.push([first.start, statement.tokens.at(-1).end, `set session authorization ${quoteIdent(user)}`])
      notes.tags.push(['SET', first.text.toUpperCase()])
    } else if (first.text === 'listen' && second) {
      notes.listens.push(['+', second.text])
    } else if (first.text === 'unlisten' && second) {
      notes.listens.push(['-', second.text])
    } else if (first.text === 'savepoint' && second) {
      notes.listens.push(['savepoint', second.text])
    } else if (first.text === 'rollback' && statement.tokens.some((token) => token.text === 'to')) {
      const words = statement.tokens.map((token) => token.text)
      const at = words.indexOf('to') + 1
      notes.listens.push(['rollback', words[at] === 'savepoint' && words[at + 1] ? words[at + 1] : words[at]])
    }
  }
  let out = sql
  for (const [from, to, text] of edits.toReversed()) out = out.slice(0, from) + text + out.slice(to)
  return [out, before]
}

/** The statement's name in EXPLAIN ... EXECUTE name and CREATE TABLE ... AS EXECUTE name. */
function executedInside(tokens) {
  const words = tokens.map((token) => token.kind === 'word' ? token.text : token.kind === 'symbol' ? token.text : '?')
  let at
  if (words[0] === 'create') at = words.findIndex((word, i) => word === 'execute' && words[i - 1] === 'as')
  else if (words[0] === 'explain') {
    at = words[1] === '(' ? words.indexOf(')') + 1 : 1
    while (['analyze', 'verbose'].includes(words[at])) at++
    if (words[at] !== 'execute') return null
  } else return null
  return at > 0 ? tokens[at + 1] : null
}

/** RESET SESSION AUTHORIZATION, or SET SESSION AUTHORIZATION DEFAULT. */
function namesOwnUser(tokens) {
  const text = tokens.map((token) => token.kind === 'word' ? token.text : '?').join(' ')
  return /^(?:reset session authorization|set (?:session )?session authorization default)$/.test(text)
}

/** A client's frontend message as the engine should get it: a list of frames. */
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
      if (name) mine.set(prefix + name, own)
      else client.unnamedNotes = own
      notes.tags.push(...own.tags)
      notes.discardAll ||= own.discardAll
      if (own.swallow['3']) notes.swallow['3'] = (notes.swallow['3'] ?? 0) + own.swallow['3']
      if (name === '' && text === sql) {
        client.unnamed = frame
        notes.ownUnnamed = true
        return [...before, frame]
      }
      const out = message('P', cstr(name && prefix + name), cstr(text), frame.subarray(afterSql))
      if (!name) {
        client.unnamed = out
        notes.ownUnnamed = true
      }
      return [...before, out]
    }
    case 'B': {
      const [portal, afterPortal] = readCstr(frame, 5)
      const [name, afterName] = readCstr(frame, afterPortal)
      runs(name ? mine.get(prefix + name) : client.unnamedNotes, notes)
      if (!name) return unnamed(frame, client, notes)
      return [message('B', cstr(portal), cstr(prefix + name), frame.subarray(afterName))]
    }
    case 'D':
    case 'C': {
      const [name] = readCstr(frame, 6)
      if (frame[5] !== 0x53) return [frame] // a portal: it ends with the transaction, which holds the turn
      if (!name) return frame[0] === 0x44 ? unnamed(frame, client, notes) : [frame]
      if (frame[0] === 0x43) mine.delete(prefix + name)
      return [message(String.fromCharCode(frame[0]), Buffer.from('S'), cstr(prefix + name))]
    }
    default:
      return [frame]
  }
}

/** Others may have used the engine's unnamed statement since this client's last turn: parse it again. */
function unnamed(frame, client, notes) {
  if (notes.ownUnnamed || !client.unnamed || !client.lostUnnamed) return [frame]
  client.lostUnnamed = false
  notes.swallow['1'] = (notes.swallow['1'] ?? 0) + 1
  return [client.unnamed, frame]
}
