// Just enough of PostgreSQL's lexical rules (its scan.l) to find the statements of a text and the words that name them.
// tests/embedded/test_sql.py holds this file against PostgreSQL's own scanner and parser.

/**
 * One lexical element. A word's text is folded and clipped as PostgreSQL does it; that of a quoted identifier is the
 * name inside of the quotes. The text of strings and numbers is never needed, so it is empty.
 * @typedef {{text: string, start: number, end: number, kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol'}} Token
 */

const MAX_TOKENS = 40 // of one statement: enough for every command that this server treats itself
const NAME_BYTES = 63 // PostgreSQL's NAMEDATALEN - 1

// Sticky: each matches at its lastIndex or not at all. None may backtrack far: clients send megabytes.
const SPACE = /[ \t\n\r\f\v]+/y
const LINE_COMMENT = /--[^\n\r]*/y
const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
// Also a parameter, $1.
const NUMBER = /\$[0-9]+|0[XxOoBb][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[Ee][-+]?[0-9_]+)?/y
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const STRING = /(?:[EeBbXx]|[Uu]&)?'/y
const QUOTED = /(?:[Uu]&)?"/y
// Two string constants with a line break between them are one. It has the escapes of its first part.
const CONTINUED = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y
const UESCAPE = /uescape/iy

/**
 * The text that a sticky expression matches at `at`, or ''.
 * @param {RegExp} expression
 * @param {string} sql
 * @param {number} at
 */
function match(expression, sql, at) {
  expression.lastIndex = at
  return expression.exec(sql)?.[0] ?? ''
}

/**
 * End of the quoted text whose content begins at `at`.
 * @param {string} sql
 * @param {number} at
 * @param {string} quote
 * @param {boolean} escapes whether a backslash takes the meaning from what follows it
 */
function endOfQuote(sql, at, quote, escapes) {
  for (let i = at; i < sql.length; i++) {
    if (escapes && sql[i] === '\\') i++
    else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) return i + 1
      i++
    }
  }
  return sql.length
}

/**
 * End of the string constant whose content begins at `at`, with all parts that continue it.
 * @param {string} sql
 * @param {number} at
 * @param {boolean} escapes
 */
function endOfString(sql, at, escapes) {
  let end = endOfQuote(sql, at, "'", escapes)
  for (let more; (more = match(CONTINUED, sql, end));) end = endOfQuote(sql, end + more.length, "'", escapes)
  return end
}

/**
 * End of the block comment that begins at `at`: such comments nest.
 * @param {string} sql
 * @param {number} at
 */
function endOfBlockComment(sql, at) {
  let depth = 0
  for (let i = at; i < sql.length; i++) {
    if (sql.startsWith('/*', i)) {
      depth++
      i++
    } else if (sql.startsWith('*/', i)) {
      i++
      if (--depth === 0) return i + 1
    }
  }
  return sql.length
}

/**
 * Where the space and the comments at `at` end.
 * @param {string} sql
 * @param {number} at
 */
function skipBlank(sql, at) {
  while (' \t\n\r\f\v-/'.includes(sql[at])) {
    const blank = match(SPACE, sql, at) || match(LINE_COMMENT, sql, at)
    if (blank) at += blank.length
    else if (sql.startsWith('/*', at)) at = endOfBlockComment(sql, at)
    else return at
  }
  return at
}

/**
 * A name as PostgreSQL keeps it: at most 63 bytes, cut between characters.
 * @param {string} name
 */
