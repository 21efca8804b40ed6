// Whose turn it is. The engine is one backend. A client keeps it during a transaction, an unfinished exchange or a
// COPY, and hands it on at each ReadyForQuery outside of a transaction. First come, first served.
import * as wire from './wire.mjs'
import { trace } from './log.mjs'
import { Output } from './output.mjs'
import { loadSession, rememberSession, resetSession, takeStock } from './session.mjs'

/** @typedef {import('./client.mjs').Client} Client */

/**
 * Work of the server's own between turns.
 * @typedef {{task: () => unknown, resolve: (answer: any) => void, reject: (error: unknown) => void}} Task
 */

const CANCELED = '57014'

export class Turns {
  /** @param {import('./server.mjs').Server} server */
  constructor(server) {
    this.server = server
    /** @type {(Client | Task)[]} */
    this.queue = []
    /** @type {Client | null} */
    this.owner = null
    /** @type {Client | null} */
    this.loaded = null // the client whose session state the engine has now
    this.active = false // a run or a task is under way
    this.loading = false // a turn has begun, its first run not yet
    this.running = false // the engine runs a client's messages
    this.errorSeen = false // this run has reported an error
    this.lastTag = '' // the last command tag of this run
    this.timedOut = false
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined
    /** @type {NodeJS.Timeout | undefined} */
    this.statementTimer = undefined
    /** @type {Map<Client, NodeJS.Timeout | undefined>} */
    this.lockWaiters = new Map() // clients that wait for an advisory lock, outside the queue: their timers
    this.served = 0
  }

  get engine() { return this.server.engine }

  /** @param {Client} client */
  wants(client) {
    if (this.owner === client) {
      if (!this.active) this.#serve(client)
    } else if (!this.queue.includes(client) && !this.lockWaiters.has(client)) {
      this.queue.push(client)
      this.pump()
    }
  }

  /**
   * Runs a task between turns, when the engine is free, and answers what it answers.
   * @template T
   * @param {() => T | Promise<T>} task
   * @returns {Promise<T>}
   */
  schedule(task) {
    return new Promise((resolve, reject) => {
      this.queue.push({ task, resolve, reject })
      this.pump()
    })
  }

  get waiting() { return this.queue.length }

  pump() {
    if (this.owner || this.active || !this.server.open || !this.queue.length) return
    const next = this.queue.shift()
    if (!next) return
    if ('task' in next) this.#runTask(next)
    else if (next.closed || !next.batches.length) this.pump()
    else {
      this.owner = next
      this.#serve(next)
    }
  }

