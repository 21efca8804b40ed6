// What every module uses of Preact, htm and signals, in one place.
import htm from 'htm'
import { h, options, render, Fragment } from 'preact'
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { computed, effect, signal } from '@preact/signals'

// Answers come one by one: what they change is drawn once a frame, and not at all while nobody sees it.
options.debounceRendering = (draw) => {
  if (document.hidden) setTimeout(draw, 200)
  else requestAnimationFrame(draw)
}

export const html = htm.bind(h)
export { render, Fragment, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, computed, effect, signal }
