// The embedded database server: sockets, clients, and behind them one TimescaleDB in WebAssembly.
// bcp_analytics.embedded starts it, and passes the lock of the data folder on to it as an open file.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import * as wire from './wire.mjs'
import { Client } from './client.mjs'
import { copyEmpty, holdsStore, keepEmpty } from './empty.mjs'
import { Engine } from './engine.mjs'
import { Jobs } from './jobs.mjs'
import { Log, reason, trace } from './log.mjs'
import { setAll } from './session.mjs'
import { TOUCHED_SETTING } from './setup.mjs'
import { quoteIdent } from './sqlscan.mjs'
import { Turns } from './turns.mjs'
import { verifier } from './scram.mjs'

const MAX_CLIENTS = 200
const MAX_STRANGERS = 200 // connections that are not authenticated yet
const PRIVATE_PARAMETERS = new Set(
  ['role', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout', TOUCHED_SETTING])

/**
 * What _database.py writes into server-options.json.
 * @typedef {object} Options
 * @property {string} modules the node_modules folder with the engine
 * @property {string} pgdata
 * @property {string} socketDir
 * @property {string} state the file that says what runs
 * @property {string} log
 * @property {string} logLevel
 * @property {number | null} port on 127.0.0.1; 0 is any free one, null none
 * @property {string} passwordFile
 * @property {boolean} runJobs
 * @property {number | null} idleStopMs
 * @property {number} idleInTransactionMs
 * @property {number | null} statementTimeoutMs
 * @property {boolean} stopWithParent
 */

export class Server {
  /** @param {Options} options */
  constructor(options) {
    this.options = options
    this.log = new Log(options.log, options.logLevel)
    /** @type {Set<Client>} */
    this.clients = new Set()
    /** @type {Set<Client>} */
    this.strangers = new Set() // those of the clients that are not authenticated yet, the oldest first
    this.engine = new Engine({ modules: options.modules, dataDir: options.pgdata, log: this.log })
    this.engine.onCrash = (why) => this.#crashed(why)
    this.engine.onNotification = (frame) => this.notify(frame)
    this.turns = new Turns(this)
    this.jobs = new Jobs(this)
    this.open = false
    this.rolesChanged = true
    /** @type {Map<string, {login: boolean, superuser: boolean}>} */
    this.roles = new Map()
    /** @type {net.Server[]} */
    this.listeners = []
    /** @type {number[]} */
    this.crashes = [] // when the engine died
    /** @type {import('./engine.mjs').About} */
    this.about = { database: '', version: '', license: '' }
    /** @type {Record<string, string>} */
    this.baseline = {} // the parameters of a new session
    /** @type {import('./scram.mjs').Verifier | null} */
    this.verifier = null
    this.stopping = false
    /** @type {NodeJS.Timeout | undefined} */
    this.idleTimer = undefined
  }

  async start() {
    const began = Date.now()
    if (this.options.port !== null) this.#readPassword() // before the engine, which takes seconds
    const { modules, pgdata } = this.options
    const make = !holdsStore(pgdata) && !copyEmpty(modules, pgdata, this.log)
    this.about = await this.engine.start(make)
    if (make) {
      const { error } = await this.engine.query('checkpoint')
      if (!error) keepEmpty(modules, pgdata, this.log)
    }
    this.baseline = { ...this.reportable(this.engine.parameters) }
    this.open = true
    await this.#readRoles()
    const { socketDir, port } = this.options
    const file = path.join(socketDir, '.s.PGSQL.5432')
    fs.rmSync(file, { force: true }) // we hold the folder's lock, so it is that of a dead server
    await this.#listen({ path: file }, false)
    fs.chmodSync(file, 0o700)
    if (port !== null) {
      await this.#listen({ host: '127.0.0.1', port }, true)
    }
    const address = this.listeners[1]?.address()
    const tcp = address && typeof address === 'object' ? address.port : null
    this.jobs.start()
    this.#touch()
    this.#writeState(tcp)
    const { version, license } = this.about
    this.log.info(`ready after ${Date.now() - began} ms: PostgreSQL ${this.baseline.server_version}, ` +
      `TimescaleDB ${version} (${license}), pid ${process.pid}${tcp ? `, 127.0.0.1:${tcp}` : ''}`)
  }

  #readPassword() {
    const file = this.options.passwordFile
    try {
      this.verifier = verifier(fs.readFileSync(file, 'utf8').trim())
    } catch (error) {
      const mend = 'remove the file, and the next start makes a new one'
      throw new Error(`${file}: ${reason(error)}; ${mend}`, { cause: error })
    }
  }

  /**
   * @param {net.ListenOptions} where
   * @param {boolean} needsPassword
   * @returns {Promise<void>}
   */
  #listen(where, needsPassword) {
    return new Promise((resolve, reject) => {
      const listener = net.createServer((socket) => this.#connected(socket, needsPassword))
      listener.once('error', reject)
      listener.listen(where, () => {
        this.listeners.push(listener)
        resolve()
      })
    })
  }

  /** @param {number | null} port */
  #writeState(port) {
    const { database, version, license } = this.about
    const state = {
      pid: process.pid, port, socketDir: this.options.socketDir, database, timescaledb: version, license,
      postgresql: this.baseline.server_version, startedAt: new Date().toISOString(), ready: true,
    }
    const file = this.options.state
    fs.writeFileSync(file + '.new', JSON.stringify(state), { mode: 0o600 })
    fs.renameSync(file + '.new', file)
  }

  /**
   * @param {net.Socket} socket
   * @param {boolean} needsPassword
   */
  #connected(socket, needsPassword) {
    const client = new Client(this, socket, needsPassword)
    this.clients.add(client)
    this.strangers.add(client)
    // The oldest gives way. Who knows the password takes only a moment, and who does not cannot keep others out.
    if (this.strangers.size > MAX_STRANGERS) {
      const [oldest] = this.strangers
      oldest.fatal('53300', 'too many connections wait to be authenticated')
    }
    this.#touch()
  }

  /**
   * A client is authenticated.
   * @param {Client} client
   */
  known(client) { this.strangers.delete(client) }

  /** Whether there are too many clients for one more. Asked after the start-up packet: it may be a cancel request. */
  get full() { return this.clients.size - this.strangers.size >= MAX_CLIENTS }

  /** @param {Client} client */
  clientGone(client) {
    this.strangers.delete(client)
    if (!this.clients.delete(client)) return
    if (this.open) this.turns.clientGone(client)
    this.#touch()
  }

  /** If there is an idle limit, stops the server when it has had no client for that long. */
  #touch() {
    clearTimeout(this.idleTimer)
    const { idleStopMs } = this.options
    if (idleStopMs && !this.clients.size) {
      this.idleTimer = setTimeout(() => this.stop(`no client for ${idleStopMs / 1000} s`), idleStopMs)
    }
  }

  /**
   * The parameters that clients are told of.
   * @param {Record<string, string>} parameters
   * @returns {Record<string, string>}
   */
  reportable(parameters) {
    const shown = Object.entries(parameters).filter(([name, value]) =>
      !PRIVATE_PARAMETERS.has(name) && (value || name === 'application_name'))
    return { session_authorization: 'postgres', ...Object.fromEntries(shown) }
  }

  // ---- connections

  /**
   * After authentication: do the role and the database exist, and are the start-up settings valid?
   * @param {Client} client
   */
  admit(client) {
    const plain = [...client.startSettings].every(([name, value]) =>
      name === 'application_name' || (name === 'client_encoding' && /^'?utf-?8'?$/i.test(value)))
    const auto = client.startSettings.get('client_encoding')?.toLowerCase() === 'auto'
    if (plain || auto) client.startSettings.delete('client_encoding')
    const check = async () => {
      if (this.rolesChanged) await this.#readRoles()
      const role = this.roles.get(client.user)
      if (client.closed) return
      if (!role) return client.fatal('28000', `role "${client.user}" does not exist`)
      if (!role.login) return client.fatal('28000', `role "${client.user}" is not permitted to log in`)
      if (client.database !== this.about.database) {
        return client.fatal('3D000', `database "${client.database}" does not exist`,
          `The embedded server has one database: "${this.about.database}".`)
      }
      /** @type {Record<string, string>} */
      const parameters = { ...this.baseline, session_authorization: client.user }
      parameters.is_superuser = role.superuser ? 'on' : 'off'
      parameters.application_name = client.startSettings.get('application_name') ?? ''
      if (!plain) Object.assign(parameters, await this.#tryStartSettings(client))
      if (!client.closed) client.welcome(parameters)
    }
    if (plain && !this.rolesChanged) check()
    else this.turns.schedule(check).catch((error) => client.fatal('XX000', reason(error)))
  }

  /**
   * Tells a client of the parameters that its start-up settings give, or that one is invalid.
   * @param {Client} client
   */
  async #tryStartSettings(client) {
    const { engine, turns } = this
    await turns.unload()
    for (const sql of [`set session authorization ${quoteIdent(client.user)}`, setAll(client.startSettings)]) {
      const { error } = await engine.query(sql)
      if (error) {
        client.fatal(error.C, error.M, error.H)
        break
      }
    }
    const seen = this.reportable(engine.parameters)
    client.limits(engine.parameters)
    await engine.query('set session authorization postgres')
    await engine.query('reset all')
    return seen
  }

  async #readRoles() {
    this.rolesChanged = false
    const { rows, error } = await this.engine.query('select rolname, rolcanlogin, rolsuper from pg_catalog.pg_roles')
    if (error) throw new Error(error.M)
    this.roles = new Map(rows.map(([name, login, superuser]) =>
      [String(name), { login: login === 't', superuser: superuser === 't' }]))
  }

  /** @param {Client} client */
  wantsTurn(client) { this.turns.wants(client) }

  /**
   * @param {Client} client
   * @param {Buffer} frame
   */
  feed(client, frame) { this.turns.feed(client, frame) }

  /**
   * @param {number} pid
   * @param {number} secret
   */
  cancel(pid, secret) {
    const client = [...this.clients].find((one) => one.pid === pid && one.secret === secret)
    if (client) this.turns.cancel(client)
  }

  /**
   * Passes a notification of the engine on to each client that listens, with the sender's process id.
   * @param {Buffer} frame
   */
  notify(frame) {
    const [channel, afterChannel] = wire.readCstr(frame, 9)
    const [payload] = wire.readCstr(frame, afterChannel)
    const sender = this.turns.owner?.pid ?? 0
    for (const client of this.clients) {
      if (client.channels.has(channel)) client.send(wire.notification(sender, channel, payload))
    }
  }

  // ---- the end

  /** @param {string} why */
  async #crashed(why) {
    this.open = false
    this.log.error(`the database engine stopped: ${why}`)
    this.turns.forget()
    for (const client of [...this.clients]) {
      client.fatal('57P02', 'the database engine stopped unexpectedly and is being started again',
        'Connect again and repeat what was not committed.')
    }
    const now = Date.now()
    this.crashes = [...this.crashes.filter((at) => now - at < 60_000), now]
    if (this.crashes.length > 5) {
      this.log.error('the engine stopped more than 5 times within a minute: giving up')
      process.exit(3)
    }
    try {
      this.about = await this.engine.start(false)
      this.rolesChanged = true
      this.open = true
      this.log.info('the database engine runs again')
      this.turns.pump()
    } catch (error) {
      this.log.error(`the engine does not start again: ${trace(error)}`)
      process.exit(3)
    }
  }

  /** @param {string} why */
  async stop(why) {
    if (this.stopping) return
    this.stopping = true
    this.log.info(`stopping: ${why}`)
    this.jobs.stop()
    for (const listener of this.listeners) listener.close()
    for (const client of [...this.clients]) {
      client.fatal('57P01', 'terminating connection due to administrator command')
    }
    this.open = false
    const clean = await this.engine.stop()
    fs.rmSync(path.join(this.options.socketDir, '.s.PGSQL.5432'), { force: true })
    fs.rmSync(this.options.state, { force: true })
    this.log.info(clean ? 'stopped' : 'stopped in the middle of a statement; what was committed is kept')
    process.exit(0)
  }
}

const options = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const server = new Server(options)
process.on('SIGTERM', () => server.stop('SIGTERM'))
process.on('SIGINT', () => server.stop('SIGINT'))
process.on('SIGHUP', () => {})
process.on('uncaughtException', (error) => {
  server.log.error(`internal error: ${trace(error)}`)
  process.exit(4)
})
process.on('unhandledRejection', (error) => {
  server.log.error(`internal error: ${trace(error)}`)
  process.exit(4)
})
if (options.stopWithParent) {
  process.stdin.on('end', () => server.stop('its starter has ended'))
  process.stdin.on('error', () => {})
  process.stdin.resume()
}
server.start().catch((error) => {
  server.log.error(`could not start: ${trace(error)}`)
  process.exit(2)
})
