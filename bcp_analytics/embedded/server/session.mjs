// A client's session state in the one engine: it is put in place when the client's turn begins, remembered when
// another's does, and removed when the client leaves. docs/reference/embedded.md lists what cannot be kept
// apart.
import * as wire from './wire.mjs'
import { HELD_LOCKS, HELD_SETTING, TOUCHED_SETTING, lockCalls } from './setup.mjs'
import { quoteIdent, quoteLiteral } from './sqlscan.mjs'

/** @typedef {import('./client.mjs').Client} Client */
/** @typedef {import('./server.mjs').Server} Server */
/** @typedef {import('./rewrite.mjs').Listening} Listening */

const SUPERUSER = 'postgres'
/** @type {('temp' | 'hold' | 'advisory' | 'resets')[]} */
const LATER = ['temp', 'hold', 'advisory', 'resets'] // notes that count when the transaction ends
export const newLater = () => ({ temp: false, hold: false, advisory: false, resets: false })
/** @type {Set<string>} */
const knownNames = new Set() // custom settings seen in SET: pg_settings does not list them

/**
 * Statements that take the engine from one client's session state to another's.
 * RESET SESSION AUTHORIZATION would do nothing: a single-user backend has no user that logged in.
 * @param {Server} server
 * @param {Client | null} from
 * @param {Client} to
 */
export function loadSession(server, from, to) {
  const sql = []
  const plain = from?.user === SUPERUSER && from.role === 'none' && !from.authorization
  if (!plain) sql.push('set session authorization postgres')
  sql.push('reset all') // always: a function may have set something that nobody noticed
  const wanted = new Map([...to.startSettings, ...to.settings])
  const held = [...server.clients].filter((other) => other !== to).flatMap((other) => [...other.locks.keys()])
  if (held.length) wanted.set(HELD_SETTING, held.map((lock) => ` ${lock} `).join(''))
  if (wanted.size) sql.push(setAll(wanted))
  const user = to.authorization || to.user
  if (user !== SUPERUSER) sql.push(`set session authorization ${quoteIdent(user)}`)
  const locks = [...to.locks].flatMap(([lock, times]) => Array(times).fill(lockCalls(lock).take))
  if (locks.length) sql.push(`select ${locks.join(', ')}`)
  to.locksHeld = true
  if (to.role && to.role !== 'none') sql.push(`set role ${quoteIdent(to.role)}`)
  return sql
}

/** @param {Map<string, string>} settings */
export const setAll = (settings) => 'select ' + [...settings].map(([name, value]) =>
  `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`).join(', ')

/**
 * Before another client's turn: remembers what this one has changed by SET, if it may have.
 * @param {Server['engine']} engine
 * @param {Client} client
 */
export async function rememberSession(engine, client) {
  if (client.locksHeld) await putLocksAside(engine, client)
  if (!client.settingsChanged || client.closed) return
  // This runs with the client's search_path and rights, so every name is qualified.
  const names = [...knownNames].map(quoteLiteral).join(', ')
  const custom = names ? ` union all
    select n, pg_catalog.current_setting(n, true) from pg_catalog.unnest(array[${names}]) n
    where pg_catalog.current_setting(n, true) <> ''` : ''
  const { rows, error } = await engine.query(`select name, pg_catalog.current_setting(name)
    from pg_catalog.pg_settings where source = 'session' and name not in ('role', 'session_authorization')${custom}`)
  if (error) throw new Error(`could not read the settings: ${error.C} ${error.M}`)
  client.settings = new Map()
  for (const [name, value] of rows.map((/** @type {import('./engine.mjs').Row} */ row) => row.map(String))) {
    if (client.startSettings.get(name.toLowerCase()) !== value) client.settings.set(name, value)
  }
  client.settingsChanged = false
}

/**
 * Releases a client's advisory locks in the engine until its next turn; others see them in HELD_SETTING.
 * @param {Server['engine']} engine
 * @param {Client} client
 */
