// Where it begins: who is logged in, and which page the path names.
import { html, render } from './lib.js'
import { me, param, route } from './state.js'
import { send } from './api.js'
import { Login, Said, Shell } from './shell.js'
import { Calls, OneCall } from './calls.js'
import { Overview } from './overview.js'
import { Live } from './livepage.js'
import { Tools } from './tools.js'
import { Tool } from './tool.js'
import { Errors, Issue } from './errors.js'
import { Session, Sessions } from './sessions.js'
import { Context, People } from './people.js'
import { Alerts } from './alertspage.js'
import { Health } from './health.js'
import { Setup } from './setup.js'

const PAGES = {
  '/': Overview, '/live': Live, '/calls': Calls, '/tools': Tools, '/tool': Tool, '/errors': Errors, '/issue': Issue,
  '/sessions': Sessions, '/session': Session, '/people': People, '/context': Context, '/alerts': Alerts,
  '/health': Health, '/setup': Setup,
}

function App() {
  if (me.value === undefined) return html`<p class="boot" role="status">The database is away. This page begins as soon as it is back.</p>`
  if (me.value === null) return html`<${Login} /><${Said} />`
  const { path } = route.value
  const Page = PAGES[path]
  // A page about something else is a new page, so that nothing of the one before stays on it.
  const about = ['bundle', 'tool', 'id'].map((name) => path === '/tool' || name === 'id' ? param(name) : '').join(' ')
  return html`<${Shell}>${Page ? html`<${Page} key=${`${path} ${about}`} />` : html`<p class="empty">There is no such page.</p>`}<${OneCall} /><//>`
}

// The page says who is logged in, unless the database was away when it was asked for.
async function begin() {
  const { name = '', role } = document.documentElement.dataset
  if (role !== 'unknown') {
    me.value = role ? { name, role } : null
    return
  }
  try {
    me.value = await send('GET', '/v1/session')
  } catch (error) {
    if (/** @type {any} */ (error).status !== 503 && /** @type {any} */ (error).status !== 0) me.value = null
    else setTimeout(begin, 2000)
  }
}

const root = /** @type {HTMLElement} */ (document.getElementById('app'))
root.textContent = ''
void begin()
render(html`<${App} />`, root)
