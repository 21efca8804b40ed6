// Calls functions of the server for tests: a line of JSON with the name and the arguments in, one with the answer out.
import readline from 'node:readline'
import { newNotes, rewriteSql } from '../../bcp_analytics/embedded/server/rewrite.mjs'
import { quoteIdent, quoteLiteral, statements } from '../../bcp_analytics/embedded/server/sqlscan.mjs'

/** @type {Record<string, (...args: any[]) => unknown>} */
const functions = {
  statements,
  quoteIdent,
  quoteLiteral,
  rewriteSql(/** @type {string} */ sql) {
    const notes = newNotes()
    const client = { prefix: '7/', user: 'ada', statements: new Map(), status: 'I', reported: new Map() }
    const [text] = rewriteSql(sql, client, notes)
    return { text, listens: notes.listens, names: [...notes.names] }
  },
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  console.log(JSON.stringify(functions[name](...args)))
}
