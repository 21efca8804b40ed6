// The main thread's end of the database thread: it takes one request at a time, and a new one is started when it dies.
import { MessageChannel, Worker } from 'node:worker_threads'

/** @typedef {import('./log.mjs').Log} Log */
/** @typedef {import('./wire.mjs').ErrorFields} ErrorFields */

/** @typedef {(string | null)[]} Row */

/**
 * The answer to a statement of the server's own.
 * @typedef {object} Answer
 * @property {Row[]} rows
 * @property {ErrorFields | null} error
 * @property {string} [status] of the transaction: I, T or E
 */

/**
 * Takes what the engine says during a client's run: output, the wish for COPY data, the end.
 * @typedef {object} Sink
 * @property {(data: Buffer, kb: number) => void} out
 * @property {() => void} more
 * @property {(data: Buffer | null, kb: number, result: {refused?: ErrorFields}) => void} done
 */

/** @typedef {{pending: number, cancel: number}} Flags where the two flags of a cancel are, in words */

/** @typedef {{database: string, version: string, license: string}} About */

/** @typedef {Record<string, string>} Parameters settings and their values */

/**
 * What the main thread sends.
 * @typedef {{op: 'run', data: Uint8Array, before?: string[]} | {op: 'query', id: number, sql: string}
 *   | {op: 'stop'}} Request
 */

/**
 * What the database thread sends.
 * @typedef {{op: 'ready', parameters: Parameters, memory: WebAssembly.Memory, flags: Flags | null} & About} Ready
 * @typedef {{op: 'answer', id: number, notifications: Uint8Array[], parameters: Parameters} & Answer} Answered
 * @typedef {{op: 'done', consumed: number, parameters: Parameters, data?: Uint8Array | null, kb?: number,
 *   refused?: ErrorFields}} Done
 * @typedef {Ready | Answered | Done | {op: 'out', data: Uint8Array, kb: number} | {op: 'more', consumed: number}
 *   | {op: 'closed'} | {op: 'crash', reason: string}} Message
 */

// Places in the memory that both threads share: counters that one raises and the other waits for.
export const SIGNAL = { REQUEST: 0, ACKNOWLEDGED: 1, LENGTH: 4 }

export const DEFAULTS = {
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'fatal', // nobody reads the engine's stderr, and formatting it takes time
  enable_seqscan: 'on',
  TimeZone: 'UTC',
  'timescaledb.telemetry_level': 'off',
}

export class Engine {
  /** @param {{modules: string, dataDir: string, log: Log}} places */
  constructor({ modules, dataDir, log }) {
    this.modules = modules
    this.dataDir = dataDir
    this.log = log
    /** @type {Parameters} */
    this.parameters = {}
    /** @type {Sink | null} */
    this.sink = null // who gets the output of the run under way
    /** @type {Worker | null} */
    this.worker = null
    /** @type {import('node:worker_threads').MessagePort | null} */
    this.port = null
    /** @type {Int32Array<ArrayBufferLike>} */
    this.shared = new Int32Array()
    /** @type {WebAssembly.Memory | null} */
    this.memory = null
    /** @type {Flags | null} */
    this.flags = null
    this.stopping = false
    this.sent = 0
    this.consumed = 0
    this.running = false // a client's run, from its first message to its 'done'
    /** @type {Map<number, {resolve: (answer: Answer) => void, reject: (error: unknown) => void}>} */
    this.answers = new Map()
    this.nextId = 1
    /** @type {(why: string) => void} */
    this.onCrash = () => {}
    /** @type {(frame: Buffer) => void} */
    this.onNotification = () => {}
    this.onClosed = () => {}
  }

  /**
   * Starts the database thread.
   * @param {boolean} firstStart there is no data folder yet: the engine can only make one in template1
   */
  async start(firstStart) {
    if (firstStart) {
      await this.#spawn('template1')
      await this.stop()
    }
    return this.#spawn('postgres')
  }

