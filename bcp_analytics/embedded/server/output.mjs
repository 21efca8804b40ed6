// Takes what the engine says while it runs a client's messages, and passes on what is meant for the client.
import * as wire from './wire.mjs'
import { LOCK_WAIT } from './setup.mjs'

// A notice of this build of the engine each time that a subtransaction is undone, as by an exception that is caught.
const ENGINE_NOTE = /\0M ?# \d+: aborting transaction \d+\0/

export class Output {
  /**
   * @param {import('./turns.mjs').Turns} turns
   * @param {import('./client.mjs').Client} client
   */
  constructor(turns, client) {
    this.turns = turns
    this.client = client
    /** @type {Buffer | null} */
    this.held = null // the last ReadyForQuery: changed parameters go before it
    this.lastType = ''
    this.swallow = client.notes.swallow
    // A batch that finds an advisory lock taken runs again later, unless the client has already had some of its output.
    // So where its text speaks of such locks, the client gets nothing before the end.
    const last = client.current[client.current.length - 1][0]
    this.repeatable = client.status === 'I' && !client.inExchange && (last === 0x51 || last === 0x53)
    /** @type {Buffer[] | null} */
    this.deferred = client.notes.advisory && this.repeatable ? [] : null
    this.lockTaken = false
    this.tags = client.notes.tags
  }

  /**
   * @param {Buffer} data
   * @param {number} kb
   */
  out(data, kb) {
    const { client, turns } = this
    const kept = this.#sift(data)
    const socket = client.socket
    if (this.deferred) {
      this.deferred.push(kept)
      turns.engine.acknowledge(kb)
    } else if (!kept.length || client.closed || socket.destroyed) turns.engine.acknowledge(kb)
    else {
      this.repeatable = false
      client.unread++
      if (client.unread === 1) turns.waitsForReader(client)
      socket.write(kept, () => {
        client.unread--
        turns.engine.acknowledge(kb)
        turns.waitsForReader(client)
      })
    }
  }

  more() {
    this.turns.copyWaits(this.client)
  }

  /**
   * @param {Buffer | null} data
   * @param {number} kb
   * @param {{refused?: wire.ErrorFields}} result
   */
  done(data, kb, { refused }) {
    const { client, turns } = this
    const kept = data ? this.#sift(data) : Buffer.alloc(0)
    const parts = [...(this.deferred ?? []), kept]
    for (const [name, value] of Object.entries(turns.server.reportable(turns.engine.parameters))) {
      if (client.reported.get(name) !== value && !refused) {
        client.reported.set(name, value)
        parts.push(wire.parameterStatus(name, value))
      }
    }
    if (this.held) {
      client.status = String.fromCharCode(this.held[5])
      parts.push(this.held)
      this.held = null
    }
    if (turns.engine.sent !== turns.engine.consumed) {
      client.send(...parts) // more COPY data is on its way to the engine
      if (kb) turns.engine.acknowledge(kb)
      return
    }
    client.copyIn = false
    client.copyTaken()
    client.inExchange = this.lastType !== 'Z' && !refused
    const again = this.lockTaken && this.repeatable && client.status === 'I'
    if (again) {
      if (kb) turns.engine.acknowledge(kb)
      turns.finished(client, refused, true)
      return
    }
    client.send(...parts)
    if (kb) turns.engine.acknowledge(kb)
    turns.finished(client, refused)
  }

  /** @param {Buffer} data */
  #sift(data) {
    const { client, turns } = this
    /** @type {Buffer[]} */
    const parts = []
    let from = 0
    let at = 0
    const drop = (/** @type {number} */ end) => {
      if (at > from) parts.push(data.subarray(from, at))
      from = end
    }
    while (at < data.length) {
      const type = data[at]
      const end = at + 1 + data.readInt32BE(at + 1)
      if (this.held) {
        parts.push(this.held) // not the last one of a pipeline
        this.held = null
      }
      if (type === 0x5a) { // Z
        drop(end)
        this.held = Buffer.from(data.subarray(at, end))
        this.swallowDone()
      } else if (type === 0x41) { // A, NotificationResponse
        drop(end)
        turns.server.notify(data.subarray(at, end))
      } else if (type === 0x45 || type === 0x4e) { // E and N
        if (type === 0x45) turns.errorSeen = true
        if (type === 0x4e && ENGINE_NOTE.test(data.toString('latin1', at, end))) {
          drop(end)
          at = end
          continue
        }
        const fields = this.#mended(data.subarray(at, end))
        if (fields) {
          drop(end)
          parts.push(wire.rebuildError(String.fromCharCode(type), fields))
        }
      } else if (type === 0x47) { // G, CopyInResponse: from now on the client's messages go to the waiting engine
        client.copyIn = true
      } else if (type === 0x43) { // C, CommandComplete
        const tag = data.toString('utf8', at + 5, end - 1)
        turns.lastTag = tag
        if (this.tags.length && tag === this.tags[0][0]) {
          drop(end)
          parts.push(wire.commandComplete(this.tags[0][1]))
          this.tags.shift()
        }
      } else if (this.swallow[String.fromCharCode(type)] > 0) {
        this.swallow[String.fromCharCode(type)]--
        drop(end)
      }
      this.lastType = String.fromCharCode(type)
      at = end
    }
    drop(at)
    return parts.length === 1 ? parts[0] : Buffer.concat(parts)
  }

  /**
   * New fields for an error or notice that must not reach the client as the engine wrote it, else null.
   * @param {Buffer} frame
   * @returns {wire.ErrorFields | null}
   */
  #mended(frame) {
    const { client, turns } = this
    const text = frame.toString('latin1')
    if (text.includes(client.prefix)) {
      const fields = wire.errorFields(frame)
      for (const key of Object.keys(fields)) fields[key] = fields[key].replaceAll(client.prefix, '')
      return fields
    }
    if (turns.timedOut && text.includes('C57014')) {
      return { ...wire.errorFields(frame), M: 'canceling statement due to statement timeout' }
    }
    if (text.includes(LOCK_WAIT)) {
      this.lockTaken = true
      return {
        ...wire.errorFields(frame), M: 'could not obtain the advisory lock: another client holds it',
        H: 'A transaction in the embedded database cannot wait for other clients: take the lock outside of one.',
      }
    }
    return null
  }

  swallowDone() {
    // Answers to messages of ours come before the batch's first ReadyForQuery or not at all.
    this.swallow = {}
  }
}
