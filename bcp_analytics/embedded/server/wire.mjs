// The PostgreSQL wire protocol, version 3: building and cutting messages. No state of a session lives here.

export const cstr = (text) => Buffer.concat([Buffer.from(text), Buffer.from([0])])
export const int16 = (n) => { const b = Buffer.alloc(2); b.writeInt16BE(n); return b }
export const int32 = (n) => { const b = Buffer.alloc(4); b.writeInt32BE(n); return b }

export function message(type, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  const out = Buffer.allocUnsafe(length + 1)
  out[0] = type.charCodeAt(0)
  out.writeInt32BE(length, 1)
  let at = 5
  for (const part of parts) { out.set(part, at); at += part.length }
  return out
}

export const query = (sql) => message('Q', cstr(sql))
export const parse = (name, sql) => message('P', cstr(name), cstr(sql), int16(0))
export const closeStatement = (name) => message('C', Buffer.from('S'), cstr(name))
export const copyFail = (why) => message('f', cstr(why))
export const SYNC = message('S')
export const ready = (status) => message('Z', Buffer.from(status))
export const parameterStatus = (name, value) => message('S', cstr(name), cstr(value))
export const commandComplete = (tag) => message('C', cstr(tag))
export const notification = (pid, channel, payload) => message('A', int32(pid), cstr(channel), cstr(payload))

/** ErrorResponse: severity ERROR or FATAL, SQLSTATE, what happened, and what to do about it. */
export function errorResponse(severity, code, text, hint) {
  const fields = [['S', severity], ['V', severity], ['C', code], ['M', text]]
  if (hint) fields.push(['H', hint])
  return message('E', ...fields.map(([key, value]) => cstr(key + value)), Buffer.from([0]))
}

/** Fields of an ErrorResponse or NoticeResponse, by their one-letter key. */
export function errorFields(frame) {
  const fields = {}
  for (let at = 5; at < frame.length && frame[at] !== 0;) {
    const end = frame.indexOf(0, at)
    fields[String.fromCharCode(frame[at])] = frame.toString('utf8', at + 1, end)
    at = end + 1
  }
  return fields
}

export function rebuildError(type, fields) {
  return message(type, ...Object.entries(fields).map(([key, value]) => cstr(key + value)), Buffer.from([0]))
}

/** The zero-terminated string at `at`, and where the next field begins. */
export function readCstr(frame, at) {
  const end = frame.indexOf(0, at)
  if (end < 0) throw new Error('a string without its end')
  return [frame.toString('utf8', at, end), end + 1]
}

/** Whole messages of a buffer that holds nothing else. */
export function* frames(buffer) {
  for (let at = 0; at + 5 <= buffer.length;) {
    const end = at + 1 + buffer.readInt32BE(at + 1)
    yield [String.fromCharCode(buffer[at]), buffer.subarray(at, end)]
    at = end
  }
}

/** Values of a DataRow in text format. */
export function rowValues(frame) {
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
export const MAX_EARLY_BYTES = 10_000 // what may be read of a client before it is authenticated; PostgreSQL's, for a start-up packet

/** Cuts what a socket delivers into messages; a large one is not copied again for each piece that arrives. */
export class FrameReader {
  constructor() {
    this.parts = []
    this.size = 0
    this.startup = true // the first packet has no type byte
    this.limit = MAX_EARLY_BYTES // until the client is authenticated
    this.taken = 0
  }

  /** From now on messages may be as long as PostgreSQL takes them. */
  trust() { this.limit = MAX_FRAME }

  push(chunk) {
    this.parts.push(chunk)
    this.size += chunk.length
  }

  next() {
    const header = this.startup ? 4 : 5
    if (this.size < header) return null
    if (this.parts[0].length < header) this.join()
    const head = this.parts[0]
    const length = this.startup ? head.readInt32BE(0) : head.readInt32BE(1) + 1
    if (length < header) throw new Error('invalid message length')
    // By what is announced, not by what has come: nothing is kept for a stranger. Each client may take it up once only.
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