async function putLocksAside(engine, client) {
  for (const lock of [...client.locks.keys()]) {
    let times = 0
    const free = `select ${lockCalls(lock).free}` // says false, with a warning, when the lock is not held
    while ((await engine.query(free)).rows[0]?.[0] === 't') times++
    if (times) client.locks.set(lock, times)
    else client.locks.delete(lock)
  }
  client.locksHeld = false
}

/**
 * After each run of a client: what has it changed? The notes taken while its messages were rewritten say where to look.
 * @param {Server} server
 * @param {Client} client
 */
export async function takeStock(server, client) {
  const { notes } = client
  const { parameters } = server.engine
  client.role = parameters.role || 'none'
  client.authorization = parameters.session_authorization && parameters.session_authorization !== client.user
    ? parameters.session_authorization : ''
  client.limits(parameters)
  if (parameters[TOUCHED_SETTING]) notes.advisory = true
  if (notes.settings) client.settingsChanged = true
  for (const name of notes.names) knownNames.add(name)
  if (notes.roles) server.rolesChanged = true
  client.pendingListens.push(...notes.listens)
  const failed = client.closed || server.turns.errorSeen
  for (const key of LATER) client.later[key] ||= notes[key]
  if (client.status !== 'I' || client.inExchange) return
  const { temp, hold, advisory, resets } = client.later
  await applyListens(server, client, failed)
  if (temp) client.tempObjects = ownOf(await names(server, TEMP_OBJECTS), server, client, 'tempObjects')
  if (hold) client.heldCursors = ownOf(await names(server, HELD_CURSORS), server, client, 'heldCursors')
  if (advisory) {
    client.locks = new Map((await names(server, HELD_LOCKS)).map((lock) => [lock, 1]))
    server.turns.locksChanged()
  }
  if (resets && client.startSettings.size) {
    // The engine's RESET knows nothing of the start-up packet, so the next turn puts its settings in place again.
    await rememberSession(server.engine, client)
    server.turns.loaded = null
  }
  client.later = newLater()
}

/**
 * @param {Server} server
 * @param {Client} client
 * @param {boolean} failed
 */
async function applyListens(server, client, failed) {
  const pending = client.pendingListens
  if (!pending.length) return
  client.pendingListens = []
  if (failed || server.turns.lastTag === 'ROLLBACK') return
  let removed = false
  for (const [sign, channel] of withoutRolledBack(pending)) {
    if (channel === null) client.channels.clear()
    else if (sign === '+') client.channels.add(channel)
    else client.channels.delete(channel)
    removed ||= sign === '-'
  }
  if (removed) await listenForAll(server)
}

/**
 * The LISTENs and UNLISTENs of a transaction without those that a ROLLBACK TO has undone.
 * @param {Listening[]} pending
 */
function withoutRolledBack(pending) {
  /** @type {Listening[]} */
  let kept = []
  for (const entry of pending) {
    const [sign, name] = entry
    const at = kept.findLastIndex(([kind, savepoint]) => kind === 'savepoint' && savepoint === name)
    if (sign === 'rollback') kept.length = at >= 0 ? at + 1 : kept.length
    else if (sign === 'release') kept = at < 0 ? kept : kept.filter(([kind], i) => i < at || kind !== 'savepoint')
    else kept.push(entry)
  }
  return kept.filter(([sign]) => sign !== 'savepoint')
}

/**
 * Registers all channels anew: UNLISTEN of one client ends the engine's only registration, and others may still listen.
 * @param {Server} server
 */
async function listenForAll(server) {
  const channels = new Set([...server.clients].flatMap((client) => [...client.channels]))
  await own(server, ['unlisten *', ...[...channels].map((channel) => `listen ${quoteIdent(channel)}`)])
}

/**
 * Those of `all` that no other client owns.
 * @param {string[]} all
 * @param {Server} server
 * @param {Client} client
 * @param {'tempObjects' | 'heldCursors'} key
 */
const ownOf = (all, server, client, key) =>
  new Set(all.filter((name) => ![...server.clients].some((other) => other !== client && other[key].has(name))))

