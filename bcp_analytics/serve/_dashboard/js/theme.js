// Light or dark: as the system has it, or as chosen in this browser.
import { effect, signal } from './lib.js'

const KEY = 'bcp_theme'
const THEMES = ['system', 'light', 'dark']

function stored() {
  try {
    const found = localStorage.getItem(KEY) ?? ''
    return THEMES.includes(found) ? found : 'system'
  } catch {
    return 'system'
  }
}

export const theme = signal(stored())

export function nextTheme() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]
  try {
    localStorage.setItem(KEY, theme.value)
  } catch {
    // It then holds for this page.
  }
}

effect(() => {
  document.documentElement.dataset.theme = theme.value
})
