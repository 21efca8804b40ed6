// A client's session state in the one engine: put in place when its turn comes, remembered when another's does,
// removed when it leaves. What cannot be kept apart is listed in bcp_analytics/embedded/__init__.py.
import * as wire from './wire.mjs'
import { HELD_LOCKS, HELD_SETTING, TOUCHED_SETTING, lockCalls } from './setup.mjs'
import { quoteIdent, quoteLiteral } from './sqlscan.mjs'

const SUPERUSER = 'postgres'
const LATER = ['temp', 'hold', 'advisory', 'resets'] // notes that count when the transaction ends
const knownNames = new Set() // custom settings seen in SET: pg_settings does not list them

// RESET SESSION AUTHORIZATION does nothing here: a single-user backend has no user it logged in as.
/** Statements that take the engine from one client's session state to another's. */
export function loadSession(server, from, to) {
  const sql = []
  if (!from || from.user !== SUPERUSER || from.role !== 'none' || from.authorization) sql.push('set session authorization postgres')
  sql.push('reset all') // always: a function may have set something without our notice
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

export const setAll = (settings) => 'select ' + [...settings].map(([name, value]) =>
  `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`).join(', ')

/** Before another client's turn: what did this one change by SET? Asked only when it may have. */
export async function rememberSession(engine, client) {
  if (client.locksHeld) await putLocksAside(engine, client)
  if (!client.settingsChanged || client.closed) return
  // Functions could shadow nothing here: every name is qualified. The probe runs as whoever the client is.
  const names = [...knownNames].map(quoteLiteral).join(', ')
  const custom = names ? ` union all select n, pg_catalog.current_setting(n, true) from pg_catalog.unnest(array[${names}]) n where pg_catalog.current_setting(n, true) <> ''` : ''
  const { rows, error } = await engine.query(
    `select name, pg_catalog.current_setting(name) from pg_catalog.pg_settings where source = 'session' and name not in ('role', 'session_authorization')${custom}`)
  if (error) throw new Error(`could not read the settings: ${error.C} ${error.M}`)
  client.settings = new Map(rows.filter(([name, value]) => client.startSettings.get(name.toLowerCase()) !== value))
  client.settingsChanged = false
}

/** The engine lets go of a client's advisory locks until its next turn; others see them in HELD_SETTING. */
async function putLocksAside(engine, client) {
  for (const lock of [...client.locks.keys()]) {
    let times = 0
    for (let more = true; more; times += more) {
      const { rows } = await engine.query(`select ${lockCalls(lock).free}`)
      more = rows[0]?.[0] === 't' // false, with a warning, when it is free
    }
    if (times) client.locks.set(lock, times)
    else client.locks.delete(lock)
  }
  client.locksHeld = false
}

/** After each run of a client: what it changed, from the notes taken while its messages were rewritten. */
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
  if (client.status !== 'I' || client.inExchange) {
    for (const key of LATER) client[`later_${key}`] ||= notes[key]
    return
  }
  await applyListens(server, client, failed)
  if (notes.temp || client.later_temp) client.tempObjects = difference(await tempObjects(server), server, client, 'tempObjects')
  if (notes.hold || client.later_hold) client.heldCursors = difference(await heldCursors(server), server, client, 'heldCursors')
  if (notes.advisory || client.later_advisory) {
    client.locks = new Map((await own(server, [HELD_LOCKS])).map(([lock]) => [lock, 1]))
    server.turns.locksChanged()
  }
  if ((notes.resets || client.later_resets) && client.startSettings.size) {
    // The engine's RESET knows nothing of the start-up packet: the next turn puts its settings in place again.
    await rememberSession(server.engine, client)
    server.turns.loaded = null
  }
  for (const key of LATER) client[`later_${key}`] = false
}

async function applyListens(server, client, failed) {
  const pending = client.pendingListens
  if (!pending.length) return
  client.pendingListens = []
  if (failed || server.turns.lastTag === 'ROLLBACK') return
  let removed = false
  for (const [sign, channel] of withoutRolledBack(pending)) {
    if (sign === '+') client.channels.add(channel)
    else {
      removed = true
      if (channel === null) client.channels.clear()
      else client.channels.delete(channel)
    }
  }
  if (removed) await listenForAll(server)
}

/** LISTEN and UNLISTEN of one transaction, but for those that a ROLLBACK TO has undone. */
function withoutRolledBack(pending) {
  let kept = []
  for (const [sign, name] of pending) {
    const at = kept.findLastIndex(([kind, savepoint]) => kind === 'savepoint' && savepoint === name)
    if (sign === 'rollback') kept.length = at >= 0 ? at + 1 : kept.length
    else if (sign === 'release') kept = at < 0 ? kept : kept.filter(([kind], i) => i < at || kind !== 'savepoint')
    else kept.push([sign, name])
  }
  return kept.filter(([sign]) => sign !== 'savepoint')
}

/** UNLISTEN of one client ends the engine's registration: others may still listen. */
async function listenForAll(server) {
  const channels = new Set([...server.clients].flatMap((client) => [...client.channels]))
  await own(server, ['unlisten *', ...[...channels].map((channel) => `listen ${quoteIdent(channel)}`)])
}

const difference = (all, server, client, key) =>
  new Set(all.filter((name) => ![...server.clients].some((other) => other !== client && other[key].has(name))))

const tempObjects = async (server) => (await own(server, [
  "select 'drop table if exists ' || c.oid::regclass || ' cascade' from pg_catalog.pg_class c where c.relpersistence = 't' and c.relkind in ('r', 'p') and c.relnamespace = pg_my_temp_schema()" +
  " union all select 'drop view if exists ' || c.oid::regclass || ' cascade' from pg_catalog.pg_class c where c.relkind = 'v' and c.relnamespace = pg_my_temp_schema()" +
  " union all select 'drop sequence if exists ' || c.oid::regclass || ' cascade' from pg_catalog.pg_class c where c.relkind = 'S' and c.relnamespace = pg_my_temp_schema() and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i'))",
])).map(([name]) => name)

const heldCursors = async (server) => (await own(server, [
  'select name from pg_catalog.pg_cursors where is_holdable'])).map(([name]) => name)

/** Statements of the server's own; answers the last one's rows. */
async function own(server, list) {
  let rows = []
  for (const sql of list) {
    const result = await server.engine.query(sql)
    if (result.error) throw new Error(`${sql}: ${result.error.C} ${result.error.M}`)
    rows = result.rows
  }
  return rows
}

/** Frees what a client holds in the engine: at its end (`leaving`), and for DISCARD ALL. */
export async function resetSession(server, client, leaving) {
  const { engine, turns } = server
  const mine = turns.loaded === client
  // Sync alone would commit what an unfinished exchange has done: an error goes before it.
  if (mine && client.inExchange) await exec(server, Buffer.concat([wire.parse('', 'abandoned'), wire.SYNC]))
  if (mine && (client.inExchange || client.status !== 'I')) await own(server, ['rollback'])
  client.inExchange = false
  client.status = 'I'
  const dirty = client.statements.size || client.tempObjects.size || client.heldCursors.size || client.channels.size ||
    client.locks.size // the loaded session's HELD_SETTING names them
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
    await engine.query(`close ${quoteIdent(name)}`) // it may be closed already
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

/** Frontend messages of the server's own; their output is thrown away. */
function exec(server, data) {
  return new Promise((resolve) => {
    server.engine.run(data, {
      out: (_data, kb) => server.engine.acknowledge(kb),
      more: () => {},
      done: (_data, kb) => {
        if (kb) server.engine.acknowledge(kb)
        resolve()
      },
    })
  })
}
