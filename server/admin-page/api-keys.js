// Keys of tenants, by which they publish and subscribe to call events.

import { api } from "./api.js"
import { confirm } from "./confirm.js"
import { choice, element, field, notify, swap, table } from "./elements.js"
import { time } from "./format.js"
import { secretPlace } from "./secret.js"

const DAY = 86_400
const KINDS = { ACTIVE: "good", REVOKED: "bad", EXPIRED: "warn" }

export function apiKeys() {
  const tenant = element("input", { autocomplete: "off", spellcheck: "false", required: true, maxlength: "64", pattern: "[A-Za-z0-9_\\-]+", title: "letters, digits, _ and -" })
  const name = element("input", { autocomplete: "off", maxlength: "128", placeholder: "what it is for" })
  const lifetime = choice([["", "ever"], [90 * DAY, "90 days"], [365 * DAY, "a year"]])
  lifetime.value = String(365 * DAY)
  const search = element("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: () => draw() })
  const status = choice([["", "all states"], ["ACTIVE", "active"], ["REVOKED", "revoked"], ["EXPIRED", "expired"]], { oninput: () => draw() })
  const secret = secretPlace()
  const list = element("div")
  let answer = null

  async function refresh() {
    try {
      answer = await api("GET", "api-keys")
    } catch (refusal) {
      swap(list, element("p", { class: "error" }, refusal.message))
      return
    }
    draw()
  }

  function draw() {
    if (!answer) return
    const wanted = search.value.trim().toLowerCase()
    const found = answer.keys.filter((key) =>
      (!status.value || key.status === status.value) &&
      [key.tenant, key.name, key.prefix, key.id].some((text) => text.toLowerCase().includes(wanted)))
    const none = answer.keys.length ? "No key matches." : "There are no keys in the database."
    swap(list,
      answer.hasMore ? element("p", { class: "hint" }, "There are more keys than are shown here: see “dormouse apikey list”.") : "",
      found.length
        ? table("Keys, by tenant", [
            { title: "Tenant", cell: (key) => element("span", { class: "mono" }, key.tenant) },
            { title: "Name", cell: (key) => key.name },
            { title: "Begins with", cell: (key) => element("span", { class: "mono" }, key.prefix) },
            { title: "State", cell: (key) => element("span", { class: `badge ${KINDS[key.status] ?? ""}` }, key.status.toLowerCase()) },
            { title: "Good until", cell: (key) => (key.expiresAt ? time(key.expiresAt) : "for ever") },
            { title: "Last used", cell: (key) => (key.lastUsedAt ? time(key.lastUsedAt) : "never") },
            { title: "Actions", cell: (key) => (key.status === "ACTIVE" ? revokeButton(key) : "") },
          ], found)
        : element("p", { class: "hint", role: "status" }, none))
  }

  const revokeButton = (key) => element("button", {
    type: "button",
    "aria-label": `Revoke the key ${key.prefix} of ${key.tenant}`,
    onclick: async () => {
      const isSure = await confirm({
        title: "Revoke this key?",
        text: "It is refused from now on, and its connections are closed. There is no way back but a new key.",
        facts: [["Tenant", key.tenant], ["Name", key.name], ["Begins with", key.prefix]],
        action: "Revoke",
      })
      if (!isSure) return
      try {
        await api("DELETE", `api-keys/${encodeURIComponent(key.id)}`)
        notify("The key is revoked.")
      } catch (refusal) {
        notify(refusal.message)
      }
      refresh()
    },
  }, "Revoke")

  async function create(event) {
    event.preventDefault()
    const whose = tenant.value.trim()
    const isSure = await confirm({
      title: "Make a key?",
      text: "Who has it publishes and reads this tenant’s call events. A tenant that is not known yet is made.",
      facts: [["Tenant", whose], ["Name", name.value.trim() || "–"], ["Good for", lifetime.options[lifetime.selectedIndex].text]],
      action: "Make it",
    })
    if (!isSure) return
    try {
      const made = await api("POST", "api-keys", {
        tenant: whose,
        name: name.value.trim() || null,
        expiresIn: lifetime.value ? Number(lifetime.value) : null,
      })
      name.value = ""
      secret.show(`The new key of ${whose}`, made.key, "Keep it now: it is not shown again.")
    } catch (refusal) {
      notify(refusal.message)
    }
    refresh()
  }

  refresh()
  return {
    title: "API keys",
    element: element("div", {},
      element("h1", {}, "API keys"),
      element("section", { class: "panel" },
        element("p", { class: "hint" }, "Tenants publish and subscribe to call events with these. Keys from the settings (events.api_keys) are not listed."),
        element("form", { class: "fields", role: "search", onsubmit: (event) => event.preventDefault() },
          field("Search", search), field("State", status)),
        list),
      element("section", { class: "panel" },
        element("h2", {}, "New key"),
        element("form", { class: "fields", onsubmit: create },
          field("Tenant", tenant), field("Name", name), field("Good for", lifetime),
          element("div", {}, element("button", { type: "submit" }, "Make a key …"))),
        secret.element)),
  }
}
