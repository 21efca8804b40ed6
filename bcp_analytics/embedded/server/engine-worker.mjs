// The thread that runs the WebAssembly database, in a plain loop: wait for a request, run it, answer.
// Nothing is asynchronous after the start, so that COPY FROM STDIN can wait for the client's data in the middle of a
// statement: the engine's read callback blocks until the main thread hands the data on.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { trace } from './log.mjs'
import { frames, query, rowValues, errorFields } from './wire.mjs'
import { SIGNAL } from './engine.mjs'
import { SETUP, TOUCHED_SETTING } from './setup.mjs'
import { patchWebAssembly, sharedMemory } from './shared-memory.mjs'

/** @typedef {import('./engine.mjs').Message} Message */
/** @typedef {import('./engine.mjs').Request} Request */

/**
 * The functions and variables of the engine that this file uses; they have the names of its build.
 * @typedef {object} Module
 * @property {Uint8Array} HEAPU8
 * @property {Int32Array} HEAP32
 * @property {{value: number}} ___stack_pointer
 * @property {number} [_InterruptPending]
 * @property {number} [_ProcDiePending]
 * @property {(size: number) => number} _malloc
 * @property {(name: number, missingOk: number, restrict: number) => number} _GetConfigOption
 * @property {(name: number, value: number, context: number, source: number) => void} _SetConfigOption
 * @property {(length: number, type: number) => void} _interactive_one
 * @property {(read: number, write: number) => void} _set_read_write_cbs
 * @property {(callback: (pointer: number, length: number) => number, signature: string) => number} addFunction
 */

const FLUSH_BYTES = 256 * 1024
const INITIAL_PAGES = 2048 // 128 MB: the engine needs as much to start
const MAX_AHEAD_KB = 32 * 1024 // how much output may wait for a client that reads slowly
const { modules, dataDir, database, defaults, port, signal } = workerData
const shared = new Int32Array(signal)
/** @type {{[name: string]: string}} */
const settings = defaults