export function clip(name) {
  if (name.length * 3 <= NAME_BYTES) return name
  const bytes = Buffer.from(name)
  if (bytes.length <= NAME_BYTES) return name
  let end = NAME_BYTES
  while ((bytes[end] & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/**
 * The name in U&"d\0061t\+000061".
 * @param {string} text
 * @param {string} escape
 */
function decode(text, escape) {
  const special = /[\\^$.*+?()[\]{}|]/.test(escape) ? `\\${escape}` : escape
  const sequence = new RegExp(`${special}(?:(${special})|([0-9A-Fa-f]{4})|\\+([0-9A-Fa-f]{6}))`, 'g')
  return text.replace(sequence, (_, itself, four, six) => {
    if (itself) return itself
    const code = parseInt(four ?? six, 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : '' // PostgreSQL refuses the text
  })
}

/**
 * The identifier whose opening quote ends at `content`; a UESCAPE clause belongs to it.
 * @param {string} sql
 * @param {number} at
 * @param {number} content
 * @returns {Token}
 */
function quotedName(sql, at, content) {
  let end = endOfQuote(sql, content, '"', false)
  let text = sql.slice(content, end - 1).replaceAll('""', '"')
  if (sql[at] !== '"') {
    let escape = '\\'
    const clause = skipBlank(sql, end)
    const character = skipBlank(sql, clause + 'uescape'.length)
    if (match(UESCAPE, sql, clause) && character < sql.length) {
      end = tokenAt(sql, character, false).end
      escape = sql[end - 2]
    }
    text = decode(text, escape)
  }
  return { text: clip(text), start: at, end, kind: 'quoted' }
}

/**
 * The element that begins at `at`, where there is neither space nor a comment.
 * @param {string} sql
 * @param {number} at
 * @param {boolean} backslashes
 * @returns {Token}
 */
function tokenAt(sql, at, backslashes) {
  if (',();=*'.includes(sql[at])) return { text: sql[at], start: at, end: at + 1, kind: 'symbol' } // sooner than below
  const string = match(STRING, sql, at)
  if (string) {
    const escapes = string.length === 1 ? backslashes : 'Ee'.includes(string[0])
    return { text: '', start: at, end: endOfString(sql, at + string.length, escapes), kind: 'string' }
  }
  const quote = match(QUOTED, sql, at)
  if (quote) return quotedName(sql, at, at + quote.length)
  const word = match(WORD, sql, at)
  if (word) {
    // In UTF-8, PostgreSQL folds ASCII only.
    const folded = word.replace(/[A-Z]+/g, (part) => part.toLowerCase())
    return { text: clip(folded), start: at, end: at + word.length, kind: 'word' }
  }
  const dollar = match(DOLLAR_QUOTE, sql, at)
  if (dollar) {
    const close = sql.indexOf(dollar, at + dollar.length)
    return { text: '', start: at, end: close < 0 ? sql.length : close + dollar.length, kind: 'string' }
  }
  const number = match(NUMBER, sql, at)
  if (number) return { text: '', start: at, end: at + number.length, kind: 'number' }
  return { text: sql[at], start: at, end: at + 1, kind: 'symbol' }
}

/**
 * Whether a statement may have a body in BEGIN ATOMIC ... END, whose semicolons do not end it.
 * @param {Token[]} tokens
 */
function definesRoutine(tokens) {
  const [create, or, replace, kind] = tokens.map((token) => token.text)
  const what = or === 'or' && replace === 'replace' ? kind : or
  return create === 'create' && (what === 'function' || what === 'procedure')
}

/**
 * The statements of a text, each as its first tokens. Those inside of parentheses are left out: no command that this
 * server treats itself is told by them.
 * @param {string} sql
 * @param {boolean} [backslashes] whether plain strings have escapes: standard_conforming_strings is off
 */
export function statements(sql, backslashes = false) {
  /** @type {Token[][]} */
  const found = []
  /** @type {Token[]} */
  let tokens = []
  let parentheses = 0
  let body = 0 // how many CASE and BEGIN ATOMIC wait for their END
  let before = '' // text of the token before
  for (let at = skipBlank(sql, 0); at < sql.length; at = skipBlank(sql, at)) {
    const token = tokenAt(sql, at, backslashes)
    const { text, kind } = token
    at = token.end
    if (kind === 'symbol') {
      if (text === ';' && !parentheses && !body) {
        if (tokens.length) found.push(tokens)
        tokens = []
        continue
      }
      if (text === ')') parentheses = Math.max(parentheses - 1, 0)
    } else if (kind === 'word' && before !== '.' && before !== 'as') {
      if (text === 'atomic' && before === 'begin' && !body && definesRoutine(tokens)) body = 1
      else if (text === 'case' && body) body++
      else if (text === 'end' && body) body--
    }
    if (!parentheses && tokens.length < MAX_TOKENS) tokens.push(token)
    if (kind === 'symbol' && text === '(') parentheses++
    before = kind === 'quoted' ? '' : text
  }
  if (tokens.length) found.push(tokens)
  return found
}

/** @param {string} name */
export const quoteIdent = (name) => '"' + name.replaceAll('"', '""') + '"'

/** @param {string} text */
export const quoteLiteral = (text) => {
  const body = text.replaceAll("'", "''")
  return body.includes('\\') ? ` E'${body.replaceAll('\\', '\\\\')}'` : `'${body}'`
}
