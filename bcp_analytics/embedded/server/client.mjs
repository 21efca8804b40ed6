// One connection: its start-up, authentication, queue of messages, and what it owns inside of the shared engine.
// The npm package pg-gateway hands on one message at a time. The engine must get everything up to a Sync in one call,
// so the start-up below is our own.
import crypto from 'node:crypto'
import * as wire from './wire.mjs'
import { Scram } from './scram.mjs'
import { newNotes, rewriteFrame } from './rewrite.mjs'
import { reason } from './log.mjs'
import { newLater } from './session.mjs'

/** @typedef {import('./rewrite.mjs').Notes} Notes */

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const MAX_WAITING_BYTES = 8 * 1024 * 1024 // unread messages of one client before its socket is paused
const MAX_COPY_AHEAD = 4 * 1024 * 1024
const EARLY_BATCH_BYTES = 1024 * 1024 // more messages without Sync or Flush are run before one comes
const ENDS_BATCH = new Set([0x51, 0x53, 0x46, 0x48]) // Q, S, F and H
const COPY_DATA = new Set([0x64, 0x63, 0x66]) // d, c and f
const AUTHENTICATION_MS = 60_000
const LINGER_MS = 5000 // how long a client may take to read why it was disconnected

let nextPid = 10_000 + crypto.randomInt(10_000)

export class Client {
  /**
   * @param {import('./server.mjs').Server} server
   * @param {import('node:net').Socket} socket
   * @param {boolean} needsPassword
   */
  constructor(server, socket, needsPassword) {
    this.server = server
    this.socket = socket
    this.needsPassword = needsPassword
    this.user = ''
    this.database = ''
    this.pid = nextPid++
    this.secret = crypto.randomInt(2 ** 31 - 1)
    this.prefix = `${this.pid}/`
    this.reader = new wire.FrameReader()
    this.phase = 'startup'
    this.admitted = false // it has been told that it may begin
    /** @type {Scram | null} */
    this.scram = null
    /** @type {Map<string, Notes>} */
    this.statements = new Map() // prepared ones, by their names in the engine: what running each does
    /** @type {Map<string, string>} */
    this.settings = new Map() // what this client changed by SET, put back at each of its turns
    this.settingsChanged = false
    /** @type {Map<string, string>} */
    this.startSettings = new Map() // from the start-up packet: what RESET goes back to
    /** @type {Map<string, string>} */
    this.reported = new Map() // the parameters that it was told of
    /** @type {Set<string>} */
    this.channels = new Set()
    /** @type {import('./rewrite.mjs').Listening[]} */
    this.pendingListens = []
    /** @type {Set<string>} */
    this.tempObjects = new Set() // statements that drop them
    /** @type {Set<string>} */
    this.heldCursors = new Set()
    this.role = 'none'
    this.authorization = '' // whom it became by SET SESSION AUTHORIZATION
    /** @type {Map<string, number>} */
    this.locks = new Map() // session-level advisory locks, as setup.mjs spells them: how often each was taken
    this.locksHeld = false // whether the engine has them now; without the turn they are only remembered
    this.later = newLater() // notes of the transaction under way
    this.idleLimitMs = this.statementLimitMs = this.lockLimitMs = 0
    /** @type {Buffer[][]} */
    this.batches = [] // complete batches that wait for the turn
    /** @type {Buffer[]} */
    this.batch = [] // messages since the last complete batch
    /** @type {Buffer[]} */
    this.current = [] // the batch that runs
    this.batchBytes = 0
    this.waitingBytes = 0
    /** @type {Buffer[]} */
    this.copyFrames = []
    this.copyAhead = 0
    this.copyIn = false
    this.unread = 0 // pieces of output the socket has not yet taken
    this.status = 'I'
    this.inExchange = false // messages ran whose Sync is still to come
    this.skipToSync = false
    this.closed = false
    this.cleaned = false // nothing of it is left in the engine
    this.cancelAsked = false
    /** @type {number | null} */
    this.waitsSince = null // since when it has waited for an advisory lock
    /** @type {Buffer | null} */
    this.unnamed = null // the message that made its unnamed statement
    /** @type {Notes | undefined} */
    this.unnamedNotes = undefined
    this.lostUnnamed = false // others may have made another since
    this.notes = newNotes()
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#received(/** @type {Buffer} */ (chunk)))
    socket.on('error', () => {})
    socket.on('close', () => this.#gone())
    this.timer = setTimeout(() => this.fatal('08P01', 'the start-up took too long'), AUTHENTICATION_MS)
  }

  /**
   * Takes over the time limits that this client has set, in ms; 0 is none.
   * @param {Record<string, string>} parameters
   */
  limits(parameters) {
    this.idleLimitMs = Number(parameters.idle_in_transaction_session_timeout) || 0
    this.statementLimitMs = Number(parameters.statement_timeout) || 0
    this.lockLimitMs = Number(parameters.lock_timeout) || 0
  }

  // ---- to the client

  /** @param {Buffer[]} frames */
  send(...frames) {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(Buffer.concat(frames))
  }

  /**
   * Says why, closes the connection, and frees all that it held.
   * @param {string} code
   * @param {string} text
   * @param {string} [hint]
   */
  fatal(code, text, hint) {
    this.send(wire.errorResponse('FATAL', code, text, hint))
    this.#hangUp()
  }

  #hangUp() {
    this.socket.end()
    this.socket.destroySoon()
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref() // a client that does not read must not stay for ever
    this.#gone()
  }

