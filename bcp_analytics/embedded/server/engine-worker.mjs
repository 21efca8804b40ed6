// The thread that runs the WebAssembly database. It sits in a plain loop: wait for a request, run it, answer.
// Nothing here is asynchronous after the start, so that COPY FROM STDIN can wait in the middle of a statement
// for more of the client's data: the engine's read callback blocks until the other thread hands it on.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { frames, query, rowValues, errorFields } from './wire.mjs'
import { SIGNAL } from './engine.mjs'
import { SETUP, TOUCHED_SETTING } from './setup.mjs'
import { patchWebAssembly, sharedMemory } from './shared-memory.mjs'

const FLUSH_BYTES = 256 * 1024
const INITIAL_PAGES = 2048 // 128 MB: what the engine has grown to after its start
const MAX_AHEAD_KB = 32 * 1024 // how much output may wait for a client that reads slowly
const { modules, dataDir, database, defaults, port, signal } = workerData
const shared = new Int32Array(signal)

// What a PostgreSQL server reports by itself; this build does not, so we compare after each run.
const REPORTED = [
  'application_name', 'client_encoding', 'DateStyle', 'default_transaction_read_only', 'in_hot_standby',
  'integer_datetimes', 'IntervalStyle', 'is_superuser', 'scram_iterations', 'server_encoding', 'server_version',
  'session_authorization', 'standard_conforming_strings', 'TimeZone',
]
const WATCHED = ['role', 'idle_in_transaction_session_timeout', 'statement_timeout', 'lock_timeout', TOUCHED_SETTING]

let mod
let flags = null
let input = [] // what the engine may still read
let inputSize = 0
let consumed = 0 // requests taken over, so that the other side knows when we are idle
let chunks = []
let chunkSize = 0
let carry = null // an unfinished message at the end of the last flush
let copying = false // the engine has asked for COPY data and not yet answered
let capture = null // rows of an internal query instead of bytes for a client
let sentKb = 0
const lastParameters = new Map()
const names = new Map()

function cName(name) {
  if (!names.has(name)) {
    const bytes = Buffer.from(name + '\0')
    const at = mod._malloc(bytes.length)
    mod.HEAPU8.set(bytes, at)
    names.set(name, at)
  }
  return names.get(name)
}

function setting(name) {
  const from = mod._GetConfigOption(cName(name), 1, 0)
  if (!from) return ''
  const to = mod.HEAPU8.indexOf(0, from)
  return Buffer.from(mod.HEAPU8.slice(from, to)).toString()
}

