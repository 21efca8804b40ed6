// Shares the engine's memory with the thread that reads the sockets, so that it can cancel a running statement.
//
// PostgreSQL looks at every step whether InterruptPending is set. In WebAssembly nobody can set it: there are no
// signals, and the only thread is busy. But ordinary loads and stores work on shared memory too. So we mark the memory
// that each module imports as shared (one bit in the module's import section), and give the modules a memory that is.

const MEMORY_IMPORT = 2
const IMPORT_SECTION = 2
const SHARED = 3 // flags of a memory: has a maximum, is shared
const MAX_PAGES = 32768 // what the engine's build says

/**
 * A number in LEB128, and where it ends.
 * @param {Buffer} bytes
 * @param {number} at
 * @returns {[number, number]}
 */
function leb(bytes, at) {
  let value = 0
  let shift = 0
  for (;;) {
    const byte = bytes[at++]
    value |= (byte & 127) << shift
    if (byte < 128) return [value >>> 0, at]
    shift += 7
  }
}

/** @param {number} value */
function lebOf(value) {
  const out = []
  do {
    const low = value & 127
    value >>>= 7
    out.push(value ? low | 128 : low)
  } while (value)
  return out
}

/** @type {(bytes: Buffer, at: number) => number} */
const skipName = (bytes, at) => {
  const [length, next] = leb(bytes, at)
  return next + length
}

/**
 * Where the limits of the imported memory are, and where its section is; null when no memory is imported.
 * @param {Buffer} bytes
 */
function findMemory(bytes) {
  for (let at = 8; at < bytes.length;) {
    const [length, body] = leb(bytes, at + 1)
    if (bytes[at] !== IMPORT_SECTION) {
      at = body + length
      continue
    }
    let [count, p] = leb(bytes, body)
    for (; count > 0; count--) {
      p = skipName(bytes, skipName(bytes, p))
      const kind = bytes[p++]
      if (kind === MEMORY_IMPORT) {
        const [minimum, afterMinimum] = leb(bytes, p + 1)
        const end = bytes[p] & 1 ? leb(bytes, afterMinimum)[1] : afterMinimum
        return { section: at, body, length, start: p, end, minimum }
      }
      if (kind === 0) p = leb(bytes, p)[1] // function: its type
      else if (kind === 1) { // table: element type, limits
        const flags = bytes[p + 1]
        p = leb(bytes, p + 2)[1]
        if (flags & 1) p = leb(bytes, p)[1]
      } else if (kind === 3) p += 2 // global: type, mutability
      else p = leb(bytes, p + 1)[1] // tag
    }
    return null
  }
  return null
}

/**
 * The same module with its imported memory declared as shared.
 * @param {BufferSource} source
 */
export function withSharedMemory(source) {
  const bytes = ArrayBuffer.isView(source)
    ? Buffer.from(source.buffer, source.byteOffset, source.byteLength) : Buffer.from(source)
  const memory = findMemory(bytes)
  if (!memory) return source
  const limits = [SHARED, ...lebOf(memory.minimum), ...lebOf(MAX_PAGES)]
  const length = memory.length - (memory.end - memory.start) + limits.length
  return Buffer.concat([
    bytes.subarray(0, memory.section + 1), Buffer.from(lebOf(length)), bytes.subarray(memory.body, memory.start),
    Buffer.from(limits), bytes.subarray(memory.end),
  ])
}

/** @param {number} initialPages */
export const sharedMemory = (initialPages) =>
  new WebAssembly.Memory({ initial: initialPages, maximum: MAX_PAGES, shared: true })

/** Makes every module that this thread compiles from now on import a shared memory, extensions too. */
export function patchWebAssembly() {
  const { Module, compile, instantiate } = WebAssembly
  WebAssembly.Module = new Proxy(Module, {
    construct: (target, [source]) => new target(withSharedMemory(source)),
  })
  WebAssembly.compile = (source) => compile(withSharedMemory(source))
  const patched = (/** @type {any} */ source, /** @type {any} */ imports) =>
    instantiate(source instanceof Module ? source : withSharedMemory(source), imports)
  WebAssembly.instantiate = /** @type {typeof instantiate} */ (patched)
}
