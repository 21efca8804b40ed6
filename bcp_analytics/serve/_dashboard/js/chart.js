// Charts: uPlot on a canvas, with a label, a line that says what the cursor is on, and a table of the same numbers.
// Series have the names, colours and order of the static report: succeeded under failed under not known.
import uPlot from 'uplot'
import { effect, html, useEffect, useId, useLayoutEffect, useRef, useState } from './lib.js'
import { bucket, count, day, minutes } from './format.js'
import { theme } from './theme.js'

/** @typedef {{ name: string, values: (number | null)[], color: string, dash?: boolean, fill?: boolean }} Series */

const HEIGHT = 200
const FONT = '12px system-ui, sans-serif'

// A question to the style sheet lays out the page, so each colour is asked for once a theme.
const colors = new Map()
const dark = matchMedia('(prefers-color-scheme: dark)')

/** @param {string} name  A colour of the style sheet, for the present theme, as a canvas takes it. */
function color(name) {
  const key = `${theme.peek()} ${dark.matches} ${name}`
  if (!colors.has(key)) colors.set(key, resolved(name))
  return colors.get(key)
}

/** @param {string} name */
function resolved(name) {
  const probe = document.createElement('i')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const found = getComputedStyle(probe).color
  probe.remove()
  return found
}

/** @param {(number | null)[][]} rows  Each with those before it added. */
function stacked(rows) {
  /** @type {number[]} */
  let below = []
  return rows.map((row) => {
    below = row.map((value, i) => (value ?? 0) + (below[i] ?? 0))
    return below
  })
}

/** @param {number} low @param {number} high  Powers of 10, all that a logarithmic scale needs. */
function decades(low, high) {
  const first = Math.ceil(Math.log10(low) - 1e-9)
  const number = Math.floor(Math.log10(high) + 1e-9) - first + 1
  return Array.from({ length: Math.max(number, 0) }, (_, i) => Number(`1e${first + i}`))
}

/** @param {number[]} splits @param {number} interval  Times as short as they can be: the day where it begins. */
function clocks(splits, interval) {
  let last = ''
  return splits.map((at) => {
    const [date, hour] = [day(new Date(1000 * at)), minutes(new Date(1000 * at))]
    const text = interval >= 86_400_000 ? date : date === last ? hour : hour === '00:00' ? date : `${hour}\n${date}`
    last = date
    return text
  })
}

/** @param {(number | null)[]} values  Where a value has none beside it, which no line would show. */
function alone(values) {
  const none = (/** @type {number} */ i) => values[i] === null || values[i] === undefined
  return [...values.keys()].filter((i) => !none(i) && none(i - 1) && none(i + 1))
}

/** @param {any} props @param {HTMLElement} box @returns {any} */
function options(props, box) {
  const { series, kind, format, log, markers, interval } = props
  const line = color('--line')
  const axis = { stroke: color('--muted'), font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line } }
  const bars = uPlot.paths.bars?.({ size: [0.86, 40], align: 1, gap: 0 })
  const drawn = kind === 'bars' ? [...series].reverse() : series
  const most = props.times.length - 1
  return {
    width: Math.max(box.clientWidth, 100),
    height: props.height ?? HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false }, focus: { prox: -1 } },
    scales: {
      x: { time: true, range: (/** @type {any} */ _, /** @type {number} */ min, /** @type {number} */ max) =>
        [min, max + (kind === 'bars' || most < 1 ? interval / 1000 : 0)] },
      y: log ? { distr: 3, log: 10 } : { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) =>
        [0, (max || 1) * 1.08] },
    },
    axes: [
      { ...axis, space: 64, size: 46, values: (/** @type {any} */ _, /** @type {number[]} */ splits) => clocks(splits, interval) },
      {
        ...axis,
        size: 60,
        space: 36,
        ...log && { splits: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ low, /** @type {number} */ high) => decades(low, high) },
        values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((v) => v === null ? '' : (props.tick ?? format)(v)),
      },
    ],
    series: [{}, ...drawn.map((/** @type {Series} */ one) => ({
      label: one.name,
      stroke: kind === 'bars' ? undefined : color(one.color),
      fill: kind === 'bars' ? color(one.color) : undefined,
      width: kind === 'bars' ? 0 : 2,
      dash: one.dash ? [4, 4] : undefined,
      paths: kind === 'bars' ? bars : undefined,
      points: { show: kind !== 'bars' && most < 3, filter: (/** @type {any} */ u, /** @type {number} */ i, /** @type {boolean} */ shown) => shown || kind === 'bars' ? null : alone(u.data[i]) },
      spanGaps: false,
    }))],
    hooks: {
      setCursor: [(/** @type {any} */ u) => props.onCursor(u.cursor.idx ?? null)],
      setSelect: [(/** @type {any} */ u) => {
        if (u.select.width < 8) return
        const from = u.posToVal(u.select.left, 'x')
        const to = u.posToVal(u.select.left + u.select.width, 'x')
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        props.onRange?.(new Date(1000 * from), new Date(1000 * to))
      }],
      draw: [(/** @type {any} */ u) => drawMarkers(u, markers ?? [])],
    },
  }
}

