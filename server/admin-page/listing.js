// A list that the server searches, sorts and pages: it shows one page, whatever there is.

import { api, query } from "./api.js"
import { columnHead, element, field, notify, swap, tableOf, tableRow } from "./elements.js"

const PAGE = 50

/**
 * A list of `path`. `columns`: {title, sort?, number?, cell(row)}; `filters`: {label, name,
 * control}; `sort` is the order at first, for lists that have any; `rows(answer)` takes the rows
 * out of an answer; `empty(isFiltered)` says why there are none. Returns the element and `refresh`.
 */
export function listing({ caption, path, columns, filters, rows, empty, note, sort }) {
  let cursors = [""]
  let next = null
  let asked = 0
  const body = element("tbody")
  const about = element("span", { class: "hint", role: "status" })
  const newer = element("button", { type: "button", onclick: () => { cursors.pop(); refresh() } }, "Previous")
  const older = element("button", { type: "button", onclick: () => { cursors.push(next); refresh() } }, "Next")
  const heads = columns.map((column) => {
    const label = column.sort
      ? element("button", { type: "button", onclick: () => order(column) }, column.title)
      : column.title
    return columnHead(column, label)
  })

  function order(column) {
    const descending = `-${column.sort}`
    sort = sort === descending || (sort !== column.sort && column.sort === "name") ? column.sort : descending
    restart()
  }

  function restart() {
    cursors = [""]
    refresh()
  }

  async function refresh() {
    asked += 1
    const mine = asked
    const parameters = Object.fromEntries(filters.map(({ name, control }) => [name, control.value.trim()]))
    let answer
    try {
      answer = await api("GET", `${path}${query({ ...parameters, sort, cursor: cursors.at(-1), limit: PAGE })}`)
    } catch (refusal) {
      if (mine === asked) notify(refusal.message)
      return
    }
    // An answer that was overtaken by another question is old.
    if (mine !== asked) return
    const found = rows(answer)
    next = answer.nextCursor
    swap(body, ...found.map((row) => tableRow(columns, row)))
    newer.disabled = cursors.length === 1
    older.disabled = !next
    const from = (cursors.length - 1) * PAGE
    about.textContent = found.length
      ? `${from + 1} to ${from + found.length}${answer.total === undefined ? "" : ` of ${answer.total}`}`
      : empty(Object.values(parameters).some(Boolean))
    columns.forEach((column, index) => {
      if (!column.sort) return
      const state = sort === column.sort ? "ascending" : sort === `-${column.sort}` ? "descending" : "none"
      heads[index].setAttribute("aria-sort", state)
      const arrow = { ascending: " ▲", descending: " ▼", none: "" }[state]
      heads[index].firstChild.textContent = `${column.title}${arrow}`
    })
  }

  let typing
  for (const { control } of filters) {
    control.addEventListener("input", () => {
      clearTimeout(typing)
      typing = setTimeout(restart, control.tagName === "SELECT" ? 0 : 250)
    })
  }
  const made = element("section", { class: "panel" },
    element("form", { class: "fields", role: "search", onsubmit: (event) => { event.preventDefault(); restart() } },
      filters.map(({ label, control }) => field(label, control))),
    note ? element("p", { class: "hint" }, note) : null,
    tableOf(caption, heads, body),
    element("div", { class: "row" }, newer, older, about,
      element("span", { class: "spacer" }),
      element("button", { type: "button", onclick: refresh }, "Refresh")))
  refresh()
  return { element: made, refresh }
}
