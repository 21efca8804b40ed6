// One connection: start-up, authentication, its queue of messages, and what it owns inside the shared engine.
// pg-gateway (npm) was tried for the start-up: it hands on one message at a time, and everything up to Sync has to
// reach the engine in one call, so the start-up below (a hundred lines) is our own.
import crypto from 'node:crypto'
import * as wire from './wire.mjs'
import { Scram } from './scram.mjs'
import { newNotes, rewriteFrame } from './rewrite.mjs'

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const MAX_WAITING_BYTES = 8 * 1024 * 1024 // unread messages of one client before its socket is paused
const MAX_COPY_AHEAD = 4 * 1024 * 1024
const EARLY_BATCH_BYTES = 1024 * 1024 // messages without Sync or Flush are run early beyond this
const ENDS_BATCH = new Set([0x51, 0x53, 0x46, 0x48]) // Q, S, F and H
const COPY_DATA = new Set([0x64, 0x63, 0x66]) // d, c and f
const AUTHENTICATION_MS = 60_000
const LINGER_MS = 5000 // how long a closed connection may take to read why

let nextPid = 10_000 + crypto.randomInt(10_000)

export class Client {
  constructor(server, socket, needsPassword) {
    Object.assign(this, { server, socket, needsPassword })
    this.pid = nextPid++
    this.secret = crypto.randomInt(2 ** 31 - 1)
    this.prefix = `${this.pid}/`
    this.reader = new wire.FrameReader()
    this.phase = 'startup'
    this.statements = new Map() // prepared ones: the engine's name, and what running it does
    this.settings = new Map() // what this client changed by SET, put back at each of its turns
    this.startSettings = new Map() // from the start-up packet: what RESET goes back to
    this.reported = new Map()
    this.channels = new Set()
    this.pendingListens = []
    this.tempObjects = new Set()
    this.heldCursors = new Set()
    this.role = 'none'
    this.locks = new Map() // session-level advisory locks, as setup.mjs spells them: how often each was taken
    this.locksHeld = false // whether the engine has them now; without the turn they are only remembered
    this.limits({})
    this.batches = [] // complete batches that wait for the turn
    this.batch = [] // messages since the last complete batch
    this.batchBytes = 0
    this.waitingBytes = 0
    this.copyFrames = []
    this.copyAhead = 0
    this.copyIn = false
    this.unread = 0 // pieces of output the socket has not yet taken
    this.status = 'I'
    this.inExchange = false // messages ran whose Sync is still to come
    this.skipToSync = false
    this.closed = false
    this.unnamed = null
    this.lostUnnamed = false
    this.notes = newNotes()
    socket.setNoDelay?.(true)
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('error', () => {})
    socket.on('close', () => this.#gone())
    this.timer = setTimeout(() => this.fatal('08P01', 'the start-up took too long'), AUTHENTICATION_MS)
  }

  /** Time limits this client has set, ms; 0 for none. */
  limits(parameters) {
    this.idleLimitMs = Number(parameters.idle_in_transaction_session_timeout) || 0
    this.statementLimitMs = Number(parameters.statement_timeout) || 0
    this.lockLimitMs = Number(parameters.lock_timeout) || 0
  }

  // ---- to the client

  send(...frames) {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(Buffer.concat(frames))
  }

  /** Tells why, closes the connection, and lets go of everything it held. */
  fatal(code, text, hint) {
    this.send(wire.errorResponse('FATAL', code, text, hint))
    this.#hangUp()
  }

  #hangUp() {
    this.socket.end()
    this.socket.destroySoon?.()
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref() // one that does not read must not stay for ever
    this.#gone()
  }