/** @param {any} u @param {{ at: number, text: string }[]} markers  Lines where releases were first seen. */
function drawMarkers(u, markers) {
  const { ctx, bbox } = u
  ctx.save()
  ctx.strokeStyle = ctx.fillStyle = color('--muted')
  ctx.textAlign = 'left'
  ctx.textBaseline = 'alphabetic'
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio])
  let last = -Infinity
  for (const marker of markers) {
    const x = u.valToPos(marker.at / 1000, 'x', true)
    if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    const wide = ctx.measureText(marker.text).width
    const left = Math.min(x + 4 * devicePixelRatio, bbox.left + bbox.width - wide)
    if (left > last) {
      ctx.fillText(marker.text, left, bbox.top + 11 * devicePixelRatio)
      last = left + wide + 8 * devicePixelRatio
    }
  }
  ctx.restore()
}

/** @param {any} props @returns {any} */
function data(props) {
  const rows = props.series.map((/** @type {Series} */ one) => one.values)
  // A logarithm of 0 is none: what is below is drawn at a microsecond, as in the report.
  const shown = props.kind === 'bars' ? stacked(rows).reverse()
    : props.log ? rows.map((row) => row.map((v) => v === null ? null : Math.max(v, 0.001))) : rows
  return [props.times, ...shown]
}

/**
 * A chart of some series over time.
 * @param {{ title: string, times: number[], series: Series[], kind: 'bars' | 'lines', interval: number, log?: boolean,
 *   format?: (value: number | null) => string, tick?: (value: number) => string, markers?: { at: number, text: string }[], height?: number,
 *   onRange?: (from: Date, to: Date) => void, onOpen?: (from: Date, to: Date) => void }} props
 */
