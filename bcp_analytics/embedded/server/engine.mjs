// The socket side's handle of the database thread: one request at a time, a new thread when one dies.
import { MessageChannel, Worker } from 'node:worker_threads'

export const SIGNAL = { REQUEST: 0, ACKNOWLEDGED: 1, LENGTH: 4 }

export const DEFAULTS = {
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'fatal', // nobody reads the engine's stderr; formatting it costs time
  enable_seqscan: 'on',
  TimeZone: 'UTC',
  'timescaledb.telemetry_level': 'off',
}

export class Engine {
  constructor({ modules, dataDir, log }) {
    Object.assign(this, { modules, dataDir, log })
    this.parameters = {}
    this.sink = null // who gets the output of the run under way
    this.sent = 0
    this.consumed = 0
    this.running = false // a client's run, from its first message to its 'done'
    this.answers = new Map()
    this.nextId = 1
    this.onCrash = () => {}
    this.onNotification = () => {}
  }

  /** Starts the database thread; the very first start makes the data folder, which only works in template1. */
  async start(firstStart) {
    if (firstStart) {
      await this.#spawn('template1')
      await this.stop()
    }
    return this.#spawn('postgres')
  }

  #spawn(database) {
    const { port1, port2 } = new MessageChannel()
    const signal = new SharedArrayBuffer(SIGNAL.LENGTH * 4)
    this.shared = new Int32Array(signal)
    this.port = port1
    this.sent = this.consumed = 0
    this.running = false
    this.parameters = {}
    this.worker = new Worker(new URL('./engine-worker.mjs', import.meta.url), {
      workerData: { modules: this.modules, dataDir: this.dataDir, database, defaults: DEFAULTS, port: port2, signal },
      transferList: [port2],
      stdout: true,
      stderr: true,
      resourceLimits: { stackSizeMb: 16 }, // the default of 4 is too little for nested PL/pgSQL
    })
    const worker = this.worker
    worker.stdout.on('data', (text) => this.log.debug(`engine: ${text}`))
    worker.stderr.on('data', (text) => this.log.warning(`engine: ${text}`))
    return new Promise((resolve, reject) => {
      const gone = (why) => {
        if (this.worker !== worker) return
        this.worker = null
        reject(new Error(why))
        for (const { reject: fail } of this.answers.values()) fail(new Error(why))
        this.answers.clear()
        if (!this.stopping) this.onCrash(why)
      }
      port1.on('message', (message) => {
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

  #receive(message) {
    if (message.parameters) Object.assign(this.parameters, message.parameters)
    if (message.op === 'answer') {
      for (const frame of message.notifications) this.onNotification(Buffer.from(frame))
      const { resolve } = this.answers.get(message.id)
      this.answers.delete(message.id)
      resolve(message)
      return
    }
    if (message.op === 'closed') {
      this.onClosed?.()
      return
    }
    const sink = this.sink
    if (message.consumed !== undefined) this.consumed = message.consumed
    const data = message.data && Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length)
    if (message.op === 'out') sink.out(data, message.kb)
    else if (message.op === 'more') sink.more()
    else if (message.op === 'done') {
      this.running = this.sent !== this.consumed // more COPY data is on its way
      sink.done(message.data ? data : null, message.kb, message)
    }
  }

  get idle() { return this.worker !== null && this.sent === this.consumed && this.answers.size === 0 }

  #post(request) {
    if (!this.worker) throw new Error('the database engine is not running')
    this.port.postMessage(request)
    Atomics.add(this.shared, SIGNAL.REQUEST, 1)
    Atomics.notify(this.shared, SIGNAL.REQUEST)
  }

  /** Runs a client's messages; `before` are statements of the server, whose output nobody sees. */
  run(data, sink, before) {
    this.sink = sink
    if (!this.running) this.#forgetInterrupt()
    this.running = true
    this.sent++
    this.#post({ op: 'run', data, before })
  }

  /** The client's socket took over `kb` of output: the engine may write as much more. */
  acknowledge(kb) {
    Atomics.add(this.shared, SIGNAL.ACKNOWLEDGED, kb)
    Atomics.notify(this.shared, SIGNAL.ACKNOWLEDGED)
  }

  /**
   * Cancels the statement that runs now, as a SIGINT does to a PostgreSQL backend: sets the two flags it looks at.
   * They are cleared before each run, so a cancel that comes late hits nothing.
   */
  interrupt() { this.#setFlags(1) }

  /** Done on this side: the other thread could clear a cancel that came between our request and its start. */
  #forgetInterrupt() { this.#setFlags(0) }

  #setFlags(value) {
    if (!this.worker || !this.flags) return
    const words = new Int32Array(this.memory.buffer)
    Atomics.store(words, this.flags.cancel, value)
    Atomics.store(words, this.flags.pending, value)
  }

  /** One statement of the server's own: {rows, error, status}. */
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

  /** A clean shutdown (checkpoint); the thread is ended by force when it does not come back in time. */
  async stop(timeoutMs = 4000) {
    const worker = this.worker
    if (!worker) return true
    this.stopping = true
    if (!this.idle) this.interrupt()
    let timer
    const clean = await new Promise((resolve) => {
      this.onClosed = () => resolve(true)
      timer = setTimeout(() => resolve(false), timeoutMs)
      this.#post({ op: 'stop' })
    })
    clearTimeout(timer)
    await worker.terminate()
    this.worker = null
    this.stopping = false
    return clean
  }
}
