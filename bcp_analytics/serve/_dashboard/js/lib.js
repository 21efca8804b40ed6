// What every module uses of Preact, htm and signals, in one place.
import htm from 'htm'
import { h, render, Fragment } from 'preact'
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { computed, effect, signal } from '@preact/signals'

export const html = htm.bind(h)
export { render, Fragment, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, computed, effect, signal }
