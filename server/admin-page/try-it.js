// A WebSocket of a test user, with every frame in sight.

import { api } from "./api.js"
import { choice, element, field, notify } from "./elements.js"
import { feed } from "./feed.js"
import { timeOfDay } from "./format.js"
import { tierChoice } from "./users.js"

const KEPT = 200

export function tryIt() {
  let socket = null
  const servesUsers = feed.about?.servesUsers ?? true
  const address = new URL("../v1/updates", location.href)
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:"
  address.hash = ""
  const url = element("input", { spellcheck: "false", autocomplete: "off", required: true, value: servesUsers ? address.href : "" })
  const name = element("input", { spellcheck: "false", autocomplete: "off", value: "it", required: true, maxlength: "100" })
  const tier = tierChoice("the default")
  const clientType = choice(["user-scoped", "session-scoped", "machine-scoped"].map((each) => [each, each]))
  const sessionId = element("input", { spellcheck: "false", autocomplete: "off", value: "session-1" })
  const machineId = element("input", { spellcheck: "false", autocomplete: "off", value: "machine-1" })
  const state = element("span", { class: "badge", role: "status" }, "not connected")
  const open = element("button", { type: "submit", class: "primary" }, "Connect")
  const shut = element("button", { type: "button", disabled: true, onclick: () => socket?.close(1000) }, "Disconnect")
  const frames = element("ol", { class: "frames", role: "log", "aria-label": "Frames", tabindex: "0" })
  const text = element("textarea", { spellcheck: "false", value: '{"event": "ping"}' })
  const send = element("button", { type: "submit", disabled: true }, "Send")
  const samples = choice([
    ['{"event": "ping"}', "ping"],
    ['{"event": "broadcast", "data": {"text": "hello"}, "ackId": "1"}', "broadcast to the user’s other connections"],
    ['{"event": "rpc-register", "data": {"method": "echo"}}', "register a method"],
  ])
  samples.addEventListener("input", () => { text.value = samples.value })

  function show(way, content) {
    frames.append(element("li", {},
      element("time", {}, timeOfDay(Date.now())),
      element("span", { class: "way" }, way),
      element("span", { class: "mono" }, content)))
    while (frames.children.length > KEPT) frames.firstChild.remove()
    frames.scrollTop = frames.scrollHeight
  }

  function enable(isOpen) {
    open.disabled = isOpen
    shut.disabled = send.disabled = !isOpen
    state.textContent = isOpen ? "connected" : "not connected"
    state.className = isOpen ? "badge good" : "badge"
  }

  function say(content) {
    socket.send(content)
    show("sent", content)
  }

  async function connect(event) {
    event.preventDefault()
    open.disabled = true
    let made
    try {
      made = await api("POST", "try-it", { name: name.value.trim(), tier: tier.value || undefined })
    } catch (refusal) {
      open.disabled = false
      return notify(refusal.message)
    }
    const data = { clientType: clientType.value }
    if (clientType.value === "session-scoped") data.sessionId = sessionId.value
    if (clientType.value === "machine-scoped") data.machineId = machineId.value
    try {
      socket = new WebSocket(url.value)
    } catch (err) {
      open.disabled = false
      return notify(err.message)
    }
    const mine = socket
    // The token goes into the first message: URLs end up in logs.
    mine.onopen = () => {
      mine.send(JSON.stringify({ event: "auth", data: { token: made.token, ...data } }))
      show("sent", JSON.stringify({ event: "auth", data: { token: "…", ...data } }))
      enable(true)
    }
    mine.onmessage = (message) => show("received", message.data)
    mine.onclose = (close) => {
      show("closed", `${close.code} ${close.reason}`)
      if (socket === mine) enable(false)
    }
  }

  const made = element("div", {},
    element("h1", {}, "Try it"),
    element("section", { class: "panel" },
      element("form", { onsubmit: connect },
        element("div", { class: "fields" },
          field("Test user: try-", name), field("Tier", tier), field("Client type", clientType),
          field("Session id", sessionId), field("Machine id", machineId),
          field("Address", url, { class: "wide" })),
        element("div", { class: "row" }, open, shut, state)),
      frames,
      element("form", { onsubmit: (event) => { event.preventDefault(); say(text.value) } },
        element("div", { class: "fields" }, field("Example", samples), field("Frame", text, { class: "wide" })),
        send)))
  const ids = [sessionId.parentElement, machineId.parentElement]
  const fit = () => {
    ids[0].hidden = clientType.value !== "session-scoped"
    ids[1].hidden = clientType.value !== "machine-scoped"
  }
  clientType.addEventListener("input", fit)
  fit()
  return { title: "Try it", element: made, leave: () => socket?.close(1000) }
}
