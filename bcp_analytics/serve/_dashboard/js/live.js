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
const SLOW = 15_000
let socket = /** @type {WebSocket | null} */ (null)
let timer = 0
let attempts = 0
let lastFast = 0
let lastSlow = 0
let due = 0
let seen = ''

/** Has the panels ask again: soon, but no more often than what the last answers cost allows. */
export function move() {
  if (document.hidden || due) return
  const wait = Math.max(0, lastFast + Math.max(700, 4 * took.value) - Date.now())
  due = window.setTimeout(() => {
    due = 0
    lastFast = Date.now()
    moved.fast.value++
    if (lastFast - lastSlow > Math.max(SLOW, 20 * took.value)) {
      lastSlow = lastFast
      moved.slow.value++
    }
  }, wait)
}

/** Has all panels ask again now, after something was changed. */
export function renew() {
  lastFast = lastSlow = Date.now()
  moved.fast.value++
  moved.slow.value++
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
  timer = window.setTimeout(poll, Math.max(POLL, 10 * took.value))
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
