// The PostgreSQL wire protocol, version 3: building and cutting messages. No state of a session lives here.

/**
 * Fields of an ErrorResponse or NoticeResponse by their one-letter keys: C is the SQLSTATE, M the message, H the hint.
 * @typedef {Record<string, string>} ErrorFields
 */

/** @param {string} text */
export const cstr = (text) => Buffer.concat([Buffer.from(text), Buffer.from([0])])
/** @param {number} n */
export const int16 = (n) => { const b = Buffer.alloc(2); b.writeInt16BE(n); return b }
/** @param {number} n */
export const int32 = (n) => { const b = Buffer.alloc(4); b.writeInt32BE(n); return b }

/**
 * @param {string} type one letter
 * @param {Buffer[]} parts
 */
export function message(type, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  const out = Buffer.allocUnsafe(length + 1)
  out[0] = type.charCodeAt(0)
  out.writeInt32BE(length, 1)
  let at = 5
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** @param {string} sql */
export const query = (sql) => message('Q', cstr(sql))
/** @type {(name: string, sql: string) => Buffer} */
export const parse = (name, sql) => message('P', cstr(name), cstr(sql), int16(0))
/** @param {string} name */
export const closeStatement = (name) => message('C', Buffer.from('S'), cstr(name))
/** @param {string} why */
export const copyFail = (why) => message('f', cstr(why))
export const SYNC = message('S')
/** @param {string} status */
export const ready = (status) => message('Z', Buffer.from(status))
/** @type {(name: string, value: string) => Buffer} */
export const parameterStatus = (name, value) => message('S', cstr(name), cstr(value))
/** @param {string} tag */
export const commandComplete = (tag) => message('C', cstr(tag))
/** @type {(pid: number, channel: string, payload: string) => Buffer} */
export const notification = (pid, channel, payload) => message('A', int32(pid), cstr(channel), cstr(payload))

/**
 * An ErrorResponse.
 * @param {'ERROR' | 'FATAL'} severity
 * @param {string} code the SQLSTATE
 * @param {string} text what happened
 * @param {string} [hint] what to do about it
 */
export function errorResponse(severity, code, text, hint) {
  const fields = [['S', severity], ['V', severity], ['C', code], ['M', text]]
  if (hint) fields.push(['H', hint])
  return message('E', ...fields.map(([key, value]) => cstr(key + value)), Buffer.from([0]))
}

/** @param {Buffer} frame an ErrorResponse or NoticeResponse */
export function errorFields(frame) {
  /** @type {ErrorFields} */
  const fields = {}
  for (let at = 5; at < frame.length && frame[at] !== 0;) {
    const end = frame.indexOf(0, at)
    fields[String.fromCharCode(frame[at])] = frame.toString('utf8', at + 1, end)
    at = end + 1
  }
  return fields
}

/**
 * An ErrorResponse or NoticeResponse with these fields.
 * @param {string} type
 * @param {ErrorFields} fields
 */
export function rebuildError(type, fields) {
  return message(type, ...Object.entries(fields).map(([key, value]) => cstr(key + value)), Buffer.from([0]))
}

/**
 * The zero-terminated string at `at`, and where the next field begins.
 * @param {Buffer} frame
 * @param {number} at
 * @returns {[string, number]}
 */
export function readCstr(frame, at) {
  const end = frame.indexOf(0, at)
  if (end < 0) throw new Error('a string has no end')
  return [frame.toString('utf8', at, end), end + 1]
}

/**
 * The messages of a buffer that holds only whole ones, each with its type.
 * @param {Buffer} buffer
 * @returns {Generator<[string, Buffer]>}
 */
export function* frames(buffer) {
  for (let at = 0; at + 5 <= buffer.length;) {
    const end = at + 1 + buffer.readInt32BE(at + 1)
    yield [String.fromCharCode(buffer[at]), buffer.subarray(at, end)]
    at = end
  }
}

/**
 * Values of a DataRow in text format.
 * @param {Buffer} frame
 */
export function rowValues(frame) {
  /** @type {(string | null)[]} */
  const row = []
  let at = 7
  for (let n = frame.readInt16BE(5); n > 0; n--) {
    const length = frame.readInt32BE(at)
    at += 4
    row.push(length < 0 ? null : frame.toString('utf8', at, at + length))
    if (length > 0) at += length
  }
  return row
}

const MAX_FRAME = 1 << 30 // PostgreSQL's own limit
// How much a client may send before it is authenticated. PostgreSQL allows as much for a start-up packet.
const MAX_EARLY_BYTES = 10_000

/** Cuts what a socket delivers into messages. A large one is copied once, not again for each piece that arrives. */
export class FrameReader {
  constructor() {
    /** @type {Buffer[]} */
    this.parts = []
    this.size = 0
    this.startup = true // the first packet has no type byte
    this.limit = MAX_EARLY_BYTES // until the client is authenticated
    this.taken = 0
  }

  /** The client is authenticated: from now on its messages may be as long as PostgreSQL allows. */
  trust() { this.limit = MAX_FRAME }

  /** @param {Buffer} chunk */
  push(chunk) {
    this.parts.push(chunk)
    this.size += chunk.length
  }

  /** The next message, or null until all of it has arrived. */
  next() {
    const header = this.startup ? 4 : 5
    if (this.size < header) return null
    if (this.parts[0].length < header) this.join()
    const head = this.parts[0]
    const length = this.startup ? head.readInt32BE(0) : head.readInt32BE(1) + 1
    if (length < header) throw new Error('invalid message length')
    // Check the announced length before the message arrives, so that nothing is kept for a stranger. Its first
    // messages share one allowance.
    const spent = this.limit === MAX_FRAME ? 0 : this.taken
    if (length + spent > this.limit) throw new Error(`a message of ${length} bytes is too long`)
    if (this.size < length) return null
    if (this.parts[0].length < length) this.join()
    const whole = this.parts[0]
    const frame = whole.subarray(0, length)
    if (whole.length === length) this.parts.shift()
    else this.parts[0] = whole.subarray(length)
    this.size -= length
    this.taken += length
    return frame
  }

  join() {
    this.parts = [Buffer.concat(this.parts)]
  }
}