  /**
   * @param {string} database
   * @returns {Promise<About>}
   */
  #spawn(database) {
    const { port1, port2 } = new MessageChannel()
    const signal = new SharedArrayBuffer(SIGNAL.LENGTH * 4)
    this.shared = new Int32Array(signal)
    this.port = port1
    this.sent = this.consumed = 0
    this.running = false
    this.parameters = {}
    const worker = new Worker(new URL('./engine-worker.mjs', import.meta.url), {
      workerData: { modules: this.modules, dataDir: this.dataDir, database, defaults: DEFAULTS, port: port2, signal },
      transferList: [port2],
      stdout: true,
      stderr: true,
      resourceLimits: { stackSizeMb: 16 }, // the default of 4 is too little for nested PL/pgSQL
    })
    this.worker = worker
    worker.stdout.on('data', (text) => this.log.debug(`engine: ${text}`))
    worker.stderr.on('data', (text) => this.log.warning(`engine: ${text}`))
    return new Promise((resolve, reject) => {
      const gone = (/** @type {string} */ why) => {
        if (this.worker !== worker) return
        this.worker = null
        reject(new Error(why))
        for (const { reject: fail } of this.answers.values()) fail(new Error(why))
        this.answers.clear()
        if (!this.stopping) this.onCrash(why)
      }
      port1.on('message', (/** @type {Message} */ message) => {
        if (message.op === 'ready') {
          Object.assign(this.parameters, message.parameters)
          this.memory = message.memory
          this.flags = message.flags
          resolve(message)
        } else if (message.op === 'crash') {
          gone(message.reason)
          worker.terminate()
        } else this.#receive(message)
      })
      worker.on('error', (error) => gone(error.stack ?? String(error)))
      worker.on('exit', (code) => gone(`the database thread ended with code ${code}`))
    })
  }

  /** @param {Answered | Exclude<Message, Ready>} message */
  #receive(message) {
    if ('parameters' in message) Object.assign(this.parameters, message.parameters)
    if (message.op === 'answer') {
      for (const frame of message.notifications) this.onNotification(Buffer.from(frame))
      this.answers.get(message.id)?.resolve(message)
      this.answers.delete(message.id)
      return
    }
    if (message.op === 'closed') {
      this.onClosed()
      return
    }
    if ('consumed' in message) this.consumed = message.consumed
    const sink = this.sink
    if (!sink) return
    if (message.op === 'out') sink.out(asBuffer(message.data), message.kb)
    else if (message.op === 'more') sink.more()
    else if (message.op === 'done') {
      this.running = this.sent !== this.consumed // more COPY data is on its way
      sink.done(message.data ? asBuffer(message.data) : null, message.kb ?? 0, message)
    }
  }

  /** Whether the database thread has nothing to do. */
  get idle() { return this.worker !== null && this.sent === this.consumed && this.answers.size === 0 }

  /** @param {Request} request */
  #post(request) {
    if (!this.worker || !this.port) throw new Error('the database engine is not running')
    this.port.postMessage(request)
    Atomics.add(this.shared, SIGNAL.REQUEST, 1)
    Atomics.notify(this.shared, SIGNAL.REQUEST)
  }

  /**
   * Runs a client's messages.
   * @param {Buffer} data
   * @param {Sink} sink
   * @param {string[]} [before] statements of the server's own to run first; nobody sees their output
   */
  run(data, sink, before) {
    this.sink = sink
    if (!this.running) this.#forgetInterrupt()
    this.running = true
    this.sent++
    this.#post({ op: 'run', data, before })
  }

  /**
   * The client's socket has taken so much output: the engine may write as much more.
   * @param {number} kb
   */
  acknowledge(kb) {
    Atomics.add(this.shared, SIGNAL.ACKNOWLEDGED, kb)
    Atomics.notify(this.shared, SIGNAL.ACKNOWLEDGED)
  }

  /**
   * Cancels the statement that runs now as SIGINT does in PostgreSQL: by the two flags that its backend looks at.
   * Each run begins by clearing them, so a cancel that comes late hits nothing.
   */
  interrupt() { this.#setFlags(1) }

  /** Done by this thread: the other one could clear a cancel that came after our request and before its start. */
  #forgetInterrupt() { this.#setFlags(0) }

  /** @param {0 | 1} value */
  #setFlags(value) {
    if (!this.worker || !this.flags || !this.memory) return
    const words = new Int32Array(this.memory.buffer)
    Atomics.store(words, this.flags.cancel, value)
    Atomics.store(words, this.flags.pending, value)
  }

  /**
   * Runs one statement of the server's own.
   * @param {string} sql
   * @returns {Promise<Answer>}
   */
  query(sql) {
    return new Promise((resolve, reject) => {
      const id = this.nextId++
      if (!this.running) this.#forgetInterrupt()
      this.answers.set(id, { resolve, reject })
      try {
        this.#post({ op: 'query', id, sql })
      } catch (error) {
        this.answers.delete(id)
        reject(error)
      }
    })
  }

  /**
   * Shuts the database down with a checkpoint. Ends the thread by force when it does not answer in time.
   * @returns {Promise<boolean>} whether it answered
   */
  async stop(timeoutMs = 4000) {
    const worker = this.worker
    if (!worker) return true
    this.stopping = true
    if (!this.idle) this.interrupt()
    const clean = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs)
      this.onClosed = () => {
        clearTimeout(timer)
        resolve(true)
      }
      this.#post({ op: 'stop' })
    })
    await worker.terminate()
    this.worker = null
    this.stopping = false
    return clean
  }
}

/** @param {Uint8Array} data */
const asBuffer = (data) => Buffer.from(data.buffer, data.byteOffset, data.length)
