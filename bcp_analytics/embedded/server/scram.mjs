// The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677). There is no channel binding: it is used on 127.0.0.1 only.
import crypto from 'node:crypto'
import { cstr, int32, message } from './wire.mjs'

const ITERATIONS = 4096
const MIN_PASSWORD = 16 // characters; _places.py has the same
/** @type {(key: crypto.BinaryLike, text: crypto.BinaryLike) => Buffer} */
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest()
/** @param {Buffer} bytes */
const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest()
const MECHANISM = 'SCRAM-SHA-256'

/**
 * What the server keeps of the password instead of itself.
 * @typedef {{salt: Buffer, storedKey: Buffer, serverKey: Buffer}} Verifier
 */

/**
 * Throws when the password is empty or short enough to be guessed.
 * @param {string} password
 * @returns {Verifier}
 */
export function verifier(password) {
  const length = [...password].length
  if (length < MIN_PASSWORD) throw new Error(`the password has ${length} characters, and needs ${MIN_PASSWORD} or more`)
  const salt = crypto.randomBytes(16)
  const salted = crypto.pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256')
  return { salt, storedKey: sha256(hmac(salted, 'Client Key')), serverKey: hmac(salted, 'Server Key') }
}

export class Scram {
  /** @param {Verifier} stored */
  constructor(stored) {
    this.stored = stored
    this.header = this.firstBare = this.nonce = this.serverFirst = ''
  }

  begin() {
    return message('R', int32(10), cstr(MECHANISM), Buffer.from([0]))
  }

  /**
   * Answers one message of the client. Throws when its password is wrong.
   * @param {Buffer} frame
   */
  step(frame) {
    if (String.fromCharCode(frame[0]) !== 'p') throw new Error('expected a password message')
    return this.firstBare ? this.#final(frame) : this.#first(frame)
  }

  /** @param {Buffer} frame */
  #first(frame) {
    const end = frame.indexOf(0, 5)
    if (frame.toString('utf8', 5, end) !== MECHANISM) throw new Error('unknown mechanism')
    const first = frame.toString('utf8', end + 5)
    const parts = /^(([ny]),[^,]*,)(n=[^,]*,r=([^,]+).*)$/s.exec(first)
    if (!parts) throw new Error('malformed first message')
    this.header = parts[1]
    this.firstBare = parts[3]
    this.nonce = parts[4] + crypto.randomBytes(18).toString('base64')
    this.serverFirst = `r=${this.nonce},s=${this.stored.salt.toString('base64')},i=${ITERATIONS}`
    return { reply: message('R', int32(11), Buffer.from(this.serverFirst)), finished: false }
  }

  /** @param {Buffer} frame */
  #final(frame) {
    const final = frame.toString('utf8', 5)
    const parts = /^(c=([^,]+),r=([^,]+)),p=(.+)$/s.exec(final)
    if (!parts || parts[3] !== this.nonce) throw new Error('malformed final message')
    if (Buffer.from(parts[2], 'base64').toString() !== this.header) throw new Error('channel binding differs')
    const said = `${this.firstBare},${this.serverFirst},${parts[1]}`
    const signature = hmac(this.stored.storedKey, said)
    const proof = Buffer.from(parts[4], 'base64')
    if (proof.length !== signature.length) throw new Error('malformed proof')
    const clientKey = Buffer.from(proof.map((byte, i) => byte ^ signature[i]))
    if (!crypto.timingSafeEqual(sha256(clientKey), this.stored.storedKey)) throw new Error('wrong password')
    const server = hmac(this.stored.serverKey, said).toString('base64')
    return { reply: message('R', int32(12), Buffer.from(`v=${server}`)), finished: true }
  }
}