  #gone() {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.timer)
    this.server.clientGone(this)
  }

  // ---- from the client

  #received(chunk) {
    if (this.closed) return
    this.reader.push(chunk)
    try {
      for (let frame = this.reader.next(); frame && !this.closed; frame = this.reader.next()) {
        if (this.phase === 'startup') this.#startup(frame)
        else if (this.phase === 'password') this.#password(frame)
        else this.#message(frame)
      }
      this.#feedCopy()
    } catch (error) {
      this.server.log.warning(`client ${this.pid}: ${error.message}`)
      this.fatal('08P01', `protocol violation: ${error.message}`)
    }
  }

  #startup(frame) {
    const code = frame.readInt32BE(4)
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      this.socket.write('N')
      return
    }
    if (code === CANCEL_REQUEST) {
      this.server.cancel(frame.readInt32BE(8), frame.readInt32BE(12))
      this.#hangUp()
      return
    }
    if (code >> 16 !== 3) {
      this.fatal('0A000', `unsupported frontend protocol ${code >> 16}.${code & 0xffff}: this server supports 3.0`)
      return
    }
    const given = new Map()
    for (let at = 8; frame[at];) {
      const [name, afterName] = wire.readCstr(frame, at)
      const [value, afterValue] = wire.readCstr(frame, afterName)
      given.set(name, value)
      at = afterValue
    }
    if (code & 0xffff || [...given.keys()].some((name) => name.startsWith('_pq_.'))) {
      const unknown = [...given.keys()].filter((name) => name.startsWith('_pq_.'))
      this.send(wire.message('v', wire.int32(0), wire.int32(unknown.length), ...unknown.map(wire.cstr)))
    }
    this.user = given.get('user')
    if (!this.user) {
      this.fatal('28000', 'no PostgreSQL user name specified in startup packet')
      return
    }
    if (this.#findsNoRoom()) return
    this.database = given.get('database') || this.user
    for (const [name, value] of given) {
      if (name === 'options') for (const [key, setting] of startOptions(value)) this.startSettings.set(key, setting)
    }
    for (const [name, value] of given) {
      if (!['user', 'database', 'options', 'replication'].includes(name) && !name.startsWith('_pq_.')) {
        this.startSettings.set(name.toLowerCase(), value)
      }
    }
    this.reader.startup = false
    if (this.needsPassword) {
      this.phase = 'password'
      this.scram = new Scram(this.server.verifier)
      this.send(this.scram.begin())
    } else this.#authenticated()
  }

  #password(frame) {
    try {
      const { reply, finished } = this.scram.step(frame)
      if (reply) this.send(reply)
      if (finished) this.#authenticated()
    } catch {
      this.server.log.warning(`client ${this.pid}: password refused`)
      this.fatal('28P01', `password authentication failed for user "${this.user}"`,
        'Use the connection string that bcp-analytics prints; the password is in the data folder, file "password".')
    }
  }

  #findsNoRoom() {
    if (this.server.full) this.fatal('53300', 'sorry, too many clients already')
    return this.closed
  }

  #authenticated() {
    if (this.#findsNoRoom()) return
    this.phase = 'ready'
    this.reader.trust()
    this.server.known(this)
    this.server.admit(this)
  }

  /** The start is over: what a client needs to know before its first query. */
  welcome(parameters) {
    clearTimeout(this.timer)
    this.admitted = true
    this.send(
      wire.message('R', wire.int32(0)),
      ...Object.entries(parameters).map(([name, value]) => {
        this.reported.set(name, value)
        return wire.parameterStatus(name, value)
      }),
      wire.message('K', wire.int32(this.pid), wire.int32(this.secret)),
      wire.ready('I'),
    )
    this.#offer()
  }

  #message(frame) {
    const type = frame[0]
    if (type === 0x58) { // X, Terminate
      this.#hangUp()
      return
    }
    if (this.copyIn) {
      this.copyFrames.push(frame)
      return
    }
    if (COPY_DATA.has(type)) return // the rest of a COPY that has failed already
    if (this.skipToSync) {
      if (type !== 0x53) return
      this.skipToSync = false
      this.status = 'I'
      this.send(wire.ready(this.status))
      return
    }
    this.batch.push(frame)
    this.batchBytes += frame.length
    if (ENDS_BATCH.has(type) || this.batchBytes > EARLY_BATCH_BYTES) {
      this.batches.push(this.batch)
      this.waitingBytes += this.batchBytes
      this.batch = []
      this.batchBytes = 0
      if (this.waitingBytes > MAX_WAITING_BYTES) this.socket.pause()
      this.#offer()
    }
  }

  /** COPY data goes to the engine as it came from the socket, many messages at once. */
  #feedCopy() {
    if (!this.copyFrames.length) return
    const data = Buffer.concat(this.copyFrames)
    this.copyFrames = []
    this.copyAhead += data.length
    if (this.copyAhead > MAX_COPY_AHEAD) this.socket.pause()
    this.server.feed(this, data)
  }

  #offer() {
    if (this.admitted && this.batches.length) this.server.wantsTurn(this)
  }

  /** The engine has taken over `count` bytes of COPY data. */
  copyTaken() {
    this.copyAhead = 0
    this.socket.resume()
  }

  /** The next batch as one buffer for the engine, or null. */
  nextBatch() {
    const batch = this.#takeBatch()
    if (!batch) return null
    this.current = batch
    this.notes = newNotes()
    const out = []
    for (const frame of batch) out.push(...rewriteFrame(frame, this, this.notes))
    return Buffer.concat(out)
  }

  #takeBatch() {
    const batch = this.batches.shift()
    for (const frame of batch ?? []) this.waitingBytes -= frame.length
    if (this.socket.isPaused() && this.waitingBytes < MAX_WAITING_BYTES / 2) this.socket.resume()
    return batch
  }

  /** The batch that ran must run again: it found an advisory lock taken. */
  again() {
    this.lostUnnamed = true
    this.batches.unshift(this.current)
    for (const frame of this.current) this.waitingBytes += frame.length
  }

  /** Cancelled before its turn came: the answer a cancelled statement gets. */
  cancelWaiting(code = '57014', text = 'canceling statement due to user request') {
    if (!this.batches.length) return false
    const error = wire.errorResponse('ERROR', code, text)
    // As after any error, what was sent behind it is not run either, up to the next Sync.
    for (let batch; (batch = this.#takeBatch());) {
      const last = batch.at(-1)[0]
      if (last !== 0x48 && ENDS_BATCH.has(last)) {
        this.send(error, wire.ready(this.status))
        return true
      }
    }
    this.batch = []
    this.batchBytes = 0
    this.skipToSync = true
    this.send(error)
    return true
  }
}

/** `-c name=value` and `--name=value` of the start-up options, with backslash escapes. */
export function* startOptions(text) {
  const words = text.match(/(?:\\.|[^\s\\])+/gs) ?? []
  const plain = words.map((word) => word.replace(/\\(.)/gs, '$1'))
  for (let i = 0; i < plain.length; i++) {
    let word = plain[i]
    if (word === '-c') word = plain[++i] ?? ''
    else if (word.startsWith('-c')) word = word.slice(2)
    else if (word.startsWith('--')) word = word.slice(2)
    else throw new Error(`invalid command-line argument for server process: ${word}`)
    const equals = word.indexOf('=')
    if (equals < 1) throw new Error(`-c ${word} requires a value`)
    yield [word.slice(0, equals).replaceAll('-', '_').toLowerCase(), word.slice(equals + 1)]
  }
}
