// What happens now: the stream for administrators, and for readers a question every few seconds.
import { signal, effect } from './lib.js'
import { me } from './state.js'
import { away, moved, took } from './api.js'

/** The latest message of each type. */
export const metric = signal(/** @type {any} */ (null))
export const alerts = signal(/** @type {any} */ (null))
/** What the pill says: how, since when or until when. */
export const link = signal({ how: 'connecting', at: 0 })

const POLL = 5000
/** Of each pace: after how many milliseconds it is asked again at the soonest, and after how many times what it took. */
const PACES = /** @type {[import('./api.js').Pace, number, number][]} */ ([['fast', 700, 2], ['medium', 700, 8], ['slow', 15_000, 20]])
let socket = /** @type {WebSocket | null} */ (null)
let timer = 0
let attempts = 0
const last = { fast: 0, medium: 0, slow: 0, never: 0 }
let due = 0
let seen = ''

/** Has the panels ask again: soon, but no more often than what the last answers cost allows. */
export function move() {
  if (document.hidden || due) return
  const wait = Math.max(0, last.fast + Math.max(PACES[0][1], PACES[0][2] * took.fast) - Date.now())
  due = window.setTimeout(() => {
    due = 0
    const now = Date.now()
    for (const [pace, least, times] of PACES) {
      if (now - last[pace] < Math.max(least, times * took[pace]) && pace !== 'fast') continue
      last[pace] = now
      moved[pace].value++
    }
  }, wait)
}

/** Has all panels ask again now, after something was changed. */
export function renew() {
  for (const [pace] of PACES) {
    last[pace] = Date.now()
    moved[pace].value++
  }
}

/** @param {MessageEvent} event */
function received(event) {
  const message = JSON.parse(event.data)
  if (message.type === 'metric') {
    if (away.value !== null) {
      away.value = null
      renew()
    }
    link.value = { how: 'live', at: 0 }
    metric.value = message.data
    const { calls_today: calls, errors_today: errors } = message.data.all
    const now = `${calls} ${errors} ${message.data.recent_calls[0]?.event_id}`
    if (seen && now !== seen) move()
    seen = now
  } else if (message.type === 'alert') {
    alerts.value = message.data
  } else if (message.type === 'status') {
    if (message.data.database === 'away') away.value ??= Date.now()
    else {
      away.value = null
      renew()
    }
  }
}

function connect() {
  clearTimeout(timer)
  if (socket || document.hidden || !me.value) return
  if (me.value.role !== 'admin') {
    link.value = { how: 'polling', at: POLL }
    timer = window.setTimeout(poll, POLL)
    return
  }
  const opened = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/analytics-stream`)
  socket = opened
  opened.onmessage = (event) => {
    attempts = 0
    received(event)
  }
  opened.onclose = (event) => {
    if (socket !== opened) return
    socket = null
    if (event.code === 1008) void check()
    const wait = Math.min(30, 2 ** Math.min(attempts++, 5)) * (0.75 + Math.random() / 2)
    link.value = { how: 'waiting', at: Date.now() + 1000 * wait }
    timer = window.setTimeout(connect, 1000 * wait)
  }
}

function poll() {
  if (document.hidden || !me.value) return
  move()
  timer = window.setTimeout(poll, Math.max(POLL, 10 * took.fast))
}

/** Whether the session still holds. */
async function check() {
  try {
    const answer = await fetch('/v1/session')
    if (answer.status === 401 || answer.status === 403) me.value = null
  } catch {
    // The pill says it.
  }
}

function disconnect() {
  clearTimeout(timer)
  clearTimeout(due)
  due = 0
  const old = socket
  socket = null
  old?.close()
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) disconnect()
  else if (me.value) {
    attempts = 0
    renew()
    connect()
  }
})
addEventListener('online', connect)
effect(() => {
  if (me.value) connect()
  else disconnect()
})
// A range such as the last hour goes on without any calls.
setInterval(() => { if (!document.hidden && me.value) move() }, 60_000)
