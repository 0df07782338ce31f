// One user: shards, connections with their attachments, and what can be done.

import { api, query } from "./api.js"
import { confirm } from "./confirm.js"
import { choice, element, field, notify, swap, table } from "./elements.js"
import { feed } from "./feed.js"
import { ago, bytes, connections, count, time } from "./format.js"

const ORIGINS = { default: "the default", token: "the user’s token", override: "an admin" }

export function user(id) {
  const body = element("div", {}, element("p", { class: "hint" }, "Asking the server"))
  // Made once, so that looking again takes no choice back that is being made in it.
  const acting = element("div")
  let latest = null
  const made = element("div", {},
    element("p", {}, element("a", { href: "#/users" }, "← All users")),
    element("h1", { class: "mono" }, id),
    body, acting)
  const path = `users/${encodeURIComponent(id)}`

  async function refresh() {
    try {
      // Who has no connection is unknown to the server, or known by a tier only.
      const { shards } = await api("GET", `shards${query({ user: id, limit: 500, sort: "name" })}`)
      if (shards.some((shard) => shard.user === id)) show(await api("GET", path))
      else show(null)
    } catch (refusal) {
      notify(refusal.message)
    }
  }

  function show(found) {
    latest = found
    swap(body, ...(found ? parts(found) : [absent()]))
    if (!acting.firstChild) acting.append(actions(found))
    acting.querySelector("button.danger").disabled = !found?.totalConnections
  }

  function absent() {
    const answer = element("span", { role: "status" })
    return element("p", { class: "panel row" }, "This user has no connection.",
      element("button", {
        type: "button",
        onclick: async () => {
          try {
            const found = await api("GET", path)
            answer.textContent = `An admin gave this user the tier ${found.tier}: at most ${connections(found.limit)}.`
          } catch (refusal) {
            answer.textContent = refusal.status === 404 ? "No tier of their own." : refusal.message
          }
        },
      }, "Look for a tier of their own"), answer)
  }

  /** Asks, does it, tells what came of it, and looks again. */
  async function act(question, work) {
    if (!await confirm(question)) return
    try {
      notify(await work())
    } catch (refusal) {
      notify(refusal.message)
    }
    await refresh()
  }

  function parts(found) {
    return [
      element("dl", { class: "facts" }, [
        ["Tier", `${found.tier}, from ${ORIGINS[found.tierSource]}`],
        ["Connections", `${count(found.totalConnections)} of ${count(found.limit)}`],
        ["Sessions", count(found.activeSessions)],
        ["Machines", count(found.activeMachines)],
      ].map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
      element("section", { class: "panel" }, element("h2", {}, "Connections"), table(
        "Looking at connections wakes the user’s shards",
        [
          { title: "Connection", cell: (each) => element("span", { class: "mono" }, each.connectionId) },
          { title: "Type", cell: (each) => each.clientType },
          { title: "Session", cell: (each) => element("span", { class: "mono" }, each.sessionId ?? "–") },
          { title: "Machine", cell: (each) => element("span", { class: "mono" }, each.machineId ?? "–") },
          { title: "Since", cell: (each) => time(each.connectedAt) },
          { title: "Last activity", cell: (each) => ago(each.lastActivityAt) },
          { title: "Authentication", cell: (each) => each.authState },
          { title: "Actions", cell: (each) => element("button", {
            type: "button",
            "aria-label": `Close connection ${each.connectionId}`,
            onclick: () => act({
              title: "Close this connection?",
              text: "Its client is told that an administrator closed it, and may come back.",
              facts: [["User", id], ["Connection", each.connectionId]],
              action: "Close it",
            }, async () => {
              await api("DELETE", `connections/${each.connectionId}`)
              return "The connection is closing."
            }),
          }, "Close") },
        ], found.connections)),
      element("section", { class: "panel" }, element("h2", {}, "Shards"), table("What each shard is doing", [
        { title: "Shard", cell: (shard) => element("span", { class: "mono" }, shard.shard) },
        { title: "State", cell: (shard) => shard.state },
        { title: "Worker", number: true, cell: (shard) => String(shard.worker) },
        { title: "Connections", number: true, cell: (shard) => count(shard.connections) },
        { title: "Waiting", number: true, cell: (shard) => `${count(shard.queuedFrames)} frames, ${bytes(shard.queuedBytes)}` },
        { title: "Refused", number: true, cell: (shard) => count(shard.rejected) },
        { title: "Sleeps / wakes", number: true, cell: (shard) => `${count(shard.sleeps)} / ${count(shard.wakes)}` },
        { title: "Oldest connection", cell: (shard) => ago(shard.oldestConnection) },
        { title: "Last activity", cell: (shard) => ago(shard.lastActivityAt) },
      ], found.shards)),
    ]
  }

  function actions(found) {
    const names = feed.update?.tiers.map(({ name }) => name) ?? []
    const tier = choice((names.length ? names : ["free", "pro", "enterprise"]).map((name) => [name, name]))
    if (found) tier.value = found.tier
    return element("section", { class: "panel" },
      element("h2", {}, "Actions"),
      element("form", { class: "fields", onsubmit: (event) => {
        event.preventDefault()
        act({
          title: "Give this user a tier?",
          text: "It is in force over what tokens say, also after a restart. Open connections stay open.",
          facts: [["User", id], ["Tier", tier.value]],
          action: "Set the tier",
        }, async () => {
          const answer = await api("PUT", `${path}/tier`, { tier: tier.value })
          return `The tier is ${answer.tier}: at most ${connections(answer.limit)}.`
        })
      } },
      field("Tier", tier),
      element("div", { class: "row" },
        element("button", { type: "submit" }, "Set tier"),
        element("button", { type: "button", onclick: () => act({
          title: "Take the user’s own tier back?",
          text: "The user’s tokens, or the default, decide again.",
          facts: [["User", id]],
          action: "Take it back",
        }, async () => {
          await api("DELETE", `${path}/tier`)
          return "The user has no tier of their own any more."
        }) }, "Use the token’s tier"))),
      element("div", { class: "row" },
        element("a", { href: `#/actions/${encodeURIComponent(id)}` }, "Send a message to this user"),
        element("span", { class: "spacer" }),
        element("button", { type: "button", onclick: refresh }, "Refresh"),
        element("button", {
          type: "button",
          class: "danger",
          onclick: () => act({
            title: "Disconnect this user?",
            text: "All connections of the user are closed. Their clients may come back.",
            facts: [["User", id], ["Connections", count(latest?.totalConnections ?? 0)]],
            action: "Disconnect",
          }, async () => {
            const answer = await api("POST", `${path}/disconnect`, {})
            return `Closing ${connections(answer.closed)}.`
          }),
        }, "Disconnect user")))
  }

  refresh()
  return { title: id ?? "User", element: made }
}
