// Elements made by hand: text is always text, never markup.

/**
 * Makes an element. `properties` are attributes, `class`, listeners (`onclick`) and properties
 * that have no attribute (`value`, `hidden`, `disabled`). Children are nodes or text.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
    else if (name in made && typeof value !== "string") made[name] = value
    else if (name === "value") made.value = value
    else made.setAttribute(name, value)
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined))
  return made
}

// The roles say again what the elements are, since narrow screens lay rows out as cards, and
// browsers forget what a table is when it is laid out otherwise.

/** The head of a column. */
export const columnHead = ({ number }, ...children) =>
  element("th", { scope: "col", role: "columnheader", class: number ? "number" : null }, ...children)

/** A row of `columns`: {title, number?, cell(row)}. */
export const tableRow = (columns, row) => element("tr", { role: "row" }, columns.map(({ title, number, cell }) =>
  element("td", { role: "cell", class: number ? "number" : null, "data-label": title }, cell?.(row))))

/** A table around heads and a body; it scrolls by itself where it is too wide. */
export function tableOf(caption, heads, body) {
  body.setAttribute("role", "rowgroup")
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", { role: "table" },
      element("caption", {}, caption),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
      body))
}

/** A table that does not change. `columns`: {title, number?, cell(row)}. */
export function table(caption, columns, rows) {
  return tableOf(caption, columns.map((column) => columnHead(column, column.title)),
    element("tbody", {}, rows.map((row) => tableRow(columns, row))))
}

/**
 * A table of numbers that change: `draw(rows)` changes the texts that differ, so that focus,
 * scrolling and selections stay. `columns` as for [`table`], with `text(row)` for a text or
 * `cell(row)` for an element that is made anew when `text(row)` differs.
 */
export function liveTable(caption, columns) {
  const body = element("tbody")
  const made = tableOf(caption, columns.map((column) => columnHead(column, column.title)), body)
  const empty = columns.map(({ title, number }) => ({ title, number }))

  function draw(rows) {
    while (body.rows.length > rows.length) body.lastChild.remove()
    while (body.rows.length < rows.length) {
      body.append(tableRow(empty))
    }
    rows.forEach((row, at) => columns.forEach(({ text, cell }, column) => {
      const place = body.rows[at].cells[column]
      const told = text(row)
      if (place.dataset.told === told) return
      place.dataset.told = told
      place.replaceChildren(cell ? cell(row) : told)
    }))
  }

  return { element: made, draw }
}

/** Puts new children into a place; a focus that was in it stays near, for those who type. */
export function swap(place, ...children) {
  const hadFocus = place.contains(document.activeElement)
  place.replaceChildren(...children)
  if (hadFocus) (place.querySelector("[tabindex]") ?? place.closest("[tabindex]"))?.focus()
}

/** A labelled control. */
export function field(label, control, properties = {}) {
  control.id ||= `field-${label.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`
  return element("div", properties, element("label", { for: control.id }, label), control)
}

/** A choice. `options`: [value, text] pairs. */
export function choice(options, properties = {}) {
  return element("select", properties,
    options.map(([value, text]) => element("option", { value }, text)))
}

/** Tells something at the bottom of the window; read out by screen readers. */
export function notify(text) {
  const line = element("p", {}, text)
  document.getElementById("notice").append(line)
  setTimeout(() => line.remove(), 8000)
}
