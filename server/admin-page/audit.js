// What admins did.

import { api, query } from "./api.js"
import { element, notify, table } from "./elements.js"
import { time } from "./format.js"

const ACTIONS = {
  "broadcast": "broadcast",
  "close-connection": "closed a connection",
  "disconnect-user": "disconnected a user",
  "set-tier": "set a tier",
  "clear-tier": "took a tier back",
  "drain": "drained the server",
  "try-it": "made a test user’s token",
  "approve-account": "approved an account",
  "block-account": "blocked an account",
  "delete-account": "deleted an account",
  "create-invite": "made an invitation",
  "revoke-invite": "revoked an invitation",
  "create-api-key": "made an API key",
  "revoke-api-key": "revoked an API key",
}

const fields = (value) => {
  if (value === null || typeof value !== "object") return value === null ? "" : String(value)
  return Object.entries(value)
    .filter(([, each]) => each !== null)
    .map(([name, each]) => `${name}: ${typeof each === "object" ? JSON.stringify(each) : each}`)
    .join(", ")
}

export function audit() {
  let before = null
  let version = null
  let entries = []
  const list = element("div")
  const older = element("button", { type: "button", onclick: () => load(before) }, "Older")
  const made = element("div", {},
    element("h1", {}, "Audit log"),
    element("section", { class: "panel" },
      element("p", { class: "hint" }, "Written before each action to audit.jsonl in the data folder, so it survives a restart. The newest 1,000 actions are shown here."),
      list, older))

  async function load(from) {
    let answer
    try {
      answer = await api("GET", `audit${query({ before: from, limit: 50 })}`)
    } catch (refusal) {
      return notify(refusal.message)
    }
    entries = from ? [...entries, ...answer.entries] : answer.entries
    before = answer.nextBefore
    older.hidden = !before
    list.replaceChildren(entries.length
      ? table("Actions of admins, newest first", [
          { title: "When", cell: (entry) => time(entry.at) },
          { title: "Who", cell: (entry) => entry.admin },
          { title: "What", cell: (entry) => ACTIONS[entry.action] ?? entry.action },
          { title: "To whom", cell: (entry) => element("span", { class: "mono" }, entry.target) },
          { title: "How", cell: (entry) => fields(entry.detail) },
          { title: "Outcome", cell: (entry) => element("span", {
            class: `badge ${{ done: "good", failed: "bad", begun: "warn" }[entry.outcome]}`,
          }, entry.outcome) },
          { title: "Result", cell: (entry) => fields(entry.result) },
        ], entries)
      : element("p", {}, "No admin has done anything yet."))
  }

  older.hidden = true
  return {
    title: "Audit log",
    element: made,
    update: (feed) => {
      const now = feed.update?.auditVersion ?? -1
      if (now === version) return
      version = now
      load()
    },
  }
}