export function Chart(props) {
  const { title, times, series, interval, format = count, markers = [], onOpen } = props
  const box = useRef(/** @type {HTMLDivElement | null} */ (null))
  const plot = useRef(/** @type {any} */ (null))
  const latest = useRef(props)
  const [at, setAt] = useState(/** @type {number | null} */ (null))
  const note = useId()
  latest.current = props
  const shape = JSON.stringify([series.map((one) => [one.name, one.color, one.dash]), props.kind, props.log, interval])

  useLayoutEffect(() => {
    const element = box.current
    if (!element) return undefined
    const make = () => {
      plot.current?.destroy()
      const onCursor = (/** @type {number | null} */ i) => {
        // A plot that is made anew has no cursor yet; who reads it by the keys keeps theirs.
        if (i !== null || document.activeElement !== element) setAt(i)
      }
      const own = { ...latest.current, format, onCursor, markers: latest.current.markers ?? [],
        onRange: (/** @type {Date} */ a, /** @type {Date} */ b) => latest.current.onRange?.(a, b) }
      plot.current = new uPlot(options(own, element), data(own), element)
    }
    const unwatch = effect(() => {
      void theme.value
      make()
    })
    dark.addEventListener('change', make)
    const resized = new ResizeObserver(() => {
      const width = element.clientWidth
      if (width > 0 && width !== plot.current.width) plot.current.setSize({ width, height: props.height ?? HEIGHT })
    })
    resized.observe(element)
    return () => {
      unwatch()
      dark.removeEventListener('change', make)
      resized.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [shape, JSON.stringify(markers)])

  const drawn = useRef(false)
  useEffect(() => {
    // The plot was just made with them.
    if (!drawn.current) {
      drawn.current = true
      return
    }
    const cursor = plot.current?.cursor.idx
    plot.current?.setData(data(latest.current))
    if (cursor !== null && cursor !== undefined) setAt(cursor)
  }, [JSON.stringify([times[0], times.length, series.map((one) => one.values)])])

  const open = (/** @type {number | null} */ i) => {
    if (i !== null && times[i] !== undefined) onOpen?.(new Date(1000 * times[i]), new Date(1000 * times[i] + interval))
  }
  const key = (/** @type {KeyboardEvent} */ event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }
    if (event.key === 'Enter') open(at)
    if (!(event.key in steps) || !plot.current) return
    event.preventDefault()
    const next = Math.min(times.length - 1, Math.max(0, (at ?? (event.key === 'ArrowRight' ? -1 : times.length)) + steps[event.key]))
    plot.current.setCursor({ left: plot.current.valToPos(times[next], 'x'), top: 10 })
    setAt(next)
  }
  const values = at === null || times[at] === undefined ? null
    : series.map((one) => `${one.name} ${format(one.values[at] ?? null)}`).join(', ')
  return html`
    <figure class="chart">
      <figcaption class="legend">
        ${series.map((one) => html`<span key=${one.name}><i class=${one.dash ? 'dash' : ''} style=${{ '--c': `var(${one.color})` }}></i>${one.name}</span>`)}
      </figcaption>
      <div ref=${box} class="plot" style=${{ minHeight: `${props.height ?? HEIGHT}px` }} tabindex="0" role="group" aria-label=${`Chart: ${title}. Arrow keys read it${onOpen ? ', Enter opens the calls' : ''}.`}
        aria-describedby=${note} onkeydown=${key} onclick=${() => open(at)} onblur=${() => setAt(null)}></div>
      <p id=${note} class="cursor" aria-live="polite">${values === null || at === null ? html`<span class="muted">${times.length ? `${bucket(new Date(1000 * times[0]), interval)} to ${bucket(new Date(1000 * times[times.length - 1]), interval)}` : ''}</span>`
        : html`<b>${bucket(new Date(1000 * times[at]), interval)}</b> ${values}`}</p>
      <${Numbers} ...${{ title, times, series, interval, format }} />
    </figure>`
}

/** @param {any} props  The numbers of a chart as a table, once somebody opens it. */
function Numbers({ title, times, series, interval, format }) {
  const [open, setOpen] = useState(false)
  return html`
    <details class="numbers" ontoggle=${(/** @type {any} */ e) => setOpen(e.currentTarget.open)}>
      <summary>Table<span class="sr"> of ${title}</span></summary>
      ${open && html`<div class="scroll" tabindex="0" role="region" aria-label=${`${title}, as a table`}><table class="plain">
        <thead><tr><th scope="col">from</th>${series.map((/** @type {Series} */ one) => html`<th scope="col" class="number">${one.name}</th>`)}</tr></thead>
        <tbody>${times.map((/** @type {number} */ at, /** @type {number} */ i) => html`<tr key=${at}>
          <th scope="row">${bucket(new Date(1000 * at), interval)}</th>
          ${series.map((/** @type {Series} */ one) => html`<td class="number">${format(one.values[i] ?? null)}</td>`)}</tr>`)}</tbody>
      </table></div>`}
    </details>`
}

/** @param {{ values: (number | null)[], tone?: string }} props  A line as small as a word; its numbers are elsewhere. */
export function Spark({ values, tone = '--good' }) {
  const known = values.filter((v) => v !== null)
  if (known.length < 2) return html`<svg class="spark" aria-hidden="true"></svg>`
  const most = Math.max(...known)
  const least = Math.min(...known, 0)
  const parts = []
  let pen = 'M'
  values.forEach((value, i) => {
    if (value === null) {
      pen = 'M'
      return
    }
    const y = 23 - 21 * ((value - least) / (most - least || 1))
    parts.push(`${pen}${(100 * i / (values.length - 1)).toFixed(1)} ${y.toFixed(1)}`)
    pen = 'L'
  })
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
    <path d=${parts.join('')} fill="none" style=${{ stroke: `var(${tone})` }} stroke-width="1.5" vector-effect="non-scaling-stroke" /></svg>`
}

/**
 * A heat map: time to the right, bands of durations upwards, darker where there are more calls.
 * @param {{ title: string, rows: any[], times: number[], interval: number, show: (value: number | null) => string,
 *   onOpen?: (from: Date, to: Date) => void }} props
 */
export function Heat({ title, rows, times, interval, show, onOpen }) {
  const bands = [...new Map(rows.map((row) => [row.from_ms, row])).values()].sort((a, b) => b.from_ms - a.from_ms)
  const most = Math.max(1, ...rows.map((row) => row.call_count))
  const column = new Map(times.map((at, i) => [at, i]))
  const line = new Map(bands.map((band, i) => [band.from_ms, i]))
  const label = (/** @type {any} */ band) => band.to_ms === null ? `${show(band.from_ms)} and more`
    : `${show(band.from_ms)} to ${show(band.to_ms)}`
  const cells = new Map(rows.map((row) => [`${Date.parse(row.time_bucket) / 1000} ${row.from_ms}`, row.call_count]))
  // What the cursor is on: the number of a column, and of a line.
  const [at, setAt] = useState(/** @type {[number, number] | null} */ (null))
  const note = useId()
  const cell = at && times[at[0]] !== undefined && bands[at[1]] ? { from: 1000 * times[at[0]], band: bands[at[1]] } : null
  const key = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] }[event.key]
    if (event.key === 'Enter' && cell) onOpen?.(new Date(cell.from), new Date(cell.from + interval))
    if (!step || !times.length || !bands.length) return
    event.preventDefault()
    const [x, y] = at ?? [step[0] > 0 ? -1 : times.length, bands.length - 1]
    setAt([Math.min(times.length - 1, Math.max(0, x + step[0])), Math.min(bands.length - 1, Math.max(0, y + step[1]))])
  }
  return html`<figure class="chart heat">
    <div class="heatbox"><ol class="bands" aria-hidden="true">${bands.map((band) => html`<li key=${band.from_ms}>${band.from_ms ? `≥ ${show(band.from_ms)}` : `< ${show(band.to_ms)}`}</li>`)}</ol>
    <div tabindex="0" role="group" aria-label=${`Chart: ${title}. Arrow keys read it${onOpen ? ', Enter opens the calls' : ''}.`} aria-describedby=${note} onkeydown=${key} onblur=${() => setAt(null)}>
    <svg aria-hidden="true" viewBox=${`0 0 ${Math.max(times.length, 1)} ${Math.max(bands.length, 1)}`} preserveAspectRatio="none">
      ${rows.map((row) => {
        const from = Date.parse(row.time_bucket)
        const x = column.get(from / 1000)
        return x !== undefined && html`<rect key=${`${from} ${row.from_ms}`} x=${x} y=${line.get(row.from_ms)} width="1" height="1"
          style=${{ fillOpacity: 0.08 + 0.92 * Math.sqrt(row.call_count / most) }}
          onclick=${() => onOpen?.(new Date(from), new Date(from + interval))}>
          <title>${`${bucket(new Date(from), interval)}, ${label(row)}: ${count(row.call_count)} calls`}</title></rect>`
      })}${at && cell && html`<rect class="at" x=${at[0]} y=${at[1]} width="1" height="1" />`}</svg></div></div>
    <p id=${note} class="cursor" aria-live="polite">${cell ? html`<b>${bucket(new Date(cell.from), interval)}</b> ${label(cell.band)}: ${count(cells.get(`${cell.from / 1000} ${cell.band.from_ms}`) ?? 0)} calls`
      : html`<span class="muted">${times.length > 0 && `${bucket(new Date(1000 * times[0]), interval)} to ${bucket(new Date(1000 * times[times.length - 1]), interval)}`}</span>`}</p>
    <${Numbers} title=${title} times=${times} interval=${interval} format=${count}
      series=${bands.map((band) => ({ name: label(band), values: times.map((time) => cells.get(`${time} ${band.from_ms}`) ?? 0) }))} />
  </figure>`
}
