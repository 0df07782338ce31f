// Asks before anything is done to others. Nothing is preselected but "Cancel".

import { element } from "./elements.js"

/**
 * Asks; resolves to whether it was confirmed. `facts`: [name, text] pairs of what will happen.
 * With `word`, it must be typed first.
 */
export function confirm({ title, text, facts = [], action, word }) {
  const dialog = document.getElementById("confirm")
  return new Promise((resolve) => {
    const accept = element("button", { class: "danger", value: "yes", disabled: Boolean(word) }, action)
    const typed = word && element("input", {
      id: "confirm-word",
      autocomplete: "off",
      oninput: () => { accept.disabled = typed.value !== word },
    })
    const cancel = element("button", { value: "no", autofocus: true }, "Cancel")
    dialog.replaceChildren(element("form", { method: "dialog" },
      element("h2", { id: "confirm-title" }, title),
      element("p", {}, text),
      element("dl", { class: "facts" }, facts.map(([name, value]) =>
        [element("dt", {}, name), element("dd", {}, value)])),
      word ? element("div", {}, element("label", { for: "confirm-word" }, `Type “${word}” to go on`), typed) : null,
      element("div", { class: "row" }, cancel, accept)))
    dialog.returnValue = "no"
    dialog.onclose = () => resolve(dialog.returnValue === "yes")
    dialog.showModal()
    ;(typed ?? cancel).focus()
  })
}
