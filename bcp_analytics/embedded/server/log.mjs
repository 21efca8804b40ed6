// The server's log: one file, which becomes server.log.1 when it grows too large. It holds no parameter values and no
// passwords.
import fs from 'node:fs'

/** @type {Record<string, number>} */
const LEVELS = { debug: 0, info: 1, warning: 2, error: 3 }

/** @param {unknown} error */
export const reason = (error) => error instanceof Error ? error.message : String(error)

/** @param {unknown} error */
export const trace = (error) => error instanceof Error ? error.stack ?? error.message : String(error)

export class Log {
  /**
   * @param {string} file
   * @param {string} [level] the least level to write: debug, info, warning or error
   * @param {number} [maxBytes]
   */
  constructor(file, level = 'info', maxBytes = 5_000_000) {
    this.file = file
    this.threshold = LEVELS[level] ?? LEVELS.info
    this.maxBytes = maxBytes
    this.size = fs.existsSync(file) ? fs.statSync(file).size : 0
  }

  /**
   * @param {string} level
   * @param {string} text
   */
  write(level, text) {
    if (LEVELS[level] < this.threshold) return
    const line = `${new Date().toISOString()} ${level} ${text.replaceAll('\n', '\\n')}\n`
    try {
      if (this.size + line.length > this.maxBytes) {
        fs.renameSync(this.file, this.file + '.1')
        this.size = 0
      }
      fs.appendFileSync(this.file, line, { mode: 0o600 })
      this.size += Buffer.byteLength(line)
    } catch {
      // The server must not die of a full disk.
    }
  }

  /** @param {string} text */
  debug(text) { this.write('debug', text) }
  /** @param {string} text */
  info(text) { this.write('info', text) }
  /** @param {string} text */
  warning(text) { this.write('warning', text) }
  /** @param {string} text */
  error(text) { this.write('error', text) }
}
