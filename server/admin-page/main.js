// The page's frame: signing in, sections by the part of the URL behind "#", the feed's state.

import { accounts } from "./accounts.js"
import { actions } from "./actions.js"
import { apiKeys } from "./api-keys.js"
import { api, session } from "./api.js"
import { audit } from "./audit.js"
import { notify } from "./elements.js"
import { feed } from "./feed.js"
import { overview } from "./overview.js"
import { shards } from "./shards.js"
import { tiers } from "./tiers.js"
import { tryIt } from "./try-it.js"
import { user } from "./user.js"
import { users } from "./users.js"

// Each makes {element, title, update?, leave?} from what is behind its name in the URL.
const SECTIONS = {
  overview, tiers, users, user, shards, accounts, "api-keys": apiKeys, actions, audit, "try-it": tryIt,
}

const byId = (id) => document.getElementById(id)
const main = byId("main")
let shown = null

function show() {
  if (!session.token || !location.hash.startsWith("#/")) {
    if (session.token) location.replace("#/overview")
    return
  }
  const [name, argument] = location.hash.slice(2).split("/")
  const make = SECTIONS[name] ?? overview
  shown?.leave?.()
  shown = make(argument === undefined ? undefined : decodeURIComponent(argument))
  document.title = `${shown.title} · Dormouse`
  main.replaceChildren(shown.element)
  const current = name === "user" ? "users" : name
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${current}`) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  shown.update?.(feed)
}

function enter() {
  byId("sign-in").hidden = true
  byId("app").hidden = false
  feed.start()
  if (location.hash.startsWith("#/")) show()
  else location.replace("#/overview")
}

function leave(why = "") {
  session.end()
  feed.stop()
  shown?.leave?.()
  shown = null
  main.replaceChildren()
  byId("confirm").close()
  byId("app").hidden = true
  byId("sign-in").hidden = false
  byId("sign-in-error").textContent = why
  document.title = "Sign in · Dormouse"
  byId("token").focus()
}

byId("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault()
  const input = byId("token")
  const token = input.value.trim()
  byId("sign-in-error").textContent = ""
  try {
    await api("GET", "overview", undefined, token)
  } catch (refusal) {
    byId("sign-in-error").textContent = refusal.message
    input.select()
    return
  }
  input.value = ""
  session.begin(token)
  enter()
})

byId("sign-out").addEventListener("click", () => leave())
byId("skip").addEventListener("click", () => main.focus())
session.onrefused = (why) => leave(why || "the token is not taken any more; sign in again")

window.addEventListener("hashchange", () => {
  show()
  // For those who cannot see that the section has changed.
  if (session.token) main.focus()
})

feed.addEventListener("state", () => {
  const badge = byId("feed-state")
  const [text, kind] = {
    live: ["live", "good"],
    connecting: ["connecting", "warn"],
    lost: ["connection lost, trying again", "bad"],
  }[feed.state]
  badge.textContent = text
  badge.className = `badge ${kind}`
  if (feed.about) {
    byId("who").textContent = `${feed.about.admin} · ${feed.about.version} · ${feed.about.environment}`
  }
})

feed.addEventListener("update", () => {
  const { draining, storeFault } = feed.update
  const badge = byId("server-state")
  badge.hidden = !draining && !storeFault
  badge.className = "badge bad"
  badge.textContent = storeFault ? `store fails: ${storeFault}` : "draining: no new connections"
  shown?.update?.(feed)
})

window.addEventListener("unhandledrejection", (event) => notify(event.reason?.message ?? "something failed"))

if (session.token) enter()
else leave()
