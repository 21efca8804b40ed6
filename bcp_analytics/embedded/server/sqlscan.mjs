// Just enough of SQL's lexical rules to find statements and their first words: comments, quotes, dollar quotes.

const SPACE = /[\s]/
const IDENT_START = /[A-Za-z_\u0080-\uffff]/
const IDENT = /[A-Za-z0-9_$\u0080-\uffff]/

/** End of the quoted text that opens at `at`; backslashes count in E'' strings only. */
function endOfQuote(sql, at, escapes) {
  const quote = sql[at]
  for (let i = at + 1; i < sql.length; i++) {
    if (escapes && sql[i] === '\\') i++
    else if (sql[i] === quote) {
      if (sql[i + 1] === quote) i++
      else return i + 1
    }
  }
  return sql.length
}

function endOfComment(sql, at) {
  if (sql.startsWith('--', at)) {
    const end = sql.indexOf('\n', at)
    return end < 0 ? sql.length : end + 1
  }
  let depth = 0
  for (let i = at; i < sql.length; i++) {
    if (sql.startsWith('/*', i)) { depth++; i++ } else if (sql.startsWith('*/', i)) { i++; if (--depth === 0) return i + 1 }
  }
  return sql.length
}

/**
 * Statements of `sql`, each with its first tokens (enough for every command this server treats itself).
 * A token is {text, start, end, quoted}; `text` of an identifier is folded as PostgreSQL folds it.
 */
export function statements(sql, tokensWanted = 40) {
  const found = []
  let tokens = []
  let start = 0
  let count = 0
  let depth = 0 // BEGIN ATOMIC bodies
  const add = (text, from, to, kind) => {
    count++
    if (kind === 'word' && text === 'atomic' && tokens.at(-1)?.text !== '.') depth++
    else if (kind === 'word' && text === 'end' && depth > 0) depth--
    if (tokens.length < tokensWanted) tokens.push({ text, start: from, end: to, kind })
  }
  for (let at = 0; at < sql.length;) {
    const c = sql[at]
    if (SPACE.test(c)) at++
    else if (sql.startsWith('--', at) || sql.startsWith('/*', at)) at = endOfComment(sql, at)
    else if (c === ';' && depth === 0) {
      if (count) found.push({ tokens, start, end: at })
      tokens = []; count = 0; at++; start = at
    } else if (c === "'") {
      const end = endOfQuote(sql, at, false)
      add(sql.slice(at, end), at, end, 'string')
      at = end
    } else if ((c === 'E' || c === 'e') && sql[at + 1] === "'") {
      const end = endOfQuote(sql, at + 1, true)
      add(sql.slice(at, end), at, end, 'string')
      at = end
    } else if (c === '"') {
      const end = endOfQuote(sql, at, false)
      add(sql.slice(at + 1, end - 1).replaceAll('""', '"'), at, end, 'quoted')
      at = end
    } else if (c === '$') {
      const tag = /^\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/.exec(sql.slice(at, at + 80))
      if (tag) {
        const close = sql.indexOf(tag[0], at + tag[0].length)
        const end = close < 0 ? sql.length : close + tag[0].length
        add('$$', at, end, 'string')
        at = end
      } else at++
    } else if (IDENT_START.test(c)) {
      let end = at + 1
      while (end < sql.length && IDENT.test(sql[end])) end++
      add(sql.slice(at, end).toLowerCase(), at, end, 'word')
      at = end
    } else {
      add(c, at, at + 1, 'symbol')
      at++
    }
  }
  if (count) found.push({ tokens, start, end: sql.length })
  return found
}

export const quoteIdent = (name) => '"' + name.replaceAll('"', '""') + '"'
export const quoteLiteral = (text) => {
  const body = text.replaceAll("'", "''")
  return body.includes('\\') ? ` E'${body.replaceAll('\\', '\\\\')}'` : `'${body}'`
}