// Statements that drop the temporary objects of all clients. A serial column's sequence goes with its table.
const TEMP_OBJECTS = `
  select pg_catalog.format('drop %s if exists %s cascade',
    case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, c.oid::pg_catalog.regclass)
  from pg_catalog.pg_class c
  where c.relpersistence = 't' and c.relkind in ('r', 'p', 'v', 'S') and c.relnamespace = pg_catalog.pg_my_temp_schema()
    and not exists (select from pg_catalog.pg_depend d
      where c.relkind = 'S' and d.objid = c.oid and d.deptype in ('a', 'i'))`
const HELD_CURSORS = 'select name from pg_catalog.pg_cursors where is_holdable'

/**
 * The first column of a query of the server's own.
 * @param {Server} server
 * @param {string} sql
 */
const names = async (server, sql) => (await own(server, [sql])).map(([name]) => String(name))

/**
 * Runs statements of the server's own; answers the last one's rows.
 * @param {Server} server
 * @param {string[]} list
 */
async function own(server, list) {
  /** @type {import('./engine.mjs').Row[]} */
  let rows = []
  for (const sql of list) {
    const result = await server.engine.query(sql)
    if (result.error) throw new Error(`${sql}: ${result.error.C} ${result.error.M}`)
    rows = result.rows
  }
  return rows
}

/**
 * Frees what a client holds in the engine.
 * @param {Server} server
 * @param {Client} client
 * @param {boolean} leaving the client has gone; otherwise it said DISCARD ALL
 */
export async function resetSession(server, client, leaving) {
  const { engine, turns } = server
  const mine = turns.loaded === client
  // A Sync alone would commit what an unfinished exchange has done, so send an error before it.
  if (mine && client.inExchange) await exec(server, Buffer.concat([wire.parse('', 'abandoned'), wire.SYNC]))
  if (mine && (client.inExchange || client.status !== 'I')) await own(server, ['rollback'])
  client.inExchange = false
  client.status = 'I'
  // Advisory locks too: HELD_SETTING of the loaded session names them.
  const dirty = client.statements.size || client.tempObjects.size || client.heldCursors.size || client.channels.size ||
    client.locks.size
  if (!mine && dirty && turns.loaded) await rememberSession(engine, turns.loaded)
  if (mine || dirty) {
    await own(server, ['set session authorization postgres', 'reset all', 'select pg_catalog.pg_advisory_unlock_all()'])
    turns.loaded = null
  }
  if (client.statements.size) {
    await exec(server, Buffer.concat([...[...client.statements.keys()].map(wire.closeStatement), wire.SYNC]))
    client.statements.clear()
  }
  if (client.tempObjects.size) await own(server, [...client.tempObjects])
  for (const name of client.heldCursors) {
    await engine.query(`close ${quoteIdent(name)}`) // which fails if the client has closed it
  }
  const listened = client.channels.size
  client.tempObjects = new Set()
  client.heldCursors = new Set()
  client.channels = new Set()
  client.settings = new Map()
  client.settingsChanged = false
  client.authorization = ''
  client.role = 'none'
  const hadLocks = client.locks.size > 0
  client.locks = new Map()
  client.locksHeld = false
  if (hadLocks) turns.locksChanged()
  client.unnamed = null
  if (listened) await listenForAll(server)
  if (leaving) client.cleaned = true
}

/**
 * Runs frontend messages of the server's own and drops their output.
 * @param {Server} server
 * @param {Buffer} data
 * @returns {Promise<void>}
 */
function exec(server, data) {
  return new Promise((resolve) => {
    server.engine.run(data, {
      out: (/** @type {Buffer} */ _, /** @type {number} */ kb) => server.engine.acknowledge(kb),
      more: () => {},
      done: (/** @type {Buffer | null} */ _, /** @type {number} */ kb) => {
        if (kb) server.engine.acknowledge(kb)
        resolve()
      },
    })
  })
}
