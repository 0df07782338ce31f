// A small chart of the last 15 minutes, drawn as SVG.

import { element } from "./elements.js"

const WIDTH = 600
const HEIGHT = 120
const SPAN = 15 * 60_000

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

/**
 * A chart. `series`: up to three of {name, value(point)}; values may be null, which leaves a gap.
 * `format` writes a value. Returns the element and `draw(points)`.
 */
export function chart(title, series, format) {
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" })
  for (const y of [0.5, HEIGHT / 2, HEIGHT - 0.5]) {
    drawing.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }))
  }
  const area = series.length === 1 ? svg("path", { class: "area" }) : null
  if (area) drawing.append(area)
  const lines = series.map((_, index) => svg("path", { class: `s${index + 1}` }))
  drawing.append(...lines)
  const legend = series.map(({ name }, index) => element("span", { class: `s${index + 1}` }, name))
  const top = element("span")
  const made = element("figure", { class: "chart" },
    element("figcaption", {}, element("strong", {}, title), element("span", { class: "legend" }, legend)),
    drawing,
    element("div", { class: "axis", "aria-hidden": "true" },
      element("span", {}, "15 min ago"), top, element("span", {}, "now")))

  function draw(points) {
    const now = points.at(-1)?.at ?? Date.now()
    const values = series.map(({ value }) => points.map(value))
    const highest = Math.max(...values.flat().filter((value) => value !== null), 0)
    const most = highest > 0 ? highest * 1.1 : 1
    const x = (at) => (1 - (now - at) / SPAN) * WIDTH
    const y = (value) => HEIGHT - (value / most) * (HEIGHT - 4) - 2
    values.forEach((line, index) => {
      let path = ""
      let isDrawing = false
      line.forEach((value, at) => {
        if (value === null) {
          isDrawing = false
          return
        }
        // A line of no length, so that a value between two gaps is a dot.
        path += `${isDrawing ? "L" : "M"}${x(points[at].at).toFixed(1)} ${y(value).toFixed(1)}${isDrawing ? "" : "h0"}`
        isDrawing = true
      })
      lines[index].setAttribute("d", path)
      if (area) {
        const first = points.length ? x(points[0].at).toFixed(1) : 0
        area.setAttribute("d", path && !line.includes(null) ? `${path}L${WIDTH} ${HEIGHT}L${first} ${HEIGHT}Z` : "")
      }
    })
    top.textContent = `highest ${format(highest)}`
    const latest = series.map(({ name }, index) => {
      const text = format(values[index].at(-1) ?? null)
      legend[index].textContent = `${name} ${text}`
      return `${name} ${text}`
    })
    drawing.setAttribute("aria-label", `${title}, last 15 minutes: now ${latest.join(", ")}; highest ${format(highest)}`)
  }

  return { element: made, draw }
}