// PostgreSQL reports changes of these by itself. This build does not, so we compare them after each run.
const REPORTED = [
  'application_name', 'client_encoding', 'DateStyle', 'default_transaction_read_only', 'in_hot_standby',
  'integer_datetimes', 'IntervalStyle', 'is_superuser', 'scram_iterations', 'server_encoding', 'server_version',
  'session_authorization', 'standard_conforming_strings', 'TimeZone',
]
const WATCHED = ['role', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout', TOUCHED_SETTING]

/** @type {Module} */
let mod
/** @type {import('./engine.mjs').Flags | null} */
let flags = null
/** @type {Uint8Array[]} */
let input = [] // what the engine may still read
let inputSize = 0
let consumed = 0 // how many requests were taken, so that the main thread knows when this one is idle
/** @type {Uint8Array[]} */
let chunks = []
let chunkSize = 0
/** @type {Buffer | null} */
let carry = null // an unfinished message at the end of the last flush
let copying = false // the engine has asked for COPY data and has not yet answered
let capture = false // an internal query runs: its output is not for a client
let sentKb = 0
/** @type {Map<string, string>} */
const lastParameters = new Map()
/** @type {Map<string, number>} */
const names = new Map()

/** @param {Message} message */
const post = (message) => port.postMessage(message)

/**
 * The address of a string in the engine's memory, which keeps it.
 * @param {string} text
 */
function cString(text) {
  let at = names.get(text)
  if (at === undefined) {
    const bytes = Buffer.from(text + '\0')
    at = mod._malloc(bytes.length)
    mod.HEAPU8.set(bytes, at)
    names.set(text, at)
  }
  return at
}

/** @param {string} name */
function setting(name) {
  const from = mod._GetConfigOption(cString(name), 1, 0)
  if (!from) return ''
  const to = mod.HEAPU8.indexOf(0, from)
  return Buffer.from(mod.HEAPU8.slice(from, to)).toString()
}

function changedParameters() {
  /** @type {Record<string, string>} */
  const changed = {}
  for (const name of [...REPORTED, ...WATCHED]) {
    const value = setting(name)
    if (lastParameters.get(name) !== value) {
      lastParameters.set(name, value)
      changed[name] = value
    }
  }
  return changed
}

// ---- input and output of the engine

/** @returns {Request} */
function nextRequest() {
  for (;;) {
    const seen = Atomics.load(shared, SIGNAL.REQUEST)
    const got = receiveMessageOnPort(port)
    if (got) return got.message
    Atomics.wait(shared, SIGNAL.REQUEST, seen)
  }
}

/** @param {Uint8Array} data */
function take(data) {
  consumed++
  input.push(data)
  inputSize += data.length
}

/**
 * The engine's read callback.
 * @param {number} pointer
 * @param {number} maximum
 */
function engineReads(pointer, maximum) {
  if (!inputSize && !capture) {
    // Only COPY FROM STDIN asks for more than it was called with: ask the client, through the main thread.
    flush()
    if (!copying) return 0
    post({ op: 'more', consumed })
    while (!inputSize) {
      const request = nextRequest()
      if (request.op === 'run') take(request.data)
      else if (request.op === 'stop') process.exit(0)
    }
  }
  if (!inputSize) return 0
  const head = input[0]
  const length = Math.min(maximum, head.length)
  mod.HEAPU8.set(length === head.length ? head : head.subarray(0, length), pointer)
  if (length === head.length) input.shift()
  else input[0] = head.subarray(length)
  inputSize -= length
  return length
}

/**
 * The engine's write callback.
 * @param {number} pointer
 * @param {number} length
 */
function engineWrites(pointer, length) {
  chunks.push(mod.HEAPU8.slice(pointer, pointer + length))
  chunkSize += length
  if (chunkSize >= FLUSH_BYTES && !capture) flush()
  return length
}

/** The whole messages written so far. Notices whether a COPY FROM STDIN has begun. */
function written() {
  const whole = chunks.length === 1 && !carry ? chunks[0] : Buffer.concat(carry ? [carry, ...chunks] : chunks)
  const all = Buffer.from(whole.buffer, whole.byteOffset, whole.length)
  chunks = []
  chunkSize = 0
  let at = 0
  while (at + 5 <= all.length) {
    const end = at + 1 + all.readInt32BE(at + 1)
    if (end > all.length) break
    const type = all[at]
    if (type === 0x47) copying = true // G, CopyInResponse
    else if (type === 0x43 || type === 0x45 || type === 0x5a) copying = false // C, E, Z
    at = end
  }
  carry = at < all.length ? all.subarray(at) : null
  return all.subarray(0, at)
}

function flush() {
  if (!chunks.length) return
  const data = written()
  if (!data.length) return
  sentKb = (sentKb + Math.ceil(data.length / 1024)) | 0
  post({ op: 'out', data, kb: Math.ceil(data.length / 1024) })
  for (;;) {
    const acknowledged = Atomics.load(shared, SIGNAL.ACKNOWLEDGED)
    if (((sentKb - acknowledged) | 0) <= MAX_AHEAD_KB) return
    Atomics.wait(shared, SIGNAL.ACKNOWLEDGED, acknowledged, 1000)
  }
}

function runInput() {
  // The engine reads 8 kB at a time, and may return after them in the middle of a batch.
  while (inputSize) mod._interactive_one(inputSize, input[0][0])
}

/**
 * Runs one simple query for the server itself.
 * @param {string} sql
 */
function internal(sql) {
  capture = true
  const bytes = query(sql)
  input = [bytes]
  inputSize = bytes.length
  try {
    runInput()
  } finally {
    capture = false
  }
  /** @type {import('./engine.mjs').Answer & {notifications: Buffer[]}} */
  const result = { rows: [], error: null, notifications: [] }
  for (const [type, frame] of frames(written())) {
    if (type === 'D') result.rows.push(rowValues(frame))
    else if (type === 'E') result.error = errorFields(frame)
    else if (type === 'Z') result.status = String.fromCharCode(frame[5])
    else if (type === 'A') result.notifications.push(frame)
  }
  return result
}

// ---- requests

/** Where the main thread can set the flags of a cancel; null when this build has them elsewhere. */
function interruptFlags() {
  const [pending, die] = [mod._InterruptPending, mod._ProcDiePending]
  return pending !== undefined && die === pending + 8 ? { pending: pending / 4, cancel: pending / 4 + 1 } : null
}

/** Clears a cancel that came too late for its statement, so that it does not hit the shutdown. */
function forgetInterrupts() {
  if (!flags) return
  mod.HEAP32[flags.cancel] = 0
  mod.HEAP32[flags.pending] = 0
}

/** @param {Request & {op: 'run'}} request */
function run(request) {
  for (const sql of request.before ?? []) {
    const { error } = internal(sql)
    if (error) {
      consumed++
      post({ op: 'done', consumed, refused: error, parameters: changedParameters() })
      return
    }
  }
  take(request.data)
  runInput()
  const data = chunks.length ? written() : null
  const kb = Math.ceil((data?.length ?? 0) / 1024)
  sentKb = (sentKb + kb) | 0
  post({ op: 'done', consumed, data, kb, parameters: changedParameters() })
}

// The build's C stack is 64 KB. Fewer than 64 nested PL/pgSQL calls write beyond its end, into the engine's data, and
// kill it. Each call from JavaScript begins at the stack pointer, so we point it at a larger block.
// PostgreSQL measures the depth from the old stack, so max_stack_depth must reach from there to the top of the block.
// An endless recursion is stopped by V8's own smaller stack (stackSizeMb of the worker); then the engine starts again.
const STACK_BYTES = 64 * 1024 * 1024

function moveStack() {
  const old = mod.___stack_pointer.value
  const top = (mod._malloc(STACK_BYTES) + STACK_BYTES - 1024) & ~15
  mod.___stack_pointer.value = top
  return Math.ceil((top - old) / 1024) + 1024
}

async function open() {
  patchWebAssembly()
  const folder = path.join(modules, '@unni-craftsman', 'pglite', 'dist')
  const load = (/** @type {string} */ name) => import(pathToFileURL(path.join(folder, name)).href)
  const [{ PGlite }, { timescaledb }, { NodeFS }] = await Promise.all(
    [load('index.js'), load('timescaledb/index.js'), load('fs/nodefs.js')])
  const memory = sharedMemory(INITIAL_PAGES)
  class SharedNodeFS extends NodeFS {
    async init(/** @type {unknown} */ pg, /** @type {unknown} */ given) {
      const { emscriptenOpts } = await super.init(pg, given)
      return { emscriptenOpts: { ...emscriptenOpts, wasmMemory: memory } }
    }
  }
  const fs = new (/** @type {any} */ (SharedNodeFS))(dataDir)
  const db = await PGlite.create({ fs, database, extensions: { timescaledb } })
  mod = db.Module
  flags = interruptFlags()
  const stackKb = moveStack()
  mod._set_read_write_cbs(mod.addFunction(engineReads, 'iii'), mod.addFunction(engineWrites, 'iii'))
  // Without this, RESET would go back to what initdb had set in single-user mode, enable_seqscan=off for one.
  const PGC_SUSET = 5
  const PGC_S_CLIENT = 10
  for (const [name, value] of Object.entries(settings)) {
    mod._SetConfigOption(cString(name), cString(value), PGC_SUSET, PGC_S_CLIENT)
  }
  const must = (/** @type {string} */ sql) => {
    const { rows, error } = internal(sql)
    if (error) throw new Error(`${sql}: ${error.C} ${error.M}`)
    return rows
  }
  mod._SetConfigOption(cString('max_stack_depth'), cString(`${stackKb}kB`), PGC_SUSET, PGC_S_CLIENT)
  must('reset all')
  must("load 'timescaledb'") // without it a restarted store refuses inserts into hypertables
  const [[name]] = must('select current_database()')
  if (name === database) {
    must('create extension if not exists timescaledb')
    must('begin')
    for (const sql of SETUP) must(sql)
    must('commit')
  }
  const [[version, license]] = must(`select (select extversion from pg_extension where extname = 'timescaledb'),
    current_setting('timescaledb.license', true)`)
  return { db, name: String(name), version: String(version), license: String(license), memory }
}

/** Runs requests until the one to stop. */
function loop() {
  for (;;) {
    const request = nextRequest()
    if (request.op === 'run') run(request)
    else if (request.op === 'query') {
      const answer = internal(request.sql)
      post({ op: 'answer', id: request.id, ...answer, parameters: changedParameters() })
    } else {
      forgetInterrupts()
      return
    }
  }
}

try {
  const { db, name, version, license, memory } = await open()
  post({ op: 'ready', database: name, version, license, parameters: changedParameters(), memory, flags })
  loop()
  await db.close()
  post({ op: 'closed' })
} catch (error) {
  // This is no SQL error: the engine itself gave up (a trap, PANIC, or exit). The main thread starts a new one.
  post({ op: 'crash', reason: trace(error) })
}
parentPort?.close()
