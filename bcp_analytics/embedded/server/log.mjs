// The server's log: one file, cut to one older file when it grows, no values of parameters and no passwords in it.
import fs from 'node:fs'

const LEVELS = { debug: 0, info: 1, warning: 2, error: 3 }

export class Log {
  constructor(file, level = 'info', maxBytes = 5_000_000) {
    this.file = file
    this.threshold = LEVELS[level] ?? LEVELS.info
    this.maxBytes = maxBytes
    this.size = fs.existsSync(file) ? fs.statSync(file).size : 0
  }

  write(level, text) {
    if (LEVELS[level] < this.threshold) return
    const line = `${new Date().toISOString()} ${level} ${String(text).replaceAll('\n', '\\n')}\n`
    try {
      if (this.size + line.length > this.maxBytes) {
        fs.renameSync(this.file, this.file + '.1')
        this.size = 0
      }
      fs.appendFileSync(this.file, line, { mode: 0o600 })
      this.size += Buffer.byteLength(line)
    } catch {
      // A full disk must not take the server down with its log.
    }
  }

  debug(text) { this.write('debug', text) }
  info(text) { this.write('info', text) }
  warning(text) { this.write('warning', text) }
  error(text) { this.write('error', text) }
}