  /** @param {Task} task */
  async #runTask({ task, resolve, reject }) {
    this.active = true
    try {
      resolve(await task())
    } catch (error) {
      reject(error)
    } finally {
      this.active = false
      this.pump()
    }
  }

  /** @param {Client} client */
  async #serve(client) {
    clearTimeout(this.timer)
    this.active = this.loading = true
    this.served++
    try {
      if (this.loaded !== client) {
        if (this.loaded) await rememberSession(this.engine, this.loaded)
        for (const other of this.server.clients) if (other !== client) other.lostUnnamed = true
      }
      const data = client.nextBatch()
      if (!data) throw new Gone()
      if (client.notes.discardAll) await resetSession(this.server, client, false)
      if (client.closed) throw new Gone()
      if (client.cancelAsked) {
        client.again()
        client.cancelWaiting()
        throw new Gone()
      }
      const inPlace = this.loaded === client && !client.notes.discardAll
      const before = inPlace ? [] : loadSession(this.server, this.loaded, client)
      this.loaded = client
      this.loading = false
      this.errorSeen = false
      this.lastTag = ''
      this.running = true
      this.engine.run(data, new Output(this, client), before)
      this.#limitStatement(client)
    } catch (error) {
      this.active = this.loading = this.running = false
      client.cancelAsked = false
      if (!(error instanceof Gone)) this.server.log.error(`turn: ${trace(error)}`)
      this.#release(client)
      if (!client.closed && client.batches.length) this.wants(client)
    }
  }

  /** Takes the last client's state out of the engine, so that the server's own statements run without it. */
  async unload() {
    if (!this.loaded) return
    await rememberSession(this.engine, this.loaded)
    this.loaded = null
    await this.engine.query('set session authorization postgres')
    await this.engine.query('reset all')
  }

  /**
   * Carries out a CancelRequest: at once if the client waits or copies, else when the engine next looks at its flags.
   * @param {Client} client
   */
  cancel(client) {
    if (this.owner !== client) {
      this.#stopWaitingForLock(client)
      if (client.cancelWaiting()) {
        if (!client.batches.length) this.queue = this.queue.filter((entry) => entry !== client)
      }
    } else if (this.loading) client.cancelAsked = true
    else if (this.running && client.copyIn) {
      client.copyIn = false
      this.feed(client, wire.copyFail('canceling statement due to user request'))
    } else if (this.running) this.engine.interrupt()
  }

  /**
   * Hands COPY data to the engine, which waits for it in the middle of a statement.
   * @param {Client} client
   * @param {Buffer} frame
   */
  feed(client, frame) {
    clearTimeout(this.timer)
    if (this.engine.sink) this.engine.run(frame, this.engine.sink)
  }

  /** @param {Client} client */
  #statementLimit(client) {
    return Math.min(client.statementLimitMs || Infinity, this.server.options.statementTimeoutMs || Infinity)
  }

  /** @param {Client} client */
  #limitStatement(client) {
    this.timedOut = false
    this.statementTimer = later(this.#statementLimit(client), () => {
      this.timedOut = true
      this.engine.interrupt()
    })
  }

  /**
   * Lets the client's batch run again when locks have changed: it found an advisory lock taken, and left no trace.
   * @param {Client} client
   */
  waitForLock(client) {
    client.again()
    client.waitsSince ??= Date.now()
    const forLock = client.lockLimitMs || Infinity
    const forAll = this.#statementLimit(client)
    const [code, what] = forAll < forLock ? ['57014', 'statement'] : ['55P03', 'lock']
    const timer = later(client.waitsSince + Math.min(forLock, forAll) - Date.now(), () => {
      this.lockWaiters.delete(client)
      client.cancelWaiting(code, `canceling statement due to ${what} timeout`)
      if (client.batches.length) this.wants(client)
    })
    this.lockWaiters.set(client, timer)
  }

  /** @param {Client} client */
  #stopWaitingForLock(client) {
    clearTimeout(this.lockWaiters.get(client))
    return this.lockWaiters.delete(client)
  }

  locksChanged() {
    for (const client of [...this.lockWaiters.keys()]) {
      this.#stopWaitingForLock(client)
      this.wants(client)
    }
  }

  /**
   * The engine wants COPY data: the client is idle until it sends some.
   * @param {Client} client
   */
  copyWaits(client) {
    clearTimeout(this.statementTimer)
    client.copyTaken()
    if (client.closed) this.feed(client, wire.copyFail('the connection was lost'))
    else this.#limitIdle(client)
  }

  /**
   * A run has ended and its output is sent: decides who is next.
   * @param {Client} client
   * @param {wire.ErrorFields} [refused] the error of a statement that puts the client's session in place
   * @param {boolean} [lockTaken]
   */
  async finished(client, refused, lockTaken) {
    clearTimeout(this.statementTimer)
    this.running = false
    this.engine.sink = null
    try {
      if (!lockTaken) client.waitsSince = null
      if (refused) await this.engine.query('select pg_catalog.pg_advisory_unlock_all()')
      if (refused?.C === CANCELED) {
        // The cancel hit the statements that put the client's session in place. None of the client's own has run.
        this.loaded = null
        client.again()
        client.cancelWaiting(CANCELED, this.timedOut ? 'canceling statement due to statement timeout' : undefined)
      } else if (refused) {
        client.fatal(refused.C, refused.M)
        this.loaded = null
      } else await takeStock(this.server, client)
    } catch (error) {
      this.server.log.error(`after the turn of client ${client.pid}: ${trace(error)}`)
    }
    this.active = false
    if (client.closed) {
      this.#cleanUp(client)
    } else if (client.status !== 'I' || client.inExchange) {
      if (client.batches.length) this.#serve(client)
      else this.#limitIdle(client)
    } else {
      if (lockTaken) this.waitForLock(client)
      this.#release(client)
      if (client.batches.length) this.wants(client)
    }
  }

  /** @param {Client} client */
  #release(client) {
    clearTimeout(this.timer)
    if (client.closed && client.admitted && !client.cleaned) {
      this.#cleanUp(client)
      return
    }
    if (this.owner === client) this.owner = null
    this.pump()
  }

  /** @param {Client} client */
  #limitIdle(client) {
    clearTimeout(this.timer)
    const limit = Math.min(client.idleLimitMs || Infinity, this.server.options.idleInTransactionMs || Infinity)
    this.timer = later(limit, () => {
      this.server.log.warning(`client ${client.pid} kept its turn idle for ${limit} ms: rolled back and disconnected`)
      client.fatal('25P03', 'terminating connection due to idle-in-transaction timeout',
        'Clients of the embedded database take turns: commit or roll back before you wait for something else.')
      if (client.unread) client.socket.destroy() // it will never read this message, and the engine waits until it does
    })
  }

  /**
   * The client has output to read, or has read some: the engine waits for it, but not for ever.
   * @param {Client} client
   */
  waitsForReader(client) {
    if (this.owner !== client || !this.running || client.copyIn) return
    clearTimeout(this.timer)
    if (client.unread && !client.closed) this.#limitIdle(client)
  }

  /**
   * The client has gone: frees its turn and what it left in the engine.
   * @param {Client} client
   */
  clientGone(client) {
    if (this.owner === client) {
      if (client.copyIn && this.running) this.feed(client, wire.copyFail('the connection was lost'))
      else if (this.running) this.engine.interrupt()
      else if (!this.active) this.#cleanUp(client) // while active, the work under way sees at its end that it has gone
      return
    }
    this.queue = this.queue.filter((entry) => entry !== client)
    this.#stopWaitingForLock(client)
    if (client.admitted) {
      this.schedule(() => resetSession(this.server, client, true)).catch((error) => {
        if (this.server.open) this.server.log.error(`cleaning up after client ${client.pid}: ${trace(error)}`)
      })
    }
  }

  /** @param {Client} client */
  async #cleanUp(client) {
    if (client.cleaned) return
    client.cleaned = true
    this.active = true
    clearTimeout(this.timer)
    try {
      await resetSession(this.server, client, true)
    } catch (error) {
      if (this.server.open) this.server.log.error(`cleaning up after client ${client.pid}: ${trace(error)}`)
    }
    this.active = false
    if (this.owner === client) this.owner = null
    this.pump()
  }

  /** Forgets everything: the engine has died, and a new one starts. */
  forget() {
    clearTimeout(this.timer)
    clearTimeout(this.statementTimer)
    for (const client of [...this.lockWaiters.keys()]) this.#stopWaitingForLock(client)
    for (const entry of this.queue) if ('task' in entry) entry.reject(new Error('the database engine stopped'))
    this.queue = []
    this.owner = this.loaded = null
    this.active = this.loading = this.running = false
  }
}

/**
 * Like setTimeout, but without a timer for what is too far away for one.
 * @param {number} ms
 * @param {() => void} task
 */
const later = (ms, task) => ms < 2 ** 31 ? setTimeout(task, Math.max(ms, 0)) : undefined

/** The client has gone, or has nothing to run. */
class Gone extends Error {}
