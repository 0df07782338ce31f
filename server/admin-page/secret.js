// A secret that the server shows once: until this tab leaves the section, and nowhere else.

import { element, notify } from "./elements.js"

/** A place for one secret. Returns the element and `show(label, text, hint)`. */
export function secretPlace() {
  const made = element("div", { class: "secret", hidden: true, tabindex: "-1", role: "group", "aria-label": "New secret" })

  function show(label, text, hint) {
    const copy = element("button", { type: "button", onclick: async () => {
      try {
        await navigator.clipboard.writeText(text)
        notify("Copied.")
      } catch {
        // Browsers offer the clipboard to pages over TLS and on this machine only.
        notify("The browser does not let this page copy; select the text instead.")
      }
    } }, "Copy")
    const hide = element("button", { type: "button", onclick: () => {
      made.replaceChildren()
      made.hidden = true
    } }, "Hide")
    made.replaceChildren(
      element("p", {}, element("strong", {}, label)),
      element("p", { class: "mono" }, text),
      element("p", { class: "hint" }, hint),
      element("div", { class: "row" }, copy, hide))
    made.hidden = false
    made.focus()
  }

  return { element: made, show }
}