  #gone() {
    if (this.closed) return
    this.closed = true
    clearTimeout(this.timer)
    this.server.clientGone(this)
  }

  // ---- from the client

  /** @param {Buffer} chunk */
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
      const text = reason(error)
      this.server.log.warning(`client ${this.pid}: ${text}`)
      this.fatal('08P01', `protocol violation: ${text}`)
    }
  }

  /** @param {Buffer} frame */
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
    /** @type {Map<string, string>} */
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
    this.user = given.get('user') ?? ''
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
      const { verifier } = this.server
      if (!verifier) throw new Error('the server has no password to compare with')
      this.phase = 'password'
      this.scram = new Scram(verifier)
      this.send(this.scram.begin())
    } else this.#authenticated()
  }

  /** @param {Buffer} frame */
  #password(frame) {
    try {
      if (!this.scram) throw new Error('no password was asked for')
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

  /**
   * Ends the start-up: tells the client what it needs to know before its first query.
   * @param {Record<string, string>} parameters
   */
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

  /** @param {Buffer} frame */
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

  /** Hands COPY data to the engine as it came from the socket, many messages at once. */
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

  /** The engine has taken all COPY data. */
  copyTaken() {
    this.copyAhead = 0
    this.socket.resume()
  }

  /** The next batch as one buffer for the engine; null when there is none. */
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

  /** Puts the batch that ran back: it found an advisory lock taken and must run again. */
  again() {
    this.lostUnnamed = true
    this.batches.unshift(this.current)
    for (const frame of this.current) this.waitingBytes += frame.length
  }

  /**
   * Cancels what waits for its turn, with the answer that a cancelled statement gets.
   * @param {string} [code]
   * @param {string} [text]
   * @returns {boolean} whether anything waited
   */
  cancelWaiting(code = '57014', text = 'canceling statement due to user request') {
    if (!this.batches.length) return false
    const error = wire.errorResponse('ERROR', code, text)
    // As after any error, nothing up to the next Sync is run either.
    for (let batch; (batch = this.#takeBatch());) {
      const last = batch[batch.length - 1][0]
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

/**
 * The settings in the start-up packet's `options`: `-c name=value` and `--name=value`, with backslash escapes.
 * @param {string} text
 * @returns {Generator<[string, string]>}
 */
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
