// What concerns many: a broadcast, and draining the server.

import { api } from "./api.js"
import { confirm } from "./confirm.js"
import { choice, element, field, notify } from "./elements.js"
import { connections, count } from "./format.js"
import { tierChoice } from "./users.js"

// Which field a filter needs beside its type.
const FILTERS = [
  ["all", "all connections", null],
  ["user-scoped-only", "user-scoped connections only", null],
  ["session", "connections of a session", "sessionId"],
  ["machine", "connections of a machine", "machineId"],
  ["machine-scoped-only", "user-scoped, and machine-scoped of a machine", "machineId"],
  ["all-interested-in-session", "user-scoped, and session-scoped of a session", "sessionId"],
  ["exclude", "all but one connection", "connectionId"],
]

export function actions(user) {
  return {
    title: "Actions",
    element: element("div", {}, element("h1", {}, "Actions"), broadcast(user), drain()),
  }
}

function broadcast(user) {
  const to = choice([
    ["everyone", "everyone"],
    ["user", "one user"],
    ["tier", "users of a tier"],
    ["clientType", "connections of a client type"],
  ])
  const userId = element("input", { autocomplete: "off", spellcheck: "false", value: user ?? "" })
  const tier = tierChoice("choose a tier")
  const clientType = choice(["user-scoped", "session-scoped", "machine-scoped"].map((name) => [name, name]))
  const filter = choice(FILTERS.map(([value, text]) => [value, text]))
  const filterId = element("input", { autocomplete: "off", spellcheck: "false" })
  const kind = element("input", { autocomplete: "off", spellcheck: "false", value: "notice", required: true })
  const payload = element("textarea", { spellcheck: "false", value: '{"text": "hello"}' })
  const reach = element("p", { class: "hint", role: "status", id: "reach" })
  const fields = {
    user: field("User", userId),
    tier: field("Tier", tier),
    clientType: field("Client type", clientType),
    filterId: field("Id", filterId),
  }
  if (user) to.value = "user"

  const filterField = () => FILTERS.find(([value]) => value === filter.value)[2]

  function target() {
    if (to.value === "everyone") return { everyone: true }
    return { [to.value]: { user: userId.value.trim(), tier: tier.value, clientType: clientType.value }[to.value] }
  }

  /** What the API takes, or null while something is missing. */
  function recipients() {
    const id = filterField()
    if (Object.values(target())[0] === "" || (id && !filterId.value.trim())) return null
    return { to: target(), filter: { type: filter.value, ...(id ? { [id]: filterId.value.trim() } : {}) } }
  }

  let asked = 0
  async function preview() {
    asked += 1
    const mine = asked
    for (const name of ["user", "tier", "clientType"]) fields[name].hidden = to.value !== name
    fields.filterId.hidden = !filterField()
    fields.filterId.querySelector("label").textContent = filterField() ?? "Id"
    const chosen = recipients()
    if (!chosen) {
      reach.textContent = "Say who is to get it."
      return null
    }
    try {
      const answer = await api("POST", "broadcast/preview", chosen)
      if (mine === asked) reach.textContent = `${connections(answer.connections)} would get this now.`
      return answer.connections
    } catch (refusal) {
      if (mine === asked) reach.textContent = refusal.message
      return null
    }
  }

  let typing
  const later = () => {
    clearTimeout(typing)
    typing = setTimeout(preview, 300)
  }
  for (const control of [to, userId, tier, clientType, filter, filterId]) control.addEventListener("input", later)

  async function send(event) {
    event.preventDefault()
    let parsed
    try {
      parsed = payload.value.trim() ? JSON.parse(payload.value) : undefined
    } catch (err) {
      return notify(`The payload is no JSON: ${err.message}`)
    }
    const chosen = recipients()
    const reached = await preview()
    if (!chosen || reached === null) return notify(reach.textContent)
    const isSure = await confirm({
      title: "Send this message?",
      text: "It cannot be taken back.",
      facts: [
        ["Event", kind.value],
        ["To", to.options[to.selectedIndex].text + (to.value === "everyone" ? "" : `: ${Object.values(target())[0]}`)],
        ["Filter", filter.options[filter.selectedIndex].text + (filterField() ? `: ${filterId.value}` : "")],
        ["Reaches now", connections(reached)],
      ],
      action: `Send to ${count(reached)}`,
    })
    if (!isSure) return
    try {
      const { delivered } = await api("POST", "broadcast", { message: { type: kind.value, payload: parsed }, ...chosen })
      notify(`Handed to ${connections(delivered)}.`)
    } catch (refusal) {
      notify(refusal.message)
    }
  }

  preview()
  return element("section", { class: "panel" },
    element("h2", {}, "Broadcast"),
    element("form", { onsubmit: send },
      element("div", { class: "fields" },
        field("To", to), fields.user, fields.tier, fields.clientType,
        field("Filter", filter), fields.filterId,
        field("Event", kind),
        field("Payload (JSON)", payload, { class: "wide" })),
      reach,
      element("button", { type: "submit", class: "primary" }, "Send …")))
}

function drain() {
  const seconds = element("input", { type: "number", min: "0", max: "3600", step: "1", value: "60", required: true })
  return element("section", { class: "panel" },
    element("h2", {}, "Drain"),
    element("p", {}, "Takes no new connections and closes the open ones over a time, for a restart that does not bring all clients back at once. There is no way back but a restart."),
    element("form", {
      class: "fields",
      onsubmit: async (event) => {
        event.preventDefault()
        const isSure = await confirm({
          title: "Drain this server?",
          text: "Every connection is closed, and no new one is taken until the server is restarted.",
          facts: [["Over", `${seconds.value} seconds`]],
          action: "Drain",
          word: "drain",
        })
        if (!isSure) return
        try {
          await api("POST", "drain", { overMs: Number(seconds.value) * 1000 })
          notify("The server is draining.")
        } catch (refusal) {
          notify(refusal.message)
        }
      },
    },
    field("Over how many seconds", seconds),
    element("div", {}, element("button", { type: "submit", class: "danger" }, "Drain …"))))
}
