// The embedded database server: sockets, clients, and one WebAssembly TimescaleDB behind them.
// Started by bcp_analytics.embedded, which holds the folder's lock and passes it on as an open file.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import * as wire from './wire.mjs'
import { Client } from './client.mjs'
import { Engine } from './engine.mjs'
import { Jobs } from './jobs.mjs'
import { Log } from './log.mjs'
import { setAll } from './session.mjs'
import { TOUCHED_SETTING } from './setup.mjs'
import { quoteIdent } from './sqlscan.mjs'
import { Turns } from './turns.mjs'
import { verifier } from './scram.mjs'

const MAX_CLIENTS = 200
const MAX_STRANGERS = 200 // connections that are not authenticated yet
const PRIVATE_PARAMETERS = new Set(['role', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout', TOUCHED_SETTING])

class Server {
  constructor(options) {
    this.options = options
    this.log = new Log(options.log, options.logLevel)
    this.clients = new Set()
    this.strangers = new Set() // of the clients, those not authenticated yet; the oldest first
    this.engine = new Engine({ modules: options.modules, dataDir: options.pgdata, log: this.log })
    this.engine.onCrash = (why) => this.#crashed(why)
    this.engine.onNotification = (frame) => this.notify(frame)
    this.turns = new Turns(this)
    this.jobs = new Jobs(this)
    this.open = false
    this.rolesChanged = true
    this.roles = new Map()
    this.listeners = []
    this.crashes = []
  }

  async start() {
    const began = Date.now()
    if (this.options.port !== null) this.#readPassword() // before the engine, which takes seconds
    const first = !fs.existsSync(path.join(this.options.pgdata, 'PG_VERSION'))
    this.about = await this.engine.start(first)
    this.baseline = { ...this.reportable(this.engine.parameters) }
    this.open = true
    await this.#readRoles()
    const { socketDir, port } = this.options
    const file = path.join(socketDir, '.s.PGSQL.5432')
    fs.rmSync(file, { force: true }) // we hold the folder's lock: it can only be a dead server's
    await this.#listen({ path: file }, false)
    fs.chmodSync(file, 0o700)
    if (port !== null) {
      await this.#listen({ host: '127.0.0.1', port }, true)
    }
    const tcp = this.listeners[1]?.address().port ?? null
    this.jobs.start()
    this.#touch()
    this.#writeState({ ...this.about, port: tcp })
    this.log.info(`ready after ${Date.now() - began} ms: PostgreSQL ${this.baseline.server_version}, TimescaleDB ${this.about.version}` +
      ` (${this.about.license}), pid ${process.pid}${tcp ? `, 127.0.0.1:${tcp}` : ''}`)
  }

  #readPassword() {
    const file = this.options.passwordFile
    try {
      this.verifier = verifier(fs.readFileSync(file, 'utf8').trim())
    } catch (error) {
      throw new Error(`${file}: ${error.message}; remove the file, and the next start makes a new one`, { cause: error })
    }
  }

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

  #writeState({ version, license, port }) {
    const state = {
      pid: process.pid, port, socketDir: this.options.socketDir, database: this.about.database, timescaledb: version, license,
      postgresql: this.baseline.server_version, startedAt: new Date().toISOString(), ready: true,
    }
    const file = this.options.state
    fs.writeFileSync(file + '.new', JSON.stringify(state), { mode: 0o600 })
    fs.renameSync(file + '.new', file)
  }

  #connected(socket, needsPassword) {
    const client = new Client(this, socket, needsPassword)
    this.clients.add(client)
    this.strangers.add(client)
    // The oldest gives way: whoever knows the password takes a moment, and who does not cannot keep others out.
    if (this.strangers.size > MAX_STRANGERS) {
      const [oldest] = this.strangers
      oldest.fatal('53300', 'too many connections wait to be authenticated')
    }
    this.#touch()
  }

  /** A client is authenticated. */
  known(client) { this.strangers.delete(client) }

  /** Too many for one more; asked after the start-up packet, so that a cancel request always gets through. */
  get full() { return this.clients.size - this.strangers.size >= MAX_CLIENTS }

  clientGone(client) {
    this.strangers.delete(client)
    if (!this.clients.delete(client)) return
    if (this.open) this.turns.clientGone(client)
    this.#touch()
  }

  /** With an idle limit, the server ends when it has had no client for that long. */
  #touch() {
    clearTimeout(this.idleTimer)
    const { idleStopMs } = this.options
    if (idleStopMs && !this.clients.size) {
      this.idleTimer = setTimeout(() => this.stop(`no client for ${idleStopMs / 1000} s`), idleStopMs)
    }
  }

  reportable(parameters) {
    const shown = Object.entries(parameters).filter(([name, value]) => !PRIVATE_PARAMETERS.has(name) && (value || name === 'application_name'))
    return { session_authorization: 'postgres', ...Object.fromEntries(shown) }
  }

  // ---- connections

  /** After authentication: does this role exist, does this database, and are the start-up settings valid? */
  admit(client) {
    const plain = [...client.startSettings].every(([name, value]) =>
      name === 'application_name' || (name === 'client_encoding' && /^'?utf-?8'?$/i.test(value)))
    if (client.startSettings.get('client_encoding')?.toLowerCase() === 'auto') client.startSettings.delete('client_encoding')
    if (plain) client.startSettings.delete('client_encoding')
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
      const parameters = { ...this.baseline, session_authorization: client.user, is_superuser: role.superuser ? 'on' : 'off' }
      parameters.application_name = client.startSettings.get('application_name') ?? ''
      if (!plain) Object.assign(parameters, await this.#tryStartSettings(client))
      if (!client.closed) client.welcome(parameters)
    }
    if (plain && !this.rolesChanged) check()
    else this.turns.schedule(check).catch((error) => client.fatal('XX000', error.message))
  }

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
    this.roles = new Map(rows.map(([name, login, superuser]) => [name, { login: login === 't', superuser: superuser === 't' }]))
  }

  wantsTurn(client) { this.turns.wants(client) }

  feed(client, frame) { this.turns.feed(client, frame) }

  cancel(pid, secret) {
    const client = [...this.clients].find((one) => one.pid === pid && one.secret === secret)
    if (client) this.turns.cancel(client)
  }

  /** NotificationResponse of the engine: to every client that listens, with the sender's process id. */
  notify(frame) {
    const [channel, afterChannel] = wire.readCstr(frame, 9)
    const [payload] = wire.readCstr(frame, afterChannel)
    const sender = this.turns.owner?.pid ?? 0
    for (const client of this.clients) {
      if (client.channels.has(channel)) client.send(wire.notification(sender, channel, payload))
    }
  }

  // ---- the end

  async #crashed(why) {
    this.open = false
    this.log.error(`the database engine stopped: ${why}`)
    this.turns.forget()
    for (const client of [...this.clients]) {
      client.fatal('57P02', 'the database engine stopped unexpectedly and is being started again', 'Connect again and repeat what was not committed.')
    }
    const now = Date.now()
    this.crashes = [...this.crashes.filter((at) => now - at < 60_000), now]
    if (this.crashes.length > 5) {
      this.log.error('the engine stopped 5 times within a minute: giving up')
      process.exit(3)
    }
    try {
      this.about = await this.engine.start(false)
      this.rolesChanged = true
      this.open = true
      this.log.info('the database engine runs again')
      this.turns.pump()
    } catch (error) {
      this.log.error(`the engine does not start again: ${error.stack}`)
      process.exit(3)
    }
  }

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
  server.log.error(`internal error: ${error.stack}`)
  process.exit(4)
})
process.on('unhandledRejection', (error) => {
  server.log.error(`internal error: ${error?.stack ?? error}`)
  process.exit(4)
})
if (options.stopWithParent) {
  process.stdin.on('end', () => server.stop('its starter has ended'))
  process.stdin.on('error', () => {})
  process.stdin.resume()
}
server.start().catch((error) => {
  server.log.error(`could not start: ${error.stack}`)
  process.exit(2)
})
