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

/** A table that scrolls by itself on narrow screens. `columns`: {title, number?, cell(row)}. */
export function table(caption, columns, rows) {
  const head = columns.map(({ title, number }) =>
    element("th", { scope: "col", class: number ? "number" : null }, title))
  const body = rows.map((row) => element("tr", {},
    columns.map(({ number, cell }) => element("td", { class: number ? "number" : null }, cell(row)))))
  const made = element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, body))
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made)
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