function changedParameters() {
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

function nextRequest() {
  for (;;) {
    const seen = Atomics.load(shared, SIGNAL.REQUEST)
    const got = receiveMessageOnPort(port)
    if (got) return got.message
    Atomics.wait(shared, SIGNAL.REQUEST, seen)
  }
}

function take(data) {
  consumed++
  input.push(data)
  inputSize += data.length
}

function engineReads(pointer, maximum) {
  if (!inputSize && !capture) {
    // Only COPY FROM STDIN asks for more than it was called with; ask the client, through the other thread.
    flush()
    if (!copying) return 0
    port.postMessage({ op: 'more', consumed })
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

function engineWrites(pointer, length) {
  chunks.push(mod.HEAPU8.slice(pointer, pointer + length))
  chunkSize += length
  if (chunkSize >= FLUSH_BYTES && !capture) flush()
  return length
}

/** Whole messages written so far; notices whether a COPY FROM STDIN has begun. */
function written() {
  let all = chunks.length === 1 && !carry ? chunks[0] : Buffer.concat(carry ? [carry, ...chunks] : chunks)
  all = Buffer.from(all.buffer, all.byteOffset, all.length)
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
  port.postMessage({ op: 'out', data, kb: Math.ceil(data.length / 1024) })
  for (;;) {
    const acknowledged = Atomics.load(shared, SIGNAL.ACKNOWLEDGED)
    if (((sentKb - acknowledged) | 0) <= MAX_AHEAD_KB) return
    Atomics.wait(shared, SIGNAL.ACKNOWLEDGED, acknowledged, 1000)
  }
}

function runInput() {
  // The engine reads 8 kB at a time and may return at such a boundary although a batch goes on.
  while (inputSize) mod._interactive_one(inputSize, input[0][0])
}

/** Runs one simple query for the server itself; answers rows or the error's fields. */
function internal(sql) {
  capture = true
  const bytes = query(sql)
  input = [bytes]
  inputSize = bytes.length
  try {
    runInput()
  } finally {
    capture = null
  }
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

/** Where the other thread may raise a cancel, or null when this build has its flags elsewhere. */
function interruptFlags() {
  const [pending, die] = [mod._InterruptPending, mod._ProcDiePending]
  return typeof pending === 'number' && die === pending + 8 ? { pending: pending / 4, cancel: pending / 4 + 1 } : null
}

/** A cancel that came too late for its statement must not hit the shutdown. */
function forgetInterrupts() {
  if (!flags) return
  mod.HEAP32[flags.cancel] = 0
  mod.HEAP32[flags.pending] = 0
}

function run(request) {
  for (const sql of request.before ?? []) {
    const { error } = internal(sql)
    if (error) {
      consumed++
      port.postMessage({ op: 'done', consumed, refused: error, parameters: changedParameters() })
      return
    }
  }
  take(request.data)
  runInput()
  const data = chunks.length ? written() : null
  if (data?.length) sentKb = (sentKb + Math.ceil(data.length / 1024)) | 0
  port.postMessage({ op: 'done', consumed, data, kb: data ? Math.ceil(data.length / 1024) : 0, parameters: changedParameters() })
}

// The build's C stack is 64 KB: fewer than 64 nested PL/pgSQL calls run over its end, into the engine's data, and
// kill it. Every call from JavaScript begins at the stack pointer, so it can begin in a larger block instead.
// PostgreSQL measures its depth from the old stack, so max_stack_depth must reach from there to the block's top;
// what stops a runaway recursion is V8's own, smaller stack (the worker's stackSizeMb), and the engine restarts.
const STACK_BYTES = 64 * 1024 * 1024

function moveStack(mod) {
  const old = mod.___stack_pointer.value
  const top = (mod._malloc(STACK_BYTES) + STACK_BYTES - 1024) & ~15
  mod.___stack_pointer.value = top
  return Math.ceil((top - old) / 1024) + 1024
}

async function open() {
  patchWebAssembly()
  const load = (name) => import(pathToFileURL(path.join(modules, '@unni-craftsman', 'pglite', 'dist', name)).href)
  const [{ PGlite }, { timescaledb }, { NodeFS }] = await Promise.all(
    [load('index.js'), load('timescaledb/index.js'), load('fs/nodefs.js')])
  const memory = sharedMemory(INITIAL_PAGES)
  class SharedNodeFS extends NodeFS {
    async init(pg, given) {
      const { emscriptenOpts } = await super.init(pg, given)
      return { emscriptenOpts: { ...emscriptenOpts, wasmMemory: memory } }
    }
  }
  const db = await PGlite.create({ fs: new SharedNodeFS(dataDir), database, extensions: { timescaledb } })
  mod = db.Module
  flags = interruptFlags()
  const stackKb = moveStack(mod)
  mod._set_read_write_cbs(mod.addFunction(engineReads, 'iii'), mod.addFunction(engineWrites, 'iii'))
  // initdb's single-user settings stay behind as the values RESET goes back to (enable_seqscan=off among them).
  const PGC_SUSET = 5
  const PGC_S_CLIENT = 10
  for (const [name, value] of Object.entries(defaults)) {
    mod._SetConfigOption(cName(name), cName(value), PGC_SUSET, PGC_S_CLIENT)
  }
  const must = (sql) => {
    const { rows, error } = internal(sql)
    if (error) throw new Error(`${sql}: ${error.C} ${error.M}`)
    return rows
  }
  mod._SetConfigOption(cName('max_stack_depth'), cName(`${stackKb}kB`), PGC_SUSET, PGC_S_CLIENT)
  must('reset all')
  must("load 'timescaledb'") // without it a restarted store refuses inserts into hypertables
  const [[name]] = must('select current_database()')
  if (name === database) {
    must('create extension if not exists timescaledb')
    must('begin')
    for (const sql of SETUP) must(sql)
    must('commit')
  }
  const [[version, license]] = must("select (select extversion from pg_extension where extname = 'timescaledb'), current_setting('timescaledb.license', true)")
  return { db, name, version, license, memory }
}

function loop(db) {
  for (;;) {
    const request = nextRequest()
    if (request.op === 'run') run(request)
    else if (request.op === 'query') {
      port.postMessage({ op: 'answer', id: request.id, ...internal(request.sql), parameters: changedParameters() })
    } else if (request.op === 'stop') {
      forgetInterrupts()
      return db
    }
  }
}

try {
  const { db, name, version, license, memory } = await open()
  port.postMessage({ op: 'ready', database: name, version, license, parameters: changedParameters(), memory, flags })
  loop(db)
  await db.close()
  port.postMessage({ op: 'closed' })
} catch (error) {
  // Not a SQL error: the engine itself gave up (a trap, PANIC, or exit). The other thread starts a new one.
  port.postMessage({ op: 'crash', reason: error?.stack ?? String(error) })
}
parentPort.close?.()
